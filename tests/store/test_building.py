import csv
import json

import pytest

from avbench.errors import DataError, InputError, RunError
from avbench.store.building import ClipDone, ClipRefusedError, build_store
from avbench.store.reading import ClipEntry, ClipStore
from avbench.store.verification import verify_store

ENTRIES = [ClipEntry(f"clip{number:02d}", f"class {number % 3}", "train") for number in range(14)]
REFUSED = {"clip03": "silent", "clip08": "missing file"}
KEPT = [entry for entry in ENTRIES if entry.key not in REFUSED]


@pytest.fixture
def build(store_format, encoded_clip, tmp_path):
    """Build the store of ENTRIES in folder `name`, stopping before the clip called `stop`."""

    def make_clip(entry):
        if entry.key in REFUSED:
            raise ClipRefusedError(REFUSED[entry.key], "as planned")
        return encoded_clip(entry.key)

    def run(name, stop=None, entries=ENTRIES, make=make_clip, told=None, **options):
        def maker(entry):
            if entry.key == stop:
                raise KeyboardInterrupt
            return make(entry)

        plan = {"format": store_format, "source": "noise", "provenance": {}, "clips_per_shard": 5} | options
        observe = None if told is None else told.append
        return build_store(tmp_path / name, entries, maker, observe=observe, **plan)

    return run


def content(folder):
    """Everything in a store, byte by byte."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != ".lock"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(files)}


def test_a_store_holds_the_clips_that_could_be_made_in_order(build, tmp_path):
    told = []
    summary = build("store", told=told)
    assert (summary.kept, summary.refused) == (12, {"silent": 1, "missing file": 1})
    assert told == [ClipDone(entry.key, REFUSED.get(entry.key), earlier=False) for entry in ENTRIES]
    store = ClipStore(tmp_path / "store")
    assert store.entries == KEPT
    assert [shard.first_clip for shard in store.shards] == [0, 4, 8]
    for number in range(len(store)):
        assert len(store.read_frames(number, range(4))) == 4
    assert verify_store(tmp_path / "store", lambda key, damaged: None) == []


def test_the_report_lists_every_clip_that_is_not_there(build, tmp_path):
    build("store")
    with open(tmp_path / "store" / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["clip"], row["label"], row["split"], row["reason"]) for row in rows] == [
        ("clip03", "class 0", "train", "silent"),
        ("clip08", "class 2", "train", "missing file"),
    ]


@pytest.mark.parametrize("stop", ["clip00", "clip02", "clip04", "clip05", "clip09", "clip13"])
def test_an_interrupted_store_goes_on_and_becomes_the_same(build, tmp_path, stop):
    build("whole")
    with pytest.raises(KeyboardInterrupt):
        build("store", stop=stop)
    told = []
    build("store", told=told)
    assert content(tmp_path / "store") == content(tmp_path / "whole")
    assert [done.key for done in told if done.earlier] == [e.key for e in ENTRIES if e.key < stop]
    assert [done.key for done in told] == [entry.key for entry in ENTRIES]


def test_whatever_was_written_of_the_last_clips_the_store_becomes_the_same(build, tmp_path):
    """Power may go between any two bytes, and the two files of a shard need not be of one moment."""
    build("whole")
    whole = content(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        build("left", stop="clip08")
    left = tmp_path / "left" / "shards"
    tar = (left / "clips-000001.tar.partial").read_bytes()
    journal = (left / "clips-000001.tar.journal").read_bytes()
    assert len(journal.splitlines()) == 3
    cuts = [(len(tar) * part // 7, len(journal)) for part in range(8)]
    cuts += [(len(tar), len(journal) * part // 7) for part in range(8)]
    cuts += [
        (len(tar) - 1, len(journal)),
        (len(tar), len(journal) - 1),
        (0, 0),
        (len(tar) // 2, len(journal) // 2),
    ]
    for place, (tar_end, journal_end) in enumerate(cuts):
        store = tmp_path / f"store{place}"
        with pytest.raises(KeyboardInterrupt):
            build(store.name, stop="clip08")
        (store / "shards" / "clips-000001.tar.partial").write_bytes(tar[:tar_end])
        (store / "shards" / "clips-000001.tar.journal").write_bytes(journal[:journal_end])
        build(store.name)
        assert content(store) == whole, (tar_end, journal_end)


def test_bytes_that_changed_meanwhile_are_made_anew(build, tmp_path):
    build("whole")
    with pytest.raises(KeyboardInterrupt):
        build("store", stop="clip08")
    partial = tmp_path / "store" / "shards" / "clips-000001.tar.partial"
    data = bytearray(partial.read_bytes())
    data[600] ^= 1
    partial.write_bytes(data)
    build("store")
    assert content(tmp_path / "store") == content(tmp_path / "whole")


@pytest.mark.parametrize("last", ["report.csv", "clips.json", "members.bin", "index.json"])
def test_a_store_interrupted_at_its_very_end_becomes_the_same(build, tmp_path, last, monkeypatch):
    """The index is written file by file; the process ends before one of them is renamed."""
    build("whole")
    from avbench.store import index as store_index

    replace = store_index.os.replace

    def stop_at(source, target):
        if str(target).endswith(last):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(store_index.os, "replace", stop_at)
    with pytest.raises(KeyboardInterrupt):
        build("store")
    monkeypatch.undo()
    with pytest.raises(InputError):
        ClipStore(tmp_path / "store")
    build("store")
    assert content(tmp_path / "store") == content(tmp_path / "whole")


def test_a_finished_store_is_left_as_it_is(build, tmp_path):
    build("store")
    before = content(tmp_path / "store")
    # What a process leaves that is killed after the index and before it has tidied up.
    (tmp_path / "store" / "shards" / "clips-000000.tar.journal").write_bytes(b"left over")
    summary = build("store", stop="clip00", provenance={"version": "of another library"})
    assert (summary.kept, summary.refused) == (12, {"silent": 1, "missing file": 1})
    assert content(tmp_path / "store") == before


def test_other_clips_in_the_same_folder_are_refused(build):
    with pytest.raises(KeyboardInterrupt):
        build("store", stop="clip08")
    with pytest.raises(InputError, match="clips_digest was"):
        build("store", entries=ENTRIES[:-1])
    build("store")
    with pytest.raises(InputError, match="clips_digest was"):
        build("store", entries=ENTRIES[:-1])


def test_a_store_in_which_every_clip_fails_is_a_failure_and_starts_anew(build, tmp_path):
    def fail(entry):
        raise ClipRefusedError("missing file", "no such file")

    with pytest.raises(DataError, match=r"not one of 14 clips could be kept \(14 missing file\)"):
        build("store", make=fail)
    assert len((tmp_path / "store" / "report.csv").read_text().splitlines()) == 15
    assert build("store").kept == 12


def test_keys_are_distinct_and_there_are_clips(build):
    with pytest.raises(InputError, match="two clips are called clip00"):
        build("store", entries=[ENTRIES[0], ENTRIES[0]])
    with pytest.raises(InputError, match="no clips"):
        build("store", entries=[])


MAKERS = """
import os, signal
from pathlib import Path
import numpy as np
from avbench.media import jpeg
from avbench.store.shard_writer import EncodedClip
from avbench.store.building import ClipRefusedError

