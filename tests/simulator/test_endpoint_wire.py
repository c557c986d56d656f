"""What clients read, route by route."""

from __future__ import annotations

import asyncio
import base64
import struct
from typing import Any

import pytest

from tidemark.simulator.latency import LatencyModel


async def test_chat_stream_has_role_tokens_reason_usage_and_done(start: Any) -> None:
    endpoint = await start()
    seen = await endpoint.stream(max_tokens=4)
    assert seen.status == 200
    assert seen.headers["content-type"].startswith("text/event-stream")
    role, *tokens, finish, usage = seen.documents
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [one["choices"][0]["delta"]["content"] for one in tokens] == [
        " the",
        " tide",
        " comes",
        " in",
    ]
    assert finish["choices"][0] == {
        "index": 0,
        "delta": {},
        "logprobs": None,
        "finish_reason": "length",
    }
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 4
    assert seen.events[-1] == "[DONE]"
    assert {one["id"] for one in seen.documents} == {seen.headers["x-request-id"]}
    assert {one["object"] for one in seen.documents} == {"chat.completion.chunk"}
    assert {one["model"] for one in seen.documents} == {"m"}


async def test_usage_in_a_stream_only_when_asked_for(start: Any) -> None:
    endpoint = await start()
    assert (await endpoint.stream(stream_options=None)).usage is None
    assert (await endpoint.stream(stream_options={"include_usage": False})).usage is None
    assert (await endpoint.stream()).usage is not None


async def test_streams_of_one_shape_keep_their_own_ids(start: Any) -> None:
    endpoint = await start()
    first, second = await endpoint.stream(), await endpoint.stream()
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    for seen in (first, second):
        assert {one["id"] for one in seen.documents} == {seen.headers["x-request-id"]}


async def test_whole_chat_answer(start: Any) -> None:
    endpoint = await start()
    answer = await endpoint.post(max_tokens=3)
    document = answer.json()
    assert document["object"] == "chat.completion"
    assert document["id"] == answer.headers["x-request-id"]
    choice = document["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": " the tide comes"}
    assert choice["finish_reason"] == "length"
    assert document["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 3,
        "total_tokens": 6,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
        "counted_by": "word_estimate",
    }


async def test_completions_streamed_and_whole(start: Any) -> None:
    endpoint = await start()
    seen = await endpoint.stream("/v1/completions", max_tokens=3)
    assert seen.content == [" the", " tide", " comes"]
    assert {one["object"] for one in seen.documents} == {"text_completion"}
    assert seen.documents[-2]["choices"][0]["finish_reason"] == "length"
    answer = await endpoint.post("/v1/completions", max_tokens=3)
    assert answer.json()["choices"][0]["text"] == " the tide comes"


async def test_a_prompt_of_token_ids_is_counted_exactly(start: Any) -> None:
    endpoint = await start()
    answer = await endpoint.post("/v1/completions", prompt=[5, 6, 7, 8])
    assert answer.json()["usage"]["prompt_tokens"] == 4


async def test_the_newer_name_of_the_length_wins(start: Any) -> None:
    endpoint = await start()
    answer = await endpoint.post(max_tokens=9, max_completion_tokens=2)
    assert answer.json()["usage"]["completion_tokens"] == 2


async def test_default_length_when_none_is_named(start: Any) -> None:
    endpoint = await start(default_output_tokens=7)
    answer = await endpoint.post(max_tokens=None)
    assert answer.json()["usage"]["completion_tokens"] == 7


async def test_reasoning_tokens_come_first_and_are_counted(start: Any) -> None:
    endpoint = await start(reasoning_tokens=2)
    seen = await endpoint.stream(max_tokens=5)
    fields = [next(name for name in one["choices"][0]["delta"]) for one in seen.documents[1:6]]
    assert fields == ["reasoning_content"] * 2 + ["content"] * 3
    assert seen.usage["completion_tokens"] == 5
    assert seen.usage["completion_tokens_details"] == {"reasoning_tokens": 2}
    message = (await endpoint.post(max_tokens=5)).json()["choices"][0]["message"]
    assert message["reasoning_content"] == " the tide"
    assert message["content"] == " comes in and"
    # Plain completions have no place for reasoning.
    plain = await endpoint.stream("/v1/completions", max_tokens=5)
    assert plain.usage["completion_tokens_details"] == {"reasoning_tokens": 0}


async def test_several_tokens_per_event(start: Any) -> None:
    endpoint = await start(tokens_per_chunk=4)
    seen = await endpoint.stream(max_tokens=10)
    assert [text.count(" ") for text in seen.content] == [1, 4, 4, 1]
    assert seen.usage["completion_tokens"] == 10
    (line,) = await endpoint.lines()
    assert (line["chunks"], line["written_tokens"]) == (4, 10)


async def test_events_do_not_mix_reasoning_and_content(start: Any) -> None:
    endpoint = await start(tokens_per_chunk=4, reasoning_tokens=3)
    seen = await endpoint.stream(max_tokens=9)
    assert [text.count(" ") for text in seen.content] == [1, 2, 4, 2]


