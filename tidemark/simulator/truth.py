"""The truth in numbers: what a run of requests really was, from their records."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from tidemark.simulator.record import RequestTruth

QUANTILES = (50, 90, 95, 99)


def distribution(values: Iterable[float | None]) -> dict[str, float | int | None]:
    """n, mean, min, p50, p90, p95, p99 and max of the values that are not None.

    Quantiles are interpolated linearly between order statistics (numpy's
    "linear"). All but n are None when there are no values.
    """
    ordered = sorted(value for value in values if value is not None)
    size = len(ordered)
    result: dict[str, float | int | None] = {"n": size}
    result["mean"] = math.fsum(ordered) / size if size else None
    result["min"] = ordered[0] if size else None
    for percent in QUANTILES:
        result[f"p{percent}"] = _quantile(ordered, percent / 100) if size else None
    result["max"] = ordered[-1] if size else None
    return result


def _quantile(ordered: list[float], share: float) -> float:
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def summary(
    *,
    finished: Iterable[RequestTruth],
    in_flight: Iterable[RequestTruth],
    since_s: float,
    now_s: float,
) -> dict[str, object]:
    """What happened to the requests that arrived from `since_s` on, as a JSON object.

    The span goes from the first arrival to the last end, or to `now_s` while any
    is in flight. mean_in_flight is the time all requests spent here over the
    span; output_tok_s counts every token written, also to clients that left.
    Latencies are those of requests with outcome "ok".
    """
    ended = [truth for truth in finished if truth.arrival_s >= since_s]
    open_ = [truth for truth in in_flight if truth.arrival_s >= since_s]
    everyone = ended + open_
    first_s = min((truth.arrival_s for truth in everyone), default=None)
    last_s = now_s if open_ else max((truth.end_s or now_s for truth in ended), default=None)
    span_s = 0.0 if first_s is None or last_s is None else last_s - first_s
    spent_s = math.fsum((truth.end_s or now_s) - truth.arrival_s for truth in ended)
    spent_s += math.fsum(now_s - truth.arrival_s for truth in open_)
    written = sum(truth.written_tokens for truth in everyone)
    fine = [truth for truth in ended if truth.outcome == "ok"]
    outcomes = Counter(truth.outcome for truth in ended)
    return {
        "since_s": since_s,
        "now_s": now_s,
        "first_arrival_s": first_s,
        "last_end_s": last_s,
        "span_s": span_s,
        "counts": {
            "requests": len(everyone),
            "ended": len(ended),
            "in_flight": len(open_),
            **{name: outcomes[name] for name in ("ok", "error", "cut", "aborted")},
        },
        "by_status": _counted(str(truth.status) for truth in ended),
        "by_fault": _counted(truth.fault for truth in ended if truth.fault),
        "ttft_s": distribution(truth.ttft_s for truth in fine),
        "tpot_s": distribution(truth.tpot_s for truth in fine),
        "e2e_s": distribution(truth.e2e_s for truth in fine),
        "late_first_s": distribution(truth.late_first_s for truth in everyone),
        "late_worst_s": distribution(truth.late_worst_s for truth in everyone),
        "blocked_requests": sum(truth.blocked for truth in everyone),
        "prompt_tokens": sum(truth.prompt_tokens or 0 for truth in everyone),
        "output_tokens": written,
        "mean_in_flight": spent_s / span_s if span_s else None,
        "output_tok_s": written / span_s if span_s else None,
        "request_rate_rps": len(ended) / span_s if span_s else None,
    }


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
