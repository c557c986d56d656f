"""The command: how an endpoint starts, and that it never outlives its user."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tidemark.errors import ConfigError
from tidemark.simulator.process import endpoint_process

COMMAND = [sys.executable, "-m", "tidemark.simulator.endpoint"]
BODY = {"model": "m", "prompt": "x", "max_tokens": 3}


def ended(pid: int, within_s: float = 10) -> bool:
    """Whether a process that is not ours ends in time."""
    try:
        file = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([file], [], [], within_s)[0])
    finally:
        os.close(file)


def test_it_says_where_it_listens_and_serves() -> None:
    with endpoint_process("--ttft-s", "0.001", "--tpot-s", "0.001") as endpoint:
        assert endpoint.url == f"http://127.0.0.1:{endpoint.port}"
        assert endpoint.pid == endpoint.process.pid
        answer = httpx.post(f"{endpoint.url}/v1/completions", json=BODY)
        assert answer.json()["usage"]["completion_tokens"] == 3
    assert endpoint.process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_its_record_written(number: signal.Signals, tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    with endpoint_process("--record", str(record), "--flush-s", "3600") as endpoint:
        httpx.post(f"{endpoint.url}/v1/completions", json=BODY)
        endpoint.process.send_signal(number)
        assert endpoint.process.wait(10) == 0
    assert json.loads(record.read_text())["written_tokens"] == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_endpoint_that_cannot_keep_its_record_ends() -> None:
    with endpoint_process("--record", "/dev/full", "--flush-s", "0.01") as endpoint:
        httpx.post(f"{endpoint.url}/v1/completions", json=BODY)
        said = endpoint.process.communicate(timeout=10)[1]
    assert endpoint.process.returncode == 1
    assert "the record cannot be written: No space left on device" in said
    assert "Traceback" not in said


def test_with_uvloop_what_breaks_off_breaks_off_alike() -> None:
    fault = ("--fault", "cut,after_tokens=2 when output_tokens=7")
    with (
        endpoint_process("--ttft-s", "0.001", *fault, "--max-body-bytes", "9000") as endpoint,
        httpx.Client(base_url=endpoint.url) as client,
    ):
        asked = {**BODY, "stream": True}
        with (
            pytest.raises(httpx.RemoteProtocolError),
            client.stream("POST", "/v1/completions", json={**asked, "max_tokens": 7}) as cut,
        ):
            cut.read()
        with client.stream("POST", "/v1/completions", json={**asked, "max_tokens": 9000}) as left:
            next(left.iter_bytes())
        too_large = client.post("/v1/completions", content=b"x" * 500_000)
        assert too_large.status_code == 413
        assert client.post("/v1/completions", json=BODY).status_code == 200
        for _ in range(2000):
            counts = client.get("/truth").json()["counts"]
            if counts["aborted"]:
                break
        assert (counts["cut"], counts["aborted"], counts["error"], counts["ok"]) == (1, 1, 1, 1)


def test_it_ends_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    endpoint = subprocess.Popen(
        [*COMMAND, "--parent-pid", str(parent.pid)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert endpoint.stdout is not None
        assert json.loads(endpoint.stdout.readline())["pid"] == endpoint.pid
        parent.kill()
        # Not waited for: a parent that is dead but not reaped is dead all the same.
        assert endpoint.wait(10) == 0
    finally:
        parent.communicate()
        endpoint.kill()
        endpoint.communicate()


def test_it_ends_at_once_when_its_parent_is_gone_already() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    done = subprocess.run(
        [*COMMAND, "--parent-pid", str(gone.pid)], timeout=20, check=False, capture_output=True
    )
    assert done.returncode == 0


def test_a_block_that_is_killed_takes_its_endpoint_along() -> None:
    code = (
        "from tidemark.simulator.process import endpoint_process\n"
        "with endpoint_process() as endpoint:\n"
        "    print(endpoint.pid, flush=True)\n"
        "    input()\n"
    )
    user = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert user.stdout is not None
    pid = int(user.stdout.readline())
    user.kill()
    user.communicate()
    assert ended(pid)


def test_it_ends_by_itself_after_its_time() -> None:
    done = subprocess.run(
        [*COMMAND, "--max-seconds", "0.05"], timeout=20, check=False, capture_output=True
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["port"] > 0


def test_wrong_use_exits_with_2_and_a_reason(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cases = [
            (["--port", str(port)], "cannot listen"),
            (["--fault", "explode"], "unknown kind of fault"),
            (["--tokenizer", str(tmp_path)], "no usable tokenizer"),
            (["--record", str(tmp_path / "no" / "file")], "cannot write the record"),
            (["--api-key-env", "TIDEMARK_NO_SUCH_KEY"], "TIDEMARK_NO_SUCH_KEY is not set"),
            (["--model", "perfect"], "invalid choice"),
        ]
        running = [
            subprocess.Popen([*COMMAND, *options], stderr=subprocess.PIPE, text=True)
            for options, _ in cases
        ]
        for process, (_, reason) in zip(running, cases, strict=True):
            said = process.communicate(timeout=20)[1]
            assert reason in said
            assert "Traceback" not in said
            assert process.returncode == 2


def test_an_endpoint_that_does_not_start_says_why() -> None:
    with (
        pytest.raises(ConfigError, match="unknown kind of fault"),
        endpoint_process("--fault", "explode"),
    ):
        pass


def test_without_uvloop_it_serves_all_the_same() -> None:
    # An entry of None makes the import fail as if it were not installed.
    code = (
        "import sys; sys.modules['uvloop'] = None\n"
        "from tidemark.simulator.endpoint import main\n"
        "sys.exit(main(['--max-seconds', '0.05']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], timeout=20, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "asyncio is slower" in done.stderr
    assert json.loads(done.stdout)["url"]
