"""Stores of rendered clips: every clip is drawn from its key, whoever draws it and when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avbench.media import jpeg
from avbench.media.spectrogram import log_mel
from avbench.registry import catalogue
from avbench.rendered.store import (
    RENDERED_FORMAT,
    RenderedClips,
    clips_of_start,
    clips_of_stream,
    make_clip,
    render_store,
)
from avbench.rendered.world import WORLD, stream_classes
from avbench.store.reading import ClipStore
from avbench.store.verification import verify_store

CLIPS = RenderedClips(
    "small-stream", stream_classes("small-stream", [["bell"], ["drum"]]), training_clips=3, gallery_clips=1
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ClipStore(render_store(CLIPS, tmp_path_factory.mktemp("rendered") / "store", workers=1))


def scenario(**options):
    return catalogue("scenario").get("vggsound-stream").cls(**options)


def test_a_store_holds_all_clips_and_says_that_they_are_rendered(store):
    assert store.source == "rendered"
    assert store.provenance["world"] == WORLD
    assert store.format == RENDERED_FORMAT
    assert store.entries == CLIPS.entries()
    assert verify_store(store.path, lambda key, damaged: None) == []


def test_entries_go_class_by_class():
    entries = CLIPS.entries()
    assert [(each.label, each.split) for each in entries[:4]] == [("bell", "train")] * 3 + [("bell", "test")]
    assert {each.label for each in entries[4:]} == {"drum"}
    assert len({each.key for each in entries}) == len(entries) == 8


def test_stored_clips_are_as_they_were_rendered(store):
    for number in (0, 7):
        made = make_clip(CLIPS.designs, store.entries[number])
        assert store.read_frames(number, range(8)) == made.jpegs
        assert torch.equal(store.read_waveform(number), torch.from_numpy(made.waveform))
        assert torch.equal(store.read_spectrogram(number), torch.from_numpy(made.spectrogram))
        frame = jpeg.decode(made.jpegs[3])
        assert frame.shape == (64, 64, 3)


def test_the_spectrogram_is_that_of_the_sound(store):
    waveform = store.read_waveform(2).float() / 32768
    wanted = log_mel(waveform, store.format)
    assert torch.allclose(store.read_spectrogram(2).float(), wanted, atol=1e-2)
    assert store.read_waveform(2).abs().max() > 1000


def test_a_clip_depends_on_its_key_alone(store):
    (entry,) = [each for each in CLIPS.entries() if each.key == "small-stream_001_train_002"]
    alone = make_clip(dict(reversed(CLIPS.designs.items())), entry)
    number = store.number(entry.key)
    assert store.read_frames(number, range(8)) == alone.jpegs
    assert np.array_equal(store.read_waveform(number), alone.waveform)


def test_clips_of_a_class_differ(store):
    drawn = {store.read_frames(number, [0])[0] for number in range(len(store))}
    assert len(drawn) == len(store)


def test_an_interrupted_store_goes_on_and_becomes_the_same(store, tmp_path):
    told = []

    def interrupt(done):
        told.append(done)
        if len(told) == 5:
            raise KeyboardInterrupt

    path = tmp_path / "store"
    with pytest.raises(KeyboardInterrupt):
        render_store(CLIPS, path, workers=1, observe=interrupt)
    told.clear()
    render_store(CLIPS, path, workers=1, observe=told.append)
    assert [done.earlier for done in told].count(True) >= 4
    assert len(told) == 8
    assert ClipStore(path).fingerprint == store.fingerprint


def test_two_processes_render_the_same(store, tmp_path):
    render_store(CLIPS, tmp_path / "store", workers=2)
    assert ClipStore(tmp_path / "store").fingerprint == store.fingerprint


def test_a_finished_store_is_not_rendered_again(store, monkeypatch):
    def refuse(designs, entry):
        raise AssertionError(f"{entry.key} was rendered again")

    monkeypatch.setattr("avbench.rendered.store.make_clip", refuse)
    render_store(CLIPS, store.path, workers=1)


def test_a_stream_gets_as_many_clips_as_it_uses_and_at_most_20():
    most = clips_of_stream("vggsound-stream", scenario())
    assert (most.training_clips, most.gallery_clips) == (20, 5)
    assert len(most.entries()) == 160 * 25
    few = clips_of_stream("vggsound-stream", scenario(training_clips_per_class=2, gallery_clips_per_class=3))
    assert (few.training_clips, few.gallery_clips) == (2, 3)
    # The few are among the many, to the bit: keys and designs are the same.
    assert {each.key for each in few.entries()} < {each.key for each in most.entries()}
    assert few.designs == most.designs


def test_stores_of_other_clips_have_other_folders():
    named = [
        clips_of_stream("vggsound-stream", scenario()),
        clips_of_stream("vggsound-stream", scenario(training_clips_per_class=2)),
        clips_of_stream("vggsound-stream", scenario(gallery_clips_per_class=2)),
        *clips_of_start(),
    ]
    folders = {each.folder for each in named}
    assert len(folders) == 5
    assert all(f"world{WORLD}" in folder for folder in folders)


def test_the_same_classes_in_another_order_are_other_clips():
    class Turned(type(scenario())):
        def tasks(self):
            return super().tasks()[::-1]

    turned = clips_of_stream("vggsound-stream", Turned())
    assert turned.folder != clips_of_stream("vggsound-stream", scenario()).folder
    assert turned.folder == clips_of_stream("vggsound-stream", Turned()).folder


def test_the_start_has_classes_of_its_own():
    law, codes = clips_of_start()
    stream = clips_of_stream("vggsound-stream", scenario())
    assert not {*law.designs, *codes.designs} & set(stream.designs)
    assert len(law.designs) == 144
    assert len(codes.designs) == 320


def test_clips_are_named_before_they_are_rendered(store):
    assert store.clips_name == CLIPS.clips_name
    assert replace(CLIPS, training_clips=2).clips_name != CLIPS.clips_name
