"""What kinds of work need, as a table: a GPU or none, and the machine that is usual for each.

The usual machine is where a choice begins: what it has is what the work needs. What it has is
written here as Alibaba Cloud describes the instance type, and is only used where the service does
not offer it: an offer is judged by what the service says of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["ANY_WORK", "WORKS", "NeedsGpu", "Work", "WorkName"]

WorkName = Literal[
    "any",
    "script",
    "data-processing",
    "small-model",
    "mid-size-training",
    "large-model-fine-tuning",
    "large-model-pre-training",
]

ANY_WORK: Final = "any"
"""No kind in particular: only what else is said counts."""


@dataclass(frozen=True, slots=True)
class NeedsGpu:
    """Whether work needs a GPU, and which work of that kind people have."""

    needed: bool
    why: str


_TRAINING: Final = NeedsGpu(True, "training in PyTorch or TensorFlow needs a GPU")
_INFERENCE: Final = NeedsGpu(True, "it computes on a GPU (CUDA)")
_SCRIPT: Final = NeedsGpu(False, "no GPU is needed")
_DATA: Final = NeedsGpu(False, "processors do it, and no GPU is needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A kind of work: in words, whether it needs a GPU, and its usual machine.

    `cpu_count` and `memory_gib` are what work without a GPU needs, `gpu_count` GPUs of
    `gpu_memory_gib` each what work with one needs: each as much as the usual machine has.
    """

    words: str
    gpu: NeedsGpu
    usual_spec: str
    cpu_count: int | None = None
    memory_gib: float | None = None
    gpu_count: int | None = None
    gpu_memory_gib: float | None = None

    @property
    def needs(self) -> str:
        """What it needs, in words."""
        if self.gpu.needed:
            return f"{self.gpu_count} × GPU with {self.gpu_memory_gib:g} GiB"
        return f"{self.cpu_count} vCPU, {self.memory_gib:g} GiB, no GPU"


WORKS: Final[Mapping[WorkName, Work]] = {
    "script": Work(
        words="a simple script or test",
        gpu=_SCRIPT,
        usual_spec="ecs.c6.large",
        cpu_count=2,
        memory_gib=4,
    ),
    "data-processing": Work(
        words="data processing",
        gpu=_DATA,
        usual_spec="ecs.c6.xlarge",
        cpu_count=4,
        memory_gib=8,
    ),
    "small-model": Work(
        words="inference or fine-tuning of a small model",
        gpu=_INFERENCE,
        usual_spec="ecs.gn6i-c4g1.xlarge",  # 1 × T4
        gpu_count=1,
        gpu_memory_gib=16,
    ),
    "mid-size-training": Work(
        words="training of a mid-size model",
        gpu=_TRAINING,
        usual_spec="ecs.gn6v-c8g1.2xlarge",  # 1 × V100
        gpu_count=1,
        gpu_memory_gib=16,
    ),
    "large-model-fine-tuning": Work(
        words="fine-tuning of a large model",
        gpu=_INFERENCE,
        usual_spec="ecs.gn7i-c32g1.8xlarge",  # 1 × A10
        gpu_count=1,
        gpu_memory_gib=24,
    ),
    "large-model-pre-training": Work(
        words="pre-training of a large model",
        gpu=_TRAINING,
        usual_spec="ecs.ebmgn7i.32xlarge",  # 4 × A10
        gpu_count=4,
        gpu_memory_gib=24,
    ),
}
"""The kinds of work by name; any work is none of them."""
