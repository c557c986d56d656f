"""The simulator as an ASGI application: reads requests, sends answers, or breaks them off."""

from __future__ import annotations

from typing import Protocol

from starlette.types import Receive, Scope, Send

from tidemark.simulator.pai.asked import Answer, Asked

__all__ = ["Answerer", "Application", "Lost"]

_MOST_BODY_BYTES = 16 * 1024 * 1024
LOSSES = "tidemark.losses"


class Lost(Exception):
    """No answer comes, for callers in the same process; `reached` tells whether it was done."""

    def __init__(self, reached: bool) -> None:
        super().__init__(reached)
        self.reached = reached


class Answerer(Protocol):
    """Whoever knows what to answer."""

    async def answer(self, asked: Asked) -> Answer:
        """Do what is asked, or refuse it."""
        ...


class Application:
    """An ASGI application around one that answers."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the server's start and end."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the simulator speaks HTTP, not {scope['type']}")
        asked = await _asked(scope, receive)
        if asked is None:
            await _send(send, Answer(413, b"", {}))
            return
        answer = await self._answerer.answer(asked)
        if answer.lost and LOSSES in (scope.get("extensions") or {}):
            raise Lost(answer.reached)
        await _send(send, answer)


async def _send(send: Send, answer: Answer) -> None:
    headers = {
        "content-type": "application/json; charset=utf-8",
        "content-length": str(len(answer.body)),
        **answer.headers,
    }
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    # A head without its body: the server closes the connection of an application that returns so.
    if not answer.lost:
        await send({"type": "http.response.body", "body": answer.body})


async def _asked(scope: Scope, receive: Receive) -> Asked | None:
    """The request, None for one that is too long."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > _MOST_BODY_BYTES:
            return None
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    raw_path = scope.get("raw_path") or scope["path"].encode()
    return Asked(
        method=scope["method"],
        raw_path=raw_path.decode("latin-1").partition("?")[0],
        raw_query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=bytes(body),
    )


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
