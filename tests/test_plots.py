"""Figures: which there are, that they name the source, and that the same records give the same bytes."""

from __future__ import annotations

import pytest
from matplotlib import pyplot as plt

from avbench import plots
from avbench.comparison import comparisons
from avbench.figures import save, style_of
from avbench.records import Ending


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def comparison(make_record):
    records = [make_record(name, seed) for name in ("er", "cls-er") for seed in (0, 1)]
    (found,) = comparisons([*records, make_record("multitask", joint=True)])
    return found


def words(figure):
    return " ".join(item.get_text() for item in figure.findobj(plt.Text))


def test_every_figure_is_written_as_png_and_pdf(comparison, tmp_path):
    paths = plots.write_plots(comparison, tmp_path)
    names = [
        "memory",
        "accuracy-against-memory",
        "forgetting",
        "stages-cls-er",
        "stages-er",
        "stages-multitask",
    ]
    stem = "vggsound-stream-rendered-tiny"
    assert [path.name for path in paths] == [
        f"{stem}-{name}{suffix}" for name in names for suffix in (".png", ".pdf")
    ]
    assert all(path.stat().st_size > 1000 for path in paths)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)


def test_every_figure_names_the_rendered_clips(comparison):
    figures = [plots.memory_by_kind(comparison), plots.accuracy_against_memory(comparison)]
    figures += [plots.forgetting_curves(comparison), plots.heat_map(comparison, comparison.entries[0])]
    assert all("rendered clips" in words(figure) for figure in figures)


def test_no_legend_is_wider_than_its_figure_and_none_takes_the_place_of_the_axes(make_record):
    records = [
        make_record(f"a-method-with-a-name-{number}", options={"weight": weight, "another_option": True})
        for number in range(12)
        for weight in (0.5, 1.0)
    ]
    (many,) = comparisons(records)
    for draw in (plots.accuracy_against_memory, plots.forgetting_curves):
        figure = draw(many)
        figure.draw_without_rendering()
        (legend,) = figure.legends
        assert len(legend.get_texts()) == 24
        assert legend.get_window_extent().x0 >= 0
        assert legend.get_window_extent().x1 <= figure.bbox.width
        assert min(axes.get_window_extent().height for axes in figure.axes) > 1.0 * figure.dpi


def test_the_same_records_give_the_same_bytes(comparison, tmp_path):
    first = save(plots.memory_by_kind(comparison), tmp_path / "first")
    second = save(plots.memory_by_kind(comparison), tmp_path / "second")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_memory_is_stacked_to_the_peak_and_the_rehearsal_memory(comparison):
    (axes,) = plots.memory_by_kind(comparison).axes
    # cls-er: parameters 5, optimiser 10, other state 5, the rest of the peak of 80, rehearsal memory 30 MiB.
    widths = [bars.patches[0].get_width() for bars in axes.containers]
    assert widths == pytest.approx([5, 10, 5, 60, 30])


def test_curves_are_of_the_mean_over_seeds_and_directions(comparison):
    figure = plots.forgetting_curves(comparison)
    entry = comparison.entries[0]
    expected = [sum(run.recall["A2V"]["mean"][stage][2] for run in entry.runs) / 2 for stage in range(8)]
    line = next(line for line in figure.axes[2].lines if line.get_label() == entry.label)
    assert list(line.get_ydata()) == pytest.approx(expected)


def test_a_heat_map_has_every_number(comparison):
    figure = plots.heat_map(comparison, comparison.entries[0])
    assert all(len(axes.texts) == 64 for axes in figure.axes)


def test_without_finished_runs_nothing_is_drawn(make_record, tmp_path):
    (found,) = comparisons([make_record(ending=Ending(how="failed", error="x"), summary={})])
    assert plots.write_plots(found, tmp_path) == []


def test_no_two_methods_of_many_look_alike():
    styles = [tuple(style_of(number).values()) for number in range(60)]
    assert len(set(styles)) == 60
    # Points have no line: colour and marker alone tell them apart.
    assert len({style[:2] for style in styles}) == 60
