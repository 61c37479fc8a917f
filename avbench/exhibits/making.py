"""Making the exhibits of a finished run: embeddings of the queries, and what its method selects.

Costs two evaluations of the gallery, one with the start and one with the trained model: every score was
measured before, nothing of the run is changed, and a run that is continued leaves what an uninterrupted
one does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from avbench.backbone.model import CAVMAE
from avbench.clips import ClipBatch, ClipGeometry, unpatchify_audio, unpatchify_video
from avbench.configuration import RunConfig
from avbench.errors import RunError
from avbench.evaluation import Embeddings, Gallery, embed
from avbench.exhibits.file import (
    Exhibits,
    GalleryPicture,
    PatchMaps,
    SelectedClips,
    exhibits_path,
    write_exhibits,
)
from avbench.exhibits.projection import principal_plane
from avbench.explanation import Choice
from avbench.method import Method
from avbench.randomness import Randomness
from avbench.records import RunRecord
from avbench.retrieval import modality_gap
from avbench.start import RANDOM, make_modules
from avbench.streaming import Stream
from avbench.task_free import task_free_view
from avbench.training import ContinualPretraining


def leave_exhibits(
    config: RunConfig, stream: Stream, strategy: ContinualPretraining, record: RunRecord, path: Path
) -> None:
    """Make the exhibits of a run that has finished and write them beside its record at `path`.

    Args:
        config: the run's, settled.
        stream: what it was trained on and measured with.
        strategy: the training, after its last stage; left as it is, generators included.
        record: of the run, written already.
        path: of the record.

    Raises:
        RunError: they could not be made or written; the message says that the record is whole.
    """
    try:
        write_exhibits(make_exhibits(config, stream, strategy, record), exhibits_path(path))
    # A method's `explain` may raise anything; the run's scores are safe, and the user must know.
    except Exception as error:
        raise RunError(
            f"the run is finished and its record is whole ({path}), but the exhibits for its pictures could "
            f"not be made: {type(error).__name__}: {error}; the same command tries again from "
            "the last checkpoint, or with --again from the start"
        ) from error


def make_exhibits(
    config: RunConfig, stream: Stream, strategy: ContinualPretraining, record: RunRecord
) -> Exhibits:
    """Return the exhibits of a run; same arguments as `leave_exhibits`.

    The clips shown are the first query of each task: the same for every method and seed.

    Raises:
        RunError: the method explains its choice in shapes that do not fit its clips.
        InputError, DataError: the start or a clip cannot be read any more, or the start is another one.
    """
    gallery = stream.gallery
    tasks = gallery.task_of_clip
    firsts = [int((tasks == number).argmax()) for number in range(len(gallery.tasks))]
    shown: list[ClipBatch] = []
    at_start = embed(_start(config, stream.geometry, record), gallery.clips, strategy.device)
    evaluated = strategy.method.evaluated_model(strategy.model)
    at_end = embed(evaluated, _keeping(gallery.clips, firsts, shown), strategy.device)
    clips = shown[0]
    for clip in shown[1:]:
        clips = clips + clip
    return Exhibits(
        scenario=record.scenario,
        strategy=record.strategy,
        seed=record.seed,
        identity=record.identity,
        source=record.source,
        backbone=record.backbone,
        tasks=record.tasks,
        task_of_query=tasks[tasks >= 0],
        at_start=_picture(gallery, at_start, _gaps(gallery, at_start)),
        at_end=_picture(gallery, at_end, record.modality_gap[-1]),
        selected=explained(strategy, clips, np.arange(len(firsts))),
    )


def explained(
    strategy: ContinualPretraining, clips: ClipBatch, task: NDArray[np.int64]
) -> SelectedClips | None:
    """Return what the method would train with of `clips` now; None where that is all of them.

    Args:
        strategy: the training, between two steps; left as it is.
        clips: whole, uint8 and float16.
        task: (K,) the number of each clip's task, which the method is not told.

    Raises:
        RunError: the method gives shapes that do not fit.
    """
    method = strategy.method
    seen_by_method = strategy if method.needs_boundaries else task_free_view(method, strategy)
    with torch.no_grad(), strategy.randomness.rewound():
        explanation = method.explain(seen_by_method, clips.to(strategy.device))
    if explanation is None:
        return None
    geometry = clips.geometry
    return SelectedClips(
        clip=clips.clip.numpy(),
        task=task,
        frames=unpatchify_video(clips.video, geometry).numpy(),
        spectrogram=unpatchify_audio(clips.audio, geometry).numpy(),
        video=patch_maps(explanation.video, geometry.video_grid, len(clips), method),
        audio=patch_maps(explanation.audio, geometry.audio_grid, len(clips), method),
        importance_is=explanation.importance_is,
    )


def patch_maps(choice: Choice, grid: tuple[int, ...], clips: int, method: Method) -> PatchMaps:
    """Return a choice among patches laid out on their grid, as `avbench.clips` orders them.

    Raises:
        RunError: places outside the grid or named twice, or scores of another shape.
    """
    patches = int(np.prod(grid))
    kept = choice.kept.cpu()
    if kept.dim() != 2 or len(kept) != clips or kept.dtype != torch.int64:
        raise _unfit(method, f"kept is {kept.dtype} {tuple(kept.shape)}, not int64 ({clips}, places)")
    if kept.numel() and not 0 <= int(kept.min()) <= int(kept.max()) < patches:
        raise _unfit(method, f"kept names places outside of 0..{patches - 1}")
    lit = torch.zeros(clips, patches, dtype=torch.bool).scatter_(1, kept, True)
    if int(lit.sum()) != kept.numel():
        raise _unfit(method, "kept names a place twice")
    scores = []
    for name, values in (("importance", choice.importance), ("pruning", choice.pruning)):
        if values is not None and tuple(values.shape) != (clips, patches):
            raise _unfit(method, f"{name} is {tuple(values.shape)}, not ({clips}, {patches})")
        if values is not None and not bool(values.isfinite().all()):
            raise _unfit(method, f"{name} has values that are not finite")
        scores.append(None if values is None else values.float().cpu().numpy().reshape(clips, *grid))
    return PatchMaps(lit.numpy().reshape(clips, *grid), *scores)


def _unfit(method: Method, what: str) -> RunError:
    return RunError(f"{type(method).__name__}.explain does not fit the clips: {what}")


def _start(config: RunConfig, geometry: ClipGeometry, record: RunRecord) -> CAVMAE:
    """Return the backbone as the run began. Raises RunError where its checkpoint has changed."""
    backbone, _, start = make_modules(
        config.start,
        config.backbone,
        geometry,
        mask_ratio=config.mask_ratio,
        randomness=Randomness(config.seed),
    )
    if config.start != RANDOM and start.fingerprint != record.start:
        raise RunError(f"the start {config.start} is not what it was when the run began")
    return backbone.to(config.device)


def _keeping(batches: Iterable[ClipBatch], places: list[int], kept: list[ClipBatch]) -> Iterator[ClipBatch]:
    """Pass `batches` on, and append to `kept` the clips at `places`, counted over all, in their order."""
    first = 0
    for batch in batches:
        kept += [
            batch[place - first : place - first + 1] for place in places if 0 <= place - first < len(batch)
        ]
        first += len(batch)
        yield batch


def _picture(
    gallery: Gallery, embeddings: tuple[Embeddings, Embeddings], gaps: list[float]
) -> GalleryPicture:
    queries = gallery.task_of_clip >= 0
    audio, video = embeddings
    return GalleryPicture(principal_plane(audio[queries], video[queries]), np.array(gaps))


def _gaps(gallery: Gallery, embeddings: tuple[Embeddings, Embeddings]) -> list[float]:
    audio, video = embeddings
    members = [gallery.task_of_clip == number for number in range(len(gallery.tasks))]
    return [modality_gap(audio[its], video[its]) for its in members]
