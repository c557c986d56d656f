"""What an operation of a service is, and how its parameters are written on the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlencode

from tidemark.alibaba.endpoints import Product
from tidemark.alibaba.signing import encode

__all__ = ["JsonObject", "Operation", "Parameter", "flattened", "query_string"]

JsonObject = dict[str, object]
Parameter = str | int | float | bool | datetime | Sequence[object] | Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one product, named as its documentation names it.

    `path` has its parts in braces; RPC operations have `/`. `effect` is what a call does:
    `"reads"`; `"changes"` what is there; or `"creates"` what may be billed, which needs leave.
    """

    product: Product
    action: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str = "/"
    effect: Literal["reads", "changes", "creates"] = "reads"

    @property
    def rpc(self) -> bool:
        """Whether parameters travel flat in the query, as in RPC operations."""
        return self.path == "/"

    def path_with(self, parts: Mapping[str, str]) -> str:
        """The path with its parts percent-encoded. Raises ValueError for an empty part."""

        def part(found: re.Match[str]) -> str:
            value = parts[found[1]]
            if not value or value in (".", ".."):
                raise ValueError(f"{found[1]} is {value!r}")
            return encode(value)

        return re.sub(r"\{(\w+)\}", part, self.path)


def query_string(parameters: Mapping[str, Parameter], *, rpc: bool = False) -> str:
    """A query: None left out, truth values in lower case, lists joined by commas, objects as JSON,
    moments in UTC.

    RPC operations get lists and objects flat: `DataDisk.1.Size=40`.
    """
    if rpc:
        return urlencode(flattened(parameters))
    return urlencode(
        {name: _plain(value) for name, value in parameters.items() if value is not None}
    )


def flattened(parameters: Mapping[str, object]) -> dict[str, str]:
    """Nested parameters as RPC operations have them, numbered from 1."""
    flat: dict[str, str] = {}

    def put(name: str, value: object) -> None:
        if value is None:
            return
        if isinstance(value, Mapping):
            for key, each in value.items():
                put(f"{name}.{key}", each)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            for number, each in enumerate(value, 1):
                put(f"{name}.{number}", each)
        else:
            flat[name] = _plain(value)

    for name, value in parameters.items():
        put(name, value)
    return flat


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(_plain, value))
    return str(value)
