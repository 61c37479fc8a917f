"""Plain tables of text, and how Markdown and LaTeX (booktabs) write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from avbench.table_formats import latex_safe, markdown_safe


@dataclass(frozen=True)
class Grid:
    """Rows of text under one heading.

    Attributes:
        title: names what it shows.
        heads: a heading a column.
        rows: each with as many cells.
        left: so many columns, from the first, are text and stand left; the others are numbers.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


def markdown_grid(grid: Grid) -> str:
    """Return `grid` as a Markdown table under its title."""
    rules = ["---"] * grid.left + ["---:"] * (len(grid.heads) - grid.left)
    lines = [f"### {grid.title}", ""]
    for row in (grid.heads, rules, *grid.rows):
        lines.append("| " + " | ".join(markdown_safe(cell) for cell in row) + " |")
    return "\n".join(lines) + "\n"


def latex_grids(grids: Sequence[Grid], caption: str) -> str:
    """Return `grids` as one LaTeX float, one below the other."""
    lines = ["% needs \\usepackage{booktabs}", "\\begin{table*}", "\\centering"]
    lines += [f"\\caption{{{latex_safe(caption)}}}", "\\small"]
    for number, grid in enumerate(grids):
        if number:
            lines += ["", "\\medskip"]
        lines += [
            f"\\begin{{tabular}}{{{'l' * grid.left}{'r' * (len(grid.heads) - grid.left)}}}",
            "\\toprule",
            f"\\multicolumn{{{len(grid.heads)}}}{{l}}{{\\textit{{{latex_safe(grid.title)}}}}} \\\\",
            _latex_row(grid.heads, len(grid.heads)),
            "\\midrule",
            *(_latex_row(row, grid.left) for row in grid.rows),
            "\\bottomrule",
            "\\end{tabular}",
        ]
    return "\n".join([*lines, "\\end{table*}"]) + "\n"


def _latex_row(cells: Sequence[str], text: int) -> str:
    """A row of which the first `text` cells are words, whose hyphens are no signs."""
    words = [latex_safe(cell) for cell in cells[:text]]
    numbers = [latex_safe(cell).replace("-", "$-$") for cell in cells[text:]]
    return " & ".join((*words, *numbers)) + " \\\\"
