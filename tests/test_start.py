"""Starts: written and read back to the bit, and told apart by their fingerprint."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from avbench.backbone import BACKBONES, CAVMAE
from avbench.errors import DataError, InputError
from avbench.loading import geometry_of
from avbench.matching import AudioVideoMatching
from avbench.rendered.store import RENDERED_FORMAT
from avbench.start import fingerprint, load_start, save_start, shipped_start
from avbench.streaming import FRAMES, default_frame_size

TINY = BACKBONES["tiny"]


@pytest.fixture
def modules(geometry):
    """`modules(seed)` makes a backbone and a matching module with weights of their own."""

    def make(seed=0, geometry=geometry):
        backbone, matching = CAVMAE(TINY, geometry), AudioVideoMatching(TINY.width, TINY.heads)
        backbone.initialise(torch.Generator().manual_seed(seed))
        matching.initialise(torch.Generator().manual_seed(seed + 100))
        return backbone, matching

    return make


def values(modules):
    return {
        f"{place}.{name}": value
        for place, each in enumerate(modules)
        for name, value in each.state_dict().items()
    }


def same(first, second):
    first, second = values(first), values(second)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_start_is_read_back_as_it_was_written(modules, tmp_path):
    made, other = modules(1), modules(2)
    path = tmp_path / "new" / "start.safetensors"
    written = save_start(path, *made, {"seed": "1"})
    assert not same(made, other)
    start = load_start(str(path), "tiny", *other)
    assert same(made, other)
    assert start.fingerprint == written
    assert start.report.complete
    assert [file.name for file in path.parent.iterdir()] == ["start.safetensors"]


def test_the_header_tells_how_it_was_made(modules, tmp_path):
    path = tmp_path / "start.safetensors"
    written = save_start(path, *modules(), {"lessons": "two"})
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"lessons": "two", "fingerprint": written}
        # Under the published names, so that any reader of published checkpoints reads it.
        assert {name.split(".")[0] for name in file.keys()} == {"backbone", "avmatching"}  # noqa: SIM118


def test_the_same_start_is_the_same_file(modules, tmp_path):
    header = {str(number): "é" * number for number in range(12)}
    for name in ("first", "second"):
        save_start(tmp_path / f"{name}.safetensors", *modules(), header)
    first = (tmp_path / "first.safetensors").read_bytes()
    assert first == (tmp_path / "second.safetensors").read_bytes()
    assert int.from_bytes(first[:8], "little") % 8 == 0


def test_a_start_that_cannot_be_written_is_an_error(modules, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="could not be written"):
        save_start(tmp_path / "file" / "start.safetensors", *modules(), {})


def test_random_leaves_both_modules_as_they_are(modules):
    made = modules(1)
    start = load_start("random", "tiny", *made)
    assert same(made, modules(1))
    assert start.report is None
    assert start.fingerprint == load_start("random", "tiny", *modules(1)).fingerprint
    assert start.fingerprint != load_start("random", "tiny", *modules(2)).fingerprint


def test_the_fingerprint_tells_names_shapes_types_and_every_value():
    plain = {"a": torch.zeros(2, 3), "b": torch.ones(4)}
    changed = [
        {"a": torch.zeros(3, 2), "b": torch.ones(4)},
        {"a": torch.zeros(2, 3, dtype=torch.float64), "b": torch.ones(4)},
        {"a": torch.zeros(2, 3), "c": torch.ones(4)},
        {"a": torch.zeros(2, 3), "b": torch.tensor([1, 1, 1, 1 + 1e-7])},
        {"a": torch.zeros(2, 3)},
    ]
    assert len({fingerprint(each) for each in (plain, *changed)}) == 6
    assert fingerprint(dict(reversed(plain.items()))) == fingerprint(plain)
    assert fingerprint({**plain, "a": torch.zeros(3, 2).T}) == fingerprint(plain)


@pytest.mark.parametrize("module", [0, 1])
def test_one_changed_value_changes_the_fingerprint(modules, module):
    made = modules()
    before = load_start("random", "tiny", *made).fingerprint
    with torch.no_grad():
        next(made[module].parameters()).flatten()[0] += 1e-3
    assert load_start("random", "tiny", *made).fingerprint != before


def test_a_start_that_is_not_shipped_says_what_to_do():
    with pytest.raises(InputError) as caught:
        shipped_start("base")
    for part in ("base", "--start FILE", "avbench pretrain --backbone base", "--start random"):
        assert part in str(caught.value)


def test_a_shipped_start_for_clips_of_another_geometry_is_refused(modules, geometry, tmp_path, monkeypatch):
    save_start(tmp_path / "starts" / "tiny.safetensors", *modules(), {})
    monkeypatch.setattr("avbench.start.files", lambda package: tmp_path)
    load_start("shipped", "tiny", *modules(1))
    longer = modules(geometry=replace(geometry, mel_frames=256))
    with pytest.raises(InputError, match="for rendered clips"):
        load_start("shipped", "tiny", *longer)


def test_a_missing_checkpoint_is_an_error(modules, tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        load_start(str(tmp_path / "gone.safetensors"), "tiny", *modules())


def test_the_shipped_start_fits_rendered_clips():
    geometry = geometry_of(RENDERED_FORMAT, frames=FRAMES, frame_size=default_frame_size(RENDERED_FORMAT))
    backbone, matching = CAVMAE(TINY, geometry), AudioVideoMatching(TINY.width, TINY.heads)
    start = load_start("shipped", "tiny", backbone, matching)
    assert start.report.complete
    assert not start.report.unexpected
    with safe_open(shipped_start("tiny"), "pt") as file:
        assert file.metadata()["fingerprint"] == start.fingerprint
