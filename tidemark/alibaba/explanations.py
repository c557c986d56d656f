"""What a code, status, event, exit code or whole error text means, and what to do: offline.

The answers come from the table in `tidemark.alibaba.explained`; nothing here repeats what it was
given.
"""

from __future__ import annotations

import re
from typing import Final

from tidemark.alibaba.explained.entry import KINDS, Explanation
from tidemark.alibaba.explained.guesses import nearest_names, prefix_hint
from tidemark.alibaba.explained.pasted import found_in
from tidemark.alibaba.explained.table import (
    TABLE,
    by_name,
    index,
    of_exit_code,
    of_http_status,
    of_kind,
)
from tidemark.alibaba.explained.wording import LONGEST_TEXT, bare, cleaned

__all__ = [
    "KINDS",
    "LONGEST_TEXT",
    "TABLE",
    "Explanation",
    "advice_for",
    "explain",
    "nearest_names",
    "prefix_hint",
]

_LONGEST_NAME: Final = 128
_CODES: Final = ("API error", "price error", "DLC reason code", "stock and spot", "HTTP status")


def explain(text: str) -> list[Explanation]:
    """Everything known about `text`, best first; empty if that is nothing.

    `text` is a name in any case (`imagepullbackoff`, `Throttling.User`, `EAS Running`, `137`), one
    of `KINDS`, or a text of any length that was pasted: an event, an error, a log, an answer.
    """
    clean = cleaned(text)
    name = bare(clean)
    if not name:
        return []
    if len(name) <= _LONGEST_NAME and "\n" not in name:
        found = of_kind(name) or by_name(name) or _narrowed(name) or _numbered(name)
        if found:
            return found
    return found_in(clean)


def advice_for(code: str) -> str | None:
    """One sentence on what to do about an error code, without full stop; None if it is unknown.

    Codes of a known family (`Throttling.Anything`, `InvalidParameter.JobSpecs`) have advice too.
    """
    name = bare(cleaned(code[: 4 * _LONGEST_NAME]))
    if not name or len(name) > _LONGEST_NAME:
        return None
    for entry in by_name(name) or _numbered(name):
        if entry.kind in _CODES:
            return entry.remedies[0]
    return None


def _narrowed(name: str) -> list[Explanation]:
    """`EAS Running`, `DLC job status Failed`: a name after words of its kind."""
    words = name.replace("=", " ").replace(":", " ").casefold().split()
    for split in range(1, min(len(words), 6)):
        kind_words, entries = words[:split], index().get(" ".join(words[split:]), ())
        found = [
            entry for entry in entries if set(kind_words) <= set(entry.kind.casefold().split())
        ]
        if found:
            return found
    return []


def _numbered(name: str) -> list[Explanation]:
    """A number alone: a status of HTTP, or an exit code."""
    if not re.fullmatch(r"-?\d{1,3}", name):
        return []
    number = int(name)
    if 400 <= number <= 599:
        return of_http_status(number)
    return of_exit_code(number)
