"""What the pictures of a run need beyond its record: the gallery's embeddings, and the patches it selected.

An exhibit lies beside the record of its run,

    results/runs/<scenario>/<strategy>/<source>-<backbone>-<identity>-seed<seed>.exhibits.npz

and is a NumPy archive of plain arrays with a JSON header. It is made once, when the run has finished
(`avbench.exhibits.making`), and drawn by `avbench.exhibits.figures`. Reading and writing it needs no torch.

The clips shown are the same for every method and seed: the first query of each task in the gallery.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbench.errors import DataError
from avbench.exhibits.projection import Plane
from avbench.files import write_bytes
from avbench.record_files import record_path
from avbench.records import RunRecord

LAYOUT = 1
SUFFIX = ".exhibits.npz"

Array = NDArray[Any]


@dataclass(frozen=True)
class GalleryPicture:
    """The queries of all tasks as one model embeds them.

    Attributes:
        plane: the Q queries' sounds and videos in the plane of their first two principal components.
        gap: (T,) float64, modality gap of each task: the distance between the mean unit embedding of its
            sounds and that of its videos, 0 to 2, in all dimensions.
    """

    plane: Plane
    gap: NDArray[np.float64]


@dataclass(frozen=True)
class PatchMaps:
    """What a method made of the patches of one modality, on the grid of patches.

    A grid is frames x rows x columns for video, time steps x bands (low frequencies first) for audio.

    Attributes:
        kept: (K, *grid) bool, the patches the method would train with.
        importance: (K, *grid) float32, the score it draws them by; None where it has none.
        pruning: (K, *grid) float32, the probability with which each is given up to the past; None likewise.
    """

    kept: NDArray[np.bool_]
    importance: NDArray[np.float32] | None
    pruning: NDArray[np.float32] | None


@dataclass(frozen=True)
class SelectedClips:
    """What a method selected of K clips after the last stage, and why.

    Attributes:
        clip: (K,) int64, numbers of the clips in the store.
        task: (K,) int64, numbers of their tasks.
        frames: (K, T, H, W, 3) uint8.
        spectrogram: (K, time, mel bins) float16, normalised log-mel; low frequencies first.
        video, audio: of the patches.
        importance_is: what the importance means, in words; "" where there is none.
    """

    clip: NDArray[np.int64]
    task: NDArray[np.int64]
    frames: NDArray[np.uint8]
    spectrogram: NDArray[np.float16]
    video: PatchMaps
    audio: PatchMaps
    importance_is: str = ""

    def __len__(self) -> int:
        return len(self.clip)


@dataclass(frozen=True)
class Exhibits:
    """All that the pictures of one run need.

    Attributes:
        scenario, strategy, seed, identity, source, backbone, tasks: as in the run's record.
        task_of_query: (Q,) int64, the task of each query in the pictures.
        at_start, at_end: the queries before any training, and after the last stage.
        selected: None where the method selects no patches.
    """

    scenario: str
    strategy: str
    seed: int
    identity: str
    source: str
    backbone: str
    tasks: list[str]
    task_of_query: NDArray[np.int64]
    at_start: GalleryPicture
    at_end: GalleryPicture
    selected: SelectedClips | None

    @property
    def title(self) -> str:
        """What a caption must say of the run; carries "rendered" where the clips were."""
        clips = f"{self.scenario}, {self.source} clips, {self.backbone} backbone"
        return f"{self.strategy}, seed {self.seed}; {clips}"


def exhibits_path(record: Path) -> Path:
    """Return where the exhibits of the run whose record lies at `record` belong."""
    return record.with_name(record.stem + SUFFIX)


def exhibits_of(results: Path, record: RunRecord) -> Exhibits | None:
    """Return the exhibits of a run below the folder of results, None where it has left none.

    Raises:
        DataError: as `read_exhibits`.
    """
    path = exhibits_path(
        record_path(results, record.configuration, source=record.source, identity=record.identity)
    )
    return read_exhibits(path, record) if path.exists() else None


def write_exhibits(exhibits: Exhibits, path: Path) -> None:
    """Write `exhibits` to `path`, whole or not at all; the same ones give the same bytes.

    Raises:
        DataError: the file could not be written, for instance because the disk is full.
    """
    header = {name: getattr(exhibits, name) for name in _HEADER} | {"layout": LAYOUT}
    arrays: dict[str, Array] = {"task_of_query": exhibits.task_of_query}
    arrays |= _picture_arrays("at_start", exhibits.at_start) | _picture_arrays("at_end", exhibits.at_end)
    if (selected := exhibits.selected) is not None:
        header["importance_is"] = selected.importance_is
        for name in _OF_CLIPS:
            arrays[f"selected/{name}"] = getattr(selected, name)
        for modality, maps in (("video", selected.video), ("audio", selected.audio)):
            for name in _MAPS:
                if (values := getattr(maps, name)) is not None:
                    arrays[f"selected/{modality}/{name}"] = values
    content = io.BytesIO()
    named: dict[str, Any] = {"header": np.array(json.dumps(header)), **arrays}
    np.savez_compressed(content, allow_pickle=False, **named)
    write_bytes(path, content.getvalue(), "the exhibits")


def read_exhibits(path: Path, record: RunRecord) -> Exhibits:
    """Read the exhibits at `path`, which must be those of the run of `record`.

    Raises:
        DataError: the file is missing, damaged, of another layout, no exhibits at all, or another run's.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays: dict[str, Array] = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise DataError(f"the exhibits {path} cannot be read: {error.strerror or error}") from error
    # A damaged archive makes zipfile and NumPy raise errors of a dozen kinds.
    except Exception as error:
        raise _unreadable(path, str(error)) from error
    try:
        exhibits = _from_arrays(arrays)
    except KeyError as error:
        raise _unreadable(path, f"it has no {error}") from error
    except (ValueError, TypeError) as error:
        raise _unreadable(path, str(error)) from error
    run = (record.identity, record.seed)
    if (exhibits.identity, exhibits.seed) != run or exhibits.tasks != record.tasks:
        raise DataError(
            f"{path} holds exhibits of the run {exhibits.identity}, seed {exhibits.seed}, not of "
            f"{record.identity}, seed {record.seed}, beside whose record it lies: remove it"
        )
    if [exhibits.at_end.gap.tolist()] != record.modality_gap[-1:]:
        raise DataError(
            f"{path} holds exhibits of another version of this run: its modality gaps are not those of the "
            "record it lies beside; make both again with avbench run --again"
        )
    return exhibits


