"""Average accuracy and forgetting, from a stage x task matrix of scores.

`scores[t][i]` is the score on task i after stage t; stage t trains task t; T stages, T tasks, in the
unit of the scores. Both definitions of forgetting compare what a task once scored with what it scores
after the last stage; they differ in what counts as "once" and in what is averaged over. Where there is
one stage only (multitask, or a stream of one task) nothing can have been forgotten or kept: forgetting
is then None, not 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avbench.records import Summary


def average_accuracy(scores: ArrayLike) -> float:
    """Return A: the mean over all tasks of the score after the last stage.

    Raises:
        ValueError: the matrix is empty or has values that are not finite.
    """
    return float(_matrix(scores)[-1].mean())


def forgetting(scores: ArrayLike) -> float | None:
    """Return F: the mean over tasks but the last of their best score since learned minus the last score.

    F = 1/(T-1) sum over i < T of max over i <= t < T of (a[t][i] - a[T][i]); negative where tasks went on
    improving. Source: Chaudhry et al., Riemannian Walk, ECCV 2018, arXiv 1801.10112.

    Args:
        scores: (T, T) matrix, or (1, tasks) of a method that trains on all tasks at once.

    Returns:
        F, or None where there is one stage only.

    Raises:
        ValueError: the matrix is empty, not square with several stages, or not finite.
    """
    by_task = forgetting_by_task(scores)
    return None if by_task is None else float(np.mean(by_task))


def forgetting_by_task(scores: ArrayLike) -> list[float] | None:
    """Return what F is the mean of: of each task but the last, its best score since learned minus its last.

    Takes and raises what `forgetting` does; None where there is one stage only.
    """
    matrix = _matrix(scores)
    if len(matrix) == 1:
        return None
    _need_square(matrix)
    last = len(matrix) - 1
    return [float((matrix[task:last, task] - matrix[last, task]).max()) for task in range(last)]


def forgetting_published(scores: ArrayLike) -> float | None:
    """Return F as STELLA's published script computes it, to compare with published figures only.

    It takes the best score over *all* stages before the last, those before the task was learned too, sums
    over *all* tasks, the last too, and divides by T - 1: F = 1/(T-1) sum over i <= T of
    (max over t < T of a[t][i] - a[T][i]). Source: the published code of STELLA (ICML 2024).

    Args:
        scores: (T, T) matrix, or (1, tasks) of a method that trains on all tasks at once.

    Returns:
        This F, or None where there is one stage only.

    Raises:
        ValueError: the matrix is empty, not square with several stages, or not finite.
    """
    matrix = _matrix(scores)
    if len(matrix) == 1:
        return None
    _need_square(matrix)
    last = len(matrix) - 1
    return float((matrix[:last].max(axis=0) - matrix[last]).sum() / last)


def summarise(scores: ArrayLike) -> Summary:
    """Return A and both F of a stage x task matrix."""
    return Summary(
        average=average_accuracy(scores),
        forgetting=forgetting(scores),
        forgetting_published=forgetting_published(scores),
    )


def _matrix(scores: ArrayLike) -> NDArray[np.float64]:
    matrix = np.asarray(scores, dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"scores have shape {matrix.shape}, wanted (stages, tasks)")
    if not np.isfinite(matrix).all():
        raise ValueError("scores hold values that are not finite; a score that is missing has no average")
    return matrix


def _need_square(matrix: NDArray[np.float64]) -> None:
    stages, tasks = matrix.shape
    if stages != tasks:
        raise ValueError(f"{stages} stages for {tasks} tasks: forgetting needs one stage a task")
