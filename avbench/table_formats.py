"""Writing tables down: Markdown for reading, LaTeX (booktabs) for a paper, CSV for further work."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Literal

from avbench.statistics.estimates import Estimate
from avbench.tables import Block, Cell, Column, Table

Format = Literal["markdown", "latex", "csv"]
FORMATS: dict[str, Format] = {"markdown": "markdown", "latex": "latex", "csv": "csv"}
"""By the names a person gives."""
SUFFIXES: dict[Format, str] = {"markdown": ".md", "latex": ".tex", "csv": ".csv"}


def write_tables(tables: Sequence[Table], form: Format) -> str:
    """Return `tables` as one text in the format `form`."""
    if form == "csv":
        return _csv(tables)
    write = _markdown if form == "markdown" else _latex
    return "\n".join(write(table) for table in tables)


# Markdown


def _markdown(table: Table) -> str:
    parts = [f"## {table.title}\n"]
    for block in (*(block for _, block in table.retrieval), table.cost):
        parts += [f"### {block.title}\n", _markdown_grid(block)]
    parts += [f"{note}  " for note in table.notes]
    return "\n".join(parts).rstrip() + "\n"


def _markdown_grid(block: Block) -> str:
    heads = ["Method", "Seeds", *(_one_heading(column) for column in block.columns)]
    lines = [heads, ["---", "---:", *("---:" for _ in block.columns)]]
    for row in block.rows:
        cells = [
            _text(cell, column, _markdown_mark, " ± ")
            for cell, column in zip(row.cells, block.columns, strict=True)
        ]
        lines.append([row.label, row.seeds, *cells])
    return "\n".join("| " + " | ".join(markdown_safe(word) for word in line) + " |" for line in lines) + "\n"


def _one_heading(column: Column) -> str:
    return f"{column.group} {column.name}" if column.unit == "percent" else column.name


def markdown_safe(text: str) -> str:
    """Return `text` as it stands in a cell of a Markdown table."""
    return text.replace("|", "\\|")


def _markdown_mark(text: str, rank: int | None) -> str:
    return {None: text, 1: f"**{text}**", 2: f"<u>{text}</u>"}[rank]


# LaTeX


def _latex(table: Table) -> str:
    retrieval = [block for _, block in table.retrieval]
    columns = retrieval[0].columns
    caption = " ".join((f"{table.title}.", *table.notes))
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table*}",
        "\\centering",
        f"\\caption{{{latex_safe(caption)}}}",
        "\\small",
        f"\\begin{{tabular}}{{ll{'r' * len(columns)}}}",
        "\\toprule",
        *_latex_heading(columns),
    ]
    for block in retrieval:
        lines.append("\\midrule")
        lines.append(
            f"\\multicolumn{{{2 + len(columns)}}}{{l}}{{\\textit{{{latex_safe(block.title)}}}}} \\\\"
        )
        lines += _latex_rows(block)
    lines += ["\\bottomrule", "\\end{tabular}", "", "\\medskip"]
    cost = table.cost
    lines += [
        f"\\begin{{tabular}}{{ll{'r' * len(cost.columns)}}}",
        "\\toprule",
        " & ".join(("Method", "Seeds", *(latex_safe(_one_heading(column)) for column in cost.columns)))
        + " \\\\",
        "\\midrule",
        *_latex_rows(cost),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _latex_heading(columns: Sequence[Column]) -> list[str]:
    upper, rules, start = ["", ""], [], 3
    for group, members in groupby(columns, key=lambda column: column.group):
        size = len(list(members))
        upper.append(f"\\multicolumn{{{size}}}{{c}}{{{latex_safe(group)}}}")
        rules.append(f"\\cmidrule(lr){{{start}-{start + size - 1}}}")
        start += size
    names = ["Method", "Seeds", *(latex_safe(column.name) for column in columns)]
    return [" & ".join(upper) + " \\\\", " ".join(rules), " & ".join(names) + " \\\\"]


def _latex_rows(block: Block) -> list[str]:
    lines = []
    for row in block.rows:
        cells = [
            _text(cell, column, _latex_mark, "\\,$\\pm$\\,")
            for cell, column in zip(row.cells, block.columns, strict=True)
        ]
        lines.append(" & ".join((latex_safe(row.label), latex_safe(row.seeds), *cells)) + " \\\\")
    return lines


def _latex_mark(text: str, rank: int | None) -> str:
    return {None: text, 1: f"\\textbf{{{text}}}", 2: f"\\underline{{{text}}}"}[rank]


_LATEX_SPECIAL = {
    "\\": "\\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "±": "$\\pm$",
    "†": "$^\\dagger$",
    "‡": "$^\\ddagger$",
    "§": "\\S{}",
    # Other signs in LaTeX's old text fonts.
    **{sign: f"${sign}$" for sign in "<>|"},
}


def latex_safe(text: str) -> str:
    """Return `text` as LaTeX prints it; what its standard fonts lack is named, such as [U+2192]."""
    return "".join(_latex_sign(sign) for sign in text).replace("--", "-{}-")


def _latex_sign(sign: str) -> str:
    if sign in _LATEX_SPECIAL:
        return _LATEX_SPECIAL[sign]
    # Latin letters with accents are set; further signs would stop pdflatex.
    return sign if sign.isprintable() and ord(sign) < 0x180 else f"[U+{ord(sign):04X}]"


# CSV


def _csv(tables: Sequence[Table]) -> str:
    """One figure a line, so that a spreadsheet can pivot it as it likes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ("scenario", "source", "backbone", "store", "method", "settings", "identity")
    tail = ("direction", "group", "measure", "unit", "mean", "low95", "high95", "seeds", "absence")
    writer.writerow((*head, *tail))
    for table in tables:
        comparison = table.comparison
        shared = (comparison.scenario, comparison.source, comparison.backbone, comparison.store)
        for direction, block in (*table.retrieval, ("", table.cost)):
            for row in block.rows:
                entry = row.entry
                for column, cell in zip(block.columns, row.cells, strict=True):
                    value = cell.value
                    numbers = (
                        ("", "", "", len(entry.runs))
                        if value is None
                        # None, as of the bounds of a single seed, is written as an empty field.
                        else (value.mean, value.low, value.high, value.count)
                    )
                    measure = column.name.removesuffix(" MiB")
                    named = (entry.name, "; ".join(entry.differing), entry.identity)
                    writer.writerow(
                        (
                            *shared,
                            *named,
                            direction,
                            column.group,
                            measure,
                            column.unit,
                            *numbers,
                            cell.absence,
                        )
                    )
    return out.getvalue()


# All


def _text(cell: Cell, column: Column, mark: Callable[[str, int | None], str], plus_minus: str) -> str:
    if cell.value is None:
        return "" if cell.absence == "n/a" else cell.absence
    text = mark(f"{cell.value.mean:.{column.digits}f}", cell.rank)
    return text + interval_text(cell.value, column.digits, plus_minus)


def interval_text(value: Estimate, digits: int, plus_minus: str) -> str:
    """Return the interval as it stands after a mean: " ± half" or " [low, high]", or nothing."""
    # Bytes follow from the configuration: no spread over seeds, no interval to show.
    if value.low is None or value.low == value.high:
        return ""
    if value.half_width is not None:
        return f"{plus_minus}{value.half_width:.{digits}f}"
    return f" [{value.low:.{digits}f}, {value.high:.{digits}f}]"
