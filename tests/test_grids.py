"""Plain tables of text."""

from __future__ import annotations

from avbench.grids import Grid, latex_grids, markdown_grid

GRID = Grid("Pairs", ("Method", "p"), (("a|b_c", "0.25"), ("d-e", "-1.5")))


def test_markdown():
    assert markdown_grid(GRID) == (
        "### Pairs\n\n| Method | p |\n| --- | ---: |\n| a\\|b_c | 0.25 |\n| d-e | -1.5 |\n"
    )


def test_latex_is_one_float_of_all_grids():
    found = latex_grids([GRID, Grid("More", ("A", "B", "C"), (("1", "2", "3"),), left=2)], "100% of 2")
    assert "\\caption{100\\% of 2}" in found
    assert "a$|$b\\_c & 0.25 \\\\" in found
    assert "d-e & $-$1.5 \\\\" in found
    assert "\\begin{tabular}{lr}" in found
    assert "\\begin{tabular}{llr}" in found
    assert found.count("\\begin{table*}") == found.count("\\end{table*}") == 1
    assert found.count("\\medskip") == 1
