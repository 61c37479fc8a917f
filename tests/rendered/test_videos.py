"""Rendered mp4 files go the whole way of real ones, and come out as they were rendered."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from avbench.errors import InputError
from avbench.media import jpeg
from avbench.preparation import prepare_vggsound, read_vggsound_csv
from avbench.randomness import Randomness
from avbench.rendered.clips import Canvas, render_clip
from avbench.rendered.store import RenderedClips
from avbench.rendered.videos import CANVAS, write_videos
from avbench.rendered.world import WORLD, stream_classes
from avbench.store.reading import PUBLISHED_FORMAT, ClipStore

# Fewer pixels than real ones, for speed.
SMALL = Canvas(seconds=10.0, frames=80, pixels=64)
CLIPS = RenderedClips("small", stream_classes("small", [["bell, large"]]), training_clips=1, gallery_clips=1)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avbench.rendered.videos.CANVAS", SMALL)
        table = write_videos(CLIPS, folder, told.append)
    assert told == [entry.key for entry in CLIPS.entries()]
    return table


@pytest.fixture(scope="module")
def store(written, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / "store"
    summary = prepare_vggsound(written.parent / "video", read_vggsound_csv(written), out, workers=1)
    assert (summary.kept, summary.refused) == (2, {})
    return ClipStore(out)


def rendered(number):
    entry = CLIPS.entries()[number]
    return render_clip(CLIPS.designs[entry.label], Randomness(WORLD).numpy(entry.key), SMALL)


def test_files_are_as_large_as_real_ones():
    assert (CANVAS.seconds, CANVAS.frames) == (PUBLISHED_FORMAT.seconds, PUBLISHED_FORMAT.frames)
    assert CANVAS.pixels == PUBLISHED_FORMAT.short_side


def test_files_and_table_are_laid_out_as_vggsound(written):
    with open(written, newline="") as file:
        rows = list(csv.reader(file))
    assert [row[1:] for row in rows] == [["0", "bell, large", "train"], ["0", "bell, large", "test"]]
    names = {path.name for path in (written.parent / "video").iterdir()}
    assert names == {f"{row[0]}_000000.mp4" for row in rows}


def test_a_store_of_them_is_labelled_rendered(store):
    assert store.source == "rendered"
    assert store.format == PUBLISHED_FORMAT
    assert [entry.split for entry in store.entries] == ["train", "test"]
    assert {entry.label for entry in store.entries} == {"bell, large"}


@pytest.mark.parametrize("number", [0, 1])
def test_frames_come_out_as_they_were_rendered(store, number):
    stored = np.stack([jpeg.decode(data) for data in store.read_frames(number, range(80))])
    assert stored.shape == (80, 256, 256, 3)
    seen = stored.reshape(80, 64, 4, 64, 4, 3).mean(axis=(2, 4))
    wanted = rendered(number).frames.astype(float)
    difference = np.abs(seen - wanted).mean(axis=(1, 2, 3))
    assert difference.max() < 16
    # Each frame is at its own time: where the light goes on and off, its neighbour is unlike it.
    changes = np.flatnonzero(np.abs(np.diff(wanted.mean(axis=(1, 2, 3)))) > 2)
    assert len(changes)
    for change in changes:
        for frame, neighbour in ((change, change + 1), (change + 1, change)):
            assert np.abs(seen[frame] - wanted[frame]).mean() < np.abs(seen[frame] - wanted[neighbour]).mean()


@pytest.mark.parametrize("number", [0, 1])
def test_sound_comes_out_in_time(store, number):
    stored, wanted = store.read_waveform(number).numpy() / 32768, rendered(number).waveform
    assert len(stored) == len(wanted)
    size = 2 * len(wanted)
    together = np.fft.irfft(np.fft.rfft(stored, size) * np.conj(np.fft.rfft(wanted, size)))
    late = (int(together.argmax()) + size // 2) % size - size // 2
    assert abs(late) <= 16
    assert together.max() / (np.linalg.norm(stored) * np.linalg.norm(wanted)) > 0.8


def test_rendered_and_real_clips_do_not_mix(written, tmp_path):
    table = tmp_path / "mixed.csv"
    table.write_text(written.read_text() + 'AAAAAAAAAAA,1,"a",train\n')
    with pytest.raises(InputError, match="2 of 3 clips are rendered"):
        prepare_vggsound(written.parent / "video", read_vggsound_csv(table), tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_videos_is_not_written_over(written):
    with pytest.raises(InputError, match="exists already"):
        write_videos(CLIPS, written.parent, lambda key: None)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_videos(CLIPS, tmp_path / "file" / "videos", lambda key: None)
