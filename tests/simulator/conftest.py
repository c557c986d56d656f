"""Endpoints on real sockets of the loopback interface, with latencies of a few milliseconds."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from tidemark.simulator.config import EndpointConfig
from tidemark.simulator.endpoint import Ready, serve
from tidemark.simulator.faults import rule_from_text
from tidemark.simulator.latency import LatencyModel

QUICK = LatencyModel(ttft_s=0.005, tpot_s=0.001)


@dataclass
class Streamed:
    """A streamed answer as a client saw it."""

    status: int
    headers: httpx.Headers
    sent_s: float
    events: list[str] = field(default_factory=list)  # the data of each event
    times_s: list[float] = field(default_factory=list)
    broken: bool = False  # the connection ended before the stream did

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(event) for event in self.events if event != "[DONE]"]

    @property
    def content(self) -> list[str]:
        """The text of each event that has some."""
        said = []
        for document in self.documents:
            for choice in document.get("choices", ()):
                part = choice.get("delta", choice)
                text = part.get("reasoning_content") or part.get("content") or part.get("text")
                said += [text] if text else []
        return said

    @property
    def usage(self) -> dict[str, Any] | None:
        return next((one["usage"] for one in self.documents if "usage" in one), None)


class Endpoint:
    """A running endpoint and a client for it."""

    def __init__(
        self, client: httpx.AsyncClient, ready: Ready, end: Callable[[], Awaitable[None]]
    ) -> None:
        self.client = client
        self.port = ready.port
        self.end = end  # stops the endpoint, and returns when it has stopped

    def ask(self, path: str = "/v1/chat/completions", **body: Any) -> dict[str, Any]:
        """A body for a path: five tokens unless the body says otherwise."""
        prompt: dict[str, Any] = {"messages": [{"role": "user", "content": "high water"}]}
        if path == "/v1/completions":
            prompt = {"prompt": "high water"}
        return {"model": "m", "max_tokens": 5, **prompt, **body}

    async def post(
        self, path: str = "/v1/chat/completions", *, headers: Any = None, **body: Any
    ) -> httpx.Response:
        return await self.client.post(path, json=self.ask(path, **body), headers=headers)

    async def stream(
        self, path: str = "/v1/chat/completions", *, headers: Any = None, **body: Any
    ) -> Streamed:
        """Ask for a stream with usage and read it to its end."""
        document = self.ask(
            path, stream=True, **{"stream_options": {"include_usage": True}, **body}
        )
        sent_s = time.monotonic()
        async with self.client.stream("POST", path, json=document, headers=headers) as answer:
            seen = Streamed(answer.status_code, answer.headers, sent_s)
            try:
                async for line in answer.aiter_lines():
                    if line.startswith("data: "):
                        seen.events.append(line.removeprefix("data: "))
                        seen.times_s.append(time.monotonic())
            except httpx.RemoteProtocolError:
                seen.broken = True
        return seen

    async def truth(self) -> dict[str, Any]:
        document: dict[str, Any] = (await self.client.get("/truth")).json()
        return document

    async def lines(self, since: float | None = None) -> list[dict[str, Any]]:
        query = {} if since is None else {"since": since}
        text = (await self.client.get("/truth/requests", params=query)).text
        return [json.loads(line) for line in text.splitlines()]

    async def until(self, met: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The truth as soon as it fulfils a condition."""
        for _ in range(2000):
            truth = await self.truth()
            if met(truth):
                return truth
        raise AssertionError(f"not met in 2000 looks: {truth['counts']}")

    async def raw(self, *pieces: bytes) -> bytes:
        """Send bytes on a connection of their own, and read until the endpoint closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


Start = Callable[..., Awaitable[Endpoint]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts endpoints; takes the fields of EndpointConfig, and `fault` texts."""
    async with AsyncExitStack() as stack:

        async def begin(
            *fault: str, environ: dict[str, str] | None = None, **settings: Any
        ) -> Endpoint:
            config = EndpointConfig(
                **{"latency": QUICK, "faults": tuple(map(rule_from_text, fault)), **settings}
            )
            ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
            stop = asyncio.Event()
            serving = asyncio.create_task(
                serve(config, announce=ready.set_result, stop=stop, environ=environ or {})
            )

            either: set[asyncio.Future[Any]] = {serving, ready}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                await serving

            async def end() -> None:
                stop.set()
                await serving

            stack.push_async_callback(end)
            client = httpx.AsyncClient(base_url=ready.result().url, timeout=10)
            await stack.enter_async_context(client)
            return Endpoint(client, ready.result(), end)

        yield begin


def latency(**changes: Any) -> LatencyModel:
    return replace(QUICK, **changes)
