"""How numbers and foreign text look to a person: three significant digits, a unit, one line."""

from __future__ import annotations

import math
import re
from typing import Final

__all__ = [
    "DASH",
    "count_of",
    "instant",
    "number",
    "percent",
    "plain",
    "seconds",
    "seconds_range",
    "with_unit",
    "with_unit_range",
]

DASH: Final = "–"
DIGITS: Final = 3
SEPARATE_FROM: Final = 10_000
LONGEST_TEXT: Final = 500
# Control characters could drive a terminal, bidirectional ones could reorder what is read.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_SPACES: Final = re.compile(r"\s+")
_SHOWN_UNITS: Final = {"1": "", "1/s": "req/s"}


def number(value: float, digits: int = DIGITS) -> str:
    """A number with so many significant digits and no exponent; 12,300 for 12345.

    Whole digits before the point are kept as zeros, never as noise.
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else DASH
    places = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    if rounded != 0:  # rounding up may have added a digit
        places = digits - 1 - math.floor(math.log10(abs(rounded)))
    separator = "," if abs(rounded) >= SEPARATE_FROM else ""
    return f"{rounded:{separator}.{max(places, 0)}f}"


def seconds(value: float) -> str:
    """A duration given in seconds: milliseconds below one second, seconds from there on."""
    return f"{_scaled(value, value)} {_time_unit(value)}"


def seconds_range(lo: float, hi: float) -> str:
    """Two durations in seconds, in the unit of the longer: "250–271 ms"."""
    low, high = _scaled(lo, hi), _scaled(hi, hi)
    unit = _time_unit(hi)
    return f"{high} {unit}" if low == high else f"{low}{DASH}{high} {unit}"


def with_unit(value: float, unit: str) -> str:
    """A value in the unit of its column: seconds, ratios ("1"), rates, tokens per second."""
    if unit == "s":
        return seconds(value)
    return f"{number(value)} {_SHOWN_UNITS.get(unit, unit)}".strip()


def with_unit_range(lo: float, hi: float, unit: str) -> str:
    """Two values in the unit of their column, lower first."""
    if unit == "s":
        return seconds_range(lo, hi)
    low, high = number(lo), number(hi)
    shown = high if low == high else f"{low}{DASH}{high}"
    return f"{shown} {_SHOWN_UNITS.get(unit, unit)}".strip()


def percent(ratio: float) -> str:
    """A ratio in percent, never rounded to all or to nothing when it is neither."""
    if ratio in (0.0, 1.0):
        return f"{ratio * 100:.0f} %"
    if 0.0 < ratio < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= ratio < 1.0:
        return "> 99.9 %"
    shown = f"{ratio * 100:.1f}"
    return f"{shown.removesuffix('.0')} %"


def count_of(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: "1 cell", "2 cells"."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def instant(value: object) -> str:
    """A moment to the second, in the zone it carries; other things as their text."""
    isoformat = getattr(value, "isoformat", None)
    if isoformat is None:
        return plain(value)
    return str(isoformat(sep=" ", timespec="seconds")).replace("+00:00", " UTC")


def plain(value: object, longest: int = LONGEST_TEXT) -> str:
    """Text from outside on one line: no control characters, not endless."""
    text = _UNPRINTABLE.sub("\ufffd", _SPACES.sub(" ", str(value))).strip()
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def _time_unit(value: float) -> str:
    return "s" if round(abs(value), 4) >= 0.9995 else "ms"


def _scaled(value: float, decides: float) -> str:
    return number(value if _time_unit(decides) == "s" else value * 1000.0)
