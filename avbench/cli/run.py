"""`avbench run`: one method on one stream, measured after every task."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from avbench.experiment import Outcome

_RUN, _TRAINING, _CLIPS, _SETTINGS = "What is run", "Training", "Clips", "Other settings"


def run(
    *,
    strategy: Annotated[
        str | None,
        typer.Option(
            "--strategy", "-s", help="Method; see avbench list. \\[default: avcl]", rich_help_panel=_RUN
        ),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(help="Stream of tasks. \\[default: vggsound-stream]", rich_help_panel=_RUN),
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(metavar="NUMBER", help="Of all that is random. \\[default: 0]", rich_help_panel=_RUN),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="CLIPS|BYTES",
            help="Size of the rehearsal memory, for methods that have one: 2000, or 512MiB.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="Size: tiny, small or base (the paper's). \\[default: tiny]", rich_help_panel=_RUN),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="shipped, random, or a checkpoint. \\[default: shipped]", rich_help_panel=_RUN),
    ] = None,
    epochs: Annotated[
        str | None,
        typer.Option(metavar="NUMBER", help="Passes over each task's clips.", rich_help_panel=_TRAINING),
    ] = None,
    batch_size: Annotated[
        str | None,
        typer.Option(
            metavar="CLIPS", help="Clips of the stream in an optimiser step.", rich_help_panel=_TRAINING
        ),
    ] = None,
    micro_batch_size: Annotated[
        str | None,
        typer.Option(
            metavar="CLIPS",
            help="Clips in one forward pass, if fewer: less memory.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    learning_rate: Annotated[
        str | None, typer.Option(metavar="RATE", help="Of the one Adam optimiser.", rich_help_panel=_TRAINING)
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="float32 or bfloat16 (autocast).", rich_help_panel=_TRAINING)
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="auto, cpu, cuda, cuda:1, ... \\[default: auto]", rich_help_panel=_TRAINING),
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER",
            help="Threads of torch on the CPU. \\[default: the cores, at most 4]",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Folder of prepared clips; AVBENCH_DATA where not given; rendered clips without either.",
            rich_help_panel=_CLIPS,
        ),
    ] = None,
    augment: Annotated[
        bool | None,
        typer.Option(help="Augment training clips. \\[default: real ones only]", rich_help_panel=_CLIPS),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER", help="Processes that load clips; 0: this one.", rich_help_panel=_CLIPS
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of settings.", rich_help_panel=_SETTINGS)
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any setting or option; may be repeated. Options of strategy and scenario go by their name.",
            rich_help_panel=_SETTINGS,
        ),
    ] = None,
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|CLASS",
            help="Strategy or scenario of yours: a Python file, or package.module:Class, which may also be a "
            "plugin of Avalanche; may be repeated.",
            rich_help_panel=_SETTINGS,
        ),
    ] = None,
    results: Annotated[
        Path, typer.Option(help="Folder of records, tables and plots.", rich_help_panel=_SETTINGS)
    ] = Path("results"),
    log: Annotated[
        str | None,
        typer.Option(
            metavar="KIND,...",
            help="Log the run while it goes, to RESULTS/logs: tensorboard, wandb, csv, or several of them.",
            rich_help_panel=_SETTINGS,
        ),
    ] = None,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Run from the start even if this very run is finished or has a checkpoint.",
            rich_help_panel=_SETTINGS,
        ),
    ] = False,
    checkpoint_minutes: Annotated[
        float,
        typer.Option(
            min=0,
            help="Minutes between checkpoints, at least; 0 saves after every step. Ends of tasks are saved "
            "as well.",
            rich_help_panel=_SETTINGS,
        ),
    ] = 5,
    checkpoints: Annotated[
        bool,
        typer.Option(
            "--checkpoints/--no-checkpoints",
            help="Save what a stopped run goes on from.",
            rich_help_panel=_SETTINGS,
        ),
    ] = True,
    report: Annotated[
        bool,
        typer.Option(
            "--report/--no-report",
            help="Make table and plots of all runs of the stream at the end.",
            rich_help_panel=_SETTINGS,
        ),
    ] = True,
) -> None:
    """Pre-train on a stream, task by task, and measure retrieval, forgetting, memory and speed.

    Leaves a record in RESULTS/runs, and a table and plots made from all records there. Where there are no
    prepared clips, clips are rendered, and the results labelled so. A run that is finished is not repeated;
    one that was stopped or killed goes on from its last checkpoint, to the same result bit for bit.

    Settings come from the defaults, then --config, then --set, then the plain options, later ones winning.

    Examples:

        avbench run --strategy avcl --scenario vggsound-stream

        avbench run -s er --memory 500 --seed 1

        avbench run -s avcl-plus --memory 16MiB

        avbench run -s avcl --set core_ratio=0.25 --epochs 2

        avbench run -s avcl --log tensorboard,csv

        avbench run -s my-method --plugin my_method.py

        avbench run -s from-scratch-training --plugin avalanche.training.plugins:FromScratchTrainingPlugin

        avbench run -s avcl --backbone base --data stores/vggsound --start checkpoint.pth --device cuda

        torchrun --nproc-per-node 2 -m avbench run -s er      (one run over two devices)
    """
    given: dict[str, Any] = {
        "strategy": strategy, "scenario": scenario, "seed": seed, "memory": memory, "backbone": backbone,
        "start": start, "epochs": epochs, "batch_size": batch_size, "micro_batch_size": micro_batch_size,
        "learning_rate": learning_rate, "precision": precision, "device": device, "threads": threads,
        "data": data, "augment": augment, "workers": workers,
        "plugins": plugin or None,
    }  # fmt: skip
    from avbench import processes
    from avbench.configuration import Layer, read_assignments, read_settings
    from avbench.experiment import run_experiment
    from avbench.loggers import parse_kinds
    from avbench.record_files import log_folder
    from avbench.resolving import resolve

    layers = (
        [Layer("AVBENCH_DATA", {"data": os.environ["AVBENCH_DATA"]})] if "AVBENCH_DATA" in os.environ else []
    )
    if config is not None:
        layers.append(read_settings(config))
    layers.append(read_assignments(assignments or []))
    layers.append(
        Layer("the command line", {key: value for key, value in given.items() if value is not None})
    )
    kinds = () if log is None else parse_kinds(log)
    with processes.joined():
        outcome = run_experiment(
            resolve(layers),
            results=results,
            again=again,
            checkpoint_minutes=checkpoint_minutes if checkpoints else None,
            log=kinds,
            console=Console(stderr=True),
        )
        first = processes.rank() == 0
    if first:
        logs = [log_folder(results, outcome.path) / kind for kind in kinds]
        _report(outcome, results if report else None, logs)


def _report(outcome: Outcome, results: Path | None, logs: Sequence[Path]) -> None:
    """Show the run's result; with `results`, make table and plots of all runs of its stream there."""
    from avbench.run_report import result_table, write_report

    console = Console(highlight=False)
    record = outcome.record
    if outcome.repeated:
        nothing = ", so nothing was logged" if logs else ""
        console.print(
            f"This run was finished on {record.timing.finished}{nothing}; --again repeats it.", markup=False
        )
    console.print(result_table(record))
    for note in record.notes:
        console.print(f"Note: {note}", style="yellow", soft_wrap=True, markup=False)
    console.print(f"record  {outcome.path}", soft_wrap=True, markup=False)
    for path in logs if not outcome.repeated else []:
        console.print(f"log     {path}", soft_wrap=True, markup=False)
    for kind, path in write_report(record, results) if results is not None else []:
        console.print(f"{kind:<7} {path}", soft_wrap=True, markup=False)
