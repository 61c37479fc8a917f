"""The page: whole, offline, and safe against what stands in records."""

from __future__ import annotations

import tomllib
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from avbench.records import Ending
from avbench.report.making import make_report

# Elements that have no end.
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Parsed(HTMLParser):
    """What a page refers to; its elements must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str, name: str) -> list[str]:
        return [value for each, key, value in self.attributes if (each, key) == (tag, name)]


HOSTILE = "<script>alert(1)</script> & \"quoted\" 'too'"


@pytest.fixture
def text(results: Any, run: Any, tmp_path: Path, undrawn: None) -> str:
    failed = run("er", 1, ending=Ending(how="failed", error=HOSTILE), summary={})
    records = [run("er", 0), failed, run("avcl", 0), run("er", 0, capacity=50)]
    make_report(results(records), tmp_path / "report")
    return (tmp_path / "report" / "index.html").read_text(encoding="utf-8")


@pytest.fixture
def page(text: str) -> Parsed:
    return Parsed(text)


def test_nothing_is_fetched_from_elsewhere(page: Parsed, text: str) -> None:
    sources = [value for _, name, value in page.attributes if name in ("src", "srcset", "data", "poster")]
    assert len(sources) > 5
    assert all(value.startswith("data:image/png;base64,") for value in sources)
    assert all(value.startswith("#") for value in page.of("a", "href"))
    assert not {"link", "script", "iframe", "object"} & {tag for tag, _, _ in page.attributes}
    assert "url(" not in text
    assert "@import" not in text


def test_links_lead_to_what_is_there(page: Parsed) -> None:
    targets = [value for _, name, value in page.attributes if name == "id"]
    assert len(targets) == len(set(targets))
    links = {value.removeprefix("#") for value in page.of("a", "href")}
    assert links <= set(targets)
    assert {f"run-{number}" for number in (1, 2, 3, 4)} <= links


def test_it_fits_a_phone(page: Parsed, text: str) -> None:
    assert "width=device-width, initial-scale=1" in page.of("meta", "content")
    assert "overflow-x: auto" in text
    assert text.count("<table>") == text.count('<div class="scroll"')


def test_what_stands_in_records_is_text(page: Parsed) -> None:
    assert any(HOSTILE in words for words in page.words)
    assert not [tag for tag, _, _ in page.attributes if tag == "script"]


def test_every_figure_and_table_tells_how_it_is_remade(text: str) -> None:
    shown = text.count("<figure")
    assert text.count("Remade by <code>avbench report ") == shown
    assert "avbench run --strategy er" in text


def test_the_templates_are_installed_with_the_package() -> None:
    folder = files("avbench.report") / "templates"
    assert {"page.html", "page.css"} <= {each.name for each in folder.iterdir()}
    setup = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["tool"][
        "setuptools"
    ]
    assert "avbench.report" in setup["packages"]
    assert setup["package-data"]["avbench.report"] == ["templates/*"]
