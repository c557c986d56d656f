"""Every fault does what its name says, to the requests that were meant."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemark.errors import ConfigError
from tidemark.simulator.faults import (
    FAULT_STATUSES,
    Condition,
    FaultRule,
    Faults,
    rule_from_json,
    rule_from_text,
)
from tidemark.simulator.latency import LatencyModel


@pytest.mark.parametrize("status", FAULT_STATUSES)
async def test_an_http_error_instead_of_an_answer(start: Any, status: int) -> None:
    endpoint = await start(f"status={status},retry_after_s=3")
    seen = await endpoint.post()
    assert seen.status_code == status
    assert seen.json()["error"]["message"]
    assert seen.headers.get("retry-after") == ("3" if status == 429 else None)
    # The connection goes on.
    assert (await endpoint.post()).status_code == status
    first, second = await endpoint.lines()
    assert first["connection"] == second["connection"]
    assert (first["fault"], first["outcome"]) == (f"status_{status}", "error")
    assert (await endpoint.truth())["by_status"] == {str(status): 2}


async def test_an_http_error_can_take_its_time(start: Any) -> None:
    endpoint = await start("status=503,delay_s=0.02")
    assert (await endpoint.post()).status_code == 503
    (line,) = await endpoint.lines()
    assert line["end_s"] - line["arrival_s"] >= 0.02


async def test_an_error_inside_the_stream(start: Any) -> None:
    endpoint = await start("error_in_stream,after_tokens=2,code=507")
    seen = await endpoint.stream()
    assert seen.status == 200
    assert len(seen.content) == 2
    assert seen.documents[-1]["error"]["code"] == 507
    assert seen.usage is None
    (line,) = await endpoint.lines()
    assert (line["status"], line["outcome"], line["written_tokens"]) == (200, "error", 2)
    # The same fault in an answer that is not streamed is an HTTP error.
    assert (await endpoint.post()).status_code == 500


async def test_an_error_before_the_first_token(start: Any) -> None:
    endpoint = await start("error_in_stream")
    seen = await endpoint.stream()
    assert seen.content == []
    assert seen.documents[-1]["error"]["code"] == 500


@pytest.mark.parametrize(("after", "got"), [(1, 1), (3, 3), (4, 4), (99, 4)])
async def test_a_cut_stream(start: Any, after: int, got: int) -> None:
    endpoint = await start(f"cut,after_tokens={after}")
    seen = await endpoint.stream(max_tokens=5)
    assert seen.broken
    assert len(seen.content) == got
    (line,) = await endpoint.lines()
    assert (line["outcome"], line["written_tokens"], line["status"]) == ("cut", got, 200)


async def test_a_connection_cut_before_any_byte(start: Any) -> None:
    endpoint = await start("cut")
    with pytest.raises(httpx.RemoteProtocolError):
        await endpoint.stream()
    (line,) = await endpoint.lines()
    assert (line["outcome"], line["status"], line["sent_bytes"]) == ("cut", None, 0)


async def test_a_cut_body(start: Any) -> None:
    endpoint = await start("cut")
    with pytest.raises(httpx.RemoteProtocolError):
        await endpoint.post()
    assert (await endpoint.lines())[0]["outcome"] == "cut"


async def test_no_usage(start: Any) -> None:
    endpoint = await start("no_usage")
    seen = await endpoint.stream()
    assert len(seen.content) == 5
    assert seen.usage is None
    assert "usage" not in (await endpoint.post()).json()
    body = {"model": "e", "input": "x"}
    assert "usage" not in (await endpoint.client.post("/v1/embeddings", json=body)).json()


@pytest.mark.parametrize("after", [0, 2])
async def test_a_hang_lasts_until_the_client_leaves(start: Any, after: int) -> None:
    endpoint = await start(f"hang,after_tokens={after}")
    asking = asyncio.create_task(endpoint.stream())
    await endpoint.until(lambda truth: truth["output_tokens"] == after)
    await endpoint.until(lambda truth: truth["counts"]["in_flight"] == 1)
    asking.cancel()
    truth = await endpoint.until(lambda truth: truth["counts"]["aborted"] == 1)
    assert truth["by_fault"] == {"hang": 1}
    (line,) = await endpoint.lines()
    assert line["written_tokens"] == after
    assert (line["sent_bytes"] > 0) == (after > 0)


async def test_an_answer_in_one_piece_hangs_too(start: Any) -> None:
    endpoint = await start("hang")
    asking = asyncio.create_task(endpoint.post())
    await endpoint.until(lambda truth: truth["counts"]["in_flight"] == 1)
    asking.cancel()
    await endpoint.until(lambda truth: truth["counts"]["aborted"] == 1)
    (line,) = await endpoint.lines()
    assert (line["sent_bytes"], line["prompt_tokens"]) == (0, 3)


async def test_a_single_token(start: Any) -> None:
    endpoint = await start("single_token")
    seen = await endpoint.stream(max_tokens=50)
    assert seen.content == [" the"]
    assert seen.usage["completion_tokens"] == 1


async def test_a_slow_first_token(start: Any) -> None:
    endpoint = await start("slow_first=8 when every=2")
    await endpoint.stream()
    await endpoint.stream()
    usual, slow = await endpoint.lines()
    assert slow["due_ttft_s"] == pytest.approx(8 * usual["due_ttft_s"])
    assert slow["first_token_s"] - slow["arrival_s"] >= 8 * 0.005
    assert slow["due_tpot_s"] == usual["due_tpot_s"]


async def test_garbage_in_an_event(start: Any) -> None:
    endpoint = await start("garbage,after_tokens=2")
    seen = await endpoint.stream()
    with pytest.raises(json.JSONDecodeError):
        _ = seen.documents
    broken = [event for event in seen.events if event[0] == "{" and event[-1] != "}"]
    assert len(broken) == 1
    assert seen.events.index(broken[0]) == 3  # after the role and two tokens
    assert sum('"content":" ' in event for event in seen.events) == 5
    with pytest.raises(json.JSONDecodeError):
        (await endpoint.post()).json()


async def test_a_fault_comes_after_its_tokens_also_when_events_carry_several(start: Any) -> None:
    endpoint = await start("garbage,after_tokens=2", tokens_per_chunk=4)
    seen = await endpoint.stream(max_tokens=7)
    broken = next(event for event in seen.events if event[0] == "{" and event[-1] != "}")
    before = seen.events[: seen.events.index(broken)]
    assert sum(event.count(" tide") for event in before) == 1
    assert sum(event.count(" comes") for event in before) == 0
    cut = await start("cut,after_tokens=3", tokens_per_chunk=4)
    assert [text.count(" ") for text in (await cut.stream(max_tokens=9)).content] == [1, 2]


async def test_an_empty_answer(start: Any) -> None:
    endpoint = await start("empty")
    seen = await endpoint.stream()
    assert seen.status == 200
    assert seen.content == []
    assert seen.usage["completion_tokens"] == 0
    assert seen.events[-1] == "[DONE]"
    assert (await endpoint.post()).json()["choices"][0]["message"]["content"] == ""
    body = {"model": "e", "input": "x"}
    assert (await endpoint.client.post("/v1/embeddings", json=body)).json()["data"] == []


async def test_every_nth_request(start: Any) -> None:
    endpoint = await start("status=500 when every=3")
    statuses = [(await endpoint.post()).status_code for _ in range(7)]
    assert statuses == [200, 200, 500, 200, 200, 500, 200]


async def test_requests_from_number_to_number(start: Any) -> None:
    endpoint = await start("status=500 when first=2,last=3")
    assert [(await endpoint.post()).status_code for _ in range(4)] == [200, 500, 500, 200]


async def test_by_header_and_by_output_length_and_path(start: Any) -> None:
    endpoint = await start(
        "status=401 when header.X-Cell=b",
        "status=404 when output_tokens=37",
        "status=503 when path=/v1/completions",
    )
    assert (await endpoint.post(headers={"x-cell": "b"})).status_code == 401
    assert (await endpoint.post(headers={"x-cell": "c"})).status_code == 200
    assert (await endpoint.post(max_tokens=37)).status_code == 404
    assert (await endpoint.post("/v1/completions")).status_code == 503


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("in_flight=1", [503, 503, 503, 503]),
        ("in_flight=2", [200, 503, 503, 503]),
        ("in_flight_min=3", [200, 200, 503, 503]),
        ("in_flight=9", [200, 200, 200, 200]),
    ],
)
async def test_by_requests_in_flight(start: Any, condition: str, expected: list[int]) -> None:
    # An error is answered at once, so it does not stay in flight itself.
    endpoint = await start(
        f"status=503 when {condition}", latency=LatencyModel(ttft_s=0.05, tpot_s=0.001)
    )
    answers = await asyncio.gather(*(endpoint.post() for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == expected


async def test_a_probability_is_drawn_from_the_seed(start: Any) -> None:
    async def statuses(seed: int) -> list[int]:
        endpoint = await start(
            "status=500 when probability=0.5", latency=LatencyModel(ttft_s=0, tpot_s=0, seed=seed)
        )
        return [(await endpoint.post(max_tokens=1)).status_code for _ in range(30)]

    first = await statuses(7)
    assert set(first) == {200, 500}
    assert await statuses(7) == first
    assert await statuses(8) != first


async def test_the_first_rule_that_holds_happens(start: Any) -> None:
    endpoint = await start("status=429 when every=2", "status=503")
    assert [(await endpoint.post()).status_code for _ in range(3)] == [503, 429, 503]


async def test_the_weather_changes_at_run_time(start: Any) -> None:
    endpoint = await start()
    assert (await endpoint.client.get("/faults")).json() == {"rules": [], "requests_seen": 0}
    assert (await endpoint.post()).status_code == 200
    rules = [{"kind": "status", "status": 429, "when": {"every": 2}}]
    put = await endpoint.client.put("/faults", json={"rules": rules})
    assert put.status_code == 200
    assert put.json()["rules"][0]["when"] == {"every": 2}
    # Requests are counted anew, so the second from now fails.
    assert [(await endpoint.post()).status_code for _ in range(2)] == [200, 429]
    assert (await endpoint.truth())["faults"] == put.json()["rules"]
    assert (await endpoint.client.put("/faults", json=[])).json()["rules"] == []
    assert (await endpoint.post()).status_code == 200


async def test_bad_rules_are_refused_and_change_nothing(start: Any) -> None:
    endpoint = await start("status=500")
    for body in (b"{", b'"x"', b'{"rules": [{"kind": "nope"}]}', b'[{"kind": "cut", "x": 1}]'):
        refused = await endpoint.client.put("/faults", content=body)
        assert refused.status_code == 400
        assert refused.json()["error"]["message"]
    assert (await endpoint.post()).status_code == 500


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "unknown kind of fault ''"),
        ("explode", "explode"),
        ("status=418", "418"),
        ("status=often", "`status` must be a whole number"),
        ("cut=3", "`cut` takes no value"),
        ("cut,after_tokens=-1", "after_tokens"),
        ("cut,after_tokens=1.5", "after_tokens"),
        ("cut,after=1", "unknown field `after`"),
        ("slow_first=nan", "factor"),
        ("hang when every=0", "every"),
        ("hang when probability=2", "probability"),
        ("hang when moon=full", "unknown field `moon`"),
        ("hang when header.x-cell", "header"),
        ("hang when in_flight=many", "in_flight"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_name(text: str, names: str) -> None:
    with pytest.raises(ConfigError) as refused:
        rule_from_text(text)
    assert names in str(refused.value)


def test_the_notation_says_what_the_json_says() -> None:
    rule = rule_from_text("cut, after_tokens=5 when probability=0.25, header.X-Cell=b, path=/v1/x")
    assert rule == FaultRule(
        kind="cut",
        after_tokens=5,
        when=Condition(probability=0.25, header=("x-cell", "b"), path="/v1/x"),
    )


@given(
    kind=st.sampled_from(["status", "cut", "hang", "slow_first", "garbage"]),
    every=st.none() | st.integers(1, 50),
    probability=st.none() | st.floats(0, 1),
    header=st.none() | st.tuples(st.just("x-cell"), st.text(min_size=1)),
    after_tokens=st.integers(0, 1000),
    factor=st.floats(0, 1e6),
)
def test_a_rule_survives_the_way_through_json(
    kind: Any, every: Any, probability: Any, header: Any, after_tokens: int, factor: float
) -> None:
    when = Condition(every=every, probability=probability, header=header)
    rule = FaultRule(kind=kind, when=when, after_tokens=after_tokens, factor=factor)
    assert rule_from_json(json.loads(json.dumps(rule.as_json())), "here") == rule


def test_a_probability_comes_out_at_about_its_value() -> None:
    faults = Faults((rule_from_text("hang when probability=0.3"),), seed=1)
    hits = sum(
        faults.choose(in_flight=1, output_tokens=1, path="/", headers={}) is not None
        for _ in range(2000)
    )
    assert 540 <= hits <= 660
