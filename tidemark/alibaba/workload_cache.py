"""Answers that are kept for a while: bounded, and forgotten by a clock."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from tidemark.clock import Clock

__all__ = ["Kept"]

_T = TypeVar("_T")


class Kept(Generic[_T]):
    """Values by key, each until a moment, at most `most`: the longest unused goes first."""

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock = clock
        self._most = most
        self._values: OrderedDict[str, tuple[float, _T]] = OrderedDict()

    def get(self, key: str) -> _T | None:
        """The value, None if there is none or its time is over."""
        if key not in self._values:
            return None
        until_s, value = self._values[key]
        if self._clock.monotonic() >= until_s:
            del self._values[key]
            return None
        self._values.move_to_end(key)
        return value

    def put(self, key: str, value: _T, for_s: float) -> None:
        """Keep a value for so many seconds."""
        self._values.pop(key, None)
        self._values[key] = (self._clock.monotonic() + for_s, value)
        while len(self._values) > self._most:
            self._values.popitem(last=False)
