"""HTTP/1.1 messages as bytes: requests read from a stream of bytes, answers built as bytes.

Nothing here touches a socket. What is accepted follows RFC 9112 as far as load
clients need it: bodies come with a Content-Length; a chunked request body is
answered with 411, because no load client sends one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

HEADER_LIMIT_BYTES = 32 * 1024
_TOKEN_CHARACTERS = frozenset(
    b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class MessageError(Exception):
    """A request that cannot be read; the connection is closed after the answer.

    `status` is the HTTP status to answer with (400, 411, 413, 431, 501 or 505).
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """One request, complete with its body. Header names are lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool
    chunked_allowed: bool  # false for HTTP/1.0, which knows no chunked bodies
    size_bytes: int  # head and body, as received


@dataclass(frozen=True, slots=True)
class _Head:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    keep_alive: bool
    chunked_allowed: bool
    head_bytes: int
    body_bytes: int


class RequestParser:
    """Cuts a stream of bytes into requests.

    Feed what was received with `feed`, then take requests with `next_request`
    until it answers None. Bytes of a following request stay until asked for.
    """

    def __init__(self, body_limit_bytes: int) -> None:
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._body_limit_bytes = body_limit_bytes
        self.continue_wanted = False  # the client waits for "100 Continue" before its body

    @property
    def buffered_bytes(self) -> int:
        """How much was received and not yet taken as a request."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data

    def next_request(self) -> Request | None:
        """The next complete request, or None if more bytes are needed.

        Raises MessageError when the bytes are no request this endpoint can read.
        """
        if self._head is None:
            self._head = self._read_head()
            if self._head is None:
                return None
        head = self._head
        if len(self._buffer) < head.body_bytes:
            return None
        self._head = None
        self.continue_wanted = False
        body = bytes(self._buffer[: head.body_bytes])
        del self._buffer[: head.body_bytes]
        return Request(
            method=head.method,
            path=head.path,
            query=head.query,
            headers=head.headers,
            body=body,
            keep_alive=head.keep_alive,
            chunked_allowed=head.chunked_allowed,
            size_bytes=head.head_bytes + head.body_bytes,
        )

    def _read_head(self) -> _Head | None:
        # RFC 9112, 2.2: empty lines before the request line are ignored.
        while self._buffer[:2] == b"\r\n":
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n")
        if end > HEADER_LIMIT_BYTES or (end < 0 and len(self._buffer) > HEADER_LIMIT_BYTES):
            raise MessageError(431, f"Request head over {HEADER_LIMIT_BYTES} bytes.")
        if end < 0:
            return None
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        method, target, version = _request_line(lines[0])
        headers = _headers(lines[1:])
        path, _, query = target.partition("?")
        connection = headers.get("connection", "").lower()
        newer = version == b"HTTP/1.1"
        body_bytes = self._body_bytes(headers)
        self.continue_wanted = headers.get("expect", "").lower() == "100-continue"
        return _Head(
            method=method,
            path=path,
            query=query,
            headers=headers,
            keep_alive="close" not in connection if newer else "keep-alive" in connection,
            chunked_allowed=newer,
            head_bytes=end + 4,
            body_bytes=body_bytes,
        )

    def _body_bytes(self, headers: dict[str, str]) -> int:
        if "transfer-encoding" in headers:
            raise MessageError(411, "Send the request body with a Content-Length.")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 20):
            raise MessageError(400, "Content-Length is not a number.")
        if int(length) > self._body_limit_bytes:
            raise MessageError(413, f"Request body over {self._body_limit_bytes} bytes.")
        return int(length)


def _request_line(line: bytes) -> tuple[str, str, bytes]:
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[0] or not _TOKEN_CHARACTERS.issuperset(parts[0]):
        raise MessageError(400, "The request line is not `METHOD /path HTTP/1.1`.")
    method, target, version = parts
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise MessageError(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if not target.startswith(b"/") or not target.isascii():
        raise MessageError(400, "The request target does not start with `/`.")
    return method.decode(), target.decode(), version


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or not _TOKEN_CHARACTERS.issuperset(name):
            raise MessageError(400, "A header line is not `Name: value`.")
        key = name.decode().lower()
        text = value.strip(b" \t").decode("latin-1")
        if key == "content-length" and headers.get(key, text) != text:
            raise MessageError(400, "Two different Content-Length headers.")
        headers[key] = (
            f"{headers[key]}, {text}" if key in headers and key != "content-length" else text
        )
    return headers


def response(
    status: int,
    body: bytes,
    *,
    content_type: bytes = b"application/json",
    headers: tuple[tuple[str, str], ...] = (),
    keep_alive: bool = True,
) -> bytes:
    """A whole answer: status line, headers, body."""
    extra = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in headers)
    return b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n%s%s\r\n%s" % (
        status,
        _REASONS.get(status, b"Unknown"),
        content_type,
        len(body),
        extra,
        b"" if keep_alive else b"connection: close\r\n",
        body,
    )


def stream_head(*, request_id: str, chunked: bool, keep_alive: bool) -> bytes:
    """The head of an answer that is streamed as server-sent events."""
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
        b"cache-control: no-cache\r\nx-request-id: %s\r\n%s%s\r\n"
        % (
            request_id.encode(),
            b"transfer-encoding: chunked\r\n" if chunked else b"",
            b"" if keep_alive else b"connection: close\r\n",
        )
    )


def chunk(data: bytes) -> bytes:
    """Data as one chunk of a chunked body (RFC 9112, 7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def error_body(
    message: str, *, kind: str, code: str | int | None = None, param: str | None = None
) -> bytes:
    """An error as the OpenAI API reports it: {"error": {message, type, param, code}}."""
    error = {"message": message, "type": kind, "param": param, "code": code}
    return json.dumps({"error": error}).encode()
