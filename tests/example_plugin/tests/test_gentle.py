"""Gentle keeps the contract of a method, and does what it says."""

import pytest
from avbench_example.gentle import Gentle

from avbench.errors import InputError
from avbench.testing import CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_contract(check):
    check(Gentle)


def test_longest_is_positive():
    with pytest.raises(InputError, match="not positive"):
        Gentle(longest=0)
