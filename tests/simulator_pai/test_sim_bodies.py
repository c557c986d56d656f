"""Requests that no client sends by accident: answered as wrong, and none does harm."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tidemark.simulator.pai.asked import Answer, Asked
from tidemark.simulator.pai.json_text import json_value
from tidemark.simulator.pai.seen import Seen

DEEP = b'{"a":' * 900 + b"1" + b"}" * 900
ADDRESS = "http://127.0.0.1:8080"


def nested(levels: int) -> bytes:
    return b"[" * levels + b"1" + b"]" * levels


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        b'{"a":' * 50_000,
        b'{"DisplayName": NaN}',
        b'{"DisplayName": 1e999}',
        b'{"DisplayName": ' + b"9" * 400 + b"}",
        b'{"DisplayName": ' + b"9" * 5000 + b"}",
        b'{"DisplayName": "\\ud800"}',
        b'{"DisplayName": "\xff"}',
    ],
)
@pytest.mark.parametrize(
    ("path", "action", "version"),
    [
        ("/api/v1/jobs", "CreateJob", "2020-12-03"),
        ("/api/v2/services", "CreateService", "2021-07-01"),
        ("/api/v2/benchmark-tasks", "CreateBenchmarkTask", "2021-07-01"),
    ],
)
async def test_bodies_that_no_service_could_read(
    start: Any, path: str, action: str, version: str, body: bytes
) -> None:
    pai = start()
    answer = await pai.call("POST", path, action, version=version, body=body)
    assert answer.status_code == 400, answer.text
    assert "body" in answer.json()["Message"]
    assert (await pai.http.get(f"{ADDRESS}/_simulator/requests")).status_code == 200


def test_ordinary_documents_are_read_as_they_are() -> None:
    document = {"a": [1, -(2**63), 1.5, True, None, "中 \U0001f30a"], "b": {"c": {}}}
    assert json_value(json.dumps(document)) == document
    assert json_value(nested(64))
    with pytest.raises(ValueError, match="too deeply"):
        json_value(nested(65))


@pytest.mark.parametrize("text", ["[" * 5000, "[]" * 2, '{"a": {}}', '{"a": "\\ud800"}'])
async def test_tags_that_are_none(start: Any, text: str) -> None:
    answer = await start().call("GET", "/api/v1/jobs", "ListJobs", query={"Tags": text})
    assert (answer.status_code, answer.json()["Code"]) == (400, "InvalidParameter")


async def test_what_calls_nobody_signed_leave_in_memory(start: Any) -> None:
    pai = start()
    for content in (b"x" * 1_000_000, DEEP, json.dumps(pai.job()).encode()):
        await pai.http.post(f"http://{'pai-dlc.simulator'}/api/v1/jobs", content=content)
    bodies = [one["body"] for one in pai.simulator.requests()]
    assert [text.split(";")[0] for text in bodies] == ["1000000 bytes", "5401 bytes", bodies[2][:9]]
    assert "bench-1" not in json.dumps(bodies)


async def test_of_a_long_body_its_size_is_kept(start: Any) -> None:
    pai = start()
    await pai.create(UserCommand="x" * 70_000)
    assert pai.simulator.requests()[0]["body"].startswith("70")
    assert len(json.dumps(pai.simulator.requests())) < 1000


def test_of_very_much_the_oldest_is_forgotten() -> None:
    seen = Seen(most_bytes=1024 * 1024)
    for number in range(24):
        body = json.dumps({"DisplayName": f"bench-{number}", "UserCommand": "x" * 60_000}).encode()
        seen.add(
            Asked("POST", "/api/v1/jobs", "", {}, body),
            Answer(200, b"{}", {}),
            at_s=0.0,
            action="CreateJob",
            region="cn-hangzhou",
            signed=True,
        )
    names = [one["body"]["DisplayName"] for one in seen.as_list()]
    assert names[-1] == "bench-23"
    assert "bench-0" not in names
    assert 10 < len(names) < 24


async def test_a_body_that_never_ends_is_refused(start: Any) -> None:
    pai = start()

    async def endless() -> Any:
        for _ in range(17):
            yield b" " * 1024 * 1024

    answer = await pai.http.post("http://pai.simulator/api/v1/jobs", content=endless())
    assert answer.status_code == 413
    assert "16 MiB" in answer.json()["Message"]
    assert pai.simulator.requests() == []


async def test_times_that_no_clock_shows(start: Any) -> None:
    pai = start()
    query = {"StartTime": "0001-01-01T00:00:00+14:00", "EndTime": "9999-12-31T23:59:59-14:00"}
    await pai.create()
    answer: httpx.Response = await pai.call("GET", "/api/v1/jobs", "ListJobs", query=query)
    assert answer.status_code == 200
