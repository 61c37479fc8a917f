"""`avbench compare`."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from typer.testing import CliRunner

from avbench.cli import app
from avbench.errors import DataError, InputError
from avbench.record_files import record_path, write_record


def run(*arguments):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


@pytest.fixture
def results(scored, tmp_path):
    for scenario in ("vggsound-stream", "other-stream"):
        for number, name in enumerate(("avcl", "er", "finetune")):
            for seed in range(3):
                record = scored(name, seed, [20 - number, 30 - seed], drops=[number], scenario=scenario)
                path = record_path(
                    tmp_path,
                    record.configuration | {"scenario": scenario},
                    source=record.source,
                    identity=record.identity,
                )
                write_record(record, path)
    return tmp_path


def test_pairs_and_ranks_of_every_stream_are_printed(results):
    result = run(results)
    assert result.exit_code == 0, result.output
    assert result.output.count("\n## ") + result.output.startswith("## ") == 2
    assert "| avcl | er | 0, 1, 2 |" in result.output
    assert "corrected for all 6 comparisons" in result.output
    assert "3 seeds cannot reach p < 0.25" in result.output


def test_one_stream_one_rival_one_score(results):
    result = run(
        results, "--scenario", "other-stream", "--against", "er", "--measure", "F", "--metric", "R@5",
        "--direction", "V2A", "--format", "csv",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(io.StringIO(result.output)))
    chosen = {(row["scenario"], row["measure"], row["metric"], row["direction"]) for row in rows}
    assert chosen == {("other-stream", "F", "R@5", "V2A")}
    pairs = {row["method"]: float(row["mean"]) for row in rows if row["kind"] == "difference"}
    assert pairs == {"avcl": -1, "finetune": 1}


def test_it_is_written_to_a_file(results):
    out = results / "made" / "pairs.tex"
    result = run(results, "--format", "latex", "--out", out)
    assert result.exit_code == 0, result.output
    assert out.read_text(encoding="utf-8").count("\\begin{table*}") == 2


@pytest.mark.parametrize("form", ["markdown", "csv"])
def test_which_configuration_is_compared_with_is_said_in_every_format(form):
    """Of AVCL there are five on this stream."""
    measured = Path(__file__).parents[2] / "results" / "measured"
    result = run(measured, "--scenario", "vggsound-stream", "--against", "avcl", "--format", form)
    assert result.exit_code == 0, result.output
    assert 'compared with "avcl (memory=200, selection=avcl)"' in result.output
    assert '"avcl (memory=50, selection=avcl)"' in result.output
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(result.stdout)))
        assert {row["against_settings"] for row in rows if row["against"]} == {"memory=200; selection=avcl"}


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("--format", "latx"), "did you mean latex"),
        (("--measure", "B"), "valid: A, F"),
        (("--metric", "R@50"), "did you mean R@5"),
        (("--direction", "A2W"), "did you mean A2V"),
        (("--against", "avlc"), "did you mean avcl"),
        (("--scenario", "other-strem"), "did you mean other-stream"),
    ],
)
def test_misspelt_names_are_guessed(results, arguments, meant):
    result = run(results, *arguments)
    assert isinstance(result.exception, InputError | DataError)
    assert meant in str(result.exception)


def test_a_folder_without_records_is_an_error(tmp_path):
    assert isinstance(run(tmp_path).exception, DataError)
    assert isinstance(run(tmp_path / "nowhere").exception, InputError)
