"""Between a store and its service: what is asked is written down, and answers can go missing."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "expect")
SECRET = ("authorization", "opc-obo-token")


@dataclass(frozen=True)
class Asked:
    """A request, as far as others may see it: without what it was signed with."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Proxy(ThreadingHTTPServer):
    """Sends requests on to a service at 127.0.0.1, and its answers back."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, endpoint_url: str) -> None:
        super().__init__(("127.0.0.1", 0), Forwarding)
        parts = urlsplit(endpoint_url)
        assert parts.port is not None
        self.upstream = ("127.0.0.1", parts.port)
        self.endpoint_url = f"http://127.0.0.1:{self.server_port}{parts.path}"
        self.asked: list[Asked] = []
        self.lose: Callable[[Asked], bool] | None = None
        self.released = threading.Event()
        self.released.set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def lose_answer_to(self, data: bytes) -> None:
        """Let the service do the next request that carries these data, and answer to nobody."""
        self.lose = lambda asked: data in asked.body

    def hang(self) -> None:
        """From now on nothing is sent on, and nobody is answered, until `release`."""
        self.released.clear()

    def release(self) -> None:
        self.released.set()

    def close(self) -> None:
        self.release()
        self.shutdown()
        self._thread.join(timeout=10)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone."""


class Forwarding(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def handle_one(self) -> None:
        body = self._body()
        seen = {name: value for name, value in self.headers.items() if name.lower() not in SECRET}
        asked = Asked(self.command, self.path, seen, body)
        self.server.asked.append(asked)
        self.server.released.wait(timeout=60)
        try:
            status, headers, content = self._sent_on(body)
        except OSError:
            self._hang_up()
            return
        if self.server.lose is not None and self.server.lose(asked):
            self.server.lose = None
            self._hang_up()
            return
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        told = {name.lower(): value for name, value in headers}
        size = told.get("content-length", "0") if self.command == "HEAD" else str(len(content))
        if status != 204:
            self.send_header("Content-Length", size)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = do_PATCH = handle_one

    def _body(self) -> bytes:
        if "chunked" not in (self.headers.get("transfer-encoding") or ""):
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _sent_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(*self.server.upstream, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    upstream.putheader(name, value)
            if body or self.command in ("PUT", "POST"):
                upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass
