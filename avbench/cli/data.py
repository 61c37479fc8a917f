"""`avbench data`: make clip stores, and check them."""

from __future__ import annotations

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
    from avbench.devices import cores
    from avbench.store.clip_progress import ClipProgress
    from avbench.store.layout import REPORT

    entries = preparation.read_vggsound_csv(table)
    with ClipProgress("preparing", len(entries), bad="refused") as progress:
        summary = preparation.prepare_vggsound(
            videos,
            entries,
            out,
            workers=workers or cores(),
            observe=lambda done: progress.count(done.reason is not None, earlier=done.earlier),
        )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{out}: {summary.kept} clips of {len(entries)}")
    for reason, count in summary.refused.items():
        console.print(f"  {count} {reason}")
    if summary.refused:
        console.print(f"Which ones and why: {out / REPORT}")


@app.command()
def render(
    *,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the store, or of the videos. \\[default: in the cache]")
    ] = None,
    scenario: Annotated[str, typer.Option(help="Whose classes to render.")] = "vggsound-stream",
    training_clips: Annotated[int, typer.Option(min=1, help="Training clips of a class.")] = 20,
    gallery_clips: Annotated[int, typer.Option(min=1, help="Gallery clips of a class.")] = 5,
    as_mp4: Annotated[
        bool,
        typer.Option("--as-mp4", help="Write mp4 files of 10 s and a CSV in VGGSound's layout instead."),
    ] = False,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that render; 0: as many as there are cores.")
    ] = 0,
) -> None:
    """Render the clips of a stream, for trying things without a data set.

    Results on them are labelled rendered everywhere. `avbench run` does this by itself where it has no data.

    Examples:

        avbench data render

        avbench data render --as-mp4 --training-clips 1 --gallery-clips 1 --out rendered
    """
    from dataclasses import replace

    from avbench.devices import cores
    from avbench.registry import catalogue
    from avbench.rendered.cache import cache_folder
    from avbench.rendered.store import clips_of_stream, render_store
    from avbench.rendered.videos import write_videos
    from avbench.store.clip_progress import ClipProgress

    made = catalogue("scenario").get(scenario).cls()
    clips = replace(
        clips_of_stream(scenario, made), training_clips=training_clips, gallery_clips=gallery_clips
    )
    if as_mp4 and out is None:
        raise InputError("--as-mp4 needs --out FOLDER for the videos")
    target = out or cache_folder() / clips.folder
    console = Console(highlight=False, markup=False, soft_wrap=True)
    with ClipProgress("rendering", len(clips.entries()), bad="refused") as progress:
        if as_mp4:
            table = write_videos(clips, target, lambda key: progress.count(False))
        else:
            render_store(
                clips,
                target,
                workers=workers or cores(),
                observe=lambda done: progress.count(done.reason is not None, earlier=done.earlier),
            )
    console.print(f"{target}: {len(clips.entries())} rendered clips of {len(clips.designs)} classes")
    if as_mp4:
        console.print(f"avbench data prepare vggsound --videos {target / 'video'} --csv {table} --out STORE")


@app.command()
def verify(
    store: Annotated[Path, typer.Argument(help="Folder of the store.", show_default=False)],
) -> None:
    """Read everything in a clip store and say what is damaged; exit with 1 if anything is.

    Example: avbench data verify stores/vggsound
    """
    from avbench.store.clip_progress import ClipProgress
    from avbench.store.layout import read_header
    from avbench.store.verification import verify_store

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
