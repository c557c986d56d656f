"""One look before any load: the store, the tokenizer, and one real request."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from prefect import task
from prefect.cache_policies import NO_CACHE
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from tasks.log import logger
from tasks.room import Room
from tidemark.errors import EndpointError, PlanError
from tidemark.inputs import check_inputs
from tidemark.plan.scenario import parse_scenario
from tidemark.plan.sweep import SweepPlan
from tidemark.results.redact import Redactor

__all__ = ["Preflight", "check_store", "preflight", "probe_endpoint"]

PROBE_TOKENS = 16
CONNECT_TIMEOUT_S = 10.0
PROBES = 5
ERROR_BODY_BYTES = 20_000
ERROR_CHARACTERS = 300
PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class _PassingError(EndpointError):
    """An answer that the next request may not get."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What one real request showed. Times are seconds; None where the answer is not streamed."""

    ttft_s: float | None
    tpot_s: float | None
    e2e_s: float
    usage: bool

    def service_time_s(self, scenario: str) -> float:
        """How long one request of a scenario will take, as far as one short request can tell."""
        tokens = parse_scenario(scenario).mean_output_tokens
        if tokens is None or self.ttft_s is None or self.tpot_s is None:
            return self.e2e_s
        return self.ttft_s + self.tpot_s * max(0.0, tokens - 1)


@task(name="check the store", cache_policy=NO_CACHE)
async def check_store(room: Room) -> None:
    """See that the store can be written, read and listed, and send what waits for it.

    Raises StoreError.
    """
    probe = await asyncio.to_thread(room.store.probe)
    for note in probe.notes:
        logger().info("store: %s", note)
    sent = await asyncio.to_thread(room.store.send)
    if sent.files:
        logger().info("store: %d files that had waited for it are sent", sent.files)
    for left in sent.left:
        logger().warning("store: %s is not sent: %s", left.path, left.reason)


@task(name="preflight", cache_policy=NO_CACHE)
async def preflight(room: Room) -> Preflight:
    """Check tokenizer and data set, and send one request, before any load. Raises TidemarkError."""
    check_inputs(room.plan)
    probe = await probe_endpoint(room.plan, room.secrets)
    logger().info("preflight: the endpoint answered in %.3f s", probe.e2e_s)
    return probe


