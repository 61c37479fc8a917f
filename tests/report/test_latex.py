"""LaTeX: structure that always holds, and that pdflatex takes every document where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from avbench.records import Ending
from avbench.report.content import Head, Number, Rows, Sheet
from avbench.report.latex import table_document
from avbench.report.making import make_report

REMAKE = "avbench report results"
HOSTILE = r"50% of_it & {more} \input{x} #1 $x$ ~^ → é --set"


def sheet(**changes: Any) -> Sheet:
    values: dict[str, Any] = {
        "stem": "t",
        "caption": f"A caption: {HOSTILE}.",
        "heads": (Head("Method"), Head("A", "R@1"), Head("F", "R@1"), Head("words")),
        "blocks": (
            Rows("One", ((HOSTILE, Number(-1.5, -2.5, -0.5, rank=1), Number(None, absence="n/a"), "x"),)),
            Rows(
                "Two", (("  under", Number(2.0, 1.0, 4.0, symmetric=False, rank=2), Number(0.25), "y" * 80),)
            ),
        ),
        "records": ("runs/a.json",),
    }
    return Sheet(**(values | changes))


def rows_of(document: str) -> list[str]:
    return [line for line in document.splitlines() if line.endswith(" \\\\")]


def check_structure(document: str) -> None:
    """Environments are closed in order, rows have as many cells as columns, braces are balanced."""
    assert document.count("\\documentclass") == 1
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+\*?)\}", document):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    for table in re.findall(r"\\begin\{tabular\}\{(.*?)\}\n(.*?)\\end\{tabular\}", document, re.DOTALL):
        columns = len(re.findall(r"[lr]|p\{\w+\}", table[0]))
        for line in rows_of(table[1]):
            spanned = sum(int(size) - 1 for size in re.findall(r"\\multicolumn\{(\d+)\}", line))
            assert len(re.split(r"(?<!\\)&", line)) + spanned == columns, line
    bare = re.sub(r"\\[{}]", "", document)
    assert bare.count("{") == bare.count("}")


def test_a_table_is_a_document_of_its_own() -> None:
    document = table_document(sheet(), REMAKE)
    check_structure(document)
    assert "% From the record runs/a.json" in document
    assert f"% Made by: {REMAKE}" in document
    assert "\\textbf{$-$1.50}\\,$\\pm$ 1.00" in document
    assert "\\underline{2.00}\\,[1.00, 4.00]" in document
    assert "[U+2192]" in document
    assert "\\cmidrule(lr){2-3}" in document
    assert document.isprintable() or all(ord(sign) < 0x180 for sign in document)


def test_long_tables_go_on_in_further_ones() -> None:
    rows = tuple((f"method {number}", Number(float(number))) for number in range(100))
    long = sheet(heads=(Head("Method"), Head("A")), blocks=(Rows("", rows),))
    document = table_document(long, REMAKE)
    check_structure(document)
    assert document.count("\\begin{tabular}") == 3
    assert document.count("Continued.") == 2
    assert all(f"method {number} " in document for number in range(100))


def test_an_empty_table_is_one() -> None:
    check_structure(table_document(sheet(blocks=(Rows("", ()),)), REMAKE))


@pytest.fixture
def written(results: Any, run: Any, tmp_path: Path, undrawn: None) -> Path:
    """The report of a few records, one of them failed with an awkward error."""
    failed = run("er", 1, ending=Ending(how="failed", error=HOSTILE), summary={})
    records = [run("er", 0), failed, run("avcl", 0), run("avcl", 0, selection="lpis")]
    make_report(results(records), tmp_path / "report")
    return tmp_path / "report"


def test_every_document_of_a_report_is_sound(written: Path) -> None:
    documents = [*(written / "tables").glob("*.tex"), written / "main.tex"]
    assert len(documents) > 8
    for path in documents:
        check_structure(path.read_text(encoding="utf-8"))
    main = (written / "main.tex").read_text(encoding="utf-8")
    figures = re.findall(r"\\includegraphics\[.*?\]\{\{(.*?)\}\.pdf\}", main)
    assert {f"{stem}.pdf" for stem in figures} == {path.name for path in (written / "figures").glob("*.pdf")}


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed (texlive-latex-base)")
def test_pdflatex_takes_tables(written: Path, tmp_path: Path) -> None:
    stems = ["vggsound-stream-rendered-tiny-main", "missing-and-failed"]
    documents = [(written / "tables" / f"{stem}.tex").read_text("utf-8") for stem in stems]
    for number, document in enumerate([table_document(sheet(), REMAKE), *documents]):
        (tmp_path / f"{number}.tex").write_text(document, encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{number}.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
        assert (tmp_path / f"{number}.pdf").stat().st_size > 1000
