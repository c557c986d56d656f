"""One client connection: bytes in, bytes out."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, cast

from tidemark.simulator.http_messages import (
    CONTINUE,
    MessageError,
    RequestParser,
    error_body,
    response,
)

if TYPE_CHECKING:
    from tidemark.simulator.answers import Answer
    from tidemark.simulator.service import Service

# A client that reads so much too slowly is cut off.
UNREAD_LIMIT_BYTES = 4 * 1024 * 1024
# How long a refused body is read and thrown away, so that the client gets the
# refusal instead of a reset connection.
LINGER_S = 1.0


class Connection(asyncio.Protocol):
    """Reads requests one after the other; a pipelined one waits for the one before it.

    Writes go straight to the socket, so that the time before the write is the time
    of the system call; what the socket does not take is left to the transport.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._parser = RequestParser(service.config.max_body_bytes)
        self._loop = asyncio.get_running_loop()
        self._answer: Answer | None = None
        self._refusing = False
        self._paused = False
        self._blocked = False
        self._read_s = 0.0
        self.number = 0
        self.connected_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connected_s = time.monotonic()
        # uvloop's transports are not instances of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._file = transport.get_extra_info("socket").fileno()
        self.number = self._service.connected(self)

    def data_received(self, data: bytes) -> None:
        self._read_s = time.monotonic()
        if self._refusing:
            return
        self._parser.feed(data)
        if self._answer is None:
            self._next_request()
        elif self._parser.buffered_bytes > self._service.config.max_body_bytes:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """A client that closes its side has left; no load client half-closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._service.disconnected(self)
        answer, self._answer = self._answer, None
        if answer is not None:
            self._service.abandon(answer)

    def _next_request(self) -> None:
        if self._answer is not None or self._transport.is_closing():
            return
        try:
            request = self._parser.next_request()
        except MessageError as error:
            self._service.refused(self, error, self._read_s)
            self._refuse(error)
            return
        if request is None:
            if self._parser.continue_wanted:
                self._parser.continue_wanted = False
                self.send(CONTINUE)
            return
        self._service.handle(self, request, self._read_s)

    def _refuse(self, error: MessageError) -> None:
        self._refusing = True
        body = error_body(error.message, kind="invalid_request_error")
        self.send(response(error.status, body, keep_alive=False))
        if not self._transport.is_closing():
            self._transport.write_eof()
            self._loop.call_later(LINGER_S, self._transport.close)

    def answering(self, answer: Answer) -> None:
        """The answer that what is sent belongs to, until `answered`."""
        self._answer = answer

    def send(self, data: bytes) -> bool:
        """Write bytes; false when the client has gone (which abandons the answer)."""
        answer = self._answer
        written = 0
        if self._blocked and self._transport.get_write_buffer_size() == 0:
            self._blocked = False
        if not self._blocked:
            try:
                written = os.write(self._file, data)
            except BlockingIOError:
                written = 0
            except OSError:
                # Reset by the client; the transport reports it lost in its own time.
                self._transport.abort()
                self._lose()
                return False
        if answer is not None:
            answer.truth.sent_bytes += len(data)
        if written == len(data):
            return True
        self._blocked = True
        if answer is not None:
            answer.truth.blocked = True
        self._transport.write(data[written:])
        if self._transport.get_write_buffer_size() > UNREAD_LIMIT_BYTES:
            self._transport.abort()
            self._lose()
            return False
        return True

    def _lose(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            self._service.abandon(answer)

    def answered(self, keep_alive: bool) -> None:
        """The answer is complete: close, or go on with what was received meanwhile."""
        self._answer = None
        if not keep_alive:
            self._transport.close()
            return
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if self._parser.buffered_bytes:
            self._loop.call_soon(self._next_request)

    def close(self) -> None:
        """End the connection now."""
        self._transport.abort()
