import pytest
import typer
from typer.testing import CliRunner

from avbench.cli.plot import plot
from avbench.cli.table import show_table
from avbench.errors import DataError, InputError
from avbench.record_files import record_path, write_record


@pytest.fixture
def run():
    app = typer.Typer()
    app.command("table")(show_table)
    app.command("plot")(plot)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def results(make_record, tmp_path):
    for record in (make_record("er"), make_record("avcl"), make_record("er", scenario="other-stream")):
        path = record_path(
            tmp_path,
            record.configuration | {"scenario": record.scenario},
            source=record.source,
            identity=record.identity,
        )
        write_record(record, path)
    return tmp_path


def test_tables_are_printed(run, results):
    result = run("table", results)
    assert result.exit_code == 0, result.output
    assert "| avcl |" in result.output
    assert result.output.count("\n## ") + result.output.startswith("## ") == 2


def test_a_table_of_one_scenario_is_written(run, results):
    out = results / "made" / "table.tex"
    result = run("table", results, "--scenario", "vggsound-stream", "--format", "latex", "--out", out)
    assert result.exit_code == 0, result.output
    assert out.read_text(encoding="utf-8").count("\\begin{table*}") == 1
    assert [path.name for path in out.parent.iterdir()] == ["table.tex"]


def test_methods_at_their_defaults_and_what_is_left_out(run, make_record, tmp_path):
    # lump was never run at its defaults.
    for strategy, options in (("avcl", {}), ("avcl", {"selection": "lpis"}), ("lump", {"alpha": 0.9})):
        record = make_record(strategy, options=options)
        path = record_path(tmp_path, record.configuration, source=record.source, identity=record.identity)
        write_record(record, path)
    everything = run("table", tmp_path)
    assert everything.output.count("| avcl") == 6
    assert "left out" not in everything.output
    shown = run("table", tmp_path, "--defaults")
    assert shown.exit_code == 0, shown.output
    assert shown.output.count("| avcl |") == 3
    assert shown.output.count("| lump") == 3
    assert "but for those that were not run so: lump; left out: avcl (selection=lpis)." in shown.output
    only = run("table", tmp_path, "--defaults", "--scenario", "vggsound-stream", "--format", "csv")
    assert "lpis" not in only.output


def test_forgetting_as_published(run, results):
    assert "published script" in run("table", results, "--forgetting", "published").output


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("--format", "latx"), "did you mean latex"),
        (("--forgetting", "publshed"), "did you mean published"),
        (("--scenario", "vggsound-strem"), "did you mean vggsound-stream"),
    ],
)
def test_misspelt_names_are_guessed(run, results, arguments, meant):
    result = run("table", results, *arguments)
    assert isinstance(result.exception, InputError | DataError)
    assert meant in str(result.exception)


def test_a_folder_without_records_is_an_error(run, tmp_path):
    assert isinstance(run("table", tmp_path).exception, DataError)
    assert isinstance(run("table", tmp_path / "nowhere").exception, InputError)
    assert isinstance(run("plot", tmp_path / "nowhere").exception, InputError)


def test_plots_are_drawn_beside_the_runs(run, results):
    result = run("plot", results, "--scenario", "other-stream")
    assert result.exit_code == 0, result.output
    made = sorted(path.name for path in (results / "plots").iterdir())
    assert "other-stream-rendered-tiny-memory.pdf" in made
    assert all(name in result.output.replace("\n", "") for name in made)
