"""What a job's container is made of: image, libraries, variables, what is mounted, its network."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator

from tidemark.plan.base import Name, Path, PlanModel
from tidemark.plan.problems import Problem, refusal, refusals
from tidemark.plan.secrets import (
    KINDS,
    SecretRef,
    is_sensitive_name,
    looks_like_secret,
    names_a_secret,
)

__all__ = [
    "Environment",
    "Image",
    "Libraries",
    "Library",
    "Mount",
    "Registry",
    "RoleArn",
    "Vpc",
    "library_name",
]

_IMAGE_REMEDY = "Write it as it is pulled, such as registry.example.com/team/bench:1.2"
_LIBRARY_REMEDY = "Pin it: name==version, or name @ https://… of a file"
_SECRET_FILE = "Mount a file that holds it (mounts), and have the job read it there"

_PINNED = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
    r"(?:\[[A-Za-z0-9._-]+(?:,[A-Za-z0-9._-]+)*\])?"
    r"==[A-Za-z0-9]+(?:[.!+_-][A-Za-z0-9]+)*"
)
_FILE_URL = re.compile(
    r"(?:[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[A-Za-z0-9.,_-]+\])?\s*@\s*)?"
    r"(?P<url>(?:git\+)?https?://\S+)"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
# Of tokens that are counted, not kept secret.
_COUNTED_TOKENS = re.compile(r"(?i)tokenizers?|(?:max|min|num)_(?:\w+_)?tokens")
_SET_BY_THE_JOB = ("TIDEMARK_STORE", "TIDEMARK_STORE_OPTIONS")
_SCHEMES = ("oss", "nas", "cpfs", "bmcpfs")
_OWN_FOLDERS = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "sbin", "sys", "usr")


def _image(image: str) -> str:
    if "://" in image or not re.fullmatch(r"[\x21-\x7e]+", image):
        raise refusal("is not the name of an image", _IMAGE_REMEDY)
    head = image.partition("@sha256:")[0]
    if "@" in head:
        raise refusal("holds a user or password", "Remove them; the password belongs in registry")
    if looks_like_secret(head):
        raise refusal("looks as if it held a secret", _IMAGE_REMEDY)
    return image


def _library(library: str) -> str:
    if library.startswith("-"):
        raise refusal("is an option of pip, not a library", _LIBRARY_REMEDY)
    found = _FILE_URL.fullmatch(library)
    if found is not None:
        parts = urlsplit(found["url"])
        if "@" in parts.netloc or looks_like_secret(parts.path + parts.query):
            raise refusal("holds a user, password or key", "Use an address that needs none")
        if parts.scheme.startswith("git") and "@" not in parts.path:
            raise refusal("is not pinned: it names no commit", "Write git+https://…@commit")
        return library
    if not _PINNED.fullmatch(library):
        raise refusal("is not pinned to one version", _LIBRARY_REMEDY)
    return library


def _libraries(libraries: tuple[str, ...]) -> tuple[str, ...]:
    seen: set[str] = set()
    for library in libraries:
        name = library_name(library)
        if name in seen:
            raise refusal(f"{name} is listed twice", "Keep one of them")
        if name is not None:
            seen.add(name)
    return libraries


def library_name(library: str) -> str | None:
    """The normal form of the name in a requirement (PEP 503); None where an address has none."""
    found = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*?)\s*(?:\[[^]]*\]\s*)?(?:==|@)", library)
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else None


def _environment(environment: dict[str, str]) -> dict[str, str]:
    problems = []
    for name, value in environment.items():
        trouble = _variable_trouble(name, value)
        if trouble is not None:
            problems.append(Problem((name,), *trouble))
    if problems:
        raise refusals("environment", problems)
    return environment


def _variable_trouble(name: str, value: str) -> tuple[str, str] | None:
    """What is wrong with a variable, and the remedy. The value is never repeated."""
    if not _VARIABLE.fullmatch(name):
        return "is not the name of a variable", "Use letters, digits and _, no digit first"
    if name in _SET_BY_THE_JOB:
        return "is set by the job itself", "Say where results go when the job is started"
    if "\x00" in value:
        return "holds a character that no variable can", "Remove it"
    if value.startswith(KINDS):
        return "is a reference, and nobody resolves it in the job", _SECRET_FILE
    if is_sensitive_name(_COUNTED_TOKENS.sub("", name)):
        return "names a secret, and everyone who sees the job can read its variables", _SECRET_FILE
    if looks_like_secret(value) or names_a_secret(value):
        return "looks like a secret, and everyone who sees the job can read it", _SECRET_FILE
    return None


Image = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_image)]
Library = Annotated[Name, AfterValidator(_library)]
Libraries = Annotated[tuple[Library, ...], AfterValidator(_libraries)]
Environment = Annotated[
    dict[str, Annotated[str, Field(max_length=8192)]], AfterValidator(_environment)
]
RoleArn = Annotated[
    str, Field(max_length=512, pattern=r"^acs:ram::[0-9]{1,32}:role/[A-Za-z0-9._/-]{1,128}$")
]


class Mount(PlanModel):
    """Data that appears as a folder in the job's containers."""

    uri: Path = Field(
        title="Address",
        description="What is mounted: oss://bucket/path/, read within the region, or any address "
        "that DLC mounts (oss, nas, cpfs), without user, password or query.",
        examples=["oss://bench-data/models/llama/"],
    )
    mount_path: Path = Field(
        title="Folder",
        description="Absolute path in the containers where it appears.",
        examples=["/mnt/models"],
    )
    read_only: bool = Field(
        default=True,
        title="Read only",
        description="Whether the job may only read it.",
        examples=[True, False],
        strict=True,
    )
    role_arn: RoleArn | None = Field(
        default=None,
        title="Role",
        description="RAM role that opens it. Left out: the job's own role.",
        examples=["acs:ram::1234567890123456:role/bench-reader"],
    )

    def holds(self, path: str) -> bool:
        """Whether an absolute path lies in this folder."""
        return path == self.mount_path or path.startswith(f"{self.mount_path.rstrip('/')}/")

    @field_validator("uri")
    @classmethod
    def _mountable(cls, uri: str) -> str:
        scheme, separator, rest = uri.partition("://")
        remedy = "Write it like oss://bucket/path/"
        if not separator or scheme not in _SCHEMES:
            raise refusal(
                f"begins with none of {', '.join(f'{one}://' for one in _SCHEMES)}", remedy
            )
        if "@" in rest or "?" in rest or "#" in rest or re.search(r"\s", rest):
            raise refusal("holds a user, a query or a space", remedy)
        if looks_like_secret(rest):
            raise refusal("looks as if it held a secret", remedy)
        host = rest.partition("/")[0]
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.:-]*", host) or ".." in rest.split("/"):
            raise refusal("names no place that can be mounted", remedy)
        return uri

    @field_validator("mount_path")
    @classmethod
    def _folder(cls, path: str) -> str:
        parts = path.split("/")
        remedy = "Write a folder of its own, such as /mnt/models"
        if not path.startswith("/") or ".." in parts:
            raise refusal("is not an absolute path without ..", remedy)
        names = [part for part in parts if part not in ("", ".")]
        if not names or names[0] in _OWN_FOLDERS:
            raise refusal("would hide what the image itself needs", remedy)
        return "/" + "/".join(names)


