"""What a run leaves behind: one validated JSON file with everything a table or a plot needs.

A record names its run by an *identity*: the settings that can change a score, the fingerprint of the
clips and the fingerprint of the start, without the seed. Runs of one identity differ in nothing but
their seed, so they may be averaged; others may not.

Everything in a record but `environment`, `timing` and `notes` follows from the configuration and the seed:
two runs of the same are equal to the bit there, which `comparable` returns.

Scores are percent, 0 to 100. Files of records are in `avbench.record_files`; neither needs torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION: Literal[1] = 1

Direction = Literal["A2V", "V2A"]
DIRECTIONS: tuple[Direction, Direction] = ("A2V", "V2A")
"""Audio queries over a gallery of videos, and video queries over a gallery of sounds."""

Metric = Literal["R@1", "R@5", "R@10", "mean"]
METRICS: tuple[Metric, Metric, Metric, Metric] = ("R@1", "R@5", "R@10", "mean")
"""Recall among the first 1, 5 and 10, and the mean of the three."""

Matrix: TypeAlias = list[list[float]]
"""`matrix[t][i]`: a score on task i after stage t; both in the stream's order."""

# Settings that say where things lie or how fast they go. They are recorded, but two runs that differ only
# here are the same run: what lies in those places is in the identity by its fingerprint. Another number of
# threads rounds otherwise, which moves results as another seed does; it makes no other experiment.
PLACES_AND_SPEED = frozenset({"data", "start", "workers", "threads", "plugins"})


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class Summary(_Part):
    """Average accuracy and forgetting of one direction and metric, percent.

    Attributes:
        average: A, the mean over all tasks after the last stage.
        forgetting: F, standard; None where it is not defined (one stage only, as in multitask).
        forgetting_published: F as the published script computes it; None likewise.
    """

    average: float
    forgetting: float | None
    forgetting_published: float | None


class EpochLosses(_Part):
    """Mean losses of one epoch.

    Attributes:
        stage: the stage's number, from 0.
        epoch: the epoch's number within its stage, from 0.
        losses: mean over the epoch's steps by name; "loss" is what was minimised, the others are its parts
            (`avbench.steps.LOSSES`). Records of earlier versions have "loss" alone.
    """

    stage: int = Field(ge=0)
    epoch: int = Field(ge=0)
    losses: dict[str, float]


class KindOfMemory(_Part):
    """Bytes of one kind: rehearsal memory, another thing the method keeps, parameters, activations, ..."""

    kind: str
    bytes: int = Field(ge=0)


class Memory(_Part):
    """What the run held at its end, and what its largest training step needed.

    Attributes:
        kinds: bytes by kind, in the order in which plots stack them.
        peak_step: peak bytes of a training step, activations included; None where it was not measured.
        peak_measured_by: what measured the peak: the CUDA allocator or PyTorch's tracker of live tensors.
    """

    kinds: list[KindOfMemory]
    peak_step: int | None = Field(default=None, ge=0)
    peak_measured_by: str = ""

    def of(self, kind: str) -> int:
        """Return the bytes of `kind`, 0 if the run held nothing of it."""
        return sum(entry.bytes for entry in self.kinds if entry.kind == kind)


class Timing(_Part):
    """When and how fast; differs from run to run.

    Attributes:
        started, finished: UTC, ISO 8601, to the second.
        phases: seconds by phase ("prepare", "train", "evaluate", ...), summed over the run.
        stages: seconds of training of each stage.
        clips_per_second: training clips of the stream (rehearsed ones not counted) per second of training;
            None where nothing was trained.
        resumed: when the run was continued after a stop, and by which avbench: "2026-11-26T10:00:00Z
            (commit 0123456789ab)", one entry each time.
    """

    started: str
    finished: str
    phases: dict[str, float] = Field(default_factory=dict)
    stages: list[float] = Field(default_factory=list)
    clips_per_second: float | None = None
    resumed: list[str] = Field(default_factory=list)


class Environment(_Part):
    """Where the run was made.

    Attributes:
        versions: of avbench, Python, torch and the packages that can change a result.
        hardware: processor, cores, memory, accelerator: what of them there is.
        device: where the model was, such as "cpu" or "cuda:0".
        commit: git commit of the source tree avbench ran from; None where it is not in a repository.
        dirty: whether that tree had uncommitted changes; None where there is no commit.
    """

    versions: dict[str, str]
    hardware: dict[str, str]
    device: str
    commit: str | None
    dirty: bool | None


class Ending(_Part):
    """How the run ended.

    Attributes:
        how: "finished"; "interrupted" by the user or a signal; "failed" with an error.
        error: the error's text and traceback if it failed, else "".
    """

    how: Literal["finished", "interrupted", "failed"]
    error: str = ""


