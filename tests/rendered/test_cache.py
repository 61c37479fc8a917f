"""The cache of rendered stores: where it is, and that nothing is rendered twice."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from avbench.rendered.cache import cache_folder, open_rendered
from avbench.rendered.store import RenderedClips, render_store
from avbench.rendered.world import stream_classes

CLIPS = RenderedClips("small", stream_classes("small", [["bell"]]), training_clips=2, gallery_clips=1)


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("AVBENCH_CACHE", str(tmp_path / "cache"))
    # Processes of their own take seconds to start.
    monkeypatch.setattr("avbench.rendered.cache.cores", lambda: 1)
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("set_to", "wanted"),
    [
        ({"AVBENCH_CACHE": "/my/cache", "XDG_CACHE_HOME": "/xdg"}, "/my/cache"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/avbench"),
        ({"HOME": "/home/me"}, "/home/me/.cache/avbench"),
        ({"AVBENCH_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/home/me"}, "/home/me/.cache/avbench"),
    ],
)
def test_where_the_cache_is(monkeypatch, set_to, wanted):
    for name in ("AVBENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(wanted)


def test_clips_are_rendered_once(cache, console, monkeypatch):
    store = open_rendered(CLIPS, console)
    assert store.path == cache / CLIPS.folder
    assert len(store) == 3
    assert "rendering" in console.file.getvalue()

    def refuse(*arguments, **options):
        raise AssertionError("rendered again")

    monkeypatch.setattr("avbench.rendered.cache.render_store", refuse)
    quiet = Console(file=io.StringIO())
    assert open_rendered(CLIPS, quiet).fingerprint == store.fingerprint
    assert quiet.file.getvalue() == ""


def test_an_interrupted_rendering_is_completed(cache, console):
    def interrupt(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_store(CLIPS, cache / CLIPS.folder, workers=1, observe=interrupt)
    assert len(open_rendered(CLIPS, console)) == 3


def test_a_store_is_found_wherever_the_cache_is(cache, console, monkeypatch, tmp_path):
    first = open_rendered(CLIPS, console)
    monkeypatch.setenv("AVBENCH_CACHE", str(tmp_path / "other"))
    second = open_rendered(CLIPS, console)
    assert first.path != second.path
    assert first.fingerprint == second.fingerprint
