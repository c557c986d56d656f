"""The one thing to do next, taken from what keeps the run from saying more."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from tidemark.history.measured import Row, is_trusted, leading_codes, measured, metric_name
from tidemark.history.operating_point import Objective, OperatingPoint
from tidemark.history.quantities import count_of, percent, plain
from tidemark.history.series import Axis, axis_of, place

__all__ = ["next_step", "places"]

PLACES_NAMED: Final = 3
CLIENT_CAN_BOUND: Final = ("ttft_s", "tpot_s", "e2e_s", "output_tput_tok_s")
AXIS_NAMES: Final[dict[Axis, str]] = {"concurrency": "concurrency", "batch_size": "batch size"}
_NEEDS: Final = re.compile(r"n_too_small\(n=(\d+), needs (\d+)\)")


def next_step(
    run: Row,
    rows: Sequence[Row],
    points: Sequence[OperatingPoint],
    objective: Objective | None,
    max_error_rate: float,
) -> str:
    """The most useful single action: first what is wrong, then what is missing, then finer work.

    `rows` are the last tries at each cell, `points` the operating point of each series.
    """
    steps = _steps(run, rows, points, objective, max_error_rate)
    return next(steps, "nothing: every cell can be trusted; keep this run to compare the next with")


def places(rows: Sequence[Row]) -> str:
    """Where some cells lie: "D(100,100) at concurrency 16, 32; D(7,1) at concurrency 8"."""
    axis = axis_of(rows)
    named = list(dict.fromkeys(place(row, axis) for row in rows))
    if len(named) <= PLACES_NAMED:
        return "; ".join(named)
    return f"{'; '.join(named[:PLACES_NAMED])} and {len(named) - PLACES_NAMED} more"


def _steps(
    run: Row,
    rows: Sequence[Row],
    points: Sequence[OperatingPoint],
    objective: Objective | None,
    max_error_rate: float,
) -> Iterator[str]:
    if not rows:
        yield "see the log of the run: no cell was measured"
        return
    yield from _untrusted(rows, "invalid")
    yield from _failing(rows, max_error_rate)
    yield from _untrusted(rows, "inconclusive")
    missing = (run.get("cells_planned") or 0) - len(rows)
    if missing > 0:
        yield f"run the same round again: {count_of(missing, 'planned cell')} not measured yet"
    yield from _client_bound(rows)
    yield from _floor_unfit(rows)
    yield from _about_points(points, objective)
    yield from _few_requests(rows, objective, points)


def _untrusted(rows: Sequence[Row], validity: str) -> Iterator[str]:
    affected = [row for row in rows if not is_trusted(row) and _validity(row) == validity]
    if not affected:
        return
    codes = Counter((leading_codes(row, 1) or ("no reason recorded",))[0] for row in affected)
    code = codes.most_common(1)[0][0]
    those = [row for row in affected if code in (*leading_codes(row, 1), "no reason recorded")]
    advice = _advice(those[0], code) or "see the reasons of the cell below"
    yield f"{advice} ({code}: {places(those)})"


def _failing(rows: Sequence[Row], max_error_rate: float) -> Iterator[str]:
    failing = [
        row
        for row in rows
        if is_trusted(row) and (measured(row, "error_rate").value or 0.0) > max_error_rate
    ]
    if not failing:
        return
    worst = max(failing, key=lambda row: measured(row, "error_rate").value or 0.0)
    rate = percent(measured(worst, "error_rate").value or 0.0)
    advice = _advice(worst, "error_rate_high") or _any_advice(worst)
    classes = _classes([worst])
    what = f"{rate} of requests failed{f' with {classes}' if classes else ''}"
    yield f"{advice or 'look at the errors below'} ({what}: {places([worst])})"


def _client_bound(rows: Sequence[Row]) -> Iterator[str]:
    for metric in CLIENT_CAN_BOUND:
        bound = [
            row
            for row in rows
            if is_trusted(row) and measured(row, metric).standing == "client_bound"
        ]
        if bound:
            yield (
                f"send the load from a faster or a second client: {metric_name(metric)} is bound "
                f"by this one ({places(bound)})"
            )
            return


def _floor_unfit(rows: Sequence[Row]) -> Iterator[str]:
    doubtful = [
        row
        for row in rows
        if is_trusted(row)
        and any(measured(row, metric).standing == "doubtful" for metric in CLIENT_CAN_BOUND)
    ]
    if doubtful:
        yield (
            "run again while the client machine is quiet: the client floor does not fit, so the "
            f"client's share is not known ({places(doubtful)})"
        )


def _about_points(points: Sequence[OperatingPoint], objective: Objective | None) -> Iterator[str]:
    for point in points:
        axis = AXIS_NAMES[point.series.axis]
        levels = [level.position(point.series.axis) for level in point.series.levels]
        if point.row is None and point.basis == "slo" and point.nearest is not None:
            if point.nearest in point.series.levels[0].attempts and levels[0] > 1:
                yield (
                    f"try a {axis} below {levels[0]}: no level of {point.series.name} meets the SLO"
                )
            elif objective is not None:
                yield (
                    f"make the service faster or relax the SLO: {point.series.name} misses it at "
                    f"every {axis} tried"
                )
        elif point.row is not None and point.last:
            reached = "still meets the SLO" if point.basis == "slo" else "is still short of a knee"
            if len(levels) == 1:
                reached = "was the only one tried"
            yield (
                f"add a {axis} of {levels[-1] * 2}: {point.series.name} {reached} at {levels[-1]}"
                if len(levels) > 1
                else f"add more levels of {axis}: {levels[-1]} {reached} for {point.series.name}"
            )
    for point in points:
        lowest = point.series.levels[0].position(point.series.axis)
        if point.row is not None and point.first and not point.last and lowest > 1:
            yield (
                f"add a {AXIS_NAMES[point.series.axis]} below {lowest}: {point.series.name} is "
                "already past its knee there"
            )


def _few_requests(
    rows: Sequence[Row], objective: Objective | None, points: Sequence[OperatingPoint]
) -> Iterator[str]:
    needed = objective.requests_needed if objective else None
    unproven = [point for point in points if point.row is not None and not point.proven]
    if unproven and needed is not None and objective is not None:
        yield (
            f"raise limits.max_requests to {needed}: fewer do not show that "
            f"{percent(objective.attainment)} of requests meet the SLO"
        )
    for stat in ("p95", "p99"):
        short = [
            (int(match[1]), int(match[2]))
            for row in rows
            for metric in ("ttft_s", "e2e_s")
            if (match := _NEEDS.search(measured(row, metric, stat).reason or ""))
        ]
        if short:
            n, needs = min(short)
            yield (
                f"raise limits.max_requests and max_time_s: {stat} needs {needs} requests in a "
                f"cell, the shortest has {n}"
            )
        if objective is None:
            yield "add an slo to the plan: a knee is where the curve bends, not what users need"


def _validity(row: Row) -> str:
    return "inconclusive" if row.get("validity") == "inconclusive" else "invalid"


def _advice(row: Row, code: str) -> str | None:
    for reason in row.get("reasons") or ():
        if reason.get("code") == code and reason.get("advice"):
            return _lower_first(plain(reason["advice"]))
    return None


def _any_advice(row: Row) -> str | None:
    found = (reason.get("advice") for reason in row.get("reasons") or ())
    return next((_lower_first(plain(advice)) for advice in found if advice), None)


def _lower_first(text: str) -> str:
    """Fits a sentence after a colon, unless it begins with a name in capitals."""
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def _classes(rows: Sequence[Row]) -> str:
    counts: Counter[str] = Counter()
    for row in rows:
        for entry in row.get("failed_by_class") or ():
            counts[plain(entry.get("kind") or "unknown")] += entry.get("requests") or 0
    return ", ".join(kind for kind, _ in counts.most_common(2))
