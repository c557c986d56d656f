"""A client that signs what it sends to a simulated cloud."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import httpx

from tidemark.alibaba.signing import acs3_authorization, sha256_hex
from tidemark.simulator.pai.app import PaiSimulator

HOST = "pai-dlc.cn-hangzhou.simulator"
DLC = "2020-12-03"


@dataclass
class Pai:
    """A simulator, its clock, and calls to it."""

    simulator: PaiSimulator
    clock: Any
    http: httpx.AsyncClient
    key_id: str = "LTAIsimulator"
    secret: str = "simulator-secret"
    token: str | None = None
    nonces: Any = field(default_factory=lambda: map("nonce-{}".format, itertools.count()))

    def signed(
        self,
        method: str,
        path: str,
        action: str,
        *,
        version: str = DLC,
        query: dict[str, Any] | None = None,
        body: Any = None,
        host: str = HOST,
        at_s: float | None = None,
        nonce: str | None = None,
        changes: dict[str, str | None] | None = None,
        unsigned: tuple[str, ...] = (),
    ) -> httpx.Request:
        """A signed request. `changes` are made to its headers before it is signed; those of
        `unsigned` are sent and not signed."""
        content = b"" if body is None else body
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        moment = datetime.fromtimestamp(self.clock.time() if at_s is None else at_s, UTC)
        headers: dict[str, str | None] = {
            "host": host,
            "accept": "application/json",
            "x-acs-action": action,
            "x-acs-version": version,
            "x-acs-date": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            "x-acs-signature-nonce": nonce or next(self.nonces),
            "x-acs-content-sha256": sha256_hex(content),
            "content-type": "application/json; charset=utf-8" if content else None,
            "x-acs-security-token": self.token,
            **(changes or {}),
        }
        sent = {name: value for name, value in headers.items() if value is not None}
        raw_query = urlencode(query or {})
        sent["authorization"] = acs3_authorization(
            self.key_id,
            self.secret,
            method=method,
            raw_path=path,
            raw_query=raw_query,
            headers={name: value for name, value in sent.items() if name not in unsigned},
            body_sha256=sha256_hex(content),
        )
        address = f"http://{host}{path}" + (f"?{raw_query}" if raw_query else "")
        return httpx.Request(method, address, headers=sent, content=content)

    async def send(self, request: httpx.Request) -> httpx.Response:
        return await self.http.send(request)

    async def call(self, method: str, path: str, action: str, **more: Any) -> httpx.Response:
        return await self.send(self.signed(method, path, action, **more))

    async def ok(self, method: str, path: str, action: str, **more: Any) -> dict[str, Any]:
        answer = await self.call(method, path, action, **more)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def job(self, **changes: Any) -> dict[str, Any]:
        """A body for CreateJob. `spec` holds changes to its only JobSpec."""
        spec = {"Type": "Worker", "Image": "registry.example.com/bench:1", "PodCount": 1}
        spec |= {"EcsSpec": "ecs.gn6i-c4g1.xlarge"} | changes.pop("spec", {})
        body = {
            "DisplayName": "bench-1",
            "JobType": "PyTorchJob",
            "WorkspaceId": "268",
            "UserCommand": "echo tide",
            "JobSpecs": [{name: value for name, value in spec.items() if value is not None}],
        }
        return {name: value for name, value in {**body, **changes}.items() if value is not None}

    async def create(self, **changes: Any) -> str:
        """Create a job; its id."""
        host = changes.pop("host", HOST)
        answer = await self.ok(
            "POST", "/api/v1/jobs", "CreateJob", body=self.job(**changes), host=host
        )
        return str(answer["JobId"])

    async def get(self, job_id: str, **more: Any) -> dict[str, Any]:
        return await self.ok("GET", f"/api/v1/jobs/{job_id}", "GetJob", **more)

    async def status(self, job_id: str) -> str:
        return str((await self.get(job_id))["Status"])

    async def stop(self, job_id: str) -> httpx.Response:
        return await self.call("POST", f"/api/v1/jobs/{job_id}/stop", "StopJob")

    async def list(self, **query: Any) -> dict[str, Any]:
        host = query.pop("host", HOST)
        return await self.ok("GET", "/api/v1/jobs", "ListJobs", query=query, host=host)

    async def names(self, **query: Any) -> list[str]:
        return [job["DisplayName"] for job in (await self.list(**query))["Jobs"]]

    async def events(self, job_id: str, **query: Any) -> list[str]:
        path = f"/api/v1/jobs/{job_id}/events"
        lines: list[str] = (await self.ok("GET", path, "GetJobEvents", query=query))["Events"]
        return lines
