import io
import json
import pickle
import tarfile
import wave

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from avbench.errors import DataError, InputError
from avbench.media import jpeg
from avbench.store.reading import ClipEntry, ClipStore
from avbench.store.writer import StoreWriter


@pytest.fixture
def store(make_store, tmp_path):
    return make_store(tmp_path / "store", 5)


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_a_store_gives_back_what_was_written(store, store_format, encoded_clip):
    assert store.format == store_format
    assert store.source == "noise"
    assert store.provenance == {"seed": 0}
    assert store.entries[3] == ClipEntry("clip3", "class 1", "train")
    assert store.number("clip3") == 3
    for number, entry in enumerate(store.entries):
        written = encoded_clip(entry.key)
        assert store.read_frames(number, [2, 0]) == [written.jpegs[2], written.jpegs[0]]
        assert torch.equal(store.read_waveform(number), torch.from_numpy(written.waveform))
        assert torch.equal(store.read_spectrogram(number), torch.from_numpy(written.spectrogram))


def test_a_tar_reader_streams_the_shards_as_samples(store, encoded_clip):
    """A WebDataset sample is a run of members with the same name up to the first dot."""
    runs = []
    with tarfile.open(store.shard_path(0), "r|") as tar:
        for member in tar:
            key, _, extension = member.name.partition(".")
            data = tar.extractfile(member).read()
            if not runs or runs[-1][0] != key:
                runs.append((key, {}))
            runs[-1][1][extension] = data
    assert [key for key, _ in runs] == [entry.key for entry in store.entries]
    members = runs[1][1]
    assert list(members) == ["000.jpg", "001.jpg", "002.jpg", "003.jpg", "wav", "mel.npy", "json"]
    written = encoded_clip("clip1")
    assert members["001.jpg"] == written.jpegs[1]
    assert np.array_equal(np.load(io.BytesIO(members["mel.npy"])), written.spectrogram)
    with wave.open(io.BytesIO(members["wav"])) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 16_000)
        assert sound.readframes(sound.getnframes()) == written.waveform.tobytes()
    assert json.loads(members["json"]) == {"key": "clip1", "label": "class 1", "split": "train"}


def test_a_frame_survives_jpeg():
    frame = np.tile(np.linspace(0, 255, 64, dtype=np.uint8)[:, None, None], (1, 48, 3))
    decoded = jpeg.decode(jpeg.encode(frame))
    assert decoded.shape == (64, 48, 3)
    assert np.abs(decoded.astype(int) - frame).max() <= 4
    with pytest.raises(DataError):
        jpeg.decode(b"no picture")


def test_a_flipped_bit_is_an_error_that_names_the_clip(store):
    offsets, lengths, _ = store.member_rows(2, range(store.format.members))
    path = store.shard_path(2)
    flip(path, offsets[1] + lengths[1] // 2)
    assert store.read_frames(2, [0, 2, 3])
    with pytest.raises(DataError, match=r"clip clip2 is damaged: clip2\.001\.jpg"):
        store.read_frames(2, [0, 1])
    flip(path, offsets[-2] + 300)
    with pytest.raises(DataError, match=r"clip2\.mel\.npy"):
        store.read_spectrogram(2)
    assert store.read_frames(3, [0, 1, 2, 3])


@pytest.mark.parametrize("file", ["index.json", "clips.json", "members.bin"])
def test_a_damaged_index_is_found_when_the_store_is_opened(store, file):
    flip(store.path / file, 30)
    with pytest.raises(DataError, match=file):
        ClipStore(store.path)


def test_a_missing_or_short_shard_is_found_when_the_store_is_opened(store):
    path = store.shard_path(0)
    data = path.read_bytes()
    path.write_bytes(data[:-512])
    with pytest.raises(DataError, match="bytes instead of"):
        ClipStore(store.path)
    path.unlink()
    with pytest.raises(DataError, match="is missing"):
        ClipStore(store.path)


def test_what_is_no_store_is_said(tmp_path, store):
    with pytest.raises(InputError, match="no finished clip store"):
        ClipStore(tmp_path)
    with pytest.raises(InputError, match="no clip clip9"):
        store.number("clip9")


def test_the_fingerprint_is_of_the_clips(make_store, tmp_path, store):
    assert make_store(tmp_path / "same", 5).fingerprint == store.fingerprint
    assert make_store(tmp_path / "fewer", 4).fingerprint != store.fingerprint
    assert make_store(tmp_path / "other labels", 5, classes=3).fingerprint != store.fingerprint


class Frames:
    """A data set of first frames, to be read by several processes."""

    def __init__(self, store):
        self.store = store

    def __len__(self):
        return len(self.store)

    def __getitem__(self, number):
        return self.store.read_frames(number, [0])[0]


def test_a_store_is_pickled_and_read_by_several_processes(store):
    first = store.read_frames(0, [0])  # its files are open when it is copied
    again = pickle.loads(pickle.dumps(store))
    assert again.read_frames(0, [0]) == first
    assert again.entries == store.entries
    loader = DataLoader(Frames(store), batch_size=None, num_workers=2)
    assert list(loader) == [store.read_frames(number, [0])[0] for number in range(5)]


def test_a_store_that_was_replaced_is_not_taken_for_the_old_one(store, make_store):
    pickled = pickle.dumps(store)
    for file in [*(store.path / "shards").iterdir(), store.path / "index.json"]:
        file.unlink()
    make_store(store.path, 4)
    with pytest.raises(DataError, match="replaced"):
        pickle.loads(pickled)


def test_real_clips_are_named_by_their_bytes_and_rendered_ones_by_their_recipe(
    tmp_path, store_format, encoded_clip
) -> None:
    def store(name: str, clip: str, provenance: dict[str, object]) -> ClipStore:
        with StoreWriter(tmp_path / name, store_format, "noise", provenance) as writer:
            made = encoded_clip(clip)
            writer.add(ClipEntry("a", "class", "train"), made.jpegs, made.waveform, made.spectrogram)
            writer.finish()
        return ClipStore(tmp_path / name)

    real, other = store("real", "one", {}), store("other", "two", {})
    assert real.clips_name == real.fingerprint != other.clips_name
    rendered = {"world": 1, "classes": "stream", "jpeg": "pillow"}
    here, there = store("here", "one", rendered), store("there", "two", {**rendered, "jpeg": "simplejpeg"})
    assert here.fingerprint != there.fingerprint
    assert here.clips_name == there.clips_name != here.fingerprint
    assert store("new", "one", {**rendered, "world": 2}).clips_name != here.clips_name
