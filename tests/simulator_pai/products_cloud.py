"""A simulated cloud's products on a clock that tests advance, asked without signatures."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

from tidemark.simulator.clock import VirtualClock
from tidemark.simulator.pai.asked import Asked
from tidemark.simulator.pai.bill import Bill
from tidemark.simulator.pai.dlc import DlcService
from tidemark.simulator.pai.eas_benchmarks import EasBenchmarks
from tidemark.simulator.pai.ecs import EcsPrices
from tidemark.simulator.pai.job_script import JobScript
from tidemark.simulator.pai.products import services
from tidemark.simulator.pai.router import Router
from tidemark.simulator.pai.wire import Call, WireError
from tidemark.simulator.pai.world import World

REGION = "cn-hangzhou"
TASKS = "/api/v2/benchmark-tasks"
BODY: dict[str, Any] = {
    "base": {"duration": 60, "qps": 50},
    "service": {"serviceName": "test_service", "requestToken": "test_token"},
    "data": {"path": "https://example-bucket.oss-cn-hangzhou.aliyuncs.com/requests.bin"},
}


class Cloud:
    """Every product on one clock; `ask` raises what a product refuses."""

    def __init__(self, world: World | None = None, **settings: Any) -> None:
        self.world = world or World()
        self.clock = VirtualClock()
        self.bill = Bill(self.world.currency)
        self.dlc = DlcService(self.world, self.bill, lambda *_: JobScript())
        self.services = services(self.world, self.clock, self.dlc, bill=self.bill, **settings)
        every = [self.dlc, *self.services]
        self._router = Router(route for service in every for route in service.routes())
        self._versions = {
            route.action: route.version for service in every for route in service.routes()
        }

    def ask(
        self,
        action: str,
        method: str,
        path: str,
        body: object = None,
        *,
        region: str = REGION,
        **query: object,
    ) -> dict[str, Any]:
        """The answer to one call. A body that is no bytes is sent as JSON."""
        headers = {"x-acs-action": action, "x-acs-version": self._versions[action]}
        sent = body if isinstance(body, bytes) else b"" if body is None else _json(body)
        asked = Asked(method, quote(path), urlencode(query), headers, sent)
        route, parts = self._router.find(asked)
        call = Call(
            action=action,
            version=route.version,
            method=method,
            path=parts,
            query=dict(asked.parameters),
            body=sent,
            region=region,
            account_id=self.world.account_id,
            now_s=self.clock.time(),
            request_id="0",
        )
        answer = route.handler(call)
        json.dumps(answer, allow_nan=False)  # whatever is answered can be sent
        return answer

    def refusal(self, *asked: Any, **query: Any) -> tuple[int, str]:
        """The status and code with which a call is refused."""
        try:
            answer = self.ask(*asked, **query)
        except WireError as error:
            return error.status, error.code
        raise AssertionError(f"not refused: {answer}")

    def create_task(self, body: object = None, **query: object) -> str:
        """The name of a new benchmark task."""
        answer = self.ask("CreateBenchmarkTask", "POST", TASKS, body or BODY, **query)
        return str(answer["TaskName"])

    def task(self, name: str, region: str = REGION) -> dict[str, Any]:
        """DescribeBenchmarkTask."""
        return self.ask("DescribeBenchmarkTask", "GET", f"{TASKS}/{region}/{name}")

    def status(self, name: str) -> str:
        """The status of a task, `gone` after 404."""
        try:
            return str(self.task(name)["Status"])
        except WireError as error:
            if error.status != 404:
                raise
            return "gone"

    def report(self, name: str) -> dict[str, Any]:
        """The raw data of a task's report."""
        path = f"{TASKS}/{REGION}/{name}/report"
        answer = self.ask("DescribeBenchmarkTaskReport", "GET", path, ReportType="RAW")
        data: dict[str, Any] = answer["Data"]
        return data

    @property
    def benchmarks(self) -> EasBenchmarks:
        return next(one for one in self.services if isinstance(one, EasBenchmarks))

    @property
    def prices(self) -> EcsPrices:
        return next(one for one in self.services if isinstance(one, EcsPrices))


def body(**sections: dict[str, Any]) -> dict[str, Any]:
    """A good body of CreateBenchmarkTask with some fields put in; None takes one out."""
    changed = {name: dict(section) for name, section in BODY.items()}
    for name, fields in sections.items():
        merged = {**changed.get(name, {}), **fields}
        changed[name] = {key: value for key, value in merged.items() if value is not None}
    return changed


def _json(document: object) -> bytes:
    return json.dumps(document).encode()
