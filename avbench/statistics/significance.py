"""What a number of seeds can show: tests and intervals that assume nothing of how scores are distributed.

The unit is the seed. Two methods run with the same seed see the same clips in the same order, so under the
hypothesis that they do equally well, either could have had the other's score of that seed: the sign of a
seed's difference is as likely plus as minus. Tasks of one seed are learned by one model and are not
independent: they change sign together, as the mean over them that the seed's difference is.

Works on plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

LEVEL = 0.05
"""Below this a corrected p-value is called significant, by convention."""

# Of so many seeds all signs are tried, half a million of them; of more seeds, so many draws.
EXACT_TO = 20
DRAWS = 2**17 - 1
_AT_ONCE = 2**14

# Differences of recall are multiples of one query's share, so sums of other signs often equal the observed
# one; rounding must not decide whether they do. Relative to the sum of the sizes.
_TOLERANCE = 1e-12


def sign_flip_p(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of the mean of paired differences, one a seed.

    The share of all 2^n choices of signs whose mean is at least as far from 0 as the observed one (Fisher's
    randomisation test, The Design of Experiments, 1935). Of more than `EXACT_TO` seeds, an estimate from
    `DRAWS` random choices and the observed one, the same at every call. The order of seeds does not matter.

    Raises:
        ValueError: there are fewer than two, which no test can be made of, or one is not finite.
    """
    values = np.sort(np.abs(np.asarray(differences, dtype=np.float64)))
    if len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"no paired test can be made of the differences {list(differences)}")
    observed = abs(math.fsum(differences)) - _TOLERANCE * values.sum()
    if len(values) <= EXACT_TO:
        # Half of the choices: the other half mirrors it.
        sums = values[:1]
        for value in values[1:]:
            sums = np.concatenate((sums + value, sums - value))
        return float(np.mean(np.abs(sums) >= observed))
    generator = np.random.Generator(np.random.PCG64(list(b"sign flips")))
    hits = 0
    for count in (_AT_ONCE,) * (DRAWS // _AT_ONCE) + (DRAWS % _AT_ONCE,):
        signs = 2.0 * generator.integers(0, 2, (count, len(values))) - 1.0
        hits += int(np.sum(np.abs(signs @ values) >= observed))
    return (hits + 1) / (DRAWS + 1)


def smallest_p(seeds: int) -> float:
    """Return the least p-value that `sign_flip_p` can give with so many seeds: 2 of 2^seeds choices."""
    return math.ldexp(1.0, 1 - seeds) if seeds <= EXACT_TO else 1 / (DRAWS + 1)


def seeds_needed(comparisons: int = 1) -> int:
    """Return the fewest seeds with which one of so many comparisons can be significant after `holm`."""
    return math.ceil(1 + math.log2(comparisons / LEVEL))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for as many comparisons as there are, in the order given.

    Rejecting those below a level then makes any false rejection at most so likely, whatever the p-values'
    dependence. Source: Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lowest and highest value that bound the median, and how sure they do.

    The narrowest pair of order statistics, equally far from both ends, that holds the median of what
    `values` were drawn from with 95% or more: the interval of the sign test. Where not even lowest and
    highest reach 95%, these, with the confidence they have: 1 - 2^(1-n) for n values, 75% for three.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values have no median")
    ordered, count = sorted(values), len(values)
    # Below `cut` values from either end lies the median with probability `tail` each.
    cut, tail = 0, 0.5**count
    while (more := tail + math.comb(count, cut + 1) * 0.5**count) <= (1 - 0.95) / 2:
        cut, tail = cut + 1, more
    return ordered[cut], ordered[-1 - cut], max(0.0, 1 - 2 * tail)
