"""A mean over seeds and how sure it is: the 95% interval of Student's t."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# 0.975 quantiles of Student's t for 1, 2, ... degrees of freedom, as any table of it gives them.
_T_QUANTILES = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
    2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
)  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: of the values.
        half_width: the 95% interval is `mean` plus and minus this; None for a single value, which
            says nothing about its spread.
        count: how many values, one a seed.
    """

    mean: float
    half_width: float | None
    count: int


def estimate(values: Sequence[float]) -> Estimate:
    """Return mean and 95% t interval of `values`, one a seed.

    Raises:
        ValueError: there are none, or one is not finite.
    """
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError(f"no mean can be taken of {list(values)}")
    mean = statistics.fmean(values)
    if len(values) == 1:
        return Estimate(mean, None, 1)
    error = statistics.stdev(values) / math.sqrt(len(values))
    return Estimate(mean, t_quantile(len(values) - 1) * error, len(values))


def t_quantile(degrees: int) -> float:
    """Return the 0.975 quantile of Student's t with `degrees` of freedom, to 3 decimals or better."""
    if degrees < 1:
        raise ValueError(f"Student's t needs 1 degree of freedom or more, not {degrees}")
    if degrees <= len(_T_QUANTILES):
        return _T_QUANTILES[degrees - 1]
    # Cornish and Fisher's expansion about the normal quantile (Abramowitz and Stegun, 26.7.5).
    z = statistics.NormalDist().inv_cdf(0.975)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / degrees + second / degrees**2
