"""What the client machine itself adds to a measurement, and what that leaves of each metric.

A floor is measured: the same engine, on this machine, against an endpoint that knows the truth,
at the same shape of traffic and concurrency and at least the request rate. The client's
statistic minus the true one is what the client added. A metric of a cell then carries its client
share, floor / measured: to 5 % it stands, to 20 % it is a band, above it is the client's own
figure, invalid(client_bound). In every case the truth lies between `lo` and `hi`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from tidemark.errors import StoreError
from tidemark.results.requests import RequestRow
from tidemark.results.statistics import ADMISSION, QUANTILES, Series

__all__ = ["FLOOR_METRICS", "Floor", "FloorStat", "Timing", "floor_from"]

FLOOR_METRICS = ("ttft_s", "tpot_s", "e2e_s")
LOWER_QUANTILES = {"p10": 0.10, "p05": 0.05, "p01": 0.01}
"""The fast end of tpot, which is the slow end of interactivity read backwards."""

REPEATABILITY = 0.30
"""Two runs of one load on one machine differ by up to this part of the floor."""
TAIL_REPEATABILITY = {"p90": 0.5, "p95": 0.75, "p99": 1.0, "p10": 0.5, "p05": 0.75, "p01": 1.0}
"""The same far out, where a few stalls that come or don't come decide."""

RESAMPLES = 200
RESAMPLED_VALUES = 4_000_000
BLOCKS = 20
SEED = 20250101


@dataclass(frozen=True, slots=True)
class Timing:
    """The latencies of one request, as one side saw them, in seconds; None where unknown."""

    ttft_s: float | None
    tpot_s: float | None
    e2e_s: float | None

    @classmethod
    def of(cls, row: RequestRow) -> Timing:
        """The client's side of a request."""
        return cls(row.ttft_s, row.tpot_s, row.e2e_s)


@dataclass(frozen=True, slots=True)
class FloorStat:
    """What the client adds to one statistic, in seconds.

    `value` may be negative: a late first token makes tpot too short. `low` and `high` allow for
    sampling noise and for how well a floor repeats. `admitted` is False for a tail percentile of
    fewer samples than a result would need.
    """

    value: float
    low: float
    high: float
    admitted: bool = True

    @property
    def distortion(self) -> float:
        """By how much the client falsifies the statistic, at least 0.

        A negative value that noise explains is 0. One that noise does not explain falsifies as
        much as a positive one, so its size counts.
        """
        return self.value if self.value >= 0.0 else -self.value if self.high < 0.0 else 0.0

    def scaled(self, ratio: float) -> FloorStat:
        """The same with everything `ratio` times as large."""
        return FloorStat(self.value * ratio, self.low * ratio, self.high * ratio, self.admitted)


@dataclass(frozen=True, slots=True)
class Floor:
    """The client floor of one machine, engine and load, per metric and statistic.

    `scenario`, `concurrency` and `request_rate_rps` say for which load it holds; `n` requests are
    behind it. The loop lags are those of the floor run. `measured_at` is an ISO 8601 instant,
    `machine` whatever identifies the client, `engine` the engine and its version.
    """

    ttft_s: Mapping[str, FloorStat]
    tpot_s: Mapping[str, FloorStat]
    e2e_s: Mapping[str, FloorStat]
    n: int
    scenario: str
    concurrency: int
    request_rate_rps: float | None
    loop_lag_p50_s: float | None
    loop_lag_p99_s: float | None
    measured_at: str
    machine: str
    engine: str

    def of(self, metric: str) -> Mapping[str, FloorStat]:
        """The floor of "ttft_s", "tpot_s" or "e2e_s" by statistic."""
        table = {"ttft_s": self.ttft_s, "tpot_s": self.tpot_s, "e2e_s": self.e2e_s}
        return table[metric]

    def to_json(self) -> str:
        """Canonical JSON, which `from_json` reads back to an equal floor."""
        document = asdict(self)
        return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Floor:
        """Read what `to_json` wrote; StoreError when it is something else."""
        try:
            document = json.loads(text)
            for metric in FLOOR_METRICS:
                stats = {name: FloorStat(**stat) for name, stat in document[metric].items()}
                for stat in stats.values():
                    if not all(map(math.isfinite, (stat.value, stat.low, stat.high))):
                        raise ValueError(f"{metric} holds a number that is not finite")
                document[metric] = stats
            return cls(**document)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise StoreError(
                f"this is no client floor ({type(error).__name__}: {error})",
                remedy="Remove it, and it is measured anew",
            ) from error


