"""Where each part lies below a store's root. Paths only; no file is touched.

    cells/model=…/date=…/<cell_id>-<attempt_id>.parquet      the same below requests/ and timeline/
    runs/date=…/<run_id>.parquet
    raw/<cell_id>/<attempt_id>/…                             beside an attempt.json, floor.json
    manifests/<run_id>.json                                  written last
    cells/model=…/date=…/generation-<number>-<digest>.parquet  many attempts' rows, compacted; the
                                                             same below requests/ and timeline/
    generations/<number>.json                                which of those count, and for what

`model=` and `date=` are hive partitions: any reader of hive-partitioned parquet takes them as
columns. Their values are percent-encoded, which such readers undo.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass
from datetime import date
from typing import Final
from urllib.parse import quote, unquote

from tidemark.errors import StoreError

__all__ = [
    "ATTEMPT_FILE",
    "FLOOR_FILE",
    "GENERATIONS",
    "NO_MODEL",
    "PARTED",
    "LargeName",
    "PartName",
    "attempt_id",
    "decoded_model",
    "encoded_model",
    "generation_number",
    "generation_path",
    "large_path",
    "manifest_path",
    "part_path",
    "raw_path",
    "run_path",
]

ATTEMPT_FILE: Final = "attempt.json"
FLOOR_FILE: Final = "floor.json"

GENERATIONS: Final = "generations"
PARTED: Final = ("requests", "timeline", "cells")
"""The tables of which each attempt has a part of its own, in the order of writing."""

NO_MODEL: Final = "unknown"
"""The partition of results whose model is not known. Not hive's NULL: pandas reads no data set
whose parts have one, or no other. The column `model_name` is NULL there."""

_CALLED_SO: Final = "unknow%6E"  # the partition of a model of that very name

_LONGEST_NAME = 255  # bytes of one path segment on common file systems
_LONGEST_MODEL = 200
_IDENTIFIER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]{0,99}")
_RUN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_PART = re.compile(rf"(?P<cell>{_IDENTIFIER.pattern})-(?P<attempt>{_IDENTIFIER.pattern})\.parquet")
_LARGE = re.compile(r"generation-(?P<number>[0-9]{6,12})-(?P<digest>[0-9a-f]{16})\.parquet")
_GENERATION = re.compile(r"generations/(?P<number>[0-9]{6,12})\.json")
_RAW_SEGMENT = re.compile(r"(?!\.)[^\x00-\x1f\x7f/\\]{1,200}")


@dataclass(frozen=True, slots=True)
class PartName:
    """A part of one attempt, as its path tells it."""

    table: str
    model: str | None
    date: str
    cell_id: str
    attempt_id: str

    @classmethod
    def parse(cls, path: str) -> PartName | None:
        """The part at a path below the root, or None if that is no part of an attempt."""
        segments = path.split("/")
        if len(segments) != 4:
            return None
        table, model, day, name = segments
        match = _PART.fullmatch(name)
        if match is None or not model.startswith("model=") or not day.startswith("date="):
            return None
        return cls(
            table, decoded_model(model[6:]), unquote(day[5:]), match["cell"], match["attempt"]
        )


@dataclass(frozen=True, slots=True)
class LargeName:
    """A part with the rows of many attempts, as its path tells it."""

    folder: str
    table: str
    model: str | None
    date: str
    number: int

    @classmethod
    def parse(cls, path: str) -> LargeName | None:
        """The part at a path below the root, or None if that is no part of a generation."""
        segments = path.split("/")
        if len(segments) != 4 or segments[0] not in PARTED:
            return None
        table, model, day, name = segments
        match = _LARGE.fullmatch(name)
        if match is None or not model.startswith("model=") or not day.startswith("date="):
            return None
        folder = f"{table}/{model}/{day}"
        return cls(folder, table, decoded_model(model[6:]), unquote(day[5:]), int(match["number"]))


def attempt_id(run_id: str, repeat_idx: int, try_idx: int = 0) -> str:
    """The name of one try at a cell: the same run, repeat and try always have the same.

    So a step that is executed again after an ambiguous failure meets its own part, not a twin.
    """
    digest = hashlib.sha256(run_id.encode()).hexdigest()[:16]
    return f"{digest}r{repeat_idx}t{try_idx}"


def encoded_model(name: str | None) -> str:
    """A model's name as a partition value: percent-encoded, of bounded length, never empty.

    Longer names are cut and end in a hash of the whole; the full name is the column `model_name`.
    """
    if not name:
        return NO_MODEL
    if name == NO_MODEL:
        return _CALLED_SO
    encoded = quote(name, safe="", errors="replace")
    if len(encoded) <= _LONGEST_MODEL:
        return encoded
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]
    kept = ""
    for character in name:  # whole characters only: half an escape could not be decoded
        kept += quote(character, safe="", errors="replace")
        if len(kept) > _LONGEST_MODEL - len("%F0%90%80%80"):
            break
    return f"{kept}~{digest}"


def decoded_model(value: str) -> str | None:
    """The model's name a partition value stands for; None for `NO_MODEL`."""
    return None if value == NO_MODEL else unquote(value)


def part_path(table: str, model: str | None, day: date, cell_id: str, attempt: str) -> str:
    """The path of an attempt's part in `cells`, `requests` or `timeline`."""
    _demand(_IDENTIFIER, cell_id, "cell id")
    _demand(_IDENTIFIER, attempt, "attempt id")
    name = f"{cell_id}-{attempt}.parquet"
    return f"{table}/model={encoded_model(model)}/date={day.isoformat()}/{name}"


def run_path(run_id: str, day: date) -> str:
    """The path of a run's row."""
    _demand(_RUN, run_id, "run id")
    return f"runs/date={day.isoformat()}/{run_id}.parquet"


def manifest_path(run_id: str) -> str:
    """The path of the file that says that a run is complete."""
    _demand(_RUN, run_id, "run id")
    return f"manifests/{run_id}.json"


def generation_path(number: int) -> str:
    """The path of the file that names the parts of a generation. The first is number 1."""
    return f"{GENERATIONS}/{number:06}.json"


def generation_number(path: str) -> int | None:
    """The number of the generation whose manifest lies at a path, None if none does."""
    match = _GENERATION.fullmatch(path)
    found = int(match["number"]) if match is not None else 0
    return found if found and generation_path(found) == path else None


def large_path(folder: str, number: int, sha256: str) -> str:
    """The path of a generation's part in a folder such as `cells/model=…/date=…`.

    By its bytes: the same bytes have the same name, others another one.
    """
    return f"{folder}/generation-{number:06}-{sha256[:16]}.parquet"


def raw_path(cell_id: str, attempt: str, name: str = "") -> str:
    """The path of one of an engine's own files, or of their folder. Subfolders are kept."""
    _demand(_IDENTIFIER, cell_id, "cell id")
    _demand(_IDENTIFIER, attempt, "attempt id")
    folder = f"raw/{cell_id}/{attempt}"
    if not name:
        return folder
    for segment in name.split("/"):
        _demand(_RAW_SEGMENT, segment, "file name")
    return posixpath.join(folder, name)


def _demand(pattern: re.Pattern[str], value: str, what: str) -> None:
    if not pattern.fullmatch(value) or len(value.encode()) > _LONGEST_NAME:
        remedy = "Use letters, digits, '.' and '_', up to 100 of them"
        raise StoreError(f"{value!r} cannot be a {what}", None, remedy)
