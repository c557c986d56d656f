"""The simulated cloud on a port of the loopback interface, with what came over the wire."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidemark.alibaba.account import Account as ClientAccount
from tidemark.alibaba.channel import ChannelSettings
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.retrying import RetryPolicy
from tidemark.clock import SystemClock
from tidemark.simulator.clock import VirtualClock
from tidemark.simulator.pai.accounts import Account
from tidemark.simulator.pai.app import PaiSimulator
from tidemark.simulator.pai.scenario import scenario_from_text

REGION = "cn-hangzhou"
KEY = Account("LTAIexample", "example-secret")
TEMPORARY = Account("STS.example", "example-secret-2", security_token="example-token/+=")
ENDED = Account("STS.ended", "example-secret-3", security_token="ended-token", expires_at_s=1.0)

_SIGNED = re.compile(r"SignedHeaders=([^,]+)")


@dataclass
class Recorded:
    """A request as it came over the wire, with the status and the body of its answer."""

    method: str
    raw_path: str
    raw_query: str
    headers: dict[str, str]
    body: bytes
    status: int = 0
    answer: bytes = b""

    @property
    def action(self) -> str:
        """The operation: from the header, or from the query of the older RPC form."""
        return self.headers.get("x-acs-action") or self.query.get("Action", "")

    @property
    def query(self) -> dict[str, str]:
        """The query, decoded."""
        return dict(parse_qsl(self.raw_query, keep_blank_values=True))

    @property
    def document(self) -> Any:
        """The body as JSON, None for none."""
        return json.loads(self.body) if self.body else None

    @property
    def signed(self) -> set[str]:
        """The names of the headers that signature version 3 covers."""
        found = _SIGNED.search(self.headers.get("authorization", ""))
        return set(found[1].split(";")) if found else set()

    @property
    def by_sdk(self) -> bool:
        """Whether one of the official SDKs sent it."""
        return self.headers.get("user-agent", "").startswith("AlibabaCloud ")


class Recorder:
    """Passes requests on to an application, and keeps them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.requests: list[Recorded] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        one = Recorded(
            scope["method"],
            scope["raw_path"].decode("ascii"),
            scope["query_string"].decode("ascii"),
            {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            body,
        )
        self.requests.append(one)

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def seen(message: Message) -> None:
            if message["type"] == "http.response.start":
                one.status = message["status"]
            one.answer += message.get("body", b"")
            await send(message)

        await self._app(scope, again, seen)


async def accepting(scope: Scope, _: Receive, send: Send) -> None:
    """Answers every request alike, with what the clients need to go on."""
    if scope["type"] != "http":
        return
    answer = {
        "RequestId": "example-request",
        "JobId": "dlcexample",
        "TaskName": "example",
        "WorkspaceId": "1",
        "PriceInfo": {"Price": {"Currency": "CNY", "TradePrice": 1.0}},
    }
    body = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def served(app: ASGIApp, *, lifespan: str = "on", **more: Any) -> Iterator[int]:
    """An application on a port of 127.0.0.1, in a thread, until the end of the block."""
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="critical",
        access_log=False,
        lifespan=lifespan,  # type: ignore[arg-type]
        timeout_graceful_shutdown=1,
        **more,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            # It listens already: whoever connects before the server is up waits for it.
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(timeout=10)


@dataclass
class Cloud:
    """A simulator whose clock stands still, and what it was asked."""

    simulator: PaiSimulator
    clock: VirtualClock
    recorder: Recorder
    port: int

    @property
    def endpoint(self) -> str:
        """As an SDK's configuration takes it."""
        return f"127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Recorded]:
        """What came, oldest first."""
        return self.recorder.requests

    def play(self, text: str) -> None:
        """Put a scenario in force, as YAML."""
        self.simulator.play(scenario_from_text(text, "the test"))


@contextmanager
def cloud() -> Iterator[Cloud]:
    """A new simulated cloud. Signatures are judged by this machine's clock, as SDKs sign."""
    clock = VirtualClock()
    simulator = PaiSimulator(
        clock=clock, accounts=[KEY, TEMPORARY, ENDED], signature_clock=SystemClock()
    )
    recorder = Recorder(simulator.app)
    with served(recorder) as port:
        yield Cloud(simulator, clock, recorder, port)


def client_account(port: int, keys: Account = KEY, **more: Any) -> ClientAccount:
    """Our own client's account there; it asks once and does not wait."""
    source = StaticCredentials.of(keys.access_key_id, keys.access_key_secret, keys.security_token)
    return ClientAccount(
        source,
        REGION,
        endpoints=f"http://127.0.0.1:{port}",
        settings=ChannelSettings(retry=RetryPolicy(attempts=1), calls_per_s=10_000.0),
        **more,
    )
