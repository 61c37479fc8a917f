"""`avbench sweep` from a shell: the plan, the end, and what is wrong with a grid."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from avbench.cli import app
from avbench.errors import InputError, RunError
from avbench.record_files import write_record


@pytest.fixture
def call(tmp_path):
    """`call(*arguments)` is `avbench sweep` with results of its own."""

    def run(*arguments: str) -> Result:
        line = ["sweep", *arguments, "--results", str(tmp_path / "results")]
        return CliRunner().invoke(app, line, env={"COLUMNS": "200"})

    return run


def test_a_plan_is_shown_with_time_and_disk(call, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AVBENCH_CACHE", str(tmp_path / "cache"))
    few = ("--set", "epochs=1", "--set", "training_clips_per_class=2", "--set", "gallery_clips_per_class=1")
    result = call("-s", "er,finetune", "--seeds", "2", *few, "--jobs", "2", "--dry-run")
    assert result.exit_code == 0, result.output
    assert result.output.count("steps on made-up clips") == 4
    assert "4 runs, 4 to make, 2 at a time: about 0:" in result.output
    # 480 clips to render, and two checkpoints of each of two runs at a time.
    assert "MiB of disk" in result.output
    # Nothing was rendered or run for it.
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "results").exists()


def test_a_plan_knows_what_is_finished_and_how_long_it_took(call, tmp_path, make_record) -> None:
    from avbench.configuration import Layer
    from avbench.sweep.plan import plan_sweep

    first, _ = plan_sweep([{"strategy": "er", "seeds": 2}], below=[Layer("test", {"threads": 1})])
    plan = first.plan
    record = make_record("er").model_copy(
        update={"configuration": plan.config.recorded(), "identity": plan.identity, "source": "rendered"}
    )
    timing = record.timing.model_copy(update={"phases": {"train": 300.0, "evaluate": 25.0}})
    write_record(record.model_copy(update={"timing": timing}), plan.record_path(tmp_path / "results"))
    result = call("-s", "er", "--seeds", "2", "--dry-run", "--jobs", "1")
    assert "2 runs, 1 to make, 1 at a time: about 5:25" in result.output
    assert "records of its kind" in result.output


def test_a_sweep_ends_with_code_1_and_a_list_of_what_failed(call, tiny_stream, tmp_path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(
        "from avbench.method import Method\n\nclass Broken(Method):\n"
        '    """Fail."""\n\n    paper = "none"\n\n'
        "    def before_forward(self, strategy, **kwargs):\n        raise ValueError('broken on purpose')\n"
    )
    settings = {key: tiny_stream[key] for key in ("start", "frames", "epochs", "batch_size")}
    grid = tmp_path / "grid.yaml"
    plugins = [*tiny_stream["plugins"], str(broken)]
    lines = [f"{key}: {value}" for key, value in settings.items()]
    grid.write_text("\n".join([*lines, "scenario: tiny-stream", "strategy: [broken, finetune]"]))
    result = call(
        str(grid), "--data", tiny_stream["data"], "--device", "cpu",
        *(part for plugin in plugins for part in ("--plugin", plugin)), "--log", "csv",
    )  # fmt: skip
    assert isinstance(result.exception, RunError)
    assert result.exception.exit_code == 1
    told = str(result.exception)
    assert told.startswith("1 of 2 runs failed:\n  broken tiny-stream")
    assert "ValueError: broken on purpose" in told
    assert "2 runs: 1 done, 1 failed" in result.output
    assert list((tmp_path / "results" / "logs").glob("tiny-stream/finetune/*/csv/values.csv"))


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], "nothing to sweep"),
        (["-s", "avlc"], "did you mean avcl"),
        (["-s", "er", "--scenario", "vgsound-stream"], "did you mean vggsound-stream"),
        (["-s", "er", "--set", "memry=500"], "did you mean memory"),
        (["-s", "er", "--seeds", "0"], "wanted a number of seeds"),
        (["-s", "er", "--on", "raay"], "did you mean ray"),
        (["-s", "er", "--slurm", "time=3"], "--slurm is for --on slurm"),
        (["-s", "er", "--log", "csw"], "did you mean csv"),
        (["-s", "er", "--on", "slurm", "--jobs", "2"], "up to the cluster (slurm)"),
        (["missing.yaml"], "missing.yaml: No such file"),
        (["missing.yaml", "-s", "er"], "not both"),
    ],
)
def test_mistakes_are_said_before_anything_runs(call, tmp_path, arguments, wanted) -> None:
    result = call(*arguments)
    assert isinstance(result.exception, InputError), result.output
    assert wanted in str(result.exception)
    assert not (tmp_path / "results").exists()


def test_how_many_runs_go_at_a_time_is_up_to_a_cluster_that_is_there(call, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    result = call("-s", "er", "--on", "ray", "--jobs", "2")
    assert isinstance(result.exception, InputError), result.output
    assert "--jobs is for this machine" in str(result.exception)
    assert "up to the cluster (ray)" in str(result.exception)


@pytest.mark.parametrize("on", ["here", "ray", "slurm"])
def test_one_gpu_for_all_runs_is_refused(call, tmp_path, monkeypatch, on) -> None:
    # A machine of two GPUs, of which nothing is asked but how many there are.
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    result = call("-s", "er", "--device", "cuda:1", "--on", on)
    assert isinstance(result.exception, InputError), result.output
    assert "device cuda:1: a sweep gives each run a GPU of its own; give cuda" in str(result.exception)
    assert not (tmp_path / "results").exists()
