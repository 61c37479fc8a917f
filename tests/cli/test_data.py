import pytest
from typer.testing import CliRunner

from avbench.cli.data import app
from avbench.errors import DataError, InputError
from avbench.store import ClipStore


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
