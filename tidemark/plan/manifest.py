"""OME BenchmarkJobs: the same plan, written for Kubernetes.

The fields are those of `ome.io/v1beta1` BenchmarkJob (sgl-project/ome,
`pkg/apis/ome/v1beta1/benchmark_job.go`). `manifest_fields.FIELDS` says of each what
becomes of it here; a field that is not in the table is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from tidemark.errors import PlanError
from tidemark.plan.advice import warnings
from tidemark.plan.manifest_fields import API_VERSION, FIELDS, KIND, plan_path_to_manifest
from tidemark.plan.manifest_reader import ManifestReader
from tidemark.plan.manifest_store import read_store
from tidemark.plan.problems import Location, Problem, did_you_mean, plan_error, problems_of
from tidemark.plan.secrets import is_sensitive_name, looks_like_secret
from tidemark.plan.sweep import SweepPlan
from tidemark.plan.tasks import BATCH_TASKS, TASK_SYNONYMS

__all__ = ["FIELDS", "PlanDocument", "is_manifest", "plan_from_manifest"]

_DIALECTS = {"vllm": "vllm", "sglang": "sglang"}
_MAX_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDocument:
    """A plan and what its document says beyond it.

    `store_uri` and `store_options` are where results go, with references in place of
    secrets; `pod_override` is kept for running inside a cluster; `notes` say what became
    of fields that are no part of the plan; `warnings` include those of the plan.
    """

    plan: SweepPlan
    store_uri: str | None = None
    store_options: Mapping[str, str] = field(default_factory=dict)
    pod_override: Mapping[str, Any] | None = None
    namespace: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def is_manifest(document: Any) -> bool:
    """Whether a document is meant for Kubernetes, whatever its kind."""
    return isinstance(document, Mapping) and ("apiVersion" in document or "kind" in document)


def plan_from_manifest(
    document: Mapping[str, Any],
    source: str = "manifest",
    lines: Mapping[Location, int] | None = None,
) -> PlanDocument:
    """The plan in a BenchmarkJob, as read from YAML.

    Raises PlanError that lists all that is wrong by the manifest's own field paths. An
    InferenceService keeps `endpoint.url` None: give the URL with `with_url`.
    """
    _check_kind(document, source)
    reader = ManifestReader(document)
    fields = _plan_fields(reader)
    store_uri, store_options = read_store(reader)
    pod_override = _pod_override(reader)
    reader.refuse_unknown()
    plan = None
    try:
        plan = SweepPlan.model_validate(fields)
    except ValidationError as error:
        for found in problems_of(error, SweepPlan):
            reader.add(Problem(plan_path_to_manifest(found.where), found.what, found.remedy))
    if plan is None or reader.problems:
        raise plan_error(reader.problems, source, lines)
    return PlanDocument(
        plan=plan,
        store_uri=store_uri,
        store_options=store_options,
        pod_override=pod_override,
        namespace=reader.text("metadata.namespace"),
        notes=tuple(reader.notes),
        warnings=(*reader.warnings, *warnings(plan)),
    )


def _check_kind(document: Mapping[str, Any], source: str) -> None:
    kind, api_version = document.get("kind"), document.get("apiVersion")
    if kind != KIND:
        raise PlanError(
            "is not a BenchmarkJob",
            f"{source}: kind",
            f"Give a manifest of kind {KIND}, or a plan without apiVersion and kind",
        )
    if api_version != API_VERSION:
        raise PlanError(
            "is not a version of BenchmarkJob that is known here",
            f"{source}: apiVersion",
            f"Write {API_VERSION}",
        )


def _plan_fields(reader: ManifestReader) -> dict[str, Any]:
    task = _task(reader)
    fields: dict[str, Any] = {
        "name": reader.text("metadata.name"),
        "endpoint": _endpoint(reader),
        "task": task,
        "limits": {},
        "system": _system(reader),
        "request": _request_parameters(reader),
        "dataset": _dataset(reader),
    }
    minutes = reader.whole("spec.maxTimePerIteration", 1, _MAX_MINUTES, "minutes")
    if minutes is not None:
        fields["limits"]["max_time_s"] = 60.0 * minutes
    requests = reader.whole("spec.maxRequestsPerIteration", 1, 10_000_000, "requests")
    if requests is not None:
        fields["limits"]["max_requests"] = requests
    scenarios = reader.set_of("spec.trafficScenarios", str)
    if scenarios:
        fields["scenarios"] = scenarios
    elif scenarios is not None:
        reader.note("spec.trafficScenarios", "not given: the load engine's defaults are measured")
    _levels(reader, task, fields)
    reader.note("spec.maxTimePerIteration", "minutes, turned into seconds")
    return fields


def _levels(reader: ManifestReader, task: str | None, fields: dict[str, Any]) -> None:
    levels = reader.set_of("spec.numConcurrency", int)
    if task in BATCH_TASKS:
        if levels and levels != [1]:
            reader.warn(
                "spec.numConcurrency",
                f"has no effect: {task} is measured over batch sizes at concurrency 1",
            )
        return
    if levels:
        fields["concurrency"] = levels
    elif levels is not None:
        reader.note("spec.numConcurrency", "not given: 1, 2, 4 … 256 are measured")


def _task(reader: ManifestReader) -> str | None:
    task = reader.text("spec.task", required=True)
    if task is not None and task.replace("-", "_") == "image_to_text":
        mapped = TASK_SYNONYMS["image_to_text"]
        reader.note("spec.task", f"{task} is called {mapped} by the load engine")
        return mapped
    return task


def _endpoint(reader: ManifestReader) -> dict[str, Any]:
    direct = reader.mapping("spec.endpoint.endpoint")
    service = reader.mapping("spec.endpoint.inferenceService")
    reader.mapping("spec.endpoint", required=True)
    if direct is not None and service is not None:
        reader.problem(
            "spec.endpoint",
            "names both an endpoint and an inferenceService",
            "Keep one of the two",
        )
    if direct is None and service is None and reader.mapping("spec.endpoint") is not None:
        reader.problem(
            "spec.endpoint",
            "names neither an endpoint nor an inferenceService",
            "Add endpoint with url and apiFormat, or inferenceService with name and namespace",
        )
    endpoint: dict[str, Any] = {"dialect": _dialect(reader)}
    if direct is not None:
        endpoint["url"] = reader.text("spec.endpoint.endpoint.url", required=True)
        endpoint["model"] = reader.text("spec.endpoint.endpoint.modelName") or None
        _check_format(reader)
    elif service is not None:
        endpoint["inference_service"] = {
            "name": reader.text("spec.endpoint.inferenceService.name", required=True),
            "namespace": reader.text("spec.endpoint.inferenceService.namespace", required=True),
        }
    return endpoint


def _check_format(reader: ManifestReader) -> None:
    where = "spec.endpoint.endpoint.apiFormat"
    api_format = reader.text(where, required=True)
    if api_format in ("cohere", "oci-cohere"):
        reader.problem(
            where,
            f"{api_format} is a dialect that is not spoken here",
            "Measure an OpenAI-compatible endpoint of the service, with apiFormat: openai",
        )
    elif api_format is not None and api_format != "openai":
        reader.problem(where, "is no known format", did_you_mean(api_format, ["openai"]))


def _dialect(reader: ManifestReader) -> str:
    """OME speaks plain OpenAI to every server; who knows the engine can ask for more."""
    where = "spec.serviceMetadata.engine"
    engine = reader.text(where)
    dialect = _DIALECTS.get((engine or "").casefold(), "openai")
    if dialect != "openai":
        sentence = f"the server is spoken to as {dialect}, so answers have the length asked for"
    elif engine is None:
        sentence = "not given, so the server is spoken to in plain OpenAI; add vLLM or SGLang"
    else:
        sentence = "the server is spoken to in plain OpenAI"
    reader.note(where, sentence)
    return dialect


def _system(reader: ManifestReader) -> dict[str, Any]:
    at = "spec.serviceMetadata"
    return {
        "serving_engine": reader.text(f"{at}.engine"),
        "serving_version": reader.text(f"{at}.version"),
        "gpu_type": reader.text(f"{at}.gpuType"),
        "gpu_count": reader.whole(f"{at}.gpuCount", 0, 100_000, "GPUs", required=False),
    }


def _request_parameters(reader: ManifestReader) -> dict[str, Any]:
    where = "spec.additionalRequestParams"
    given = reader.mapping(where)
    if not given:
        return {}
    reader.note(where, "sent with each request; OME itself checks them and sends none")
    return {name: _typed(value) for name, value in given.items()}


def _typed(value: Any) -> Any:
    """A manifest can only hold text: "0.0" is meant as 0.0, "true" as true, "fast" as text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _dataset(reader: ManifestReader) -> dict[str, Any] | None:
    where = "spec.dataset"
    if reader.mapping(where) is None:
        return None
    uri = reader.text(f"{where}.storageUri", required=True)
    columns = reader.texts(f"{where}.parameters")
    dataset: dict[str, Any] = {}
    for name, value in columns.items():
        if name in ("prompt_column", "image_column", "sha256"):
            dataset[name] = value
        else:
            reader.problem(
                f"{where}.parameters.{name}",
                "has no meaning for a dataset",
                did_you_mean(name, ["prompt_column", "image_column", "sha256"]),
            )
    scheme, _, rest = (uri or "").partition("://")
    if scheme == "hf" and "@" not in rest:
        dataset["path"] = rest
    elif scheme == "local" and rest:
        dataset["path"] = f"/{rest.lstrip('/')}"
    elif uri is not None:
        reader.problem(
            f"{where}.storageUri",
            "cannot be opened by the load engine",
            "Write hf://org/name (without a branch) for a hub dataset, or local:///path/to/file",
        )
    reader.note(where, "requests are made of it; OME itself ignores it")
    return dataset or None


def _pod_override(reader: ManifestReader) -> Mapping[str, Any] | None:
    where = "spec.podOverride"
    override = reader.mapping(where)
    if override is None:
        return None
    reader.warn(where, "has no effect on load sent from here; it is kept for runs in a cluster")
    environment = override.get("env")
    if environment is not None and not isinstance(environment, list):
        reader.problem(f"{where}.env", "is not a list", "Write - name: … entries")
        return override
    for index, entry in enumerate(environment or []):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        value = entry.get("value") if isinstance(entry, Mapping) else None
        if isinstance(value, str) and (
            (isinstance(name, str) and is_sensitive_name(name.replace("_", "-")))
            or looks_like_secret(value)
        ):
            reader.problem(
                f"{where}.env[{index}].value",
                "looks like a secret, and manifests are stored and printed",
                "Use valueFrom.secretKeyRef with the name and key of a Secret",
            )
    return override
