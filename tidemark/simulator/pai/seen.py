"""The calls that came, for whoever wants to know what a client really sent. No secret is kept."""

from __future__ import annotations

import json
import re
from collections import deque
from typing import Any
from urllib.parse import parse_qsl, unquote

from tidemark.simulator.pai.asked import Answer, Asked

__all__ = ["Seen", "redacted"]

_MOST = 5000
_HIDDEN = "***"
_SECRET = re.compile(
    r"token|passw|secret|authorization|^auth$|api[-_]?key|access[-_]?key|signature$|cookie", re.I
)


class Seen:
    """The last calls, oldest first."""

    def __init__(self) -> None:
        self._calls: deque[dict[str, Any]] = deque(maxlen=_MOST)

    def add(self, asked: Asked, answer: Answer, *, at_s: float, action: str, region: str) -> None:
        """Keep a call and what came of it."""
        self._calls.append(
            {
                "at_s": at_s,
                "method": asked.method,
                "path": unquote(asked.raw_path),
                "query": redacted(dict(parse_qsl(asked.raw_query, keep_blank_values=True))),
                "action": action,
                "region": region,
                "body": _body(asked.body),
                "status": None if answer.lost else answer.status,
                "lost": answer.lost,
                "reached": answer.reached,
            }
        )

    def as_list(self) -> list[dict[str, Any]]:
        """The calls as JSON."""
        return list(self._calls)


def redacted(value: Any) -> Any:
    """A JSON value without the texts whose names say that they are secret."""
    if isinstance(value, dict):
        return {
            name: _HIDDEN if _hides(name, one, value) else redacted(one)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [redacted(one) for one in value]
    if isinstance(value, str):
        # Headers to be sent along stand in lists, as `Name: value`.
        name, colon, _ = value.partition(":")
        return f"{name}: {_HIDDEN}" if colon and _SECRET.search(name) else value
    return value


def _hides(name: str, value: Any, around: dict[str, Any]) -> bool:
    if not isinstance(value, str) or not value:
        return False
    return bool(_SECRET.search(name)) or (
        name == "Value" and bool(_SECRET.search(str(around.get("Key", ""))))
    )


def _body(body: bytes) -> Any:
    if not body:
        return None
    try:
        document = json.loads(body)
    except ValueError:
        return f"{len(body)} bytes that are not JSON"
    return redacted(document)
