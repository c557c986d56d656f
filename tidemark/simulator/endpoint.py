"""An OpenAI-compatible endpoint that knows the truth about its own latencies.

    python -m tidemark.simulator.endpoint --ttft-s 0.05 --tpot-s 0.005

prints one JSON line {"url", "port", "pid"} when it is ready, and serves until
SIGTERM, SIGINT, --max-seconds or the end of --parent-pid.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidemark.errors import ConfigError, TidemarkError
from tidemark.simulator.config import EndpointConfig, config_from_arguments
from tidemark.simulator.connection import Connection
from tidemark.simulator.counting import prompt_counter
from tidemark.simulator.record import Record
from tidemark.simulator.schedule import Schedule
from tidemark.simulator.service import Service

__all__ = ["EndpointConfig", "Ready", "main", "serve"]

# The system's default of 128 drops connections when hundreds of clients start at once.
_BACKLOG = 4096
_PARENT_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Ready:
    """Where an endpoint listens. `url` has no path: clients add /v1/..."""

    url: str
    port: int
    pid: int

    def as_line(self) -> str:
        """The line that says so, as JSON."""
        return json.dumps({"url": self.url, "port": self.port, "pid": self.pid})


async def serve(
    config: EndpointConfig,
    *,
    announce: Callable[[Ready], None],
    stop: asyncio.Event | None = None,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Serve until `stop` is set, the time is up, or the parent has ended.

    `announce` is called once, when connections are accepted. Signals are the
    caller's business. Raises ConfigError when the address, the key, the tokenizer
    or the record file cannot be used, TidemarkError when the record cannot be
    written any more, and what broke when the endpoint itself fails: one that does
    not know what it did must not go on.
    """
    loop = asyncio.get_running_loop()
    ending = asyncio.Event() if stop is None else stop
    api_key = _api_key(config, os.environ if environ is None else environ)
    counter = prompt_counter(config.tokenizer)
    record = Record(config.record)
    schedule = Schedule(loop)
    service = Service(config, schedule=schedule, record=record, counter=counter, api_key=api_key)
    broken: list[BaseException] = []
    handler_before = loop.get_exception_handler()

    def on_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        loop.default_exception_handler(context)
        error = context.get("exception")
        if error is not None and not isinstance(error, OSError):
            broken.append(error)
            ending.set()

    loop.set_exception_handler(on_exception)
    try:
        server = await _listen(loop, service, config)
        try:
            port = server.sockets[0].getsockname()[1]
            host = f"[{config.host}]" if ":" in config.host else config.host
            watching = asyncio.create_task(_watch_parent(config.parent_pid, ending))
            flushing = asyncio.create_task(_flush(record, config.flush_s))
            # Without its record the endpoint does not know the truth: it ends then too.
            flushing.add_done_callback(lambda _: ending.set())
            time_is_up = loop.call_later(config.max_seconds, ending.set)
            announce(Ready(f"http://{host}:{port}", port, os.getpid()))
            await ending.wait()
            time_is_up.cancel()
            for task in (watching, flushing):
                task.cancel()
            ends = await asyncio.gather(watching, flushing, return_exceptions=True)
            broken += [
                end
                for end in ends
                if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError)
            ]
        finally:
            server.close()
            service.stop()
    finally:
        schedule.close()
        counter.close()
        loop.set_exception_handler(handler_before)
        record.close()
    if broken:
        raise broken[0]


def _api_key(config: EndpointConfig, environ: Mapping[str, str]) -> str | None:
    if config.api_key_env is None:
        return None
    key = environ.get(config.api_key_env)
    if not key:
        raise ConfigError(
            f"the variable {config.api_key_env} is not set", "--api-key-env", "Set it to a key"
        )
    return key


async def _listen(
    loop: asyncio.AbstractEventLoop, service: Service, config: EndpointConfig
) -> asyncio.Server:
    try:
        return await loop.create_server(
            lambda: Connection(service), config.host, config.port, backlog=_BACKLOG
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"cannot listen: {reason}", f"{config.host}:{config.port}", "Give --port 0 or another"
        ) from error


async def _flush(record: Record, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        record.flush()


async def _watch_parent(pid: int | None, ending: asyncio.Event) -> None:
    """Set `ending` when the process `pid` is no more."""
    if pid is None:
        return
    if sys.platform == "linux":
        try:
            file = os.pidfd_open(pid)
        except ProcessLookupError:
            ending.set()
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(file, ending.set)
        try:
            await ending.wait()
        finally:
            loop.remove_reader(file)
            os.close(file)
        return
    while not ending.is_set():
        if not _alive(pid):
            ending.set()
        await asyncio.sleep(_PARENT_LOOK_S)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def _serve_until_signal(config: EndpointConfig) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # A collection in the middle of a burst of tokens would make them late. What
    # lives until the end is set aside; what is made per request has no cycles.
    gc.collect()
    gc.freeze()
    gc.disable()
    await serve(config, announce=lambda ready: print(ready.as_line(), flush=True), stop=stop)


def _run(main_coroutine: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        print("note: uvloop is not installed; asyncio is slower", file=sys.stderr, flush=True)
        asyncio.run(main_coroutine)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main_coroutine)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; answers the exit status: 0, 1 if it failed, 2 for a wrong set-up."""
    try:
        _run(
            _serve_until_signal(
                config_from_arguments(sys.argv[1:] if arguments is None else arguments)
            )
        )
    except TidemarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
