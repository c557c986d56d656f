"""What the endpoint really did, request by request.

All times are seconds of `time.monotonic()`, which on one machine is the same
clock for every process, so a client's times can be laid beside them.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, Any

from tidemark.errors import ConfigError, TidemarkError

LINES_KEPT = 100_000


@dataclass(slots=True)
class RequestTruth:
    """One request: filled in while it is answered, and not changed after its end.

    outcome: "ok" (all that was planned was written), "error" (an HTTP error, or
    an error in the stream), "cut" (this endpoint closed the connection midway),
    "aborted" (the client left), "stopped" (the endpoint was ended), None in flight.
    end_s is the last write of a complete answer, and otherwise when the end was noticed.
    first_token_s is None for an answer that is not streamed; for one, last_token_s
    is when it was written. late_first_s is by how much the first token missed its
    deadline, late_worst_s the same for the worst of the request.
    """

    number: int
    id: str
    path: str
    connection: int
    connected_s: float
    arrival_s: float
    in_flight: int = 0  # at arrival, with this one
    stream: bool = False
    begin_s: float | None = None  # when its latencies began: at arrival, or with a slot
    due_ttft_s: float | None = None
    due_tpot_s: float | None = None
    first_token_s: float | None = None
    last_token_s: float | None = None
    end_s: float | None = None
    prompt_tokens: int | None = None
    planned_tokens: int = 0
    written_tokens: int = 0
    reasoning_tokens: int = 0  # of those written
    chunks: int = 0  # events with content written
    status: int | None = None
    outcome: str | None = None
    fault: str | None = None
    late_first_s: float | None = None
    late_worst_s: float | None = None
    received_bytes: int = 0
    sent_bytes: int = 0
    aborted_by_client: bool = False
    blocked: bool = False  # the client read too slowly, so that some times are of buffering
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def ttft_s(self) -> float | None:
        """Arrival to first token written; the wait for a slot is part of it."""
        return None if self.first_token_s is None else self.first_token_s - self.arrival_s

    @property
    def tpot_s(self) -> float | None:
        """Mean time between tokens written after the first; None below two tokens."""
        if self.first_token_s is None or self.last_token_s is None or self.written_tokens < 2:
            return None
        return (self.last_token_s - self.first_token_s) / (self.written_tokens - 1)

    @property
    def e2e_s(self) -> float | None:
        """Arrival to end."""
        return None if self.end_s is None else self.end_s - self.arrival_s

    def as_json(self) -> dict[str, Any]:
        """The record as it is written, one object per line."""
        return {name: getattr(self, name) for name in _NAMES}


_NAMES = tuple(item.name for item in fields(RequestTruth))


class Record:
    """The finished requests: kept in memory since the last mark, and written to a file.

    The file is appended to, a line per request in the order of their ends.
    Raises ConfigError when it cannot be opened.
    """

    def __init__(self, file: Path | None, lines_kept: int = LINES_KEPT) -> None:
        self._file: IO[str] | None = None
        if file is not None:
            try:
                self._file = file.open("a", encoding="utf-8")
            except OSError as error:
                reason = error.strerror or str(error)
                raise ConfigError(
                    f"cannot write the record: {reason}", str(file), "Give a file in a folder"
                ) from error
        self._pending: list[str] = []
        self._kept: deque[RequestTruth] = deque(maxlen=lines_kept)
        self.dropped = 0  # finished since the mark and not kept in memory any more

    def add(self, truth: RequestTruth) -> None:
        """Take a finished request."""
        if len(self._kept) == self._kept.maxlen:
            self.dropped += 1
        self._kept.append(truth)
        if self._file is not None:
            self._pending.append(json.dumps(truth.as_json()))

    def flush(self) -> None:
        """Write what has ended since the last time. Raises TidemarkError if that fails."""
        if self._file is None or not self._pending:
            return
        lines, self._pending = self._pending, []
        try:
            self._file.write("\n".join(lines) + "\n")
            self._file.flush()
        except OSError as error:
            # What the file object holds back would fail again when it is closed.
            name, self._file = self._file.name, None
            reason = error.strerror or str(error)
            raise TidemarkError(
                f"the record cannot be written: {reason}", name, "Give it a place with room"
            ) from error

    def mark(self) -> None:
        """Forget, in memory, what has ended so far; the file keeps it."""
        self._kept.clear()
        self.dropped = 0

    def kept(self) -> Iterator[RequestTruth]:
        """The requests that ended since the mark, in the order of their ends."""
        return iter(self._kept)

    def close(self) -> None:
        """Write the rest and close the file."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None
