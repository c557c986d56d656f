"""The five sections of an EAS stress test's body (CreateBenchmarkTask, EAS 2021-07-01).

Fields that the guides name are checked. Others are kept and sent as they are.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from tidemark.plan.base import Real, Whole
from tidemark.plan.problems import Problem, refusal, refusals
from tidemark.plan.secrets import SecretRef, is_sensitive_name

__all__ = [
    "BaseSection",
    "DataSection",
    "HttpSection",
    "OptionalSection",
    "Section",
    "ServiceSection",
]

_URL_REMEDY = "Write scheme, host and path, such as http://my-service:8080/predict"
_DATA_REMEDY = "Write https:// or oss:// URLs, separated by commas"
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}:[^\r\n\x00]*")


class Section(BaseModel):
    """A part of the body: checked where fields are known, open where they are not."""

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    other_spellings: ClassVar[Mapping[str, str]] = {}
    """Further names of fields, and the names that they are sent by."""

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        spellings = {**_own_names(cls), **cls.other_spellings}
        folded: dict[str, Any] = {}
        for name, value in given.items():
            sent_as = spellings.get(str(name), str(name))
            if sent_as in folded and folded[sent_as] != value:
                remedy = f"Give {sent_as} only"
                raise refusals(cls.__name__, [Problem((name,), "is given twice", remedy)])
            folded[sent_as] = value
        return folded

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names by which the known fields are sent."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())

    @property
    def unknown(self) -> Mapping[str, Any]:
        """The fields that this version does not know."""
        return self.model_extra or {}

    # What is not known may hold anything: only its name is shown.
    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        extra = self.unknown
        for name, value in super().__repr_args__():
            yield (name, "…") if name in extra else (name, value)


def _own_names(section: type[Section]) -> dict[str, str]:
    return {name: field.alias or name for name, field in section.model_fields.items()}


class BaseSection(Section):
    """`base`: how long and how much. `concurrency` is of each agent; `qps` is an upper bound."""

    name: str | None = Field(
        None, pattern=r"^[^\s/]{1,128}$", description="Name of the task", examples=["tidemark-1"]
    )
    duration_s: Whole | None = Field(None, alias="duration", gt=0, description="Seconds")
    qps: Whole | None = Field(None, gt=0, description="Requests per second at most")
    concurrency: Whole | None = Field(None, gt=0, description="Requests at once, of each agent")
    agent_count: Whole | None = Field(None, gt=0, description="Machines that send requests")
    request_count: Whole | None = Field(None, gt=0, description="Requests in all")


def _service_url(url: str) -> str:
    """A URL without user and password; messages never repeat it."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise refusal("is not a URL", _URL_REMEDY) from None
    if re.search(r"[\s\x00-\x1f\x7f]", url) or parts.scheme not in ("http", "https") or not host:
        raise refusal("is not an http:// or https:// URL", _URL_REMEDY)
    if "@" in parts.netloc:
        raise refusal("holds a user or password", "Remove them; give a token in requestToken")
    if any(is_sensitive_name(name) for name, _ in parse_qsl(parts.query)):
        raise refusal("has a secret in its query", "Remove it; give a token in requestToken")
    return url


class ServiceSection(Section):
    """`service`: what is put under load: an EAS service of the region, or any other URL.

    `request_token` is a reference to the service's access token.
    """

    service_name: str | None = Field(
        None, pattern=r"^[^\s/]+$", description="EAS service", examples=["qwen3_8b_chat"]
    )
    service_url: Annotated[str, AfterValidator(_service_url)] | None = Field(
        None, description="URL of a service that is not of EAS"
    )
    request_token: SecretRef | None = Field(
        None, description="Reference to the access token", examples=["env:SERVICE_TOKEN"]
    )

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.service_name is None) == (self.service_url is None):
            what = "needs exactly one target"
            remedy = "Give serviceName for a service of EAS, or serviceUrl for another"
            raise refusals("service", [Problem((), what, remedy)])
        return self


def _data_path(path: str) -> str:
    for url in path.split(","):
        try:
            parts = urlsplit(url.strip())
        except ValueError:
            raise refusal("holds what is no URL", _DATA_REMEDY) from None
        if parts.scheme not in ("http", "https", "oss") or not parts.netloc:
            raise refusal("holds what is no http://, https:// or oss:// URL", _DATA_REMEDY)
        if "@" in parts.netloc:
            raise refusal("holds a user or password", "Sign the URL instead, or use oss://")
    return path


def _base64(content: str) -> str:
    try:
        base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise refusal("is not base64", "Encode the body of one request as base64") from None
    return content


class DataSection(Section):
    """`data`: the requests. `path` has one URL or several, `content` one request's body.

    URLs may be signed, so that no `repr` shows them.
    """

    path: Annotated[str, AfterValidator(_data_path)] | None = Field(
        None, repr=False, description="URLs of request data", examples=["oss://bucket/data.bin"]
    )
    content: Annotated[str, Field(min_length=1), AfterValidator(_base64)] | None = Field(
        None, repr=False, description="Body of one request, as base64"
    )
    data_type: str | None = Field(None, min_length=1, examples=["binary"])
    multi_line: bool | None = Field(None, strict=True, description="Each line is a request")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.content is None):
            what = "needs exactly one source of requests"
            raise refusals("data", [Problem((), what, "Give path or content")])
        return self


def _header(line: str) -> str:
    if not _HEADER.fullmatch(line):
        raise refusal("is not a header", "Write Name:Value, on one line")
    return line


class HttpSection(Section):
    """`http`: of every request. Headers that carry secrets end in a reference to them."""

    headers: list[Annotated[str, AfterValidator(_header)]] | None = Field(
        None, description="Lines of Name:Value", examples=[["X-Route:canary"]]
    )
    timeout_ms: Whole | None = Field(
        None, alias="timeout", gt=0, description="Milliseconds; later answers count as 512"
    )


class OptionalSection(Section):
    """`optional`: how the load is found. `max_rt_ms` is a bound on the 99th percentile.

    It is sent as `maxRT`, as the guides spell it; `maxRt` is understood as the same.
    """

    other_spellings = {"maxRt": "maxRT"}

    mode: Literal["auto", "scan", "manual"] | None = None
    duration_s: Whole | None = Field(None, alias="duration", gt=0, description="Seconds")
    agent_count: Whole | None = Field(None, gt=0, description="Machines that send requests")
    concurrency: Whole | None = Field(None, gt=0, description="Requests at once, of each agent")
    adjust_interval_s: Whole | None = Field(
        None, alias="adjustInterval", gt=0, description="Seconds"
    )
    min_qps: Whole | None = Field(None, alias="minQPS", gt=0, description="Requests per second")
    max_qps: Whole | None = Field(None, alias="maxQPS", gt=0, description="Requests per second")
    max_rt_ms: Whole | None = Field(None, alias="maxRT", gt=0, description="Milliseconds")
    qps_growth_delta: Whole | None = Field(None, gt=0, description="Requests per second")
    fault_tolerate: Real | None = Field(None, ge=0, le=1, description="Share of failed requests")
    fault_action: Literal["revise", "stop"] | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min_qps is not None and self.max_qps is not None and self.min_qps > self.max_qps:
            what = f"is above maxQPS, {self.max_qps}"
            raise refusals("optional", [Problem(("minQPS",), what, "Exchange the two")])
        return self
