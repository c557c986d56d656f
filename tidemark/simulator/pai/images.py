"""Images that jobs can run, as AIWorkSpace's ListImages (2021-02-04) describes them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from tidemark.simulator.pai.world import World

__all__ = ["IMAGES", "OfficialImage"]

_SUPPORTED = {"c": "dlc", "d": "dsw", "e": "eas"}


@dataclass(frozen=True, slots=True)
class OfficialImage:
    """One image; its address differs by region, for each region has its own registry.

    `name` reads `repository:tag`. `created` is a date. `supported` has a letter for each product
    that runs it: c DLC, d DSW, e EAS. Only images that were added to a workspace have one.
    """

    name: str
    framework: str
    chip: str
    python: str
    created: str
    size_gb: int
    supported: str = "cd"
    origin: str = "PAI"
    namespace: str = "pai"
    workspace_id: str = ""

    def uri(self, region: str) -> str:
        """Where it is pulled from, within that region."""
        if self.namespace == "pai-dlc":
            return f"registry-vpc.{region}.aliyuncs.com/pai-dlc/{self.name}"
        return f"dsw-registry-vpc.{region}.cr.aliyuncs.com/{self.namespace}/{self.name}"

    def document(self, region: str, world: World) -> dict[str, Any]:
        """The image with all its labels."""
        digest = hashlib.sha256(f"{region}/{self.namespace}/{self.name}".encode()).hexdigest()
        labels = [
            ("system.chipType", self.chip),
            ("system.framework", self.framework),
            ("system.pythonVersion", self.python),
            ("system.origin", self.origin),
            *((f"system.supported.{_SUPPORTED[letter]}", "true") for letter in self.supported),
        ]
        if not self.workspace_id:
            labels.append(("system.official", "true"))
        owner = world.account_id if self.workspace_id else "1157703270994901"
        return {
            "ImageId": f"image-{digest[:20]}",
            "Name": self.name,
            "ImageUri": self.uri(region),
            "Description": f"{self.framework} for {self.chip}, Python {self.python}",
            "Labels": [{"Key": key, "Value": value} for key, value in labels],
            "Accessibility": "PRIVATE" if self.workspace_id else "PUBLIC",
            "GmtCreateTime": f"{self.created}T08:00:00.000Z",
            "GmtModifiedTime": f"{self.created}T08:00:00.000Z",
            "ParentUserId": owner,
            "UserId": owner,
            "Size": self.size_gb,
            "SourceType": "pai",
            "SourceId": "",
            "WorkspaceId": self.workspace_id,
        }


def _image(name: str, framework: str, created: str, size_gb: int, **more: Any) -> OfficialImage:
    """Chip and Python version are read from the tag, as people read them."""
    python = next((part for part in name.split("-") if part.startswith("py3")), "py310")
    version = f"{python[2]}.{python[3:]}"
    chip = "GPU" if "-gpu" in name or "-cu" in name else "CPU"
    return OfficialImage(name, framework, chip, version, created, size_gb, **more)


IMAGES = (
    _image("pytorch-training:1.12-cpu-py39-ubuntu20.04", "PyTorch 1.12", "2022-11-08", 3),
    _image("pytorch-training:1.12-gpu-py39-cu113-ubuntu20.04", "PyTorch 1.12", "2022-11-08", 9),
    _image("pytorch-training:2.0-cpu-py310-ubuntu22.04", "PyTorch 2.0", "2023-08-17", 4),
    _image("pytorch-training:2.0-gpu-py310-cu118-ubuntu22.04", "PyTorch 2.0", "2023-08-17", 11),
    _image("pytorch-training:2.1-cpu-py310-ubuntu22.04", "PyTorch 2.1", "2024-02-20", 4),
    _image("pytorch-training:2.1-gpu-py310-cu121-ubuntu22.04", "PyTorch 2.1", "2024-02-20", 12),
    _image("pytorch:2.4-cpu-py311-ubuntu22.04", "PyTorch 2.4", "2024-11-05", 4),
    _image("pytorch:2.4-gpu-py311-cu124-ubuntu22.04", "PyTorch 2.4", "2024-11-05", 13),
    _image("pytorch:2.6-cpu-py312-ubuntu24.04", "PyTorch 2.6", "2025-04-15", 4),
    _image("pytorch:2.6-gpu-py312-cu126-ubuntu24.04", "PyTorch 2.6", "2025-04-15", 14),
    _image(
        "pytorch-training:2.1-gpu-py310-cu121-accl-ubuntu22.04", "PyTorch 2.1", "2024-06-03", 13
    ),
    _image("pytorch:2.6-gpu-py312-cu126-ngc25.02-ubuntu24.04", "PyTorch 2.6", "2025-05-20", 18),
    _image("pytorch:2.6-gpu-py312-cu126-deepEp-ubuntu24.04", "PyTorch 2.6", "2025-06-10", 19),
    _image(
        "tensorflow-training:1.15-cpu-py36-ubuntu18.04",
        "TensorFlow 1.15",
        "2022-05-12",
        2,
        namespace="pai-dlc",
    ),
    _image(
        "tensorflow-training:1.15-gpu-py36-cu100-ubuntu18.04",
        "TensorFlow 1.15",
        "2022-05-12",
        6,
        namespace="pai-dlc",
    ),
    _image("tensorflow-training:2.11-mkl-cpu-py39-ubuntu20.04", "TensorFlow 2.11", "2023-03-02", 3),
    _image(
        "tensorflow-training:2.11-gpu-py39-cu112-ubuntu20.04", "TensorFlow 2.11", "2023-03-02", 8
    ),
    _image("tensorflow:2.16-gpu-py311-cu123-ubuntu22.04", "TensorFlow 2.16", "2024-08-19", 9),
    _image("xgboost-training:1.6.0-cpu-py36-ubuntu18.04", "XGBoost 1.6.0", "2022-09-30", 2),
    _image("xgboost-training:2.1.0-cpu-py311-ubuntu22.04", "XGBoost 2.1.0", "2024-09-12", 2),
    _image("ray:2.39.0-cpu-py311-ubuntu22.04", "Ray 2.39.0", "2025-01-14", 4),
    _image("ray:2.39.0-gpu-py311-cu124-ubuntu22.04", "Ray 2.39.0", "2025-01-14", 12),
    _image(
        "vllm:0.8.5-gpu-py312-cu124-ubuntu22.04",
        "vLLM 0.8.5",
        "2025-05-07",
        15,
        supported="ce",
    ),
    _image(
        "modelscope:1.25.0-gpu-py311-cu124-ubuntu22.04",
        "PyTorch 2.5",
        "2025-04-02",
        21,
        supported="d",
        origin="Community",
    ),
    _image(
        "tritonserver:25.03-gpu-py312-cu128-ubuntu24.04",
        "Triton 25.03",
        "2025-04-28",
        16,
        supported="e",
        origin="Community",
    ),
    _image(
        "genai-bench:0.0.5-cpu-py311-ubuntu22.04",
        "genai-bench 0.0.5",
        "2025-11-18",
        1,
        supported="c",
        origin="Custom",
        namespace="example-team",
        workspace_id="268",
    ),
)