def plain(entry):
    number = int(entry.key[4:])
    if number == 3:
        raise ClipRefusedError("silent", "as planned")
    frames = np.full((4, 32, 32, 3), number, dtype=np.uint8)
    return EncodedClip(
        [jpeg.encode(frame) for frame in frames],
        np.full(5120, number, dtype=np.int16),
        np.full((32, 128), number, dtype=np.float16),
    )

def crashing(entry):
    if entry.key == "clip06":
        os.kill(os.getpid(), signal.SIGSEGV)
    return plain(entry)

def killed_once(entry):
    flag = Path(__file__).with_name("killed")
    if entry.key == "clip06" and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(entry)

def broken(entry):
    raise ZeroDivisionError("a bug")
"""


@pytest.fixture
def makers(tmp_path, monkeypatch):
    """A module that other processes can import too."""
    (tmp_path / "makers_for_test.py").write_text(MAKERS)
    monkeypatch.syspath_prepend(tmp_path)
    import makers_for_test

    return makers_for_test


@pytest.fixture
def build_in_processes(store_format, tmp_path):
    def run(name, make, workers=2):
        return build_store(
            tmp_path / name,
            ENTRIES,
            make,
            format=store_format,
            source="noise",
            provenance={},
            workers=workers,
            clips_per_shard=5,
        )

    return run


def test_the_store_does_not_depend_on_the_number_of_processes(build_in_processes, makers, tmp_path):
    assert build_in_processes("one", makers.plain, workers=1).kept == 13
    assert build_in_processes("two", makers.plain, workers=2).kept == 13
    assert content(tmp_path / "two") == content(tmp_path / "one")


def test_a_clip_that_crashes_its_decoder_is_refused(build_in_processes, makers, tmp_path):
    summary = build_in_processes("store", makers.crashing)
    assert (summary.kept, summary.refused) == (12, {"silent": 1, "undecodable": 1})
    assert (
        "clip06,class 0,train,undecodable,the decoder crashed" in (tmp_path / "store/report.csv").read_text()
    )


def test_a_killed_process_ends_the_preparation_which_goes_on_later(build_in_processes, makers, tmp_path):
    build_in_processes("whole", makers.plain, workers=1)
    with pytest.raises(RunError, match="exit code -9"):
        build_in_processes("store", makers.killed_once)
    build_in_processes("store", makers.killed_once)
    assert content(tmp_path / "store") == content(tmp_path / "whole")


def test_an_error_in_a_process_is_an_error_here(build_in_processes, makers):
    with pytest.raises(ZeroDivisionError, match="a bug") as caught:
        build_in_processes("store", makers.broken)
    assert "makers_for_test.py" in "".join(caught.value.__notes__)


def test_the_index_says_what_was_refused(build, tmp_path):
    build("store")
    header = json.loads((tmp_path / "store" / "index.json").read_text())
    assert header["refused"] == {"silent": 1, "missing file": 1}
    assert header["clips"] == 12
