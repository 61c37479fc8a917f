"""`avbench data`: make clip stores, and check them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from avbench.errors import DataError, InputError

app = typer.Typer(
    no_args_is_help=True,
    help="Prepare clips once, so that training reads them fast; check what was prepared.",
)
prepare = typer.Typer(no_args_is_help=True, help="Decode a data set's videos into a clip store.")
app.add_typer(prepare, name="prepare")

# What `verify` prints before it counts the rest.
_DAMAGE_SHOWN = 100


@prepare.callback()
def _data_sets() -> None:
    """Decode a data set's videos into a clip store, once."""


@prepare.command("vggsound")
def prepare_vggsound(
    videos: Annotated[Path, typer.Option(help="Folder of the mp4 files, named {id}_{start:06d}.mp4.")],
    table: Annotated[
        Path,
        typer.Option("--csv", help="VGGSound's official CSV: YouTube id, start second, label, train|test."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the store: made, or gone on with.")],
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that decode; 0: as many as there are cores.")
    ] = 0,
) -> None:
    """Decode VGGSound into a clip store: 80 frames of 10 s, the sound, its spectrogram.

    Interrupted, the same command goes on where it stopped. Every clip that is missing or refused is listed
    with the reason in OUT/report.csv; none is replaced.

    Example: avbench data prepare vggsound --videos VGGSound/video --csv vggsound.csv --out stores/vggsound
    """
    # Imported here: the command line's help does not wait for torch.
    from avbench import preparation
    from avbench.clip_progress import ClipProgress
    from avbench.store_layout import REPORT

    entries = preparation.read_vggsound_csv(table)
    with ClipProgress("preparing", len(entries), bad="refused") as progress:
        summary = preparation.prepare_vggsound(
            videos,
            entries,
            out,
            workers=workers or _cores(),
            observe=lambda done: progress.count(done.reason is not None, earlier=done.earlier),
        )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{out}: {summary.kept} clips of {len(entries)}")
    for reason, count in summary.refused.items():
        console.print(f"  {count} {reason}")
    if summary.refused:
        console.print(f"Which ones and why: {out / REPORT}")


@app.command()
def verify(
    store: Annotated[Path, typer.Argument(help="Folder of the store.", show_default=False)],
) -> None:
    """Read everything in a clip store and say what is damaged; exit with 1 if anything is.

    Example: avbench data verify stores/vggsound
    """
    from avbench.clip_progress import ClipProgress
    from avbench.store_layout import read_header
    from avbench.verification import verify_store

    total = read_header(store)["clips"]
    with ClipProgress("verifying", total, bad="damaged") as progress:
        damage = verify_store(store, lambda key, damaged: progress.count(damaged))
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for item in damage[:_DAMAGE_SHOWN]:
        whose = f"clip {item.clip}" if item.clip else "the shard itself"
        console.print(f"{item.shard}: {whose}: {item.what}")
    if len(damage) > _DAMAGE_SHOWN:
        console.print(f"and {len(damage) - _DAMAGE_SHOWN} more")
    if damage:
        clips = len({item.clip for item in damage if item.clip})
        raise DataError(f"{store} is damaged, {clips} of {total} clips: prepare it again into another folder")
    console.print(f"{store}: all {total} clips are as they were written")


def _cores() -> int:
    """Return the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    cores = os.cpu_count()
    if cores is None:
        raise InputError("the number of cores is not known here: give --workers")
    return cores
