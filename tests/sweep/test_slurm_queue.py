"""A sweep on Slurm given again, with small programs in the place of sbatch and squeue."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from avbench.cli import app
from avbench.errors import RunError

# Says yes to every script, and keeps it.
SBATCH = """#!/bin/sh
number=$((1001 + $(ls "$FAKE"/script* 2>/dev/null | wc -l)))
cp "$1" "$FAKE/script$number"
echo "Submitted batch job $number"
"""
# Shows what the test has put into the queue, to those who ask for an array's tasks without a heading.
SQUEUE = """#!/bin/sh
case "$*" in
    *--noheader*--array*--format=%i\\|%T\\|%r*) cat "$FAKE/queue" ;;
    *) echo "squeue: this is not what the test knows: $*" >&2; exit 2 ;;
esac
"""
BROKEN = """#!/bin/sh
echo "slurm_load_jobs error: Unable to contact slurm controller" >&2
exit 1
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """`programs(name, text)` puts a program on the path; sbatch, srun and squeue are there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(tmp_path))

    def put(name: str, text: str) -> None:
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)

    put("sbatch", SBATCH)
    put("squeue", SQUEUE)
    put("srun", "#!/bin/sh\n")
    return put


@pytest.fixture
def sweep(tmp_path, programs):
    """`sweep(*arguments)` is a sweep of three runs, on Slurm if nothing else is said."""

    def call(*arguments: str, on: str = "slurm") -> Result:
        time = ["--slurm", "time=1:30:00"] if on == "slurm" else []
        line = ["sweep", "-s", "finetune", "--seeds", "3", "--device", "cpu", "--on", on, *time, *arguments]
        return CliRunner().invoke(
            app, [*line, "--results", str(tmp_path / "results")], env={"COLUMNS": "200"}
        )

    return call


def submitted(tmp_path: Path) -> list[str]:
    return sorted(each.name for each in tmp_path.glob("script*"))


def queue(tmp_path: Path, *lines: str) -> None:
    (tmp_path / "queue").write_text("".join(f"{line}\n" for line in lines))


def test_what_is_queued_is_not_submitted_again_and_what_has_vanished_is(sweep, tmp_path) -> None:
    # The queue is not there yet: who has submitted nothing need not ask.
    first = sweep()
    assert "3 runs, 3 submitted as job 1001 (0 done, 3 queued, 0 failed)" in first.output, first.output
    script = (tmp_path / "script1001").read_text()
    assert "#SBATCH --array=0-2" in script
    assert "#SBATCH --requeue\n" in script
    assert "#SBATCH --time=90\n" in script
    assert "#SBATCH --signal=USR2@90" in script

    queue(tmp_path, "7_1|RUNNING|None", *(f"1001_{number}|PENDING|Priority" for number in range(3)))
    again = sweep()
    assert "3 runs: nothing to submit (0 done, 3 queued, 0 failed)" in again.output, again.output
    assert submitted(tmp_path) == ["script1001"]

    queue(tmp_path, "1001_0|RUNNING|None", "1001_2|PENDING|Priority")
    third = sweep()
    assert "3 runs, 1 submitted as job 1002 (0 done, 3 queued, 0 failed)" in third.output, third.output
    queue(tmp_path, "1001_0|RUNNING|None", "1001_2|PENDING|Priority", "1002|PENDING|None")
    assert "nothing to submit" in sweep().output
    assert submitted(tmp_path) == ["script1001", "script1002"]

    plan = sweep("--dry-run")
    for told in ("job 1001_0: running", "job 1001_2: pending (Priority)", "3 runs, 0 to make"):
        assert told in plan.output
    # Nor is it made in another way.
    here = sweep(on="here")
    assert "3 runs: 0 done, 3 queued, 0 failed" in here.output, here.output


@pytest.mark.parametrize("squeue", [BROKEN, "no program"], ids=["fails", "cannot be started"])
def test_where_slurm_cannot_be_asked_nothing_is_submitted(sweep, programs, tmp_path, squeue) -> None:
    sweep()
    programs("squeue", squeue)
    refused = sweep()
    assert isinstance(refused.exception, RunError), refused.output
    assert "Slurm cannot be asked which of 3 submitted runs are still in its queue: " in str(
        refused.exception
    )
    if squeue is BROKEN:
        assert "Unable to contact slurm controller; give the command where" in str(refused.exception)
        # Elsewhere it is told, and goes on.
        plan = sweep("--dry-run", on="here")
        assert "Slurm cannot be asked" in plan.output
        assert "3 runs, 3 to make" in plan.output
    assert submitted(tmp_path) == ["script1001"]


def test_what_sbatch_refuses_is_told_and_not_taken_for_queued(sweep, programs, tmp_path) -> None:
    programs("sbatch", "#!/bin/sh\necho 'sbatch: error: invalid partition specified: gppu' >&2; exit 1\n")
    refused = sweep("--slurm", "partition=gppu")
    assert isinstance(refused.exception, RunError), refused.output
    assert "sbatch failed" in str(refused.exception)
    assert "invalid partition specified: gppu" in str(refused.exception)
    programs("sbatch", SBATCH)
    assert "3 submitted as job 1001" in sweep().output
