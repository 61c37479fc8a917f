"""A report's tables as CSV: every number in full, and beside it the bounds of its interval."""

from __future__ import annotations

import csv
import io

from avbench.report.content import CellContent, Sheet


def csv_of(sheet: Sheet) -> str:
    """Return `sheet` as CSV; a column of numbers with intervals is followed by two of their bounds."""
    rows = [(block.title, row) for block in sheet.blocks for row in block.rows]
    titled = any(title for title, _ in rows)
    wide = [any(any(_bounds(row[place])) for _, row in rows) for place in range(len(sheet.heads))]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    line = ["block"] if titled else []
    for head, has_intervals in zip(sheet.heads, wide, strict=True):
        name = f"{head.group} {head.name}".strip()
        line += [name, f"{name} low95", f"{name} high95"] if has_intervals else [name]
    writer.writerow(line)
    for title, row in rows:
        line = [title] if titled else []
        for cell, has_intervals in zip(row, wide, strict=True):
            line += [_value(cell), *_bounds(cell)] if has_intervals else [_value(cell)]
        writer.writerow(line)
    return out.getvalue()


def _value(cell: CellContent) -> str:
    if isinstance(cell, str):
        return cell.strip()
    return cell.absence if cell.value is None else repr(cell.value)


def _bounds(cell: CellContent) -> tuple[str, str]:
    if isinstance(cell, str) or cell.low is None or cell.high is None:
        return "", ""
    return repr(cell.low), repr(cell.high)
