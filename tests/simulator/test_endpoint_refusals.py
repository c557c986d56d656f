"""What clients do wrong is answered with a clean error, and breaks nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemark.simulator.http_messages import MessageError, Request, RequestParser

CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"
HELLO = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHAT, b"", None),
        (CHAT, b"{", None),
        (CHAT, b"[1]", None),
        (CHAT, b"\xff\xfe", None),
        (CHAT, b"[" * 100_000, None),
        (CHAT, {"messages": HELLO}, "model"),
        (CHAT, {"model": "", "messages": HELLO}, "model"),
        (CHAT, {"model": "x" * 600, "messages": HELLO}, "model"),
        (CHAT, {"model": 3, "messages": HELLO}, "model"),
        (CHAT, {"model": "m"}, "messages"),
        (CHAT, {"model": "m", "messages": []}, "messages"),
        (CHAT, {"model": "m", "messages": "hello"}, "messages"),
        (CHAT, {"model": "m", "messages": ["hello"]}, "messages[0]"),
        (CHAT, {"model": "m", "messages": [{"role": "user", "content": 3}]}, "messages[0]"),
        (CHAT, {"model": "m", "messages": [{"content": "x"}]}, "messages[0]"),
        (
            CHAT,
            {"model": "m", "messages": [{"role": "user", "content": ["x"]}]},
            "messages[0].content",
        ),
        (CHAT, {"model": "m", "messages": HELLO, "max_tokens": 0}, "max_tokens"),
        (CHAT, {"model": "m", "messages": HELLO, "max_tokens": True}, "max_tokens"),
        (CHAT, {"model": "m", "messages": HELLO, "max_tokens": "9"}, "max_tokens"),
        (CHAT, {"model": "m", "messages": HELLO, "max_tokens": 10**9}, "max_tokens"),
        (
            CHAT,
            {"model": "m", "messages": HELLO, "max_completion_tokens": -1},
            "max_completion_tokens",
        ),
        (CHAT, {"model": "m", "messages": HELLO, "stream": "yes"}, "stream"),
        (CHAT, {"model": "m", "messages": HELLO, "stream_options": {}}, "stream_options"),
        (
            CHAT,
            {"model": "m", "messages": HELLO, "stream": True, "stream_options": 1},
            "stream_options",
        ),
        (CHAT, {"model": "m", "messages": HELLO, "n": 2}, "n"),
        (PLAIN, {"model": "m"}, "prompt"),
        (PLAIN, {"model": "m", "prompt": ["a", "b"]}, "prompt"),
        (PLAIN, {"model": "m", "prompt": []}, "prompt"),
        ("/v1/embeddings", {"model": "m"}, "input"),
        ("/v1/embeddings", {"model": "m", "input": [None]}, "input"),
        ("/v1/embeddings", {"model": "m", "input": "x", "dimensions": 10**6}, "dimensions"),
        (
            "/v1/embeddings",
            {"model": "m", "input": "x", "encoding_format": "hex"},
            "encoding_format",
        ),
        ("/v1/rerank", {"model": "m", "documents": ["x"]}, "query"),
        ("/v1/rerank", {"model": "m", "query": "x", "documents": []}, "documents"),
    ],
)
async def test_a_bad_body_is_refused_naming_the_field(
    start: Any, path: str, body: bytes | dict[str, Any], param: str | None
) -> None:
    endpoint = await start()
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    refused = await endpoint.client.post(path, content=content)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert error["param"] == param
    # The same connection goes on to serve.
    assert (await endpoint.post()).status_code == 200
    first, second = await endpoint.lines()
    assert first["connection"] == second["connection"]
    assert (first["status"], first["outcome"]) == (400, "error")


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nowhere", 404, None),
        ("POST", "/v1/completions/v1/chat/completions", 404, None),
        ("GET", "/v1/chat/completions", 405, "POST"),
        ("DELETE", "/faults", 405, "GET, PUT"),
        ("GET", "/truth/reset", 405, "POST"),
    ],
)
async def test_wrong_paths_and_methods(
    start: Any, method: str, path: str, status: int, allow: str | None
) -> None:
    endpoint = await start()
    answer = await endpoint.client.request(method, path)
    assert answer.status_code == status
    assert answer.headers.get("allow") == allow
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1 extra\r\n\r\n", 400),
        (b"G\x00T / HTTP/1.1\r\n\r\n", 400),
        (b"GET nowhere HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na b: c\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 1e3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 40_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 40_000, 431),
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_closed(
    start: Any, sent: bytes, status: int
) -> None:
    endpoint = await start()
    answer = await endpoint.raw(sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head
    assert json.loads(body)["error"]["message"]
    (line,) = await endpoint.lines()
    assert (line["status"], line["path"]) == (status, "")
    assert (await endpoint.post()).status_code == 200


async def test_a_body_that_is_too_large_is_refused_while_it_comes(start: Any) -> None:
    endpoint = await start(max_body_bytes=10_000)
    answer = await endpoint.client.post("/v1/completions", content=b"x" * 3_000_000)
    assert answer.status_code == 413
    assert (await endpoint.post()).status_code == 200


async def test_a_refusal_is_read_by_a_client_that_sends_on(start: Any) -> None:
    endpoint = await start(max_body_bytes=10_000)
    head = b"POST /v1/completions HTTP/1.1\r\ncontent-length: 2000000\r\n\r\n"
    answer = await endpoint.raw(head, *[b"x" * 100_000] * 20)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_requests_piled_up_behind_a_stream_wait_unread(start: Any) -> None:
    endpoint = await start(max_body_bytes=20_000)
    body = b'{"model": "m", "prompt": "%s", "stream": true, "max_tokens": 3}' % (b"x" * 15_000)
    one = b"POST /v1/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    last = one.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    # Far more than is read at once, so that reading must stop and go on.
    answer = await endpoint.raw(one * 60 + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 61
    assert answer.count(b"[DONE]") == 61


@given(
    bodies=st.lists(st.binary(max_size=60), min_size=1, max_size=5),
    cuts=st.lists(st.integers(1, 40), max_size=20),
)
def test_requests_are_read_however_their_bytes_are_cut(
    bodies: list[bytes], cuts: list[int]
) -> None:
    sent = b"".join(
        b"POST /p?q=%d HTTP/1.1\r\nContent-Length: %d\r\nX-N: a\r\nX-N: b\r\n\r\n%s"
        % (number, len(body), body)
        for number, body in enumerate(bodies)
    )
    parser = RequestParser(1000)
    read: list[Request] = []
    while sent:
        size = cuts.pop() if cuts else len(sent)
        parser.feed(sent[:size])
        sent = sent[size:]
        while (request := parser.next_request()) is not None:
            read.append(request)
    assert [request.body for request in read] == bodies
    assert [request.query for request in read] == [f"q={number}" for number in range(len(bodies))]
    assert all(request.headers["x-n"] == "a, b" for request in read)
    assert parser.buffered_bytes == 0


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    parser = RequestParser(100)
    parser.feed(data + b"\r\n\r\n")
    statuses: set[int | None] = {None}
    try:
        while parser.next_request() is not None:
            pass
    except MessageError as error:
        statuses.add(error.status)
    assert statuses <= {None, 400, 411, 413, 431, 505}
