"""From a command and a machine to a job that DLC accepts: specs, image and workspace filled in."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidemark.alibaba.answers import read
from tidemark.alibaba.channel import Channel
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import EcsSpec
from tidemark.alibaba.dlc_requests import JobSpec
from tidemark.alibaba.images import ChipType, resolve_image
from tidemark.errors import ConfigError
from tidemark.plan.problems import did_you_mean

LOG = logging.getLogger("tidemark.alibaba")

__all__ = ["Machine", "job_spec", "sort_specs", "specs_for", "training_specs"]

SORT_KEYS = ("CPU", "GPU", "Memory", "GmtCreateTime")


@dataclass(frozen=True, slots=True)
class Machine:
    """What a worker runs on: an instance type, or a share of a quota; never both.

    Of a quota: `cpu`, `memory` ("32Gi"), `gpu` and `gpu_type` as the quota has them.
    """

    ecs_spec: str | None = None
    cpu: str | int | None = None
    memory: str | int | None = None
    gpu: str | int | None = None
    gpu_type: str | None = None

    @property
    def share(self) -> dict[str, Any]:
        """The share of a quota as a JobSpec's ResourceConfig has it; empty for an instance type."""
        given = {"CPU": self.cpu, "Memory": self.memory, "GPU": self.gpu, "GPUType": self.gpu_type}
        return {name: value for name, value in given.items() if value not in (None, "")}

    def resources(self) -> dict[str, Any]:
        """The `resources` of a JobSpec. Raises ConfigError for both kinds, or none."""
        if self.ecs_spec and self.share:
            raise ConfigError(
                f"is given together with {', '.join(self.share)}", f"ecs_spec: {self.ecs_spec}",
                "Give an instance type for the public pool, or a share of a quota; not both",
            )  # fmt: skip
        if not self.ecs_spec and not self.share:
            raise ConfigError(
                "no machine is given", "ecs_spec",
                "Give an instance type, or cpu, memory and gpu as a share of a quota",
            )  # fmt: skip
        return {"EcsSpec": self.ecs_spec} if self.ecs_spec else self.share


def job_spec(
    image: str, machine: Machine, *, spec_type: str = "Worker", pod_count: int = 1
) -> JobSpec:
    """The JobSpec of one role. Raises ConfigError for what DLC would refuse."""
    return read(
        JobSpec,
        {
            "Type": spec_type,
            "Image": image,
            "PodCount": pod_count,
            "Resources": machine.resources(),
        },
        "JobSpec",
    )


def training_specs(job_type: str, image: str, machine: Machine, worker_count: int) -> list[JobSpec]:
    """The roles of a job with `worker_count` pods in all.

    A RayJob needs a head: it is one of them.
    """
    if job_type != "RayJob":
        return [job_spec(image, machine, pod_count=worker_count)]
    head = job_spec(image, machine, spec_type="Head")
    if worker_count == 1:
        return [head]
    return [head, job_spec(image, machine, pod_count=worker_count - 1)]


async def image_for(channel: Channel, job_type: str, machine: Machine) -> str:
    """The official image for a machine: for GPUs if its accelerator type says so.

    Raises ConfigError for an instance type that DLC does not offer.
    """
    chip: ChipType = "CPU"
    machine.resources()
    if machine.ecs_spec:
        specs = await Dlc(channel).list_ecs_specs(instance_types=[machine.ecs_spec])
        if not specs:
            known = [spec.instance_type for spec in await Dlc(channel).list_ecs_specs()]
            raise ConfigError(
                f"is not offered by DLC in {channel.region}",
                f"ecs_spec: {machine.ecs_spec}",
                did_you_mean(machine.ecs_spec, known),
            )
        chip = "GPU" if specs[0].is_gpu else "CPU"
        if specs[0].is_available is False:
            LOG.warning("%s is out of stock: a job for it would wait", machine.ecs_spec)
    elif machine.gpu not in (None, "", "0", 0):
        chip = "GPU"
    return await resolve_image(channel, job_type, chip)


async def specs_for(
    channel: Channel, job_type: str, image: str | None, machine: Machine, worker_count: int
) -> list[JobSpec]:
    """The roles of a job, with the official image where none is given."""
    if worker_count < 1:
        raise ConfigError("is not above 0", f"worker_count: {worker_count}", "Give 1 or more")
    uri = image or await image_for(channel, job_type, machine)
    return training_specs(job_type, uri, machine, worker_count)


def sort_specs(specs: Sequence[EcsSpec], sort_by: str | None, order: str) -> list[EcsSpec]:
    """Specs by "CPU", "GPU" or "Memory", ties as the service ordered them.

    "GmtCreateTime" is in no answer: the service's own order is kept for it, as for None. What has
    no such number stands last. Raises ConfigError for other names.
    """
    if order not in ("asc", "desc"):
        raise ConfigError("is neither asc nor desc", f"order: {order}", "Give one of them")
    if sort_by is None or sort_by == "GmtCreateTime":
        return list(specs)
    fields: Mapping[str, str] = {"CPU": "cpu", "GPU": "gpu", "Memory": "memory_gib"}
    if sort_by not in fields:
        raise ConfigError(
            "cannot be sorted by", f"sort_by: {sort_by}", did_you_mean(sort_by, SORT_KEYS)
        )
    name = fields[sort_by]
    known = [spec for spec in specs if getattr(spec, name) is not None]
    unknown = [spec for spec in specs if getattr(spec, name) is None]
    return [
        *sorted(known, key=lambda spec: getattr(spec, name), reverse=order == "desc"),
        *unknown,
    ]
