"""What DLC is asked to run (PAI-DLC 2020-12-03, CreateJob).

Machines are either of an instance type of the public pool, `EcsInstance`, or a share of a quota,
`QuotaShare`: a `JobSpec` holds one of them, so that both together cannot be written.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from tidemark.alibaba.answers import Request
from tidemark.alibaba.operations import JsonObject
from tidemark.plan.problems import Problem, refusal, refusals
from tidemark.plan.secrets import SecretRef

__all__ = [
    "CreateJob",
    "EcsInstance",
    "JobSpec",
    "JobType",
    "PrivateRegistry",
    "QuotaShare",
    "Spot",
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
RestartPolicy = Literal["Always", "Never", "OnFailure", "ExitCode"]


def _quantity(value: Any) -> Any:
    # The service wants text, and people write numbers.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Quantity = Annotated[
    str, BeforeValidator(_quantity), Field(pattern=r"^[0-9]+(\.[0-9]+)?[A-Za-z]*$")
]


class Spot(Request):
    """Machines that may be taken back, up to a price: exactly one limit."""

    spot_strategy: Literal["SpotWithPriceLimit"] = "SpotWithPriceLimit"
    spot_discount_limit: float | None = Field(
        None, gt=0, le=1, description="Share of the ordinary price", examples=[0.8]
    )
    spot_price_limit: float | None = Field(
        None, gt=0, description="Price, in the unit that the service documents"
    )

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.spot_discount_limit is None) == (self.spot_price_limit is None):
            remedy = "Give spot_discount_limit or spot_price_limit"
            raise refusals("Spot", [Problem((), "needs exactly one limit", remedy)])
        return self


class EcsInstance(Request):
    """A machine of the public pool, paid by use."""

    ecs_spec: str = Field(min_length=1, description="Instance type", examples=["ecs.c6.large"])
    spot_spec: Spot | None = None


class QuotaShare(Request):
    """A share of a quota's machines: text with units, as `cpu: "10"`, `memory: "10Gi"`."""

    cpu: Quantity | None = Field(None, alias="CPU", description="Processors", examples=["8"])
    gpu: Quantity | None = Field(None, alias="GPU", description="GPUs", examples=["1"])
    gpu_type: str | None = Field(None, alias="GPUType", examples=["Tesla-V100-16G"])
    memory: Quantity | None = Field(None, description="Memory", examples=["32Gi"])
    shared_memory: Quantity | None = Field(None, examples=["8Gi"])


def _kind_of_machine(value: Any) -> str:
    given = value if isinstance(value, dict) else getattr(value, "model_fields_set", {})
    return "EcsInstance" if {"EcsSpec", "ecs_spec"} & set(given) else "QuotaShare"


Resources = Annotated[
    Annotated[EcsInstance, Tag("EcsInstance")] | Annotated[QuotaShare, Tag("QuotaShare")],
    Discriminator(_kind_of_machine),
]


class PrivateRegistry(Request):
    """Access to a registry that asks for a name and password; both may be references."""

    docker_registry: str | None = None
    username: str | None = None
    password: SecretRef = Field(description="Reference to the password", examples=["env:REGISTRY"])


class JobSpec(Request):
    """The pods of one role."""

    type: str = Field("Worker", min_length=1, description="Role", examples=["Worker"])
    image: str = Field(min_length=1, description="Image URI")
    pod_count: int = Field(1, ge=1, le=1000, description="Pods of this role")
    resources: Resources = Field(description="Instance type, or share of a quota")
    image_config: PrivateRegistry | None = None
    restart_policy: RestartPolicy | None = None
    user_command: str | None = Field(None, min_length=1)
    more: JsonObject = Field({}, description="Further documented fields, as they are sent")

    @field_validator("resources", mode="before")
    @classmethod
    def _one_kind(cls, value: Any) -> Any:
        share = {"CPU", "GPU", "GPUType", "Memory", "SharedMemory"}
        share |= {"cpu", "gpu", "gpu_type", "memory", "shared_memory"}
        if isinstance(value, dict) and {"EcsSpec", "ecs_spec"} & set(value) and share & set(value):
            raise refusal(
                "is both an instance type and a share of a quota",
                "Give ecs_spec for the public pool, or cpu, memory and gpu of a quota",
            )
        return value

    def body(self) -> JsonObject:
        """The JobSpec that is sent."""
        document = super().body()
        resources = document.pop("Resources")
        more = document.pop("More", {})
        if isinstance(self.resources, QuotaShare):
            resources = {"ResourceConfig": resources}
        return {**document, **resources, **more}  # type: ignore[dict-item]