def floor_from(
    pairs: Sequence[tuple[Timing, Timing]],
    *,
    scenario: str,
    concurrency: int,
    request_rate_rps: float | None,
    loop_lag_p50_s: float | None,
    loop_lag_p99_s: float | None,
    measured_at: str,
    machine: str,
    engine: str,
) -> Floor:
    """The floor from requests seen from both sides: (client, truth) pairs in start order.

    Per statistic: the client's minus the true one. `low` and `high` are the value with a half
    width of hypot(noise, 30 % of the value), where noise is a 95 % bootstrap over blocks of
    consecutive pairs, which keeps their dependence (seeded: the same pairs give the same floor),
    and a run on another occasion differs by up to 30 %, which no resampling of one run shows; in
    the tails by more, see `TAIL_REPEATABILITY`.
    Pairs that lack a metric on either side are left out of it. StoreError without any pair.
    """
    if not pairs:
        raise StoreError(
            "no request of the floor run was matched with the endpoint's own record",
            remedy="Measure the floor again, with more requests",
        )
    stats = {}
    for metric in FLOOR_METRICS:
        both = [(getattr(client, metric), getattr(truth, metric)) for client, truth in pairs]
        values = np.array(both, dtype=np.float64)
        values = values[np.isfinite(values).all(axis=1)]
        names = {**QUANTILES, **(LOWER_QUANTILES if metric == "tpot_s" else {})}
        stats[metric] = _differences(values, names) if len(values) else {}
    return Floor(
        **stats,
        n=len(pairs),
        scenario=scenario,
        concurrency=concurrency,
        request_rate_rps=request_rate_rps,
        loop_lag_p50_s=loop_lag_p50_s,
        loop_lag_p99_s=loop_lag_p99_s,
        measured_at=measured_at,
        machine=machine,
        engine=engine,
    )


def _differences(values: Series, names: Mapping[str, float]) -> dict[str, FloorStat]:
    """Client minus truth per statistic; `values` has the columns client and truth."""
    n = len(values)
    fractions = list(names.values())

    def differ(sample: Series) -> Series:
        means = sample.mean(axis=0)
        points = np.quantile(sample, fractions, axis=0)
        return np.concatenate(([means[0] - means[1]], points[:, 0] - points[:, 1]))

    measured = differ(values)
    generator = np.random.default_rng(SEED)
    size = max(1, n // BLOCKS)
    count = math.ceil(n / size)
    resamples = max(50, min(RESAMPLES, RESAMPLED_VALUES // n))
    drawn = np.empty((resamples, len(measured)))
    for row in range(resamples):
        begins = generator.integers(0, n, size=count)
        indices = (begins[:, None] + np.arange(size)[None, :]).ravel()[:n] % n
        drawn[row] = differ(values[indices])
    lowest, highest = np.quantile(drawn, [0.025, 0.975], axis=0)
    result = {}
    for index, name in enumerate(("mean", *names)):
        value = float(measured[index])
        again = TAIL_REPEATABILITY.get(name, REPEATABILITY) * abs(value)
        mirrored = {"p10": "p90", "p05": "p95", "p01": "p99"}.get(name, name)
        result[name] = FloorStat(
            value=value,
            low=value - math.hypot(max(0.0, value - float(lowest[index])), again),
            high=value + math.hypot(max(0.0, float(highest[index]) - value), again),
            admitted=n >= ADMISSION.get(mirrored, 1),
        )
    return result
