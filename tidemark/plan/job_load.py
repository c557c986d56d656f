"""From text to the plan of a job and back, in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from tidemark.errors import PlanError
from tidemark.plan.job import JobPlan
from tidemark.plan.load import FIELD_SYNONYMS
from tidemark.plan.manifest import is_manifest
from tidemark.plan.problems import Location, plan_error, problems_of
from tidemark.plan.sweep import SweepPlan
from tidemark.plan.yaml_text import read_yaml, write_yaml

__all__ = ["JOB_SYNONYMS", "dump_job_plan", "job_plan_from_mapping", "load_job_plan"]

# What PAI and scripts for it call our fields, for "did you mean". Lower case, _ for -.
_PAI_NAMES: Final = {
    "display_name": "name",
    "user_command": "command",
    "ecs_spec": "machine.spec",
    "instance_type": "machine.spec",
    "worker_count": "workers",
    "pod_count": "workers",
    "resource_id": "machine.quota.resource_id",
    "gpu": "machine.gpu",
    "gpu_type": "machine.gpu_type",
    "gpu_count": "machine.gpu_count",
    "cpu": "machine.cpu_count",
    "memory": "machine.memory_gib",
    "spot": "machine.spot",
    "envs": "environment",
    "env": "environment",
    "thirdparty_libs": "libraries",
    "requirements": "libraries",
    "data_sources": "mounts",
    "datasources": "mounts",
    "user_vpc": "vpc",
    "timeout": "limits.total_s",
    "interval": "limits.poll_interval_s",
    "image_pull_timeout": "limits.image_pull_timeout_s",
    "job_max_running_time_minutes": "limits.running_s, in seconds",
    "max_running_time_minutes": "limits.running_s, in seconds",
    "budget": "cap",
    "max_cost": "cap",
}
_OF_SWEEPS: Final = {
    name: f"sweep.{meant}"
    for name, meant in FIELD_SYNONYMS.items()
    if meant.partition(".")[0] in SweepPlan.model_fields
}
_SWEEP_FIELDS: Final = {
    name: f"sweep.{name}" for name in SweepPlan.model_fields if name not in JobPlan.model_fields
}
JOB_SYNONYMS: Final[Mapping[str, str]] = {**_OF_SWEEPS, **_SWEEP_FIELDS, **_PAI_NAMES}
"""Other names of a job plan's fields, as people know them from elsewhere."""


def load_job_plan(text: str, source: str = "plan") -> JobPlan:
    """The plan of a job that a YAML text describes.

    `source` is the name of the file, for messages. Raises PlanError that lists all that is wrong,
    each with its field and line.
    """
    document = read_yaml(text, source)
    if not isinstance(document.value, Mapping):
        raise PlanError(
            "is not a mapping", source,
            "Write name: value lines, beginning with command: or sweep: (tidemark fields job)",
        )  # fmt: skip
    if is_manifest(document.value):
        raise PlanError(
            "is a BenchmarkJob, which is the plan of a sweep and not of a job", source,
            "Write what it measures below sweep:, and the machine for it below machine:",
        )  # fmt: skip
    return job_plan_from_mapping(document.value, source, document.lines)


def job_plan_from_mapping(
    value: Mapping[str, Any], source: str = "plan", lines: Mapping[Location, int] | None = None
) -> JobPlan:
    """The plan of a job in a mapping of its fields, such as a form gives.

    `lines` tells on which line of `source` a field stands. Raises PlanError that lists all that is
    wrong.
    """
    try:
        return JobPlan.model_validate(dict(value))
    except ValidationError as error:
        problems = problems_of(error, JobPlan, JOB_SYNONYMS)
    raise plan_error(problems, source, lines)


def dump_job_plan(plan: JobPlan) -> str:
    """YAML text that `load_job_plan` reads back as an equal plan, with the same hash. What is as
    it would be without being said is left out."""
    return write_yaml(plan.model_dump(mode="json", exclude_defaults=True))
