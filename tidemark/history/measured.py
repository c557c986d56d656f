"""One statistic of one metric of a cell's row, with all that says how far it can be believed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from tidemark.history.quantities import DASH, percent, plain, with_unit, with_unit_range

__all__ = [
    "Measured",
    "Row",
    "Standing",
    "explain",
    "is_trusted",
    "leading_codes",
    "measured",
    "metric_name",
    "verdict_text",
]

Row = Mapping[str, Any]
"""A row of the table `cells` or `runs`, by column name; a column that is absent is unknown."""

Standing = Literal["known", "band", "client_bound", "doubtful", "invalid", "null"]

HEADLINE_STAT: Final = "p50"
_DISTRIBUTIONS: Final = frozenset(
    {"ttft_s", "tpot_s", "ntpot_s", "e2e_s", "itl_s", "interactivity_tok_s"}
)
_NAMES: Final = {
    "ttft_s": "TTFT",
    "tpot_s": "TPOT",
    "ntpot_s": "normalised TPOT",
    "e2e_s": "E2E",
    "itl_s": "ITL",
    "interactivity_tok_s": "interactivity",
    "output_tput_tok_s": "output throughput",
    "input_tput_tok_s": "input throughput",
    "total_tput_tok_s": "total throughput",
    "request_rate_rps": "request rate",
    "goodput_rps": "goodput",
    "goodput_ratio": "goodput ratio",
    "error_rate": "error rate",
    "achieved_inflight": "achieved in flight",
}
_UNITS: Final = {"_tok_s": "tok/s", "_rps": "1/s", "_s": "s"}
_EXPLAINED: Final = {
    "n_too_small": "too few requests",
    "usage_missing": "the server sent no token counts",
    "not_streamed": "the answer is not streamed",
    "engine_lacks": "the engine does not measure it",
    "no_ok_requests": "no request was answered",
    "no_requests": "no request was made",
    "no_slo": "the plan names no SLO",
    "single_token": "every answer is a single token",
    "no_token_counts": "no answer has a token count",
    "no_output_tokens": "no answer has output tokens",
    "no_request_times": "the engine gave no times of requests",
    "no_time_between_tokens": "the tokens came all at once",
    "no_window": "there was no time with the load as asked",
    "window_empty": "there was no time with the load as asked",
    "floor_not_comparable": "the client floor does not fit this cell",
    "not_computed": "this version did not compute it",
}
_CODE: Final = re.compile(r"(?P<code>[a-z0-9_]+)(?:\((?P<detail>.*)\))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Measured:
    """A value in its column's unit, None with a `reason` where it is not known.

    `ci_lo` to `ci_hi` is the 95 % interval, `lo` to `hi` the band the truth lies in once the
    client's own part is allowed for; each is None where it is not given. `validity` is as the
    row says: "valid", "band", "invalid(...)", "inconclusive(...)" or None.
    """

    metric: str
    stat: str
    unit: str
    value: float | None
    n: int | None = None
    ci_lo: float | None = None
    ci_hi: float | None = None
    lo: float | None = None
    hi: float | None = None
    client_share: float | None = None
    validity: str | None = None
    reason: str | None = None

    @property
    def standing(self) -> Standing:
        """How far the value can be believed, whatever the verdict on its cell."""
        if self.value is None:
            return "null"
        validity = self.validity or "valid"
        if validity.startswith("invalid"):
            return "client_bound" if "client_bound" in validity else "invalid"
        if validity.startswith("inconclusive"):
            return "doubtful"
        return "band" if validity == "band" and self.lo is not None else "known"

    @property
    def usable(self) -> bool:
        """There is a value, and nothing says that it is wrong."""
        return self.standing in ("known", "band", "doubtful")

    @property
    def text(self) -> str:
        """The value as it may be printed: a band as a band, what is invalid by that word."""
        if self.value is None:
            return DASH
        if self.standing == "client_bound":
            return "client-bound"
        if self.standing == "invalid":
            return "invalid"
        if self.standing == "band" and self.lo is not None:
            return self._range(self.lo, self.hi)
        shown = self._shown(self.value)
        return f"{shown} ?" if self.standing == "doubtful" else shown

    def _shown(self, value: float) -> str:
        return percent(value) if self.is_ratio else with_unit(value, self.unit)

    def _range(self, lo: float, hi: float | None) -> str:
        if hi is None:  # the client's part is so large that nothing bounds the truth above
            return f"≥ {self._shown(lo)}"
        if self.is_ratio:
            low, high = percent(lo), percent(hi)
            return high if low == high else f"{low} {DASH} {high}"
        return with_unit_range(lo, hi, self.unit)

    @property
    def is_ratio(self) -> bool:
        """Whether it reads best in percent."""
        return self.metric in ("goodput_ratio", "error_rate")

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval, None where it is not known at both ends."""
        if self.ci_lo is None or self.ci_hi is None:
            return None
        return self.ci_lo, self.ci_hi


