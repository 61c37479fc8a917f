import csv
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from avbench.errors import DataError, InputError
from avbench.media import jpeg
from avbench.media.spectrogram import log_mel
from avbench.preparation import prepare_vggsound, read_vggsound_csv
from avbench.store.reading import PUBLISHED_FORMAT, ClipEntry, ClipStore


@pytest.fixture(scope="session")
def ten_seconds(make_video, tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("video") / "video.mp4", rate=4)


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "vggsound.csv"
        path.write_text(text)
        return path

    return write


def prepare(tmp_path, table, out="store", workers=1):
    return prepare_vggsound(tmp_path / "videos", read_vggsound_csv(table), tmp_path / out, workers=workers)


def test_the_official_csv_is_read(table):
    path = table('---g-f_I2yQ,1,people marching,test\n--0PQM4-hqg,30,"waterfall, burbling",train\n')
    assert read_vggsound_csv(path) == [
        ClipEntry("---g-f_I2yQ_000001", "people marching", "test"),
        ClipEntry("--0PQM4-hqg_000030", "waterfall, burbling", "train"),
    ]


def test_all_mistakes_in_the_csv_are_said_with_their_lines(table):
    path = table(
        "YouTube ID,start seconds,label,split\n"
        "AAAAAAAAAAA,1,dog barking,train\n"
        "AAAAAAAAAAA,001,dog barking,train\n"
        "BBBBBBBBBBB,2,dog barking\n"
        "../secret,2,dog barking,train\n"
        "CCCCCCCCCCC,-2,dog barking,train\n"
        "DDDDDDDDDDD,2,,train\n"
        "EEEEEEEEEEE,2,dog barking,valid\n"
    )
    with pytest.raises(InputError) as caught:
        read_vggsound_csv(path)
    said = str(caught.value)
    assert "line 1: 'YouTube ID' is no YouTube id" in said
    assert "line 2:" not in said
    assert "line 3: AAAAAAAAAAA_000001 is in line 2 already" in said
    assert "line 4: 3 columns" in said
    assert "line 5: '../secret'" in said
    assert "line 6: start second '-2'" in said
    assert "line 7: the label is empty" in said
    assert "line 8: 'valid' is neither train nor test" in said


@pytest.mark.parametrize("data", [b"", b'"AAAAAAAAAAA,1', b"\xff\xfe\x00"])
def test_what_is_no_csv_is_an_error(tmp_path, data):
    path = tmp_path / "vggsound.csv"
    path.write_bytes(data)
    with pytest.raises(InputError):
        read_vggsound_csv(path)
    with pytest.raises(InputError):
        read_vggsound_csv(tmp_path / "none.csv")


def test_clips_are_decoded_into_the_store(tmp_path, table, ten_seconds):
    (tmp_path / "videos").mkdir()
    shutil.copy(ten_seconds, tmp_path / "videos" / "AAAAAAAAAAA_000012.mp4")
    summary = prepare(tmp_path, table('AAAAAAAAAAA,12,"a, b",test\n'))
    assert (summary.kept, summary.refused) == (1, {})
    store = ClipStore(tmp_path / "store")
    assert store.source == "vggsound"
    assert store.format == PUBLISHED_FORMAT
    assert store.entries == [ClipEntry("AAAAAAAAAAA_000012", "a, b", "test")]
    assert store.provenance["jpeg"] == jpeg.LIBRARY
    frames = [jpeg.decode(data) for data in store.read_frames(0, [0, 1, 2, 79])]
    assert frames[0].shape == (256, 341, 3)
    assert [frame.mean() for frame in frames] == pytest.approx([16, 16, 21, 211], abs=2)
    waveform = store.read_waveform(0)
    assert waveform.shape == (160_000,)
    computed = log_mel(waveform / 32768, PUBLISHED_FORMAT)
    assert torch.equal(store.read_spectrogram(0), computed.half())


