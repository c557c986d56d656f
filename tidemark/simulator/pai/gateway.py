"""The other form of EAS's benchmark operations (2021-07-01): a gateway of all regions, with a key.

`https://api.aliyun.com/api/eas/2021-07-01/{Action}`, or `api.alibabacloud.com`, takes
`Authorization: Bearer <key>` in place of a signature, and `ClusterId` and `TaskName` in the query.
Nothing says in which region a task is created: it is the default one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from tidemark.simulator.pai.eas_benchmarks import EasBenchmarks
from tidemark.simulator.pai.wire import Call, Handler, Route, Service, WireError, refuse
from tidemark.simulator.pai.world import World

__all__ = ["EasGateway"]

_VERSION = "2021-07-01"
_ROOT = f"/api/eas/{_VERSION}"
_CALLS_PER_SECOND = 100


class EasGateway(Service):
    """Benchmark tasks by another door. Answers 429 with `Retry-After` beyond 100 calls a second."""

    def __init__(self, world: World, benchmarks: EasBenchmarks) -> None:
        self._world = world
        self._benchmarks = benchmarks
        self._calls_s: deque[float] = deque()

    def routes(self) -> list[Route]:
        """The eight operations, each by GET and by POST."""
        tasks = self._benchmarks
        handlers: dict[str, Handler] = {
            "CreateBenchmarkTask": self._in_default_region(tasks.create),
            "ListBenchmarkTask": self._in_default_region(tasks.list_tasks),
            "DescribeBenchmarkTask": self._of_task(tasks.describe),
            "DescribeBenchmarkTaskReport": self._of_task(tasks.report),
            "StartBenchmarkTask": self._of_task(tasks.start),
            "StopBenchmarkTask": self._of_task(tasks.stop),
            "UpdateBenchmarkTask": self._of_task(tasks.update),
            "DeleteBenchmarkTask": self._of_task(tasks.delete),
        }
        return [
            Route("EasGateway", _VERSION, action, method, f"{_ROOT}/{action}", handler, bearer=True)
            for action, handler in handlers.items()
            for method in ("GET", "POST")
        ]

    def _in_default_region(self, handler: Handler) -> Handler:
        def handle(call: Call) -> dict[str, object]:
            self._admit(call)
            region = call.query.get("ClusterId", "") or self._world.default_region
            return handler(replace(call, region=region))

        return handle

    def _of_task(self, handler: Handler) -> Handler:
        def handle(call: Call) -> dict[str, object]:
            self._admit(call)
            path = {name: call.query.get(name, "") for name in ("ClusterId", "TaskName")}
            for name, value in path.items():
                if not value:
                    refuse(400, "MissingParameter", f"The parameter {name} is mandatory.")
            return handler(replace(call, path=path, region=path["ClusterId"]))

        return handle

    def _admit(self, call: Call) -> None:
        while self._calls_s and self._calls_s[0] <= call.now_s - 1:
            self._calls_s.popleft()
        if len(self._calls_s) >= _CALLS_PER_SECOND:
            raise WireError(
                429, "Throttling.User", "Too many requests.", headers={"Retry-After": "1"}
            )
        self._calls_s.append(call.now_s)
