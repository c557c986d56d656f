"""Requests over real sockets: what arrives, and which failures certainly sent nothing."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from tidemark.alibaba.account import Account
from tidemark.alibaba.channel import ChannelSettings
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.dlc import STOP_JOB, Dlc
from tidemark.alibaba.errors import NoAnswerError
from tidemark.alibaba.retrying import RetryPolicy
from tidemark.alibaba.transport import AiohttpTransport

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
BODY = b'{"JobId":"dlc1","RequestId":"r"}'


@asynccontextmanager
async def served(answer: Serve) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that does with each request what it is told; its address, and the heads it saw."""
    heads: list[bytes] = []
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                heads.append(head)
                await answer(head, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"http://127.0.0.1:{port}", heads
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ok(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY))


async def cut(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def half(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{")
    await writer.drain()
    writer.close()


async def reset(_: bytes, writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()


async def nonsense(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"this is no HTTP at all\r\n\r\n")


async def nothing(_head: bytes, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def account(url: str, read_timeout_s: float = 5.0) -> Account:
    settings = ChannelSettings(
        calls_per_s=1000, retry=RetryPolicy(attempts=1), read_timeout_s=read_timeout_s
    )
    source = StaticCredentials.of("LTAIfake", "fake")
    return Account(source, "cn-hangzhou", endpoints=url, settings=settings)


@pytest.mark.parametrize("answer", [cut, half, reset, nonsense], ids=lambda each: each.__name__)
async def test_what_was_sent_may_have_arrived(answer: Serve) -> None:
    async with served(answer) as (url, heads), account(url) as made:
        with pytest.raises(NoAnswerError) as caught:
            await made.call(STOP_JOB, parts={"JobId": "dlc1"})
    assert caught.value.effect_unknown
    assert len(heads) == 1


async def test_an_answer_that_does_not_come_may_have_been_caused() -> None:
    async with served(nothing) as (url, _), account(url, read_timeout_s=0.05) as made:
        with pytest.raises(NoAnswerError) as caught:
            await made.call(STOP_JOB, parts={"JobId": "dlc1"})
    assert caught.value.effect_unknown


async def test_what_could_not_connect_was_never_sent() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with account(f"http://127.0.0.1:{closed.getsockname()[1]}") as made:
            with pytest.raises(NoAnswerError, match="could not be sent") as caught:
                await made.call(STOP_JOB, parts={"JobId": "dlc1"})
    assert not caught.value.effect_unknown


async def test_what_is_signed_travels_unchanged() -> None:
    async with served(ok) as (url, heads), account(url) as made:
        await Dlc(made).get_job("dlc a/b@c:d~中")
        await made.call(STOP_JOB, parts={"JobId": "dlc1"})
    first, second = (head.decode().split("\r\n") for head in heads)
    assert first[0] == "GET /api/v1/jobs/dlc%20a%2Fb%40c%3Ad~%E4%B8%AD?NeedDetail=true HTTP/1.1"
    assert second[0] == "POST /api/v1/jobs/dlc1/stop HTTP/1.1"
    names = {line.partition(":")[0].lower() for line in second[1:]}
    assert "content-type" not in names
    assert {"authorization", "host", "user-agent", "accept"} <= names


async def test_one_connection_serves_many_calls() -> None:
    peers = set()

    async def noted(head: bytes, writer: asyncio.StreamWriter) -> None:
        peers.add(writer.get_extra_info("peername"))
        await ok(head, writer)

    async with served(noted) as (url, heads), account(url) as made:
        for _ in range(5):
            await Dlc(made).get_job("dlc1")
    assert (len(heads), len(peers)) == (5, 1)


async def test_packed_answers_are_unpacked() -> None:
    packed = gzip.compress(BODY)

    async def gzipped(_: bytes, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(packed) + packed)

    async with served(gzipped) as (url, _), account(url) as made:
        assert (await Dlc(made).get_job("dlc1")).job_id == "dlc1"


async def test_this_machine_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with served(ok) as (url, heads), account(url) as made:
        await Dlc(made).get_job("dlc1")
    assert len(heads) == 1
    transport = AiohttpTransport()
    with pytest.raises(httpx.ConnectError):
        await transport.handle_async_request(httpx.Request("GET", "http://pai.simulator/"))
    await transport.aclose()


async def test_no_cookie_is_kept() -> None:
    async def cookie(_: bytes, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: %d\r\n\r\n%b"
        writer.write(head % (len(BODY), BODY))

    async with served(cookie) as (url, heads), account(url) as made:
        await Dlc(made).get_job("dlc1")
        await Dlc(made).get_job("dlc1")
    assert b"cookie" not in heads[1].lower()