_HEADER = ("scenario", "strategy", "seed", "identity", "source", "backbone", "tasks")
_OF_CLIPS = ("clip", "task", "frames", "spectrogram")
_MAPS = ("kept", "importance", "pruning")
_MODALITIES = ("video", "audio")


def _picture_arrays(name: str, picture: GalleryPicture) -> dict[str, Array]:
    plane = picture.plane
    return {
        f"{name}/audio": plane.audio,
        f"{name}/video": plane.video,
        f"{name}/shares": plane.shares,
        f"{name}/gap": picture.gap,
    }


def _from_arrays(arrays: Mapping[str, Array]) -> Exhibits:
    """Undo `write_exhibits`. Raises KeyError, ValueError or TypeError where the arrays do not fit."""
    header = json.loads(str(arrays["header"]))
    if header["layout"] != LAYOUT:
        raise ValueError(f"its layout is {header['layout']}, this avbench reads {LAYOUT}")
    tasks, queries = len(header["tasks"]), len(arrays["task_of_query"])
    for name, shape in _shapes(arrays, tasks, queries):
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has shape {arrays[name].shape}, not {shape}")
    selected = None
    if "selected/clip" in arrays:
        selected = SelectedClips(
            clip=arrays["selected/clip"],
            task=arrays["selected/task"],
            frames=arrays["selected/frames"],
            spectrogram=arrays["selected/spectrogram"],
            video=_maps("video", arrays),
            audio=_maps("audio", arrays),
            importance_is=header["importance_is"],
        )
    return Exhibits(
        **{name: header[name] for name in _HEADER},
        task_of_query=arrays["task_of_query"],
        at_start=_picture("at_start", arrays),
        at_end=_picture("at_end", arrays),
        selected=selected,
    )


def _picture(name: str, arrays: Mapping[str, Array]) -> GalleryPicture:
    plane = Plane(arrays[f"{name}/audio"], arrays[f"{name}/video"], arrays[f"{name}/shares"])
    return GalleryPicture(plane, arrays[f"{name}/gap"])


def _maps(modality: str, arrays: Mapping[str, Array]) -> PatchMaps:
    prefix = f"selected/{modality}"
    return PatchMaps(
        kept=arrays[f"{prefix}/kept"],
        importance=arrays.get(f"{prefix}/importance"),
        pruning=arrays.get(f"{prefix}/pruning"),
    )


def _shapes(arrays: Mapping[str, Array], tasks: int, queries: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield what shape each array must have."""
    for when in ("at_start", "at_end"):
        yield from ((f"{when}/{modality}", (queries, 2)) for modality in _MODALITIES)
        yield from ((f"{when}/shares", (2,)), (f"{when}/gap", (tasks,)))
    if "selected/clip" not in arrays:
        return
    clips = len(arrays["selected/clip"])
    yield "selected/task", (clips,)
    frames, spectrogram = arrays["selected/frames"].shape, arrays["selected/spectrogram"].shape
    yield "selected/frames", (clips, *frames[1:4], 3)
    yield "selected/spectrogram", (clips, *spectrogram[1:3])
    for modality, whole in (("video", frames[1:4]), ("audio", spectrogram[1:3])):
        grid = arrays[f"selected/{modality}/kept"].shape
        if len(grid) != len(whole) + 1 or any(np.mod(whole, grid[1:])):
            raise ValueError(f"a grid of {grid[1:]} patches does not divide the {modality} of {whole}")
        for name in _MAPS:
            if f"selected/{modality}/{name}" in arrays:
                yield f"selected/{modality}/{name}", (clips, *grid[1:])


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(
        f"{path} is damaged or holds no exhibits this avbench can read: {why}; "
        "make them again with avbench run --again"
    )
