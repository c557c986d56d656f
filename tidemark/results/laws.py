"""The laws a trustworthy cell obeys: each check says what it found, in numbers.

Every function yields `Reason`s and decides nothing by itself; `verdict.py` puts them together.
Where a bound is exceeded the evidence names both sides, so that a reader can do the sum again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from tidemark.results.advice import ADVICE, evidence_of, group_errors
from tidemark.results.columns import Columns, Mask
from tidemark.results.floor import CLIENT_BOUND
from tidemark.results.metrics import USAGE_MISSING_BOUND, CellMetrics
from tidemark.results.requests import STATUSES, TIMEOUT, CellRaw, Failure, Window

LITTLE_TOLERANCE = 0.05
INFLIGHT_INVALID = 0.90
INFLIGHT_WARNING = 0.95
CLIENT_CPU_BOUND = 0.80
SERVICE_TIMES = 5.0
REQUESTS_PER_USER = 2
LEAST_OK = 10
HUNG_TIME_BOUND = 0.10
BAD_TIMES_BOUND = 0.01
MOSTLY_FAILED = 0.50
WALL_ALLOWANCE = 0.10
CLAIM_TOLERANCE = 0.02
CLAIM_ERROR_RATE_TOLERANCE = 0.001
ABORTED_TIME_BOUND = 0.05
NEVER_ENDED_FACTOR = 3.0

BOUNDS: dict[str, float] = {
    "little_tolerance": LITTLE_TOLERANCE,
    "inflight_invalid": INFLIGHT_INVALID,
    "inflight_warning": INFLIGHT_WARNING,
    "client_cpu_bound": CLIENT_CPU_BOUND,
    "service_times": SERVICE_TIMES,
    "requests_per_user": REQUESTS_PER_USER,
    "least_ok": LEAST_OK,
    "hung_time_bound": HUNG_TIME_BOUND,
    "bad_times_bound": BAD_TIMES_BOUND,
    "mostly_failed": MOSTLY_FAILED,
    "wall_allowance": WALL_ALLOWANCE,
    "claim_tolerance": CLAIM_TOLERANCE,
    "claim_error_rate_tolerance": CLAIM_ERROR_RATE_TOLERANCE,
    "aborted_time_bound": ABORTED_TIME_BOUND,
    "never_ended_factor": NEVER_ENDED_FACTOR,
}

IMPOSSIBLE = (
    "first_token_outside",
    "negative_duration",
    "negative_tokens",
    "no_duration",
    "time_out_of_range",
    "times_disagree",
)
CLIENT_ADVICE = (
    "This machine can't offer that load: use a larger or quieter client, or a lower concurrency"
)
BOUND_ADVICE = (
    "So much of these figures is this machine's: use a larger or quieter client or a lower "
    "concurrency. Goodput is also open where answers lie close to a limit of the SLO"
)

Level = Literal["invalid", "inconclusive", "warning", "note"]
ENGINE_FAILURES = {"budget": "budget", "cancelled": "cancelled", "server_hung": "server_hung"}


class LimitsLike(Protocol):
    """The part of a plan's limits that verdicts need, in seconds."""

    @property
    def max_time_s(self) -> float: ...
    @property
    def stall_timeout_s(self) -> float: ...
    @property
    def drain_s(self) -> float: ...


class PlanLike(Protocol):
    """The part of a plan that verdicts need."""

    @property
    def limits(self) -> LimitsLike: ...
    @property
    def max_error_rate(self) -> float: ...
    @property
    def token_counts(self) -> str: ...


