"""Whether the parts of a plan fit together, checked before any load is sent.

The load engine finds most of these out while it runs, or never: a scenario of another
task, for instance, fills the log with one error per request for the whole cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tidemark.plan.problems import Problem
from tidemark.plan.request import request_problems
from tidemark.plan.scenario import Scenario, parse_scenario
from tidemark.plan.tasks import (
    BATCH_TASKS,
    DEFAULT_SCENARIOS,
    IMAGE_INPUT_TASKS,
    STREAMED_TASKS,
    refused_for_dialect,
)

if TYPE_CHECKING:
    from tidemark.plan.sweep import SweepPlan

__all__ = ["MAX_CELLS", "plan_problems", "tokenizer_problem"]

# More than a month of the shortest useful cells.
MAX_CELLS = 5000

_HUB_NAME = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?(?:@[A-Za-z0-9._/-]{1,128})?"
)


def plan_problems(plan: SweepPlan) -> list[Problem]:
    """All contradictions between the fields of a plan whose fields are valid by themselves."""
    scenarios = [parse_scenario(text) for text in plan.scenarios]
    return [
        *_task_problems(plan),
        *_scenario_problems(plan, scenarios),
        *_level_problems(plan),
        *_dataset_problems(plan),
        *_prefix_problems(plan, scenarios),
        *_slo_problems(plan),
        *request_problems(plan.request, plan.task, scenarios),
    ]


def tokenizer_problem(tokenizer: str) -> tuple[str, str] | None:
    """What is wrong with a tokenizer's path or name, and the remedy; None if nothing."""
    remedy = "Give the absolute path of a tokenizer's directory, or a name such as org/model"
    if "://" in tokenizer:
        return "is a URI, which the load engine cannot open", remedy
    if tokenizer.startswith("/"):
        return None
    if tokenizer.startswith(("~", ".")):
        return "is neither an absolute path nor a name on the hub", remedy
    if not _HUB_NAME.fullmatch(tokenizer):
        return "is not a name on the hub", remedy
    return None


def _task_problems(plan: SweepPlan) -> Iterator[Problem]:
    reason = refused_for_dialect(plan.task, plan.endpoint.dialect)
    if reason is not None:
        yield Problem(
            ("endpoint", "dialect"),
            f"{plan.endpoint.dialect} cannot serve {plan.task}: {reason}",
            "Set the dialect to vllm or sglang if the server is one of them",
        )


def _scenario_problems(plan: SweepPlan, scenarios: list[Scenario]) -> Iterator[Problem]:
    for index, scenario in enumerate(scenarios):
        where = ("scenarios", index)
        if plan.task not in scenario.tasks:
            yield Problem(
                where,
                f"{scenario.text} does not fit the task {plan.task}: it is for "
                f"{' and '.join(scenario.tasks)}",
                f"Write a scenario such as {DEFAULT_SCENARIOS[plan.task][0]}, or change the task",
            )
        elif scenario.kind == "dataset" and plan.dataset is None:
            yield Problem(where, "there is no dataset to take rows from", "Add dataset to the plan")


def _level_problems(plan: SweepPlan) -> Iterator[Problem]:
    if plan.task in BATCH_TASKS:
        why = f"{plan.task} is measured over batch sizes at concurrency 1"
        if plan.concurrency != (1,):
            yield Problem(
                ("concurrency",),
                f"{why}; the load engine offers no other way",
                "Leave concurrency out and list batch_sizes",
            )
        if plan.warmup is not None and plan.warmup.concurrency not in (None, 1):
            yield Problem(("warmup", "concurrency"), why, "Leave it out, or write 1")
    elif plan.batch_sizes != (1,):
        yield Problem(
            ("batch_sizes",),
            f"{plan.task} has no batches; they are for {' and '.join(sorted(BATCH_TASKS))}",
            "Leave batch_sizes out and list concurrency",
        )
    count = len(plan.scenarios) * len(plan.concurrency) * len(plan.batch_sizes) * plan.repeats
    if count > MAX_CELLS:
        yield Problem(
            ("repeats",),
            f"the plan has {count} cells, more than {MAX_CELLS}",
            "Split it into several plans, or take fewer scenarios, levels or repeats",
        )


def _dataset_problems(plan: SweepPlan) -> Iterator[Problem]:
    needs_images = plan.task in IMAGE_INPUT_TASKS
    if plan.dataset is None:
        if needs_images:
            yield Problem(
                ("dataset",),
                f"is missing: {plan.task} takes its images from a dataset",
                "Name a hub dataset and its image_column, or a configuration file in config",
            )
        return
    if needs_images and plan.dataset.is_file:
        yield Problem(
            ("dataset", "path"),
            "is a text file, and the load engine reads images from hub datasets only",
            "Name a hub dataset, or a configuration file in config",
        )
    elif needs_images and plan.dataset.is_hub and plan.dataset.image_column is None:
        yield Problem(
            ("dataset", "image_column"),
            "is missing, so requests would hold no image",
            "Name the column of the images",
        )
    elif not needs_images and plan.dataset.image_column is not None:
        yield Problem(
            ("dataset", "image_column"),
            f"has no meaning for {plan.task}, which sends no images",
            "Remove it, and name the column of the prompts in prompt_column",
        )


def _prefix_problems(plan: SweepPlan, scenarios: list[Scenario]) -> Iterator[Problem]:
    if plan.prefix is None:
        return
    if plan.task != "text-to-text":
        yield Problem(
            ("prefix",),
            f"a shared prefix is for text-to-text only, not for {plan.task}",
            "Remove prefix",
        )
        return
    for scenario in scenarios:
        if scenario.kind == "dataset":
            yield Problem(
                ("prefix",),
                "a shared prefix cannot be put before a dataset's own rows",
                "Remove prefix, or the dataset scenario",
            )
        elif plan.prefix.ratio is not None and scenario.kind != "deterministic":
            yield Problem(
                ("prefix", "ratio"),
                f"needs inputs of one length, and {scenario.text} has many",
                "Use D scenarios, or give length in tokens",
            )
        elif (
            plan.prefix.length is not None
            and scenario.min_input_tokens is not None
            and scenario.min_input_tokens < plan.prefix.length
        ):
            yield Problem(
                ("prefix", "length"),
                f"is longer than the shortest input of {scenario.text} "
                f"({scenario.min_input_tokens} tokens; for N, mean minus 3 standard deviations)",
                f"Give at most {scenario.min_input_tokens}, or lengthen the input",
            )


def _slo_problems(plan: SweepPlan) -> Iterator[Problem]:
    if plan.slo is None or plan.task in STREAMED_TASKS:
        return
    for name in ("ttft_s", "tpot_s"):
        if getattr(plan.slo, name) is not None:
            yield Problem(
                ("slo", name),
                f"does not exist for {plan.task}, whose answers do not come token by token",
                "Use e2e_s",
            )
