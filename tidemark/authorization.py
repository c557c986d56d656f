"""Leave to create what may be billed: every call that creates something asks for it.

Two things give leave: an approval, bound to a plan and a sum (`tidemark.money.approval`), and the
simulator, for itself alone (`tidemark.simulator.authorization`). No other module can define one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidemark.errors import RefusedError

__all__ = ["Authorization", "Creation", "check_authorization"]

_GIVERS = ("tidemark.money.approval", "tidemark.simulator.authorization")


@dataclass(frozen=True, slots=True)
class Creation:
    """What is about to be created, and where: the service's URL, the operation, its body."""

    url: str
    action: str
    body: Mapping[str, Any] = field(repr=False)


class Authorization:
    """Leave to create something billable."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__ not in _GIVERS:
            raise TypeError(
                f"{cls.__module__}.{cls.__qualname__}: only an approval and the simulator give "
                "leave to create what is billed"
            )

    __slots__ = ()

    def permit(self, creation: Creation) -> None:
        """Return if this may be created. Raises RefusedError with the reason if not."""
        raise NotImplementedError


def check_authorization(authorization: Authorization | None, creation: Creation) -> None:
    """See that `authorization` is one, and that it covers the creation. Raises RefusedError.

    Stand-ins of tests, and classes and methods put in place of the real ones, are none: the class
    itself is looked at, and is the one that its module defines.
    """
    kind = type(authorization)
    home = sys.modules.get(kind.__module__) if kind.__module__ in _GIVERS else None
    if Authorization not in kind.__mro__ or getattr(home, kind.__qualname__, None) is not kind:
        raise RefusedError(
            f"{creation.action} may create what is billed, and no authorization was given",
            "authorization",
            "Pass the approval of a quote; against the simulator, SimulatorAuthorization()",
        )
    kind.permit(authorization, creation)  # type: ignore[arg-type, union-attr]  # looked at above
