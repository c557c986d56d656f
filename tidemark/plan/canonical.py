"""Canonical JSON: the one spelling of a value that hashes are made of.

Two values that mean the same give the same bytes: keys are sorted, text is in Unicode
normal form C, a float that equals an integer is written as that integer. What has no
single meaning in JSON (NaN, infinities, lone surrogates, keys that fall together) is
refused instead of being given one.
"""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from collections.abc import Mapping
from typing import Any

from tidemark.errors import PlanError

__all__ = ["canonical_json", "sha256_hex"]


def canonical_json(value: Any) -> str:
    """The canonical JSON text of `value`: no spaces, sorted keys, ASCII only.

    Accepts None, bool, int, float, str, and lists, tuples and mappings of them.
    Raises PlanError, naming the place inside `value`, for anything else.
    """
    return json.dumps(
        _normal(value, "value"), sort_keys=True, separators=(",", ":"), allow_nan=False
    )


def sha256_hex(value: Any) -> str:
    """The SHA-256 of the canonical JSON of `value`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()


def _normal(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise PlanError(
                "a number that is not finite has no place in JSON", where, "Give a finite number"
            )
        # 1.0 and 1 compare equal, so they must hash equal; this also folds -0.0 into 0.
        return int(value) if value.is_integer() else value
    if isinstance(value, str):
        return _normal_text(value, where)
    if isinstance(value, Mapping):
        return _normal_mapping(value, where)
    if isinstance(value, list | tuple):
        return [_normal(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise PlanError(
        f"a {type(value).__name__} has no place in JSON",
        where,
        "Use text, numbers, true, false, null, lists and mappings",
    )


def _normal_text(value: str, where: str) -> str:
    text = unicodedata.normalize("NFC", value)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise PlanError(
            "half of a surrogate pair is not a character", where, "Remove or replace the character"
        )
    # A str subclass, such as a reference to a secret, is written as plain text.
    return str(text)


def _normal_mapping(value: Mapping[Any, Any], where: str) -> dict[str, Any]:
    normal: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise PlanError("a key is not text", where, "Put the key in quotes")
        name = _normal_text(key, where)
        if name in normal:
            raise PlanError(
                f"two keys are the same text once normalised: {name!r}", where, "Keep one of them"
            )
        normal[name] = _normal(item, f"{where}.{name}")
    return normal
