"""The simulated cloud on a port of this machine.

    tidemark simulate pai --port 8080 --speed 60 --scenario night.yaml

prints one JSON line {"url", "port", "pid"} when it is ready, and serves until SIGTERM, SIGINT,
--max-seconds or the end of --parent-pid. Point an SDK at it with Config(endpoint="127.0.0.1:8080",
protocol="HTTP", access_key_id="LTAIsimulator", access_key_secret="simulator-secret").
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil
import uvicorn

from tidemark.errors import ConfigError, TidemarkError
from tidemark.simulator.clock import ScaledClock
from tidemark.simulator.pai.accounts import API_KEY, SIMULATOR, Account
from tidemark.simulator.pai.app import PaiSimulator
from tidemark.simulator.pai.scenario import Scenario, load_scenario

__all__ = ["main", "parser", "serve"]

_LOOK_S = 0.2
_HIGHEST_PORT = 65535
_BEYOND = "--reachable-from-other-machines"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="tidemark simulate pai",
        description="PAI-DLC, EAS, AIWorkSpace, PaiStudio and ECS prices, simulated. Nothing is "
        "billed. Prints one JSON line {url, port, pid} when it is ready.",
        epilog="Access key: LTAIsimulator / simulator-secret, and the API key sk-simulator, both "
        "published and refused with --account. To look into it, from this machine: GET "
        "/_simulator/state, bill, requests, scenario, clock. Pages in a browser are not answered, "
        "and only calls to 127.0.0.1, localhost or a name under .simulator.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = result.add_argument
    add("--host", default="127.0.0.1", help="where to listen")
    add("--port", type=int, default=0, help="0 lets the system choose")
    add("--speed", type=float, default=60.0, help="simulated seconds in each second")
    add(
        "--scenario",
        type=Path,
        help="what goes wrong: a YAML or JSON file whose top-level keys are some of "
        f"{', '.join(Scenario.model_fields)}. README.md has an example; what each key means tells "
        "python -m pydoc tidemark.simulator.pai.scenario",
    )
    add(
        "--execute",
        action="store_true",
        help="run the jobs' commands for real, on this machine, with your rights. What a command "
        "started ends with it, and with the simulator; what kills its guard process first may not. "
        "A command can read the simulator's own environment (/proc): start it without secrets, "
        "those that --account names included where commands are not trusted",
    )
    add(
        "--inherit",
        action="append",
        default=[],
        metavar="VARIABLE",
        help="with --execute: a variable that commands get, beside PATH, HOME and LANG",
    )
    add(
        "--account",
        action="append",
        default=[],
        metavar="ID:VARIABLE",
        help="an access key in place of the published ones, and the variable of its secret",
    )
    add("--sorts-specs", action="store_true", help="let ListEcsSpecs sort by CPU and GPU")
    add("--max-seconds", type=float, default=3600.0, help="end by itself after so long")
    add("--parent-pid", type=int, help="end when this process does")
    add(
        _BEYOND,
        action="store_true",
        help="allow a --host that is not of this machine alone, and calls to any name; with "
        "--execute only for the keys of --account",
    )
    return result


async def serve(simulator: PaiSimulator, given: argparse.Namespace) -> None:
    """Serve until a signal, the time is up or the parent has ended. Raises ConfigError."""
    listener = _listen(given.host, given.port)
    config = uvicorn.Config(
        simulator.app,
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=2,
        # A cloud dates its answers itself, by the clock that it judges signatures by.
        date_header=not isinstance(simulator, PaiSimulator),
    )
    server = _Server(config, announce=lambda: print(_ready(given.host, listener), flush=True))
    loop = asyncio.get_running_loop()

    def end() -> None:
        server.should_exit = True

    def look() -> None:
        if not psutil.pid_exists(given.parent_pid):
            end()
        loop.call_later(_LOOK_S, look)

    # Without handlers of ours the server would end by the signal, and not with status 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.call_later(given.max_seconds, end)
    if given.parent_pid is not None:
        look()
    await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that says when it accepts calls."""

    def __init__(self, config: uvicorn.Config, *, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept calls, and say so."""
        await super().startup(sockets)
        if self.started:
            self._announce()


def _ready(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    place = f"[{host}]" if ":" in host else host
    return json.dumps({"url": f"http://{place}:{port}", "port": port, "pid": os.getpid()})


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
        # Connections inherit it; without it each answer's body waits 40 ms for the client.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"cannot listen: {reason}", f"{host}:{port}", "Give --port 0 or another"
        ) from error


def _check(given: argparse.Namespace) -> None:
    try:
        here = given.host == "localhost" or ipaddress.ip_address(given.host).is_loopback
    except ValueError:
        here = False
    if not here and not given.reachable_from_other_machines:
        raise ConfigError(
            "other machines could reach the simulator there",
            f"--host {given.host}",
            f"Use 127.0.0.1, or add {_BEYOND}",
        )
    if given.execute and given.reachable_from_other_machines and not given.account:
        raise ConfigError(
            "anybody who reaches the simulator could run commands here, as its key is published",
            f"--execute {_BEYOND}",
            "Give an access key of your own with --account",
        )
    if not 0 <= given.port <= _HIGHEST_PORT:
        raise ConfigError(
            "is no port", f"--port {given.port}", f"Give 0 to {_HIGHEST_PORT}; 0 is any free one"
        )
    for option, value in (("--speed", given.speed), ("--max-seconds", given.max_seconds)):
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{value} is not possible", option, "Give more than 0")


def _accounts(texts: Sequence[str], environ: Mapping[str, str]) -> list[Account]:
    accounts = []
    for text in texts:
        key_id, _, variable = text.partition(":")
        if not key_id or not variable:
            raise ConfigError("is not an account", "--account", "Write ID:VARIABLE")
        secret = environ.get(variable)
        if not secret:
            raise ConfigError(f"the variable {variable} is not set", "--account", "Set it")
        accounts.append(Account(key_id, secret))
    return accounts or [SIMULATOR]


class _Losses(logging.Filter):
    """Answers that are broken off on purpose are no errors."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "returned without completing response" not in record.getMessage()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; answers the exit status: 0, 1 if it failed, 2 for a wrong set-up."""
    given = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("uvicorn.error").addFilter(_Losses())
    try:
        _check(given)
        simulator = PaiSimulator(
            clock=ScaledClock(given.speed),
            accounts=_accounts(given.account, os.environ),
            scenario=load_scenario(given.scenario) if given.scenario else None,
            execute=given.execute,
            inherit=given.inherit,
            sorts_specs=given.sorts_specs,
            any_host=given.reachable_from_other_machines,
            bearer_keys=() if given.account else (API_KEY,),
        )
        asyncio.run(serve(simulator, given))
    except TidemarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
