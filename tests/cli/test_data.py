import pytest
from typer.testing import CliRunner

from avbench.cli.data import app
from avbench.errors import DataError, InputError
from avbench.registry import Catalogue, Plugin
from avbench.rendered.clips import Canvas
from avbench.scenario import Scenario, Task
from avbench.store.reading import ClipStore


@pytest.fixture
def run():
    def call(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return call


@pytest.fixture
def prepare(run, make_video, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    make_video(videos / "AAAAAAAAAAA_000001.mp4", rate=2)
    table = tmp_path / "vggsound.csv"
    table.write_text('AAAAAAAAAAA,1,"a, b",train\nBBBBBBBBBBB,1,"a, b",test\n')
    out = tmp_path / "store"
    return lambda: run(
        "prepare", "vggsound", "--videos", videos, "--csv", table, "--out", out, "--workers", 1
    )


def test_preparing_says_what_was_kept_and_what_not(prepare, tmp_path):
    result = prepare()
    assert result.exit_code == 0, result.output
    assert "1 clips of 2" in result.output
    assert "1 missing file" in result.output
    assert "report.csv" in result.output
    assert len(ClipStore(tmp_path / "store")) == 1
    again = prepare()
    assert again.exit_code == 0
    assert "1 clips of 2" in again.output


def test_verifying_says_what_is_damaged(run, prepare, tmp_path):
    prepare()
    result = run("verify", tmp_path / "store")
    assert result.exit_code == 0
    assert "all 1 clips are as they were written" in result.output
    shard = tmp_path / "store" / "shards" / "clips-000000.tar"
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    result = run("verify", tmp_path / "store")
    assert "clip AAAAAAAAAAA_000001: AAAAAAAAAAA_000001.000.jpg is not what was written" in result.output
    assert isinstance(result.exception, DataError)
    assert "1 of 1 clips" in str(result.exception)


def test_what_is_no_store_is_said(run, tmp_path):
    assert isinstance(run("verify", tmp_path).exception, InputError)


@pytest.mark.parametrize("arguments", [["--help"], ["prepare", "--help"], ["prepare", "vggsound", "--help"]])
def test_help_explains(run, arguments):
    result = run(*arguments)
    assert result.exit_code == 0
    assert "clip store" in result.output


class SmallStream(Scenario):
    """Two tasks of one class each."""

    paper = "none"

    def tasks(self):
        return (Task("first", ("bell",)), Task("second", ("drum, large",)))


@pytest.fixture
def small_stream(monkeypatch):
    """The one scenario there is, called small-stream."""
    found = Catalogue("scenario", {"small-stream": Plugin("small-stream", "this file", SmallStream)})
    monkeypatch.setattr("avbench.registry.catalogue", lambda kind: found)
    return "--scenario", "small-stream", "--training-clips", 2, "--gallery-clips", 1, "--workers", 1


def test_rendering_makes_a_store(run, small_stream, tmp_path):
    result = run("render", "--out", tmp_path / "store", *small_stream)
    assert result.exit_code == 0, result.output
    assert "6 rendered clips of 2 classes" in result.output
    store = ClipStore(tmp_path / "store")
    assert store.source == "rendered"
    assert [entry.label for entry in store.entries] == ["bell"] * 3 + ["drum, large"] * 3
    again = run("render", "--out", tmp_path / "store", *small_stream)
    assert again.exit_code == 0


def test_clips_are_rendered_into_the_cache_by_default(run, small_stream, monkeypatch, tmp_path):
    monkeypatch.setenv("AVBENCH_CACHE", str(tmp_path / "cache"))
    result = run("render", *small_stream)
    assert result.exit_code == 0, result.output
    (made,) = (tmp_path / "cache").iterdir()
    assert str(made) in result.output
    assert len(ClipStore(made)) == 6


def test_rendered_videos_can_be_prepared_as_the_output_says(run, small_stream, monkeypatch, tmp_path):
    # Fewer pixels than real ones, for speed.
    monkeypatch.setattr("avbench.rendered.videos.CANVAS", Canvas(seconds=10.0, frames=80, pixels=32))
    result = run("render", "--as-mp4", "--out", tmp_path / "made", *small_stream, "--training-clips", 1)
    assert result.exit_code == 0, result.output
    (command,) = [line for line in result.output.splitlines() if line.startswith("avbench data prepare")]
    arguments = command.replace("STORE", str(tmp_path / "store")).split()[2:]
    result = run(*arguments, "--workers", 1)
    assert result.exit_code == 0, result.output
    assert ClipStore(tmp_path / "store").source == "rendered"
    assert len(ClipStore(tmp_path / "store")) == 4


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("--scenario", "vggsound-strem"), "did you mean vggsound-stream?"),
        (("--as-mp4",), "--as-mp4 needs --out"),
    ],
)
def test_rendering_says_what_is_wrong(run, arguments, meant):
    result = run("render", *arguments)
    assert isinstance(result.exception, InputError)
    assert meant in str(result.exception)


def test_no_clips_at_all_is_a_usage_error(run):
    assert run("render", "--training-clips", 0).exit_code == 2
