"""Answers: ordinary ones, refusals, and what a scenario makes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tidemark.simulator.pai.asked import Answer, Asked
from tidemark.simulator.pai.scenario import CallEffect
from tidemark.simulator.pai.wire import WireError

__all__ = ["affected", "done", "failure", "lost", "refusal"]


def done(document: Mapping[str, Any], request_id: str) -> Answer:
    """What a handler answered, with the request's id."""
    return Answer(200, _json({**document, "RequestId": request_id}), _headers(request_id))


def refusal(error: WireError, asked: Asked, request_id: str) -> Answer:
    """An error as all services word it."""
    document = {
        "Code": error.code,
        "Message": error.message,
        "RequestId": request_id,
        "HostId": asked.header("host"),
        "Recommend": f"https://api.aliyun.com/troubleshoot?q={error.code}",
        **error.extra,
    }
    headers = {**_headers(request_id), **error.headers}
    return Answer(error.status, _json(document), headers, reached=False)


def lost(request_id: str, *, reached: bool) -> Answer:
    """A head that promises more than comes."""
    return Answer(
        200, b"", {**_headers(request_id), "content-length": "1"}, lost=True, reached=reached
    )


def failure(effect: CallEffect, request_id: str) -> Answer | None:
    """What a scenario answers in the service's stead, None if it leaves the call to the service.
    Raises WireError for what the service words itself."""
    if effect.html is not None:
        page = f"<html><head><title>{effect.html}</title></head><body>Bad gateway</body></html>"
        headers = {**_headers(request_id), "content-type": "text/html"}
        return Answer(effect.html, page.encode(), headers, reached=False)
    throttle, error = effect.throttle, effect.error
    if throttle is not None:
        hints = {
            "x-acs-retry-after": throttle.retry_after_ms,
            "retry-after": throttle.retry_after_s,
        }
        raise WireError(
            throttle.status,
            throttle.code,
            "Request was denied due to user flow control.",
            headers={name: str(hint) for name, hint in hints.items() if hint is not None},
        )
    if error is not None:
        raise WireError(error.status, error.code, error.message)
    return None


def affected(answer: Answer, effect: CallEffect | None, request_id: str) -> Answer:
    """What becomes of an answer on its way back."""
    if effect is None:
        return answer
    if effect.lost == "answer":
        # Also a refusal can get lost.
        answer = lost(request_id, reached=answer.reached)
    return replace(answer, late_s=effect.slow_s or 0.0)


def _headers(request_id: str) -> dict[str, str]:
    return {"x-acs-request-id": request_id}


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
