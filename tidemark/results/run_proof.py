"""Runs' rows and manifests beside the cells they speak of. Pure: bytes and rows in, findings out.

Of a run's row, what its cells and its plan give is made again; how it ended, and when, is taken as
it says, as far as that can be. Money is the ledger's and is not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

from tidemark import __version__
from tidemark.plan.cells import cells as cells_of
from tidemark.results.context import RunContext, RunOutcome
from tidemark.results.difference import (
    SHOWN,
    UNFIT,
    Unreadable,
    other_bytes,
    read_part,
    row_differences,
)
from tidemark.results.finding import Difference, Finding
from tidemark.results.layout import PartName, run_path
from tidemark.results.parts import clean_row
from tidemark.results.redact import Redactor
from tidemark.results.rows import counted_columns, run_row
from tidemark.results.schema import MONEY, RUNS, SCHEMA_VERSION
from tidemark.results.tables import Row, parquet_bytes, table_of

__all__ = ["RunFiles", "check_run"]

Attempt = tuple[str, str]
"""`(cell_id, attempt_id)`"""

_OUTCOME: Final = (
    "outcome", "exit_status", "started_at", "finished_at", "cells_planned", "notes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunFiles:
    """A run's part and its manifest, each as (path, bytes), None where there is none."""

    run_id: str
    part: tuple[str, bytes] | None = None
    manifest: tuple[str, bytes] | None = None


def check_run(
    files: RunFiles,
    rows: Mapping[Attempt, Row],
    parts: Mapping[Attempt, Collection[str]],
    present: Collection[str],
    run: RunContext | None,
) -> tuple[Finding, ...]:
    """What is wrong with a run's row and its manifest; nothing, if both are as they should be.

    `rows` are those of the cells that could be read, `parts` the paths of all cells' parts,
    `present` all paths of parts; `run` is the run as its own evidence tells it, if it has any.
    """
    try:
        return _checked(files, rows, parts, present, run)
    except UNFIT as error:
        path, _ = files.part or files.manifest or ("runs", b"")
        what = f"it holds what cannot be compared ({type(error).__name__}: {error})"[:300]
        return (Finding("damaged", path, what),)


def _checked(
    files: RunFiles,
    rows: Mapping[Attempt, Row],
    parts: Mapping[Attempt, Collection[str]],
    present: Collection[str],
    run: RunContext | None,
) -> tuple[Finding, ...]:
    findings: list[Finding] = []
    row = None
    if files.part is not None:
        path, data = files.part
        row, wrong = _open(files.run_id, path, data)
        findings += wrong
        if row is not None:
            findings += _row_findings(path, data, row, rows, parts, run)
    if files.manifest is None and files.part is not None:
        what = "the run has no manifest: it did not finish, and is not read as one"
        findings.append(Finding("unfinished", files.part[0], what))
    elif files.manifest is not None:
        findings += _manifest_findings(files, row, parts, present)
    return tuple(findings)


def _open(run_id: str, path: str, data: bytes) -> tuple[Row | None, list[Finding]]:
    try:
        table = read_part(data)
        found = table.to_pylist()
    except (Unreadable, ValueError) as error:
        return None, [Finding("damaged", path, f"it cannot be read: {error}")]
    if "cells" not in table.column_names:
        return None, [Finding("no_record", path, "it does not say which cells it counts")]
    lacking = [name for name in (*_NEEDED, *_OUTCOME) if name not in table.column_names]
    if len(found) != 1 or lacking:
        what = f"it has no column {lacking[0]}" if lacking else f"it holds {len(found)} rows"
        return None, [Finding("damaged", path, what)]
    row: Row = found[0]
    for name in _NEVER_NULL:
        if row[name] is None:
            return None, [Finding("damaged", path, f"its {name} is NULL")]
    if row["schema_version"] > SCHEMA_VERSION:
        known = f"this version knows {SCHEMA_VERSION}"
        what = f"it is of schema version {row['schema_version']}, {known}"
        return None, [Finding("newer_schema", path, what)]
    if row["run_id"] != run_id:
        return None, [Finding("other_part", path, f"it is the row of run {row['run_id']}")]
    return row, []


def _row_findings(
    path: str,
    data: bytes,
    row: Row,
    rows: Mapping[Attempt, Row],
    parts: Mapping[Attempt, Collection[str]],
    run: RunContext | None,
) -> Iterator[Finding]:
    counted = [(cell["cell_id"], cell["attempt_id"]) for cell in row["cells"] or ()]
    absent = [attempt for attempt in counted if not parts.get(attempt)]
    for cell_id, attempt_id in absent:
        what = f"it counts cell {cell_id[:12]}, attempt {attempt_id}, which has no part"
        yield Finding("part_missing", path, what)
    yield from _contradictions(path, row, rows, run)
    expected_path = run_path(row["run_id"], row["created_at"].astimezone(UTC).date())
    if path != expected_path:
        yield Finding("misplaced", path, f"it belongs at {expected_path}")
    if any(attempt not in rows for attempt in counted):
        return  # of a cell that cannot be read nothing can be counted, and that is said of it
    expected = _expected(row, [rows[attempt] for attempt in counted], run)
    for redactor in (None, Redactor()):
        again = table_of(RUNS, [clean_row(expected, redactor)])
        if parquet_bytes(again) == data:
            return
    differing = row_differences(row, again.to_pylist()[0])
    if not differing:
        yield other_bytes(
            path, data, read_part(data), parquet_bytes(again), row["tidemark_version"]
        )
        return
    version = expected["tidemark_version"]
    if version != __version__:
        what = f"tidemark {version} wrote it, {__version__} makes it otherwise"
        yield Finding("another_version", path, what, differing[:SHOWN], len(differing))
        return
    what = "the run's row does not follow from its cells and its plan"
    yield Finding("run_differs", path, what, differing[:SHOWN], len(differing))


