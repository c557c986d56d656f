"""Is the simulator's endpoint truthful? Its lateness, beside what a plain client sees.

    python benchmarks/endpoint_truth.py

The endpoint runs on one core; a plain asyncio client in another process asks for
100 tokens per request, in a closed loop, at concurrency 1 to 256, of a fast
(50 ms, 5 ms) and a slow (250 ms, 25 ms) endpoint. Users start spread over one
service time; in the rows marked * they all start at once, so that all tokens of
all streams are due at the same moments. Ends within two minutes.

Columns, in milliseconds unless said otherwise: `first late` and `worst late` are
the endpoint's own: by how much the first, and the latest, token of a request
missed its deadline. `wire` is from the endpoint's write of a first token to the
client's sight of it, and from the client's send to the endpoint's arrival.
`endpoint waited` is how much of the time it was ready to run while other
programs had its core: where that is more than a few per cent, the row says more
about the machine than about the endpoint.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, cast

from tidemark.simulator.process import EndpointProcess, endpoint_process
from tidemark.simulator.truth import distribution

TOKENS = 100
LEVELS = (1, 16, 64, 128, 256)
SPEEDS = ((0.05, 0.005), (0.25, 0.025))
SPAN_S = 4.5  # aimed at per row
_CONTENT = b'"delta":{"content":"'
_BODY = json.dumps(
    {
        "model": "simulated",
        "messages": [{"role": "user", "content": "How high is the tide tonight?"}],
        "max_tokens": TOKENS,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
).encode()
_REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: endpoint\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as the client saw it; times are monotonic seconds."""

    id: str
    sent_s: float
    first_s: float
    last_s: float
    tokens: int


class User(asyncio.Protocol):
    """One connection that sends one request after the other."""

    def __init__(self, requests: int, done: asyncio.Future[None]) -> None:
        self._left = requests
        self._done = done
        self.seen: list[Seen] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        self._id = ""
        self._tokens = 0
        self._first_s = self._last_s = 0.0
        self._sent_s = time.monotonic()
        self._transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        # Each write of the endpoint is a whole number of events, and on loopback
        # they arrive as they were written or several together.
        tokens = data.count(_CONTENT)
        if not self._id:
            self._id = data.split(b"x-request-id: ", 1)[1].split(b"\r\n", 1)[0].decode()
        if tokens:
            self._tokens += tokens
            self._first_s = self._first_s or now
            self._last_s = now
        if data.endswith(b"\r\n0\r\n\r\n"):
            self.seen.append(
                Seen(self._id, self._sent_s, self._first_s, self._last_s, self._tokens)
            )
            self._left -= 1
            if self._left:
                self._ask()
            else:
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done.done():
            return
        if exc is not None or self._left:
            self._done.set_exception(exc or ConnectionError("the endpoint closed a connection"))
        else:
            self._done.set_result(None)


def _same(user: User) -> User:
    return user


async def drive(port: int, users: int, requests: int, over_s: float) -> list[Seen]:
    """Let `users` users make `requests` requests each, started evenly over `over_s`."""
    loop = asyncio.get_running_loop()
    everyone: list[User] = []
    waits: list[asyncio.Future[None]] = []
    begin = loop.time()
    for index in range(users):
        await asyncio.sleep(begin + over_s * index / users - loop.time())
        done: asyncio.Future[None] = loop.create_future()
        user = User(requests, done)
        await loop.create_connection(partial(_same, user), "127.0.0.1", port)
        everyone.append(user)
        waits.append(done)
    await asyncio.gather(*waits)
    return [seen for user in everyone for seen in user.seen]


