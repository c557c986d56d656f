"""How much of each metric of a cell is the client's: the client floor applied.

    latencies      share = floor / measured at the same statistic; the truth lies between
                   measured - floor (its upper estimate) and measured
    ntpot          as e2e; interactivity as tpot, with the quantiles read backwards
    rates          share = 1 - (L / N)(1 - f / R), see `_rate_share`; the truth lies between
                   measured and measured / (1 - share)
    in flight      share = f / R, the time before the request was sent and after it was answered
    goodput        between what is met with limits moved by the floor, either way; its share is
                   what that band leaves open

A share to 5 % is "valid", to 20 % "band", above "invalid(client_bound)".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tidemark.results.client_floor import (
    FLOOR_METRICS,
    REPEATABILITY,
    TAIL_REPEATABILITY,
    Floor,
    FloorStat,
    Timing,
    floor_from,
)
from tidemark.results.columns import columns_of
from tidemark.results.goodput import Slo, goodput_count
from tidemark.results.metrics import CellMetrics, MetricStat
from tidemark.results.requests import CellRaw

__all__ = [
    "BAND_SHARE",
    "CLIENT_BOUND",
    "FLOOR_METRICS",
    "FLOOR_RULES",
    "NOT_COMPARABLE",
    "VALID_SHARE",
    "Floor",
    "FloorStat",
    "Timing",
    "apply_floor",
    "floor_from",
]

CLIENT_BOUND = "client_bound"
NOT_COMPARABLE = "floor_not_comparable"
VALID_SHARE = 0.05
BAND_SHARE = 0.20
LAG_RESOLUTION_S = 0.001
"""Wake-ups late by less than this are as good as punctual: ratios below it mean nothing."""
LAG_RATIO_BOUND = 3.0
LAG_RATIO_LIMIT = 1e6  # far beyond the bound; keeps the arithmetic finite
RATE_ALLOWANCE = 1.05

FLOOR_RULES: dict[str, float] = {
    "valid_share": VALID_SHARE,
    "band_share": BAND_SHARE,
    "lag_resolution_s": LAG_RESOLUTION_S,
    "lag_ratio_bound": LAG_RATIO_BOUND,
    "rate_allowance": RATE_ALLOWANCE,
    "repeatability": REPEATABILITY,
    **{f"repeatability_{name}": part for name, part in TAIL_REPEATABILITY.items()},
}

RATES = frozenset({"output_tput_tok_s", "input_tput_tok_s", "total_tput_tok_s", "request_rate_rps"})
INVERSE = {"mean": "mean", "p50": "p50", "p90": "p10", "p95": "p05", "p99": "p01"}


def apply_floor(
    metrics: CellMetrics,
    floor: Floor | None,
    *,
    concurrency: int | None = None,
    raw: CellRaw | None = None,
) -> CellMetrics:
    """The same metrics with client share, band and validity on every statistic.

    `concurrency` is what was asked (by default the floor's). `raw` allows goodput to be counted
    again with its limits moved by the floor; without it goodput's band ends only at the share
    of requests that were answered. Without a floor shares are None, reason "floor_unknown".

    What the client adds is the lateness of its event loop: a request waits to be sent, and its
    chunks to be noticed, until the loop comes round. So if the loop of this cell woke later than
    the floor run's, the floor is scaled by the ratio, and beyond three times nothing is concluded
    from it: inconclusive(floor_not_comparable). So is a floor of fewer users or a lower request
    rate than the cell's. Only a floor that is too much as it is, unscaled, says invalid either way.
    """
    if floor is None:
        told = (_noted(stat, "floor_unknown") if stat.value is not None else stat
                for stat in metrics.stats)  # fmt: skip
        return replace(metrics, stats=tuple(told))
    asked = concurrency or floor.concurrency
    return replace(metrics, stats=_Applied(metrics, floor, asked, raw).stats())


@dataclass(frozen=True, slots=True)
class _Applied:
    """One floor on one cell's metrics."""

    metrics: CellMetrics
    floor: Floor
    asked: int
    raw: CellRaw | None

    def stats(self) -> tuple[MetricStat, ...]:
        return tuple(
            stat if stat.value is None else self._one(stat, stat.value)
            for stat in self.metrics.stats
        )

    def _one(self, stat: MetricStat, value: float) -> MetricStat:
        name = stat.metric
        if name == "error_rate":
            return replace(stat, client_share=0.0, lo=value, hi=value, validity="valid")
        if name in RATES:
            return self._rate(stat, value)
        if name == "achieved_inflight":
            return self._in_flight(stat, value)
        if name in ("goodput_rps", "goodput_ratio"):
            return self._goodput(stat, value)
        if name == "interactivity_tok_s":
            return self._interactivity(stat, value)
        if name == "ntpot_s":
            whole = self.metrics.value("e2e_s", stat.stat)
            added = self._added("e2e_s", stat.stat)
            if added is None or not whole:
                return _noted(stat, "floor_not_measured")
            return self._latency(stat, value, added.scaled(value / whole))
        added = self._added(name, stat.stat) if name in FLOOR_METRICS else None
        if added is None:
            return _noted(stat, "floor_not_measured")
        return self._latency(stat, value, added)

    def _lag_ratio(self, stat: str) -> float:
        """How much later this cell's event loop woke than the floor run's, at least 1."""
        median = _ratio(self.metrics.loop_lag_p50_s, self.floor.loop_lag_p50_s)
        tail = _ratio(self.metrics.loop_lag_p99_s, self.floor.loop_lag_p99_s)
        if stat == "mean":
            return max(median, tail)
        return tail if stat in ("p90", "p95", "p99") else median

    def _comparable(self, stat: str) -> bool:
        rate, floor_rate = self.metrics.value("request_rate_rps"), self.floor.request_rate_rps
        if rate is not None and floor_rate is not None and rate > floor_rate * RATE_ALLOWANCE:
            return False
        return self.asked <= self.floor.concurrency and self._lag_ratio(stat) <= LAG_RATIO_BOUND

    def _added(self, metric: str, stat: str) -> FloorStat | None:
        """What this client adds to a statistic, scaled to the lateness of this cell's loop."""
        found = self.floor.of(metric).get(stat)
        return None if found is None else found.scaled(self._lag_ratio(stat))

    def _judged(
        self, stat: MetricStat, share: float, lo: float | None, hi: float | None, of: str
    ) -> MetricStat:
        share = min(1.0, max(0.0, share))
        if not self._comparable(of) and share <= BAND_SHARE * self._lag_ratio(of):
            validity = f"inconclusive({NOT_COMPARABLE})"
        elif share <= VALID_SHARE:
            validity = "valid"
        else:
            validity = "band" if share <= BAND_SHARE else f"invalid({CLIENT_BOUND})"
        return replace(stat, client_share=share, lo=lo, hi=hi, validity=validity)

    def _latency(self, stat: MetricStat, value: float, added: FloorStat) -> MetricStat:
        """measured - high .. measured; above it, too, where the floor may be negative."""
        share = added.distortion / value if value > 0.0 else float(added.distortion > 0.0)
        lo = max(0.0, value - max(0.0, added.high))
        return self._judged(stat, share, lo, value - min(0.0, added.low), stat.stat)

    def _interactivity(self, stat: MetricStat, value: float) -> MetricStat:
        """1 / tpot, so its p99 is the reciprocal of tpot's first percentile.

        For the mean, which is that of reciprocals, 1 / value stands for the tpot it speaks of.
        """
        mirrored = INVERSE.get(stat.stat)
        added = None if mirrored is None else self._added("tpot_s", mirrored)
        if added is None:
            return _noted(stat, "floor_not_measured")
        tpot = 1.0 / value
        shortest = tpot - max(0.0, added.high)
        hi = max(value, 1.0 / shortest) if shortest > 0.0 else None
        lo = 1.0 / (tpot - min(0.0, added.low))
        return self._judged(stat, added.distortion / tpot, min(lo, value), hi, stat.stat)

    def _own_time(self) -> tuple[float, float] | None:
        """f / R: the client's part of the time in flight, as measured and at most."""
        added, mean = self._added("e2e_s", "mean"), self.metrics.value("e2e_s", "mean")
        if added is None or not mean:
            return None
        return min(1.0, added.distortion / mean), min(1.0, max(0.0, added.high) / mean)

    def _rate_share(self) -> tuple[float, float] | None:
        """The part of each user's cycle in which the server had nothing of that user.

        In a closed loop a user's cycle is C = R + Z: R in flight as the client sees it, Z between
        an answer and the next request. In flight are L = N R / C of the N users, so R / C = L / N
        without measuring Z. Of R, f is the client's own (the e2e floor). The server is at work
        for R - f out of C, and the rest is the share:

            share = (f + Z) / C = 1 - (R - f) / C = 1 - (L / N)(1 - f / R)

        A client without that part would finish cycles faster by 1 / (1 - share), if the server
        kept its latency under the greater load; a server near its limit would not. So the true
        rate lies between the measured one and measured / (1 - share).
        """
        own, reached = self._own_time(), self.metrics.value("achieved_inflight")
        if own is None or reached is None:
            return None
        loaded = min(1.0, reached / self.asked)
        return 1.0 - loaded * (1.0 - own[0]), 1.0 - loaded * (1.0 - own[1])

    def _rate(self, stat: MetricStat, value: float) -> MetricStat:
        shares = self._rate_share()
        if shares is None:
            return _noted(stat, "client_share_unknown")
        hi = value / (1.0 - shares[1]) if shares[1] < 1.0 else None
        return self._judged(stat, shares[0], value, hi, "mean")

    def _in_flight(self, stat: MetricStat, value: float) -> MetricStat:
        own = self._own_time()
        if own is None:
            return _noted(stat, "client_share_unknown")
        return self._judged(stat, own[0], value * (1.0 - own[1]), value, "mean")

    def _goodput(self, stat: MetricStat, value: float) -> MetricStat:
        """A request near a limit meets it or not by the client's part alone: count both ways."""
        ratio = self.metrics.get("goodput_ratio")
        shares = self._rate_share()
        if ratio.value is None or shares is None:
            return _noted(stat, "client_share_unknown")
        least, most = self._met_between(ratio.value, ratio.n)
        faster = 1.0
        if stat.metric == "goodput_rps":
            if shares[1] >= 1.0:
                return self._judged(stat, 1.0, 0.0, None, "mean")
            faster = 1.0 / (1.0 - shares[1])
        # Ratios become rates by the same factor: requests due per second.
        unit = value / ratio.value if ratio.value > 0.0 else self._due_per_second(stat, ratio.n)
        lo, hi = min(value, least * unit), max(value, most * unit * faster)
        share = max(1.0 - value / hi if hi > 0.0 else 0.0, 1.0 - lo / value if value > 0.0 else 0.0)
        return self._judged(stat, share, lo, hi, "mean")

    def _due_per_second(self, stat: MetricStat, due: int) -> float:
        if stat.metric == "goodput_ratio":
            return 1.0
        return due / self.metrics.duration_s if self.metrics.duration_s else 0.0

    def _met_between(self, ratio: float, due: int) -> tuple[float, float]:
        """Goodput ratios with every limit tightened, and relaxed, by the floor."""
        slo = self.metrics.slo
        if self.raw is None or slo is None:
            return ratio, 1.0 - self.metrics.failed_in_window / due
        table = columns_of(self.raw.rows, "tokenizer")
        counts = [
            goodput_count(table, self.metrics.window, self._moved(slo, up))[0] or 0
            for up in (False, True)
        ]
        return min(ratio, counts[0] / due), max(ratio, counts[1] / due)

    def _moved(self, slo: Slo, up: bool) -> _Limits:
        def moved(metric: str, limit: float | None) -> float | None:
            added = [self._added(metric, stat) for stat in self.floor.of(metric)]
            edges = [each.high if up else each.low for each in added if each is not None]
            if limit is None:
                return None
            return limit + (max([0.0, *edges]) if up else min([0.0, *edges]))

        return _Limits(
            moved("ttft_s", slo.ttft_s), moved("tpot_s", slo.tpot_s), moved("e2e_s", slo.e2e_s)
        )


@dataclass(frozen=True, slots=True)
class _Limits:
    ttft_s: float | None
    tpot_s: float | None
    e2e_s: float | None


def _ratio(here_s: float | None, there_s: float | None) -> float:
    """How many times as late; 1 where either is unknown, which includes what is no number."""
    if here_s is None or there_s is None or not math.isfinite(here_s + there_s):
        return 1.0
    return min(
        LAG_RATIO_LIMIT, max(1.0, max(here_s, LAG_RESOLUTION_S) / max(there_s, LAG_RESOLUTION_S))
    )


def _noted(stat: MetricStat, reason: str) -> MetricStat:
    return replace(stat, reason=f"{stat.reason}; {reason}" if stat.reason else reason)
