"""A cell's requests as columns: which of them can be counted, and what of them lies in a window.

Rows are put in start order first, so that no result depends on the order they came in. What an
engine hands over may be wrong: a time that can't be true is dropped and counted, not believed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from tidemark.results.requests import (
    ABORTED,
    FAILED,
    OK,
    TIMEOUT,
    TOKENS_FROM_SERVER,
    RequestRow,
    Window,
)
from tidemark.results.statistics import Series

__all__ = ["LONGEST_S", "Columns", "Flow", "Mask", "columns_of"]

Mask = NDArray[np.bool_]

LONGEST_S = 1e9
"""Thirty years: a time beyond it is a clock of another kind, not a latency."""
SHORTEST_TPOT_S = 1e-9
DISAGREEMENT_S = 0.001
DISAGREEMENT_RATIO = 0.01


@dataclass(frozen=True, slots=True)
class Flow:
    """The three quantities of Little's law in a window, of requests of any fate.

    `in_flight` is the time-weighted mean, `rate_rps` counts those that end in the window,
    `time_s` is their mean duration as the engine measured it. `edge_s` is in request-seconds, the
    greater of two sums: what requests that end in the window did before it, and what requests
    that outlast it did in it.
    """

    in_flight: float
    rate_rps: float
    time_s: float
    edge_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """One array per field, NaN where unknown, in start order; one element per request.

    `timed_out` ones failed because the server stayed silent. `placed` rows have a start on the
    cell's clock; `timed` ones a duration. `usage_missing` are answered ones whose tokens the
    plan wanted from the server: their counts are NaN here.
    `tpot_s` is NaN for fewer than two tokens, and where no time passed between first and last.
    """

    ok: Mask
    failed: Mask
    aborted: Mask
    timed_out: Mask
    placed: Mask
    timed: Mask
    usage_missing: Mask
    start_s: Series
    first_token_s: Series
    end_s: Series
    ttft_s: Series
    e2e_s: Series
    tpot_s: Series
    input_tokens: Series
    output_tokens: Series
    reasoning_tokens: Series
    anomalies: Mapping[str, int]

    def starts_in(self, window: Window | None) -> Mask:
        """Which requests start in the window; all of them when there is none."""
        if window is None:
            return np.ones(len(self.ok), dtype=np.bool_)
        return (self.start_s >= window.start_s) & (self.start_s < window.end_s)

    def in_flight_s(self, window: Window) -> float:
        """Seconds that requests of any fate spent in flight in the window, summed.

        One that never ended was in flight to the window's end.
        """
        end = np.where(np.isnan(self.end_s), np.inf, self.end_s)
        return float(np.nansum(_overlap(self.start_s, end, window)[self.placed]))

    def flow(self, window: Window) -> Flow | None:
        """What Little's law relates, or None when nothing ended in the window."""
        took = np.where(np.isnan(self.e2e_s), self.end_s - self.start_s, self.e2e_s)
        ended = self.placed & _inside(self.end_s, window) & ~np.isnan(took)
        if not ended.any():
            return None
        before = np.where(ended, window.start_s - self.start_s, 0.0).clip(min=0.0)
        outlasts = self.placed & (self.start_s < window.end_s) & ~(self.end_s < window.end_s)
        inside = window.end_s - np.maximum(self.start_s, window.start_s)
        return Flow(
            in_flight=self.in_flight_s(window) / window.length_s,
            rate_rps=float(ended.sum()) / window.length_s,
            time_s=float(took[ended].mean()),
            edge_s=max(float(before.sum()), float(inside[outlasts].sum())),
        )

    def completions(self, window: Window | None, of: Mask | None = None) -> float:
        """Answered requests, each by the share of its own time that lies in the window.

        `of` chooses some of them.
        """
        chosen = self.ok if of is None else self.ok & of
        if window is None:
            return float(chosen.sum())
        return float(np.nansum(_share(self.start_s, self.end_s, window)[chosen]))

    def tokens_delivered(self, window: Window | None) -> tuple[float, float]:
        """(output, input) tokens of answered requests that fall in the window."""
        output, prompt = self.output_tokens[self.ok], self.input_tokens[self.ok]
        if window is None:
            return float(np.nansum(output)), float(np.nansum(prompt))
        start, end = self.start_s[self.ok], self.end_s[self.ok]
        first = self.first_token_s[self.ok]
        whole = np.isnan(first)
        first = np.where(whole, end, first)
        at_first = np.where(whole, output, np.minimum(output, 1.0))
        delivered = at_first * _inside(first, window)
        delivered += (output - at_first) * _share(first, end, window)
        return (
            float(np.nansum(delivered)),
            float(np.nansum(prompt * _share(start, first, window))),
        )


