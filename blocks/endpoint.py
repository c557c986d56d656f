"""A saved service: what a person chooses in Prefect's form instead of typing it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from prefect.blocks.core import Block
from pydantic import HttpUrl, model_validator

from blocks.kept import DOCUMENTATION, LOGOS, without_block_type
from tidemark.plan.endpoint import URL_REMEDY, Endpoint, split_known_suffix
from tidemark.plan.problems import Problem, refusals

__all__ = ["InferenceEndpoint"]


class InferenceEndpoint(Block, Endpoint):
    """
    An OpenAI-compatible service, and how to reach it. Its fields and their rules are those of a
    plan's endpoint. It holds no secret: a key is a reference, such as prefect:service-api-key for
    a saved Secret block.

    Example:
        Measure a saved endpoint:
        ```python
        from blocks import InferenceEndpoint
        from flows.sweep import sweep

        saved = InferenceEndpoint.load("BLOCK_NAME")
        asyncio.run(sweep(plan, endpoint=saved))
        ```
    """

    _block_type_name = "Inference Endpoint"
    _block_type_slug = "inference-endpoint"
    _logo_url = HttpUrl(f"{LOGOS}/webhook.png")
    _documentation_url = HttpUrl(DOCUMENTATION)

    @model_validator(mode="before")
    @classmethod
    def _as_kept(cls, data: Any) -> Any:
        return without_block_type(data, cls.get_block_type_slug())

    @model_validator(mode="before")
    @classmethod
    def _forget_older_url(cls, data: Any) -> Any:
        """A form that edits `url` leaves what was cut off the one before."""
        if not isinstance(data, Mapping) or not isinstance(data.get("url_as_given"), str):
            return data
        base, _ = split_known_suffix(data["url_as_given"])
        return data if data.get("url") == base else {**data, "url_as_given": None}

    @model_validator(mode="after")
    def _names_a_service(self) -> Self:
        if self.url is None and self.inference_service is None:
            remedy = f"{URL_REMEDY}, or an inference_service"
            raise refusals("endpoint", [Problem(("url",), "no service is named", remedy)])
        return self

    def endpoint(self) -> Endpoint:
        """The same as a part of a plan."""
        return Endpoint.model_validate(
            {name: getattr(self, name) for name in Endpoint.model_fields}
        )
