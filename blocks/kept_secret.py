"""What a `prefect:NAME` reference leads to, for whoever starts a job from a block."""

from __future__ import annotations

from typing import cast

import httpx
from prefect.blocks.system import Secret

from tidemark.errors import SecretError

__all__ = ["read_kept_secret"]


def read_kept_secret(name: str) -> str:
    """The text in the saved Secret block of this name.

    Raises SecretError when there is none, it holds no text, or Prefect's server does not answer.
    """
    where = f"prefect:{name}"
    try:
        block = cast("Secret[str]", Secret.load(name, _sync=True))  # type: ignore[call-arg]
    except ValueError:
        problem = SecretError(
            "Prefect keeps no Secret block of this name",
            where,
            "Create it in Prefect's UI under Blocks",
        )
    except (httpx.HTTPError, RuntimeError) as error:
        problem = SecretError(
            f"Prefect's server does not answer ({type(error).__name__})",
            where,
            "Check PREFECT_API_URL, and that the server runs",
        )
    else:
        # Not block.get(), which reads digits as a number.
        value = block.value.get_secret_value()
        if isinstance(value, str):
            return value
        problem = SecretError("the block holds JSON, not text", where, "Store the bare secret")
    raise problem
