"""A stored row beside the one made again: whether it follows, and if not, what explains it.

Rules change: a verdict, a band, an interval or an admitted percentile of a row may then be another
today. What was counted and measured may not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidemark import __version__
from tidemark.results.difference import SHOWN, row_differences
from tidemark.results.finding import Difference, Finding
from tidemark.results.schema import (
    DISTRIBUTION_STATS,
    DISTRIBUTIONS,
    JUDGED_STATS,
    SCALARS,
)
from tidemark.results.tables import Row

__all__ = ["compare_rows"]

_VERDICT: Final = ("validity", "needs_attention", "feeds_baseline")
_OF_RULES: Final = frozenset(
    (*_VERDICT, "reasons", "rules_version", "verification_hash", "quantile_method")
)
_INTERVAL: Final = ("n", "ci_lo", "ci_hi", "client_share", "band_lo", "band_hi", "validity")
_BY_RULES: Final = _OF_RULES | {
    "metrics",
    "null_reasons",
    *SCALARS,
    *(f"{name}_{stat}" for name in DISTRIBUTIONS for stat in DISTRIBUTION_STATS),
    *(f"{name}_{stat}_validity" for name in DISTRIBUTIONS for stat in JUDGED_STATS),
    *(f"{name}_{end}" for name in (*DISTRIBUTIONS, *SCALARS) for end in _INTERVAL),
}
"""Columns that other rules may fill otherwise."""
_MEASURED: Final = frozenset(
    (*SCALARS, *(f"{name}_{stat}" for name in DISTRIBUTIONS for stat in ("mean", "min", "max")))
)
"""Of these, what rules may leave out, but not change."""
_QUANTILES: Final = (
    frozenset(f"{name}_{stat}" for name in DISTRIBUTIONS for stat in DISTRIBUTION_STATS) - _MEASURED
)
"""Of these, what only another way of taking quantiles may change."""


def compare_rows(path: str, stored: Row, rebuilt: Row, apart: Sequence[str] = ()) -> Finding | None:
    """What the differences of two rows of one attempt come to, or None when there are none.

    `apart` names columns whose difference was told already.
    """
    found = [one for one in row_differences(stored, rebuilt) if one.column not in apart]
    if not found:
        return None
    if stored["verification_hash"] != rebuilt["verification_hash"]:
        same = stored["quantile_method"] == rebuilt["quantile_method"]
        others = [one for one in found if not _explained_by_rules(one, same)]
        if not others:
            return _judged_otherwise(path, stored, rebuilt, found)
        found = others
    first, count = tuple(found[:SHOWN]), len(found)
    version = rebuilt["tidemark_version"]  # as the record says: the row may say anything
    if version != __version__:
        commit = f" (commit {rebuilt['git_sha'][:12]})" if rebuilt["git_sha"] else ""
        what = f"tidemark {version}{commit} wrote it, and {__version__} makes the row otherwise"
        return Finding("another_version", path, what, first, count)
    what = "the row does not follow from its raw output"
    return Finding("row_differs", path, what, first, count)


def _explained_by_rules(one: Difference, same_quantiles: bool) -> bool:
    column = one.column.partition("[")[0].partition(",")[0]
    if column not in _BY_RULES:
        return False
    if one.stored is None or one.rebuilt is None:
        return True
    if column in _QUANTILES or one.column.endswith("].value"):
        return not same_quantiles
    return column not in _MEASURED


def _judged_otherwise(path: str, stored: Row, rebuilt: Row, found: Sequence[Difference]) -> Finding:
    changed = any(stored[name] != rebuilt[name] for name in _VERDICT)
    rules = f"judged by rules {_rules(stored)}, today's are {_rules(rebuilt)}"
    then, now = _verdict(stored), _verdict(rebuilt)
    outcome = f"{then} then, {now} today" if changed else f"{then} by both"
    told = [one for one in found if one.column.partition("[")[0] not in _OF_RULES - {*_VERDICT}]
    return Finding(
        "rules_changed",
        path,
        f"{rules}: {outcome}",
        tuple(told[:SHOWN]),
        len(told),
        verdict_changes=changed,
    )


def _rules(row: Row) -> str:
    return f"{row['rules_version']} ({str(row['verification_hash'])[:12]})"


def _verdict(row: Row) -> str:
    codes = [reason["code"] for reason in row["reasons"] or () if reason["level"] != "note"]
    words = str(row["validity"])
    if row["needs_attention"] and row["validity"] != "invalid":
        words += ", needs attention"
    return f"{words} ({', '.join(codes)})" if codes else words
