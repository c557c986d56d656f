"""Percentiles are numpy's, tails are admitted with ten samples beyond, intervals cover 95 %."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemark.results import statistics

finite = st.floats(min_value=1e-6, max_value=1e6)


def test_quantile_is_numpys_linear_one() -> None:
    assert statistics.quantile(np.array([1.0, 2.0, 4.0]), 0.5) == 2.0
    assert statistics.quantile(np.array([1.0, 2.0]), 0.9) == pytest.approx(1.9)
    assert statistics.quantile(np.array([3.0]), 0.99) == 3.0


@settings(deadline=None)
@given(st.lists(finite, min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_quantile_agrees_with_numpy(values: list[float], fraction: float) -> None:
    ordered = np.sort(np.array(values))
    expected = float(np.quantile(ordered, fraction, method="linear"))
    assert statistics.quantile(ordered, fraction) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("stat", "needed"), [("p90", 100), ("p95", 200), ("p99", 1000)])
def test_a_tail_needs_ten_samples_beyond_it(stat: str, needed: int) -> None:
    assert statistics.admission_reason(stat, needed) is None
    reason = statistics.admission_reason(stat, needed - 1)
    assert reason == f"n_too_small(n={needed - 1}, needs {needed})"
    assert statistics.admission_reason("p50", 1) is None


@pytest.mark.parametrize(
    ("freedom", "point"), [(1, 12.7062), (2, 4.3027), (9, 2.2622), (19, 2.0930), (1000, 1.9623)]
)
def test_student_t_is_that_of_the_tables(freedom: int, point: float) -> None:
    assert statistics.student_t(freedom) == pytest.approx(point, abs=5e-5)


def test_mean_interval_of_few_independent_samples_is_the_plain_t_interval() -> None:
    # 1..5: mean 3, s = sqrt(2.5), t(4) = 2.7764, half width 2.7764 * sqrt(2.5 / 5) = 1.9632
    interval = statistics.mean_interval(np.array([3.0, 1.0, 5.0, 2.0, 4.0]))
    assert interval.lo == pytest.approx(3 - 1.9632, abs=1e-3)
    assert interval.hi == pytest.approx(3 + 1.9632, abs=1e-3)
    assert interval.n_effective == 5.0


def test_median_interval_has_the_ranks_of_the_binomial() -> None:
    # n = 10: ranks 2 and 9 leave 1.07 % on each side; ranks 3 and 8 would leave 5.5 %.
    shuffled = np.array([3.0, 8.0, 1.0, 10.0, 5.0, 2.0, 9.0, 4.0, 7.0, 6.0])
    interval = statistics.quantile_interval(np.sort(shuffled), shuffled, 0.5)
    assert (interval.lo, interval.hi) == (2.0, 9.0)


def test_five_samples_can_not_bound_a_median() -> None:
    series = np.array([2.0, 1.0, 3.0, 5.0, 4.0])
    interval = statistics.quantile_interval(np.sort(series), series, 0.5)
    assert interval.lo is None
    assert interval.reason == "effective_n_too_small(5.0)"


def test_slow_drift_leaves_few_effective_samples() -> None:
    drifting = np.linspace(1.0, 2.0, 1000)
    interval = statistics.mean_interval(drifting)
    assert interval.n_effective is not None
    assert interval.n_effective < 30


def test_few_samples_are_worth_less_by_their_autocorrelation() -> None:
    # 20 low, then 20 high: deviations of 1, of 39 neighbouring products one is -1.
    series = np.repeat([1.0, 3.0], 20)
    rho = statistics.lag_one_autocorrelation(series)
    assert rho == pytest.approx((38 - 1) / 40)
    inflation = statistics.variance_inflation(series)
    assert inflation == pytest.approx((1 + 37 / 40) / (1 - 37 / 40))
    assert statistics.mean_interval(series).reason == "effective_n_too_small(1.6)"


def test_alternating_samples_are_not_taken_for_more_than_they_are() -> None:
    assert statistics.variance_inflation(np.tile([1.0, 2.0], 100)) == 1.0


def test_a_proportion_has_wilsons_interval() -> None:
    # 1 of 10: centre (0.1 + 1.9207/10) / 1.38415, by hand 0.0179 to 0.4042
    interval = statistics.proportion_interval(1, 10)
    assert interval.lo == pytest.approx(0.0179, abs=1e-4)
    assert interval.hi == pytest.approx(0.4042, abs=1e-4)
    assert statistics.proportion_interval(0, 10).lo == 0.0
    assert statistics.proportion_interval(10, 10).hi == 1.0
    assert statistics.proportion_interval(0, 0).reason == "no_requests"


@settings(deadline=None)
@given(st.lists(finite, min_size=0, max_size=300), st.sampled_from([0.5, 0.9, 0.99]))
def test_intervals_hold_their_point_and_never_nan(values: list[float], fraction: float) -> None:
    series = np.array(values)
    intervals = [(statistics.mean_interval(series), series.mean() if values else None)]
    if values:
        ordered = np.sort(series)
        point = statistics.quantile(ordered, fraction)
        intervals.append((statistics.quantile_interval(ordered, series, fraction), point))
    for interval, point in intervals:
        for edge in (interval.lo, interval.hi):
            assert edge is None or np.isfinite(edge)
            assert edge is not None or interval.reason
        if point is not None:
            slack = 1e-9 * abs(point)
            assert interval.lo is None or interval.lo <= point + slack
            assert interval.hi is None or interval.hi >= point - slack


def autoregressive(rng: np.random.Generator, n: int, rho: float) -> np.ndarray:
    """Standard normal samples of which each correlates with the next by rho."""
    noise = rng.normal(size=n) * np.sqrt(1 - rho * rho)
    series = np.empty(n)
    series[0] = rng.normal()
    for index in range(1, n):
        series[index] = rho * series[index - 1] + noise[index]
    return series


def waves(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Standard normal samples in waves: a quarter of the variance is common to a wave."""
    common = np.repeat(rng.normal(size=-(-n // size)), size)[:n]
    return 0.5 * common + np.sqrt(0.75) * rng.normal(size=n)


@pytest.mark.parametrize(
    ("kind", "n", "least"),
    [("independent", 200, 0.93), ("rho 0.5", 200, 0.92), ("waves of 16", 1000, 0.90)],
)
def test_95_percent_intervals_cover_about_95_percent(kind: str, n: int, least: float) -> None:
    rng = np.random.default_rng(20250101)
    trials = 400
    truths = {"mean": 0.0, "p50": 0.0, "p95": NormalDist().inv_cdf(0.95)}
    covered = dict.fromkeys(truths, 0)
    for _ in range(trials):
        if kind == "independent":
            series = rng.normal(size=n)
        else:
            series = autoregressive(rng, n, 0.5) if kind == "rho 0.5" else waves(rng, n, 16)
        ordered = np.sort(series)
        for name, truth in truths.items():
            if name == "mean":
                interval = statistics.mean_interval(series)
            else:
                fraction = statistics.QUANTILES[name]
                interval = statistics.quantile_interval(ordered, series, fraction)
            above = interval.lo is None or interval.lo <= truth
            below = interval.hi is None or interval.hi >= truth
            covered[name] += above and below
    for name, hits in covered.items():
        assert least <= hits / trials <= 0.995, (name, hits / trials)


def test_intervals_that_ignore_dependence_would_not_cover() -> None:
    """What the effective n is for: the plain t interval fails badly on the same series."""
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(300):
        series = autoregressive(rng, 200, 0.8)
        half = statistics.student_t(199) * series.std(ddof=1) / np.sqrt(200)
        hits += abs(series.mean()) <= half
    assert hits / 300 < 0.6
