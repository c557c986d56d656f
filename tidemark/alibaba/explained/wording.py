"""Pasted text made fit to be looked through, and the words in it that are written as codes are."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["LONGEST_TEXT", "WORD", "bare", "cleaned", "code_like", "is_distinctive"]

LONGEST_TEXT: Final = 200_000
"""Of a longer text a quarter from its beginning and the rest from its end are read, in characters:
the beginning of an error and the end of a log say most."""


WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{2,127}(?:\.[A-Za-z][A-Za-z0-9]{0,127}){0,4}")
"""A name as the services write them, with dots inside."""

# Colours and other things that a terminal is told, and what cannot be printed.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_UNPRINTABLE = re.compile(
    r"[^\S\n ]|[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


def cleaned(text: str) -> str:
    """Without what steers a terminal, and not longer than is read; JSON's line breaks are real."""
    if len(text) > LONGEST_TEXT:
        beginning = LONGEST_TEXT // 4
        text = f"{text[:beginning]}\n{text[beginning - LONGEST_TEXT :]}"
    text = _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = _UNPRINTABLE.sub(" ", text)
    text = text.replace("\\n", "\n").replace('\\"', '"')
    return re.sub(r'",\s{0,8}"', '",\n"', text)


def bare(text: str) -> str:
    """A name without quotes, blanks and stars around it."""
    name = re.sub(r" {2,}", " ", text).strip(" \n\"'`.,;:!()[]{}")
    return name.removesuffix("*").removesuffix(".")


def code_like(text: str) -> list[str]:
    """The words of a text that are nothing but names, each once."""
    words = dict.fromkeys(match.group() for match in WORD.finditer(text[:20_000]))
    return [word for word in words if is_distinctive(word)]


def is_distinctive(word: str) -> bool:
    """Whether a word has a capital inside, or a dot before one, as everyday words have not."""
    parts = word.split(".")
    if len(parts) > 1:
        return all(part[0].isupper() for part in parts)
    return word[0].isupper() and any(letter.isupper() for letter in word[1:])
