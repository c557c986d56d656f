"""Services of EAS that are there from the start, and how they truly answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "SERVICES",
    "DeployedService",
    "ServiceTruth",
    "image",
    "instances",
    "machine",
    "metadata",
]


@dataclass(frozen=True, slots=True)
class ServiceTruth:
    """How a service truly answers; the reports of benchmark tasks follow from it.

    `service_time_ms` is the mean time of a request that waits for nobody, `slots` how many are
    served at once, `queue_limit` how many more may wait before the rest is refused with 450.
    `error_share` of what is served ends with 500.
    """

    service_time_ms: float = 20.0
    slots: int = 16
    queue_limit: int = 1000
    request_bytes: int = 512
    response_bytes: int = 2048
    error_share: float = 0.0


@dataclass(frozen=True, slots=True)
class DeployedService:
    """A service that is there from the start.

    `config` is its `ServiceConfig`; `region` None stands for the world's default one.
    """

    config: Mapping[str, Any]
    token: str = field(repr=False)
    truth: ServiceTruth = ServiceTruth()
    labels: Mapping[str, str] = field(default_factory=dict)
    region: str | None = None

    @property
    def name(self) -> str:
        """The service's name, from its configuration."""
        return str(self.config["name"])


SERVICES = (
    DeployedService(
        config={
            "name": "qwen3_8b_chat",
            "metadata": {"instance": 1, "cpu": 8, "memory": 30_000, "gpu": 1},
            "cloud": {"computing": {"instance_type": "ecs.gn7i-c8g1.2xlarge"}},
            "containers": [
                {
                    "image": "eas-registry-vpc.cn-hangzhou.cr.aliyuncs.com/pai-eas/vllm:0.11.0",
                    "script": "vllm serve /model --served-model-name Qwen3-8B --port 8000",
                    "port": 8000,
                }
            ],
            "storage": [
                {"mount_path": "/model", "oss": {"path": "oss://example-models/Qwen3-8B/"}}
            ],
        },
        token="fake-token-of-qwen3-8b-chat",
        truth=ServiceTruth(2_000.0, 32, 200, 900, 6_000),
        labels={"model": "Qwen3-8B", "framework": "vllm"},
    ),
    DeployedService(
        config={
            "name": "test_service",
            "metadata": {"instance": 2, "cpu": 4, "memory": 16_000},
            "cloud": {"computing": {"instance_type": "ecs.g6.xlarge"}},
            "processor": "tensorflow_cpu_2.7",
            "model_path": "oss://example-models/ranking/",
        },
        token="test_token",
        truth=ServiceTruth(8.0, 16, 500, 1_400, 300),
        labels={"team": "ranking"},
    ),
)


def machine(config: Mapping[str, Any]) -> str:
    """The instance type a configuration names, in either of its two spellings; or nothing."""
    flat = config.get("cloud.computing.instance_type")
    cloud = config.get("cloud")
    computing = cloud.get("computing") if isinstance(cloud, Mapping) else None
    nested = computing.get("instance_type") if isinstance(computing, Mapping) else None
    return str(flat or nested or "")


def instances(config: Mapping[str, Any]) -> int:
    """How many instances a configuration asks for, 1 where it does not say; 0 for nonsense."""
    count = metadata(config).get("instance", 1)
    return count if isinstance(count, int) and not isinstance(count, bool) else 0


def image(config: Mapping[str, Any]) -> str:
    """The image of the first container, or nothing."""
    containers = config.get("containers")
    first = containers[0] if isinstance(containers, list) and containers else None
    return str(first.get("image", "")) if isinstance(first, Mapping) else ""


def metadata(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section `metadata`, empty where there is none."""
    section = config.get("metadata")
    return section if isinstance(section, Mapping) else {}
