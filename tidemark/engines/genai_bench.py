"""genai-bench 0.0.5 as a load engine: its options and their order, and one process for many cells.

They are those of the released package (sgl-project/genai-bench,
`genai_bench/cli/option_groups.py`). What it leaves behind is read by `genai_bench_output`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tidemark.engines.genai_bench_output import read_pass
from tidemark.engines.protocol import Capabilities, EngineJob, PlannedRun
from tidemark.errors import PlanError
from tidemark.plan.cells import Cell
from tidemark.plan.scenario import parse_scenario
from tidemark.plan.sweep import SweepPlan
from tidemark.plan.tasks import BATCH_TASKS, STREAMED_TASKS
from tidemark.results.requests import CellRaw

__all__ = ["LAUNCHER", "OPTIONS", "GenaiBench"]

LAUNCHER = Path(__file__).with_name("genai_bench_launcher.py")
VERSION = "0.0.5"
KEY_PLACEHOLDER = "given-by-the-launcher"
START_GRACE_S = 30.0

OPTIONS = (
    "--api-backend",
    "--api-base",
    "--api-key",
    "--api-model-name",
    "--task",
    "--max-time-per-run",
    "--max-requests-per-run",
    "--model-tokenizer",
    "--additional-request-params",
    "--dataset-config",
    "--dataset-path",
    "--dataset-prompt-column",
    "--dataset-image-column",
    "--traffic-scenario",
    "--num-concurrency",
    "--batch-size",
    "--prefix-len",
    "--prefix-ratio",
    "--metrics-refresh-interval",
    "--experiment-base-dir",
    "--experiment-folder-name",
    "--log-dir",
)
"""Every option that is ever passed, in the order that works: the engine's checks read the options
before them. `tidemark engines check` compares them with the installed engine's own help."""


class GenaiBench:
    """genai-bench as a load engine: closed loop, one process for any selection of cells."""

    name = "genai-bench"
    version = VERSION
    capabilities = Capabilities(
        tasks=STREAMED_TASKS | BATCH_TASKS | {"text-to-image", "text-to-speech"},
        dialects=frozenset({"openai", "vllm", "sglang"}),
        request_times=True,
        inter_token_latency=False,
        load_models=frozenset({"closed"}),
        exact_request_limit=True,
    )

    def __init__(self, python: str) -> None:
        """`python` is the interpreter of the environment that holds the engine."""
        self.python = python

    def prestart_argv(self) -> tuple[str, ...]:
        """The process to start ahead of a job: it imports the engine, then waits for one."""
        return (self.python, "-I", str(LAUNCHER), "--import-first")

    def command(
        self,
        plan: SweepPlan,
        cells: Sequence[Cell],
        *,
        work_directory: str,
        secrets: Mapping[str, str],
        expected_e2e_s: Mapping[str, float],
        seed: int,
        warm_up: bool,
        request_header: str | None = None,
    ) -> EngineJob:
        """Describe the process that measures `cells`, in order; see `Engine.command`.

        `request_header` names a header that carries `<run>-<request>`, for an endpoint that keeps
        a record of its own. Raises PlanError where the endpoint has no URL or model yet.
        """
        endpoint = plan.endpoint
        if not endpoint.url or not endpoint.model:
            missing = "url" if not endpoint.url else "model"
            raise PlanError(
                f"the endpoint has no {missing}",
                f"endpoint.{missing}",
                f"Give endpoint.{missing} in the plan, or --{missing} beside it",
            )
        scenarios, levels, grid = _grid(plan, cells, warm_up)
        by_batch = plan.task in BATCH_TASKS
        runs, specs = [], []
        for number, (scenario, level, cell, is_warm_up) in enumerate(grid):
            wanted = cell is not None or is_warm_up
            requests = _requests(plan, level, is_warm_up, by_batch)
            limits = plan.limits
            specs.append(
                {
                    "run": number,
                    "wanted": wanted,
                    "scenario": scenario,
                    "level": level,
                    "max_requests": requests,
                    "max_time_s": limits.max_time_s,
                    "drain_s": limits.drain_s,
                    "stall_timeout_s": limits.stall_timeout_s,
                    "expected_e2e_s": expected_e2e_s.get(scenario),
                    "seed": _seed(seed, number),
                }
            )
            if wanted:
                deadline_s = (
                    limits.max_time_s + limits.drain_s + limits.stall_timeout_s + START_GRACE_S
                )
                runs.append(PlannedRun(number, cell, requests, deadline_s))
        output = f"{work_directory}/out"
        events = f"{work_directory}/events.jsonl"
        options = _options(plan, scenarios, levels, work_directory, by_batch)
        environment, engine_environment = _environment(plan, work_directory)
        job = {
            "argv": ["benchmark", *options],
            "env": engine_environment,
            "events": events,
            "iteration": "batch" if by_batch else "concurrency",
            "runs": specs,
            "headers": {
                name: secrets.get(str(value), str(value))
                for name, value in endpoint.headers.items()
            },
            "api_key": secrets[str(endpoint.api_key)] if endpoint.api_key else None,
            "request_header": request_header,
        }
        return EngineJob(
            argv=(self.python, "-I", str(LAUNCHER)),
            stdin=json.dumps(job).encode(),
            environment=environment,
            runs=tuple(runs),
            events_path=events,
            output_directory=output,
        )

    def read(self, files: Mapping[str, bytes], context: Mapping[str, Any]) -> CellRaw:
        """Read one pass; see `read_pass`."""
        return read_pass(files, context)


