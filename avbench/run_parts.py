"""What a run is put together from: plan, clips, the model at its start, what its record holds already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console

from avbench import processes
from avbench.backbone.model import CAVMAE
from avbench.configuration import RunConfig
from avbench.environment import environment
from avbench.errors import InputError
from avbench.matching import AudioVideoMatching
from avbench.planning import PlannedRun, plan_run
from avbench.progress import say
from avbench.randomness import Randomness
from avbench.start import make_modules
from avbench.streaming import Stream, make_stream, open_store


@dataclass(frozen=True)
class RunParts:
    """What a run is put together from.

    Attributes:
        plan: what is run, with every setting settled.
        stream: the clips, task by task, and the gallery.
        backbone, matching: the modules at their start.
        randomness: the run's generators, none of which has drawn for the training yet.
        header: the fields of its record that are known before it.
    """

    plan: PlannedRun
    stream: Stream
    backbone: CAVMAE
    matching: AudioVideoMatching
    randomness: Randomness
    header: dict[str, Any]


def prepare_run(config: RunConfig, console: Console) -> RunParts:
    """Open the clips, make the model, and fill in the record as far as it is known before the run.

    Raises:
        InputError, DataError: clips, start or strategy cannot be had; or several processes are to make a run
            of a method that is not known to be right over several.
    """
    plan = plan_run(config)
    config = plan.config
    if processes.count() > 1 and not plan.method.over_processes:
        raise InputError(
            f"{config.strategy} is not made for several processes: what it computes from its own clips would "
            "differ between them. Run it as one process, without torchrun"
        )
    store = open_store(config, plan.scenario, console)
    randomness = Randomness(config.seed, process=processes.rank())
    stream = make_stream(config, plan.scenario, store, randomness, joint=plan.method.joint)
    backbone, matching, start = make_modules(
        config.start, config.backbone, stream.geometry, mask_ratio=config.mask_ratio, randomness=randomness
    )
    if start.report is not None and not start.report.complete:
        say(console, f"The start does not fill the whole model:\n{start.report}", style="yellow")
    header = {
        "scenario": config.scenario,
        "strategy": config.strategy,
        "seed": config.seed,
        "configuration": config.recorded(),
        "identity": plan.identity,
        "source": plan.clips.source,
        "store": plan.clips.name,
        "start": plan.start,
        "plugin_code": plan.plugin_code,
        "needs_boundaries": plan.method.needs_boundaries,
        "tasks": stream.gallery.tasks,
        "gallery": len(stream.gallery),
        "queries": stream.gallery.queries,
        "environment": environment(config.device),
    }
    return RunParts(plan, stream, backbone, matching, randomness, header)
