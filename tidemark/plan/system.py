"""What is measured and what measures it: the system under test and the load engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tidemark.plan.base import Name, PlanModel, Whole
from tidemark.plan.problems import Problem, refusal, refusals
from tidemark.plan.secrets import is_sensitive_name, looks_like_secret

__all__ = ["EngineRef", "System"]

_DIGEST = r"^sha256:[0-9a-f]{64}$"
_DIGEST_MARK = "@sha256:"
Digest = Annotated[str, Field(pattern=_DIGEST)]


class System(PlanModel):
    """The system under test. Together with the model's name this is what a result is about.

    With an image digest the system is known: two measurements of the same system can be
    told from measurements of two systems. Without one, only the address is known.
    """

    revision: Name | None = Field(
        default=None,
        title="Model revision",
        description="Commit or version of the model's weights, at most 256 characters.",
        examples=["5f0b02c75b57c5855da9ae460ce51323ea669d8a"],
    )
    image: Name | None = Field(
        default=None,
        title="Image",
        description="Container image of the serving engine. A digest at its end (@sha256:…) is "
        "taken as image_digest.",
        examples=["vllm/vllm-openai:v0.9.0"],
    )
    image_digest: Digest | None = Field(
        default=None,
        title="Image digest",
        description="sha256: and 64 hexadecimal digits, as the registry gives it. Without it "
        "results are not reused across rounds.",
        examples=["sha256:" + "0123456789abcdef" * 4],
    )
    precision: Name | None = Field(
        default=None,
        title="Precision",
        description="Number format of weights and computation.",
        examples=["bf16", "fp8"],
    )
    serving_engine: Name | None = Field(
        default=None,
        title="Serving engine",
        description="Name of the software that serves the model.",
        examples=["vLLM", "SGLang"],
    )
    serving_version: Name | None = Field(
        default=None,
        title="Serving version",
        description="Its version, as text.",
        examples=["0.9.0"],
    )
    gpu_type: Name | None = Field(
        default=None,
        title="GPU type",
        description="A label: any name is kept, A100 as well as A100-80G.",
        examples=["H100", "A100-80G"],
    )
    gpu_count: Whole | None = Field(
        default=None,
        title="GPU count",
        description="GPUs that serve the model, from 0 (none) to 100000.",
        examples=[8],
        ge=0,
        le=100_000,
    )
    labels: dict[Name, Name] = Field(
        default_factory=dict,
        title="Labels",
        description="Further labels, kept with the results and part of no identity, at most 64.",
        examples=[{"team": "search", "stage": "canary"}],
        max_length=64,
    )

    @model_validator(mode="before")
    @classmethod
    def _take_digest_from_image(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("image_digest") is not None:
            return data
        image = data.get("image")
        if not isinstance(image, str) or _DIGEST_MARK not in image:
            return data
        return {**data, "image_digest": image.partition("@")[2]}

    @model_validator(mode="after")
    def _digests_agree(self) -> System:
        if self.image and _DIGEST_MARK in self.image and self.image_digest:
            digest = self.image.partition("@")[2]
            if digest != self.image_digest:
                found = Problem(
                    ("image_digest",),
                    "is another digest than the one in image",
                    "Keep one of the two",
                )
                raise refusals("system", [found])
        return self

    @field_validator("labels")
    @classmethod
    def _no_secrets_in_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for name, value in labels.items():
            if is_sensitive_name(name) or looks_like_secret(value):
                raise refusal(
                    f"the label {name!r} looks as if it held a secret",
                    "Labels are printed and stored: remove it",
                )
        return labels


class EngineRef(PlanModel):
    """The load engine that sends the requests, pinned to one version."""

    name: Literal["genai-bench"] = Field(
        default="genai-bench",
        title="Name",
        description="Name of the load engine.",
        examples=["genai-bench"],
    )
    version: str = Field(
        default="0.0.5",
        title="Version",
        description="Exact version, as text: digits and dots, with an optional suffix. "
        "Engines differ in what they measure, so ranges and 'latest' are refused.",
        examples=["0.0.5"],
        max_length=64,
        pattern=r"^[0-9]+(\.[0-9]+){1,3}([-+.]?[A-Za-z0-9]+)*$",
    )
