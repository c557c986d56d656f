"""What a job runs on: a named instance type, one to be chosen, or a share of a quota."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from tidemark.plan.amount import Sum
from tidemark.plan.base import Name, PlanModel, Real, Whole
from tidemark.plan.job_work import ANY_WORK, WORKS, Work, WorkName
from tidemark.plan.problems import Problem, did_you_mean, refusal, refusals

__all__ = ["JobMachine", "QuotaPart", "SpotLimit"]

_WORK_SYNONYMS = {
    "test": "script",
    "shell": "script",
    "simple": "script",
    "data": "data-processing",
    "inference": "small-model",
    "small_model_inference": "small-model",
    "small_model_fine_tuning": "small-model",
    "training": "mid-size-training",
    "fine_tuning": "large-model-fine-tuning",
    "finetuning": "large-model-fine-tuning",
    "pre_training": "large-model-pre-training",
    "pretraining": "large-model-pre-training",
}


def _known_work(value: Any) -> Any:
    names = get_args(WorkName)
    if value is None:
        return ANY_WORK
    if value in names:
        return value
    text = value if isinstance(value, str) else ""
    raise refusal("is no known kind of work", did_you_mean(text, names, _WORK_SYNONYMS))


class SpotLimit(PlanModel):
    """Machines that may be taken back at any time, for less."""

    discount_limit: Real = Field(
        default=1.0,
        title="Discount limit",
        description="The most to pay, as a share of the ordinary price, above 0 and at most 1. A "
        "machine whose spot price passes it is taken back. Quotes count this limit.",
        examples=[0.6],
        gt=0,
        le=1,
    )


class QuotaPart(PlanModel):
    """A share, for each worker, of machines that are paid for as a whole (resource quota)."""

    resource_id: Name = Field(
        title="Quota",
        description="Id of the quota, as the console shows it.",
        examples=["quota1a2b3c4d5e6f"],
        pattern=r"^[A-Za-z0-9_-]{1,128}$",
    )
    cpu: Whole = Field(
        title="CPU",
        description="Processors of each worker, from 1 to 1024.",
        examples=[8],
        ge=1,
        le=1024,
    )
    memory_gib: Real = Field(
        title="Memory",
        description="Memory of each worker in GiB, from 1 to 16384.",
        examples=[32],
        ge=1,
        le=16_384,
    )
    gpu: Whole = Field(
        default=0,
        title="GPUs",
        description="GPUs of each worker, from 0 to 64.",
        examples=[1],
        ge=0,
        le=64,
    )
    gpu_type: Name | None = Field(
        default=None,
        title="GPU type",
        description="As the quota spells it, for quotas with GPUs of several types.",
        examples=["Tesla-V100-16G"],
    )

    @model_validator(mode="after")
    def _type_of_some(self) -> Self:
        if self.gpu_type is not None and self.gpu == 0:
            what, remedy = "is given, and no GPU is asked for", "Give gpu, or leave gpu_type out"
            raise refusals("quota", [Problem(("gpu_type",), what, remedy)])
        return self


class JobMachine(PlanModel):
    """The machine of each worker: an instance type (spec), what is needed of one to be chosen, or
    a share of a quota. Left empty: the cheapest for a simple script; for a sweep, one that can
    send its load."""

    form_order: ClassVar = ("work", "spec", "gpu", "gpu_type", "gpu_count", "gpu_memory_gib")

    spec: Name | None = Field(
        default=None,
        title="Instance type",
        description="A named machine of the public pool, as `tidemark pai specs` lists them. In "
        "place of what is needed.",
        examples=["ecs.gn7i-c8g1.2xlarge"],
    )
    work: Annotated[WorkName, BeforeValidator(_known_work)] = Field(
        default=ANY_WORK,
        title="Kind of work",
        description="Chooses a machine that is usual for it: script, data-processing, small-model "
        "(inference, fine-tuning), mid-size-training, large-model-fine-tuning, "
        "large-model-pre-training; any: by what else is needed.",
        examples=["script", "small-model"],
    )
    gpu: bool | None = Field(
        default=None,
        title="GPU",
        description="Whether a GPU is needed. Left out: as the kind of work needs, or the fields "
        "about GPUs; otherwise none.",
        examples=[True],
        strict=True,
    )
    gpu_type: Name | None = Field(
        default=None,
        title="GPU type",
        description="Which GPU is needed.",
        examples=["A10", "V100"],
    )
    gpu_count: Whole | None = Field(
        default=None,
        title="GPUs",
        description="At least so many GPUs in one machine, from 1 to 64.",
        examples=[1, 8],
        ge=1,
        le=64,
    )
    gpu_memory_gib: Real | None = Field(
        default=None,
        title="GPU memory",
        description="At least so much memory of each GPU in GiB, from 1 to 1024.",
        examples=[24],
        ge=1,
        le=1024,
    )
    cpu_count: Whole | None = Field(
        default=None,
        title="CPU",
        description="At least so many processors (vCPU), from 1 to 1024.",
        examples=[4],
        ge=1,
        le=1024,
    )
    memory_gib: Real | None = Field(
        default=None,
        title="Memory",
        description="At least so much memory in GiB, from 0.5 to 16384.",
        examples=[8],
        ge=0.5,
        le=16_384,
    )
    max_price_per_hour: Sum | None = Field(
        default=None,
        title="Most for an hour",
        description="What one machine may cost for an hour at most.",
        examples=[{"amount": 12, "currency": "CNY"}],
    )
    quota: QuotaPart | None = Field(
        default=None,
        title="Share of a quota",
        description="In place of a machine of the public pool: a share of machines that are paid "
        "for as a whole.",
        examples=[{"resource_id": "quota1a2b3c4d5e6f", "cpu": 8, "memory_gib": 32, "gpu": 1}],
    )
    spot: SpotLimit | None = Field(
        default=None,
        title="Spot",
        description="Take a machine of the public pool that may be taken back, for less.",
        examples=[{"discount_limit": 0.6}],
    )

    @property
    def kind_of_work(self) -> Work | None:
        """What is known of the kind of work; None for any."""
        return WORKS.get(self.work)

    @property
    def needs_gpu_itself(self) -> bool:
        """Whether a field about GPUs asks for one, whatever the kind of work."""
        asked = (self.gpu_type, self.gpu_count, self.gpu_memory_gib)
        return self.gpu is True or any(one is not None for one in asked)

    @property
    def is_open(self) -> bool:
        """Whether nothing is said of what machine it is to be; of its price, it may be."""
        return self.spec is None and self.quota is None and not self._needs

    @property
    def _needs(self) -> tuple[str, ...]:
        names = (
            "gpu", "gpu_type", "gpu_count", "gpu_memory_gib", "cpu_count", "memory_gib",
        )  # fmt: skip
        work = ("work",) if self.kind_of_work is not None else ()
        return *work, *(name for name in names if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        problems = [*self._both_ways()]
        if self.gpu is False:
            problems.extend(
                Problem((name,), "asks for a GPU, and gpu says that none is needed", "Keep one")
                for name in ("gpu_type", "gpu_count", "gpu_memory_gib")
                if getattr(self, name) is not None
            )
        if problems:
            raise refusals("machine", problems)
        return self

    def _both_ways(self) -> list[Problem]:
        if self.quota is not None:
            beside = [*self._needs, *(("spec",) if self.spec is not None else ())]
            beside += [name for name in ("max_price_per_hour", "spot") if getattr(self, name)]
            what = "is for machines of the public pool, and quota takes a share of a quota"
            remedy = "Keep one of the two: quota, or a machine of the public pool"
            return [Problem((name,), what, remedy) for name in beside]
        if self.spec is not None:
            what = "is for choosing a machine, and spec names one"
            remedy = "Keep spec, or leave it out to have one chosen"
            return [Problem((name,), what, remedy) for name in self._needs]
        return []
