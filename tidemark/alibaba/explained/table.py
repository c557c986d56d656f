"""All entries together, and how they are found by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Final

from tidemark.alibaba.explained import (
    answers,
    calls,
    connections,
    exits,
    identities,
    images,
    jobs,
    pods,
    prices,
    programs,
    services,
    workspaces,
)
from tidemark.alibaba.explained.entry import KINDS, Explanation

__all__ = ["TABLE", "WEIGHT", "by_name", "index", "of_exit_code", "of_http_status", "of_kind"]

TABLE: Final[tuple[Explanation, ...]] = (
    *calls.ENTRIES,
    *identities.ENTRIES,
    *prices.ENTRIES,
    *connections.ENTRIES,
    *jobs.ENTRIES,
    *images.ENTRIES,
    *pods.ENTRIES,
    *exits.ENTRIES,
    *programs.ENTRIES,
    *services.ENTRIES,
    *answers.ENTRIES,
    *workspaces.ENTRIES,
)
"""Every explanation there is."""

WEIGHT: Final = {kind: place for place, kind in enumerate(KINDS)}
"""The place of each kind: what weighs more has a smaller one."""


@cache
def index() -> dict[str, tuple[Explanation, ...]]:
    """Every name and other spelling, folded, with its entries by weight of their kinds."""
    found: dict[str, list[Explanation]] = {}
    for entry in TABLE:
        for name in dict.fromkeys(name.casefold() for name in (entry.name, *entry.also)):
            found.setdefault(name, []).append(entry)
    return {name: tuple(_by_weight(entries)) for name, entries in found.items()}


def by_name(name: str) -> list[Explanation]:
    """The entries of this name in any case, else of the family that it belongs to."""
    exact = index().get(name.casefold())
    if exact:
        return list(exact)
    if " " in name:
        return []
    return [entry for family, entry in _families() if family.fullmatch(name)]


def of_kind(kind: str) -> list[Explanation]:
    """The entries of a kind, in the order of the table."""
    folded = kind.casefold()
    return [entry for entry in TABLE if entry.kind.casefold() == folded]


def of_exit_code(number: int) -> list[Explanation]:
    """What an exit code means, also one that programs choose themselves; empty if it is none."""
    name = exits.name_of(number)
    return list(index()[name.casefold()]) if name else []


def of_http_status(number: int) -> list[Explanation]:
    """What a status of HTTP means, also one without an entry of its own."""
    known = index().get(f"http {number}") or index().get(f"http {number // 100}xx")
    return list(known or ())


@cache
def _families() -> tuple[tuple[re.Pattern[str], Explanation], ...]:
    """What begins in a certain way comes before what only ends so."""
    found = [(re.compile(entry.family, re.IGNORECASE), entry) for entry in TABLE if entry.family]
    return tuple(sorted(found, key=lambda family: family[0].pattern.startswith(".")))


def _by_weight(entries: Iterable[Explanation]) -> list[Explanation]:
    return sorted(entries, key=lambda entry: WEIGHT[entry.kind])
