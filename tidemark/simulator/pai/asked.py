"""A request as it came over the wire, before anybody has understood it, and what is sent back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

__all__ = ["Answer", "Asked"]

_REGION = re.compile(r"(?:ap|cn|eu|me|na|sa|us)-[a-z]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Asked:
    """Method, path and query percent-encoded as on the wire, headers by lower-case name, body,
    and the address of the client."""

    method: str
    raw_path: str
    raw_query: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    client: str = ""

    def header(self, name: str) -> str:
        """A header's value, empty if absent."""
        return self.headers.get(name, "")

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """The parameters of the query, and of the body where that is a form."""
        pairs = parse_qsl(self.raw_query, keep_blank_values=True)
        if self.header("content-type").startswith("application/x-www-form-urlencoded"):
            pairs += parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)
        return pairs

    def region(self, default: str) -> str:
        """The region that the host names, as in `pai-dlc.cn-shanghai.aliyuncs.com`."""
        for label in self.header("host").split(":")[0].split("."):
            found = _REGION.fullmatch(label.removeprefix("ecs-"))
            if found:
                return found[0]
        return default


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back. One that is `lost` breaks off, and the connection with it; `reached`
    says whether what was asked was done before. It is sent `late_s` seconds of the simulator's
    clock after it was made."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str]
    lost: bool = False
    reached: bool = True
    late_s: float = 0.0
