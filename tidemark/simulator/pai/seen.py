"""The calls that came, for whoever wants to know what a client really sent. No secret is kept."""

from __future__ import annotations

import json
from collections import deque
from typing import Any
from urllib.parse import parse_qsl, unquote

from tidemark.simulator.pai.asked import Answer, Asked
from tidemark.simulator.pai.json_text import json_value
from tidemark.simulator.pai.masking import masked

__all__ = ["Seen"]

_MOST = 5000
MOST_BYTES = 32 * 1024 * 1024
_MOST_BODY_BYTES = 64 * 1024


class Seen:
    """The last calls, oldest first: at most 5,000 of them and `most_bytes` as text.

    Of a body above 64 KiB only its size is kept, and so of the body of a call whose signature did
    not hold or was not looked at.
    """

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        # As text: what it takes is known, where objects made of it take many times as much.
        self._calls: deque[bytes] = deque()
        self._held_bytes = 0
        self._most_bytes = most_bytes

    def add(
        self,
        asked: Asked,
        answer: Answer,
        *,
        at_s: float,
        action: str,
        region: str,
        signed: bool,
    ) -> None:
        """Keep a call and what came of it; `signed` tells whether its signature or key held."""
        call = {
            "at_s": at_s,
            "method": asked.method,
            "path": unquote(asked.raw_path),
            "query": masked(dict(parse_qsl(asked.raw_query, keep_blank_values=True))),
            "action": action,
            "region": region,
            "body": _body(asked.body, signed),
            "status": None if answer.lost else answer.status,
            "lost": answer.lost,
            "reached": answer.reached,
        }
        self._calls.append(json.dumps(call).encode())
        self._held_bytes += len(self._calls[-1])
        while len(self._calls) > _MOST or self._held_bytes > self._most_bytes:
            self._held_bytes -= len(self._calls.popleft())

    def as_list(self) -> list[dict[str, Any]]:
        """The calls as JSON."""
        return [json.loads(call) for call in self._calls]


def _body(body: bytes, signed: bool) -> Any:
    if not body:
        return None
    if not signed:
        return f"{len(body)} bytes; no signature held"
    if len(body) > _MOST_BODY_BYTES:
        return f"{len(body)} bytes"
    try:
        return masked(json_value(body))
    except ValueError as error:
        return f"{len(body)} bytes; the text {error}"
