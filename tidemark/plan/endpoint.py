"""The service under test: where it is, how it is spoken to, by which references it is opened."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from tidemark.plan.base import Name, Path, PlanModel
from tidemark.plan.problems import Problem, refusal, refusals
from tidemark.plan.secrets import (
    KINDS,
    REFERENCE_FORM,
    SECRET_REMEDY,
    SENSITIVE_NAME,
    SecretRef,
    is_sensitive_name,
    looks_like_secret,
)
from tidemark.plan.tasks import Dialect

__all__ = ["URL_REMEDY", "Endpoint", "InferenceService", "split_known_suffix"]

URL_REMEDY = "Write scheme, host, port and path, such as http://my-service:8080"

# Longest first. The load engine appends its own path, so these must go.
_KNOWN_SUFFIXES = (
    "/v1/chat/completions",
    "/v1/images/generations",
    "/v1/audio/speech",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/rerank",
    "/v1/models",
    "/v1",
)

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)(?:\.[A-Za-z0-9_-]{1,63})*\.?"
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
# Set for each request by the client itself; another value would break the request.
_CLIENT_HEADERS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "expect", "te"}
)


def split_known_suffix(url: str) -> tuple[str, str]:
    """A URL without trailing slashes and API path, and the API path that was cut off, or "".

    "http://h:8000/v1/completions" gives ("http://h:8000", "/v1/completions").
    """
    bare = url.rstrip("/")
    for suffix in _KNOWN_SUFFIXES:
        if bare.endswith(suffix):
            return bare[: -len(suffix)].rstrip("/"), suffix
    return bare, ""


def _check_url(url: str) -> str:
    """A URL with scheme and host only, or with a path. Messages never repeat it: it may
    hold a password."""
    if re.search(r"[\s\x00-\x1f\x7f\\]", url):
        raise refusal("a URL has no spaces, backslashes or control characters", URL_REMEDY)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise refusal("is not a URL: its host or port cannot be read", URL_REMEDY) from None
    if parts.scheme not in ("http", "https"):
        raise refusal("the scheme must be http or https", URL_REMEDY)
    if not parts.netloc:
        raise refusal("has no host", URL_REMEDY)
    if "@" in parts.netloc:
        raise refusal(
            "holds a user or password",
            "Remove them, and give a reference in api_key or in headers",
        )
    if not _is_host(parts.hostname or ""):
        raise refusal("has no valid host", URL_REMEDY)
    if parts.netloc.endswith(":") or port == 0:
        raise refusal("has no valid port", "Write a port from 1 to 65535, or none")
    if "?" in url or "#" in url:
        raise refusal(
            "holds a query or fragment, which the load engine would put before its own path",
            "Remove all from the ? or # on; keys belong in api_key or headers, as references",
        )
    return url


def _is_host(host: str) -> bool:
    if ":" in host:
        try:
            ipaddress.IPv6Address(host.partition("%")[0])
        except ValueError:
            return False
        return True
    if re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            return False
        return True
    return len(host) <= 253 and _HOST.fullmatch(host) is not None


def _header_value(value: Any) -> Any:
    """A reference where the text begins like one, otherwise a literal."""
    if isinstance(value, str) and value.startswith(KINDS):
        return SecretRef.parse(value)
    if not isinstance(value, str):
        raise refusal("is not text", "Write text in quotes, or a reference such as env:NAME")
    if len(value) > 4096 or not all(32 <= ord(character) < 127 for character in value):
        raise refusal(
            "a header value is printable ASCII of at most 4096 characters", "Correct the value"
        )
    return value


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise refusal("is not an absolute path", "Write the path from / on")
    return path


# The form's server refuses passwords too, before it keeps what was typed.
_URL_FORM = r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"
Url = Annotated[
    str,
    Field(min_length=1, max_length=2048, json_schema_extra={"pattern": _URL_FORM}),
    AfterValidator(_check_url),
]
# A union would try the literal too; only the first characters decide what a value is.
HeaderValue = Annotated[
    SecretRef | str,
    PlainValidator(_header_value),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "maxLength": 4096}),
]


class InferenceService(PlanModel):
    """An OME InferenceService, by its Kubernetes name."""

    name: str = Field(
        title="Name",
        description="Name of the InferenceService: lower-case letters, digits, - and dots, "
        "at most 253 characters.",
        examples=["llama-3-1-70b-instruct"],
        max_length=253,
        pattern=rf"^{_LABEL}(\.{_LABEL})*$",
    )
    namespace: str = Field(
        title="Namespace",
        description="Namespace it lives in: lower-case letters, digits and -, "
        "at most 63 characters.",
        examples=["llama-3-1-70b-instruct"],
        max_length=63,
        pattern=rf"^{_LABEL}$",
    )


class Endpoint(PlanModel):
    """An OpenAI-compatible service, and all that is needed to reach it. Holds no secret.

    `url` never ends in an API path: a known one is cut off, and `url_as_given` keeps what
    was written so that the plan can warn of it. One without a URL can be read, but not run.
    """

    url: Url | None = Field(
        default=None,
        title="URL",
        description="Base URL of the service, http or https, without user, password, query or "
        "fragment. The API path (/v1/chat/completions and the like) is added by the load engine.",
        examples=["http://my-service:8080", "https://models.example.com/llama"],
    )
    url_as_given: Url | None = Field(
        default=None,
        title="URL as given",
        description="What was written when it ended in an API path. Filled in by Tidemark.",
        examples=["http://my-service:8080/v1/completions"],
        json_schema_extra={"readOnly": True},
    )
    model: Name | None = Field(
        default=None,
        title="Model",
        description="Name of the model in each request, as the service lists it, "
        "at most 256 characters.",
        examples=["llama-3-1-70b-instruct"],
    )
    dialect: Dialect = Field(
        default="vllm",
        title="Dialect",
        description="What the service understands beyond the OpenAI API. vllm and sglang are told "
        "to ignore the end-of-sequence token, so that answers have the length asked for; "
        "with openai the output length cannot be controlled.",
        examples=["vllm", "sglang", "openai"],
    )
    api_key: SecretRef | None = Field(
        default=None,
        title="API key",
        description="Where the key is found that is sent as a bearer token: env:NAME, "
        "file:/absolute/path, or prefect:NAME for a saved Secret block. Never the key itself.",
        examples=[
            "env:SERVICE_API_KEY",
            "file:/run/secrets/service-api-key",
            "prefect:service-api-key",
        ],
    )
    headers: dict[str, HeaderValue] = Field(
        default_factory=dict,
        title="Headers",
        description="Further request headers, at most 32. Values are literals, or references "
        "(env:NAME, file:/absolute/path, prefect:NAME); headers that carry secrets must be "
        "references.",
        examples=[{"X-Route": "canary", "X-Gateway-Key": "env:GATEWAY_KEY"}],
        max_length=32,
        # Before a run is made, so that a pasted secret is not kept with its parameters.
        json_schema_extra={
            "patternProperties": {SENSITIVE_NAME: {"type": "string", "pattern": REFERENCE_FORM}}
        },
    )
    ca_file: Annotated[Path, AfterValidator(_absolute)] | None = Field(
        default=None,
        title="CA file",
        description="Absolute path of a PEM file with the certificate authorities to trust, "
        "for services with a private one.",
        examples=["/etc/ssl/private-ca.pem"],
    )
    proxy: Url | None = Field(
        default=None,
        title="Proxy",
        description="URL of the HTTP proxy to go through, without user and password. "
        "Its latency becomes part of the measurement.",
        examples=["http://proxy.internal:3128"],
    )
    inference_service: InferenceService | None = Field(
        default=None,
        title="InferenceService",
        description="The OME InferenceService behind the endpoint. Without a URL beside it the "
        "plan can be read and priced, but not run from outside the cluster.",
        examples=[{"name": "llama-3-1-70b-instruct", "namespace": "llama-3-1-70b-instruct"}],
    )

    @model_validator(mode="before")
    @classmethod
    def _cut_known_suffix(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not isinstance(data.get("url"), str):
            return data
        url, suffix = split_known_suffix(data["url"])
        changed = {**data, "url": url}
        if suffix:
            changed["url_as_given"] = data["url"]
        return changed

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: dict[str, HeaderValue]) -> dict[str, HeaderValue]:
        problems = []
        seen: set[str] = set()
        for name, value in headers.items():
            trouble = _header_trouble(name, value, seen)
            seen.add(name.casefold())
            if trouble is not None:
                problems.append(Problem((name,), *trouble))
        if problems:
            raise refusals("headers", problems)
        return headers

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        problems = []
        if self.url_as_given is not None and (
            self.url is None or split_known_suffix(self.url_as_given)[0] != self.url
        ):
            problems.append(
                Problem(("url_as_given",), "does not belong to url", "Leave it out; set url only")
            )
        if self.api_key is not None and "authorization" in {
            name.casefold() for name in self.headers
        }:
            problems.append(
                Problem(
                    ("headers", "Authorization"),
                    "is given beside api_key, which sets the same header",
                    "Keep one of the two",
                )
            )
        if problems:
            raise refusals("endpoint", problems)
        return self

    @property
    def secrets(self) -> tuple[SecretRef, ...]:
        """Every reference to a secret that a run has to be lent."""
        values = (self.api_key, *self.headers.values())
        return tuple(value for value in values if isinstance(value, SecretRef))


def _header_trouble(name: str, value: str, seen: set[str]) -> tuple[str, str] | None:
    """What is wrong with one header, and the remedy. The value is never repeated."""
    if not _HEADER_NAME.fullmatch(name):
        return "is not a header name", "Use letters, digits and -, without spaces or colons"
    if name.casefold() in seen:
        return "is given twice, in different spelling", "Keep one of them"
    if name.casefold() in _CLIENT_HEADERS:
        return "is set by the client for each request", "Remove it"
    if isinstance(value, SecretRef):
        return None
    if is_sensitive_name(name):
        return "carries a secret, so its value must be a reference", SECRET_REMEDY
    if looks_like_secret(value):
        return "its value looks like a secret", SECRET_REMEDY
    return None
