"""`avbench pretrain`: make the start that runs begin from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from avbench.errors import InputError

# The recipe of the shipped start: steps on the lesson of one law, then on the lesson of many codes with less
# and with more masked.
_LAW_STEPS, _CODE_STEPS, _LAST_STEPS = 700, 1800, 700
_PAGE_STEPS = 100


def pretrain(
    *,
    out: Annotated[Path, typer.Option(help="File to write, .safetensors.")],
    backbone: Annotated[str, typer.Option(help="Size: tiny, small or base.")] = "tiny",
    data: Annotated[
        Path | None,
        typer.Option(help="Store to train on; else rendered clips of classes outside every stream."),
    ] = None,
    begin: Annotated[
        Path | None, typer.Option("--from", help="Checkpoint to begin from, such as image-MAE weights.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the backbone; needed with --data.")
    ] = None,
    matching_steps: Annotated[int, typer.Option(min=1, help="Steps of the matching module.")] = 500,
    batch_size: Annotated[int, typer.Option(min=2, help="Clips a step.")] = 64,
    learning_rate: Annotated[float, typer.Option(help="Highest rate of the backbone.")] = 1.5e-3,
    contrastive_weight: Annotated[
        float, typer.Option(help="Of the contrastive loss; the paper has 0.1.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is random.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch on the CPU.")] = 2,
    workers: Annotated[int, typer.Option(min=0, help="Processes that load clips; 0: this one.")] = 0,
) -> None:
    """Pre-train a backbone and its matching module on clips outside the stream, for `avbench run --start`.

    Without --data this is the recipe of the start that avbench ships for the tiny backbone; on the machine
    and with the versions named in the file's header it gives the same file to the bit.

    Examples:

        avbench pretrain --out tiny.safetensors

        avbench pretrain --backbone base --data stores/audioset20k --from mae_vit_base.pth --steps 10000 \\
            --batch-size 48 --learning-rate 1e-4 --contrastive-weight 0.1 --device cuda --out base.safetensors
    """
    if out.suffix != ".safetensors":
        raise InputError(f"--out {out}: wanted a name that ends in .safetensors")
    if (data is None) == (steps is not None):
        raise InputError("--data and --steps go together: the rendered lessons have their own numbers of steps")
    import torch

    from avbench.backbone import BACKBONES, CAVMAE, load_published
    from avbench.devices import available_device
    from avbench.environment import describe_environment
    from avbench.errors import did_you_mean
    from avbench.loading import PUBLISHED_WINDOW
    from avbench.matching import AudioVideoMatching
    from avbench.pretraining import Lesson, PretrainingSettings
    from avbench.pretraining import pretrain as train
    from avbench.randomness import Randomness
    from avbench.start import save_start
    from avbench.store import ClipStore
    from avbench.streaming import frame_size_for, open_rendered
    from avbench.rendered_store import clips_of_start

    if backbone not in BACKBONES:
        raise InputError(f"--backbone {backbone}: there is none{did_you_mean(backbone, BACKBONES)}")
    torch.set_num_threads(threads)
