"""What a report is made of: sections of paragraphs, tables and figures, before they are put on a page.

Sections (`main_table`, `efficiency`, ...) make content of records; `page` and `latex` write it down. A table
keeps its numbers as numbers, so that the same table goes to HTML, LaTeX and CSV.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from matplotlib.figure import Figure

from avbench.statistics.estimates import Estimate


@dataclass(frozen=True)
class Number:
    """A number of a table as it is printed: mean, 95% interval, and rank.

    Attributes:
        value: None where there is nothing to show; then `absence` says why in a word.
        low, high: the interval; None where there is none.
        symmetric: whether it is printed as the half of its width, or by its bounds.
        digits: after the decimal point.
        rank: 1 for the best of its column, 2 for the second, else None.
        signed: whether a plus is printed before what is positive, as for differences.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    symmetric: bool = True
    digits: int = 2
    rank: Literal[1, 2] | None = None
    signed: bool = False
    absence: str = ""

    @property
    def text(self) -> str:
        """The mean as text, or why there is none."""
        if self.value is None:
            return self.absence
        return f"{self.value:{'+' if self.signed else ''}.{self.digits}f}"

    @property
    def spread(self) -> str:
        """The interval as text, such as "± 0.50"; "" where there is none to show."""
        # Bytes follow from the configuration: no spread over seeds, no interval.
        if self.value is None or self.low is None or self.high is None or self.low == self.high:
            return ""
        if self.symmetric:
            return f"± {(self.high - self.low) / 2:.{self.digits}f}"
        return f"[{self.low:.{self.digits}f}, {self.high:.{self.digits}f}]"


def number(found: Estimate | None, digits: int = 2) -> Number:
    """Return a mean over seeds as a number of a table; what is None is missing."""
    if found is None:
        return Number(None, absence="missing")
    return Number(found.mean, found.low, found.high, found.interval == "t", digits)


CellContent: TypeAlias = Number | str


@dataclass(frozen=True)
class Head:
    """The heading of a column in two lines; the upper one is shared by neighbours of the same name."""

    name: str
    group: str = ""


@dataclass(frozen=True)
class Rows:
    """Rows under one heading ("" for none); the first cell of each is its label."""

    title: str
    rows: tuple[tuple[CellContent, ...], ...]


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        stem: how its files are named.
        caption: sentences that tell what it shows.
        heads: one a column.
        blocks: its rows.
        records: paths of the records it is made of, relative to the folder of results.
        notes: sentences that a reader needs to read the numbers.
        source: where its numbers come from if not from records.
    """

    stem: str
    caption: str
    heads: tuple[Head, ...]
    blocks: tuple[Rows, ...]
    records: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    source: str = ""

    def is_numeric(self, place: int) -> bool:
        """Whether the column at `place` has numbers, which stand right."""
        return any(isinstance(row[place], Number) for block in self.blocks for row in block.rows)


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        stem: how its files are named.
        caption: sentences that tell what it shows.
        figure: what is drawn.
        records: paths of the records it is made of, relative to the folder of results.
        numbers: what is drawn, as a table that is written as CSV alone; None where a table beside it has it.
        folded: whether the page shows it only when asked, as one of many alike.
    """

    stem: str
    caption: str
    figure: Figure
    records: tuple[str, ...]
    numbers: Sheet | None = None
    folded: bool = False


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Listing:
    """Lines to be copied or compared, such as commands, under a caption; folded on the page."""

    caption: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Heading:
    """A heading within a section, such as the name of a stream."""

    text: str


Item: TypeAlias = Sheet | Picture | Words | Listing | Heading


@dataclass(frozen=True)
class Section:
    """One section of the report: its name as an anchor, its title, and its items in order."""

    name: str
    title: str
    items: Sequence[Item] = field(default_factory=tuple)
