"""Reports of benchmark tasks (EAS DescribeBenchmarkTaskReport, 2021-07-01), from a queueing model.

The numbers follow from the load, from how the service truly answers, and from a seed: the same
task always reports the same. Each point stands for one second. Sums agree: `Count` is the sum of
`QPSList` and of `StatusCode`, and in no second are more requests under way than there are
connections (Little's law).
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tidemark.simulator.pai.eas_deployed import ServiceTruth
from tidemark.simulator.pai.phases import at

__all__ = ["Load", "Steady", "Stretch", "raw_report", "steady"]

# The time of a request is a fixed part of the mean and an exponential one: p50 lies a little
# below the mean, p99 at twice the mean.
_FIXED, _TAIL = 0.7, 0.3
_REFUSED_MS = 2.0
_PERCENTAGES = (10, 25, 50, 75, 90, 95, 99)
_BUCKETS = 20


@dataclass(frozen=True, slots=True)
class Load:
    """What all agents of a task put on a service.

    `concurrency` is the number of connections of all agents, `qps` the most they send in a
    second. Requests are given up after `timeout_ms` and count as status 512. With a wrong token
    (`authorized` false) all are refused with 401.
    """

    concurrency: int
    qps: float
    timeout_ms: float = 20_000.0
    request_bytes: int = 512
    authorized: bool = True


@dataclass(frozen=True, slots=True)
class Stretch:
    """A load, and the moment from which on it holds."""

    since_s: float
    load: Load


@dataclass(frozen=True, slots=True)
class Steady:
    """A service under a load that lasts: requests per second, their mean time in ms before any
    is given up, and the shares of those that do not end with 200."""

    qps: float
    mean_ms: float
    shares: dict[int, float]
    timeout_ms: float

    def quantile_ms(self, share: float) -> float:
        """The time within which that share of the requests ends."""
        return min(_quantile_ms(self.mean_ms, share), self.timeout_ms)

    @property
    def error_share(self) -> float:
        """The share of requests that do not end with 200."""
        return sum(self.shares.values())


def steady(truth: ServiceTruth, load: Load) -> Steady:
    """How a service answers a load: a closed network of `concurrency` clients before `slots`
    servers, the clients held back to `qps`.

    Below saturation the wait is Sakasegawa's approximation of M/M/c; above, it follows from
    Little's law.
    """
    if not load.authorized:
        rate = min(load.qps, load.concurrency * 1000 / _REFUSED_MS)
        return Steady(rate, _REFUSED_MS, {401: 1.0}, load.timeout_ms)
    service_ms, slots = truth.service_time_ms, truth.slots
    admitted = min(load.concurrency, slots + truth.queue_limit)
    refused = 1 - admitted / load.concurrency
    most = min(admitted, slots) * 1000 / service_ms / (1 - refused)
    if load.qps >= most:
        qps, mean_ms = most, admitted / min(admitted, slots) * service_ms
    else:
        qps = load.qps
        busy = qps * (1 - refused) * service_ms / 1000 / slots
        wait_ms = service_ms * busy ** (math.sqrt(2 * (slots + 1)) - 1) / (slots * (1 - busy))
        mean_ms = min(service_ms + (wait_ms if admitted > slots else 0.0), admitted * 1000 / qps)
    shares = {450: refused}
    shares[512] = (1 - refused) * _late(mean_ms, load.timeout_ms)
    shares[500] = (1 - refused - shares[512]) * truth.error_share
    return Steady(qps, mean_ms, shares, load.timeout_ms)


@dataclass(frozen=True, slots=True)
class _Second:
    """What was seen in one second."""

    count: int
    mean_ms: float  # of the model, before any request is given up
    steady: Steady
    request_bytes: int
    # Where in the distribution the quickest and the slowest request lie, as shares.
    first: float
    last: float

    @property
    def points(self) -> dict[str, float]:
        """A row of `RTList`."""
        names = {"TP100": 1.0, "TP99": 0.99, "TP90": 0.9, "TP50": 0.5, "TP10": 0.1}
        if not self.count:
            return {"AVG": 0.0, **dict.fromkeys(names, 0.0)}
        tp = {name: round(self._ms(share), 3) for name, share in names.items()}
        average = _mean_ms(self.mean_ms, self.steady.timeout_ms)
        return {"AVG": round(min(max(average, self.least_ms), tp["TP100"]), 3), **tp}

    @property
    def least_ms(self) -> float:
        return round(self._ms(0.0), 3)

    def _ms(self, share: float) -> float:
        # No further out than the requests of this second: one is its own p10 and p100.
        time_ms = _quantile_ms(self.mean_ms, min(max(share, self.first), self.last))
        return min(time_ms, self.steady.timeout_ms)


def raw_report(
    seed: str, truth: ServiceTruth, stretches: Sequence[Stretch], *, until_s: float
) -> dict[str, Any] | None:
    """`Data` of a report of type RAW, over the whole seconds from the first stretch to `until_s`.

    Times are in ms, traffic in bytes, `TimestampList` in seconds since 1970-01-01 UTC. None
    while no second is over.
    """
    seconds = _seconds(seed, truth, stretches, until_s)
    if not seconds:
        return None
    count = sum(second.count for second in seconds)
    asked = [second for second in seconds if second.count]
    rows = [second.points for second in seconds]
    least = min((second.least_ms for second in asked), default=0.0)
    most = max(row["TP100"] for row in rows)
    total_ms = math.fsum(
        row["AVG"] * second.count for row, second in zip(rows, seconds, strict=True)
    )
    traffic = [
        {
            "Send": second.count * second.request_bytes,
            "Receive": second.count * truth.response_bytes,
        }
        for second in seconds
    ]
    start_s = int(stretches[0].since_s)
    return {
        "TimestampList": [start_s + number for number in range(len(seconds))],
        "QPSList": [float(second.count) for second in seconds],
        "RTList": rows,
        "TrafficList": traffic,
        "StatusCode": _statuses(seconds, count),
        "Count": count,
        "Total": count,
        "MinRT": least,
        "AvgRT": round(min(max(total_ms / count, least), most), 3) if count else 0.0,
        "MaxRT": most,
        "QPS": round(count / len(seconds), 3),
        "TotalSend": sum(one["Send"] for one in traffic),
        "TotalReceive": sum(one["Receive"] for one in traffic),
        "RTDistribution": _distribution(asked, least, most),
        "RTHistogram": _histogram(asked, least, most),
    }


def _seconds(
    seed: str, truth: ServiceTruth, stretches: Sequence[Stretch], until_s: float
) -> list[_Second]:
    start_s = stretches[0].since_s
    known: dict[Load, Steady] = {}
    seconds = []
    sent = 0.0
    for number in range(max(0, math.floor(until_s - start_s + 1e-6))):
        load = at(stretches, start_s + number).load
        if load not in known:
            known[load] = steady(truth, load)
        now = known[load]
        draw = random.Random(f"{seed}/{number}")
        # Few levels, so that the seconds of a report fall into few classes.
        mean_ms = now.mean_ms * (1 + draw.randint(-5, 5) / 100)
        rate = min(now.qps, load.concurrency * 1000 / mean_ms) * (1 - draw.randint(0, 2) / 100)
        count = math.floor(sent + rate) - math.floor(sent)
        sent += rate
        # The extremes of so many draws from a uniform distribution.
        last = draw.random() ** (1 / max(count, 1))
        first = min(last, 1 - draw.random() ** (1 / count)) if count > 1 else last
        seconds.append(_Second(count, mean_ms, now, load.request_bytes, first, last))
    return seconds


def _statuses(seconds: Sequence[_Second], count: int) -> dict[str, int]:
    exact: dict[int, float] = {}
    for second in seconds:
        for status, share in second.steady.shares.items():
            exact[status] = exact.get(status, 0.0) + share * second.count
    # All of a kind are all of them, whatever adding up many shares has left of it.
    whole = {status: min(math.floor(value + 1e-6), count) for status, value in exact.items()}
    whole[200] = count - sum(whole.values())
    return {str(status): whole[status] for status in sorted(whole) if whole[status]}


def _distribution(
    seconds: Sequence[_Second], least_ms: float, most_ms: float
) -> list[dict[str, float]]:
    if not seconds:
        return []
    classes = _classes(seconds)
    points = []
    for percentage in _PERCENTAGES:
        low, high = least_ms, most_ms
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (
                (low, middle)
                if _share(classes, middle) >= percentage / 100
                else (
                    middle,
                    high,
                )
            )
        points.append({"Latency": round(high, 3), "Percentage": percentage})
    return points


def _histogram(
    seconds: Sequence[_Second], least_ms: float, most_ms: float
) -> list[dict[str, float]]:
    """Counts of equally wide classes; `Mark` is the upper bound of each."""
    if not seconds:
        return []
    classes = _classes(seconds)
    count = sum(second.count for second in seconds)
    buckets = []
    below = 0
    for number in range(1, _BUCKETS + 1):
        mark = least_ms + (most_ms - least_ms) * number / _BUCKETS
        up_to = count if number == _BUCKETS else round(count * _share(classes, mark))
        buckets.append(
            {"Count": up_to - below, "Mark": round(mark, 3), "Frequency": (up_to - below) / count}
        )
        below = up_to
    return buckets


def _classes(seconds: Sequence[_Second]) -> list[tuple[float, float, float]]:
    """Mean, time-out and share of the requests, for each kind of second there was."""
    counts: Counter[tuple[float, float]] = Counter()
    for second in seconds:
        counts[second.mean_ms, second.steady.timeout_ms] += second.count
    total = counts.total()
    return [(mean, timeout, count / total) for (mean, timeout), count in counts.items()]


def _share(classes: Sequence[tuple[float, float, float]], time_ms: float) -> float:
    """The share of requests that end within a time."""
    return math.fsum(
        share * (1.0 if time_ms >= timeout else 1 - _late(mean, time_ms))
        for mean, timeout, share in classes
    )


def _quantile_ms(mean_ms: float, share: float) -> float:
    return mean_ms * (_FIXED - _TAIL * math.log1p(-min(share, 1 - 1e-12)))


def _late(mean_ms: float, time_ms: float) -> float:
    """The share of requests that take longer than a time."""
    return math.exp(-max(0.0, (time_ms / mean_ms - _FIXED) / _TAIL))


def _mean_ms(mean_ms: float, timeout_ms: float) -> float:
    """The mean of times that are cut at the time-out."""
    if timeout_ms <= mean_ms * _FIXED:
        return timeout_ms
    return mean_ms * (_FIXED + _TAIL * (1 - _late(mean_ms, timeout_ms)))