def client_main(port: int, users: int, requests: int, over_s: float) -> None:
    """The client's process: prints what it saw, and what CPU time that took."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        began, cpu = time.monotonic(), time.process_time()
        seen = runner.run(drive(port, users, requests, over_s))
        share = (time.process_time() - cpu) / (time.monotonic() - began)
    print(json.dumps({"cpu_share": share, "seen": [asdict(one) for one in seen]}))


def fetch(url: str, method: str = "GET") -> bytes:
    """The body of an answer of the endpoint."""
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:
        return bytes(answer.read())


def row(endpoint: EndpointProcess, speed: tuple[float, float], level: int, at_once: bool) -> str:
    """Measure one level; answers a line of the table."""
    (ttft_s, tpot_s), url, pid = speed, endpoint.url, endpoint.pid
    service_s = ttft_s + (TOKENS - 1) * tpot_s
    requests = max(2, round(SPAN_S / service_s))
    over_s = 0.0 if at_once else service_s
    fetch(f"{url}/truth/reset", "POST")
    waited_s = run_delay_s(pid)
    client = subprocess.run(
        [
            sys.executable,
            __file__,
            "--client",
            str(endpoint.port),
            str(level),
            str(requests),
            str(over_s),
        ],
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
        preexec_fn=lambda: pin(last=True),
    )
    truth = json.loads(fetch(f"{url}/truth"))
    lines = [json.loads(line) for line in fetch(f"{url}/truth/requests").splitlines()]
    waited_s = run_delay_s(pid) - waited_s
    told = json.loads(client.stdout)
    seen = {one["id"]: Seen(**one) for one in told["seen"]}
    pairs = [(line, seen[line["id"]]) for line in lines]
    assert len(pairs) == level * requests, "the record and the client differ in number"
    assert all(line["written_tokens"] == one.tokens for line, one in pairs), "tokens differ"
    first_late = [line["late_first_s"] for line in lines]
    worst_late = [line["late_worst_s"] for line in lines]
    client_ttft = [one.first_s - one.sent_s for _, one in pairs]
    client_tpot = [(one.last_s - one.first_s) / (one.tokens - 1) for _, one in pairs]
    down = [one.first_s - line["first_token_s"] for line, one in pairs]
    up = [line["arrival_s"] - one.sent_s for line, one in pairs]
    cells = [
        f"{ttft_s * 1e3:.0f}/{tpot_s * 1e3:.0f}",
        f"{level}{'*' if at_once else ''}",
        str(len(pairs)),
        *(milliseconds(first_late, name) for name in ("p50", "p99", "max")),
        *(milliseconds(worst_late, name) for name in ("p50", "p99", "max")),
        f"{truth['ttft_s']['p50'] * 1e3:.2f}",
        milliseconds(client_ttft, "p50"),
        f"{truth['ttft_s']['p99'] * 1e3:.2f}",
        milliseconds(client_ttft, "p99"),
        f"{truth['tpot_s']['p50'] * 1e3:.3f}",
        milliseconds(client_tpot, "p50", 3),
        milliseconds(up, "p50"),
        milliseconds(down, "p50"),
        f"{truth['output_tok_s']:,.0f}",
        f"{truth['mean_in_flight']:.0f}",
        f"{busy(truth):.0%}",
        f"{waited_s / truth['span_s']:.0%}",
        f"{told['cpu_share']:.0%}",
    ]
    return line_of(cells)


def run_delay_s(pid: int) -> float:
    """How long a process has been ready to run without running (Linux; else 0)."""
    try:
        with open(f"/proc/{pid}/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except FileNotFoundError:
        return 0.0


def busy(truth: dict[str, Any]) -> float:
    """The endpoint's CPU time as a share of one core over the requests' span."""
    return float(truth["process"]["cpu_s"]) / float(truth["span_s"])


def milliseconds(values: list[float], statistic: str, digits: int = 2) -> str:
    value = distribution(values)[statistic]
    return "-" if value is None else f"{value * 1e3:.{digits}f}"


HEADINGS = (
    *("ttft/tpot", "users", "n"),
    *("first late p50", "p99", "max", "worst late p50", "p99", "max"),
    *("TTFT p50 true", "seen", "TTFT p99 true", "seen", "TPOT p50 true", "seen"),
    *("wire up p50", "down", "tok/s", "in flight", "endpoint CPU", "endpoint waited", "client CPU"),
)


def line_of(cells: list[str] | tuple[str, ...]) -> str:
    widths = (max(len(heading), 7) for heading in HEADINGS)
    return " | ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def pin(*, last: bool) -> None:
    """Keep this process on one core: the last one, or the first."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1] if last else cores[0]})


def main() -> None:
    """Measure all rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--client", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        port, users, requests, over_s = given.client
        client_main(int(port), int(users), int(requests), float(over_s))
        return
    cores = sorted(os.sched_getaffinity(0))
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.2f} before the first row")
    print(line_of(HEADINGS))
    for ttft_s, tpot_s in SPEEDS:
        options = ("--ttft-s", str(ttft_s), "--tpot-s", str(tpot_s), "--max-seconds", "180")
        with endpoint_process(*options) as endpoint:
            os.sched_setaffinity(endpoint.pid, {cores[0]})
            rows = [(level, False) for level in LEVELS] + [(LEVELS[-1], True)]
            for level, at_once in rows:
                print(row(endpoint, (ttft_s, tpot_s), level, at_once), flush=True)
    print(f"load average {os.getloadavg()[0]:.2f} after the last row")


if __name__ == "__main__":
    main()
