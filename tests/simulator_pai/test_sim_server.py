"""The command: what it takes, what it says, and that it serves over real connections."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pai_calls import Pai

from tidemark.errors import ConfigError
from tidemark.simulator.clock import ScaledClock
from tidemark.simulator.pai.process import pai_process
from tidemark.simulator.pai.scenario import Scenario
from tidemark.simulator.pai.server import main, parser
from tidemark.simulator.process import SimulatorProcess

COMMAND = [sys.executable, "-m", "tidemark.simulator.pai.server"]
RULES = """
calls:
  - when: {action: CreateJob, nth: 2}
    then: {lost: answer}
  - when: {action: CreateJob, nth: 3}
    then: {lost: request}
  - when: {action: GetJob, nth: 1}
    then: {html: 502}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    rules = tmp_path_factory.mktemp("scenario") / "rules.yaml"
    rules.write_text(RULES)
    environ = {**os.environ, "TIDE_SECRET": "second-secret"}
    options = ("--scenario", str(rules), "--account", "LTAIsecond:TIDE_SECRET")
    with pai_process(*options, "--speed", "1", "--max-seconds", "120", environ=environ) as process:
        yield process


def second(http: httpx.AsyncClient) -> Pai:
    """Calls by the key that the server was given."""
    pai = Pai(None, ScaledClock(1.0), http)  # type: ignore[arg-type]
    pai.key_id, pai.secret = "LTAIsecond", "second-secret"
    pai.nonces = iter(lambda: str(uuid.uuid4()), None)
    return pai


async def test_published_keys_are_worth_nothing_beside_a_given_one(
    server: SimulatorProcess,
) -> None:
    host = server.url.removeprefix("http://")
    async with httpx.AsyncClient() as http:
        pai = second(http)
        assert (await pai.call("GET", "/api/v1/jobs", "ListJobs", host=host)).status_code == 200
        pai.key_id, pai.secret = "LTAIsimulator", "simulator-secret"
        answer = await pai.call("GET", "/api/v1/jobs", "ListJobs", host=host)
        assert answer.json()["Code"] == "InvalidAccessKeyId.NotFound"
        path = "/api/eas/2021-07-01/ListBenchmarkTask"
        headers = {"authorization": "Bearer sk-simulator"}
        assert (await http.get(f"{server.url}{path}", headers=headers)).status_code == 403