class CellLike(Protocol):
    """The part of a cell that verdicts need."""

    @property
    def concurrency(self) -> int: ...
    @property
    def task(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Reason:
    """One finding: a code, the numbers it rests on, what to do, and how much it weighs.

    "invalid" and "inconclusive" decide the cell's validity; a "warning" qualifies a cell that
    stands; a "note" is kept as evidence.
    """

    code: str
    evidence: str
    advice: str
    level: Level = "warning"


def engine_failure(failure: Failure) -> Reason:
    """The engine never delivered the cell: budget, cancelled, server_hung or engine_failed."""
    code = ENGINE_FAILURES.get(failure.error_class, "engine_failed")
    return Reason(code, f"{failure.error_class}: {failure.evidence}", failure.advice, "invalid")


def no_requests(raw: CellRaw, metrics: CellMetrics) -> Reason:
    """Nothing was answered and nothing failed."""
    found = [f"no request was answered or failed ({metrics.aborted} cut off)", *raw.notes]
    return Reason(
        "no_requests",
        "; ".join(found),
        "See the engine's log in the raw output; if answers take longer than the cell, raise "
        "limits.max_time_s",
        "invalid",
    )


def sums(raw: CellRaw, metrics: CellMetrics, table: Columns) -> Iterator[Reason]:
    """Requests and tokens of the rows are those of the metrics, each request counted once."""
    advice = "Rows and metrics are not of one measurement: report it, with the raw output"
    wrong = []
    unknown = sum(row.status not in STATUSES for row in raw.rows)
    if unknown:
        wrong.append(f"{unknown} rows with an unknown status")
    repeated = len(raw.rows) - len({row.request_idx for row in raw.rows})
    if repeated:
        wrong.append(f"{repeated} rows with a request_idx that another row has")
    ok, failed = int(table.ok.sum()), int(table.failed.sum())
    if (metrics.ok, metrics.failed) != (ok, failed) or metrics.attempted != ok + failed:
        wrong.append(
            f"rows: {ok} ok + {failed} failed, "
            f"metrics: {metrics.ok} + {metrics.failed} of {metrics.attempted} attempted"
        )
    tokens = int(np.nansum(table.output_tokens[table.ok]))
    if tokens != (metrics.output_tokens or 0):
        wrong.append(f"rows: {tokens} output tokens, metrics: {metrics.output_tokens}")
    rate = metrics.value("output_tput_tok_s")
    delivered = (rate or 0.0) * (metrics.duration_s or 0.0)
    if delivered > tokens * (1 + 1e-6):
        wrong.append(f"{delivered:.1f} tokens delivered in the window, {tokens} in all")
    if wrong:
        yield Reason("sums_differ", "; ".join(wrong), advice, "invalid")
    bad = sum(metrics.anomalies.get(kind, 0) for kind in IMPOSSIBLE)
    if bad:
        kinds = ", ".join(f"{kind}: {count}" for kind, count in metrics.anomalies.items())
        yield Reason(
            "times_inconsistent",
            f"{bad} of {len(raw.rows)} rows have values that can't be true ({kinds})",
            "The client's clock or the reader of its output is wrong: compare the raw output",
            "invalid" if bad > BAD_TIMES_BOUND * len(raw.rows) else "warning",
        )


def never_ended(table: Columns, stall_s: float) -> Mask:
    """Requests cut off as the cell ended that had no prospect of ending by themselves.

    They were in flight for the stall time-out, and three times as long as any answer took.
    """
    answers = table.e2e_s[table.ok & table.timed]
    longest = float(answers.max()) if answers.size else 0.0
    bound = max(stall_s, NEVER_ENDED_FACTOR * longest)
    return table.aborted & (table.end_s - table.start_s >= bound)


def hung_share(table: Columns, stall_s: float) -> float:
    """The part of all time in flight that requests spent waiting for nothing.

    Such requests hold a user each and are no load, so the rest was measured at a lower
    concurrency than asked. Without times, the part of the attempts that timed out.
    """
    hung = table.timed_out | never_ended(table, stall_s)
    took = table.end_s - table.start_s
    total = float(np.nansum(took))
    if total > 0.0:
        return float(np.nansum(took[hung])) / total
    return float(hung.sum()) / max(1, int((table.ok | table.failed).sum()))


def server_hung(raw: CellRaw, table: Columns, share: float, stall_s: float) -> Reason:
    """Users waited on a silent server for more than a tenth of the load."""
    endless = int(never_ended(table, stall_s).sum())
    evidence = (
        f"{share:.0%} of the time in flight was spent on {int(table.timed_out.sum())} requests "
        f"that timed out and {endless} that never ended (stall_timeout_s {stall_s:g}); "
        f"{int(table.ok.sum())} were answered"
    )
    said = [evidence_of(group) for group in group_errors(raw.rows) if group.error_class == TIMEOUT]
    return Reason("server_hung", "; ".join([evidence, *said]), ADVICE[TIMEOUT].remedy, "invalid")


def usage_missing(metrics: CellMetrics) -> Reason:
    """Answers came without the server's own token counts."""
    share = metrics.usage_missing / max(1, metrics.ok)
    return Reason(
        "usage_missing",
        f"{metrics.usage_missing} of {metrics.ok} answers carried no usage",
        "Let the server send usage in the stream (stream_options.include_usage), or set "
        "token_counts: tokenizer and take estimates",
        "invalid" if share > USAGE_MISSING_BOUND else "warning",
    )


def errors(raw: CellRaw, metrics: CellMetrics, bound: float) -> Iterator[Reason]:
    """Failed requests, by class; above the plan's bound the cell is flagged."""
    if not metrics.failed:
        return
    groups = group_errors(raw.rows)
    rate = metrics.failed / metrics.attempted
    evidence = f"{metrics.failed} of {metrics.attempted} requests failed ({rate:.2%}): "
    evidence += "; ".join(evidence_of(group) for group in groups)
    code = "error_rate_high" if rate > bound else "errors_within_bound"
    advice = " ".join(
        f"{group.error_class}: {group.advice.meaning}. {group.advice.remedy}." for group in groups
    )
    yield Reason(code, evidence, advice, "warning" if rate > bound else "note")


def enough(metrics: CellMetrics, concurrency: int) -> Iterator[Reason]:
    """A window long enough, with requests enough, to say anything about a steady state."""
    if metrics.window is None:
        no_times = metrics.value("achieved_inflight") is None and (
            metrics.get("achieved_inflight").reason == "no_request_times"
        )
        yield Reason(
            "no_request_times" if no_times else "window_short",
            "the engine gave no times of requests, so the load it offered can't be shown"
            if no_times
            else "there was no moment at which all users had started and none had stopped",
            "Run the engine through its launcher"
            if no_times
            else "Raise limits.max_time_s or limits.max_requests",
            "inconclusive",
        )
    e2e = metrics.value("e2e_s", "mean")
    if metrics.window is not None and e2e and metrics.window.length_s < SERVICE_TIMES * e2e:
        yield Reason(
            "window_short",
            f"the window is {metrics.window.length_s:.2f} s, {SERVICE_TIMES:g} service times "
            f"of {e2e:.2f} s are needed",
            "Raise limits.max_time_s or limits.max_requests",
            "inconclusive",
        )
    started = metrics.ok_in_window + metrics.failed_in_window
    needed = max(LEAST_OK, REQUESTS_PER_USER * concurrency)
    mostly_failed = metrics.failed > MOSTLY_FAILED * metrics.attempted
    few_ok = metrics.ok_in_window < LEAST_OK and not mostly_failed
    if started < needed or few_ok:
        yield Reason(
            "n_too_small",
            f"{started} requests started in the window ({metrics.ok_in_window} answered), "
            f"{needed} are needed, {LEAST_OK} of them answered",
            "Raise limits.max_time_s or limits.max_requests",
            "inconclusive",
        )


def little(table: Columns, window: Window) -> Iterator[Reason]:
    """Little's law: mean in flight = rate of ending x mean time, within 5 % and the edges.

    Write out the time in flight within a window of length T: it is the durations of the requests
    that end inside, less what the early ones of them did before the window (B), plus what those
    that outlast the window did in it (A). So L T = X T R - B + A whenever the records are true.
    A and B are both sums of parts of durations, about half a duration of each user when users
    are spread, from nothing to all of it when they move in step; with opposite signs they differ
    by no more than the greater, hence |L - X R| <= max(A, B) / T. A gap beyond that and 5 % means
    that the engine's durations and the clock contradict each other.
    """
    flow = table.flow(window)
    if flow is None:
        return
    product = flow.rate_rps * flow.time_s
    allowed = LITTLE_TOLERANCE * flow.in_flight + flow.edge_s / window.length_s
    if abs(flow.in_flight - product) > allowed:
        yield Reason(
            "littles_law",
            f"{flow.in_flight:.2f} in flight, but {flow.rate_rps:.3f} requests/s x "
            f"{flow.time_s:.4f} s = {product:.2f} (allowed: {allowed:.2f} apart)",
            "Durations and times of the rows contradict each other: compare the raw output",
            "invalid",
        )


def cut_off(metrics: CellMetrics, table: Columns, window: Window) -> Iterator[Reason]:
    """Requests cut off deliver no tokens here, so much of them understates throughput."""
    inside = np.minimum(table.end_s, window.end_s) - np.maximum(table.start_s, window.start_s)
    inside = np.nan_to_num(inside.clip(min=0.0))
    total = float(inside.sum())
    share = float(inside[table.aborted].sum()) / total if total > 0.0 else 0.0
    if share > ABORTED_TIME_BOUND:
        yield Reason(
            "requests_cut_off",
            f"{metrics.aborted} requests cut off at the end were {share:.1%} of the time in "
            "flight in the window: throughput is low by up to as much, and long answers are "
            "missing from the latencies",
            "Raise limits.drain_s above the longest answer, or limits.max_time_s",
        )


def client(raw: CellRaw, metrics: CellMetrics, concurrency: int) -> Iterator[Reason]:
    """The client offered the load it was asked for, and had processor time left.

    What is in flight as the client sees it includes the time it takes itself to send and to
    notice; `lo` of achieved_inflight is without that, where the floor is known. When most
    requests failed they ended too fast to be in flight, which says nothing about the client.
    """
    waived = metrics.failed > MOSTLY_FAILED * metrics.attempted
    stat = metrics.get("achieved_inflight")
    if stat.value is not None:
        # A floor that does not fit this cell says nothing about what it was offered either.
        fits = stat.lo is not None and not (stat.validity or "").startswith("inconclusive")
        reached = stat.lo if fits and stat.lo is not None else stat.value
        share = reached / concurrency
        own = "" if not fits else f" ({stat.value:.2f} with the client's own part)"
        if share < INFLIGHT_WARNING:
            bound = share < INFLIGHT_INVALID and not waived
            yield Reason(
                CLIENT_BOUND if bound else "inflight_low",
                f"{reached:.2f} of {concurrency} requests were in flight at the server{own}: "
                f"{share:.1%}, needed {INFLIGHT_INVALID:.0%}",
                "Requests failed too fast to be in flight" if waived else CLIENT_ADVICE,
                "invalid" if bound else "warning",
            )
    cpu = raw.client_cpu_p95
    if cpu is not None and cpu > CLIENT_CPU_BOUND:
        yield Reason(
            CLIENT_BOUND if not waived else "client_cpu_high",
            f"the client used {cpu:.0%} of a core (95th percentile), "
            f"{CLIENT_CPU_BOUND:.0%} are allowed",
            CLIENT_ADVICE,
            "invalid" if not waived else "warning",
        )


def overrun(raw: CellRaw, limits: LimitsLike) -> Iterator[Reason]:
    """The cell took longer than its limits allow."""
    allowed = limits.max_time_s * (1 + WALL_ALLOWANCE) + limits.drain_s
    if raw.wall_s is not None and raw.wall_s > allowed:
        yield Reason(
            "wall_overrun",
            f"the cell took {raw.wall_s:.1f} s; {limits.max_time_s:g} s and "
            f"{limits.drain_s:g} s to finish were allowed",
            "The client was too busy to stop in time, or an answer outlasts limits.drain_s",
        )


def bound_metrics(metrics: CellMetrics) -> Iterator[Reason]:
    """Which metrics of a cell that may stand are nevertheless the client's, not the server's."""
    bound = [
        f"{stat.metric} {stat.stat} {stat.client_share:.0%}"
        for stat in metrics.stats
        if stat.validity == f"invalid({CLIENT_BOUND})" and stat.client_share is not None
    ]
    if bound:
        yield Reason(
            "metrics_client_bound",
            "client share: " + ", ".join(bound),
            BOUND_ADVICE,
        )
