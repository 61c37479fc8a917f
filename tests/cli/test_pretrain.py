"""`avbench pretrain`: a start from a store, and mistakes said before any work."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from typer.testing import CliRunner

from avbench.backbone import BACKBONES, CAVMAE
from avbench.cli import app
from avbench.errors import DataError, InputError
from avbench.loading import geometry_of
from avbench.matching import AudioVideoMatching
from avbench.start import load_start


@pytest.fixture
def call():
    threads = torch.get_num_threads()
    yield lambda *arguments: CliRunner().invoke(app, ["pretrain", *map(str, arguments)])
    torch.set_num_threads(threads)


@pytest.fixture
def store(make_store, tmp_path):
    return make_store(tmp_path / "store", 4)


@pytest.fixture
def small(store):
    """Options of a run of a second."""
    return (
        "--data", store.path, "--steps", 2, "--matching-steps", 1, "--batch-size", 2, "--device", "cpu",
    )  # fmt: skip


def test_a_start_is_made_that_a_run_can_begin_from(call, small, store, tmp_path):
    out = tmp_path / "new" / "tiny.safetensors"
    result = call("--out", out, *small)
    assert result.exit_code == 0, result.output
    with safe_open(out, "pt") as file:
        header = file.metadata()
    assert header["backbone"] == "tiny"
    assert header["from"] == "random"
    assert store.fingerprint in header["lessons"]
    assert "2 steps, 0.8 masked, on noise clips" in header["lessons"]
    assert "torch" in header["versions"]
    assert "batch_size=2" in header["settings"]
    assert f"start {header['fingerprint']}" in result.output

    size = BACKBONES["tiny"]
    backbone = CAVMAE(size, geometry_of(store.format, frames=4, frame_size=32))
    start = load_start(str(out), "tiny", backbone, AudioVideoMatching(size.width, size.heads))
    assert start.report.complete
    assert start.fingerprint == header["fingerprint"]


def test_the_same_command_makes_the_same_file(call, small, tmp_path):
    first, second, other = (tmp_path / f"{name}.safetensors" for name in ("first", "second", "other"))
    for out, seed in ((first, 3), (second, 3), (other, 4)):
        assert call("--out", out, "--seed", seed, *small).exit_code == 0
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_training_goes_on_from_a_checkpoint(call, small, tmp_path):
    begun, out = tmp_path / "begun.safetensors", tmp_path / "out.safetensors"
    assert call("--out", begun, *small).exit_code == 0
    result = call("--out", out, "--from", begun, *small)
    assert result.exit_code == 0, result.output
    assert "parameters matched, 0 adapted" in result.output
    with safe_open(out, "pt") as file:
        assert file.metadata()["from"] == str(begun)


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("--out", "start.pt"), "ends in .safetensors"),
        (("--data", "somewhere"), "--data and --steps go together"),
        (("--steps", "5"), "--data and --steps go together"),
        (("--backbone", "tinny"), "did you mean tiny"),
        (("--device", "abacus"), "'abacus' is no device"),
        (("--data", "nowhere", "--steps", "1"), "nowhere holds no finished clip store"),
    ],
)
def test_mistakes_are_said_before_anything_is_rendered(call, monkeypatch, tmp_path, arguments, meant):
    def refuse(*arguments):
        raise AssertionError("rendering began")

    monkeypatch.setattr("avbench.rendered.cache.open_rendered", refuse)
    monkeypatch.chdir(tmp_path)
    result = call("--out", "start.safetensors", *arguments)
    assert isinstance(result.exception, InputError), result.output
    assert meant in str(result.exception)


def test_a_place_that_cannot_be_written_to_is_said_before_training(call, small, tmp_path):
    (tmp_path / "file").write_text("")
    result = call("--out", tmp_path / "file" / "start.safetensors", *small)
    assert isinstance(result.exception, InputError)
    assert "cannot write there" in str(result.exception)


def test_a_checkpoint_that_does_not_fit_is_an_error(call, small, tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    result = call("--out", tmp_path / "out.safetensors", "--from", tmp_path / "other.pth", *small)
    assert isinstance(result.exception, DataError)
    assert "nothing in" in str(result.exception)
