"""Plans and manifests for tests: a good one, and the same with changes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidemark.plan.load import plan_from_mapping
from tidemark.plan.sweep import SweepPlan

OME = Path(__file__).parent.parent / "data" / "third_party" / "ome"

# In place of a value: take the field out.
GONE = object()

PLAN: dict[str, Any] = {
    "endpoint": {"url": "http://localhost:8000", "model": "llama"},
    "scenarios": ["D(100,100)"],
    "concurrency": [1, 4],
    "tokenizer": "/models/llama/tokenizer",
}

MANIFEST: dict[str, Any] = {
    "apiVersion": "ome.io/v1beta1",
    "kind": "BenchmarkJob",
    "metadata": {"name": "job", "namespace": "bench"},
    "spec": {
        "endpoint": {
            "endpoint": {
                "url": "http://localhost:8000",
                "apiFormat": "openai",
                "modelName": "llama",
            }
        },
        "task": "text-to-text",
        "trafficScenarios": ["D(100,100)"],
        "numConcurrency": [1, 4],
        "maxTimePerIteration": 15,
        "maxRequestsPerIteration": 100,
        "outputLocation": {"storageUri": "s3://bucket/results", "parameters": {}},
    },
}


def changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `base` with values at dotted paths set, or taken out where GONE."""
    result = copy.deepcopy(dict(base))
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = result
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is GONE:
            place.pop(last, None)
        else:
            place[last] = value
    return result


def make_plan(**changes: Any) -> SweepPlan:
    """The good plan with top-level fields changed; `__` in a name goes one level down."""
    return plan_from_mapping(
        changed(PLAN, {name.replace("__", "."): value for name, value in changes.items()})
    )