async def test_calls_over_real_connections(server: SimulatorProcess) -> None:
    async with httpx.AsyncClient() as http:
        host = server.url.removeprefix("http://")
        pai = second(http)

        async def create(name: str) -> dict[str, Any]:
            body = pai.job(DisplayName=name)
            return await pai.ok("POST", "/api/v1/jobs", "CreateJob", body=body, host=host)

        job_id = (await create("first"))["JobId"]
        for name in ("answer-lost", "request-lost"):
            with pytest.raises(httpx.RemoteProtocolError):
                await create(name)
        assert (await pai.call("GET", f"/api/v1/jobs/{job_id}", "GetJob", host=host)).text[0] == "<"
        assert (await pai.get(job_id, host=host))["DisplayName"] == "first"
        assert sorted(await pai.names(host=host)) == ["answer-lost", "first"]
        encoded = await pai.call("GET", "/api/v1/jobs/dlc%20a%2Fb", "GetJob", host=host)
        assert "dlc a/b" in encoded.json()["Message"]
        advanced = await http.post(f"{server.url}/_simulator/clock", json={"advance_s": 86400})
        assert advanced.json()["speed"] == 1.0
        # Its time has moved on by a day; signatures are judged by this machine's, as answers are
        # dated.
        assert (await pai.get(job_id, host=host))["Status"] == "Succeeded"
        last = await pai.call("GET", f"/api/v1/jobs/{job_id}", "GetJob", host=host)
        (date,) = last.headers.get_list("date")
        assert abs(parsedate_to_datetime(date).timestamp() - time.time()) < 60
        bill = (await http.get(f"{server.url}/_simulator/bill")).json()
        assert len(bill["resources"]) == 2
    # What was broken off on purpose is no error to tell of.
    assert not select.select([server.process.stderr], [], [], 0)[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("session", ["", "setsid "])
def test_it_runs_commands_by_itself_and_ends_them(
    tmp_path: Path, number: int, session: str
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "jobs: [{then: {creating_s: 0, queuing_s: 0, node_s: 0, image_pull: {pull_s: 0}}}]"
    )
    file = tmp_path / "pid"
    with (
        pai_process("--execute", "--scenario", str(rules), "--max-seconds", "60") as server,
        httpx.Client() as http,
    ):
        pai = Pai(None, ScaledClock(1.0), None)  # type: ignore[arg-type]
        told = f"echo $$ > {file}.part; mv {file}.part {file}; exec sleep 600"
        body = pai.job(UserCommand=f"{session}sh -c '{told}' & sleep 600")
        host = server.url.removeprefix("http://")
        request = pai.signed("POST", "/api/v1/jobs", "CreateJob", body=body, host=host)
        assert http.send(request).status_code == 200
        # Nobody calls any more: the server looks after the job itself.
        end_s = time.monotonic() + 20
        while not file.exists():
            assert time.monotonic() < end_s
        pid = int(file.read_text())
        left = os.pidfd_open(pid)
        server.process.send_signal(number)
        assert server.process.wait(20) == (0 if number == signal.SIGTERM else -number)
    assert select.select([left], [], [], 20)[0]
    os.close(left)


def test_a_body_that_is_announced_too_long_is_not_read(server: SimulatorProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(
            b"POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 16777217\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_it_ends_by_itself_in_time() -> None:
    process = subprocess.run([*COMMAND, "--max-seconds", "0.2"], capture_output=True, timeout=60)
    assert process.returncode == 0
    ready = json.loads(process.stdout)
    assert set(ready) == {"url", "port", "pid"}
    assert process.stderr == b""


def test_it_ends_with_its_parent() -> None:
    parent = subprocess.Popen(["sleep", "60"])
    options = ["--parent-pid", str(parent.pid), "--max-seconds", "60"]
    process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 30)[0]
        parent.kill()
        parent.wait()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--host", "0.0.0.0"], "--reachable-from-other-machines"),
        (["--host", "example.com"], "--reachable-from-other-machines"),
        (["--execute", "--host", "0.0.0.0", "--reachable-from-other-machines"], "--account"),
        (["--speed", "0"], "--speed"),
        (["--max-seconds", "inf"], "--max-seconds"),
        (["--account", "LTAIsecond"], "ID:VARIABLE"),
        (["--account", "LTAIsecond:NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE is not set"),
        (["--scenario", "/nowhere/rules.yaml"], "cannot be read"),
        (["--port", "99999"], "--port 99999"),
        (["--port", "-1"], "--port -1"),
    ],
)
def test_what_it_does_not_start_with(
    options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--max-seconds", "1", *options]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert says in said.err


def test_a_scenario_that_makes_no_sense_stops_the_start(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("calls: [{then: {throtle: {}}}]")
    with (
        pytest.raises(ConfigError, match="Did you mean throttle"),
        pai_process("--scenario", str(rules)),
    ):
        pass


def test_an_operation_that_is_none_stops_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("calls: [{when: {action: CreatJob}, then: {html: 502}}]")
    assert main(["--scenario", str(rules), "--max-seconds", "1"]) == 2
    said = capsys.readouterr().err
    assert "calls[0].when.action: CreatJob" in said
    assert "Did you mean CreateJob?" in said


def test_a_port_that_is_taken(server: SimulatorProcess, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", str(server.port)]) == 2
    assert "--port 0" in capsys.readouterr().err


def test_help_explains_every_option() -> None:
    text = parser().format_help()
    for action in parser()._actions:
        assert action.help
        assert action.option_strings[-1] in text
    assert text.startswith("usage: tidemark simulate pai ")
    for key in Scenario.model_fields:
        assert key in text
