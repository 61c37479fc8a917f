"""Means over seeds and their 95% intervals."""

from __future__ import annotations

import math

import pytest

from avbench.estimates import Estimate, estimate, t_quantile


def test_interval_of_three_seeds():
    # 3 values of variance 7: the interval is the mean and 4.302653 standard errors on either side.
    found = estimate([1.0, 2.0, 6.0])
    assert found.mean == 3.0
    assert found.half_width == pytest.approx(4.302653 * math.sqrt(7) / math.sqrt(3), rel=1e-4)
    assert found.count == 3


def test_one_seed_has_no_interval():
    assert estimate([2.5]) == Estimate(2.5, None, 1)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_what_has_no_mean_is_an_error(values):
    with pytest.raises(ValueError, match="no mean"):
        estimate(values)


@pytest.mark.parametrize(
    ("degrees", "value"), [(1, 12.7062), (2, 4.3027), (30, 2.0423), (31, 2.0395), (60, 2.0003)]
)
def test_quantiles_of_students_t(degrees, value):
    # From the table in Abramowitz and Stegun, and R's qt(0.975, df).
    assert t_quantile(degrees) == pytest.approx(value, abs=2e-4)
