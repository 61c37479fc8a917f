"""The rehearsal memory: every clip of the stream equally likely, bytes exact, state complete."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from avbench.clips import ClipBatch
from avbench.errors import InputError, RunError
from avbench.rehearsal import RehearsalMemory

Clips = Callable[..., ClipBatch]


def memory_of(capacity: int, seed: int = 0) -> RehearsalMemory:
    memory = RehearsalMemory(capacity)
    memory.attach(np.random.default_rng(seed))
    return memory


def numbered(clips: ClipBatch, first: int) -> ClipBatch:
    """The same clips, numbered on from `first`, with their number as an extra."""
    number = torch.arange(first, first + len(clips))
    clips.clip = number
    return clips.with_extras(number=number.double())


def test_every_clip_of_the_stream_is_equally_likely_to_be_held(clips: Clips) -> None:
    stream, capacity, runs = 40, 8, 3000
    batch = clips(5)
    held = np.zeros(stream)
    memory = RehearsalMemory(capacity)
    generator = np.random.default_rng(0)
    for _ in range(runs):
        memory = RehearsalMemory(capacity)
        memory.attach(generator)
        for first in range(0, stream, len(batch)):
            batch.clip = torch.arange(first, first + len(batch))
            memory.add(batch)
        held[memory.contents["clip"].numpy()] += 1
        assert len(memory) == capacity
    share, expected = held / runs, capacity / stream
    # Four standard deviations of a share of 0.2 over 3000 runs are 0.029.
    assert np.abs(share - expected).max() < 0.029, share


def test_same_slots_as_the_reference_algorithm_one_clip_at_a_time(clips: Clips) -> None:
    """Batches give what Vitter's algorithm R gives with the same draws, duplicates in a batch included."""
    memory, generator = memory_of(3, seed=7), np.random.default_rng(7)
    slots: dict[int, int] = {}
    for first in range(0, 60, 6):
        memory.add(numbered(clips(6), first))
        draws = generator.integers(0, np.arange(first, first + 6) + 1)
        for clip, draw in zip(range(first, first + 6), draws, strict=True):
            slot = clip if clip < 3 else int(draw)
            if slot < 3:
                slots[slot] = clip
    assert memory.contents["clip"].tolist() == [slots[slot] for slot in range(3)]
    assert memory.contents["extra/number"].tolist() == [slots[slot] for slot in range(3)]


def test_clips_come_back_as_they_went_in(clips: Clips) -> None:
    memory, offered = memory_of(10), numbered(clips(6), 0)
    memory.add(offered)
    sampled = memory.sample(6)
    assert sorted(sampled.clip.tolist()) == list(range(6))
    assert torch.equal(sampled.video, offered.video[sampled.clip])
    assert torch.equal(sampled.audio, offered.audio[sampled.clip])
    assert sampled.extras["number"].dtype == torch.float64
    assert sampled.video_positions is None
    assert sampled.geometry == offered.geometry


def test_selected_patches_keep_their_positions(clips: Clips) -> None:
    memory = memory_of(10)
    selected = clips(3).select(video=torch.tensor([[7, 1]] * 3), audio=torch.tensor([[15, 0, 3]] * 3))
    memory.add(selected)
    assert memory.contents["video_positions"].dtype == torch.int16
    sampled = memory.sample(3)
    assert sampled.video_positions is not None
    assert sampled.audio_positions is not None
    assert sampled.video_positions.tolist() == [[7, 1]] * 3
    assert sampled.audio_positions.tolist() == [[15, 0, 3]] * 3
    assert sampled.video_positions.dtype == torch.int64


def test_samples_are_distinct_uniform_and_no_more_than_there_are(clips: Clips) -> None:
    memory = memory_of(10)
    memory.add(clips(10))
    assert len(memory.sample(25)) == 10
    drawn = torch.cat([memory.sample(4).clip for _ in range(2000)])
    assert all(len(set(memory.sample(4).clip.tolist())) == 4 for _ in range(20))
    share = torch.bincount(drawn, minlength=10) / 2000
    assert (share - 0.4).abs().max() < 0.044  # four standard deviations


def test_editing_a_sample_leaves_the_memory_alone(clips: Clips) -> None:
    memory = memory_of(4)
    memory.add(clips(4))
    before = memory.contents["video"].clone()
    memory.sample(4).video.zero_()
    assert torch.equal(memory.contents["video"], before)


def test_bytes_are_those_of_the_clips_held(clips: Clips) -> None:
    memory, batch = memory_of(10), clips(4).with_extras(features=torch.zeros(4, 6))
    assert memory.nbytes == memory.capacity_nbytes == 0
    memory.add(batch)
    one_clip = batch.video[0].numel() + 2 * batch.audio[0].numel() + 8 + 6 * 4
    assert memory.nbytes == 4 * one_clip
    assert memory.capacity_nbytes == 10 * one_clip
    for _ in range(5):
        memory.add(batch)
    assert memory.nbytes == memory.capacity_nbytes == 10 * one_clip


def test_goes_on_from_a_saved_state_as_if_nothing_had_happened(clips: Clips) -> None:
    first = memory_of(5)
    first.add(numbered(clips(4), 0))
    second = RehearsalMemory(5)
    second.load_state_dict(first.state_dict())
    assert len(second) == 4
    for memory in (first, second):
        memory.attach(np.random.default_rng(3))
        for start in range(4, 40, 6):
            memory.add(numbered(clips(6, seed=start), start))
    assert first.contents.keys() == second.contents.keys()
    assert all(torch.equal(first.contents[name], second.contents[name]) for name in first.contents)
    assert torch.equal(first.sample(3).clip, second.sample(3).clip)


def test_an_empty_state_is_a_state(clips: Clips) -> None:
    memory = memory_of(5)
    memory.load_state_dict(RehearsalMemory(5).state_dict())
    assert not memory
    memory.add(clips(1))
    assert len(memory) == 1


def test_what_cannot_be_is_said(clips: Clips) -> None:
    with pytest.raises(InputError, match="capacity of 1 or more"):
        RehearsalMemory(0)
    with pytest.raises(RunError, match="attach"):
        RehearsalMemory(1).add(clips(1))
    memory = memory_of(4)
    with pytest.raises(RunError, match="empty"):
        memory.sample(1)
    memory.add(clips(2))
    with pytest.raises(RunError, match="extra/features"):
        memory.add(clips(2).with_extras(features=torch.zeros(2, 3)))
    with pytest.raises(InputError, match="capacity of 4"):
        RehearsalMemory(5).load_state_dict(memory.state_dict())


def test_what_is_read_from_slots_can_be_written_back(clips: Clips) -> None:
    memory = memory_of(6)
    memory.add(numbered(clips(6), 0))
    slots = memory.sample_slots(3)
    assert len(set(slots.tolist())) == 3
    changed = memory.read(slots).with_extras(number=torch.full((3,), -1.0, dtype=torch.float64))
    memory.write(slots, changed)
    numbers = memory.contents["extra/number"].tolist()
    assert [number == -1.0 for number in numbers] == [slot in slots.tolist() for slot in range(6)]
    assert memory.seen == 6
    with pytest.raises(RunError, match="extra/number"):
        memory.write(slots, clips(3))


def test_refused_clips_are_no_part_of_the_stream(clips: Clips) -> None:
    memory = memory_of(10)
    memory.add(numbered(clips(4), 0), only=torch.tensor([True, False, False, True]))
    memory.add(numbered(clips(2), 4), only=torch.tensor([False, False]))
    assert memory.contents["clip"].tolist() == [0, 3]
    assert memory.seen == 2
