"""How much one cell's samples can say: percentiles, their admission, and 95 % intervals.

Percentiles are numpy's "linear" ones. A tail percentile is admitted only with at least ten
samples beyond it; otherwise there is no number but a reason. Intervals allow for requests of
one cell not being independent: users queue behind each other, and users of equal length move in
step. Nothing here returns NaN or an infinity: what is not known is None with a reason.

Intervals are about this one occasion. How far repeats differ is another, wider question.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ADMISSION",
    "CONFIDENCE",
    "MEAN_METHOD",
    "PROPORTION_METHOD",
    "QUANTILES",
    "QUANTILE_CI_METHOD",
    "QUANTILE_METHOD",
    "Interval",
    "Series",
    "admission_reason",
    "lag_one_autocorrelation",
    "mean_interval",
    "proportion_interval",
    "quantile",
    "quantile_interval",
    "variance_inflation",
]

Series = NDArray[np.float64]

CONFIDENCE = 0.95
QUANTILE_METHOD = "linear"
QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
SAMPLES_BEYOND = 10
ADMISSION = {"p90": 100, "p95": 200, "p99": 1000}
"""Least number of samples for each tail percentile: ten of them lie beyond it."""

QUANTILE_CI_METHOD = "order_statistics_effective_n"
MEAN_METHOD = "t_effective_n"
PROPORTION_METHOD = "wilson"

BATCHES = 20
LEAST_FOR_BATCHES = 100
LEAST_FOR_AUTOCORRELATION = 10
NORMAL_FROM_VARIANCE = 400.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval; an edge that the samples can't support is None, with the reason."""

    lo: float | None
    hi: float | None
    method: str
    n_effective: float | None
    reason: str | None = None


def admission_reason(stat: str, n: int) -> str | None:
    """Why `n` samples can't carry the statistic `stat` ("p90", ...), or None if they can."""
    needed = ADMISSION.get(stat, 1)
    return None if n >= needed else f"n_too_small(n={n}, needs {needed})"


def quantile(ordered: Series, fraction: float) -> float:
    """The linear quantile of samples already in ascending order (at least one).

    Same as numpy's method "linear", without sorting once more.
    """
    position = fraction * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    lower, upper = float(ordered[below]), float(ordered[above])
    return lower if lower == upper else lower + (upper - lower) * (position - below)


def lag_one_autocorrelation(series: Series) -> float:
    """Correlation of each sample with the next, 0 where it is not defined."""
    if len(series) < 3:
        return 0.0
    deviation = series - series.mean()
    total = float(deviation @ deviation)
    if not math.isfinite(total) or total <= 0.0:
        return 0.0
    return min(1.0, max(-1.0, float(deviation[:-1] @ deviation[1:]) / total))


def variance_inflation(series: Series) -> float:
    """By how much dependence between samples inflates the variance of their mean, at least 1.

    `series` is in start order. The greater of two estimates: (1 + rho)/(1 - rho) with rho the
    lag-1 autocorrelation, exact for a first-order process; and, from 100 samples on, the
    variance of 20 batch means over what independent samples would give. The second sees what
    the first can't, such as a whole wave of users that was slow together. Negative
    autocorrelation is not counted as extra knowledge. The effective n is n over this.
    """
    n = len(series)
    if n < LEAST_FOR_AUTOCORRELATION:
        return 1.0
    rho = min(max(0.0, lag_one_autocorrelation(series)), 1.0 - 1.0 / n)
    inflation = (1.0 + rho) / (1.0 - rho)
    variance = float(series.var(ddof=1))
    if n >= LEAST_FOR_BATCHES and variance > 0.0:
        size = n // BATCHES
        means = series[: size * BATCHES].reshape(BATCHES, size).mean(axis=1)
        inflation = max(inflation, size * float(means.var(ddof=1)) / variance)
    return min(float(n), inflation) if math.isfinite(inflation) else float(n)


def mean_interval(series: Series) -> Interval:
    """Interval of the mean of one cell's samples, in start order.

    Student's t over the effective n: mean ± t(n_eff - 1) · s/√n_eff. With 100 samples or more
    the degrees of freedom are at most 19, since the inflation rests on 20 batches.
    """
    n = len(series)
    if n < 2:
        return Interval(None, None, MEAN_METHOD, float(n), f"n_too_small(n={n}, needs 2)")
    effective = n / variance_inflation(series)
    if effective < 2.0:
        reason = f"effective_n_too_small({effective:.1f})"
        return Interval(None, None, MEAN_METHOD, effective, reason)
    freedom = math.floor(effective) - 1
    if n >= LEAST_FOR_BATCHES:
        freedom = min(freedom, BATCHES - 1)
    mean = float(series.mean())
    half = student_t(freedom) * float(series.std(ddof=1)) / math.sqrt(effective)
    if not math.isfinite(mean) or not math.isfinite(half):
        return Interval(None, None, MEAN_METHOD, effective, "not_finite")
    return Interval(mean - half, mean + half, MEAN_METHOD, effective)