async def probe_endpoint(
    plan: SweepPlan,
    secrets: Mapping[str, str],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Preflight:
    """Send one short request of the plan's task. Raises EndpointError with what to do.

    A service that sometimes answers with errors is one to measure: it is asked a few times.
    """
    endpoint = plan.endpoint
    if not endpoint.url or not endpoint.model:
        field = "model" if endpoint.url else "url"
        raise PlanError(
            f"the endpoint has no {field}",
            f"endpoint.{field}",
            f"Give it in the plan or by --{field}",
        )
    headers = {
        name: secrets.get(str(value), str(value)) for name, value in endpoint.headers.items()
    }
    if endpoint.api_key:
        headers["Authorization"] = f"Bearer {secrets[str(endpoint.api_key)]}"
    where = endpoint.url
    try:
        verify: ssl.SSLContext | bool = (
            ssl.create_default_context(cafile=endpoint.ca_file) if endpoint.ca_file else True
        )
    except (OSError, ssl.SSLError) as error:
        raise EndpointError(
            f"the CA file cannot be used ({error})",
            f"endpoint.ca_file: {endpoint.ca_file}",
            "Give a file with certificates in PEM form",
        ) from error
    redactor = Redactor(secrets.values())
    timeout = httpx.Timeout(plan.limits.stall_timeout_s, connect=CONNECT_TIMEOUT_S)
    longest_s = 2.0 * plan.limits.stall_timeout_s + CONNECT_TIMEOUT_S
    async with httpx.AsyncClient(
        base_url=endpoint.url,
        headers=headers,
        verify=verify,
        timeout=timeout,
        proxy=endpoint.proxy,
        trust_env=False,
    ) as client:
        try:
            async for attempt in AsyncRetrying(
                stop=stop_after_attempt(PROBES),
                wait=wait_exponential(multiplier=0.25, max=2.0),
                retry=retry_if_exception_type((_PassingError, httpx.RemoteProtocolError)),
                sleep=sleep,
                reraise=True,
            ):
                with attempt:
                    async with asyncio.timeout(longest_s):
                        probe: Preflight = await _PROBES[plan.task](client, plan, clock)
            return probe
        except EndpointError as error:
            # Before it reaches any log: a service may have sent back what it was sent.
            raise EndpointError(
                _short(redactor.text(error.what)),
                error.where,
                _short(redactor.text(error.remedy or "")),
            ) from None
        except TimeoutError as error:
            raise EndpointError(
                f"a request of {PROBE_TOKENS} tokens was not answered to its end within "
                f"{longest_s:g} s",
                where,
                "Check that the service ends its answers, or raise limits.stall_timeout_s",
            ) from error
        except httpx.ConnectError as error:
            raise EndpointError(
                f"no connection ({error})", where, "Check host and port, and that the service runs"
            ) from error
        except httpx.TimeoutException as error:
            raise EndpointError(
                f"no answer within {plan.limits.stall_timeout_s:g} s ({type(error).__name__})",
                where,
                "Check that the service is ready, or raise limits.stall_timeout_s",
            ) from error
        except httpx.LocalProtocolError:
            # Its words would show the header.
            raise EndpointError(
                "the key or a header holds characters that HTTP does not allow",
                "endpoint.api_key, endpoint.headers",
                "Correct what the reference leads to",
            ) from None
        except httpx.HTTPError as error:
            raise EndpointError(
                f"the request broke off ({type(error).__name__}: {error})",
                where,
                "Check that this is an HTTP service of the kind the plan names",
            ) from error


async def _probe_chat(
    client: httpx.AsyncClient, plan: SweepPlan, clock: Callable[[], float]
) -> Preflight:
    body: dict[str, Any] = {
        **plan.request,
        "model": plan.endpoint.model,
        "messages": [{"role": "user", "content": "Count the waves that reach the shore."}],
        "max_tokens": PROBE_TOKENS,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if plan.endpoint.dialect != "openai":
        body["ignore_eos"] = True
    started, first, usage = clock(), None, None
    async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        await _refuse_errors(client, plan, answer)
        async for line in answer.aiter_lines():
            if not line.startswith("data:") or line.endswith("[DONE]"):
                continue
            try:
                chunk = json.loads(line[5:])
            except ValueError as error:
                raise EndpointError(
                    "the stream holds no JSON", str(client.base_url), "Is this an LLM service?"
                ) from error
            if chunk.get("error"):
                raise _PassingError(
                    f"the stream carried an error: {chunk['error']}",
                    str(client.base_url),
                    "Mend the service, then run again",
                )
            delta = (chunk.get("choices") or [{}])[0].get("delta") or {}
            text = delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning")
            if text and first is None:
                first = clock()
            usage = chunk.get("usage") or usage
    ended = clock()
    if first is None:
        raise EndpointError(
            "the answer held no text",
            str(client.base_url),
            "Check that the model generates text for a chat request",
        )
    if not usage and plan.token_counts == "server":
        raise EndpointError(
            "the server reports no usage, so tokens cannot be counted",
            "token_counts",
            "Switch usage in streams on in the server, or set token_counts: tokenizer "
            "(counts are then estimates)",
        )
    tokens = int((usage or {}).get("completion_tokens") or 0)
    tpot = (ended - first) / (tokens - 1) if tokens > 1 else None
    return Preflight(first - started, tpot, ended - started, bool(usage))


def _whole(path: str, body: Callable[[SweepPlan], dict[str, Any]]) -> Any:
    async def probe(
        client: httpx.AsyncClient, plan: SweepPlan, clock: Callable[[], float]
    ) -> Preflight:
        started = clock()
        async with client.stream(
            "POST", path, json={**plan.request, "model": plan.endpoint.model, **body(plan)}
        ) as answer:
            await _refuse_errors(client, plan, answer)
            await answer.aread()
        return Preflight(None, None, clock() - started, True)

    return probe


_PROBES: dict[str, Any] = {
    "text-to-text": _probe_chat,
    "image-text-to-text": _probe_chat,
    "text-to-embeddings": _whole("/v1/embeddings", lambda _: {"input": ["a tide comes in"]}),
    "text-to-rerank": _whole(
        "/v1/rerank", lambda _: {"query": "tide", "documents": ["a tide comes in"]}
    ),
    "text-to-image": _whole("/v1/images/generations", lambda _: {"prompt": "a tide", "n": 1}),
    "text-to-speech": _whole("/v1/audio/speech", lambda _: {"input": "a tide", "voice": "alloy"}),
}


async def _refuse_errors(
    client: httpx.AsyncClient, plan: SweepPlan, answer: httpx.Response
) -> None:
    if answer.status_code == 200:
        return
    text = (await _beginning(answer)).decode("utf-8", "replace")
    remedies = {
        401: "Give the key as a reference in endpoint.api_key, such as env:MY_KEY",
        403: "The key has no right to use this model",
        404: await _models(client, plan),
        422: "The service does not accept these request parameters: see `request` in the plan",
        400: "The service does not accept these request parameters: see `request` in the plan",
        429: "The service limits the rate: wait, or measure where no limit applies",
    }
    remedy = remedies.get(answer.status_code, "Mend the service, then run again")
    kind = _PassingError if answer.status_code in PASSING_STATUSES else EndpointError
    raise kind(
        f"the service answered {answer.status_code}: {text}", str(answer.request.url), remedy
    )


def _short(text: str) -> str:
    """Cut only after secrets are out of it, so that none is left in half."""
    return text if len(text) <= ERROR_CHARACTERS else text[:ERROR_CHARACTERS] + "…"


async def _beginning(answer: httpx.Response) -> bytes:
    """An error's body, or as much of it as anyone reads."""
    read = b""
    async for block in answer.aiter_bytes():
        read += block
        if len(read) >= ERROR_BODY_BYTES:
            break
    return read[:ERROR_BODY_BYTES]


async def _models(client: httpx.AsyncClient, plan: SweepPlan) -> str:
    try:
        answer = await client.get("/v1/models")
        names = [item["id"] for item in answer.json()["data"]]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return "Check endpoint.url: the path /v1/chat/completions is added to it"
    if plan.endpoint.model in names:
        return "The model is served, but not for this task"
    return f"The service serves {', '.join(names[:10])}: correct endpoint.model"
