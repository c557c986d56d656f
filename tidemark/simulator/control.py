"""The pages beside the inference API: health, models, metrics, the truth, the faults."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from tidemark.errors import ConfigError
from tidemark.simulator import truth
from tidemark.simulator.asks import KINDS
from tidemark.simulator.faults import rule_from_json
from tidemark.simulator.http_messages import Request, error_body

if TYPE_CHECKING:
    from tidemark.simulator.service import Service

_METHODS = {
    "/health": ("GET",),
    "/metrics": ("GET",),
    "/v1/models": ("GET",),
    "/truth": ("GET",),
    "/truth/requests": ("GET",),
    "/truth/reset": ("POST",),
    "/faults": ("GET", "PUT"),
    **dict.fromkeys(KINDS, ("POST",)),
}


@dataclass(frozen=True, slots=True)
class Page:
    """A whole answer."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[str, str], ...] = ()


def page(service: Service, request: Request) -> Page | None:
    """The page a request asks for; None when there is none of that path."""
    methods = _METHODS.get(request.path)
    if methods is None:
        return None
    if request.method not in methods:
        message = f"{request.path} takes {' or '.join(methods)}."
        return _refusal(message, 405, headers=(("allow", ", ".join(methods)),))
    match request.path:
        case "/health":
            return Page(200, b"{}")
        case "/metrics":
            return Page(200, _metrics(service), b"text/plain; version=0.0.4; charset=utf-8")
        case "/v1/models":
            return _json(_models(service))
        case "/truth":
            return _json(_truth(service))
        case "/truth/requests":
            return _lines(service, request.query)
        case "/truth/reset":
            service.mark()
            return _json({"since_s": service.marked_s})
    return _put_faults(service, request.body) if request.method == "PUT" else _faults(service)


def _json(document: object) -> Page:
    return Page(200, json.dumps(document).encode())


def _refusal(message: str, status: int, headers: tuple[tuple[str, str], ...] = ()) -> Page:
    return Page(status, error_body(message, kind="invalid_request_error"), headers=headers)


def _models(service: Service) -> dict[str, object]:
    model = {
        "id": service.config.served_model or "simulated",
        "object": "model",
        "created": int(service.config.created),
        "owned_by": "tidemark",
    }
    return {"object": "list", "data": [model]}


def _metrics(service: Service) -> bytes:
    """A few of vLLM's metrics, by its names, in Prometheus' text format."""
    label = json.dumps(service.config.served_model or "simulated")
    admission = service.admission
    written: list[str] = []
    for name, kind, value in (
        ("vllm:num_requests_running", "gauge", admission.running),
        ("vllm:num_requests_waiting", "gauge", admission.waiting),
        ("vllm:prompt_tokens_total", "counter", service.prompt_tokens),
        ("vllm:generation_tokens_total", "counter", service.generation_tokens),
        ("vllm:request_success_total", "counter", service.finished),
    ):
        written.append(f"# TYPE {name} {kind}\n{name}{{model_name={label}}} {value}\n")
    return "".join(written).encode()


def _truth(service: Service) -> dict[str, object]:
    now = time.monotonic()
    summary = truth.summary(
        finished=service.record.kept(),
        in_flight=[answer.truth for answer in service.admission.answers()],
        since_s=service.marked_s,
        now_s=now,
    )
    wall_s = now - service.marked_s
    cpu_s = time.process_time() - service.marked_cpu_s
    return {
        **summary,
        "peak_in_flight": service.admission.peak,
        "waiting": service.admission.waiting,
        "lines_dropped": service.record.dropped,
        "process": {"wall_s": wall_s, "cpu_s": cpu_s, "cpu_share": cpu_s / max(wall_s, 1e-9)},
        "latency": service.config.latency.as_json(),
        "prompt_tokens_counted_by": service.counter.name,
        "faults": [rule.as_json() for rule in service.faults.rules],
    }


def _lines(service: Service, query: str) -> Page:
    given = parse_qs(query).get("since", ["-inf"])[-1]
    try:
        since_s = float(given)
    except ValueError:
        since_s = math.nan
    if math.isnan(since_s):
        return _refusal("`since` must be a time in monotonic seconds.", 400)
    lines = [
        json.dumps(one.as_json())
        for one in service.record.kept()
        if one.end_s is not None and one.end_s > since_s
    ]
    return Page(200, "".join(f"{line}\n" for line in lines).encode(), b"application/x-ndjson")


def _faults(service: Service) -> Page:
    rules = [rule.as_json() for rule in service.faults.rules]
    return _json({"rules": rules, "requests_seen": service.faults.seen})


def _put_faults(service: Service, body: bytes) -> Page:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return _refusal("The body is not valid JSON.", 400)
    given = document.get("rules") if isinstance(document, dict) else document
    if not isinstance(given, list):
        return _refusal('Send {"rules": [...]} or a list of rules.', 400)
    try:
        rules = tuple(rule_from_json(rule, f"rules[{index}]") for index, rule in enumerate(given))
    except ConfigError as error:
        return _refusal(str(error), 400)
    service.faults.replace(rules)
    return _faults(service)
