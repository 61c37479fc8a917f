"""Errors of three kinds, and the nearest valid name."""

from __future__ import annotations

import pytest

from avbench.errors import AvbenchError, DataError, InputError, RunError, did_you_mean


def test_bad_input_and_failed_work_exit_differently():
    assert InputError.exit_code == 2
    assert DataError.exit_code == RunError.exit_code == 1


@pytest.mark.parametrize("kind", [InputError, DataError, RunError])
def test_all_are_caught_as_one(kind):
    with pytest.raises(AvbenchError, match="what to do"):
        raise kind("what to do")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("avlc", " (did you mean avcl?)"),
        ("der_pp", " (did you mean der-pp?)"),
        ("zzzz", " (valid: avcl, der-pp, finetune)"),
    ],
)
def test_the_nearest_name_or_all(name, wanted):
    assert did_you_mean(name, iter(["finetune", "avcl", "der-pp"])) == wanted


def test_nothing_is_meant_where_nothing_is_valid():
    assert did_you_mean("avcl", []) == ""
