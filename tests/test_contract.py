"""Every strategy that there is keeps to the plugin contract."""

from __future__ import annotations

import pytest

from avbench.registry import catalogue
from avbench.testing import CHECKS, Check

STRATEGIES = catalogue("strategy")


def test_none_is_broken() -> None:
    assert STRATEGIES.broken == {}


@pytest.mark.parametrize("check", CHECKS, ids=str)
@pytest.mark.parametrize("name", sorted(STRATEGIES.plugins))
def test_contract(name: str, check: Check) -> None:
    check(STRATEGIES.get(name).cls)
