"""Refusals as OSS words them: an HTTP status and an XML document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

__all__ = ["OssError", "refuse"]


class OssError(Exception):
    """An answer that is an error. `fields` are further elements of its document."""

    def __init__(
        self, status: int, code: str, message: str, fields: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.fields = dict(fields or {})


def refuse(status: int, code: str, message: str, **fields: str) -> NoReturn:
    """Answer with an error."""
    raise OssError(status, code, message, fields)
