"""A sweep of a real model server on this machine: llama.cpp or vLLM, with small random weights.

    python deployments/local_model/demo.py llama|vllm --server-python PYTHON --directory DIR

Makes a tokenizer and a model, starts the server on loopback, sweeps it by the ordinary command,
says where the token counts came from, and stops the server. `make demo-real` and
`make demo-vllm` install the servers and call this.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pandas
import yaml

HERE = Path(__file__).resolve().parent
MODEL = "tiny-random-llama"
LONGEST_S = 1500
READY_S = {"llama": 60.0, "vllm": 300.0}
LEVELS = {"llama": [1, 2, 4, 8], "vllm": [1, 2, 4]}
LIMITS = {"llama": {"max_time_s": 10}, "vllm": {"max_time_s": 40}}
VLLM_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}
VLLM_OPTIONS = ("--max-model-len", "1024", "--enforce-eager", "--max-num-seqs", "16")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(server: str, python: str, model: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """How the server is started, and what its environment adds."""
    if server == "llama":
        script = str(HERE / "llama_server.py")
        return [python, script, str(model / "model.gguf"), str(port), MODEL, str(LONGEST_S)], {}
    argv = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    argv += ["--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(port)]
    return [*argv, *VLLM_OPTIONS], VLLM_ENVIRONMENT


@contextmanager
def serving(
    argv: list[str], environment: Mapping[str, str], log: Path, url: str, ready_s: float
) -> Iterator[None]:
    """The server, answering, for as long as the block runs; its whole group ends with it."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + ready_s
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server did not start; what it said is in {log}")
            try:
                if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        yield
    finally:
        for how in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, how)
                try:
                    process.wait(timeout=15)
                except subprocess.TimeoutExpired:
                    continue


def main() -> int:
    """Run the demo; returns the sweep's exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("server", choices=sorted(READY_S))
    parser.add_argument("--server-python", required=True, help="the server's own interpreter")
    parser.add_argument("--directory", type=Path, required=True)
    given = parser.parse_args()
    directory = given.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer, model = directory / "tokenizer", directory / "model"
    subprocess.run(
        [sys.executable, "-m", "tidemark.simulator.tokenizer", str(tokenizer)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    make = [given.server_python, str(HERE / "make_model.py"), str(tokenizer), str(model)]
    subprocess.run([*make, "--gguf"] if given.server == "llama" else make, check=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    plan, store = directory / "plan.yaml", directory / "results"
    document = {
        "name": f"{given.server} on this machine",
        "endpoint": {"url": url, "model": MODEL, "dialect": "vllm"},
        "scenarios": ["D(64,32)"],
        "concurrency": LEVELS[given.server],
        "limits": {**LIMITS[given.server], "stall_timeout_s": 20, "drain_s": 20},
        "warmup": {"requests": 8, "concurrency": 8},
        "tokenizer": str(tokenizer),
    }
    plan.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    argv, environment = command(given.server, given.server_python, model, port)
    print(f"Starting {given.server} at {url} ...", flush=True)
    log = directory / "server.log"
    with serving(argv, environment, log, url, READY_S[given.server]):
        sweep = [sys.executable, "-m", "tidemark.cli", "sweep", str(plan)]
        sweep += ["--store", str(store), "--html", str(directory / "report.html")]
        status = subprocess.run(sweep, check=False).returncode
    if (store / "requests").exists():
        requests = pandas.read_parquet(store / "requests")
        answered = requests[requests.status == "ok"]
        counted = int((answered.token_source == "server").sum())
        print(f"Tokens counted by the server's own usage: {counted} of {len(answered)} answers.")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
