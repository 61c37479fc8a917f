"""Tests and intervals without assumptions, against known answers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test

from avbench.statistics.significance import (
    EXACT_TO,
    LEVEL,
    holm,
    median_interval,
    seeds_needed,
    sign_flip_p,
    smallest_p,
)

# Darwin's maize, heights of cross-fertilised minus self-fertilised plants in eighths of an inch.
MAIZE = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def test_darwins_maize_as_fisher_counted_it():
    # Fisher, The Design of Experiments (1935), section 21: 863 of 32768 in either tail.
    assert sign_flip_p(MAIZE) == 1726 / 32768


@pytest.mark.parametrize(
    ("differences", "choices"),
    [
        ([1, 2, 3], 2),  # only all signs alike reach 6
        ([3, 1, -1], 6),  # 3 is reached by 5 and twice by 3, either side
        ([1, 2, -3], 8),  # a mean of 0 is always reached
        ([0, 0, 0], 8),
        ([0, 0, 1], 8),  # the one seed that differs may do so either way
        ([-1, -2, -3], 2),
    ],
)
def test_by_hand(differences, choices):
    assert sign_flip_p(differences) == choices / 8


def test_rounding_does_not_decide_ties():
    # 0.1 + 0.2 - 0.3 is not 0 in floating point, nor is 0.1 + 0.2 as much as 0.3.
    for signs in itertools.product((-1, 1), repeat=4):
        whole = [sign * size for sign, size in zip(signs, (1, 2, 3, 3), strict=True)]
        assert sign_flip_p([value / 10 for value in whole]) == sign_flip_p(whole)


@pytest.mark.parametrize("seed", range(3))
def test_as_scipy_finds(seed):
    values = np.random.default_rng(seed).normal(0.5, 1, 8)
    found = permutation_test(
        (values, np.zeros(8)),
        lambda one, other, axis: np.mean(one - other, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert sign_flip_p(list(values)) == pytest.approx(found.pvalue, abs=1e-12)


def test_the_order_of_seeds_and_of_methods_does_not_matter():
    values = list(np.random.default_rng(5).normal(0.3, 1, 6))
    expected = sign_flip_p(values)
    assert all(sign_flip_p(order) == expected for order in itertools.permutations(values))
    assert sign_flip_p([-value for value in values]) == expected


def test_many_seeds_are_estimated_alike_at_every_call():
    # Differences of equal size: the test is that of a fair coin.
    count = EXACT_TO + 1
    differences = [1.0] * (count - 6) + [-1.0] * 6
    expected = binomtest(6, count).pvalue
    assert sign_flip_p(differences) == pytest.approx(expected, rel=0.03)
    assert sign_flip_p(differences) == sign_flip_p(differences[::-1])
    assert sign_flip_p([1.0] * 60) == smallest_p(60)


@pytest.mark.parametrize("differences", [[], [1.0], [1.0, math.nan]])
def test_too_few_seeds_make_no_test(differences):
    with pytest.raises(ValueError, match="no paired test"):
        sign_flip_p(differences)


@pytest.mark.parametrize("seeds", [2, 3, 5, 6, 12])
def test_the_smallest_p_is_that_of_the_clearest_difference(seeds):
    assert smallest_p(seeds) == sign_flip_p([1.0 + seed for seed in range(seeds)]) == 2 / 2**seeds


@pytest.mark.parametrize("comparisons", [1, 2, 9, 45, 190])
def test_seeds_needed_are_the_fewest(comparisons):
    needed = seeds_needed(comparisons)
    assert comparisons * smallest_p(needed) < LEVEL <= comparisons * smallest_p(needed - 1)


def test_one_comparison_needs_six_seeds():
    assert seeds_needed() == 6


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        # The worked example of Wikipedia, "Holm-Bonferroni method".
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        # R's p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm").
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),
        ([0.5, 0.25, 0.25], [0.75, 0.75, 0.75]),
        ([0.75, 0.9], [1.0, 1.0]),
        ([0.2], [0.2]),
        ([], []),
    ],
)
def test_holms_correction(p_values, corrected):
    assert holm(p_values) == pytest.approx(corrected)


@pytest.mark.parametrize(
    ("count", "low", "high", "confidence"),
    # As tables of the sign test have them: all values up to 8, then without one at either end, two from 12.
    [
        *((1, 1, 1, 0.0), (2, 1, 2, 0.5), (3, 1, 3, 0.75), (6, 1, 6, 0.96875), (8, 1, 8, 0.9921875)),
        *((9, 2, 8, 0.9609375), (10, 2, 9, 0.978515625), (12, 3, 10, 0.96142578125)),
    ],
)
def test_intervals_of_the_median(count, low, high, confidence):
    values = list(range(count, 0, -1))
    assert median_interval(values) == (low, high, confidence)


def test_nothing_has_no_median():
    with pytest.raises(ValueError, match="no median"):
        median_interval([])
