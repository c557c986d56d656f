"""Keys, tokens and moments as texts: what is one, said without ever repeating it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from tidemark.alibaba.errors import CredentialError
from tidemark.plan.secrets import looks_like_secret

__all__ = ["expiry_s", "key_text", "speakable", "text_of"]

_NAME = re.compile(r"[A-Za-z0-9._@-]{1,24}")
_VARIABLE = re.compile(r"\$(\{\w+\}|\(.*\)|\w+)|%\w+%", re.DOTALL)


def key_text(value: object, where: str) -> str:
    """A key or token without the white space around it.

    Raises CredentialError, naming `where` and never the value, for what cannot be one.
    """
    if not isinstance(value, str):
        raise CredentialError("is not text", where, "Write the key in quotes")
    value = value.strip()
    if not value:
        raise CredentialError("is empty", where, "Put the key there, or remove it")
    if _VARIABLE.fullmatch(value):
        raise CredentialError(
            "is the name of a shell variable, not the value of it",
            where,
            "Single quotes keep a shell from putting the value in: use double quotes",
        )
    if value[0] in "\"'" or value[-1] in "\"'":
        raise CredentialError("has quotes around it", where, "Store the bare key")
    if value[0] == "<" and value[-1] == ">":
        raise CredentialError("is a placeholder", where, "Replace it with the key")
    if not all("!" <= c <= "~" for c in value):
        raise CredentialError(
            "holds a space, line break or other character that no key has",
            where,
            "Store the bare key on one line",
        )
    return value


def text_of(fields: Mapping[str, object], name: str, where: str, *, lines: bool = False) -> str:
    """An optional text that is no secret, such as a role's name: "" where it is missing.

    Raises CredentialError for what is no text, or on several lines unless `lines`.
    """
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not (lines or value.strip().isprintable()):
        raise CredentialError("is not text on one line", f"{where}: {name}", "Correct it")
    return value.strip()


def expiry_s(value: object, where: str) -> float:
    """A moment such as `2026-01-02T03:04:05Z` in seconds since 1970-01-01 UTC."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        moment = None
    if moment is None:
        # Raised here, without the error that repeats the value.
        raise CredentialError(
            "is not a moment such as 2026-01-02T03:04:05Z",
            where,
            "See what the service there answers",
        )
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def speakable(name: object) -> bool:
    """Whether a name found in a file can be repeated: short, plain, and like no key."""
    return isinstance(name, str) and bool(_NAME.fullmatch(name)) and not looks_like_secret(name)
