"""Plans of jobs for tests: one with every field, a small one, and the same with changes."""

from __future__ import annotations

from typing import Any

from plan_builders import changed

from tidemark.plan.job import JobPlan
from tidemark.plan.job_load import job_plan_from_mapping

SMALL: dict[str, Any] = {"command": "nvidia-smi", "machine": {"work": "script"}}

SWEEP: dict[str, Any] = {
    "endpoint": {"url": "http://my-service:8080", "model": "llama"},
    "tokenizer": "org/llama@main",
    "scenarios": ["D(100,100)"],
    "concurrency": [1, 4],
}

FULL: dict[str, Any] = {
    "name": "nightly",
    "sweep": {
        **SWEEP,
        "endpoint": {
            **SWEEP["endpoint"],
            "api_key": "file:/mnt/keys/service",
            "headers": {"X-Gateway-Key": "file:/mnt/keys/gateway"},
        },
        "tokenizer": "/mnt/models/llama",
    },
    "machine": {
        "work": "small-model",
        "gpu": True,
        "gpu_type": "A10",
        "gpu_count": 1,
        "gpu_memory_gib": 24,
        "cpu_count": 8,
        "memory_gib": 30,
        "max_price_per_hour": {"amount": 12.5, "currency": "CNY"},
        "spot": {"discount_limit": 0.6},
    },
    "workers": 1,
    "job_type": "PyTorchJob",
    "image": "registry.example.com/team/bench:1.2",
    "libraries": ["transformers==4.57.1", "team-tools @ https://files.example.com/t-1.whl"],
    "environment": {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
    "mounts": [
        {"uri": "oss://bench-data/models/", "mount_path": "/mnt/models"},
        {
            "uri": "oss://bench-keys/",
            "mount_path": "/mnt/keys",
            "role_arn": "acs:ram::1234567890123456:role/key-reader",
        },
    ],
    "role_arn": "acs:ram::1234567890123456:role/bench-job",
    "registry": {"username": "robot", "password": "env:REGISTRY_PASSWORD", "server": "r.test"},
    "vpc": {
        "vpc_id": "vpc-0example",
        "switch_id": "vsw-0example",
        "security_group_id": "sg-0example",
        "default_route": "eth1",
    },
    "expected_s": 600,
    "limits": {
        "total_s": 3600,
        "running_s": 1800.5,
        "queueing_s": 600,
        "preparing_s": 900,
        "image_pull_timeout_s": 120,
        "poll_interval_s": 10,
    },
    "cap": {"amount": 20, "currency": "CNY"},
}

QUOTA: dict[str, Any] = {
    "command": "nvidia-smi",
    "machine": {
        "quota": {
            "resource_id": "quota1a2b3c",
            "cpu": 8,
            "memory_gib": 32,
            "gpu": 1,
            "gpu_type": "A10",
        }
    },
    "priority": 5,
}


def make_job(**changes: Any) -> JobPlan:
    """The small plan with fields changed; `__` in a name goes one level down."""
    return job_plan_from_mapping(
        changed(SMALL, {name.replace("__", "."): value for name, value in changes.items()})
    )


def make_sweep_job(**changes: Any) -> JobPlan:
    """A job that runs the small sweep, with fields changed."""
    base = {"sweep": SWEEP}
    return job_plan_from_mapping(
        changed(base, {name.replace("__", "."): value for name, value in changes.items()})
    )
