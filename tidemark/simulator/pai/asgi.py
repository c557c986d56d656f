"""The simulator as an ASGI application: reads requests, sends answers, or breaks them off."""

from __future__ import annotations

import asyncio
from typing import Protocol

from starlette.types import Receive, Scope, Send

from tidemark.clock import Clock
from tidemark.simulator.pai.asked import Answer, Asked

__all__ = ["IN_PROCESS", "Answerer", "Application", "Lost"]

_MOST_BODY_BYTES = 16 * 1024 * 1024
_TOO_LONG = Answer(
    413, b'{"Code":"RequestEntityTooLarge","Message":"The request body exceeds 16 MiB."}', {}
)
_LOOK_S = 0.05
# In the scope's extensions: the caller is in this process, and told of losses by exceptions.
IN_PROCESS = "tidemark.in_process"


class Lost(Exception):
    """No answer comes, for callers in the same process: `reached` tells whether it was done,
    `late` whether it is only later than the caller waits."""

    def __init__(self, *, reached: bool, late: bool = False) -> None:
        super().__init__(reached, late)
        self.reached = reached
        self.late = late


class Answerer(Protocol):
    """Whoever knows what to answer, and has the clock that it may be late by."""

    clock: Clock

    def answer(self, asked: Asked) -> Answer:
        """Do what is asked, or refuse it."""
        ...

    def look(self) -> None:
        """See to what goes on between calls."""
        ...

    def close(self) -> None:
        """End what goes on."""
        ...


class Application:
    """An ASGI application around one that answers."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the server's start and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the simulator speaks HTTP, not {scope['type']}")
        if _announced_bytes(scope) > _MOST_BODY_BYTES:
            await _send(send, _TOO_LONG)
            return
        body = await _body(receive)
        if body is None:
            return
        if len(body) > _MOST_BODY_BYTES:
            await _send(send, _TOO_LONG)
            return
        asked = _asked(scope, body)
        answer = self._answerer.answer(asked)
        caller = (scope.get("extensions") or {}).get(IN_PROCESS)
        patience_s = caller["patience_s"] if caller else None
        if patience_s is not None and answer.late_s > patience_s:
            await self._answerer.clock.sleep(patience_s)
            raise Lost(reached=answer.reached, late=True)
        if answer.late_s:
            await self._answerer.clock.sleep(answer.late_s)
        if answer.lost and caller:
            raise Lost(reached=answer.reached)
        await _send(send, answer)

    async def _live(self, receive: Receive, send: Send) -> None:
        looking: asyncio.Task[None] | None = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                looking = asyncio.create_task(self._look())
            elif looking is not None:
                looking.cancel()
                self._answerer.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _look(self) -> None:
        while True:
            self._answerer.look()
            await asyncio.sleep(_LOOK_S)


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


def _announced_bytes(scope: Scope) -> int:
    """The length of the body by its header, which the server has checked; 0 without one."""
    texts = [value for name, value in scope["headers"] if name.lower() == b"content-length"]
    return int(texts[0]) if texts and texts[0].isdigit() else 0


async def _body(receive: Receive) -> bytes | None:
    """The body, cut when it is too long; None if the client went before all was there."""
    body = bytearray()
    more = True
    while more and len(body) <= _MOST_BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


def _asked(scope: Scope, body: bytes) -> Asked:
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
        body=body,
        client=(scope.get("client") or ("",))[0],
    )
