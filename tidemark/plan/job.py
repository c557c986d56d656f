"""The plan of a job: what to run, on what machine, for how long, up to what sum.

Whatever can be known to fail before anything is billed is refused here, at the field it is about.
"""

from __future__ import annotations

import unicodedata
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from tidemark.plan.advice import warnings
from tidemark.plan.amount import Sum
from tidemark.plan.base import UNSEEN, Name, PlanModel, Real, Whole
from tidemark.plan.estimate import estimate
from tidemark.plan.job_container import (
    Environment,
    Image,
    Libraries,
    Mount,
    Registry,
    RoleArn,
    Vpc,
)
from tidemark.plan.job_limits import JobLimits
from tidemark.plan.job_machine import JobMachine, QuotaPart, SpotLimit
from tidemark.plan.job_sweep import sweep_problems
from tidemark.plan.problems import Problem, refusal, refusals
from tidemark.plan.secrets import SecretRef, looks_like_secret, names_a_secret
from tidemark.plan.sweep import SweepPlan, plan_hash

__all__ = [
    "JobLimits",
    "JobMachine",
    "JobPlan",
    "JobType",
    "Mount",
    "QuotaPart",
    "Registry",
    "SpotLimit",
    "Sum",
    "Vpc",
    "job_warnings",
    "plan_hash",
]

JobType = Literal[
    "TFJob",
    "PyTorchJob",
    "MPIJob",
    "XGBoostJob",
    "OneFlowJob",
    "ElasticBatchJob",
    "SlurmJob",
    "RayJob",
    "DataJuicerJob",
]
_LONGEST_COMMAND = 65_536