class RunRecord(_Part):
    """One run: what was asked, what came out, what it cost, how it ended.

    Attributes:
        schema_version: of this layout.
        scenario, strategy, seed: the run's name; also in `configuration`.
        configuration: the resolved configuration: every setting explicit, the method's and the
            scenario's options included as "strategy_options" and "scenario_options".
        identity: 12 hexadecimal digits, `identity_of` everything that can change a score but the seed.
        source: where the clips come from: "vggsound", "audioset", "rendered", ... Tables label what is
            rendered and never average over sources.
        store: names the clips: the store's fingerprint, for rendered clips a digest of what is rendered.
        start: fingerprint of the start checkpoint's tensors; "random" where there was none.
        plugin_code: "strategy" and "scenario", as far as they are not built in: a digest of the plugin's
            file, or its package and version. What such a file imports is not in it.
        needs_boundaries: whether the method is told where a task ends.
        evaluates_copy: whether retrieval was measured with a slow copy that the method keeps, not with the
            model being trained.
        tasks: names of the trained tasks in the stream's order: columns of every matrix.
        stages: names of the stages finished so far: rows. As `tasks` if complete; a method that trains
            on all tasks at once has one.
        gallery: clips in the retrieval gallery; chance of R@k is 100 * k / gallery.
        queries: clips of each task in the retrieval set.
        recall_at_start: per direction and metric, recall on each task before any training.
        recall: per direction and metric, the stage x task matrix.
        modality_gap: stage x task: distance between the mean unit embeddings of audio and of video.
        summary: per direction and metric, A and F; empty unless the run finished.
        memory: bytes held, and the peak of a step; None if the run ended before its first step.
        losses: one entry an epoch.
        ending: how it ended.
        notes: what went wrong beside the results and left them whole, such as logging that stopped on a
            full disk; and what differed when the run went on after a stop. A sentence each.
        environment, timing: where and when; all that may differ between two runs of the same.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    scenario: str
    strategy: str
    seed: int
    configuration: dict[str, Any]
    identity: str
    source: str
    store: str
    start: str
    plugin_code: dict[str, str] = Field(default_factory=dict)
    needs_boundaries: bool
    evaluates_copy: bool = False
    tasks: list[str]
    stages: list[str]
    gallery: int
    queries: list[int]
    recall_at_start: dict[Direction, dict[Metric, list[float]]]
    recall: dict[Direction, dict[Metric, Matrix]]
    modality_gap: Matrix
    summary: dict[Direction, dict[Metric, Summary]]
    memory: Memory | None
    losses: list[EpochLosses]
    ending: Ending
    notes: list[str] = Field(default_factory=list)
    environment: Environment
    timing: Timing

    @model_validator(mode="after")
    def _shapes(self) -> RunRecord:
        matrices = {f"recall {d} {m}": self.recall[d][m] for d in self.recall for m in self.recall[d]}
        for name, matrix in {**matrices, "modality_gap": self.modality_gap}.items():
            if len(matrix) != len(self.stages) or any(len(row) != len(self.tasks) for row in matrix):
                raise ValueError(f"{name} is not {len(self.stages)} stages x {len(self.tasks)} tasks")
        return self

    @property
    def finished(self) -> bool:
        """Whether the run came to its end, so that its scores count."""
        return self.ending.how == "finished"

    @property
    def rendered(self) -> bool:
        """Whether its clips were rendered: every table and plot must say so."""
        return self.source == "rendered"

    @property
    def backbone(self) -> str:
        """Name of the backbone's size."""
        return str(self.configuration["backbone"])

    @property
    def chance(self) -> dict[Metric, float]:
        """Percent that guessing gives, per metric."""
        recall: dict[Metric, float] = {"R@1": 1, "R@5": 5, "R@10": 10, "mean": 16 / 3}
        return {metric: min(100.0, 100 * among / self.gallery) for metric, among in recall.items()}


def identity_of(
    configuration: Mapping[str, Any], *, store: str, start: str, plugin_code: Mapping[str, str] | None = None
) -> str:
    """Return 12 hexadecimal digits that name what is run, whatever the seed and the place.

    Args:
        configuration: the resolved configuration, plain data.
        store: names the clips, `ClipStore.clips_name`.
        start: fingerprint of the start.
        plugin_code: see `RunRecord`; an edited plugin is another run.
    """
    settings = {key: value for key, value in configuration.items() if key not in PLACES_AND_SPEED | {"seed"}}
    settings["device"] = str(settings.get("device", "")).partition(":")[0]
    named = {"settings": settings, "store": store, "start": start, "schema": SCHEMA_VERSION}
    if plugin_code:
        named["plugin_code"] = dict(plugin_code)
    return hashlib.blake2b(json.dumps(named, sort_keys=True).encode(), digest_size=6).hexdigest()


def comparable(record: RunRecord) -> dict[str, Any]:
    """Return, as plain data, all of `record` that two runs of one configuration and seed must share."""
    data = record.model_dump(mode="json", exclude={"environment", "timing", "notes"})
    data["configuration"] = {
        key: value for key, value in data["configuration"].items() if key not in PLACES_AND_SPEED
    }
    return data
