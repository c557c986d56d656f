"""What could change a measurement: the identity that a cell's id is the hash of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemark.plan.secrets import SecretRef

if TYPE_CHECKING:
    from tidemark.plan.sweep import SweepPlan

__all__ = ["IDENTITY_VERSION", "identity", "identity_known"]

# Goes up when the same measurement would get another identity than before.
IDENTITY_VERSION = 1


def identity_known(plan: SweepPlan) -> bool:
    """Whether the plan says what is behind the endpoint, and not only where it is.

    True with a model name and an image digest. A system that is not known may have
    changed between two runs without any sign of it.
    """
    return plan.endpoint.model is not None and plan.system.image_digest is not None


def identity(plan: SweepPlan, scenario: str, concurrency: int, batch_size: int) -> dict[str, Any]:
    """All that could change what one cell measures, as JSON values.

    Three parts: workload, system, engine. No reference to a secret is in it, and of
    headers that are references only the names: a rotated key is not another workload.
    Names, objectives, error bounds, repeats and the places of certificates change no
    measurement and are not in it either.
    """
    return {
        "identity_version": IDENTITY_VERSION,
        "workload": _workload(plan, scenario, concurrency, batch_size),
        "system": _system(plan),
        "engine": plan.engine.model_dump(mode="json"),
    }


def _workload(plan: SweepPlan, scenario: str, concurrency: int, batch_size: int) -> dict[str, Any]:
    headers = plan.endpoint.headers
    return {
        "task": plan.task,
        "scenario": scenario,
        "concurrency": concurrency,
        "batch_size": batch_size,
        "limits": {
            "max_time_s": plan.limits.max_time_s,
            # Resolved, so that a default written out is the same workload.
            "max_requests": plan.limits.requests_at(concurrency),
            "stall_timeout_s": plan.limits.stall_timeout_s,
            "drain_s": plan.limits.drain_s,
        },
        # As written, not resolved: its default follows the highest concurrency of the plan,
        # and one more level must not change the cells that are there.
        "warmup": None if plan.warmup is None else plan.warmup.model_dump(mode="json"),
        "dialect": plan.endpoint.dialect,
        "request": dict(plan.request),
        "headers": {
            name.casefold(): str(value)
            for name, value in headers.items()
            if not isinstance(value, SecretRef)
        },
        "secret_headers": sorted(
            name.casefold() for name, value in headers.items() if isinstance(value, SecretRef)
        ),
        "proxy": plan.endpoint.proxy,
        "dataset": None if plan.dataset is None else plan.dataset.model_dump(mode="json"),
        "prefix": None if plan.prefix is None else plan.prefix.model_dump(mode="json"),
        "tokenizer": plan.tokenizer,
        "token_counts": plan.token_counts,
    }


def _system(plan: SweepPlan) -> dict[str, Any]:
    system = plan.system
    known: dict[str, Any] = {
        "model": plan.endpoint.model,
        "revision": system.revision,
        "image_digest": system.image_digest,
        "precision": system.precision,
        "serving_engine": system.serving_engine,
        "serving_version": system.serving_version,
        "gpu_type": system.gpu_type,
        "gpu_count": system.gpu_count,
    }
    if identity_known(plan):
        return known
    service = plan.endpoint.inference_service
    return {
        **known,
        "url": plan.endpoint.url,
        "inference_service": None if service is None else service.model_dump(mode="json"),
    }
