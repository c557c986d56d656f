"""The workbook that genai-bench writes at the end of an experiment, as a witness.

It is named after its experiment, so it survives where the metadata of several experiments went to
one name. It holds that metadata, and what each of the experiment's levels came to, to 15 digits:
enough to tell which level files were the experiment's own.
"""

from __future__ import annotations

import io
import json
import lzma
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree

from tidemark.engines.genai_bench_import_level import Level
from tidemark.engines.genai_bench_import_metadata import Metadata, read_metadata
from tidemark.errors import EngineError
from tidemark.results.redact import Redactor

__all__ = ["WORKBOOK_FILE", "Workbook", "read_workbook", "workbook_text"]

WORKBOOK_FILE: Final = re.compile(r".+_summary\.xlsx")

_METADATA: Final = "Experiment Metadata"
_RUNS: Final = "Aggregated Metrics for Each Run"
_LARGEST_SHEET_BYTES: Final = 64 * 1024 * 1024
_DIGITS: Final = 1e-12
_MOST_DIGITS: Final = 9
_DAMAGED: Final = "Copy it again from where it was written"
_MAIN: Final = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_LINKED: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"

_DAMAGE: Final = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError),
    RuntimeError,  # it is encrypted, or compressed as no workbook is
    *(ElementTree.ParseError, KeyError, ValueError),
)
"""What reading a damaged workbook raises."""

Sheet = list[dict[str, str]]
"""Rows of a sheet: texts by the letters of their columns."""


@dataclass(frozen=True, slots=True)
class Workbook:
    """What a workbook testifies: an experiment's metadata, and what its levels came to.

    `written_at` is when it was written, in UTC, a few seconds after the last level ended.
    """

    metadata: Metadata
    runs: tuple[Mapping[str, Any], ...]
    written_at: str | None = None

    def lists(self, level: Level) -> bool:
        """Whether a level file is one that it was made of."""
        return any(
            run.get("scenario") == level.scenario.text
            and run.get(level.iteration) == level.level
            and run.get("num_requests") == level.requests
            and math.isclose(run["run_duration"], level.run_duration_s or 0.0, rel_tol=_DIGITS)
            for run in self.runs
        )


def workbook_text(path: str, content: bytes) -> bytes:
    """The metadata in a workbook as JSON, as it stands there: with its secrets.

    Raises EngineError for what is no workbook of genai-bench.
    """
    fields = _fields(path, _sheets(path, content)[_METADATA])
    return json.dumps(fields, indent=4).encode("utf-8", "replace")


def read_workbook(path: str, content: bytes, redactor: Redactor) -> Workbook:
    """What a workbook testifies, without secrets. Raises EngineError, which names it."""
    sheets = _sheets(path, content)
    text = json.dumps(_fields(path, sheets[_METADATA])).encode("utf-8", "replace")
    metadata = read_metadata(path, redactor.data(text), source="the workbook of its experiment")
    head, *rows = sheets[_RUNS] or [{}]
    runs = []
    for row in rows:
        run = {name: _value(row.get(column, "")) for column, name in head.items()}
        if isinstance(run.get("run_duration"), int | float):
            runs.append(run)
    return Workbook(metadata, tuple(runs), _written_at(content))


def _sheets(path: str, content: bytes) -> dict[str, Sheet]:
    """The two sheets that matter, by name."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            links = {
                link.get("Id"): link.get("Target", "")
                for link in _parsed(archive, "xl/_rels/workbook.xml.rels")
            }
            names = {
                sheet.get("name"): links[sheet.get(_LINKED)].lstrip("/")
                for sheet in _parsed(archive, "xl/workbook.xml").iter(f"{_MAIN}sheet")
            }
            return {
                wanted: _rows(archive, names[wanted] if names[wanted].startswith("xl/")
                              else f"xl/{names[wanted]}")
                for wanted in (_METADATA, _RUNS)
            }  # fmt: skip
    except _DAMAGE as error:
        what = f"it is no workbook of genai-bench ({type(error).__name__}: {error})"[:300]
        raise EngineError(what, path, _DAMAGED) from error


def _parsed(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    if archive.getinfo(name).file_size > _LARGEST_SHEET_BYTES:
        raise ValueError(f"{name} is too large")
    return ElementTree.fromstring(archive.read(name))


def _rows(archive: zipfile.ZipFile, name: str) -> Sheet:
    return [
        {
            (cell.get("r") or "").rstrip("0123456789"): "".join(cell.itertext())
            for cell in row.iter(f"{_MAIN}c")
        }
        for row in _parsed(archive, name).iter(f"{_MAIN}row")
    ]


def _fields(path: str, sheet: Sheet) -> dict[str, Any]:
    """The fields of the metadata as a metadata file has them."""
    fields: dict[str, Any] = {row.get("A", ""): row.get("B") or None for row in sheet}
    for name in ("num_concurrency", "batch_size"):
        listed = (fields.get(name) or "").split(", ")
        if any(len(item) > _MOST_DIGITS for item in listed):
            raise EngineError(f"its metadata has a damaged {name}", path, _DAMAGED)
        fields[name] = [int(item) for item in listed if item.isdecimal()]
    scenarios = fields.get("traffic_scenario") or ""
    fields["traffic_scenario"] = scenarios.split(", ") if scenarios else []
    for name in ("max_time_per_run_s", "max_requests_per_run"):
        fields[name] = _value(fields.get(name) or "")
    for name in ("auth_config", "additional_request_params"):
        try:
            fields[name] = json.loads(fields.get(name) or "{}")
        except (ValueError, RecursionError) as error:
            what = f"its metadata has a damaged {name}"
            raise EngineError(what, path, _DAMAGED) from error
    return fields


def _value(text: str) -> Any:
    """A number, where a text is one."""
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def _written_at(content: bytes) -> str | None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            properties = _parsed(archive, "docProps/core.xml")
    except _DAMAGE:
        return None
    for found in properties.iter("{http://purl.org/dc/terms/}created"):
        text = found.text or ""
        return text if re.fullmatch(r"[0-9T:+.Z-]{10,40}", text) else None
    return None
