"""`avbench bench`: how fast this machine is, as ratios to a bare loop and to bare decoding."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from avbench.errors import InputError, did_you_mean
from avbench.files import write_text

if TYPE_CHECKING:
    from avbench.bench import Effort, MethodSpeed, SelectionCost
    from avbench.bench_checkpoints import CheckpointCost
    from avbench.bench_store import StoreSpeed
    from avbench.method import Method

MIB = 2**20
_SELECTING = "avcl"
_REHEARSING = "er"


def bench(
    *,
    backbone: Annotated[str, typer.Option(help="Backbones, with commas between.")] = "tiny",
    strategy: Annotated[
        str, typer.Option(help="Strategies, with commas between; 'all' for every one.")
    ] = "all",
    batch_size: Annotated[
        int | None, typer.Option(min=2, help="Clips of the stream in a step; the backbone's by default.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch on the CPU.")] = 1,
    video: Annotated[
        Path | None, typer.Option(help="An mp4 file of 10 s to decode; one is made by default.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="A store to read; one is made of the video by default.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only see that it works: single steps, batch of 4.")
    ] = False,
    out: Annotated[Path, typer.Option(help="JSON file to write.")] = Path("bench.json"),
) -> None:
    """Measure this machine: training, memory of a step, selection, a store, checkpoints.

    Training is timed in turns with a bare PyTorch loop over the same model and batch; a store is timed beside
    bare decoding of the same video. Compare ratios, not speeds, across machines.

    Examples:

        avbench bench

        avbench bench --backbone base --strategy er,avcl --device cuda --batch-size 9

        avbench bench --quick
    """
    # Imported here: the command line's help does not wait for torch.
    import torch

    from avbench.bench import FULL, QUICK
    from avbench.bench_store import store_speed
    from avbench.devices import available_device
    from avbench.environment import environment
    from avbench.resume.checkpointing import DEFAULT_MINUTES

    torch.set_num_threads(threads)
    device = available_device(device)
    effort = QUICK if quick else FULL
    size = 4 if quick and batch_size is None else batch_size
    for path in (video, store):
        if path is not None and not path.exists():
            raise InputError(f"there is no {path}")
    console = Console()
    with console.status("") as status:
        speeds, selections = [], []
        for name in _backbones(backbone):
            status.update(f"training, {name}")
            found, cost = _train(name, strategy, size, effort, device)
            speeds += found
            selections += cost
        status.update("preparing and reading a store")
        with tempfile.TemporaryDirectory(prefix="avbench-bench-") as folder:
            turns, clips = (1, 1) if quick else (3, 4)
            read = store_speed(Path(folder), video=video, store=store, clips=clips, turns=turns)
        # Beside what is written, as the checkpoints of a run are: the speed is that of the disk.
        with tempfile.TemporaryDirectory(prefix=".avbench-bench-", dir=out.resolve().parent) as folder:
            saved = []
            for name in _backbones(backbone):
                status.update(f"saving checkpoints, {name}")
                saved.append(_save(Path(folder) / name, name, turns, device))
    console.print(_training_table(speeds))
    for selection in selections:
        console.print(
            f"Selection alone, {selection.backbone}: {selection.milliseconds:.2f} ms for "
            f"{selection.clips} clips, {100 * selection.share:.1f}% of a step of {_SELECTING}",
            highlight=False,
        )
    console.print(_store_table(read))
    for each in saved:
        console.print(
            f"A checkpoint of {each.strategy}, {each.backbone}, memory full: {each.bytes / MIB:,.1f} MiB, "
            f"saved in {each.save_seconds:.3f} s, read in {each.read_seconds:.3f} s. A run on {each.stream} "
            f"whose steps all take the {each.step_seconds:.3f} s of one here trains for "
            f"{each.training_seconds:.0f} s and makes {each.checkpoints}, two at the end of each of "
            f"{each.tasks} tasks and others at least {DEFAULT_MINUTES:g} minutes apart: "
            f"{100 * each.share:.2f}% of its training's time",
            highlight=False,
            soft_wrap=True,
        )
    measured = {
        "environment": environment(device).model_dump(mode="json"),
        "threads": threads,
        "effort": asdict(effort),
        "training": [asdict(speed) for speed in speeds],
        "selection": [asdict(selection) for selection in selections],
        "store": asdict(read),
        "checkpoints": [asdict(cost) for cost in saved],
    }
    write_text(out, json.dumps(measured, indent=2) + "\n", "the measurements")
    console.print(f"wrote {out}", highlight=False)


def _save(folder: Path, backbone: str, turns: int, device: str) -> CheckpointCost:
    from avbench.bench_checkpoints import checkpoint_cost
    from avbench.registry import catalogue

    make = _at_defaults(catalogue("strategy").get(_REHEARSING).cls, backbone)
    return checkpoint_cost(_REHEARSING, make, folder, backbone=backbone, turns=turns, device=device)


def _at_defaults(method: type[Method], backbone: str) -> Callable[[], Method]:
    """What makes a method as a run with this backbone does: some defaults go with its size."""
    from avbench.settings import STRATEGY_OPTIONS

    own = {option.name for option in method.options()}
    return partial(
        method, **{name: value for name, value in STRATEGY_OPTIONS[backbone].items() if name in own}
    )


def _backbones(text: str) -> list[str]:
    from avbench.backbone.sizes import BACKBONES

    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in BACKBONES:
            raise InputError(f"--backbone: there is no backbone {name!r}{did_you_mean(name, BACKBONES)}")
    return names


def _train(
    backbone: str, strategy: str, batch_size: int | None, effort: Effort, device: str
) -> tuple[list[MethodSpeed], list[SelectionCost]]:
    from avbench.bench import method_speed, selection_cost
    from avbench.registry import catalogue
    from avbench.settings import SETTINGS

    size = batch_size or SETTINGS[backbone].batch_size
    found = catalogue("strategy")
    names = sorted(found.plugins) if strategy == "all" else [name.strip() for name in strategy.split(",")]
    classes = {name: found.get(name).cls for name in names}
    speeds = [
        method_speed(
            name,
            _at_defaults(cls, backbone),
            backbone=backbone,
            batch_size=size,
            effort=effort,
            device=device,
        )
        for name, cls in classes.items()
    ]
    costs = [
        selection_cost(
            classes[_SELECTING],
            backbone=backbone,
            batch_size=size,
            step_seconds=size / speed.clips_per_second,
            effort=effort,
            device=device,
        )
        for speed in speeds
        if speed.strategy == _SELECTING
    ]
    return speeds, costs


def _training_table(speeds: list[MethodSpeed]) -> Table:
    grid = Table(title="Training: clips of the stream per second, in turns with a bare PyTorch loop")
    for heading in ("Backbone", "Method"):
        grid.add_column(heading)
    for heading in ("batch", "clips/s", "bare clips/s", "ratio", "peak step MiB"):
        grid.add_column(heading, justify="right")
    for speed in speeds:
        grid.add_row(
            speed.backbone,
            speed.strategy,
            str(speed.batch_size),
            f"{speed.clips_per_second:.1f}",
            f"{speed.bare_clips_per_second:.1f}",
            f"{speed.ratio:.3f}",
            f"{speed.peak_step / MIB:,.1f}",
        )
    return grid


def _store_table(speed: StoreSpeed) -> Table:
    grid = Table(title="A store: clips per second of one process, beside bare decoding of every frame")
    grid.add_column("")
    grid.add_column("clips/s", justify="right")
    grid.add_column("ratio", justify="right")
    grid.add_row("bare decoding", f"{speed.bare_decoding:.2f}", "1")
    grid.add_row("preparing a store", f"{speed.preparing:.2f}", f"{speed.preparing_ratio:.2f}")
    grid.add_row("reading it in training", f"{speed.reading:.1f}", f"{speed.reading_ratio:.1f}")
    return grid
