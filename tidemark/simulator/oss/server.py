"""The simulated object store on a port of this machine.

    python -m tidemark.simulator.oss.server --port 8081 --bucket results

prints one JSON line {"url", "port", "pid"} when it is ready, and serves until SIGTERM, SIGINT,
--max-seconds or the end of --parent-pid. What it holds is lost then. Results go there with the
store oss://results@cn-hangzhou/nightly and its option endpoint_url=http://127.0.0.1:8081.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidemark.errors import ConfigError, TidemarkError
from tidemark.simulator.oss.app import DEFAULT_REGION, OssSimulator
from tidemark.simulator.pai.scenario import load_scenario
from tidemark.simulator.pai.server import serve

__all__ = ["main", "parser"]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m tidemark.simulator.oss.server",
        description="Alibaba Cloud OSS, simulated: buckets in memory. Prints one JSON line {url, "
        "port, pid} when it is ready.",
        epilog="Access key: LTAIsimulator / simulator-secret, which is published. To look into "
        "it, from this machine: GET /_simulator/state, bill, requests, scenario.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = result.add_argument
    add("--port", type=int, default=0, help="of 127.0.0.1; 0 lets the system choose")
    add("--bucket", action="append", default=[], metavar="NAME", help="a bucket that is there")
    add("--region", default=DEFAULT_REGION, help="where buckets are")
    add("--scenario", type=Path, help="what goes wrong: a YAML or JSON file with rules for calls")
    add("--max-seconds", type=float, default=3600.0, help="end by itself after so long")
    add("--parent-pid", type=int, help="end when this process does")
    result.set_defaults(host="127.0.0.1")
    return result


class _Losses(logging.Filter):
    """Answers that are broken off on purpose are no errors."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        return "completing response" not in said and "Exception in ASGI" not in said


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; answers the exit status: 0, 1 if it failed, 2 for a wrong set-up."""
    given = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("uvicorn.error").addFilter(_Losses())
    try:
        if not (math.isfinite(given.max_seconds) and given.max_seconds > 0):
            raise ConfigError(
                f"{given.max_seconds} is not possible", "--max-seconds", "Give more than 0"
            )
        scenario = load_scenario(given.scenario) if given.scenario else None
        simulator: Any = OssSimulator(region=given.region, scenario=scenario)
        for name in given.bucket:
            simulator.create_bucket(name)
        asyncio.run(serve(simulator, given))
    except TidemarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