def quantile_interval(ordered: Series, series: Series, fraction: float) -> Interval:
    """Interval of a quantile by order statistics; `series` are the same samples in start order.

    How many samples fall below the true quantile is binomial, which gives the ranks whose
    samples enclose it. What must be independent for that is not the value but the event "at or
    below the quantile", so the effective n comes from the dependence of that event. Ranks for
    m = floor(n_eff) samples are scaled to n, outwards, and so that they enclose the
    interpolated quantile itself. An edge that would need a rank outside the samples is None.
    """
    n = len(ordered)
    if n < 2:
        return Interval(None, None, QUANTILE_CI_METHOD, float(n), f"n_too_small(n={n}, needs 2)")
    point = quantile(ordered, fraction)
    below = (series <= point).astype(np.float64)
    effective = n / variance_inflation(below)
    m = max(1, math.floor(effective))
    low_rank, high_rank = _binomial_ranks(m, fraction)
    scale = (n + 1) / (m + 1)
    lo: float | None = None
    hi: float | None = None
    if low_rank >= 1:
        lo = min(point, float(ordered[math.floor(low_rank * scale) - 1]))
    if high_rank <= m:
        hi = max(point, float(ordered[min(n, math.ceil(high_rank * scale)) - 1]))
    reason = f"effective_n_too_small({effective:.1f})" if lo is None or hi is None else None
    return Interval(lo, hi, QUANTILE_CI_METHOD, effective, reason)


def proportion_interval(hits: int, n: int) -> Interval:
    """Wilson's score interval of a proportion such as the error rate."""
    if n < 1:
        return Interval(None, None, PROPORTION_METHOD, float(n), "no_requests")
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    share, z2 = hits / n, z * z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    lo = 0.0 if hits == 0 else max(0.0, centre - half)
    hi = 1.0 if hits == n else min(1.0, centre + half)
    return Interval(lo, hi, PROPORTION_METHOD, float(n))


@lru_cache(maxsize=4096)
def student_t(freedom: int) -> float:
    """The two-sided 95 % point of Student's t; freedom is at least 1."""
    target, low, high = (1 - CONFIDENCE) / 2, 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        beyond = 0.5 * _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + middle * middle))
        low, high = (middle, high) if beyond > target else (low, middle)
    return (low + high) / 2


@lru_cache(maxsize=4096)
def _binomial_ranks(m: int, fraction: float) -> tuple[int, int]:
    """1-based ranks (l, u) with P(X_l <= true quantile <= X_u) >= 95 %; 0 and m + 1 if none."""
    tail = (1 - CONFIDENCE) / 2
    variance = m * fraction * (1 - fraction)
    if variance >= NORMAL_FROM_VARIANCE:
        half = NormalDist().inv_cdf(1 - tail) * math.sqrt(variance) + 0.5
        return math.floor(m * fraction - half), math.ceil(m * fraction + half) + 1

    def least(target: float) -> int:
        """The least k with P(Binomial(m, fraction) <= k) >= target."""
        low, high = 0, m
        while low < high:
            middle = (low + high) // 2
            if _incomplete_beta(m - middle, middle + 1, 1 - fraction) >= target:
                high = middle
            else:
                low = middle + 1
        return low

    # P(B <= l - 1) <= tail is required of l: one below the first count to exceed the tail.
    return least(tail), least(1 - tail) + 1


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz)."""
    if a <= 0.0:
        return 1.0
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _incomplete_beta(b, a, 1.0 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    total = d
    for k in range(1, 10_000):
        even = k * (b - k) * x / ((a + 2 * k - 1) * (a + 2 * k))
        odd = -(a + k) * (a + b + k) * x / ((a + 2 * k) * (a + 2 * k + 1))
        for step in (even, odd):
            d = 1.0 + step * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + step / c
            c = c if abs(c) > tiny else tiny
            total *= c * d
        if abs(c * d - 1.0) < 1e-14:
            break
    return front * total / a