async def test_embeddings(start: Any) -> None:
    endpoint = await start()
    body = {"model": "e", "input": ["low water", "slack"], "dimensions": 3}
    answer = await endpoint.client.post("/v1/embeddings", json=body)
    document = answer.json()
    assert [one["index"] for one in document["data"]] == [0, 1]
    assert [len(one["embedding"]) for one in document["data"]] == [3, 3]
    assert document["usage"]["prompt_tokens"] == 4
    packed = await endpoint.client.post(
        "/v1/embeddings", json={**body, "encoding_format": "base64"}
    )
    first = base64.b64decode(packed.json()["data"][0]["embedding"])
    assert list(struct.unpack("<3f", first)) == document["data"][0]["embedding"]


async def test_rerank(start: Any) -> None:
    endpoint = await start()
    body = {"model": "r", "query": "tide", "documents": ["ebb", "flow", "slack"]}
    document = (await endpoint.client.post("/v1/rerank", json=body)).json()
    assert [one["index"] for one in document["results"]] == [0, 1, 2]
    scores = [one["relevance_score"] for one in document["results"]]
    assert scores == sorted(scores, reverse=True)
    assert document["usage"]["prompt_tokens"] > 0


async def test_models_and_health(start: Any) -> None:
    endpoint = await start(served_model="reef-8b")
    models = (await endpoint.client.get("/v1/models")).json()
    assert [one["id"] for one in models["data"]] == ["reef-8b"]
    assert (await endpoint.client.get("/health")).status_code == 200


async def test_metrics_count_tokens_and_requests(start: Any) -> None:
    endpoint = await start()
    await endpoint.stream(max_tokens=5)
    await endpoint.post(max_tokens=4)
    text = (await endpoint.client.get("/metrics")).text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    label = '{model_name="simulated"}'
    assert values[f"vllm:generation_tokens_total{label}"] == "9"
    assert values[f"vllm:prompt_tokens_total{label}"] == "6"
    assert values[f"vllm:request_success_total{label}"] == "2"
    assert values[f"vllm:num_requests_running{label}"] == "0"
    assert values[f"vllm:num_requests_waiting{label}"] == "0"


@pytest.mark.parametrize("shown", [None, "Bearer not-the-key", "fake-key-for-tests"])
async def test_a_wrong_key_is_refused_as_openai_does(start: Any, shown: str | None) -> None:
    endpoint = await start(api_key_env="KEY", environ={"KEY": "fake-key-for-tests"})
    answer = await endpoint.post(headers={"authorization": shown} if shown else None)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert (await endpoint.client.get("/v1/models")).status_code == 401
    # Whoever probes or watches the endpoint needs no key.
    assert (await endpoint.client.get("/health")).status_code == 200


async def test_the_right_key_is_let_in(start: Any) -> None:
    endpoint = await start(api_key_env="KEY", environ={"KEY": "fake-key-for-tests"})
    answer = await endpoint.post(headers={"authorization": "Bearer fake-key-for-tests"})
    assert answer.status_code == 200


async def test_another_model_than_the_served_one_is_not_found(start: Any) -> None:
    endpoint = await start(served_model="reef-8b")
    answer = await endpoint.post(model="other")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert (await endpoint.post(model="reef-8b")).status_code == 200


async def test_connection_is_kept_or_closed_as_the_client_wishes(start: Any) -> None:
    endpoint = await start()
    await endpoint.stream()
    await endpoint.stream()
    closing = await endpoint.stream(headers={"connection": "close"})
    assert closing.headers["connection"] == "close"
    assert closing.events[-1] == "[DONE]"
    await endpoint.post()
    numbers = [line["connection"] for line in await endpoint.lines()]
    assert numbers[0] == numbers[1] == numbers[2] != numbers[3]


async def test_an_http_1_0_client_gets_a_stream_without_chunks(start: Any) -> None:
    endpoint = await start(latency=LatencyModel(ttft_s=0.001, tpot_s=0.001))
    body = b'{"model": "m", "prompt": "x", "max_tokens": 2, "stream": true}'
    head = b"POST /v1/completions HTTP/1.0\r\ncontent-length: %d\r\n\r\n" % len(body)
    answer = await endpoint.raw(head + body)
    assert b"transfer-encoding" not in answer
    assert b"connection: close" in answer
    assert answer.endswith(b"data: [DONE]\n\n")


async def test_expect_100_continue(start: Any) -> None:
    endpoint = await start()
    body = b'{"model": "m", "prompt": "x", "max_tokens": 2}'
    head = (
        b"POST /v1/completions HTTP/1.1\r\nexpect: 100-continue\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n" % len(body)
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    writer.write(head)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()
    await writer.wait_closed()


async def test_pipelined_requests_are_answered_in_order(start: Any) -> None:
    endpoint = await start()
    parts = []
    for number, connection in ((1, "keep-alive"), (2, "keep-alive"), (3, "close")):
        body = b'{"model": "m", "prompt": "x", "stream": true, "max_tokens": %d}' % number
        parts.append(
            b"POST /v1/completions HTTP/1.1\r\nconnection: %s\r\ncontent-length: %d\r\n\r\n%s"
            % (connection.encode(), len(body), body)
        )
    answer = await endpoint.raw(b"".join(parts))
    answers = answer.split(b"HTTP/1.1 200 OK")[1:]
    assert [one.count(b'"text":" ') for one in answers] == [1, 2, 3]
    assert [line["written_tokens"] for line in await endpoint.lines()] == [1, 2, 3]
