"""Probabilistic patch selection: which half of its patches a clip trains with.

Video patches are drawn one by one; audio keeps its locality and is drawn in chunks of time. Everything
works on whole batches and draws on the CPU, so that a GPU run selects what a CPU run selects. Source:
STELLA (ICML 2024, arXiv 2310.08204), section 4.3 and algorithm 1; published code
models/cl_methods/stella.py.

Shapes: B clips, L patches of a modality, K the budget, C chunks of time.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .importance import CORE_RATIO, core_size

CHUNK_STEPS = 4


def draw_order(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Draw all columns of each row without replacement, with probability proportional to weight.

    An exponential race: the column with the least Exp(1) / weight comes first, which is exactly a
    sequence of draws without replacement, in one sort.

    Args:
        weights: (B, N), not negative; columns of no weight come last.

    Returns:
        (B, N) int64: column numbers in the order drawn.
    """
    # In logarithms, with the least positive number for 0: weights of 0 lose to all others.
    least = torch.finfo(torch.float32).tiny
    clock = torch.empty(weights.shape).exponential_(generator=generator).clamp_min(least).log()
    arrival = clock.to(weights.device) - weights.float().clamp_min(least).log()
    return arrival.argsort(dim=1, stable=True)


def select_video(
    importance: Tensor, pruned: Tensor, generator: torch.Generator, core_ratio: float = CORE_RATIO
) -> Tensor:
    """Draw video patches without replacement, with probability proportional to importance.

    Args:
        importance: (B, Lv) scores.
        pruned: (B, Lv) bool; these come last, in the order they would have been drawn in.
        generator: on the CPU.

    Returns:
        (B, int(Lv * core_ratio)) int64, distinct places in the order drawn.
    """
    order = draw_order(importance, generator)
    spared_first = pruned.gather(1, order).byte().argsort(dim=1, stable=True)
    return order.gather(1, spared_first)[:, : core_size(importance.shape[1], core_ratio)]


def select_audio(
    importance: Tensor,
    pruned: Tensor,
    generator: torch.Generator,
    *,
    bands: int,
    chunk_steps: int = CHUNK_STEPS,
    core_ratio: float = CORE_RATIO,
) -> Tensor:
    """Draw the order of time chunks by their mean importance and take their patches until the budget is full.

    Args:
        importance: (B, La) scores, time-major.
        pruned: (B, La) bool; these are taken only where too few others are left.
        generator: on the CPU.
        bands: frequency patches of a time step, `geometry.audio_grid[1]`.
        chunk_steps: time steps of a chunk; the last one is shorter where they do not divide evenly.

    Returns:
        (B, int(La * core_ratio)) int64, distinct places, chunk by chunk as `take_chunks` orders them.
    """
    sums = _by_chunk(importance, bands * chunk_steps).sum(dim=2)
    steps = _by_chunk(torch.ones_like(importance), bands * chunk_steps).sum(dim=2) / bands
    order = draw_order(sums / steps, generator)
    keep_start = torch.randint(0, 2, (len(importance),), generator=generator, dtype=torch.bool)
    budget = core_size(importance.shape[1], core_ratio)
    return take_chunks(order, pruned, keep_start.to(pruned.device), bands * chunk_steps, budget)


def take_chunks(order: Tensor, pruned: Tensor, keep_start: Tensor, chunk: int, budget: int) -> Tensor:
    """Take unpruned patches chunk by chunk until the budget is full.

    The chunk in which it fills is cut on the side away from a neighbouring chunk taken before it: what
    is kept touches that neighbour. With both neighbours taken, or none, `keep_start` decides. Where all
    unpruned patches do not fill the budget, pruned ones follow in the same order of chunks, each chunk's
    in order of time.

    Args:
        order: (B, C) chunk numbers, first to be taken first.
        pruned: (B, L) bool, time-major.
        keep_start: (B,) bool: keep the start of the cut chunk, rather than its end.
        chunk: patches of a chunk; the last may hold fewer.
        budget: K, patches to take.

    Returns:
        (B, K) int64 distinct places: unpruned ones first, by order of chunks and then of time.
    """
    clips, length = pruned.shape
    spared = _by_chunk((~pruned).long(), chunk)  # (B, C, chunk)
    counts = spared.sum(dim=2)

    ordered = counts.gather(1, order)
    room = budget - (ordered.cumsum(dim=1) - ordered)
    rank = order.argsort(dim=1)  # (B, C): when each chunk has its turn
    taken = torch.minimum(room.clamp_min(0), ordered).gather(1, rank)  # (B, C)

    # Whether the chunk before and the one after have had their turn; beyond the ends there is none.
    bounded = F.pad(rank, (1, 1), value=order.shape[1])
    before, after = bounded[:, :-2] < rank, bounded[:, 2:] < rank
    from_start = torch.where(before == after, keep_start[:, None], before)  # (B, C)

    # The n-th unpruned patch of its chunk, counted from the side that is kept.
    nth = spared.cumsum(dim=2) - 1
    nth = torch.where(from_start[:, :, None], nth, counts[:, :, None] - 1 - nth)
    selected = (spared.bool() & (nth < taken[:, :, None])).flatten(1)[:, :length]

    # One sort by selected or not, then by the chunk's turn, then by time; the keys are distinct.
    time = torch.arange(length, device=pruned.device)
    turn = rank.gather(1, (time // chunk).expand(clips, -1))
    key = ((~selected).long() * order.shape[1] + turn) * length + time
    return key.argsort(dim=1)[:, :budget]


def _by_chunk(values: Tensor, chunk: int) -> Tensor:
    """Values (B, L) cut in chunks (B, C, chunk), the last filled up with zeros."""
    missing = -values.shape[1] % chunk
    return F.pad(values, (0, missing)).reshape(len(values), -1, chunk)
