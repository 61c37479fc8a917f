"""The stages of a run: what is trained and measured, and with which model."""

from __future__ import annotations

import pytest

from avbench.records import comparable


def test_loader_processes_do_not_change_a_result(go, tmp_path) -> None:
    alone = go(results=tmp_path / "a").record
    helped = go(results=tmp_path / "b", workers=1).record
    assert comparable(alone) == comparable(helped)


def test_joint_training_has_one_stage_and_no_forgetting(go) -> None:
    record = go("multitask").record
    assert record.stages == ["all tasks"]
    assert len(record.recall["A2V"]["mean"]) == 1
    assert record.summary["A2V"]["mean"].forgetting is None
    assert record.summary["A2V"]["mean"].average == pytest.approx(sum(record.recall["A2V"]["mean"][0]) / 2)


def test_a_slow_copy_is_what_retrieval_is_measured_with_unless_configured_otherwise(go) -> None:
    rates = {"stable_rate": 0.3, "copy_decay": 0.999}
    copy = go("cls-er", memory=6, strategy_options=rates).record
    working = go("cls-er", memory=6, strategy_options={**rates, "evaluated": "working"}).record
    assert (copy.evaluates_copy, working.evaluates_copy) == (True, False)
    assert copy.losses == working.losses
    assert copy.modality_gap != working.modality_gap
    assert copy.recall_at_start == working.recall_at_start


def test_a_memory_in_bytes_is_kept_to(go) -> None:
    record = go("er", memory="100kB").record
    assert record.configuration["memory"] == "100kB"
    assert record.memory is not None
    assert 0 < record.memory.of("rehearsal memory") <= 100_000
