"""Zero-shot retrieval of a backbone: embed the whole gallery with nothing masked, then score it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
from numpy.typing import NDArray

from avbench import processes
from avbench.backbone.model import CAVMAE
from avbench.clips import ClipBatch
from avbench.errors import RunError
from avbench.records import Direction, Metric
from avbench.retrieval import modality_gap, retrieval_scores

Embeddings = NDArray[np.float32]


@dataclass(frozen=True)
class Gallery:
    """The retrieval set of a stream.

    Attributes:
        clips: batches of all its clips, whole and not augmented; iterated once an evaluation, in the
            same order each time; of several processes each is dealt its share of them.
        task_of_clip: (N,) int64, in that order: the task whose query a clip is, -1 for clips that stand
            in the gallery only.
        tasks: names of the tasks.
    """

    clips: Iterable[ClipBatch]
    task_of_clip: NDArray[np.int64]
    tasks: list[str]

    def __len__(self) -> int:
        return len(self.task_of_clip)

    @property
    def queries(self) -> list[int]:
        """Number of queries of each task."""
        return [int((self.task_of_clip == task).sum()) for task in range(len(self.tasks))]


@dataclass(frozen=True)
class StageScores:
    """One row of every stage x task matrix.

    Attributes:
        recall: per direction and metric, percent for each task.
        modality_gap: for each task, over its queries.
    """

    recall: dict[Direction, dict[Metric, list[float]]]
    modality_gap: list[float]


def embed(
    model: CAVMAE, batches: Iterable[ClipBatch], device: torch.device | str
) -> tuple[Embeddings, Embeddings]:
    """Return unit embeddings of sounds and of videos, (N, D) float32 each, in the order of `batches`.

    In float32 whatever the precision of training, so that precisions can be compared. The model is left
    in the mode (training or not) it was in. Of several processes each embeds the batches dealt to it, and all
    return the embeddings of all: batches are the same with any number of processes, and so is every bit.
    """
    was_training = model.training
    model.train(False)
    own = []
    try:
        with torch.inference_mode():
            for batch in batches:
                heard, seen = model.embed(batch.to(device))
                own.append((heard.float().cpu().numpy(), seen.float().cpu().numpy()))
    finally:
        model.train(was_training)
    # The first batch of each process, then the second of each: the order in which they were dealt.
    rounds = zip_longest(*processes.gathered(own))
    audio, video = zip(*(batch for each in rounds for batch in each if batch is not None), strict=True)
    return np.concatenate(audio), np.concatenate(video)


def measure_retrieval(model: CAVMAE, gallery: Gallery, device: torch.device | str) -> StageScores:
    """Return recall and modality gap of every task, over the whole gallery.

    Raises:
        RunError: the model gives embeddings that are not finite, or without direction.
    """
    audio, video = embed(model, gallery.clips, device)
    if len(audio) != len(gallery):
        raise RunError(
            f"the gallery gave {len(audio)} clips instead of {len(gallery)}: its loader dropped some"
        )
    try:
        recall = retrieval_scores(audio, video, gallery.task_of_clip, len(gallery.tasks))
        gaps = [
            modality_gap(audio[gallery.task_of_clip == task], video[gallery.task_of_clip == task])
            for task in range(len(gallery.tasks))
        ]
    except ValueError as error:
        raise RunError(f"retrieval cannot be measured: {error}") from error
    return StageScores(recall, gaps)
