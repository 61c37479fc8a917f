"""Pictures of exhibits: what is in them, where it is, and that the same exhibits give the same bytes."""

from __future__ import annotations

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm

from avbench.comparison import comparisons
from avbench.errors import InputError
from avbench.exhibits.figures import draw_gallery, draw_selection, write_exhibit_figures
from avbench.exhibits.file import exhibits_path, write_exhibits
from avbench.exhibits.overlays import as_seen, heated, lit, picture_of, spectrogram_picture
from avbench.record_files import record_path

IMPORTANCE = ScalarMappable(LogNorm(0.1, 10), mpl.colormaps["inferno"])


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def record(make_record):
    return make_record("avcl", 1)


@pytest.fixture
def exhibits(record, make_exhibits):
    return make_exhibits(record)


def words(figure):
    return " ".join(item.get_text() for item in figure.findobj(plt.Text))


def pictures(figure):
    """The pictures of a selection, row by row: two frames and a spectrogram each."""
    found = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    return [found[place : place + 3] for place in range(0, len(found), 3)]


def test_a_gallery_has_every_query_and_the_means_of_each_task(exhibits):
    figure = draw_gallery(exhibits)
    for axes, picture in zip(figure.axes, (exhibits.at_start, exhibits.at_end), strict=True):
        lines = [line.get_xydata() for line in axes.lines]
        # Of each task: its sounds, its videos, the line between their means, and both ends.
        assert [len(line) for line in lines] == [3, 3, 2, 1, 1] * 8
        of_task = exhibits.task_of_query == 2
        assert np.allclose(lines[10], picture.plane.audio[of_task])
        assert np.allclose(lines[11], picture.plane.video[of_task])
        means = [picture.plane.audio[of_task].mean(axis=0), picture.plane.video[of_task].mean(axis=0)]
        assert np.allclose(lines[12], means)
        for line in lines:
            assert np.abs(line).max() <= axes.get_xlim()[1]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    text = words(figure)
    assert "rendered clips" in text
    assert "modality gap 1.00" in text
    assert "modality gap 0.50 (tasks: 0.50 to 0.50)" in text
    assert all(task in text for task in exhibits.tasks)


def test_a_selection_shows_clip_importance_pruning_and_what_is_kept(exhibits):
    figure = draw_selection(exhibits, 1)
    selected = exhibits.selected
    clip, importance, pruning, kept = pictures(figure)
    frames = [picture_of(frame) for frame in selected.frames[1]]
    spectrogram = spectrogram_picture(selected.spectrogram[1])
    for shown, expected in zip(clip, [*frames, spectrogram], strict=True):
        assert np.allclose(shown, expected)
    scores = selected.video.importance[1], selected.audio.importance[1]
    video, audio = ((values / values.mean()).clip(0.1) for values in scores)
    assert np.allclose(importance[1], heated(frames[1], video[1], IMPORTANCE))
    assert np.allclose(importance[2], heated(spectrogram, as_seen(audio), IMPORTANCE))
    assert not np.allclose(pruning[2], importance[2])
    assert np.allclose(kept[0], lit(frames[0], selected.video.kept[1, 0]))
    assert np.allclose(kept[2], lit(spectrogram, as_seen(selected.audio.kept[1])))
    text = words(figure)
    assert "rendered clips" in text
    assert "task music (clip 11)" in text
    assert "importance: attention" in text
    assert f"{selected.audio.kept[1].mean():.0%} of audio" in text


def test_only_what_a_method_has_is_drawn(exhibits):
    selected = exhibits.selected
    bare = {
        name: replace(getattr(selected, name), importance=None, pruning=None) for name in ("video", "audio")
    }
    nothing = replace(exhibits, selected=replace(selected, **bare, importance_is=""))
    figure = draw_selection(nothing, 0)
    assert len(pictures(figure)) == 2
    assert "importance" not in words(figure)
    # As motion-centric selection: video has scores, audio is drawn at random.
    motion = replace(selected.video, pruning=None)
    moving = replace(exhibits, selected=replace(selected, **bare | {"video": motion}))
    figure = draw_selection(moving, 0)
    clip, importance, _ = pictures(figure)
    assert np.array_equal(importance[2], clip[2])
    assert "none: each as likely" in words(figure)


def test_scores_of_nothing_are_drawn_as_nothing(exhibits):
    selected = exhibits.selected
    still = replace(selected.video, importance=np.zeros_like(selected.video.importance))
    drawn = pictures(draw_selection(replace(exhibits, selected=replace(selected, video=still)), 0))
    # No patch of clip 0 is given up to anything: greys alone.
    assert np.allclose(drawn[2][0].std(axis=2), 0)
    assert all(np.isfinite(picture).all() for row in drawn for picture in row)


def test_what_cannot_be_drawn_is_refused(exhibits):
    with pytest.raises(InputError, match="2 are shown"):
        draw_selection(exhibits, 2)
    with pytest.raises(InputError, match="avcl trains with all patches"):
        draw_selection(replace(exhibits, selected=None), 0)


def test_figures_are_written_of_the_first_run_that_left_exhibits(make_record, make_exhibits, tmp_path):
    records = [make_record(name, seed) for name in ("avcl", "er") for seed in (0, 1, 2)]
    for record in records:
        # Seed 0 was run before there were exhibits.
        if record.seed:
            path = record_path(tmp_path, record.configuration, source=record.source, identity=record.identity)
            write_exhibits(make_exhibits(record, selects=record.strategy == "avcl"), exhibits_path(path))
    (comparison,) = comparisons(records)
    paths = write_exhibit_figures(comparison, tmp_path, tmp_path / "plots")
    stem = "vggsound-stream-rendered-tiny"
    assert [path.name for path in paths if path.suffix == ".png"] == [
        f"{stem}-{name}.png"
        for name in ("gallery-avcl", "selection-avcl-sports", "selection-avcl-music", "gallery-er")
    ]
    assert len(paths) == 8
    assert all(path.stat().st_size > 1000 for path in paths)
