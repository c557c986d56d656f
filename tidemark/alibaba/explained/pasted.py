"""Explanations found in a longer text: an event, an error, a log, an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from tidemark.alibaba.explained import images
from tidemark.alibaba.explained.entry import KINDS, Explanation
from tidemark.alibaba.explained.table import (
    TABLE,
    WEIGHT,
    by_name,
    index,
    of_exit_code,
    of_http_status,
)
from tidemark.alibaba.explained.wording import WORD, is_distinctive

__all__ = ["found_in"]

_STATUSES: Final = frozenset(kind for kind in KINDS if kind.endswith("status")) - {
    "HTTP status",
    "EAS request status",
}

# `"Status": "Failed"`, `Reason: Evicted`, `Error: Throttling code: 400`, `Warning  Unhealthy`:
# where a word that is also an everyday one is meant as a name.
_NAMED = re.compile(
    r"(?:\w{0,20}(?:status|reason|code|state|phase|error)[\"']?\s{0,4}[:=>]\s{0,4}[\"']?"
    r"|(?-i:\b(?:Normal|Warning)\s{1,8}(?=[A-Z])))([A-Za-z][A-Za-z0-9.]{1,127})",
    re.IGNORECASE,
)
_EXIT = re.compile(
    r"\b(?:exit(?:ed)?(?:[\s_]?(?:with|non-?zero|exit|code|status)){1,4}|exitcode"
    r"|return(?:ed)?[\s_]?(?:code|value)|returncode)[\"']?\s{0,4}[:=]?\s{0,4}\(?(-?\d{1,3})\b",
    re.IGNORECASE,
)
_HTTP = re.compile(
    r"\bHTTP(?:/\d(?:\.\d)?)?[\s:=_\"'-]{1,4}(?:status)?[\s:=_\"'-]{0,4}(?:code)?[\s:=_\"'-]{0,4}"
    r"([45]\d\d)\b"
    r"|\bstatus[\s_-]?code[\"']?\s{0,4}[:=]?\s{0,4}[\"']?([45]\d\d)\b"
    r"|\bcode[\"']?:\s{0,4}([45]\d\d)\b"
    r"|\b([45]\d\d)\s(?:client error|server error|bad request|unauthorized|forbidden|not found"
    r"|too many requests|internal server error|bad gateway|service (?:temporarily )?unavailable"
    r"|gateway time-?out)",
    re.IGNORECASE,
)
# What is past, and would drown what is.
_HISTORY = re.compile(r"\"?StatusHistory\"?\s{0,4}[:=]\s{0,4}\[[^\]]{0,20000}\]")
_PULLED = re.compile(r"\bsuccessfully pulled image\b", re.IGNORECASE)
_PULL_LINE = re.compile(images.PULL_LINE, re.IGNORECASE)

# What an answer holds beside its status, and so which kind of status it is.
_BESIDE: Final = (
    (re.compile(r"\b(?:AvailableAgent|DesiredAgent)\b"), ("EAS stress test status",)),
    (re.compile(r"\b(?:ServiceUid|ServiceId|TotalInstance)\b"), ("EAS service status",)),
    (re.compile(r"\b(?:WorkloadId|QueueStrategy)\b"), ("workload status", "queue status")),
    (
        re.compile(r"\b(?:JobId|JobType|PodId)\b"),
        ("DLC job status", "DLC job sub-status", "DLC pod status", "DLC pod sub-status"),
    ),
    (re.compile(r"\b(?:EnvTypes|WorkspaceName)\b"), ("workspace status",)),
)
# A line about an image tells nothing of these, though the words are the same.
_NOT_OF_IMAGES: Final = frozenset({"HTTP status", "connection", "log line", "API error"})


@dataclass(frozen=True, slots=True)
class _Hit:
    """An explanation, and where in the text it was found."""

    entry: Explanation
    start: int
    exact: bool = True


def found_in(text: str) -> list[Explanation]:
    """What is found in a cleaned text, the likeliest cause first."""
    text = _HISTORY.sub("", text)
    hits = [*_signs_in(text), *_words_in(text), *_numbers_in(text)]
    hits = _without_echoes(text, hits)
    last_pull = max((match.start() for match in _PULLED.finditer(text)), default=-1)

    def order(hit: _Hit) -> tuple[bool, int, bool, int]:
        overcome = hit.entry in images.ENTRIES and hit.start < last_pull
        return overcome, WEIGHT[hit.entry.kind], not hit.exact, hit.start

    return list({id(hit.entry): hit.entry for hit in sorted(hits, key=order)}.values())


def _signs_in(text: str) -> Iterator[_Hit]:
    # Not cut at line breaks beforehand: patterns do not cross them.
    about_images = _lines_about_images(text)
    for pattern, entry in _signs():
        if entry.kind == images.CAUSE:
            places = (
                begin + match.start()
                for begin, line in about_images
                if (match := pattern.search(line)) is not None
            )
            start = next(places, None)
        else:
            match = pattern.search(text)
            start = match.start() if match else None
        if start is not None:
            yield _Hit(entry, start)


def _lines_about_images(text: str) -> list[tuple[int, str]]:
    """Where each line begins that speaks of pulling, and the line."""
    lines: dict[int, str] = {}
    for match in _PULL_LINE.finditer(text):
        begin = text.rfind("\n", 0, match.start()) + 1
        if begin not in lines:
            end = text.find("\n", begin)
            lines[begin] = text[begin : end if end >= 0 else len(text)]
    return list(lines.items())


def _words_in(text: str) -> Iterator[_Hit]:
    """Names: those that are nothing but names anywhere, everyday words where they are meant so."""
    seen: set[str] = set()
    for match in WORD.finditer(text):
        word = match.group()
        if word in seen or not is_distinctive(word):
            continue
        seen.add(word)
        for entry in index().get(word.casefold(), ()):
            yield _Hit(entry, match.start())
        if "." in word and word.casefold() not in index():
            for entry in by_name(word):
                yield _Hit(entry, match.start(), exact=False)
    beside = _kinds_beside(text)
    for match in _NAMED.finditer(text):
        word = match.group(1).rstrip(".")
        exact = word.casefold() in index()
        for entry in by_name(word):
            if entry.kind in beside or entry.kind not in _STATUSES:
                yield _Hit(entry, match.start(1), exact)


def _kinds_beside(text: str) -> frozenset[str]:
    """Which kinds of status the text can be about, by the fields that it has."""
    for pattern, kinds in _BESIDE:
        if pattern.search(text):
            return frozenset(kinds)
    return frozenset(_STATUSES)


def _numbers_in(text: str) -> Iterator[_Hit]:
    for match in _EXIT.finditer(text):
        for entry in of_exit_code(int(match.group(1))):
            yield _Hit(entry, match.start())
    for match in _HTTP.finditer(text):
        for entry in of_http_status(int(next(group for group in match.groups() if group))):
            yield _Hit(entry, match.start())


def _without_echoes(text: str, hits: list[_Hit]) -> list[_Hit]:
    """Leaves out what a better hit has said: the HTTP status of an error that has a code, ..."""
    if any(hit.entry.kind == images.CAUSE for hit in hits):
        about_images = {begin for begin, _ in _lines_about_images(text)}
        hits = [
            hit
            for hit in hits
            if hit.entry.kind not in _NOT_OF_IMAGES
            or text.rfind("\n", 0, hit.start) + 1 not in about_images
        ]
    coded = any(hit.entry.kind in ("API error", "price error") for hit in hits)
    return [hit for hit in hits if not (coded and hit.entry.kind == "HTTP status")]


@cache
def _signs() -> tuple[tuple[re.Pattern[str], Explanation], ...]:
    return tuple(
        (re.compile("|".join(entry.signs), re.IGNORECASE | re.MULTILINE), entry)
        for entry in TABLE
        if entry.signs
    )
