"""The cache of rendered stores: each is rendered once and then used by every run."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from avbench.devices import cores
from avbench.lock import held
from avbench.progress import say
from avbench.rendered.store import RenderedClips, render_store
from avbench.store.clip_progress import ClipProgress
from avbench.store.reading import ClipStore, is_store


def cache_folder() -> Path:
    """Return where rendered stores are kept: AVBENCH_CACHE, or avbench in the user's cache folder."""
    if given := os.environ.get("AVBENCH_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "avbench"


def open_rendered(clips: RenderedClips, console: Console) -> ClipStore:
    """Open the store of `clips` in the cache; render it first, with a progress bar, if it is not there.

    Raises:
        InputError, RunError: the cache cannot be written to, or the disk is full.
    """
    path = cache_folder() / clips.folder
    # Two runs started together both want the clips: the second waits for the first.
    with held(path, f"rendering {path}", wait=lambda sentence: say(console, sentence)):
        if not is_store(path):
            total = len(clips.entries())
            with ClipProgress("rendering", total, bad="refused", console=console) as progress:
                render_store(
                    clips,
                    path,
                    workers=cores(),
                    observe=lambda done: progress.count(done.reason is not None, earlier=done.earlier),
                )
    return ClipStore(path)
