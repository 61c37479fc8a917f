"""`avbench pretrain`: make the start that runs begin from."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from avbench.errors import InputError
from avbench.progress import clock

if TYPE_CHECKING:
    from avbench.pretraining import Lesson

_STEPS_A_LINE = 100
# The recipe of the shipped start: steps and mask ratio on the lesson of one law, then twice on that of codes.
_LAW, _CODES, _LAST = (500, 0.6), (1600, 0.6), (500, 0.7)


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
    matching_steps: Annotated[int, typer.Option(min=1, help="Steps of the matching module.")] = 400,
    batch_size: Annotated[int, typer.Option(min=2, help="Clips a step.")] = 48,
    learning_rate: Annotated[float, typer.Option(help="Highest rate of the backbone.")] = 1.5e-3,
    contrastive_weight: Annotated[
        float, typer.Option(help="Of the contrastive loss; the paper has 0.1.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is random.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch on the CPU.")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes that load clips; 0: this one.")] = 0,
) -> None:
    """Pre-train a backbone and its matching module on clips outside the stream, for `avbench run --start`.

    Without --data this is the recipe of the start that avbench ships for the tiny backbone; on the
    same kind of machine, with the versions in the file's header, it gives the same parameters to the bit.

    Examples:

        avbench pretrain --out tiny.safetensors

        avbench pretrain --backbone base --data stores/audioset20k --from mae_vit_base.pth --steps 10000 \\
            --batch-size 48 --learning-rate 1e-4 --contrastive-weight 0.1 --device cuda --out base.safetensors
    """
    _check_out(out)
    if (data is None) == (steps is not None):
        raise InputError(
            "--data and --steps go together: the rendered lessons have their own numbers of steps"
        )
    import torch

    from avbench.backbone import BACKBONES, CAVMAE, load_published
    from avbench.defaults import PUBLISHED_WINDOW
    from avbench.devices import available_device, compute_exactly
    from avbench.environment import versions
    from avbench.errors import did_you_mean
    from avbench.loading import geometry_of
    from avbench.matching import AudioVideoMatching
    from avbench.pretraining import Lesson, PretrainingSettings
    from avbench.pretraining import pretrain as train
    from avbench.randomness import Randomness
    from avbench.rendered.cache import open_rendered
    from avbench.rendered.store import clips_of_start
    from avbench.start import save_start
    from avbench.store.reading import ClipStore
    from avbench.streaming import FRAMES, default_frame_size

    if backbone not in BACKBONES:
        raise InputError(f"--backbone {backbone}: there is none{did_you_mean(backbone, BACKBONES)}")
    device = available_device(device)
    console = Console(stderr=True)
    torch.set_num_threads(threads)
    if data is None:
        law, codes = (open_rendered(clips, console) for clips in clips_of_start())
        lessons = [Lesson(law, *_LAW), Lesson(codes, *_CODES), Lesson(codes, *_LAST)]
    else:
        assert steps is not None
        lessons = [Lesson(ClipStore(data), steps)]
    rendered = all(lesson.store.source == "rendered" for lesson in lessons)
    settings = PretrainingSettings(
        batch_size=batch_size,
        learning_rate=learning_rate,
        contrastive_weight=contrastive_weight,
        matching_steps=matching_steps,
        window=1.0 if rendered else PUBLISHED_WINDOW,
        augment=not rendered,
        workers=workers,
    )
    stored = lessons[0].store.format
    size, randomness = BACKBONES[backbone], Randomness(seed)
    geometry = geometry_of(stored, frames=FRAMES, frame_size=default_frame_size(stored))
    model, matching = CAVMAE(size, geometry), AudioVideoMatching(size.width, size.heads)
    model.initialise(randomness.torch("initial"))
    if begin is not None:
        console.print(str(load_published(begin, model, matching)), markup=False)

    with compute_exactly(), _StepProgress(console) as progress:
        train(
            model,
            matching,
            lessons,
            settings,
            randomness,
            device=device,
            observe=progress.tell,
        )
    header = {
        "backbone": backbone,
        "geometry": str(geometry),
        "seed": str(seed),
        "threads": str(threads),
        "settings": str(settings),
        "lessons": "; ".join(_described(lesson) for lesson in lessons),
        "from": str(begin) if begin else "random",
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "losses": ", ".join(f"{what} {loss:.3f}" for what, loss in progress.losses.items()),
    }
    fingerprint = save_start(out, model, matching, header)
    console.print(f"{out}: start {fingerprint}, last losses {header['losses']}", markup=False, soft_wrap=True)


class _StepProgress:
    """Shows what is trained, steps, loss and time left: bars on a terminal, a line every 100 steps elsewhere.

    Attributes:
        losses: the running mean of each part's loss.
    """

    def __init__(self, console: Console) -> None:
        self.losses: dict[str, float] = {}
        self._console = console
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=console, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}

    def __enter__(self) -> _StepProgress:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def tell(self, what: str, step: int, steps: int, loss: float) -> None:
        """Take one step of `what` into account."""
        if step == 1:
            self.losses[what] = loss
            self._tasks[what] = self._bars.add_task(what, total=steps)
            self._started[what] = time.monotonic()
        self.losses[what] = 0.98 * self.losses[what] + 0.02 * loss
        shown = f"{what}, loss {self.losses[what]:.3f}"
        if self._console.is_terminal:
            self._bars.update(self._tasks[what], completed=step, description=shown)
        elif step % _STEPS_A_LINE == 0 or step == steps:
            left = (time.monotonic() - self._started[what]) / step * (steps - step)
            self._console.print(f"{shown}: step {step} of {steps}, {clock(left)} left", soft_wrap=True)


def _check_out(out: Path) -> None:
    # Now, not after an hour of training.
    if out.suffix != ".safetensors":
        raise InputError(f"--out {out}: wanted a name that ends in .safetensors")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: cannot write there: {error.strerror}") from error


def _described(lesson: Lesson) -> str:
    store = lesson.store
    return f"{lesson.steps} steps, {lesson.mask_ratio} masked, on {store.source} clips {store.fingerprint}"
