"""Which requests were good enough: answered within every limit of the service level objective."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from tidemark.results.columns import Columns, Mask
from tidemark.results.requests import Window

__all__ = ["Slo", "goodput_count", "meeting"]


class Slo(Protocol):
    """The limits a request has to meet, each in seconds or None."""

    @property
    def ttft_s(self) -> float | None: ...
    @property
    def tpot_s(self) -> float | None: ...
    @property
    def e2e_s(self) -> float | None: ...


def goodput_count(
    table: Columns, window: Window | None, slo: Slo | None, *, usage_reason: str | None = None
) -> tuple[int | None, str | None]:
    """Answered requests that start in the window and meet every limit, or None and why not."""
    good, reason = meeting(table, slo, usage_reason=usage_reason)
    if good is None:
        return None, reason
    counted = good & table.starts_in(window) & table.timed
    if _needs_streaming(slo) and _is_silent(table, table.ok & table.starts_in(window)):
        return None, "not_streamed"
    return int(counted.sum()), None


def meeting(
    table: Columns, slo: Slo | None, *, usage_reason: str | None = None
) -> tuple[Mask | None, str | None]:
    """Which answered requests meet every limit, wherever they lie; or None and why not.

    A limit on tpot does not bind an answer of one token, which has none, nor one whose tokens
    came all at once. An answer that lacks a limited time does not meet it.
    """
    if slo is None or (slo.ttft_s is None and slo.tpot_s is None and slo.e2e_s is None):
        return None, "no_slo"
    good = table.ok & table.timed
    if slo.ttft_s is not None:
        good &= table.ttft_s <= slo.ttft_s
    if slo.tpot_s is not None:
        if usage_reason:
            return None, usage_reason
        unbound = (table.output_tokens < 2) | (np.isnan(table.tpot_s) & ~np.isnan(table.ttft_s))
        good &= (table.tpot_s <= slo.tpot_s) | (unbound & ~table.usage_missing)
    if slo.e2e_s is not None:
        good &= table.e2e_s <= slo.e2e_s
    return good, None


def _needs_streaming(slo: Slo | None) -> bool:
    return slo is not None and slo.ttft_s is not None


def _is_silent(table: Columns, answered: Mask) -> bool:
    return bool(answered.any()) and bool(np.isnan(table.ttft_s[answered]).all())