def measured(row: Row, metric: str, stat: str | None = None) -> Measured:
    """A statistic from the row's long form, or from its wide columns where that is missing.

    Without `stat` it is the median of a distribution, and the one number of a scalar.
    """
    if stat is None:
        stat = HEADLINE_STAT if metric in _DISTRIBUTIONS else "value"
    column = metric if stat == "value" else f"{metric}_{stat}"
    for entry in row.get("metrics") or ():
        if entry.get("metric") == metric and entry.get("stat") == stat:
            value = _finite(entry.get("value"))
            return Measured(
                metric=metric,
                stat=stat,
                unit=entry.get("unit") or _unit(metric),
                value=value,
                n=entry.get("n"),
                ci_lo=_finite(entry.get("ci_lo")),
                ci_hi=_finite(entry.get("ci_hi")),
                lo=_finite(entry.get("lo")),
                hi=_finite(entry.get("hi")),
                client_share=_finite(entry.get("client_share")),
                validity=entry.get("validity"),
                reason=entry.get("reason") or _null_reason(row, column, value),
            )
    value = _finite(row.get(column))
    if stat not in (HEADLINE_STAT, "value"):  # interval and band are those of the headline
        validity, reason = row.get(f"{column}_validity"), _null_reason(row, column, value)
        return Measured(metric, stat, _unit(metric), value, validity=validity, reason=reason)
    return Measured(
        metric=metric,
        stat=stat,
        unit=_unit(metric),
        value=value,
        n=row.get(f"{metric}_n"),
        ci_lo=_finite(row.get(f"{metric}_ci_lo")),
        ci_hi=_finite(row.get(f"{metric}_ci_hi")),
        lo=_finite(row.get(f"{metric}_band_lo")),
        hi=_finite(row.get(f"{metric}_band_hi")),
        client_share=_finite(row.get(f"{metric}_client_share")),
        validity=row.get(f"{metric}_validity"),
        reason=_null_reason(row, column, value),
    )


def metric_name(metric: str, stat: str | None = None) -> str:
    """What a metric is called in a report: "TTFT p50", "output throughput"."""
    name = _NAMES.get(metric, metric)
    return name if stat in (None, "value") else f"{name} {stat}"


def explain(reason: str | None) -> str:
    """A reason code in words, its numbers kept; a code this version does not know as it is."""
    if not reason:
        return "no reason was recorded"
    match = _CODE.fullmatch(reason.strip())
    if match is None or match["code"] not in _EXPLAINED:
        return plain(reason)
    words = _EXPLAINED[match["code"]]
    return f"{words} ({plain(match['detail'])})" if match["detail"] else words


def is_trusted(row: Row) -> bool:
    """Whether the verdict on the cell lets its numbers stand."""
    return row.get("validity") == "valid" and row.get("status") != "failed"


def leading_codes(row: Row, limit: int = 2) -> tuple[str, ...]:
    """Codes of the reasons that decided the verdict, or that qualify a cell that stands.

    For a failed cell without reasons it is the failure's class.
    """
    reasons = row.get("reasons") or ()
    deciding = ("warning",) if is_trusted(row) else ("invalid", "inconclusive")
    told = [reason for reason in reasons if reason.get("level") in (*deciding, None)]
    codes = [plain(reason["code"]) for reason in told if reason.get("code")]
    if not codes and row.get("failure_class"):
        codes = [plain(row["failure_class"])]
    return tuple(dict.fromkeys(codes))[:limit]


def verdict_text(row: Row) -> str:
    """The verdict with its first reason: "invalid(server_hung)", "valid, error_rate_high"."""
    validity = row.get("validity")
    if validity is None:
        validity = "invalid" if row.get("status") == "failed" else "not judged"
    codes = ", ".join(leading_codes(row))
    if not codes:
        return str(validity)
    return f"{validity}, {codes}" if validity == "valid" else f"{validity}({codes})"


def _null_reason(row: Row, column: str, value: float | None) -> str | None:
    if value is not None:
        return None
    for entry in row.get("null_reasons") or ():
        if entry.get("column") == column:
            reason = entry.get("reason")
            return None if reason is None else str(reason)
    return None


def _unit(metric: str) -> str:
    return next((unit for ending, unit in _UNITS.items() if metric.endswith(ending)), "1")


def _finite(value: Any) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    found = float(value)
    return found if math.isfinite(found) else None
