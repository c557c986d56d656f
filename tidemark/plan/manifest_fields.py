"""Each field of a BenchmarkJob and what becomes of it: a table, and nothing else.

The names are those of the CustomResourceDefinition `benchmarkjobs.ome.io`, version
v1beta1 (sgl-project/ome, `config/crd/full/ome.io_benchmarkjobs.yaml`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tidemark.plan.problems import Location

__all__ = ["API_VERSION", "FIELDS", "KIND", "ManifestField", "plan_path_to_manifest"]

API_VERSION = "ome.io/v1beta1"
KIND = "BenchmarkJob"


@dataclass(frozen=True, slots=True)
class ManifestField:
    """What becomes of one field.

    mapped: becomes `target` of the plan, or of the document around it; `reason` says how.
    noted: no part of the plan; the reader is told `reason`.
    dropped: a cluster's bookkeeping, dropped without a word.
    refused: for `reason`.
    `open`: anything may stand below it.
    """

    treatment: Literal["mapped", "noted", "dropped", "refused"]
    target: str = ""
    reason: str = ""
    open: bool = False


def _mapped(target: str, reason: str = "as it is", *, open: bool = False) -> ManifestField:
    return ManifestField("mapped", target, reason, open)


def _noted(reason: str) -> ManifestField:
    return ManifestField("noted", reason=reason, open=True)


def _refused(reason: str) -> ManifestField:
    return ManifestField("refused", reason=reason, open=True)


_DROPPED = ManifestField("dropped", reason="bookkeeping of a cluster", open=True)
_NO_EFFECT = "has no effect on a BenchmarkJob: OME reads only storageUri and parameters"
_DATASET_ONLY = "the load engine reads a dataset from the hub or from a local file only"
_POD = _mapped("pod_override", "kept for runs in a cluster", open=True)

FIELDS: dict[str, ManifestField] = {
    "apiVersion": _mapped("", "must be ome.io/v1beta1"),
    "kind": _mapped("", "must be BenchmarkJob"),
    "metadata.name": _mapped("name"),
    "metadata.namespace": _mapped("namespace", "kept for runs in a cluster"),
    "metadata.generateName": _noted("a run from here needs no generated name"),
    "metadata.labels": _DROPPED,
    "metadata.annotations": _DROPPED,
    "metadata.uid": _DROPPED,
    "metadata.resourceVersion": _DROPPED,
    "metadata.generation": _DROPPED,
    "metadata.creationTimestamp": _DROPPED,
    "metadata.deletionTimestamp": _DROPPED,
    "metadata.deletionGracePeriodSeconds": _DROPPED,
    "metadata.managedFields": _DROPPED,
    "metadata.finalizers": _DROPPED,
    "metadata.ownerReferences": _DROPPED,
    "metadata.selfLink": _DROPPED,
    "status": _noted("tells of an earlier run and is no part of the plan"),
    "spec.endpoint.inferenceService.name": _mapped("endpoint.inference_service.name"),
    "spec.endpoint.inferenceService.namespace": _mapped("endpoint.inference_service.namespace"),
    "spec.endpoint.endpoint.url": _mapped("endpoint.url", "without a known API path at its end"),
    "spec.endpoint.endpoint.apiFormat": _mapped(
        "endpoint.dialect", "openai only; cohere and oci-cohere are not spoken here"
    ),
    "spec.endpoint.endpoint.modelName": _mapped("endpoint.model"),
    "spec.task": _mapped("task", "image-to-text is called image-text-to-text"),
    "spec.trafficScenarios": _mapped(
        "scenarios", "no duplicates; left out: the load engine's defaults", open=True
    ),
    "spec.numConcurrency": _mapped(
        "concurrency", "no duplicates; left out: the load engine's defaults", open=True
    ),
    "spec.maxTimePerIteration": _mapped("limits.max_time_s", "minutes, turned into seconds"),
    "spec.maxRequestsPerIteration": _mapped("limits.max_requests"),
    "spec.additionalRequestParams": _mapped(
        "request", "text turned into numbers, true, false and JSON", open=True
    ),
    "spec.dataset.storageUri": _mapped("dataset.path", "hf://org/name or local:///path"),
    "spec.dataset.parameters": _mapped(
        "dataset", "prompt_column, image_column and sha256", open=True
    ),
    "spec.dataset.path": _refused(_DATASET_ONLY),
    "spec.dataset.schemaPath": _refused(_DATASET_ONLY),
    "spec.dataset.key": _refused(_DATASET_ONLY),
    "spec.dataset.nodeSelector": _refused(_DATASET_ONLY),
    "spec.dataset.nodeAffinity": _refused(_DATASET_ONLY),
    "spec.dataset.downloadPolicy": _refused(_DATASET_ONLY),
    "spec.outputLocation.storageUri": _mapped("store_uri"),
    "spec.outputLocation.parameters": _mapped(
        "store_options", "credentials as references only", open=True
    ),
    "spec.outputLocation.path": _refused(_NO_EFFECT),
    "spec.outputLocation.schemaPath": _refused(_NO_EFFECT),
    "spec.outputLocation.key": _refused(_NO_EFFECT),
    "spec.outputLocation.nodeSelector": _refused(_NO_EFFECT),
    "spec.outputLocation.nodeAffinity": _refused(_NO_EFFECT),
    "spec.outputLocation.downloadPolicy": _refused(_NO_EFFECT),
    "spec.resultFolderName": _noted(
        "the layout under the store is always the same; the name is kept in this note only"
    ),
    "spec.huggingFaceSecretReference.name": _noted(
        "a Secret of the cluster cannot be read from here, and OME passes it under a name that "
        "the load engine never reads; for a tokenizer that needs a login, set HF_TOKEN where "
        "the run starts, or give the path of a copy"
    ),
    "spec.serviceMetadata.engine": _mapped("system.serving_engine", "and endpoint.dialect"),
    "spec.serviceMetadata.version": _mapped("system.serving_version"),
    "spec.serviceMetadata.gpuType": _mapped("system.gpu_type", "any name: it is a label"),
    "spec.serviceMetadata.gpuCount": _mapped("system.gpu_count"),
    "spec.podOverride.image": _POD,
    "spec.podOverride.env": _POD,
    "spec.podOverride.envFrom": _POD,
    "spec.podOverride.volumeMounts": _POD,
    "spec.podOverride.resources": _POD,
    "spec.podOverride.tolerations": _POD,
    "spec.podOverride.nodeSelector": _POD,
    "spec.podOverride.affinity": _POD,
    "spec.podOverride.volumes": _POD,
}

# Where the plan names a whole part and the manifest has no field of its own for it.
_PARTS: dict[Location, Location] = {
    ("endpoint",): ("spec", "endpoint"),
    ("endpoint", "inference_service"): ("spec", "endpoint", "inferenceService"),
    ("endpoint", "url_as_given"): ("spec", "endpoint", "endpoint", "url"),
    ("dataset",): ("spec", "dataset"),
    ("dataset", "prompt_column"): ("spec", "dataset", "parameters", "prompt_column"),
    ("dataset", "image_column"): ("spec", "dataset", "parameters", "image_column"),
    ("dataset", "sha256"): ("spec", "dataset", "parameters", "sha256"),
    ("system",): ("spec", "serviceMetadata"),
}
_BY_TARGET: dict[Location, Location] = {
    tuple(entry.target.split(".")): tuple(path.split("."))
    for path, entry in FIELDS.items()
    if entry.treatment == "mapped" and entry.target and entry.target != "dataset"
} | _PARTS


def plan_path_to_manifest(where: Location) -> Location:
    """The path in the manifest of a field of the plan: ("scenarios", 0) is
    ("spec", "trafficScenarios", 0). Fields that no manifest has keep their own path."""
    for length in range(len(where), 0, -1):
        path = _BY_TARGET.get(where[:length])
        if path is not None:
            return (*path, *where[length:])
    return where
