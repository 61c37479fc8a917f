"""Reading everything in a clip store, to say what is damaged."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import xxhash

from avbench.store.layout import SHARDS, TAR_BLOCK, TAR_END, member_names, tar_header, tar_padding
from avbench.store.reading import ClipStore


@dataclass(frozen=True)
class Damage:
    """One thing that is not as it was written.

    Attributes:
        clip: the key of the clip it belongs to, "" for what belongs to a whole shard.
        shard: the file it is in.
        what: the member, and what is wrong with it.
    """

    clip: str
    shard: str
    what: str


def verify_store(path: str | os.PathLike[str], observe: Callable[[str, bool], None]) -> list[Damage]:
    """Read every byte of every shard of a store and return all damage, in order.

    A member's bytes must have the xxh3 they were written with, and what lies around them must be what a tar
    file has there, so that other readers can stream the shards.

    Args:
        path: the store.
        observe: called after each clip with its key and whether it is damaged.

    Raises:
        InputError: there is no finished store.
        DataError: its index is damaged, so that nothing else can be checked.
    """
    store = ClipStore.for_verification(path)
    damage: list[Damage] = []
    ends = [*(shard.first_clip for shard in store.shards[1:]), len(store)]
    for shard, end in zip(store.shards, ends, strict=True):
        clips = range(shard.first_clip, end)
        found = _verify_shard(store, Path(path) / SHARDS / shard.name, shard.bytes, clips, observe)
        damage += [Damage(clip, shard.name, what) for clip, what in found]
    return damage


def _verify_shard(
    store: ClipStore, file: Path, size: int, clips: range, observe: Callable[[str, bool], None]
) -> list[tuple[str, str]]:
    """Return the clip ("" for the shard itself) and the kind of all damage in a shard."""
    found: list[tuple[str, str]] = []
    try:
        shard = os.open(file, os.O_RDONLY)
    except OSError as error:
        for clip in clips:
            key = store.entries[clip].key
            found.append((key, f"its shard cannot be opened: {error.strerror}"))
            observe(key, True)
        return found
    try:
        actual = os.fstat(shard).st_size
        if actual != size:
            found.append(("", f"{actual} bytes instead of {size}"))
        for clip in clips:
            key = store.entries[clip].key
            whats = _verify_clip(store, shard, clip)
            found += [(key, what) for what in whats]
            observe(key, bool(whats))
        if os.pread(shard, len(TAR_END), size - len(TAR_END)) != TAR_END:
            found.append(("", "the end of the archive is not where it was"))
    finally:
        os.close(shard)
    return found


def _verify_clip(store: ClipStore, shard: int, clip: int) -> list[str]:
    offsets, lengths, digests = store.member_rows(clip, range(store.format.members))
    names = member_names(store.entries[clip].key, store.format)
    start = offsets[0] - TAR_BLOCK
    end = offsets[-1] + lengths[-1] + len(tar_padding(lengths[-1]))
    try:
        block = _read_all(shard, start, end - start)
    except OSError as error:
        return [f"cannot be read: {error.strerror}"]
    whats: list[str] = []
    for name, offset, length, digest in zip(names, offsets, lengths, digests, strict=True):
        place = offset - start
        data = block[place : place + length]
        if len(data) < length:
            whats.append(f"{name} is cut off")
            continue
        if xxhash.xxh3_64_intdigest(data) != digest:
            whats.append(f"{name} is not what was written")
        if block[place - TAR_BLOCK : place] != tar_header(name, length):
            whats.append(f"the tar header of {name} is not what was written")
        padding = tar_padding(length)
        if block[place + length : place + length + len(padding)] != padding:
            whats.append(f"the padding after {name} is not what was written")
    return whats


def _read_all(file: int, offset: int, length: int) -> bytes:
    """Read up to `length` bytes; fewer only where the file ends."""
    parts: list[bytes] = []
    while length and (part := os.pread(file, length, offset)):
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return b"".join(parts)