def _inside(moment: Series, window: Window) -> Mask:
    return (moment >= window.start_s) & (moment < window.end_s)


def _overlap(start: Series, end: Series, window: Window) -> Series:
    """Seconds of [start, end) within the window."""
    inner: Series = np.minimum(end, window.end_s) - np.maximum(start, window.start_s)
    return inner.clip(min=0.0)


def _share(start: Series, end: Series, window: Window) -> Series:
    """The part of [start, end) within the window; a span without length counts at its end."""
    length = end - start
    point = ~(length > 0.0)
    within = _overlap(start, end, window) / np.where(point, 1.0, length)
    return np.where(point, _inside(end, window), within)


def columns_of(rows: Sequence[RequestRow], token_counts: str = TOKENS_FROM_SERVER) -> Columns:
    """Columns of the rows, with what can't be true left out and counted in `anomalies`."""
    order = np.lexsort(
        (_numbers(rows, "e2e_s"), _numbers(rows, "request_idx"), _numbers(rows, "start_s"))
    )
    status = np.array([row.status for row in rows], dtype=object)[order]
    error_class = np.array([row.error_class for row in rows], dtype=object)[order]
    ok, failed, aborted = (status == name for name in (OK, FAILED, ABORTED))
    found: dict[str, int] = {}

    def refuse(kind: str, where: Mask, *columns: Series) -> None:
        if where.any():
            found[kind] = found.get(kind, 0) + int(where.sum())
            for column in columns:
                column[where] = np.nan

    start, first, end, ttft, e2e, prompt, output, reasoning = (
        _numbers(rows, name)[order]
        for name in (
            "start_s",
            "first_token_s",
            "end_s",
            "ttft_s",
            "e2e_s",
            "input_tokens",
            "output_tokens",
            "reasoning_tokens",
        )
    )
    times = (start, first, end, ttft, e2e)
    wild = np.zeros(len(ok), dtype=np.bool_)
    for column in times:
        wild |= np.abs(column) > LONGEST_S
    refuse("time_out_of_range", wild, *times)
    refuse("negative_duration", (end < start) | (e2e < 0.0) | (ttft < 0.0), *times)
    refuse("negative_tokens", (prompt < 0) | (output < 0) | (reasoning < 0), prompt, output)
    refuse("unknown_status", ~(ok | failed | aborted))

    measured, told = end - start, e2e.copy()
    e2e = np.where(np.isnan(e2e), measured, e2e)
    end = np.where(np.isnan(end) & ok, start + e2e, end)
    first = np.where(np.isnan(first), start + ttft, first)
    first = np.where(ok & (first > end) & (first - end < DISAGREEMENT_S), end, first)
    ttft = np.where(np.isnan(ttft), first - start, ttft)
    apart = DISAGREEMENT_S + DISAGREEMENT_RATIO * np.abs(measured)
    refuse("times_disagree", ok & (np.abs(told - measured) > apart))
    refuse("first_token_outside", ok & ((first < start) | (first > end)), first, ttft)
    refuse("first_token_outside", ok & (ttft > e2e + DISAGREEMENT_S), ttft)
    refuse("no_duration", ok & ~(e2e > 0.0), e2e, ttft)

    missing = ok & np.array(
        [token_counts == TOKENS_FROM_SERVER and row.token_source != TOKENS_FROM_SERVER
         for row in rows],
        dtype=np.bool_,
    )[order]  # fmt: skip
    for column in (prompt, output, reasoning):
        column[missing] = np.nan
    decode = e2e - ttft
    several = ok & (output >= 2)
    tpot = np.where(several, decode / np.where(several, output - 1.0, 1.0), np.nan)
    refuse("no_time_between_tokens", ok & (tpot < SHORTEST_TPOT_S), tpot)
    return Columns(
        ok=ok,
        failed=failed,
        aborted=aborted,
        timed_out=failed & (error_class == TIMEOUT),
        placed=~np.isnan(start),
        timed=~np.isnan(e2e),
        usage_missing=missing,
        start_s=start,
        first_token_s=first,
        end_s=end,
        ttft_s=ttft,
        e2e_s=e2e,
        tpot_s=tpot,
        input_tokens=prompt,
        output_tokens=output,
        reasoning_tokens=reasoning,
        anomalies=dict(sorted(found.items())),
    )


def _numbers(rows: Sequence[RequestRow], name: str) -> Series:
    """One field of every row; None, NaN and infinities are NaN."""
    values = np.array(list(map(attrgetter(name), rows)), dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    return values
