"""A report as one HTML page: styles and figures are in it, so that it opens anywhere, offline."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from avbench.report.content import Heading, Item, Listing, Number, Picture, Section, Sheet, Words

GENERATOR = "avbench report"
"""What the page says made it; a folder whose page says so may be replaced by a new report."""


def page(
    title: str,
    sentences: Sequence[str],
    sections: Sequence[Section],
    *,
    images: Mapping[str, bytes],
    remake: str,
    paths: Sequence[str],
) -> str:
    """Return the page.

    Args:
        title: of the page.
        sentences: what a reader needs first.
        sections: of the report.
        images: of every figure a PNG, by its stem.
        remake: the command that makes this report.
        paths: of all records, in the order in which the table of runs has them.
    """
    environment = Environment(
        loader=PackageLoader("avbench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.tests["number"] = lambda cell: isinstance(cell, Number)
    environment.filters["kind"] = _kind
    environment.filters["groups"] = _groups
    environment.filters["data_uri"] = lambda stem: _data_uri(images[stem])
    # The table of runs has them by these anchors.
    anchors = {path: f"run-{place}" for place, path in enumerate(paths, start=1)}
    return environment.get_template("page.html").render(
        title=title,
        sentences=sentences,
        sections=sections,
        remake=remake,
        generator=GENERATOR,
        anchors=anchors,
    )


def _kind(item: Item) -> str:
    kinds = {Sheet: "sheet", Picture: "picture", Words: "words", Listing: "listing", Heading: "heading"}
    return kinds[type(item)]


def _groups(sheet: Sheet) -> list[tuple[str, int]]:
    """Upper headings with the number of columns each is over; empty where a table has none."""
    found = [
        (group, len(list(members))) for group, members in groupby(sheet.heads, key=lambda head: head.group)
    ]
    return found if any(group for group, _ in found) else []


def _data_uri(image: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")
