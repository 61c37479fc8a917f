"""Zero-shot audio-video retrieval on arrays of embeddings.

Conventions, the same for every function here:

- Clip n is row n of `audio` and row n of `video`; its sound and its sight are each other's only match.
- Similarity is the cosine: rows are brought to unit length first.
- A query is ranked against the *whole* gallery, whatever task it belongs to.
- Ranks start at 1 and are pessimistic: every gallery item as similar as the match or more comes before
  it, so ties count against the query. Cosines closer than `TIE` are a tie: embeddings computed in float32
  cannot tell them apart. A model that gives all clips one embedding scores 0.
- An embedding that is not finite, or has no length, is an error, never a rank.
- Recall is in percent, 0 to 100.

A gallery is compared in chunks of queries; no matrix larger than chunk x gallery is ever held.
Source: the protocol of STELLA (ICML 2024, arXiv 2310.08204), section 5, but for ties, which its script
leaves to the order of a sort.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avbench.records import METRICS, Direction, Metric

Floats = NDArray[np.float64]
Ranks = NDArray[np.int64]

TIE = 1e-6


def unit_rows(embeddings: ArrayLike, name: str = "embeddings") -> Floats:
    """Return `embeddings` (N, D) with each row brought to unit length, float64.

    Raises:
        ValueError: not two-dimensional, not finite, or a row without length; the message counts them.
    """
    rows = np.asarray(embeddings, dtype=np.float64)
    if rows.ndim != 2:
        raise ValueError(f"{name} has shape {rows.shape}, wanted (clips, width)")
    broken = ~np.isfinite(rows).all(axis=1)
    if broken.any():
        raise ValueError(
            f"{name}: {int(broken.sum())} of {len(rows)} clips have values that are not finite "
            f"(first: row {int(broken.argmax())}); the model has diverged"
        )
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if (lengths == 0).any():
        raise ValueError(f"{name}: row {int((lengths == 0).argmax())} is all zeros and has no direction")
    return np.asarray(rows / lengths, dtype=np.float64)


def ranks(
    queries: ArrayLike, gallery: ArrayLike, targets: ArrayLike | None = None, *, chunk: int = 512
) -> Ranks:
    """Return the rank of each query's match in the gallery, from 1, ties counted against the query.

    Args:
        queries: (N, D) embeddings, of any length.
        gallery: (M, D) embeddings.
        targets: (N,) row of each query's match in the gallery; by default query n matches row n.
        chunk: queries compared at once; memory is chunk x M float64. The result does not depend on it.

    Returns:
        (N,) int64, 1 to M.

    Raises:
        ValueError: shapes that do not fit, targets outside the gallery, values that are not finite.
    """
    asking, asked = unit_rows(queries, "queries"), unit_rows(gallery, "gallery")
    if asking.shape[1] != asked.shape[1]:
        raise ValueError(f"queries are {asking.shape[1]} wide and the gallery {asked.shape[1]}")
    if chunk < 1:
        raise ValueError(f"chunk={chunk} is not positive")
    matches = np.arange(len(asking)) if targets is None else np.asarray(targets, dtype=np.int64)
    if matches.shape != (len(asking),):
        raise ValueError(f"targets has shape {matches.shape}, wanted ({len(asking)},)")
    if len(matches) and not (matches.min() >= 0 and matches.max() < len(asked)):
        raise ValueError(f"targets reach outside the gallery of {len(asked)}")
    result = np.empty(len(asking), dtype=np.int64)
    for start in range(0, len(asking), chunk):
        part = slice(start, min(start + chunk, len(asking)))
        similarity = asking[part] @ asked.T
        own = np.take_along_axis(similarity, matches[part, None], axis=1)
        result[part] = (similarity >= own - TIE).sum(axis=1)
    return result


def recall_at(ranked: ArrayLike, k: int) -> float:
    """Return the percent of `ranked` (N,), ranks from 1, that are at most `k`.

    Raises:
        ValueError: there are no ranks, or one below 1.
    """
    values = np.asarray(ranked)
    if values.size == 0:
        raise ValueError("recall of no queries is not defined")
    if values.min() < 1:
        raise ValueError(f"ranks start at 1, found {values.min()}")
    return 100 * float((values <= k).mean())


def recalls(ranked: ArrayLike) -> dict[Metric, float]:
    """Return R@1, R@5 and R@10 of `ranked` (N,), and the mean of the three, percent."""
    one, five, ten = (recall_at(ranked, k) for k in (1, 5, 10))
    return dict(zip(METRICS, (one, five, ten, (one + five + ten) / 3), strict=True))


def retrieval_scores(
    audio: ArrayLike, video: ArrayLike, task_of_clip: ArrayLike, tasks: int, *, chunk: int = 512
) -> dict[Direction, dict[Metric, list[float]]]:
    """Return recall of each task's own queries against the whole gallery, in both directions.

    Args:
        audio, video: (N, D) embeddings of the retrieval set; row n of both is one clip.
        task_of_clip: (N,) number of the task a clip belongs to; -1 for clips that are in the gallery only.
        tasks: number of tasks.
        chunk: queries compared at once.

    Returns:
        For "A2V" (sounds ask, videos are asked) and "V2A", for each metric, one percentage a task.

    Raises:
        ValueError: shapes that do not fit, a task without queries, values that are not finite.
    """
    owners = np.asarray(task_of_clip, dtype=np.int64)
    heard, seen = unit_rows(audio, "audio embeddings"), unit_rows(video, "video embeddings")
    if not len(owners) == len(heard) == len(seen):
        raise ValueError(f"{len(heard)} sounds, {len(seen)} videos and {len(owners)} task numbers differ")
    by_direction: dict[Direction, Ranks] = {
        "A2V": ranks(heard, seen, chunk=chunk),
        "V2A": ranks(seen, heard, chunk=chunk),
    }
    scores: dict[Direction, dict[Metric, list[float]]] = {}
    for direction, ranked in by_direction.items():
        of_tasks = [recalls(ranked[owners == task]) for task in range(tasks)]
        scores[direction] = {metric: [row[metric] for row in of_tasks] for metric in METRICS}
    return scores


def modality_gap(audio: ArrayLike, video: ArrayLike) -> float:
    """Return the distance between the mean unit embedding of sounds and that of videos, 0 to 2.

    Source: Liang et al., Mind the Gap, NeurIPS 2022, arXiv 2203.02053.

    Args:
        audio, video: (N, D) embeddings of the same clips.

    Raises:
        ValueError: no clips, shapes that do not fit, or values that are not finite.
    """
    heard, seen = unit_rows(audio, "audio embeddings"), unit_rows(video, "video embeddings")
    if heard.shape != seen.shape or not len(heard):
        raise ValueError(f"cannot compare {heard.shape} sounds with {seen.shape} videos")
    return float(np.linalg.norm(heard.mean(axis=0, dtype=np.float64) - seen.mean(axis=0, dtype=np.float64)))
