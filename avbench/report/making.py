"""A report from a folder of results to a folder of its own: page, LaTeX, CSV and figures."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from avbench.errors import DataError, InputError
from avbench.figures import drawn
from avbench.files import write_bytes, write_text
from avbench.report.ablation import ablation
from avbench.report.content import Picture, Section, Sheet
from avbench.report.efficiency import efficiency
from avbench.report.latex import table_document, whole_document
from avbench.report.main_table import main_table
from avbench.report.memory_curve import memory_curve
from avbench.report.numbers import csv_of
from avbench.report.page import GENERATOR, page
from avbench.report.pictures import pictures
from avbench.report.provenance import provenance, summary
from avbench.report.stages import stages
from avbench.report.statistics import statistics
from avbench.report.study import Study, read_study

TITLE = "Continual audio-video pre-training: report"
SECTIONS = (main_table, statistics, efficiency, memory_curve, ablation, stages, pictures, provenance)
_PAGE = "index.html"
# Of the figures in the page, which is for screens; the PDFs are for print.
_DOTS_PER_INCH = 150


def make_report(results: Path, out: Path) -> list[Path]:
    """Make the report of all records below `results` in the folder `out`; return the files written.

    A report that is in `out` already is replaced as a whole, once the new one is complete.

    Raises:
        InputError: `out` is a file, or a folder of other things.
        DataError: there are no records, one is damaged, or the report cannot be written.
    """
    try:
        _check_replaceable(out)
    except OSError as error:
        raise DataError(
            f"{out} cannot be looked into: {error.strerror or error}; name another --out"
        ) from error
    study = read_study(results)
    remake = shlex.join(["avbench", "report", str(results)])
    sections = [make(study) for make in SECTIONS]
    # Resolved, for "." has no name that another could be made of.
    place = out.resolve()
    beside = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        written = _write(study, sections, remake, beside)
        _put_in_place(beside, place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return [out / path.relative_to(beside) for path in written]


def _check_replaceable(out: Path) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"--out: {out} is a file; name a folder for the report")
    made_by = f'<meta name="generator" content="{GENERATOR}">'
    is_report = (out / _PAGE).is_file() and made_by in (out / _PAGE).read_text("utf-8", errors="replace")[
        :2000
    ]
    if any(out.iterdir()) and not is_report:
        raise InputError(f"--out: {out} has other things than a report in it; name a new folder")


def _write(study: Study, sections: list[Section], remake: str, folder: Path) -> list[Path]:
    """Write all files below `folder`, and return their paths."""
    written = []
    images: dict[str, bytes] = {}
    for picture in _pictures(sections):
        images[picture.stem] = drawn(picture.figure, "png", dots_per_inch=_DOTS_PER_INCH)
        path = folder / "figures" / f"{picture.stem}.pdf"
        write_bytes(path, drawn(picture.figure, "pdf"), "the figure")
        written.append(path)
        if picture.numbers is not None:
            written.append(path.with_suffix(".csv"))
            write_text(written[-1], csv_of(picture.numbers), "the figure's numbers")
    for sheet in _sheets(sections):
        for suffix, text in ((".tex", table_document(sheet, remake)), (".csv", csv_of(sheet))):
            written.append(folder / "tables" / f"{sheet.stem}{suffix}")
            write_text(written[-1], text, "the table")
    sentences = summary(study)
    written.append(folder / "main.tex")
    write_text(written[-1], whole_document(TITLE, sentences, sections, remake), "the LaTeX document")
    written.append(folder / _PAGE)
    html = page(TITLE, sentences, sections, images=images, remake=remake, paths=study.paths)
    write_text(written[-1], html, "the page")
    return written


def _pictures(sections: list[Section]) -> Iterator[Picture]:
    for section in sections:
        yield from (item for item in section.items if isinstance(item, Picture))


def _sheets(sections: list[Section]) -> Iterator[Sheet]:
    for section in sections:
        yield from (item for item in section.items if isinstance(item, Sheet))


def _put_in_place(beside: Path, out: Path) -> None:
    """Replace `out` by the complete folder `beside`; what was there comes back where that fails."""
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    try:
        shutil.rmtree(old, ignore_errors=True)
        if out.exists():
            out.rename(old)
        try:
            beside.rename(out)
        except OSError:
            if old.exists():
                old.rename(out)
            raise
    except OSError as error:
        raise DataError(
            f"the report {out} could not be put in place: {error.strerror or error}; choose another --out"
        ) from error
    shutil.rmtree(old, ignore_errors=True)
