"""Requests over real sockets: what arrives, and which failures certainly sent nothing."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tidemark.alibaba.account import Account
from tidemark.alibaba.channel import ChannelSettings
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.dlc import STOP_JOB, Dlc
from tidemark.alibaba.errors import NoAnswerError
from tidemark.alibaba.retrying import RetryPolicy
from tidemark.alibaba.transport import AiohttpTransport, AnswerTooLarge

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
SERVERS: list[asyncio.Server] = []
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
    SERVERS[:] = [server]
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
    assert "tidemark simulate pai" in str(caught.value.remedy)


async def test_a_failure_to_connect_says_nothing_of_tls_where_there_is_none() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        async with httpx.AsyncClient(transport=AiohttpTransport()) as http:
            with pytest.raises(httpx.ConnectError, match=f"127.0.0.1:{port}") as caught:
                await http.get(f"http://127.0.0.1:{port}")
    assert "ssl" not in str(caught.value)


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


@pytest.fixture
def no_proxy_exceptions(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("NO_PROXY", "no_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


async def ask(url: str, **extensions: Any) -> httpx.Response:
    """Ask by a transport of its own."""
    transport = AiohttpTransport()
    try:
        return await transport.handle_async_request(
            httpx.Request("GET", url, headers={"authorization": "hush"}, extensions=extensions)
        )
    finally:
        await transport.aclose()


async def tunnel(_: bytes, writer: asyncio.StreamWriter) -> None:
    """What a proxy that lets nobody through does."""
    writer.write(b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n")


async def test_https_goes_through_the_proxy_of_the_environment_but_for_exceptions(
    no_proxy_exceptions: pytest.MonkeyPatch,
) -> None:
    async with served(tunnel) as (url, heads):
        no_proxy_exceptions.setenv("HTTPS_PROXY", url.replace("//", "//user:pass@"))
        with pytest.raises(httpx.ConnectError) as caught:
            await ask("https://pai.example.com/jobs?token=hush")
        assert heads[0].startswith(b"CONNECT pai.example.com:443 HTTP/1.1\r\n")
        assert b"Basic dXNlcjpwYXNz" in heads[0]
        assert b"hush" not in heads[0]
        assert "pass" not in str(caught.value)
        no_proxy_exceptions.setenv("NO_PROXY", "other.invalid,.example.invalid")
        with pytest.raises(httpx.ConnectError):
            await ask("https://pai.example.invalid/")
    assert len(heads) == 1


@pytest.mark.parametrize("host", ["localhost", "a.LOCALHOST", "127.0.0.2", "[::ffff:127.0.0.1]"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_this_machine_is_not_asked_through_a_proxy(
    scheme: str, host: str, no_proxy_exceptions: pytest.MonkeyPatch
) -> None:
    async with served(tunnel) as (url, heads):
        no_proxy_exceptions.setenv("HTTP_PROXY", url)
        no_proxy_exceptions.setenv("HTTPS_PROXY", url)
        with pytest.raises(httpx.ConnectError):
            await ask(f"{scheme}://{host}:9/")
    assert heads == []


@pytest.mark.parametrize("host", ["pai.simulator", "PAI.Simulator.", "simulator"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_simulator_in_the_process_is_never_looked_for_outside(
    scheme: str, host: str, no_proxy_exceptions: pytest.MonkeyPatch
) -> None:
    async with served(tunnel) as (url, heads):
        no_proxy_exceptions.setenv("HTTP_PROXY", url)
        no_proxy_exceptions.setenv("HTTPS_PROXY", url)
        with pytest.raises(httpx.ConnectError, match="no such host outside"):
            await ask(f"{scheme}://{host}/")
    assert heads == []


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "http://:x", "http://a:b:c", "/"])
async def test_a_proxy_that_cannot_be_used_is_said_before_anything_is_sent(
    proxy: str, no_proxy_exceptions: pytest.MonkeyPatch
) -> None:
    no_proxy_exceptions.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(httpx.ConnectError, match="HTTPS_PROXY"):
        await ask("https://pai.example.invalid/")


async def test_passwords_of_the_home_directory_are_left_alone(
    no_proxy_exceptions: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n")
    netrc.chmod(0o600)
    no_proxy_exceptions.setenv("NETRC", str(netrc))
    async with served(tunnel) as (url, heads):
        no_proxy_exceptions.setenv("HTTPS_PROXY", url)
        with pytest.raises(httpx.ConnectError):
            await ask("https://pai.example.com/")
    assert b"authorization" not in heads[0].lower()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("broken", [cut, reset], ids=lambda each: each.__name__)
@pytest.mark.parametrize("listening", [True, False])
async def test_nothing_is_sent_twice_when_a_kept_connection_breaks(
    method: str, broken: Serve, listening: bool
) -> None:
    """Also when nobody listens any more: what was sent once was not never sent."""
    transport = AiohttpTransport()

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        if len(heads) == 1:
            await ok(head, writer)
            return
        if not listening:
            server.close()
        await broken(head, writer)

    async with served(answer) as (url, heads):
        server = SERVERS[-1]
        await transport.handle_async_request(httpx.Request("GET", url))
        with pytest.raises(httpx.ReadError):
            await transport.handle_async_request(httpx.Request(method, url))
    assert len(heads) == 2
    await transport.aclose()


@pytest.mark.parametrize(
    "header", [b"via: 1.1 caf\xe9", b"x-a: \xff\xfe", "x-a: 中".encode(), b"date: \xe9"]
)
async def test_headers_need_not_be_ascii(header: bytes) -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\n%b\r\ncontent-length: %d\r\n\r\n%b"
        writer.write(head % (header, len(BODY), BODY))

    async with served(answer) as (url, _), account(url) as made:
        await made.call(STOP_JOB, parts={"JobId": "dlc1"})
        found = await ask(url)
    name, _, value = header.partition(b": ")
    assert found.headers.raw[0] == (name, value)


async def test_an_answer_is_read_to_a_bound_after_unpacking() -> None:
    packed = gzip.compress(b" " * (100 * 2**20))
    kept = []

    async def bomb(_: bytes, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(packed) + packed)

    async def flood(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            kept.append(0)
            writer.write(b"100000\r\n" + b" " * 2**20 + b"\r\n")
            await writer.drain()

    for answer in (bomb, flood):
        async with served(answer) as (url, _):
            with pytest.raises(AnswerTooLarge, match="67108864"):
                await ask(url)
    assert len(kept) < 80


async def drip(writer: asyncio.StreamWriter, head: bytes, drop: bytes) -> None:
    writer.write(head)
    while True:
        writer.write(drop)
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "head", "continue"],
)
async def test_an_answer_that_drips_ends(head: bytes, drop: bytes) -> None:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        await drip(writer, head, drop)

    async with served(answer) as (url, _):
        with pytest.raises(httpx.ReadTimeout):
            await asyncio.wait_for(ask(url, timeout={"read": 0.05}), 5)


async def test_an_error_leads_to_no_request() -> None:
    """What collects errors would keep the token that was sent."""
    for answer in (cut, half, reset, nonsense):
        async with served(answer) as (url, _):
            with pytest.raises(httpx.ReadError) as caught:
                await ask(f"{url}/?token=hush")
        error: BaseException | None = caught.value
        while error is not None:
            assert "hush" not in repr(error) + repr(vars(error)) + str(error)
            error = error.__cause__ or error.__context__
        assert str(caught.value).isprintable()


def test_connections_belong_to_one_loop_and_stay_closed() -> None:
    transport = AiohttpTransport()

    async def once() -> None:
        async with served(ok) as (url, _):
            await transport.handle_async_request(httpx.Request("GET", url))

    async def again() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            await once()

    async def closed() -> None:
        mine = AiohttpTransport()
        async with served(ok) as (url, _):
            await mine.handle_async_request(httpx.Request("GET", url))
            await mine.aclose()
            with pytest.raises(RuntimeError, match="closed"):
                await mine.handle_async_request(httpx.Request("GET", url))

    with asyncio.Runner() as first:
        first.run(once())
        asyncio.run(again())
        first.run(transport.aclose())
        first.run(closed())


async def test_no_cookie_is_kept() -> None:
    async def cookie(_: bytes, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: %d\r\n\r\n%b"
        writer.write(head % (len(BODY), BODY))

    async with served(cookie) as (url, heads), account(url) as made:
        await Dlc(made).get_job("dlc1")
        await Dlc(made).get_job("dlc1")
    assert b"cookie" not in heads[1].lower()
