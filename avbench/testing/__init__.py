"""Checks of the plugin contract, for methods of one's own: what every method of avbench passes.

In a test:

    import pytest
    from avbench.testing import CHECKS

    @pytest.mark.parametrize("check", CHECKS, ids=str)
    def test_contract(check):
        check(MyMethod)

`check_strategy(MyMethod)` returns all findings instead; `avbench check my_method.py` prints them.
"""

from avbench.testing.checks import CHECKS, check_strategy
from avbench.testing.finding import Check, Finding

__all__ = ["CHECKS", "Check", "Finding", "check_strategy"]
