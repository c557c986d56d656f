"""What a compaction wrote: large parts, whose attempts they hold, and what they take the place of.

`generations/<number>.json` is created last and exclusively; only then do its parts count. Parts
without such a file are what a compaction left that was stopped, or was second. Pure.

    {"schema_version": 1, "generation": 2, "whole": false,
     "parts": [{"path": "cells/model=…/date=…/generation-000002-….parquet",
                "sha256": "…", "size_bytes": 70123,
                "attempts": [{"cell_id": "…", "attempt_id": "…", "rows": 1, "sha256": "…"}],
                "replaces": ["cells/model=…/date=…/<cell_id>-<attempt_id>.parquet"]}]}

An attempt's `sha256` is that of the part of its own that it was written as.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from tidemark.errors import StoreError
from tidemark.results.layout import LargeName, PartName, generation_path
from tidemark.results.schema import SCHEMA_VERSION

__all__ = ["WHOLE_EVERY", "Generation", "LargePart", "Member", "first_needed"]

WHOLE_EVERY: Final = 20
"""Each generation whose number is a multiple of this names every part that counts, so that no
more than so many of these files are ever read."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Member:
    """An attempt's rows in a large part; `sha256` is of the part that it was written as."""

    cell_id: str
    attempt_id: str
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class LargePart:
    """A part with the rows of many attempts, one after another, in the order of `attempts`.

    `replaces` are the paths of the parts whose rows it took over.
    """

    path: str
    sha256: str
    size_bytes: int
    attempts: tuple[Member, ...]
    replaces: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Where it lies: `table/model=…/date=…`."""
        return posixpath.dirname(self.path)

    def own_path(self, member: Member) -> str:
        """The path of the part that an attempt was written as."""
        return f"{self.folder}/{member.cell_id}-{member.attempt_id}.parquet"


@dataclass(frozen=True, slots=True)
class Generation:
    """The parts that one compaction made; if `whole`, all others that count too."""

    number: int
    parts: tuple[LargePart, ...]
    whole: bool = False

    def to_bytes(self) -> bytes:
        """The file that names the generation; the same generation gives the same bytes."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "generation": self.number,
            "whole": self.whole,
            "parts": [asdict(part) for part in self.parts],
        }
        return (json.dumps(document, sort_keys=True) + "\n").encode()

    @classmethod
    def parse(cls, number: int, data: bytes) -> Generation:
        """What such a file says. Raises StoreError if it says nothing that can be relied on."""
        where = generation_path(number)
        try:
            document = json.loads(data)
            version = int(document["schema_version"])
            if version > SCHEMA_VERSION:
                what = f"is of schema version {version}, this version knows {SCHEMA_VERSION}"
                raise StoreError(what, where, "Read the store with a newer tidemark")
            parts = tuple(map(_part, document["parts"]))
            if document["generation"] != number:
                raise ValueError(f"it is generation {document['generation']}")
            return cls(number, parts, bool(document["whole"]))
        except (
            ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError,
        ) as error:  # fmt: skip
            what = f"it names no generation ({type(error).__name__}: {error})"[:300]
            remedy = "Copy it again from where it is whole: it says where results lie"
            raise StoreError(what, where, remedy) from error


def first_needed(newest: int) -> int:
    """The first generation that has to be read to know what counts in the newest one."""
    return max(1, newest - newest % WHOLE_EVERY)


def _part(document: Mapping[str, Any]) -> LargePart:
    part = LargePart(
        path=str(document["path"]),
        sha256=_digest(document["sha256"]),
        size_bytes=int(document["size_bytes"]),
        attempts=tuple(_member(each) for each in document["attempts"]),
        replaces=tuple(map(str, document["replaces"])),
    )
    if LargeName.parse(part.path) is None:
        raise ValueError(f"{part.path} is no part of a generation")
    for member in part.attempts:
        if PartName.parse(part.own_path(member)) is None or member.rows < 0:
            raise ValueError(f"{part.own_path(member)} is no part of an attempt")
    return part


def _member(document: Mapping[str, Any]) -> Member:
    return Member(
        str(document["cell_id"]),
        str(document["attempt_id"]),
        int(document["rows"]),
        _digest(document["sha256"]),
    )


def _digest(value: object) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError("a SHA-256 is none")
    return value
