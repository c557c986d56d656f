"""The numbers of a cell, recomputed from its requests: one definition for every engine.

Definitions (times in seconds, from the actual send, under closed-loop load):

    ttft_s             first content or reasoning chunk - send
    tpot_s             (e2e - ttft) / (output tokens - 1), from two output tokens on
    ntpot_s            e2e / output tokens
    e2e_s              last byte - send
    interactivity      1 / tpot, output tokens per second as one user sees them; its mean is
                       1 / mean tpot, since one late first token makes 1 / tpot as large as it likes
    output_tput        output tokens delivered in the window / window
    input_tput         prompt tokens read in the window / window
    request_rate       requests answered, by the share of their own time in the window / window
    goodput            as the request rate, of requests that meet all SLOs; the ratio is of the
                       requests that start in the window, failed ones included
    error_rate         failed / (answered + failed), over the whole cell
    achieved_inflight  time-weighted mean number of requests in flight in the window

Latencies are those of answered requests that start in the window, so that the ramp is left out
of numerator and denominator alike. Rates take from each request the part that lies in the window:
its first token at first_token_s, the others evenly from there to end_s, its prompt evenly from
send to first token, an answer that was not streamed whole at end_s. So adjoining windows add up,
and edges don't bias. Windows are half open: what happens at the end belongs to the next.

Requests cut off because the cell ended are no attempts: they are counted as `aborted` and, while
they lasted, as in flight, and nowhere else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tidemark.results.columns import LONGEST_S, Columns, Mask, columns_of
from tidemark.results.goodput import Slo, goodput_count, meeting
from tidemark.results.requests import CellRaw, Window
from tidemark.results.statistics import (
    QUANTILE_METHOD,
    QUANTILES,
    Interval,
    Series,
    admission_reason,
    mean_interval,
    proportion_interval,
    quantile,
    quantile_interval,
)

__all__ = [
    "DISTRIBUTIONS",
    "LOAD_MODEL",
    "QUANTILE_METHOD",
    "SCALARS",
    "SEND",
    "STATS",
    "UNITS",
    "USAGE_MISSING_BOUND",
    "CellMetrics",
    "MetricStat",
    "summarise",
]

LOAD_MODEL = "closed"
SEND = "actual"
USAGE_MISSING_BOUND = 0.01
"""Up to this share of answers without server usage is left out; above, token metrics are None."""

SHORTEST_SPAN_S = 1e-6
STREAMED_TASKS = frozenset({"text-to-text", "image-text-to-text", "image-to-text"})
STATS = ("mean", "p50", "p90", "p95", "p99", "min", "max", "stddev")
UNITS = {
    "ttft_s": "s",
    "tpot_s": "s",
    "ntpot_s": "s",
    "e2e_s": "s",
    "itl_s": "s",
    "interactivity_tok_s": "tok/s",
    "output_tput_tok_s": "tok/s",
    "input_tput_tok_s": "tok/s",
    "total_tput_tok_s": "tok/s",
    "request_rate_rps": "1/s",
    "goodput_rps": "1/s",
    "goodput_ratio": "1",
    "error_rate": "1",
    "achieved_inflight": "1",
}
DISTRIBUTIONS = ("ttft_s", "tpot_s", "ntpot_s", "e2e_s", "itl_s", "interactivity_tok_s")
SCALARS = tuple(metric for metric in UNITS if metric not in DISTRIBUTIONS)


@dataclass(frozen=True, slots=True)
class MetricStat:
    """One statistic of one metric of one cell; a `value` of None has a `reason`.

    `stat` is "mean", "p50", "p90", "p95", "p99", "min", "max" or "stddev", and "value" for
    metrics that are one number. `n` is the number of requests behind it. `ci_lo` and `ci_hi` are
    the 95 % interval within this cell (`ci_method`; `n_effective` samples' worth); None where it
    can't be given. A reason beside a value qualifies it. The last four are set by the client
    floor: the part of the value that the client added, the band the truth lies in, and
    "valid", "band", "invalid(client_bound)", "inconclusive(floor_not_comparable)" or None.
    """

    metric: str
    unit: str
    stat: str
    value: float | None
    n: int
    ci_lo: float | None = None
    ci_hi: float | None = None
    reason: str | None = None
    ci_method: str | None = None
    n_effective: float | None = None
    client_share: float | None = None
    lo: float | None = None
    hi: float | None = None
    validity: str | None = None


@dataclass(frozen=True, slots=True)
class CellMetrics:
    """All metrics of one attempt, with the counts behind them.

    `attempted` = `ok` + `failed` over the whole cell; the `_in_window` counts are of requests
    that start in the window (of all, without one). Token totals are of answered requests, None
    where none had a count. `usage_missing` counts answers whose tokens the plan wanted from the
    server and did not get, `single_token` answers of one token; `anomalies` counts rows whose
    times can't be true, by kind. `duration_s` divides the rates; `duration_source` is "window",
    or "engine_run_duration" or "wall" where there were no times of requests.
    """

    stats: tuple[MetricStat, ...]
    attempted: int
    ok: int
    failed: int
    aborted: int
    failed_by_class: Mapping[str, int]
    ok_in_window: int
    failed_in_window: int
    aborted_in_window: int
    input_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    usage_missing: int
    single_token: int
    anomalies: Mapping[str, int]
    window: Window | None
    duration_s: float | None
    duration_source: str | None
    slo: Slo | None = None
    loop_lag_p50_s: float | None = None
    loop_lag_p99_s: float | None = None
    load_model: str = LOAD_MODEL
    send: str = SEND
    quantile_method: str = QUANTILE_METHOD

    def get(self, metric: str, stat: str = "value") -> MetricStat:
        """The one statistic; KeyError if there is no such metric or statistic."""
        for candidate in self.stats:
            if candidate.metric == metric and candidate.stat == stat:
                return candidate
        raise KeyError((metric, stat))

    def value(self, metric: str, stat: str = "value") -> float | None:
        """Just the number of `get`."""
        return self.get(metric, stat).value


def summarise(
    raw: CellRaw, *, task: str, slo: Slo | None = None, token_counts: str = "server"
) -> CellMetrics:
    """Every metric of one attempt, from its rows.

    `token_counts` is "server" when only counts from the server's own usage are to be believed.
    Rows in any order give the same result. Never raises on what an engine may hand over: rows
    that can't be true are left out and counted in `anomalies`.
    """
    table = columns_of(raw.rows, token_counts)
    window, duration, source, doubt = _span(raw, table)
    starts_in = table.starts_in(window)
    answered = table.ok & starts_in & table.timed
    failed_here = table.failed & (starts_in | ~table.placed)
    usage = _usage(table)

    streamed = task in STREAMED_TASKS
    silent = None if streamed else "not_streamed"
    empty = None if (table.ok & starts_in).any() else "no_ok_requests"
    counted = int(answered.sum())

    def tell(metric: str, values: Series, reason: str, note: str | None = None) -> None:
        stats.extend(_distribution(metric, values[answered], reason, note))

    def rate(metric: str, amount: float, reason: str | None, *notes: str | None) -> None:
        stats.append(_rate(metric, amount, duration, counted, reason, (doubt, *notes)))

    stats: list[MetricStat] = []
    nothing = np.full(len(answered), np.nan)
    tokens_lack = silent or usage.fatal
    tpot = nothing if tokens_lack else table.tpot_s
    no_tpot = tokens_lack or empty or _why_no_tpot(table, answered)
    some = table.output_tokens > 0
    ntpot = np.where(some, table.e2e_s / np.where(some, table.output_tokens, 1.0), np.nan)
    tell("ttft_s", table.ttft_s if streamed else nothing, silent or empty or "not_streamed")
    tell("tpot_s", tpot, no_tpot, usage.note)
    tell("ntpot_s", nothing if tokens_lack else ntpot, tokens_lack or empty or "no_output_tokens")
    tell("e2e_s", table.e2e_s, empty or "no_request_times")
    tell("itl_s", nothing, "engine_lacks")
    tell("interactivity_tok_s", 1.0 / tpot, no_tpot, usage.note)
    stats[-len(STATS)] = _inverse_of_mean(tpot[answered], stats[-len(STATS)])

    output, prompt = table.tokens_delivered(window)
    generated = float(np.nansum(table.output_tokens[table.ok])) > 0.0
    # Tokens may be delivered in a window in which no request starts.
    no_input = usage.fatal or (None if table.ok.any() else "no_ok_requests")
    no_output = no_input or (None if generated else "no_output_tokens")
    rate("output_tput_tok_s", output, no_output, usage.note)
    rate("input_tput_tok_s", prompt, no_input, usage.note)
    rate("total_tput_tok_s", output + prompt, no_output, usage.note)
    rate("request_rate_rps", table.completions(window), None)
    due = int((table.ok & (starts_in | ~table.placed)).sum() + failed_here.sum())
    met, no_goodput = goodput_count(table, window, slo, usage_reason=usage.fatal)
    good, _ = meeting(table, slo, usage_reason=usage.fatal)
    rate("goodput_rps", 0.0 if good is None else table.completions(window, good), no_goodput)
    stats.append(_proportion("goodput_ratio", met or 0, due, no_goodput))
    stats.append(_proportion("error_rate", int(table.failed.sum()), _attempted(table), None))
    if window is None:
        stats.append(_scalar("achieved_inflight", None, len(raw.rows), doubt))
    else:
        flying = table.in_flight_s(window) / window.length_s
        stats.append(_scalar("achieved_inflight", flying, len(raw.rows), None))
    failed_by_class = Counter(r.error_class or "unknown" for r in raw.rows if r.status == "failed")
    return CellMetrics(
        stats=tuple(stats),
        attempted=_attempted(table),
        ok=int(table.ok.sum()),
        failed=int(table.failed.sum()),
        aborted=int(table.aborted.sum()),
        failed_by_class=dict(sorted(failed_by_class.items())),
        ok_in_window=counted,
        failed_in_window=int(failed_here.sum()),
        aborted_in_window=int((table.aborted & starts_in).sum()),
        input_tokens=_total(table.input_tokens[table.ok]),
        output_tokens=_total(table.output_tokens[table.ok]),
        reasoning_tokens=_total(table.reasoning_tokens[table.ok]),
        usage_missing=usage.missing,
        single_token=int((table.output_tokens[table.ok] == 1).sum()),
        anomalies=table.anomalies,
        window=window,
        duration_s=duration,
        duration_source=source,
        slo=slo,
        loop_lag_p50_s=raw.loop_lag_p50_s,
        loop_lag_p99_s=raw.loop_lag_p99_s,
    )


@dataclass(frozen=True, slots=True)
class _Usage:
    """Answers without the token counts the plan wants: too many (`fatal`), or some (`note`)."""

    missing: int
    fatal: str | None
    note: str | None


def _usage(table: Columns) -> _Usage:
    missing, answered = int(table.usage_missing.sum()), int(table.ok.sum())
    reason = f"usage_missing({missing} of {answered})" if missing else None
    fatal = missing > USAGE_MISSING_BOUND * answered
    return _Usage(missing, reason if fatal else None, None if fatal else reason)


def _span(
    raw: CellRaw, table: Columns
) -> tuple[Window | None, float | None, str | None, str | None]:
    """(window, seconds to divide rates by, where from, what to hold against it)."""
    placed = bool(table.placed.any())
    if raw.window is not None and placed and _divides(raw.window.length_s):
        return raw.window, raw.window.length_s, "window", None
    doubt = "no_request_times" if not placed else "no_window"
    if raw.window is not None and placed:
        doubt = "window_empty"
    run = raw.engine_claims.get("run_duration")
    for source, seconds in (("engine_run_duration", run), ("wall", raw.wall_s)):
        if isinstance(seconds, int | float) and _divides(seconds):
            return None, float(seconds), source, doubt
    return None, None, None, doubt


def _divides(seconds: float) -> bool:
    """Whether a span is one that rates can be over: from a microsecond to thirty years."""
    return SHORTEST_SPAN_S <= seconds <= LONGEST_S


def _why_no_tpot(table: Columns, answered: Mask) -> str:
    tokens = table.output_tokens[answered]
    if not tokens.size or np.isnan(tokens).all():
        return "no_token_counts"
    if np.nanmax(tokens) < 2:
        return "single_token"
    if np.isnan(table.ttft_s[answered]).all():
        return "not_streamed"
    return "no_time_between_tokens"


def _distribution(
    metric: str, values: Series, reason: str, note: str | None = None
) -> list[MetricStat]:
    """Every statistic of the values that are known; `reason` says why there are none.

    `values` are in start order. `note` qualifies the numbers there are.
    """
    values = values[~np.isnan(values)]
    n, unit = len(values), UNITS[metric]
    if n == 0:
        return [MetricStat(metric, unit, stat, None, 0, reason=reason) for stat in STATS]
    ordered = np.sort(values)
    stats = [_with_interval(metric, "mean", float(values.mean()), n, mean_interval(values), note)]
    for stat, fraction in QUANTILES.items():
        refused = admission_reason(stat, n)
        if refused:
            stats.append(MetricStat(metric, unit, stat, None, n, reason=refused))
            continue
        interval = quantile_interval(ordered, values, fraction)
        value = quantile(ordered, fraction)
        stats.append(_with_interval(metric, stat, value, n, interval, note))
    stats.append(MetricStat(metric, unit, "min", float(ordered[0]), n, reason=note))
    stats.append(MetricStat(metric, unit, "max", float(ordered[-1]), n, reason=note))
    if n < 2:
        few = f"n_too_small(n={n}, needs 2)"
        return [*stats, MetricStat(metric, unit, "stddev", None, n, reason=few)]
    spread = float(values.std(ddof=1))
    return [*stats, MetricStat(metric, unit, "stddev", spread, n, reason=note)]


def _inverse_of_mean(times: Series, stat: MetricStat) -> MetricStat:
    """1 / mean in place of the mean of 1 / x, with its interval; unchanged where there is none."""
    times = times[~np.isnan(times)]
    if stat.value is None or not times.size:
        return stat
    interval = mean_interval(times)
    value = 1.0 / float(times.mean())
    low, high = (
        1.0 / bound if bound is not None and bound > 0.0 else None
        for bound in (interval.hi, interval.lo)
    )
    if low is None or high is None:
        low = high = None
    return replace(stat, value=value, ci_lo=low, ci_hi=high)


def _with_interval(
    metric: str, stat: str, value: float, n: int, interval: Interval, note: str | None
) -> MetricStat:
    return MetricStat(
        metric,
        UNITS[metric],
        stat,
        value,
        n,
        ci_lo=interval.lo,
        ci_hi=interval.hi,
        reason=note or (f"ci: {interval.reason}" if interval.reason else None),
        ci_method=interval.method,
        n_effective=interval.n_effective,
    )


def _scalar(metric: str, value: float | None, n: int, reason: str | None) -> MetricStat:
    return MetricStat(metric, UNITS[metric], "value", value, n, reason=reason)


def _rate(
    metric: str,
    amount: float,
    duration_s: float | None,
    n: int,
    reason: str | None,
    notes: tuple[str | None, ...],
) -> MetricStat:
    note = "; ".join(note for note in notes if note) or None
    if reason or duration_s is None:
        return _scalar(metric, None, n, reason or note)
    return _scalar(metric, amount / duration_s, n, note)


def _proportion(metric: str, hits: int, n: int, reason: str | None) -> MetricStat:
    if reason or n == 0:
        return _scalar(metric, None, n, reason or "no_requests")
    return _with_interval(metric, "value", hits / n, n, proportion_interval(hits, n), None)


def _attempted(table: Columns) -> int:
    return int(table.ok.sum() + table.failed.sum())


def _total(tokens: Series) -> int | None:
    known = tokens[~np.isnan(tokens)]
    return int(known.sum()) if known.size else None