class CreateJob(Request):
    """A job to create. `workspace_id` is always sent: left out, the service chooses silently.

    `tags` are `Settings.Tags`, by which jobs are found again. `max_running_time_minutes` ends the
    job on the service's side.
    """

    display_name: str = Field(
        pattern=r"^[A-Za-z0-9_.-]{1,256}$",
        description="Letters, digits, _ . -, up to 256",
        examples=["bench-1"],
    )
    job_type: JobType = Field("PyTorchJob", description="Framework")
    user_command: str = Field(description="What the shell runs", examples=["nvidia-smi"])
    job_specs: list[JobSpec] = Field(min_length=1, description="Roles and their machines")
    workspace_id: str = Field(pattern=r"^\S+$", description="Workspace", examples=["268"])
    resource_id: str | None = Field(None, min_length=1, description="Quota; none: public pool")
    priority: int | None = Field(None, ge=1, le=9, description="Priority within a quota")
    max_running_time_minutes: int | None = Field(
        None, alias="JobMaxRunningTimeMinutes", ge=1, description="Ends the job after so long"
    )
    envs: dict[str, str] | None = Field(
        None, repr=False, description="Variables of the job, which everyone who sees it can read"
    )
    thirdparty_libs: list[str] | None = Field(None, description="pip requirements")
    tags: dict[str, str] = Field({}, description="Tags, by which the job is found again")
    settings: JsonObject = Field({}, description="Further settings, as they are sent")
    code_source: JsonObject | None = None
    data_sources: list[JsonObject] | None = None
    user_vpc: JsonObject | None = None
    credential_config: JsonObject | None = None
    accessibility: Literal["PUBLIC", "PRIVATE"] | None = None
    description: str | None = None

    @field_validator("user_command")
    @classmethod
    def _some_command(cls, value: str) -> str:
        if not value.strip():
            raise refusal("is empty", "Give the command that the job runs")
        return value

    @model_validator(mode="after")
    def _one_pool(self) -> Self:
        problems = []
        for number, spec in enumerate(self.job_specs):
            where = ("job_specs", number, "resources")
            if self.resource_id and isinstance(spec.resources, EcsInstance):
                remedy = "Leave resource_id out, or give a share of the quota (cpu, memory, gpu)"
                problems.append(
                    Problem(where, "is an instance type, and resource_id names a quota", remedy)
                )
            if not self.resource_id and isinstance(spec.resources, QuotaShare):
                remedy = "Name the quota in resource_id, or give an instance type (ecs_spec)"
                problems.append(
                    Problem(where, "is a share of a quota, and resource_id names none", remedy)
                )
        for name in self.settings:
            if name == "Tags":
                remedy = "Give them in tags"
                problems.append(Problem(("settings", name), "has a field of its own", remedy))
        if problems:
            raise refusals("CreateJob", problems)
        return self

    def body(self) -> JsonObject:
        """The body that is sent. Passwords are references in it, to be resolved."""
        document = super().body()
        document["JobSpecs"] = [spec.body() for spec in self.job_specs]
        document.pop("Tags", None)
        settings = {**self.settings, **({"Tags": dict(self.tags)} if self.tags else {})}
        document.pop("Settings", None)
        if settings:
            document["Settings"] = settings
        return document

    @property
    def registry_secrets(self) -> list[SecretRef]:
        """The references whose secrets the body needs."""
        return [spec.image_config.password for spec in self.job_specs if spec.image_config]