class Registry(PlanModel):
    """Access to the registry of a private image."""

    username: Name | None = Field(
        default=None,
        title="User",
        description="Name that the registry knows.",
        examples=["bench-robot"],
    )
    password: SecretRef = Field(
        title="Password",
        description="Where the password is found, on the machine that starts the job: env:NAME, "
        "file:/absolute/path, or prefect:NAME for a saved Secret block. Never the password itself.",
        examples=["env:REGISTRY_PASSWORD", "prefect:registry-password"],
    )
    server: Name | None = Field(
        default=None,
        title="Server",
        description="Host of the registry. Left out: the one in the image's name.",
        examples=["registry.example.com"],
    )


class Vpc(PlanModel):
    """The account's own network (VPC) that a job's containers are connected to."""

    vpc_id: str = Field(
        title="VPC",
        description="Id of the network.",
        examples=["vpc-0example"],
        pattern=r"^vpc-[a-z0-9]{1,64}$",
    )
    switch_id: str = Field(
        title="vSwitch",
        description="Id of a vSwitch in it.",
        examples=["vsw-0example"],
        pattern=r"^vsw-[a-z0-9]{1,64}$",
    )
    security_group_id: str = Field(
        title="Security group",
        description="Id of a security group in it.",
        examples=["sg-0example"],
        pattern=r"^sg-[a-z0-9]{1,64}$",
    )
    default_route: Literal["eth0", "eth1"] = Field(
        default="eth0",
        title="Default route",
        description="Way to all other addresses: eth0 by the service's own network, eth1 by this "
        "one.",
        examples=["eth1"],
    )
