"""Secrets that Prefect keeps: what a `prefect:NAME` reference leads to."""

from __future__ import annotations

from typing import cast

import httpx
from prefect.blocks.system import Secret

from tidemark.errors import SecretError

__all__ = ["read_kept_secret"]


def read_kept_secret(name: str) -> str:
    """The text in the saved Secret block of this name.

    Raises SecretError when there is no such block, it holds no text, or Prefect's server does
    not answer.
    """
    where = f"prefect:{name}"
    try:
        # Also within a running event loop: what a run needs is resolved before it starts.
        block = cast("Secret[str]", Secret.load(name, _sync=True))  # type: ignore[call-arg]
    except ValueError:
        raise SecretError(
            "Prefect keeps no Secret block of this name",
            where,
            f"Create it: in Prefect's UI under Blocks, or Secret(value=…).save({name!r})",
        ) from None
    except (httpx.HTTPError, RuntimeError) as error:
        raise SecretError(
            f"Prefect's server does not answer ({type(error).__name__})",
            where,
            "Check PREFECT_API_URL, and that the server runs",
        ) from None
    # Not block.get(), which reads digits as a number.
    value = block.value.get_secret_value()
    if not isinstance(value, str):
        raise SecretError("the block holds JSON, not text", where, "Store the bare secret as text")
    return value
