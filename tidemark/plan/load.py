"""From text to a plan and back: our own YAML, or an OME BenchmarkJob."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from tidemark.errors import PlanError
from tidemark.plan.advice import warnings
from tidemark.plan.manifest import PlanDocument, is_manifest, plan_from_manifest
from tidemark.plan.problems import Location, plan_error, problems_of
from tidemark.plan.sweep import SweepPlan
from tidemark.plan.yaml_text import read_yaml, write_yaml

__all__ = ["FIELD_SYNONYMS", "dump_plan", "load_document", "load_plan", "plan_from_mapping"]

# What genai-bench and OME call our fields, for "did you mean". Lower case, _ for -.
FIELD_SYNONYMS: dict[str, str] = {
    "url": "endpoint.url",
    "base_url": "url",
    "api_base": "endpoint.url",
    "api_key": "endpoint.api_key",
    "model": "endpoint.model",
    "model_name": "endpoint.model",
    "api_model_name": "endpoint.model",
    "modelname": "model",
    "api_backend": "endpoint.dialect",
    "backend": "endpoint.dialect",
    "apiformat": "dialect",
    "model_tokenizer": "tokenizer",
    "traffic_scenario": "scenarios",
    "traffic_scenarios": "scenarios",
    "trafficscenarios": "scenarios",
    "num_concurrency": "concurrency",
    "numconcurrency": "concurrency",
    "concurrency_levels": "concurrency",
    "batch_size": "batch_sizes",
    "max_time_per_run": "limits.max_time_s, in seconds",
    "maxtimeperiteration": "limits.max_time_s, in seconds",
    "max_time": "limits.max_time_s, in seconds",
    "max_time_s": "limits.max_time_s",
    "max_requests_per_run": "limits.max_requests",
    "maxrequestsperiteration": "limits.max_requests",
    "max_requests": "limits.max_requests",
    "additional_request_params": "request",
    "additionalrequestparams": "request",
    "request_params": "request",
    "temperature": "request.temperature",
    "server_engine": "system.serving_engine",
    "server_version": "system.serving_version",
    "server_gpu_type": "system.gpu_type",
    "server_gpu_count": "system.gpu_count",
    "dataset_path": "dataset.path",
    "dataset_config": "dataset.config",
    "prefix_len": "prefix.length",
    "prefix_ratio": "prefix.ratio",
    "warmup_ratio": "warmup.requests",
    "warm_up": "warmup",
    "slos": "slo",
}


def load_plan(text: str, source: str = "plan") -> SweepPlan:
    """The plan that a YAML text describes, whether in our own fields or as a BenchmarkJob.

    `source` is the name of the file, for messages. Environment variables in the text are
    not replaced. Raises PlanError that lists all that is wrong, each with its field.
    """
    return load_document(text, source).plan


def load_document(text: str, source: str = "plan") -> PlanDocument:
    """Like `load_plan`, with what the text says beyond the plan: store, notes, warnings."""
    document = read_yaml(text, source)
    if not isinstance(document.value, Mapping):
        raise PlanError(
            "is not a mapping", source, "Write name: value lines, beginning with endpoint:"
        )
    if is_manifest(document.value):
        return plan_from_manifest(document.value, source, document.lines)
    plan = plan_from_mapping(document.value, source, document.lines)
    return PlanDocument(plan=plan, warnings=warnings(plan))


def plan_from_mapping(
    value: Mapping[str, Any], source: str = "plan", lines: Mapping[Location, int] | None = None
) -> SweepPlan:
    """The plan in a mapping of its fields, such as a form gives.

    `lines` tells on which line of `source` a field stands. Raises PlanError that lists
    all that is wrong.
    """
    try:
        return SweepPlan.model_validate(dict(value))
    except ValidationError as error:
        problems = problems_of(error, SweepPlan, FIELD_SYNONYMS)
    raise plan_error(problems, source, lines)


def dump_plan(plan: SweepPlan) -> str:
    """YAML text that `load_plan` reads back as an equal plan, with the same hash."""
    return write_yaml(_fields(plan))


def _fields(model: BaseModel) -> dict[str, Any]:
    """The fields of a model without those that are None or empty by default."""
    fields: dict[str, Any] = {}
    dumped = model.model_dump(mode="json")
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        if (value is None and info.default is None) or (
            value == {} and info.default_factory is dict
        ):
            continue
        fields[name] = _fields(value) if isinstance(value, BaseModel) else dumped[name]
    return fields
