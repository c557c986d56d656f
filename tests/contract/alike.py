"""One call, made by an official SDK and by our own client, compared as it goes over the wire."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from contract_cloud import Recorded, Recorder
from official import Official

from tidemark.alibaba.account import Account
from tidemark.alibaba.operations import Operation
from tidemark.simulator.authorization import SimulatorAuthorization

__all__ = ["AWKWARD", "LEAVE", "Both", "Pair", "assert_alike"]

LEAVE = SimulatorAuthorization()
# Ids and texts that a URL cannot hold as they are.
AWKWARD = ("a b/c", "潮 %2F", "a?b#c&d=e+f", "~-_.*'()!", "100%", "a;b,c:d@e", '"<>\\^`{|}', "..a")

_SAME = ("accept", "content-type", "x-acs-action", "x-acs-version", "x-acs-credentials-provider")


@dataclass(frozen=True)
class Pair:
    """A call by an SDK, and the same one by our client."""

    operation: Operation
    case: str
    official: Callable[[Official], object]
    ours: Callable[[Account], Awaitable[object]]

    def __str__(self) -> str:
        return f"{self.operation.action}: {self.case}".encode("ascii", "replace").decode()


@dataclass(frozen=True)
class Both:
    """An SDK and our client, pointed at a service that accepts everything and keeps it."""

    kept: Recorder
    official: Official
    ours: Account


async def assert_alike(pair: Pair, both: Both) -> None:
    """That both send the same method, path, query, body and headers, and sign the same ones.

    Of what a client does in several calls, only those of the operation are compared.
    """
    both.kept.requests.clear()
    pair.official(both.official)
    await pair.ours(both.ours)
    official, ours = (
        [
            one
            for one in both.kept.requests
            if one.by_sdk is by_sdk and one.action == pair.operation.action
        ]
        for by_sdk in (True, False)
    )
    assert len(official) == len(ours) == 1
    theirs, own = official[0], ours[0]
    assert (own.method, own.raw_path) == (theirs.method, theirs.raw_path)
    assert _query(own) == _query(theirs)
    assert own.document == _without_empty_lists(theirs.document, own.document)
    assert {name: own.headers.get(name) for name in _SAME} == {
        name: theirs.headers.get(name) for name in _SAME
    }
    assert own.signed == theirs.signed
    # Nothing of the service's own headers goes unsigned.
    assert {name for name in own.headers if name.startswith("x-acs-")} <= own.signed


def _query(one: Recorded) -> dict[str, str]:
    # SDKs write `True`, services read any case.
    return {
        name: value.lower() if value in ("True", "False") else value
        for name, value in one.query.items()
    }


def _without_empty_lists(sent: Any, wanted: Any) -> Any:
    """A body without the lists that an SDK adds though nobody gave them."""
    if isinstance(sent, dict):
        known = wanted if isinstance(wanted, dict) else {}
        return {
            name: _without_empty_lists(value, known.get(name))
            for name, value in sent.items()
            if value != [] or name in known
        }
    if isinstance(sent, list):
        others = wanted if isinstance(wanted, list) else []
        padded = [*others, *[None] * len(sent)]
        return [_without_empty_lists(one, other) for one, other in zip(sent, padded, strict=False)]
    return sent
