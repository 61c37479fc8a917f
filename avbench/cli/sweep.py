"""`avbench sweep`: a grid of runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from avbench.errors import InputError, RunError, did_you_mean

if TYPE_CHECKING:
    from avbench.sweep.local import Slots
    from avbench.sweep.state import RunState
    from avbench.sweep.worker import RunOptions

_PLACES = ("here", "ray", "slurm")


def sweep(
    *,
    grid: Annotated[
        Path | None,
        typer.Argument(help="YAML file of grids: a setting with a value or a list of values a line."),
    ] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", "-s", help="Methods, by commas.")] = None,
    scenario: Annotated[
        str | None, typer.Option(help="Streams, by commas. \\[default: vggsound-stream]")
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="NUMBER|LIST", help="3: seeds 0, 1, 2. Or a list: 0,5,7. \\[default: 1]"),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUES", help="A setting and its values, by commas; may be repeated."
        ),
    ] = None,
    plugin: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE|CLASS", help="Strategy or scenario of yours; may be repeated."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Folder of prepared clips; AVBENCH_DATA where not given.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, or cuda: every GPU there is.")] = None,
    results: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results"),
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Runs at a time. \\[default: one a GPU, or one a core]"),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a run on the CPU.")] = 1,
    log: Annotated[
        str, typer.Option(help="Log every run to csv, tensorboard, wandb, by commas; see avbench run.")
    ] = "",
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0, help="Minutes between a run's checkpoints, at least.")
    ] = 5,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan with an estimate of time and disk.")
    ] = False,
    on: Annotated[
        str, typer.Option(help="here, ray (a local cluster or the one at RAY_ADDRESS), or slurm.")
    ] = "here",
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="For --on slurm, as sbatch has it: time=600 (needed), partition=gpu."
        ),
    ] = None,
) -> None:
    """Make every run of a grid: methods x streams x seeds x settings.

    What is finished is not repeated, what was stopped goes on from its checkpoint, and what another process
    makes is waited for, and what Slurm has in its queue is left to it: after any stop, give the same command
    again. A run that fails does not stop the others; its traceback is in its record, and the sweep ends with
    code 1 and a list.

    Examples:

        avbench sweep --strategy er,der-pp,avcl --seeds 3

        avbench sweep -s er,avcl --set memory=500,1000,2000 --dry-run

        avbench sweep grid.yaml --results results/paper

        avbench sweep grid.yaml --on slurm --slurm partition=gpu --slurm time=600
    """
    from avbench.configuration import Layer
    from avbench.loggers import parse_kinds
    from avbench.sweep.plan import grid_of_texts, plan_sweep, read_grids
    from avbench.sweep.state import states_of
    from avbench.sweep.worker import RunOptions

    if on not in _PLACES:
        raise InputError(f"--on: there is no {on!r}{did_you_mean(on, _PLACES)} (valid: {', '.join(_PLACES)})")
    if slurm and on != "slurm":
        raise InputError("--slurm is for --on slurm")
    if jobs is not None and (on == "slurm" or (on == "ray" and "RAY_ADDRESS" in os.environ)):
        raise InputError(
            f"--jobs is for this machine: how many runs go at a time is up to the cluster ({on})"
        )
    texts = {"strategy": strategy, "scenario": scenario, "seeds": seeds}
    given = {key: text for key, text in texts.items() if text is not None}
    if grid is not None and (given or assignments):
        raise InputError("give a file of grids, or --strategy, --scenario, --seeds and --set; not both")
    if grid is None and strategy is None:
        raise InputError("nothing to sweep: give --strategy er,avcl, or a YAML file of grids")
    grids = read_grids(grid) if grid is not None else [grid_of_texts(given, assignments or [])]
    shared: dict[str, object] = {"threads": threads}
    named = {"plugins": plugin or None, "data": data or os.environ.get("AVBENCH_DATA"), "device": device}
    shared |= {key: value for key, value in named.items() if value is not None}
    runs = plan_sweep(grids, below=[Layer("the command line", shared)])
    devices = {each.plan.config.device for each in runs}
    if not devices <= {"cpu", "cuda:0"}:
        raise InputError(
            f"device {max(devices)}: a sweep gives each run a GPU of its own; give cuda, and choose GPUs "
            "with CUDA_VISIBLE_DEVICES"
        )
    # A grid may say otherwise than --threads; who makes room for a run makes it for the largest.
    threads = max(each.plan.config.threads for each in runs)
    states = states_of(runs, results)
    _ask_slurm(states, on)
    if dry_run:
        _show_plan(states, results, jobs=jobs, threads=threads)
        return
    options = RunOptions(checkpoint_minutes, parse_kinds(log) if log else ())
    _make(states, results, on=on, jobs=jobs, threads=threads, slurm=slurm or [], options=options)


def _ask_slurm(states: list[RunState], on: str) -> None:
    """Mark what is in Slurm's queue, which is left to it wherever the others are made."""
    from avbench.sweep.slurm_queue import mark_queued

    try:
        mark_queued(states)
    except RunError as error:
        if on == "slurm":
            raise
        # No harm is done where one is queued all the same: its job finds the run held, or finished.
        Console(stderr=True).print(
            f"{error}. They are not left to it.", style="yellow", soft_wrap=True, markup=False
        )


