"""What a check of a store found: where, what, how much it weighs, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

__all__ = ["KINDS", "LEVELS", "Difference", "Finding", "Level", "by_weight"]

Level = Literal["wrong", "unverified", "rules", "note"]
LEVELS: Final[tuple[Level, ...]] = ("wrong", "unverified", "rules", "note")
"""Most weighty first. "wrong" is damage or a row that does not follow from its raw output,
"unverified" is what this version cannot rebuild, "rules" a row judged by other rules, "note" what
a reader should know and nothing has to be done about."""

KINDS: Final[dict[str, tuple[Level, str]]] = {
    "damaged": ("wrong", "Copy it again from where it is whole"),
    "unreadable": ("wrong", "Check the rights and the connection, and verify again"),
    "row_differs": ("wrong", "Do not use it; copy the part and the raw output again"),
    "requests_differ": ("wrong", "Do not use them; copy the part and the raw output again"),
    "raw_changed": ("wrong", "Copy the raw folder again from where it is whole"),
    "raw_missing": ("wrong", "Copy the raw folder again; without it nothing can be proved"),
    "not_rebuilt": ("wrong", "Copy the raw folder again, or verify with the version that wrote it"),
    "floor_differs": ("wrong", "Copy the raw folder and the part again"),
    "requests_missing": ("wrong", "Copy the part with the requests again"),
    "part_missing": ("wrong", "Copy the part again from where the run wrote it"),
    "orphan": ("wrong", "Copy what it belongs to again, or remove it"),
    "other_part": ("wrong", "Remove it, and copy the part that belongs there"),
    "misplaced": ("wrong", "Move it to where it belongs"),
    "run_differs": ("wrong", "Do not use the run's row; its cells speak for themselves"),
    "manifest_differs": ("wrong", "Copy the manifest and the run's row again"),
    "foreign": ("wrong", "Move it elsewhere: readers of whole folders stumble over it"),
    "torn": ("wrong", "tidemark verify says more about it"),
    "newer_schema": ("unverified", "Verify it with a newer tidemark"),
    "no_record": ("unverified", "It was kept by a version that left out what a row is made of"),
    "unknown_engine": ("unverified", "Verify it with a version that knows the engine"),
    "another_version": ("unverified", "Verify it with the version of tidemark that wrote it"),
    "rules_changed": ("rules", "Nothing to do: the row stands as it was judged then"),
    "another_writer": ("note", "Nothing to do"),
    "described_otherwise": ("note", "Nothing to do"),
    "unjudged": ("note", "Run its round again to judge it"),
    "unfinished": ("note", "It can be removed, once no run is at work"),
    "leftover": ("note", "It can be removed, once no run is at work"),
}
"""Every kind of finding: its level, and what to do about it unless the finding says otherwise."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not what the raw output gives.

    `column` may lead into a list: `metrics[ttft_s p50].value`. `request_idx` is set for a value of
    a request.
    """

    column: str
    stored: Any
    rebuilt: Any
    request_idx: int | None = None

    def __str__(self) -> str:
        place = "" if self.request_idx is None else f"request {self.request_idx}, "
        return f"{place}{self.column}: stored {_short(self.stored)}, rebuilt {_short(self.rebuilt)}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. `path` is relative to the store's root, `kind` a key of `KINDS`.

    `differences` are the first of `differing` values. `verdict_changes` is set where other rules
    would judge the cell otherwise. `remedy` is what to do, if that is not what its kind says.
    """

    kind: str
    path: str
    what: str
    differences: tuple[Difference, ...] = ()
    differing: int = 0
    verdict_changes: bool = False
    remedy: str | None = None

    @property
    def level(self) -> Level:
        """How much it weighs."""
        return KINDS[self.kind][0]

    @property
    def advice(self) -> str:
        """What to do about it."""
        return self.remedy or KINDS[self.kind][1]

    def document(self) -> dict[str, Any]:
        """The finding as JSON values; of values that JSON does not know, their text."""
        return {
            **asdict(self),
            "level": self.level,
            "remedy": self.advice,
            "differences": [_plain(asdict(one)) for one in self.differences],
        }


def by_weight(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, most weighty first, then by path."""
    return tuple(sorted(findings, key=lambda one: (LEVELS.index(one.level), one.path, one.kind)))


def _short(value: Any) -> str:
    text = "NULL" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
