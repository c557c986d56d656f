"""Where the body of an EAS stress test holds secrets, and how they get in only when it is sent.

In the body as it is written, each is a reference (`env:NAME`): in fields whose names say that they
carry one, and in the values of request headers (`Authorization:env:NAME`).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from tidemark.alibaba.operations import JsonObject
from tidemark.errors import SecretError
from tidemark.plan.problems import Location, Problem
from tidemark.plan.secrets import (
    KINDS,
    SECRET_REMEDY,
    SecretRef,
    is_sensitive_name,
    looks_like_secret,
)

__all__ = ["references_in", "secret_problems", "signatures_in", "with_secrets"]

_HEADERS = ("http", "headers")
# Long texts that are no secrets, though they may look like one.
_CONTENTS = frozenset((("data", "content"), ("data", "path"), ("service", "serviceUrl")))
# Words with "token" in them that are about text.
_ABOUT_TEXT = re.compile(r"tokeniz\w*|tokens(?=_|[A-Z]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Place:
    """A text that is, or should be, a reference: `before` is what stands before it."""

    where: Location
    holder: Any = field(repr=False)
    before: str
    text: str = field(repr=False)


def references_in(document: Mapping[str, Any]) -> tuple[SecretRef, ...]:
    """The references whose secrets a body needs, each once."""
    found = [_reference(place.text) for place in _places(document)]
    return tuple(dict.fromkeys(one for one in found if one is not None))


def secret_problems(document: Mapping[str, Any]) -> list[Problem]:
    """Secrets that stand in a body as they are. No value is repeated."""
    return [
        Problem(place.where, "carries a secret, so it must be a reference", SECRET_REMEDY)
        for place in _places(document)
        if _reference(place.text) is None
    ]


def signatures_in(document: Mapping[str, Any]) -> list[str]:
    """What gives access in the signed URLs of a body's data."""
    data = document.get("data")
    path = data.get("path") if isinstance(data, Mapping) else None
    urls = path.split(",") if isinstance(path, str) else []
    return [
        value
        for url in urls
        for name, value in parse_qsl(urlsplit(url.strip()).query)
        if is_sensitive_name(name) or name == "OSSAccessKeyId"
    ]


def with_secrets(document: JsonObject, lent: Mapping[str, str]) -> tuple[JsonObject, list[str]]:
    """A body with the secrets that it refers to, and those secrets.

    Raises SecretError for a reference whose secret was not lent.
    """
    filled = copy.deepcopy(document)
    secrets = []
    for place in list(_places(filled)):
        reference = _reference(place.text)
        if reference is None:
            continue
        if reference not in lent:
            raise SecretError(
                "is needed for the stress test and was not lent",
                reference,
                "Resolve the body's `secrets` and pass them as `lend`",
            )
        place.holder[place.where[-1]] = place.before + lent[reference]
        secrets.append(lent[reference])
    return filled, secrets


def _places(value: Any, where: Location = ()) -> Iterator[_Place]:
    pairs: Any = ()
    if isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    for key, each in pairs:
        here = (*where, key)
        if not isinstance(each, str):
            yield from _places(each, here)
        elif where == _HEADERS:
            name, colon, text = each.partition(":")
            text = text.strip()
            if _needs_reference((name,), text):
                yield _Place(here, value, name + colon, text)
        elif here not in _CONTENTS and _needs_reference(here, each):
            yield _Place(here, value, "", each)


def _needs_reference(names: Location, text: str) -> bool:
    if not text:
        return False
    if any(is_sensitive_name(_ABOUT_TEXT.sub("", str(name))) for name in names):
        return True
    return text.startswith(KINDS) or looks_like_secret(text)


def _reference(text: str) -> SecretRef | None:
    try:
        return SecretRef.parse(text)
    except (PydanticCustomError, ValidationError):
        return None