class JobPlan(PlanModel):
    """A job to run: a sweep or a command, the machine for it, and what it may take and cost."""

    form_order: ClassVar = (
        "sweep",
        "command",
        "machine",
        "cap",
        "limits",
        "expected_s",
        "name",
        "workers",
        "image",
        "libraries",
        "mounts",
        "role_arn",
        "environment",
    )

    name: Name | None = Field(
        default=None,
        title="Name",
        description="What to call this plan in reports, at most 256 characters.",
        examples=["llama-3-1-70b nightly"],
    )
    sweep: SweepPlan | None = Field(
        default=None,
        title="Sweep",
        description="The benchmark that the job runs. In place of a command.",
        examples=[
            {
                "endpoint": {"url": "http://my-service:8080", "model": "llama-3-1-70b-instruct"},
                "tokenizer": "org/model@main",
            }
        ],
    )
    command: str | None = Field(
        default=None,
        title="Command",
        description="What the shell of every worker runs. In place of a sweep. Everyone who sees "
        "the job can read it.",
        examples=["nvidia-smi", "python train.py --steps 100"],
        min_length=1,
        max_length=_LONGEST_COMMAND,
    )
    machine: JobMachine = Field(
        default_factory=JobMachine,
        title="Machine",
        description="The machine of each worker: named, chosen by what is needed, or a share of a "
        "quota. Left out: the cheapest that does.",
        examples=[{"work": "script"}, {"spec": "ecs.gn7i-c8g1.2xlarge"}],
    )
    workers: Whole = Field(
        default=1,
        title="Workers",
        description="How many such machines, from 1 to 1000. A sweep takes one.",
        examples=[1, 4],
        ge=1,
        le=1000,
    )
    job_type: JobType = Field(
        default="PyTorchJob",
        title="Job type",
        description="Framework that starts the workers.",
        examples=["PyTorchJob", "TFJob", "RayJob"],
    )
    image: Image | None = Field(
        default=None,
        title="Image",
        description="Container image. Left out: the official one for the job type, for GPUs if the "
        "machine has some. For a sweep, one that is given has tidemark in it.",
        examples=["registry.example.com/team/bench:1.2"],
    )
    libraries: Libraries = Field(
        default=(),
        title="Libraries",
        description="Python packages to install before the command, each pinned: name==version, or "
        "the address of a file; at most 64.",
        examples=[["transformers==4.57.1"]],
        max_length=64,
    )
    environment: Environment = Field(
        default_factory=dict,
        title="Environment",
        description="Variables of the job, at most 64, none of them secret: everyone who sees the "
        "job can read them.",
        examples=[{"HF_HUB_OFFLINE": "1"}],
        max_length=64,
    )
    mounts: tuple[Mount, ...] = Field(
        default=(),
        title="Mounts",
        description="Data that appears as folders in the job, at most 16. Secrets of a sweep are "
        "files in such a folder.",
        examples=[[{"uri": "oss://bench-data/models/llama/", "mount_path": "/mnt/models"}]],
        max_length=16,
    )
    role_arn: RoleArn | None = Field(
        default=None,
        title="Role",
        description="RAM role of the job: what it may read and write (mounts, a result store). Its "
        "temporary credentials are only to be had within the job.",
        examples=["acs:ram::1234567890123456:role/bench-job"],
    )
    registry: Registry | None = Field(
        default=None,
        title="Registry",
        description="How the image is pulled, if it is private.",
        examples=[{"username": "bench-robot", "password": "env:REGISTRY_PASSWORD"}],
    )
    vpc: Vpc | None = Field(
        default=None,
        title="Network",
        description="Network of the account (VPC) to connect to, for services that are reached "
        "only there.",
        examples=[
            {
                "vpc_id": "vpc-0example",
                "switch_id": "vsw-0example",
                "security_group_id": "sg-0example",
            }
        ],
    )
    priority: Whole | None = Field(
        default=None,
        title="Priority",
        description="Place in the queue of a quota, from 1 to 9 (highest).",
        examples=[5],
        ge=1,
        le=9,
    )
    expected_s: Real | None = Field(
        default=None,
        title="Expected time",
        description="Seconds that the command is expected to run, for the quote, from 1 to 604800. "
        "Left out: for a sweep what it takes at most, for a command all the time it may run.",
        examples=[600],
        ge=1,
        le=604_800,
    )
    limits: JobLimits = Field(
        default_factory=JobLimits,
        title="Limits",
        description="When the job is stopped, in seconds.",
        examples=[{"total_s": 3600}],
    )
    cap: Sum | None = Field(
        default=None,
        title="Cap",
        description="The most that the job may cost.",
        examples=[{"amount": 20, "currency": "CNY"}],
    )

    @property
    def is_quota(self) -> bool:
        """Whether it runs on a share of a quota."""
        return self.machine.quota is not None

    @field_validator("command")
    @classmethod
    def _safe_command(cls, command: str | None) -> str | None:
        if command is None:
            return None
        if not command.strip():
            raise refusal("is empty", "Write what the shell is to run")
        # Invisible ones too: whoever approves it has to see what runs.
        if any(unicodedata.category(one) in UNSEEN and one not in "\n\t" for one in command):
            raise refusal(
                "holds a control character or one that is not seen",
                "Remove it; line breaks and tabs may stay",
            )
        if looks_like_secret(command) or names_a_secret(command):
            raise refusal(
                "looks as if it held a secret, and everyone who sees the job can read it",
                "Mount a file that holds it (mounts), and have the command read it there",
            )
        return command

    @field_validator("mounts")
    @classmethod
    def _different_folders(cls, mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
        problems = [
            Problem((index, "mount_path"), "lies in the folder of another mount", "Name another")
            for index, mount in enumerate(mounts)
            for other in mounts[:index]
            if other.holds(mount.mount_path) or mount.holds(other.mount_path)
        ]
        if problems:
            raise refusals("mounts", problems)
        return mounts

    @property
    def secrets(self) -> tuple[SecretRef, ...]:
        """The references that whoever creates the job has to resolve; what a sweep inside it needs
        is read there."""
        return () if self.registry is None else (self.registry.password,)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        problems = [*self._problems()]
        if self.sweep is not None:
            problems += sweep_problems(self.sweep, self.mounts, official_image=self.image is None)
        if problems:
            raise refusals("job", problems)
        return self

    def _problems(self) -> list[Problem]:
        found = []
        if (self.sweep is None) == (self.command is None):
            both = self.sweep is not None
            what = "is given beside a sweep" if both else "is missing, and so is a sweep"
            remedy = "Keep one of the two" if both else "Give the command to run, or a sweep"
            found.append(Problem(("command",), what, remedy))
        if self.sweep is not None and self.workers > 1:
            what = "would each send the load of the whole sweep"
            found.append(Problem(("workers",), what, "Leave workers at 1"))
        if self.priority is not None and not self.is_quota:
            what = "has an effect in the queue of a quota only"
            found.append(Problem(("priority",), what, "Leave it out, or give machine.quota"))
        if self.cap is not None and self.is_quota:
            what = "holds nothing: a quota costs the same with and without this job"
            found.append(Problem(("cap",), what, "Leave it out"))
        if self.registry is not None and self.image is None:
            what = "is for a private image, and none is given"
            found.append(Problem(("registry",), what, "Give image, or leave registry out"))
        limit_s = 60 * self.limits.running_minutes
        if self.expected_s is not None and self.expected_s > limit_s:
            what = f"is longer than the job may run, {limit_s} s"
            found.append(Problem(("expected_s",), what, "Raise limits.total_s, or lower it"))
        return found


def job_warnings(plan: JobPlan) -> tuple[str, ...]:
    """Sentences about what a valid plan should still be told, each beginning with its field."""
    if plan.sweep is None:
        return ()
    found = [f"sweep.{sentence}" for sentence in warnings(plan.sweep)]
    host = urlsplit(plan.sweep.endpoint.url or "").hostname or ""
    if host in ("localhost", "::1") or host.startswith("127."):
        found.append(
            f"sweep.endpoint.url: {host} is the job's own container; services elsewhere are "
            "reached by their own address"
        )
    longest_s, limit_s = estimate(plan.sweep).total_s, 60 * plan.limits.running_minutes
    if longest_s > limit_s:
        found.append(
            f"limits: the sweep may take {longest_s:.0f} s, and the job ends after {limit_s} s; "
            "cells that are missing then can be measured by another job in the same round"
        )
    return tuple(found)
