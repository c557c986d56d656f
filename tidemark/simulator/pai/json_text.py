"""JSON as a service reads it: what comes from outside is never trusted to be reasonable."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

__all__ = ["json_value"]

# Far more than any request of the services has, far less than what Python's own stack carries.
_MOST_LEVELS = 64


def json_value(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError, whose message goes on after the text's name,
    for what is no JSON, nested deeper than 64 levels, or holds what no service can keep: numbers
    that are not finite, whole ones beyond 64 bits, and halves of characters."""
    try:
        value = json.loads(text, parse_constant=_none, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError:
        raise ValueError("is not valid JSON") from None
    if _is_too_deep(value):
        raise ValueError("is nested too deeply")
    if (b"\\u" if isinstance(text, bytes) else "\\u") in text:  # type: ignore[operator]
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("holds half a character") from None
    return value


def _none(_: str) -> NoReturn:
    raise ValueError


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _whole(text: str) -> int:
    # The longest of 64 bits has 20 characters; far longer ones Python itself refuses.
    number = int(text)
    if not -(2**63) <= number < 2**64:
        raise ValueError
    return number


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MOST_LEVELS + 1):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True