def _grid(
    plan: SweepPlan, cells: Sequence[Cell], warm_up: bool
) -> tuple[list[str], list[int], list[tuple[str, int, Cell | None, bool]]]:
    """Lay the cells on the engine's own loop: scenarios outside, levels inside.

    Passes that belong to no cell are in the grid too and are skipped by the launcher.
    """
    by_batch = plan.task in BATCH_TASKS
    levels = list(dict.fromkeys(plan.batch_sizes if by_batch else plan.concurrency))
    groups: list[tuple[str, dict[int, Cell]]] = []
    for cell in cells:
        level = cell.batch_size if by_batch else cell.concurrency
        if groups and groups[-1][0] == cell.scenario:
            taken = groups[-1][1]
            later = [levels.index(other) for other in taken]
            if level not in taken and levels.index(level) > max(later):
                taken[level] = cell
                continue
        groups.append((cell.scenario, {level: cell}))
    first: list[int] = []
    if warm_up and plan.warmup is not None:
        first = [1 if by_batch else (plan.warmup.concurrency or max(plan.concurrency))]
    grid: list[tuple[str, int, Cell | None, bool]] = []
    warmed: set[str] = set()
    for scenario, taken in groups:
        for level in first:
            grid.append((scenario, level, None, scenario not in warmed))
            warmed.add(scenario)
        grid += [(scenario, level, taken.get(level), False) for level in levels]
    return [scenario for scenario, _ in groups], [*first, *levels], grid


def _requests(plan: SweepPlan, level: int, is_warm_up: bool, by_batch: bool) -> int:
    if is_warm_up and plan.warmup is not None and plan.warmup.requests:
        return plan.warmup.requests
    users = 1 if by_batch else level
    return 2 * users if is_warm_up else plan.limits.requests_at(users)


def _seed(seed: int, number: int) -> int:
    return (seed * 1_000_003 + number) % 2**31


def _options(
    plan: SweepPlan, scenarios: list[str], levels: list[int], directory: str, by_batch: bool
) -> list[str]:
    endpoint = plan.endpoint
    options = [
        "--api-backend", endpoint.dialect,
        "--api-base", str(endpoint.url),
        "--api-key", KEY_PLACEHOLDER,
        "--api-model-name", str(endpoint.model),
        "--task", plan.task,
        # The launcher keeps the limits; these only have to be larger.
        "--max-time-per-run", str(int(plan.limits.max_time_s // 60) + 2),
        "--max-requests-per-run", "1000000000",
        "--model-tokenizer", str(plan.tokenizer),
    ]  # fmt: skip
    if plan.request:
        options += ["--additional-request-params", json.dumps(dict(plan.request))]
    dataset = plan.dataset
    if dataset is not None:
        for option, value in (
            ("--dataset-config", dataset.config),
            ("--dataset-path", dataset.path),
            ("--dataset-prompt-column", dataset.prompt_column),
            ("--dataset-image-column", dataset.image_column),
        ):
            if value is not None:
                options += [option, value]
    for scenario in scenarios:
        options += ["--traffic-scenario", parse_scenario(scenario).text]
    for level in levels:
        options += ["--batch-size" if by_batch else "--num-concurrency", str(level)]
    if plan.prefix is not None:
        if plan.prefix.length is not None:
            options += ["--prefix-len", str(plan.prefix.length)]
        if plan.prefix.ratio is not None:
            options += ["--prefix-ratio", str(plan.prefix.ratio)]
    return [
        *options,
        # Without it the engine recomputes percentiles over all requests at each request.
        "--metrics-refresh-interval", "1000",
        "--experiment-base-dir", directory,
        "--experiment-folder-name", "out",
        "--log-dir", directory,
    ]  # fmt: skip


def _environment(plan: SweepPlan, directory: str) -> tuple[dict[str, str], dict[str, str]]:
    """The process's whole environment, and what it sets for itself once it knows its job.

    Nothing is inherited: the engine copies keys it finds in its environment into its metadata.
    A home of its own keeps the HTTP library from reading a .netrc.
    """
    environment = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "ENABLE_UI": "false",
        "GENAI_BENCH_LOGGING_LEVEL": "WARNING",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
    }
    later = {"HOME": directory}
    if Path(str(plan.tokenizer)).is_absolute():
        later |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    endpoint = plan.endpoint
    if endpoint.ca_file:
        later["REQUESTS_CA_BUNDLE"] = endpoint.ca_file
    if endpoint.proxy:
        later |= {"HTTP_PROXY": endpoint.proxy, "HTTPS_PROXY": endpoint.proxy}
    return environment, later