def test_every_row_is_in_the_store_or_in_the_report(tmp_path, table, ten_seconds, make_video):
    videos = tmp_path / "videos"
    videos.mkdir()
    whole = ten_seconds.read_bytes()
    shutil.copy(ten_seconds, videos / "GOOD0000000_000000.mp4")
    (videos / "CUT00000000_000000.mp4").write_bytes(whole[: len(whole) // 2])
    (videos / "EMPTY000000_000000.mp4").touch()
    make_video(videos / "NOSOUND0000_000000.mp4", rate=2, sound=None)
    make_video(videos / "NOVIDEO0000_000000.mp4", video=False)
    make_video(videos / "SILENT00000_000000.mp4", rate=2, amplitude=0.0)
    make_video(videos / "SHORT000000_000000.mp4", rate=2, seconds=6.0)
    reasons = {
        "CUT00000000": "undecodable",
        "MISSING0000": "missing file",
        "EMPTY000000": "undecodable",
        "NOSOUND0000": "no audio track",
        "NOVIDEO0000": "no video track",
        "SILENT00000": "silent",
        "SHORT000000": "too short",
    }
    names = [*list(reasons)[:3], "GOOD0000000", *list(reasons)[3:]]
    summary = prepare(tmp_path, table("".join(f"{name},0,a class,train\n" for name in names)))
    assert summary.kept == 1
    assert summary.refused["undecodable"] == 2
    with open(tmp_path / "store" / "report.csv", newline="") as file:
        report = list(csv.DictReader(file))
    assert [(row["clip"], row["reason"]) for row in report] == [
        (f"{name}_000000", reason) for name, reason in reasons.items()
    ]
    assert [entry.key for entry in ClipStore(tmp_path / "store").entries] == ["GOOD0000000_000000"]


def test_a_wrong_folder_of_videos_is_an_error(tmp_path, table, ten_seconds):
    path = table("AAAAAAAAAAA,12,a,test\n")
    with pytest.raises(InputError, match="is not a folder"):
        prepare(tmp_path, path)
    (tmp_path / "videos").mkdir()
    with pytest.raises(DataError, match=r"not one of 1 clips could be kept \(1 missing file\)"):
        prepare(tmp_path, path)
    shutil.copy(ten_seconds, tmp_path / "videos" / "AAAAAAAAAAA_000012.mp4")
    assert prepare(tmp_path, path).kept == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_preparation_that_is_killed_goes_on_and_becomes_the_same(tmp_path, table, ten_seconds, workers):
    (tmp_path / "videos").mkdir()
    names = [f"CLIP{number:07d}" for number in range(8 if workers == 1 else 68)]
    for name in names[:6] + names[64:]:
        os.link(ten_seconds, tmp_path / "videos" / f"{name}_000000.mp4")
    path = table("".join(f"{name},0,a class,train\n" for name in names))
    command = [sys.executable, "-c", "from avbench.cli.data import app; app()", "prepare", "vggsound"]
    command += ["--videos", str(tmp_path / "videos"), "--csv", str(path), "--out", str(tmp_path / "store")]
    command += ["--workers", str(workers)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    shards = tmp_path / "store" / "shards"
    deadline = time.monotonic() + 60
    while sum(len(file.read_bytes().splitlines()) for file in shards.glob("*.journal")) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "store" / "index.json").exists()
    prepare(tmp_path, path, "store")
    prepare(tmp_path, path, "whole")
    store, whole = ClipStore(tmp_path / "store"), ClipStore(tmp_path / "whole")
    assert store.fingerprint == whole.fingerprint
    assert (tmp_path / "store/report.csv").read_bytes() == (tmp_path / "whole/report.csv").read_bytes()
    for shard in store.shards:
        assert (shards / shard.name).read_bytes() == (tmp_path / "whole/shards" / shard.name).read_bytes()
    assert np.array_equal(store.read_waveform(0), whole.read_waveform(0))
