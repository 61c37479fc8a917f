"""`avbench memory`: what a training step of each method needs, without running it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from avbench.errors import InputError, RunError, did_you_mean

if TYPE_CHECKING:
    from avbench.clips import ClipGeometry
    from avbench.method_memory import MethodMemory
    from avbench.settings import Precision

UNITS = {"GB": 1e9, "MB": 1e6}


def memory(
    *,
    backbone: Annotated[str, typer.Option(help="Size of the backbone: tiny, small or base.")] = "base",
    batch_size: Annotated[int, typer.Option(min=2, help="Clips of the stream in a step.")] = 9,
    strategy: Annotated[
        str, typer.Option(help="Strategies, with commas between; 'all' for every one there is.")
    ] = "finetune,er,avcl",
    frames: Annotated[int, typer.Option(min=1, help="Frames of a clip.")] = 4,
    frame_size: Annotated[int, typer.Option(min=16, help="Height and width of a frame in pixels.")] = 224,
    mel_frames: Annotated[int, typer.Option(min=16, help="Time steps of the spectrogram.")] = 1024,
    micro_batch_size: Annotated[
        int | None, typer.Option(min=1, help="Clips in a forward pass; the whole batch by default.")
    ] = None,
    precision: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|CLASS",
            help="A further strategy: a Python file, or package.module:Class; may be repeated.",
        ),
    ] = None,
) -> None:
    """Show the peak memory of a training step per method, without running it.

    The method's own code runs on tensors without contents, in the second step of training, and every byte
    alive at once is counted: parameters, gradients, optimiser state, what the method keeps, batch and
    activations. The rehearsal memory lies beside the device and has a column of its own.

    Examples:

        avbench memory                                        (the paper's geometry and batch)

        avbench memory --backbone tiny --batch-size 16 --frame-size 64 --mel-frames 128 --strategy all
    """
    # Imported here: the command line's help does not wait for torch.
    from avbench.backbone.sizes import BACKBONES
    from avbench.method_memory import method_memory
    from avbench.registry import catalogue
    from avbench.settings import SETTINGS

    if backbone not in BACKBONES:
        raise InputError(f"--backbone: there is no backbone {backbone!r}{did_you_mean(backbone, BACKBONES)}")
    geometry = _geometry(frames, frame_size, mel_frames)
    settings = replace(
        SETTINGS[backbone],
        batch_size=batch_size,
        micro_batch_size=micro_batch_size,
        precision=_precision(precision),
    )
    found = catalogue("strategy", plugin or [])
    names = sorted(found.plugins) if strategy == "all" else [name.strip() for name in strategy.split(",")]
    classes = {name: found.get(name).cls for name in names}
    console = Console()
    rows: list[MethodMemory] = []
    refused: list[str] = []
    with console.status("") as status:
        for name, cls in classes.items():
            status.update(f"measuring {name}")
            try:
                measured = method_memory(name, cls, backbone=backbone, geometry=geometry, settings=settings)
            except RunError as error:
                # Said below, and the command fails; the others are still shown.
                refused.append(f"{name}: {error}")
            else:
                rows.append(measured)
    if rows:
        console.print(_grid(rows, f"Peak of a training step: {backbone} backbone, batch of {batch_size}"))
        for line in _explained(rows):
            console.print(line, highlight=False)
    if refused:
        raise RunError("not measured: " + "; ".join(refused))


def _geometry(frames: int, frame_size: int, mel_frames: int) -> ClipGeometry:
    from avbench.clips import MODALITIES, ClipGeometry

    options = "--frames, --frame-size, --mel-frames"
    try:
        geometry = ClipGeometry(frames=frames, frame_size=frame_size, mel_frames=mel_frames)
    except ValueError as error:
        raise InputError(f"{options}: {error}") from error
    for modality in MODALITIES:
        # A masked pass keeps a fifth of the patches.
        if geometry.patches(modality) < 5:
            raise InputError(
                f"{options}: {geometry.patches(modality)} patches of {modality} are too few to mask"
            )
    return geometry


def _precision(text: str) -> Precision:
    names: dict[str, Precision] = {"float32": "float32", "bfloat16": "bfloat16"}
    if text not in names:
        raise InputError(f"--precision: there is no precision {text!r}{did_you_mean(text, names)}")
    return names[text]


def _grid(rows: list[MethodMemory], title: str) -> Table:
    from avbench.method_memory import ATTENTIONS, REFERENCE

    grid = Table(title=title, box=SIMPLE_HEAD, padding=(0, 0))
    largest = max((step.peak for row in rows for step in row.steps.values()), default=0)
    unit = "GB" if largest >= UNITS["GB"] else "MB"
    one = UNITS[unit]
    grid.add_column("Method")
    shows_published = any(row.published_gigabytes for row in rows)
    for heading in (
        *(f"{attention}\n{unit}" for attention in ATTENTIONS),
        *["published\nGB"] * shows_published,
    ):
        grid.add_column(heading, justify="right")
        grid.add_column(f"\n/ {REFERENCE}", justify="right")
    grid.add_column(f"rehearsal\n{unit}", justify="right")
    grid.add_column(f"other\n{unit}", justify="right")
    reference = next((row for row in rows if row.strategy == REFERENCE), None)
    for row in rows:
        cells = [row.strategy]
        for attention in ATTENTIONS:
            base = reference.steps[attention].peak / one if reference else None
            cells += _beside(row.steps[attention].peak / one, base)
        if shows_published:
            cells += _beside(row.published_gigabytes, reference.published_gigabytes if reference else None)
        held = row.steps["fused"].account
        grid.add_row(*cells, f"{held.rehearsal_memory / one:.2f}", f"{held.other_state / one:.2f}")
    return grid


def _beside(gigabytes: float | None, reference: float | None) -> list[str]:
    if gigabytes is None:
        return ["", ""]
    return [f"{gigabytes:.2f}", f"{gigabytes / reference:.3f}" if reference else ""]


def _explained(rows: list[MethodMemory]) -> list[str]:
    from avbench.method_memory import REFERENCE

    lines = [
        "GB are 10^9 bytes (MB 10^6), counted on fake tensors with the kernels of a CPU.",
        "Fused: attention as avbench trains, which keeps no token x token matrix. Materialised: with these "
        "matrices written out, as the paper's code does.",
    ]
    if any(row.published_gigabytes for row in rows):
        lines.append(
            "Published: peak of a V100 (STELLA, ICML 2024), all it held; compare its ratios with those of "
            "materialised attention."
        )
    else:
        lines.append(
            "The paper has figures for --backbone base --batch-size 9 at the default geometry alone."
        )
    if not any(row.strategy == REFERENCE for row in rows):
        lines.append(f"For ratios, measure {REFERENCE} along with the others.")
    lines.append(
        "Rehearsal: the rehearsal memory when it is full, beside the device. Other: teachers, slow copies."
    )
    return lines
