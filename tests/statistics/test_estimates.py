"""Means over seeds and their 95% intervals."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from avbench.statistics.estimates import BOOTSTRAP_FROM, Estimate, estimate, interval_words


def draws(count: int, kind: str = "normal") -> list[float]:
    generator = np.random.default_rng(3)
    return list(generator.normal(10, 2, count) if kind == "normal" else generator.exponential(2, count))


def test_interval_of_three_seeds():
    # 3 values of variance 7: the interval is the mean and 4.302653 standard errors on either side.
    found = estimate([1.0, 2.0, 6.0])
    assert found.mean == 3.0
    assert found.half_width == pytest.approx(4.302653 * math.sqrt(7) / math.sqrt(3), rel=1e-6)
    assert (found.low, found.high) == pytest.approx((3 - found.half_width, 3 + found.half_width))
    assert (found.count, found.interval) == (3, "t")


def test_one_seed_has_no_interval():
    assert estimate([2.5]) == Estimate(2.5, None, None, 1, "none")
    assert estimate([2.5]).half_width is None


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_what_has_no_mean_is_an_error(values):
    with pytest.raises(ValueError, match="no mean"):
        estimate(values)


@pytest.mark.parametrize(
    ("count", "quantile"), [(2, 12.706205), (3, 4.302653), (11, 2.228139), (BOOTSTRAP_FROM - 1, 2.100922)]
)
def test_few_seeds_have_students_t(count, quantile):
    # R's qt(0.975, count - 1).
    values = draws(count)
    error = statistics.stdev(values) / math.sqrt(count)
    assert estimate(values).half_width == pytest.approx(quantile * error, rel=1e-6)


def test_many_seeds_are_bootstrapped_and_near_the_normal_interval():
    values = draws(60)
    found = estimate(values)
    assert (found.interval, found.half_width, found.count) == ("bootstrap", None, 60)
    error = statistics.stdev(values) / math.sqrt(60)
    assert found.low == pytest.approx(found.mean - 1.96 * error, abs=0.25 * error)
    assert found.high == pytest.approx(found.mean + 1.96 * error, abs=0.25 * error)


def test_the_bootstrap_follows_skew():
    found = estimate(draws(BOOTSTRAP_FROM, "exponential"))
    assert found.high - found.mean > 1.2 * (found.mean - found.low)


def test_the_bootstrap_is_the_same_at_every_call_and_in_every_order():
    values = draws(BOOTSTRAP_FROM)
    assert estimate(values) == estimate(values[::-1]) == estimate(sorted(values))


@pytest.mark.parametrize("count", [2, BOOTSTRAP_FROM])
def test_equal_values_have_an_interval_without_width(count):
    found = estimate([4.25] * count)
    assert (found.low, found.mean, found.high) == (4.25, 4.25, 4.25)


def test_captions_speak_of_the_bootstrap_where_there_is_one():
    assert interval_words([1, 3]) == "95% t interval over seeds (none for one seed, or where all seeds agree)"
    assert f"from {BOOTSTRAP_FROM} on, [low, high]" in interval_words([3, BOOTSTRAP_FROM])
