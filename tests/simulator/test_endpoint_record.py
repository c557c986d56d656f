"""The endpoint's record is what clients saw."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tidemark.errors import ConfigError
from tidemark.simulator.latency import LatencyModel
from tidemark.simulator.record import Record, RequestTruth


async def test_the_record_lies_within_what_the_client_saw(start: Any) -> None:
    endpoint = await start(latency=LatencyModel(ttft_s=0.02, tpot_s=0.002))
    seen = await endpoint.stream(max_tokens=6)
    (line,) = await endpoint.lines()
    assert line["id"] == seen.headers["x-request-id"]
    assert (line["path"], line["stream"], line["status"], line["outcome"]) == (
        "/v1/chat/completions",
        True,
        200,
        "ok",
    )
    assert line["planned_tokens"] == line["written_tokens"] == len(seen.content) == 6
    assert line["prompt_tokens"] == seen.usage["prompt_tokens"]
    assert line["begin_s"] == line["arrival_s"] >= line["connected_s"]
    # The client's send comes before the arrival, each write before it was seen.
    assert seen.sent_s <= line["arrival_s"]
    assert line["first_token_s"] <= seen.times_s[1]
    assert line["first_token_s"] <= line["last_token_s"] <= line["end_s"] <= seen.times_s[-1]
    # Nothing is written before it is due.
    assert line["late_first_s"] >= 0
    assert line["late_worst_s"] >= line["late_first_s"]
    assert line["first_token_s"] - line["arrival_s"] == pytest.approx(
        0.02 + line["late_first_s"], abs=1e-6
    )
    assert line["last_token_s"] - line["arrival_s"] >= 0.02 + 5 * 0.002
    assert line["sent_bytes"] > sum(map(len, seen.events))
    assert line["received_bytes"] > 0
    assert not line["aborted_by_client"]


async def test_an_answer_in_one_piece_has_no_first_token_time(start: Any) -> None:
    endpoint = await start()
    await endpoint.post(max_tokens=4)
    (line,) = await endpoint.lines()
    assert line["first_token_s"] is None
    assert line["written_tokens"] == 4
    assert line["end_s"] - line["arrival_s"] >= 0.005 + 3 * 0.001
    truth = await endpoint.truth()
    assert truth["ttft_s"] == {
        **dict.fromkeys(("mean", "min", "p50", "p90", "p95", "p99", "max")),
        "n": 0,
    }
    assert truth["e2e_s"]["n"] == 1


async def test_a_client_that_leaves_is_recorded_with_what_it_got(start: Any) -> None:
    endpoint = await start(latency=LatencyModel(ttft_s=0.001, tpot_s=0.002))
    body = json.dumps(endpoint.ask(stream=True, max_tokens=5000)).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    )
    await reader.readuntil(b" comes")
    writer.close()
    await writer.wait_closed()
    truth = await endpoint.until(lambda truth: truth["counts"]["aborted"] == 1)
    assert truth["counts"]["in_flight"] == 0
    assert truth["ttft_s"]["n"] == 0  # latencies are those of complete answers
    (line,) = await endpoint.lines()
    assert line["outcome"] == "aborted"
    assert line["aborted_by_client"]
    assert 3 <= line["written_tokens"] < 5000
    assert truth["output_tokens"] == line["written_tokens"]


async def test_the_file_has_a_line_per_request_when_the_endpoint_has_ended(
    start: Any, tmp_path: Path
) -> None:
    file = tmp_path / "record.jsonl"
    endpoint = await start(record=file, flush_s=3600)
    await asyncio.gather(*(endpoint.stream(max_tokens=n) for n in (1, 2, 3)))
    lines = await endpoint.lines()
    await endpoint.end()
    assert [json.loads(line) for line in file.read_text().splitlines()] == lines


async def test_what_is_in_flight_at_the_end_is_recorded_as_stopped(
    start: Any, tmp_path: Path
) -> None:
    file = tmp_path / "record.jsonl"
    endpoint = await start(record=file, latency=LatencyModel(ttft_s=60))
    asking = asyncio.create_task(endpoint.stream())
    await endpoint.until(lambda truth: truth["counts"]["in_flight"] == 1)
    await endpoint.end()
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await asking
    assert json.loads(file.read_text())["outcome"] == "stopped"


async def test_a_reset_begins_the_truth_anew(start: Any) -> None:
    endpoint = await start()
    await endpoint.stream()
    reset = await endpoint.client.post("/truth/reset")
    assert (await endpoint.truth())["counts"]["requests"] == 0
    assert await endpoint.lines() == []
    await endpoint.stream(max_tokens=2)
    truth = await endpoint.truth()
    assert truth["since_s"] == reset.json()["since_s"]
    assert truth["counts"]["requests"] == truth["counts"]["ok"] == 1
    assert truth["output_tokens"] == 2


async def test_lines_since_the_last_one_seen(start: Any) -> None:
    endpoint = await start()
    await endpoint.stream()
    (first,) = await endpoint.lines()
    await endpoint.stream()
    assert [line["number"] for line in await endpoint.lines(since=first["end_s"])] == [2]
    bad = await endpoint.client.get("/truth/requests", params={"since": "yesterday"})
    assert bad.status_code == 400


async def test_headers_are_recorded_when_asked_for(start: Any) -> None:
    endpoint = await start(record_headers=("x-request-id", "x-cell"))
    await endpoint.post(headers={"X-Cell": "c-4", "X-Other": "no"})
    assert (await endpoint.lines())[0]["headers"] == {"x-cell": "c-4"}


async def test_headers_with_secrets_are_never_recorded(start: Any) -> None:
    with pytest.raises(ConfigError, match="holds a secret"):
        await start(record_headers=("Authorization",))


async def test_in_flight_and_its_mean_come_from_all_requests(start: Any) -> None:
    endpoint = await start(latency=LatencyModel(ttft_s=0.03, tpot_s=0.001))
    await asyncio.gather(*(endpoint.stream() for _ in range(6)))
    lines = await endpoint.lines()
    assert sorted(line["in_flight"] for line in lines) == [1, 2, 3, 4, 5, 6]
    truth = await endpoint.truth()
    assert truth["peak_in_flight"] == 6
    spent = sum(line["end_s"] - line["arrival_s"] for line in lines)
    assert truth["mean_in_flight"] == pytest.approx(spent / truth["span_s"])
    assert truth["output_tok_s"] == pytest.approx(30 / truth["span_s"])


async def test_every_token_of_slow_and_fast_streams_is_written_in_time_order(start: Any) -> None:
    endpoint = await start(latency=LatencyModel(ttft_s=0.005, tpot_s=0.0001))
    everyone = await asyncio.gather(*(endpoint.stream(max_tokens=300) for _ in range(8)))
    for seen in everyone:
        # Late tokens share a write, but each keeps an event of its own.
        assert len(seen.content) == 300
        assert "".join(seen.content).startswith(" the tide comes in and goes out again")
    assert {line["written_tokens"] for line in await endpoint.lines()} == {300}


async def test_an_unwritable_record_is_refused_at_the_start(start: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write the record"):
        await start(record=tmp_path / "missing" / "record.jsonl")


def test_the_memory_of_the_record_is_bounded() -> None:
    record = Record(None, lines_kept=2)
    for number in range(5):
        record.add(RequestTruth(number, str(number), "/", 1, 0.0, 0.0))
    assert [truth.number for truth in record.kept()] == [3, 4]
    assert record.dropped == 3