def _make(
    states: list[RunState],
    results: Path,
    *,
    on: str,
    jobs: int | None,
    threads: int,
    slurm: list[str],
    options: RunOptions,
) -> None:
    from avbench.experiment import RunInterruptedError
    from avbench.sweep.local import run_here
    from avbench.sweep.view import SweepView, summary

    view = SweepView(Console(stderr=True))
    console = Console(highlight=False, markup=False, soft_wrap=True)
    try:
        with view:
            if on == "here":
                slots = _slots(states, jobs, threads)
                run_here(states, results=results, slots=slots, options=options, watch=view.show)
            elif on == "ray":
                from avbench.sweep.on_ray import run_on_ray

                run_on_ray(
                    states, results=results, threads=threads, jobs=jobs, options=options, watch=view.show
                )
            else:
                from avbench.sweep.on_slurm import submit

                job = submit(states, results=results, threads=threads, settings=slurm, options=options)
    except KeyboardInterrupt:
        raise RunInterruptedError(f"stopped: {summary(states)}; the same command goes on") from None
    if on == "slurm":
        console.print(job)
        return
    console.print(f"{len(states)} runs: {summary(states)}")
    failed = [each for each in states if each.state == "failed"]
    if failed:
        listed = "\n".join(f"  {each.run.label}: {each.note}\n    {_where(each)}" for each in failed)
        raise RunError(f"{len(failed)} of {len(states)} runs failed:\n{listed}")


def _where(state: RunState) -> Path:
    return state.record if state.record.exists() else state.log


def _slots(states: list[RunState], jobs: int | None, threads: int) -> Slots:
    from avbench.devices import cores, gpus
    from avbench.sweep.local import default_slots

    found = gpus() if any(each.run.plan.config.device == "cuda:0" for each in states) else []
    return default_slots(jobs, gpus=found, cores=cores(), threads=threads)


def _show_plan(states: list[RunState], results: Path, *, jobs: int | None, threads: int) -> None:
    from rich.table import Table

    from avbench.progress import clock
    from avbench.record_files import read_records
    from avbench.sweep.estimates import Estimator, clips_to_render

    console = Console(highlight=False)
    estimator = Estimator(read_records(results))
    table = Table(box=None, pad_edge=False)
    for heading in ("run", "state", "time", "by"):
        table.add_column(heading, overflow="fold")
    left: list[float] = []
    checkpoints = [0]
    for each in states:
        if each.state in ("done", "queued"):
            table.add_row(each.run.label, each.state, "", each.note)
            continue
        needed = estimator.of(each.run.plan)
        left.append(needed.seconds)
        checkpoints.append(needed.checkpoint_bytes)
        by = "records of its kind" if needed.measured else "steps on made-up clips"
        table.add_row(each.run.label, each.state, clock(needed.seconds), by)
    console.print(table)
    at_once = len(_slots(states, jobs, threads).free)
    # No run is shorter for having others beside it.
    seconds = max([sum(left) / at_once, *left])
    disk = max(checkpoints) * min(at_once, len(left)) + clips_to_render([each.run.plan for each in states])
    console.print(
        f"{len(states)} runs, {len(left)} to make, {at_once} at a time: about "
        f"{clock(seconds)} (h:mm:ss or m:ss), and up to {disk / 2**20:.0f} MiB of disk on the "
        "way (checkpoints, rendered clips)",
        soft_wrap=True,
    )
