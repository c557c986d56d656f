"""One level file that genai-bench wrote, and what its own content proves of it.

Its name, its aggregates and its requests are compared with each other; what they say alike is
believed, what they contradict each other in is refused. Nothing beside the file is looked at.
The fields of each release and its formulas are those of the released packages
(sgl-project/genai-bench 0.0.1 to 0.0.5, `metrics/metrics.py`, `metrics/*_collector.py`).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tidemark.engines.genai_bench_output import LARGEST_COUNT, SCALES, run_document
from tidemark.errors import EngineError, PlanError
from tidemark.plan.scenario import Scenario, parse_scenario
from tidemark.plan.tasks import TASKS, UNSUPPORTED_TASKS

__all__ = ["LEVEL_FILE", "RELEASES", "Level", "read_level"]

Iteration = Literal["num_concurrency", "batch_size"]

LEVEL_FILE: Final = re.compile(
    r"(?P<prefix>(?:.+-)?)"
    r"(?:(?P<scenario>[A-Za-z][A-Za-z0-9_]*)_(?P<task>[a-z]+(?:-[a-z]+)+)"
    r"_(?P<iteration>num_concurrency|batch_size)_(?P<level>[0-9]{1,9})_time_[0-9]{1,9}s\.json"
    r"|debug_for_run_(?P<debugged>[A-Za-z][A-Za-z0-9_]*)_(?P<users>[0-9]{1,9})\.json)"
)
"""The names of level files: of a level that ended, and of one in which no request succeeded. As
assets of a release they have a prefix."""

_FIRST: Final = frozenset(
    {
        *("ttft", "tpot", "e2e_latency", "output_latency", "output_inference_speed"),
        *("num_input_tokens", "num_output_tokens", "total_tokens"),
        *("input_throughput", "output_throughput", "error_code", "error_message"),
    }
)
_REASONING: Final = _FIRST | {"num_reasoning_tokens"}
RELEASES: Final[Mapping[frozenset[str], tuple[str, ...]]] = {
    _FIRST: ("0.0.1", "0.0.2", "0.0.3"),
    _REASONING: ("0.0.4",),
    _REASONING | {"audio_throughput"}: ("0.0.5",),
}
"""The fields of a request, and the releases that write them."""

_NUMBERS: Final = frozenset(
    {
        *("run_duration", "num_concurrency", "batch_size"),
        *("num_requests", "num_completed_requests", "num_error_requests"),
        *("mean_input_throughput_tokens_per_s", "mean_output_throughput_tokens_per_s"),
    }
)
_PROVED_WITHIN: Final = 1e-3
_LOAD_SLACK_S: Final = 1.0
_LOAD_SLACK_RATIO: Final = 0.05

_DAMAGED = "Copy it again from where it was written"
_EDITED = "The engine writes both alike: restore the file as it was written, or remove it"


@dataclass(frozen=True, slots=True)
class Level:
    """A level file: what was measured, as its own content proves it.

    `level` is a concurrency or, where `iteration` says so, a batch size. `unit` is that of its
    times, proved from its requests (`claimed_unit` is what it says); `requests` counts its rows,
    `failed` those of them with an error code. `run_duration_s` is None where the engine gave none.
    `releases` are those that write such fields.
    """

    path: str
    sha256: str
    size_bytes: int
    scenario: Scenario
    task: str
    iteration: Iteration
    level: int
    unit: str
    claimed_unit: str | None
    requests: int
    failed: int
    run_duration_s: float | None
    releases: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def concurrency(self) -> int:
        """How many users there were: one, where batch sizes were swept."""
        return self.level if self.iteration == "num_concurrency" else 1

    @property
    def batch_size(self) -> int:
        """Documents per request."""
        return self.level if self.iteration == "batch_size" else 1

    @property
    def place(self) -> tuple[str, str, int]:
        """Scenario, kind of level and level: what two attempts at one level have in common."""
        return self.scenario.text, self.iteration, self.level


def read_level(path: str, content: bytes) -> Level:
    """What a level file is.

    Raises EngineError that names the file, for one that cannot be read, is of no known release,
    or contradicts itself. It may quote the file, secrets and all.
    """
    name = path.rpartition("/")[2]
    if not content.strip():
        raise EngineError("it is empty", path, _DAMAGED)
    try:
        document = run_document(content)
    except EngineError as error:
        raise EngineError(error.what, path, _DAMAGED) from error
    check = _Check(path, document["aggregated_metrics"], document["individual_request_metrics"])
    rows = check.rows()
    releases = check.releases(units_told="_time_unit" in document)
    scenario, iteration, level = check.place()
    task = check.task(name, scenario)
    check.name(name, iteration, level)
    check.sums()
    claimed = document.get("_time_unit")
    unit = check.unit() or claimed or "s"
    users = level if iteration == "num_concurrency" else 1
    check.load(users, SCALES[unit])
    duration = check.aggregated.get("run_duration")
    return Level(
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        scenario=scenario,
        task=task,
        iteration=iteration,
        level=level,
        unit=unit,
        claimed_unit=claimed,
        requests=len(rows),
        failed=sum(row["error_code"] is not None for row in rows),
        run_duration_s=float(duration) if duration else None,
        releases=releases,
        notes=tuple(check.notes(unit, claimed)),
    )


class _Check:
    """The checks of one file, each of which refuses it by its name."""

    def __init__(self, path: str, aggregated: Mapping[str, Any], individual: Sequence[Any]) -> None:
        self.path = path
        self.aggregated = aggregated
        self._individual = individual

    def _refused(self, what: str, remedy: str) -> EngineError:
        return EngineError(what, self.path, remedy)

    # -- its form -------------------------------------------------------------------------

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """Its requests: objects whose values are numbers, or absent."""
        if not self._individual:
            raise self._refused("it holds no request", "Remove it, or measure that level again")
        for index, row in enumerate(self._individual):
            if not isinstance(row, dict):
                raise self._refused(f"request {index} is no object", _DAMAGED)
            for name, value in row.items():
                self._demand_number(f"{name} of request {index}", name, value)
        for name, value in self.aggregated.items():
            if name in _NUMBERS:
                self._demand_number(name, name, value)
        stats = self.aggregated.get("stats", {})
        codes = self.aggregated.get("error_codes_frequency", {})
        if not isinstance(stats, dict) or not isinstance(codes, dict):
            raise self._refused("its aggregates have another form", _DAMAGED)
        for name, of in stats.items():
            if not isinstance(of, dict):
                raise self._refused(f"its statistics of {name[:100]} are no object", _DAMAGED)
            for statistic, value in of.items():
                self._demand_countable(f"{statistic[:100]} of {name[:100]}", value)
        for name, value in self.aggregated.items():
            self._demand_countable(name[:100], value)
        for code, count in codes.items():
            self._demand_number(f"the count of error {code}", "error_code", count)
        return self._individual

    def _demand_number(self, words: str, name: str, value: Any) -> None:
        if value is None or (name == "error_message" and isinstance(value, str)):
            return
        if isinstance(value, bool) or not isinstance(value, int | float):
            kind = "text" if isinstance(value, str) else f"a {type(value).__name__}"
            raise self._refused(f"{words} is {kind}, not a number", _DAMAGED)
        self._demand_countable(words, value)
        if not math.isfinite(value):
            raise self._refused(f"{words} is {value}, which no measurement gives", _DAMAGED)
        if name == "error_code" and (value != int(value) or abs(value) > LARGEST_COUNT):
            raise self._refused(f"{words} is {value}, which is no error code", _DAMAGED)

    def _demand_countable(self, words: str, value: Any) -> None:
        """No whole number is larger than what doubles, in which all is computed, can count."""
        if isinstance(value, int) and abs(value) > LARGEST_COUNT:
            raise self._refused(f"{words} is larger than any count can be", _DAMAGED)

    def releases(self, units_told: bool) -> tuple[str, ...]:
        """The releases that write these fields, and the unit of times beside them or not."""
        fields = frozenset(self._individual[0])
        for index, row in enumerate(self._individual):
            if frozenset(row) != fields:
                what = f"request {index} has other fields than the first one"
                raise self._refused(what, _DAMAGED)
        if fields not in RELEASES:
            newest = max(RELEASES, key=len)
            told = [f"unknown: {', '.join(sorted(fields - newest)[:5])}"] if fields - newest else []
            lacking = sorted(_FIRST - fields)
            told += [f"lacking: {', '.join(lacking[:5])}"] if lacking else []
            raise self._refused(
                "its requests do not have the fields of any genai-bench that is known here, "
                f"0.0.1 to 0.0.5 ({'; '.join(told) or 'in another combination'})",
                "Measure it with a known version, or import it with a tidemark that knows this one",
            )
        if fields == _FIRST:
            return ("0.0.3",) if units_told else ("0.0.1", "0.0.2")
        return RELEASES[fields]

    # -- what it is -----------------------------------------------------------------------

    def place(self) -> tuple[Scenario, Iteration, int]:
        """Its scenario and its level, as its aggregates say."""
        given = self.aggregated.get("scenario")
        if not isinstance(given, str):
            raise self._refused("its aggregates name no scenario", _DAMAGED)
        try:
            scenario = parse_scenario(given)
        except PlanError as error:
            raise self._refused(
                f"its scenario is none that can be measured: {error.what}", error.remedy or _DAMAGED
            ) from error
        iteration: Iteration = "num_concurrency"
        if self.aggregated.get("iteration_type") == "batch_size":
            iteration = "batch_size"
        elif self.aggregated.get("iteration_type", iteration) != iteration:
            raise self._refused("it was swept over neither concurrency nor batch sizes", _DAMAGED)
        level = self.aggregated.get(iteration)
        if not isinstance(level, int | float) or level < 1 or level != int(level):
            raise self._refused(f"its {iteration} is no whole number from 1 on", _DAMAGED)
        return scenario, iteration, int(level)

    def task(self, name: str, scenario: Scenario) -> str:
        """The task: from the name, or from a scenario that only one task has."""
        found = LEVEL_FILE.fullmatch(name)
        task = found["task"] if found else None
        if task is None:
            if len(scenario.tasks) == 1:
                return scenario.tasks[0]
            raise self._refused(
                f"its name does not tell the task, and {scenario.text} fits several",
                "Rename it as the engine does: SCENARIO_TASK_num_concurrency_LEVEL_time_Ts.json",
            )
        if task not in TASKS:
            why = UNSUPPORTED_TASKS.get(task, "no such task is known")
            raise self._refused(f"{task} cannot be kept: {why}", "Leave it out")
        if task not in scenario.tasks:
            raise self._refused(
                f"its name says {task}, but its scenario {scenario.text} is for "
                f"{' and '.join(scenario.tasks)}",
                _EDITED,
            )
        return task

    def name(self, name: str, iteration: Iteration, level: int) -> None:
        """The name says the same as the content."""
        found = LEVEL_FILE.fullmatch(name)
        if found is None:
            return
        users = level if iteration == "num_concurrency" else 1
        if found["debugged"] is not None:
            told = (_sanitized(self.aggregated["scenario"]), users)
            named: tuple[object, ...] = (found["debugged"], int(found["users"]))
        else:
            told = (_sanitized(self.aggregated["scenario"]), iteration, level)  # type: ignore[assignment]
            named = (found["scenario"], found["iteration"], int(found["level"]))
        if told != named:
            was, says = ", ".join(map(str, named)), ", ".join(map(str, told))
            raise self._refused(f"its name says {was}, its content {says}", _EDITED)

    # -- whether it is whole --------------------------------------------------------------

    def sums(self) -> None:
        """Its aggregates count the requests that it holds, and its duration is in seconds."""
        counted = self.aggregated.get("num_requests") or 0
        if counted and counted != len(self._individual):
            raise self._refused(
                f"it holds {len(self._individual)} requests, and says that there were {counted:g}",
                _DAMAGED,
            )
        failed = sum(row["error_code"] is not None for row in self._individual)
        told = self.aggregated.get("num_error_requests") or 0
        if counted and told != failed:
            raise self._refused(
                f"{failed} of its requests failed, and it says that {told:g} did", _DAMAGED
            )
        duration = self.aggregated.get("run_duration") or 0.0
        if duration < 0.0:
            raise self._refused(f"it ran for {duration:g} s", _DAMAGED)
        for side in ("input", "output"):
            rate = self.aggregated.get(f"mean_{side}_throughput_tokens_per_s")
            tokens = ((self.aggregated.get("stats") or {}).get(f"num_{side}_tokens") or {}).get(
                "sum"
            )
            if not _numbers(rate, tokens) or not tokens or not duration:
                continue
            if abs(rate * duration - tokens) > _PROVED_WITHIN * tokens:  # type: ignore[operator]
                raise self._refused(
                    f"it says that it ran for {duration:g} s, but {tokens:g} {side} tokens at "
                    f"{rate:g} tokens/s took {tokens / rate if rate else math.inf:g} s",
                    _DAMAGED,
                )

    def unit(self) -> str | None:
        """The unit of its times, from each request's rates, which are per second in any unit.

        None where no request has both; those of such a file have no times either.
        """
        units: dict[str, int] = {}
        unproved = 0
        for index, row in enumerate(self._individual):
            if row["error_code"] is not None:
                continue
            per_second = list(_seconds_per_time(row))
            for ratio in per_second:
                unit = next(
                    (
                        unit
                        for unit, scale in SCALES.items()
                        if abs(ratio * scale - 1.0) <= _PROVED_WITHIN
                    ),
                    None,
                )
                if unit is None:
                    raise self._refused(
                        f"the times, tokens and rates of request {index} contradict each other: "
                        f"one is {ratio:.4g} times what the others make it",
                        _DAMAGED,
                    )
                units.setdefault(unit, index)
            unproved += not per_second and bool(row.get("e2e_latency"))
        if len(units) > 1:
            told = ", ".join(f"request {index} in {unit}" for unit, index in sorted(units.items()))
            raise self._refused(
                f"its times are in several units: {told}", "Remove it, or measure that level again"
            )
        if not units and unproved:
            raise self._refused(
                f"the unit of its times cannot be proved: {unproved} requests have a time and no "
                "rate to compare it with",
                "Measure that level again",
            )
        return next(iter(units), None)

    def load(self, users: int, scale: float) -> None:
        """Its requests fit into the time that its users had: each does one after another."""
        duration = self.aggregated.get("run_duration") or 0.0
        took = [(row.get("e2e_latency") or 0.0) * scale for row in self._individual]
        allowed = duration * (1.0 + _LOAD_SLACK_RATIO) + _LOAD_SLACK_S
        if duration and sum(took) > users * allowed:
            raise self._refused(
                f"its requests took {sum(took):.1f} s together, and {users} users had no more "
                f"than {users * duration:.1f} s: level, duration or times are another run's",
                _DAMAGED,
            )

    def notes(self, unit: str, claimed: str | None) -> Iterator[str]:
        """What a reader of the file should know."""
        if claimed is not None and claimed != unit:
            yield f"it says that its times are in {claimed}; its requests prove that it is {unit}"
        told = sum((self.aggregated.get("error_codes_frequency") or {}).values())
        failed = sum(row["error_code"] is not None for row in self._individual)
        if told != failed:
            yield f"the engine counted {told:g} failed requests, and kept {failed}"


def _seconds_per_time(row: Mapping[str, Any]) -> Iterator[float]:
    """For each rate of a request that stands beside its time: the number of times in a second."""
    tokens = row.get("num_output_tokens")
    gaps = tokens - 1 if _numbers(tokens) and tokens else None
    for rate, time, amount in (
        (row.get("input_throughput"), row.get("ttft"), row.get("num_input_tokens")),
        (row.get("output_throughput"), row.get("output_latency"), gaps),
        (row.get("output_inference_speed"), row.get("tpot"), 1.0),
    ):
        if rate is None or time is None or amount is None:
            continue
        if min(rate, time, amount) > 0.0:
            yield rate * time / amount


def _numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)


def _sanitized(scenario: str) -> str:
    """A scenario as the engine spells it in the names of files."""
    return re.sub(r"[()]", "", re.sub(r"[,/]", "_", scenario))
