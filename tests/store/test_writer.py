import errno
import resource
import subprocess
import sys

import numpy as np
import pytest

from avbench.errors import DataError, InputError, RunError
from avbench.store.reading import ClipEntry, ClipFormat, ClipStore
from avbench.store.shard_writer import EncodedClip
from avbench.store.writer import StoreWriter

ENTRIES = [ClipEntry(f"clip{number}", "a class", "test") for number in range(6)]


@pytest.fixture
def writer(store_format, tmp_path):
    def make(format=store_format, provenance=None):
        return StoreWriter(tmp_path / "store", format, "noise", provenance or {"seed": 0})

    return make


@pytest.fixture
def add(encoded_clip):
    def make(writer, entry):
        clip = encoded_clip(entry.key)
        writer.add(entry, clip.jpegs, clip.waveform, clip.spectrogram)

    return make


def test_a_store_that_was_left_goes_on_with_what_is_missing(writer, add, make_store, tmp_path):
    with writer() as first:
        for entry in ENTRIES[:4]:
            add(first, entry)
    with pytest.raises(InputError, match="not finished"):
        ClipStore(tmp_path / "store")
    with writer() as second:
        missing = [entry for entry in ENTRIES if entry.key not in second]
        assert missing == ENTRIES[4:]
        for entry in missing:
            add(second, entry)
        assert second.finish().kept == 6
    assert ClipStore(tmp_path / "store").entries == ENTRIES
    assert not (tmp_path / "store" / "preparation.json").exists()


def test_only_one_writer_holds_a_folder(writer, store_format, tmp_path):
    with writer():
        program = (
            "import sys; from avbench.store.reading import ClipFormat\n"
            "from avbench.store.writer import StoreWriter\n"
            "try: StoreWriter(sys.argv[1], ClipFormat(0.32, 4, 32, 32), 'noise', {'seed': 0})\n"
            "except Exception as error: print(type(error).__name__, error)"
        )
        command = [sys.executable, "-c", program, str(tmp_path / "store")]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert said.startswith("InputError")
        assert "is being prepared by process" in said
    with writer():
        pass  # what a process held is free when it is gone


def test_another_plan_is_refused(writer, add):
    with writer() as first:
        add(first, ENTRIES[0])
    with pytest.raises(InputError, match="provenance was"):
        writer(provenance={"seed": 1})
    with pytest.raises(InputError, match="format was"):
        writer(format=ClipFormat(seconds=0.32, frames=5, short_side=32, mel_frames=32))


def test_a_finished_store_is_not_written_to(writer, add):
    with writer() as first:
        add(first, ENTRIES[0])
        first.finish()
    with pytest.raises(InputError, match="finished store already"):
        writer()


def test_a_folder_with_other_shards_is_refused(writer, tmp_path):
    (tmp_path / "store" / "shards").mkdir(parents=True)
    (tmp_path / "store" / "shards" / "clips-000000.tar").touch()
    with pytest.raises(InputError, match="holds shards but no"):
        writer()


def test_a_store_of_no_clips_is_a_failure(writer):
    with writer() as empty, pytest.raises(DataError, match="not one of 0 clips"):
        empty.finish()


def test_what_is_no_clip_of_the_store_is_refused(writer, encoded_clip):
    clip = encoded_clip("clip0")
    entry = ENTRIES[0]
    with writer() as store:
        with pytest.raises(ValueError, match="3 frames"):
            store.add(entry, clip.jpegs[:3], clip.waveform, clip.spectrogram)
        with pytest.raises(ValueError, match="waveform"):
            store.add(entry, clip.jpegs, clip.waveform.astype(np.int32), clip.spectrogram)
        with pytest.raises(ValueError, match="spectrogram"):
            store.add(entry, clip.jpegs, clip.waveform, clip.spectrogram[1:])
        with pytest.raises(ValueError, match="not finite"):
            store.add(entry, clip.jpegs, clip.waveform, clip.spectrogram * np.float16(np.nan))
        for key in ("a.b", "a/b", "", "a b"):
            with pytest.raises(InputError, match="cannot name a clip"):
                store.add(ClipEntry(key, "x", "test"), clip.jpegs, clip.waveform, clip.spectrogram)
        store.add(entry, clip.jpegs, clip.waveform, clip.spectrogram)
        with pytest.raises(InputError, match="already"):
            store.add(entry, clip.jpegs, clip.waveform, clip.spectrogram)


def test_a_full_disk_is_an_error_and_loses_nothing_that_was_written(writer, add, tmp_path):
    """The limit on a file's size fails a write half-way, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with writer() as first:
        add(first, ENTRIES[0])
        size = (tmp_path / "store" / "shards" / "clips-000000.tar.partial").stat().st_size
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(1.5 * size), hard))
            with pytest.raises(RunError, match="make room, then run the same again"):
                add(first, ENTRIES[1])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with writer() as second:
        assert [entry.key in second for entry in ENTRIES[:2]] == [True, False]
        add(second, ENTRIES[1])
        second.finish()
    store = ClipStore(tmp_path / "store")
    assert [store.read_waveform(clip).shape for clip in range(2)] == [(store.format.samples,)] * 2


class FullDisk:
    def write(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self):
        pass


def test_a_full_disk_is_called_so(writer, encoded_clip):
    with writer() as store:
        store._shard._tar.close()
        store._shard._tar = FullDisk()
        clip: EncodedClip = encoded_clip("clip0")
        with pytest.raises(RunError, match="the disk is full"):
            store.add(ENTRIES[0], clip.jpegs, clip.waveform, clip.spectrogram)
