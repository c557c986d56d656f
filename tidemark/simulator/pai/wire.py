"""What a simulated service is asked and what it answers, whatever HTTP server carries it.

A service is a class with a method `routes()`. A handler gets a `Call` and returns the answer's
JSON object without `RequestId`, which is added; what it refuses, it raises as `WireError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from tidemark.simulator.pai.json_text import json_value

__all__ = ["Call", "Handler", "Route", "Service", "WireError", "refuse"]


class WireError(Exception):
    """An answer that is an error: HTTP status, code and message as the service words them."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


def refuse(status: int, code: str, message: str) -> NoReturn:
    """Answer with an error."""
    raise WireError(status, code, message)


@dataclass(frozen=True, slots=True)
class Call:
    """One request whose signature holds.

    `query` has each parameter once, `path` the decoded parts that the route names. `region` is
    read from the host where it names one, else the simulator's default. `account_id` is the
    account that signed, None for a bearer key.
    """

    action: str
    version: str
    method: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes = field(repr=False)
    region: str
    account_id: str | None
    now_s: float
    request_id: str

    def document(self) -> dict[str, Any]:
        """The body as a JSON object. Refuses anything else, as the services do."""
        try:
            document = json_value(self.body)
        except ValueError as error:
            refuse(400, "InvalidParameter", f"The request body {error}.")
        if not isinstance(document, dict):
            refuse(400, "InvalidParameter", "The request body is not a JSON object.")
        return document

    def number(self, name: str, default: int, *, least: int = 0, most: int | None = None) -> int:
        """A query parameter as a number. Refuses what is none or out of bounds."""
        text = self.query.get(name, "")
        if text == "":
            return default
        try:
            value = int(text)
        except ValueError:
            refuse(400, "InvalidParameter", f"The specified parameter {name} is not a number.")
        if value < least or (most is not None and value > most):
            refuse(400, "InvalidParameter", f"The specified parameter {name} is out of range.")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """A query parameter as a truth value: SDKs send `True`, `true`, `False`, `false`."""
        text = self.query.get(name, "").lower()
        if text == "":
            return default
        if text not in ("true", "false"):
            refuse(400, "InvalidParameter", f"The specified parameter {name} is not a boolean.")
        return text == "true"

    def page(
        self, items: Sequence[Any], *, size: int, most: int = 100
    ) -> tuple[int, int, list[Any]]:
        """PageNumber, PageSize, and the items of that page; `size` is the default size."""
        number = self.number("PageNumber", 1, least=1)
        size = self.number("PageSize", size, least=1, most=most)
        return number, size, list(items[(number - 1) * size : number * size])


Handler = Callable[[Call], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """Where an operation is reached.

    `path` names its parts in braces (`/api/v1/jobs/{JobId}`); each stands for one part between
    slashes. `action` and `version` are what the headers `x-acs-action` and `x-acs-version` must
    say. `bearer` routes take a key in place of a signature, `legacy` ones the older ROA signature
    without an action header.
    """

    product: str
    version: str
    action: str
    method: str
    path: str
    handler: Handler
    bearer: bool = False
    legacy: bool = False


class Service:
    """One product: its routes, and what of its state tests may see."""

    def routes(self) -> list[Route]:
        """The operations."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What it holds, as JSON, without secrets."""
        return {}
