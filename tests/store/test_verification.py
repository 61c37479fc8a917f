import pytest

from avbench.errors import DataError, InputError
from avbench.store.verification import verify_store


@pytest.fixture
def store(make_store, tmp_path):
    return make_store(tmp_path / "store", 5)


def verify(store):
    told = []
    damage = verify_store(store.path, lambda key, damaged: told.append((key, damaged)))
    assert [key for key, _ in told] == [entry.key for entry in store.entries]
    assert {key for key, damaged in told if damaged} == {item.clip for item in damage if item.clip}
    return [(item.clip, item.what) for item in damage]


def flip(path, *positions):
    data = bytearray(path.read_bytes())
    for position in positions:
        data[position] ^= 1
    path.write_bytes(data)


def test_a_whole_store_has_no_damage(store):
    assert verify(store) == []


def test_every_damaged_member_is_found(store):
    frames, _, _ = store.member_rows(1, [0, 3])
    description, _, _ = store.member_rows(4, [6])
    flip(store.shard_path(0), frames[0] + 10, frames[1] + 1, description[0])
    assert verify(store) == [
        ("clip1", "clip1.000.jpg is not what was written"),
        ("clip1", "clip1.003.jpg is not what was written"),
        ("clip4", "clip4.json is not what was written"),
    ]


def test_damage_that_only_other_readers_would_meet_is_found(store):
    offsets, lengths, _ = store.member_rows(2, [1])
    size = store.shard_path(0).stat().st_size
    flip(store.shard_path(0), offsets[0] - 500, offsets[0] + lengths[0], size - 1)
    assert verify(store) == [
        ("clip2", "the tar header of clip2.001.jpg is not what was written"),
        ("clip2", "the padding after clip2.001.jpg is not what was written"),
        ("", "the end of the archive is not where it was"),
    ]


def test_any_flipped_bit_of_a_shard_is_found(store):
    path = store.shard_path(0)
    size = path.stat().st_size
    for position in range(7, size, size // 40):
        flip(path, position)
        assert verify(store), position
        flip(path, position)
    assert verify(store) == []


def test_a_shard_that_was_cut_off_loses_its_last_clips_only(store):
    offsets, _, _ = store.member_rows(3, [0])
    path = store.shard_path(0)
    path.write_bytes(path.read_bytes()[: offsets[0] + 5])
    damage = verify(store)
    assert {clip for clip, _ in damage} == {"", "clip3", "clip4"}


def test_a_missing_shard_loses_its_clips(store):
    store.shard_path(0).unlink()
    assert [clip for clip, _ in verify(store)] == [entry.key for entry in store.entries]


def test_a_damaged_index_ends_the_verification(store, tmp_path):
    flip(store.path / "members.bin", 5)
    with pytest.raises(DataError, match=r"members\.bin is damaged"):
        verify(store)
    with pytest.raises(InputError):
        verify_store(tmp_path, lambda key, damaged: None)
