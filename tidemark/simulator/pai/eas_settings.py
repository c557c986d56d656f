"""The body of CreateBenchmarkTask and UpdateBenchmarkTask (EAS, 2021-07-01), read and checked.

Five sections: base, service, data, http, optional. Fields that are not known here are kept.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from tidemark.simulator.pai.eas_deployed import ServiceTruth
from tidemark.simulator.pai.eas_reports import Load, Stretch, steady
from tidemark.simulator.pai.json_text import json_value
from tidemark.simulator.pai.phases import at
from tidemark.simulator.pai.wire import refuse

__all__ = ["TaskSettings", "read_body", "read_settings"]

_SECTIONS = ("base", "service", "data", "http", "optional")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}\Z")
_MODES = ("auto", "scan", "manual")
_REQUEST_BYTES = 512
_MOST_MANUAL_S = 1200


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """What a task is to do, with the service's defaults filled in.

    Times are in seconds where they end in `_s`, in ms where they end in `_ms`; `concurrency` is
    per agent. `document` is the body as it was sent, for updates.
    """

    document: Mapping[str, Any] = field(repr=False)
    name: str
    service_name: str
    service_url: str
    token: str = field(repr=False)
    duration_s: int
    agents: int
    concurrency: int
    qps: int
    timeout_ms: float
    request_bytes: int
    mode: str
    adjust_interval_s: int
    min_qps: int
    max_qps: int | None
    max_rt_ms: float | None
    qps_growth: int
    fault_tolerate: float
    fault_action: str

    def updated(self, changes: Mapping[str, Any]) -> TaskSettings:
        """These with the sections `base` and `optional` of an update. Refuses other sections."""
        for section, fields in changes.items():
            if section not in ("base", "optional") or not isinstance(fields, Mapping):
                _invalid(f"{section} of a task cannot be updated")
            if "name" in fields:
                _invalid("the name of a task cannot be updated")
        merged = dict(self.document)
        for section, fields in changes.items():
            merged[section] = {**(merged.get(section) or {}), **fields}
        return replace(read_settings(merged), name=self.name, token=self.token)

    def load(self, qps: float, *, authorized: bool) -> Load:
        """What all agents together put on the service when they send at most `qps`."""
        connections = self.agents * self.concurrency
        return Load(connections, qps, self.timeout_ms, self.request_bytes, authorized)

    def plan(
        self, truth: ServiceTruth, start_s: float, *, authorized: bool
    ) -> tuple[list[Stretch], float]:
        """The loads from `start_s` on, and for how many seconds.

        Manual tasks send `qps` all the time. Others begin with `min_qps` and grow by
        `qps_growth` every `adjust_interval_s`. Where p99 exceeds `max_rt_ms`, or the share of
        errors `fault_tolerate`, mode auto goes one step back and stays there, or ends the task
        if `fault_action` is `stop`; mode scan goes on.
        """
        stretches: list[Stretch] = []
        for number, qps in enumerate(self._steps()):
            since_s = start_s + number * self.adjust_interval_s
            load = self.load(qps, authorized=authorized)
            stretches.append(Stretch(since_s, load))
            if self.mode != "auto" or not self._too_much(truth, load):
                continue
            if self.fault_action == "stop":
                ran_s = since_s + self.adjust_interval_s - start_s
                return stretches, min(float(self.duration_s), ran_s)
            back_s = since_s + self.adjust_interval_s
            before = at(stretches, since_s - self.adjust_interval_s).load
            stretches.append(Stretch(back_s, before))
            break
        return stretches, float(self.duration_s)

    def _steps(self) -> Iterator[float]:
        if self.mode == "manual":
            yield self.qps
            return
        most = self.qps if self.max_qps is None else min(self.qps, self.max_qps)
        for number in range(-(-self.duration_s // self.adjust_interval_s)):
            qps = min(most, self.min_qps + number * self.qps_growth)
            yield qps
            if qps == most:
                return

    def _too_much(self, truth: ServiceTruth, load: Load) -> bool:
        there = steady(truth, load)
        if there.error_share > self.fault_tolerate:
            return True
        return self.max_rt_ms is not None and there.quantile_ms(0.99) > self.max_rt_ms


def read_body(body: bytes) -> dict[str, Any]:
    """The body as a JSON object; also when it comes as a JSON text that holds one."""
    try:
        document = json_value(body)
        if isinstance(document, str):
            document = json_value(document)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        refuse(400, "InvalidParameter", "The request body is not a JSON object.")
    return document


def read_settings(document: Mapping[str, Any]) -> TaskSettings:
    """Settings from the body of CreateBenchmarkTask. Refuses with InvalidParameter."""
    sections: dict[str, _Section] = {}
    for name in _SECTIONS:
        fields = document.get(name)
        if fields is not None and not isinstance(fields, Mapping):
            _invalid(f"{name} must be an object")
        sections[name] = _Section(name, fields or {})
    base, service, data, http, optional = (sections[name] for name in _SECTIONS)
    name = base.text("name")
    if name and not _NAME.match(name):
        _invalid("base.name may have letters, digits, hyphens and underscores only")
    service_name, url = service.text("serviceName"), service.text("serviceUrl")
    if not service_name and not url:
        _invalid("service.serviceName or service.serviceUrl must be given")
    if url and not url.startswith(("http://", "https://")):
        _invalid("service.serviceUrl must begin with http:// or https://")
    mode = optional.choice("mode", _MODES)
    manual = optional if mode == "manual" else None
    duration = manual and (manual.number("duration") or base.number("duration") or 600)
    if duration and duration > _MOST_MANUAL_S:
        _invalid(f"optional.duration must not exceed {_MOST_MANUAL_S}")
    agents = manual and (manual.number("agentCount") or base.number("agentCount") or 1)
    concurrency = manual and (manual.number("concurrency") or base.number("concurrency") or 2)
    return TaskSettings(
        document=document,
        name=name,
        service_name=service_name,
        service_url=url,
        token=service.text("requestToken"),
        duration_s=duration or base.number("duration") or 1200,
        agents=agents or base.number("agentCount") or 1,
        concurrency=concurrency or base.number("concurrency") or 40,
        qps=base.number("qps") or 10_000,
        timeout_ms=http.number("timeout") or 20_000,
        request_bytes=_request_bytes(data),
        mode=mode,
        adjust_interval_s=optional.number("adjustInterval") or 60,
        min_qps=optional.number("minQPS") or 100,
        max_qps=optional.number("maxQPS"),
        max_rt_ms=optional.number("maxRT") or optional.number("maxRt"),
        qps_growth=optional.number("qpsGrowthDelta") or 50,
        fault_tolerate=optional.share("faultTolerate", 0.001),
        fault_action=optional.choice("faultAction", ("revise", "stop")),
    )


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    fields: Mapping[str, Any]

    def text(self, name: str) -> str:
        value = self.fields.get(name)
        if value is not None and not isinstance(value, str):
            _invalid(f"{self.name}.{name} must be a text")
        return value or ""

    def number(self, name: str) -> int | None:
        """A whole number above 0, None where there is none."""
        value = self.fields.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            _invalid(f"{self.name}.{name} must be a whole number above 0")
        return value

    def share(self, name: str, default: float) -> float:
        value = self.fields.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            _invalid(f"{self.name}.{name} must be a number from 0 to 1")
        return float(value)

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """One of `allowed`, the first where there is none."""
        value = self.text(name) or allowed[0]
        if value not in allowed:
            _invalid(f"{self.name}.{name} must be one of {', '.join(allowed)}")
        return value


def _request_bytes(data: _Section) -> int:
    path, content = data.text("path"), data.text("content")
    if not path and not content:
        _invalid("data.path or data.content must be given")
    for url in path.split(",") if path else ():
        if not url.strip().startswith(("http://", "https://", "oss://")):
            _invalid("data.path must name http, https or oss addresses")
    if not content:
        return _REQUEST_BYTES
    try:
        return len(base64.b64decode(content, validate=True))
    except (binascii.Error, ValueError):
        _invalid("data.content must be base64")


def _invalid(what: str) -> NoReturn:
    refuse(400, "InvalidParameter", f"Invalid benchmark task configuration: {what}.")