def _expected(row: Row, rows: Sequence[Row], run: RunContext | None) -> Row:
    """The run's row as its cells and its plan give it."""
    if run is None:  # all its cells were taken over: only the counts can be made again
        return {**dict.fromkeys(RUNS.names), **row, **counted_columns(row["run_id"], rows)}
    outcome = RunOutcome(
        **{name: row[name] for name in _OUTCOME if name != "notes"}, notes=tuple(row["notes"] or ())
    )
    money = {name: row.get(name) for name in MONEY}
    return {**run_row(run, outcome, rows), **money}


def _contradictions(
    path: str, row: Row, rows: Mapping[Attempt, Row], run: RunContext | None
) -> Iterator[Finding]:
    """Where a run's outcome cannot be that of its cells."""
    cells = [rows.get((cell["cell_id"], cell["attempt_id"])) for cell in row["cells"] or ()]
    known = [cell for cell in cells if cell is not None]
    bad = [cell for cell in known if cell["validity"] != "valid" or cell["needs_attention"]]
    whole = len(cells) == row["cells_planned"]
    good = whole and not bad
    wrong = []
    if row["outcome"] == "complete" and not good:
        left = f"{len(bad)} of its cells are not good" if bad else "it has not all of its cells"
        wrong.append(Difference("outcome", row["outcome"], left))
    if (row["outcome"] == "complete") != (row["exit_status"] == 0):
        wrong.append(Difference("exit_status", row["exit_status"], f"not after {row['outcome']}"))
    most = len(cells_of(run.plan)) if run is not None else None
    if (most is not None and row["cells_planned"] > most) or row["cells_planned"] < len(cells):
        told = f"{len(cells)} counted, {most} in the plan"
        wrong.append(Difference("cells_planned", row["cells_planned"], told))
    if wrong:
        what = "how the run ended is not what its cells say"
        yield Finding("run_differs", path, what, tuple(wrong), len(wrong))


def _manifest_findings(
    files: RunFiles,
    row: Row | None,
    parts: Mapping[Attempt, Collection[str]],
    present: Collection[str],
) -> Iterator[Finding]:
    assert files.manifest is not None
    path, data = files.manifest
    try:
        document: dict[str, Any] = json.loads(data)
        named = [str(document["run_part"]), *map(str, document["cell_parts"])]
        version = int(document["schema_version"])
    except UNFIT as error:
        yield Finding("damaged", path, f"it is no manifest ({type(error).__name__}: {error})")
        return
    if version > SCHEMA_VERSION:
        known = f"this version knows {SCHEMA_VERSION}"
        yield Finding("newer_schema", path, f"it is of schema version {version}, {known}")
        return
    for part in named:
        if part not in present:
            yield Finding("part_missing", path, f"it names {part}, which is not there")
    wrong = []
    if document.get("run_id") != files.run_id:
        wrong.append(Difference("run_id", document.get("run_id"), files.run_id))
    if files.part is not None and named[0] in present and named[0] != files.part[0]:
        wrong.append(Difference("run_part", named[0], files.part[0]))
    for cell in (row or {}).get("cells") or ():
        places = parts.get((cell["cell_id"], cell["attempt_id"]), ())
        wrong += [Difference("cell_parts", None, place) for place in places if place not in named]
    counted = {cell["cell_id"] for cell in (row or {}).get("cells") or ()}
    for place in named[1:] if row is not None else ():
        part_name = PartName.parse(place)
        if part_name is None or part_name.cell_id not in counted:
            wrong.append(Difference("cells", None, place))
    for name in ("round", "plan_hash"):
        if row is not None and name in document and document[name] != row[name]:
            wrong.append(Difference(name, document[name], row[name]))
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"
    if wrong:
        what = "the manifest and the run's row do not agree"
        yield Finding("manifest_differs", path, what, tuple(wrong[:SHOWN]), len(wrong))
    elif text.encode() != data:
        what = "the manifest was written anew: its bytes are not those of a run"
        yield Finding("manifest_differs", path, what)


_NEVER_NULL: Final = (
    "schema_version", "run_id", "created_at", "finished_at", "cells_planned", "outcome",
    "exit_status",
)  # fmt: skip
_NEEDED: Final = (
    "schema_version", "run_id", "round", "plan_hash", "tidemark_version", "created_at", "cells",
)  # fmt: skip
