"""One attempt made again from its raw output, and compared with what is stored of it.

Pure: the bytes of its files come in, findings go out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tidemark.errors import StoreError
from tidemark.results.context import RunContext
from tidemark.results.difference import UNFIT, Unreadable, differences, other_bytes, read_part
from tidemark.results.finding import Finding
from tidemark.results.judged_row import compare_rows
from tidemark.results.layout import ATTEMPT_FILE, FLOOR_FILE, raw_path
from tidemark.results.record import Evidence, read_evidence
from tidemark.results.redact import Redactor
from tidemark.results.remade import Remade
from tidemark.results.requests import CellRaw
from tidemark.results.schema import SCHEMA_VERSION
from tidemark.results.tables import Row, parquet_bytes

__all__ = ["AttemptFiles", "Checked", "Reader", "Readers", "check_attempt"]

Reader = Callable[[Mapping[str, bytes], Mapping[str, Any]], CellRaw]
Readers = Mapping[str, Reader]
"""What reads an engine's raw output, by the name of the engine."""

COUNTED: Final = (
    "run_id", "cell_id", "attempt_id", "repeat_idx", "validity", "status", "needs_attention",
)  # fmt: skip
"""What a run's row needs of each cell's."""


@dataclass(frozen=True, slots=True)
class AttemptFiles:
    """The files of one attempt: parts by their paths, what lies in its raw folder by name.

    `written` has the SHA-256 of requests as they were written, where a compaction took them over.
    """

    cell_id: str
    attempt_id: str
    cells: Mapping[str, bytes] = field(default_factory=dict)
    requests: Mapping[str, bytes] = field(default_factory=dict)
    timeline: Mapping[str, bytes] = field(default_factory=dict)
    raw: Mapping[str, bytes] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)

    @property
    def raw_folder(self) -> str:
        """Where its raw output lies."""
        return raw_path(self.cell_id, self.attempt_id)

    @property
    def parts(self) -> dict[str, str]:
        """The table of each of its parts, by path."""
        return {
            path: table
            for table, found in (
                ("cells", self.cells),
                ("requests", self.requests),
                ("timeline", self.timeline),
            )
            for path in found
        }


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of one attempt.

    `row` has the columns `COUNTED` of its stored row (of the rebuilt one where that cannot be
    read; None where there is neither), `run` is the run as unchanged evidence tells it. `cells` and
    `requests` count the rows that were made again and are as stored; `unjudged` is set for an
    attempt that has no row yet.
    """

    cell_id: str
    attempt_id: str
    findings: tuple[Finding, ...] = ()
    row: Row | None = None
    run: RunContext | None = None
    cells: int = 0
    requests: int = 0
    unjudged: bool = False


def check_attempt(files: AttemptFiles, readers: Readers) -> Checked:
    """Make an attempt's parts again and compare them with the stored ones, byte by byte.

    What holds values that no version writes is damaged, whatever they do to the comparison.
    """
    try:
        return _checked(files, readers)
    except UNFIT as error:
        path = next(iter((*files.cells, *files.requests)), files.raw_folder)
        what = f"it holds what cannot be compared ({type(error).__name__}: {error})"[:300]
        return Checked(files.cell_id, files.attempt_id, (Finding("damaged", path, what),))


def _checked(files: AttemptFiles, readers: Readers) -> Checked:
    check = _Check(files)
    evidence = check.evidence()
    remade = check.remake(evidence, readers) if evidence is not None else None
    if remade is not None:
        check.compare(remade)
    stored = [] if check.row is not None else [row for _, row in check.stored.values()]
    for row in stored:
        check.row = {name: row[name] for name in COUNTED}
    return Checked(
        files.cell_id,
        files.attempt_id,
        tuple(check.findings),
        row=check.row,
        run=evidence.run if evidence and not check.raw_changed else None,
        cells=check.cells,
        requests=check.requests,
        unjudged=check.unjudged,
    )


class _Check:
    """The check of one attempt: what it found so far."""

    def __init__(self, files: AttemptFiles) -> None:
        self.files = files
        self.findings: list[Finding] = []
        self.row: Row | None = None
        self.cells = self.requests = 0
        self.unjudged = False
        for path, data in files.timeline.items():
            self._open(path, data, "points in time")

    def say(self, kind: str, path: str, what: str, **further: Any) -> None:
        self.findings.append(Finding(kind, path, what, **further))

    @property
    def raw_changed(self) -> bool:
        """Whether the raw output is no longer what was kept."""
        return any(found.kind == "raw_changed" for found in self.findings)

    # -- what is stored -------------------------------------------------------------------

    def _open(self, path: str, data: bytes, what: str) -> pa.Table | None:
        """A part's table, if it can be read, is of this attempt, and not of a later version."""
        try:
            table = read_part(data)
            newest = pc.max(table["schema_version"]).as_py() if table.num_rows else 0
            ids = set(zip(*(table[name].to_pylist() for name in _IDS), strict=True))
        except (Unreadable, KeyError, ValueError) as error:
            self.say("damaged", path, f"it cannot be read: {error}")
            return None
        if newest is None or newest > SCHEMA_VERSION:
            known = f"this version knows {SCHEMA_VERSION}"
            self.say("newer_schema", path, f"it is of schema version {newest}, {known}")
            return None
        for cell_id, attempt_id in sorted(ids - {(self.files.cell_id, self.files.attempt_id)}):
            of = f"cell {str(cell_id)[:12]}, attempt {attempt_id}"
            self.say("other_part", path, f"it holds {what} of another attempt: {of}")
            return None
        return table

    @cached_property
    def stored(self) -> dict[str, tuple[pa.Table, Row]]:
        """The cell's part, opened: only needed where its bytes are not the rebuilt ones."""
        found = {}
        for path, data in self.files.cells.items():
            table = self._open(path, data, "the row")
            if table is None:
                continue
            if table.num_rows != 1:
                self.say("damaged", path, f"it holds {table.num_rows} rows, a cell has one")
                continue
            row = table.to_pylist()[0]
            lacking = [name for name in _NEEDED if name not in row]
            if lacking:
                self.say("damaged", path, f"it has no column {lacking[0]}")
                continue
            found[path] = (table, row)
        return found

    # -- what it was made of --------------------------------------------------------------

    def evidence(self) -> Evidence | None:
        """The raw output, if it is all there and unchanged."""
        files, folder = self.files, self.files.raw_folder
        document = files.raw.get(ATTEMPT_FILE)
        if document is None:
            if not files.parts:
                self.say("unfinished", folder, "its writer stopped before all of it was there")
            elif files.cells or files.raw:
                path = f"{folder}/{ATTEMPT_FILE}" if files.raw else folder
                self.say("raw_missing", path, f"not there; {next(iter(files.parts))} needs it")
            else:
                for path in files.parts:
                    self.say("orphan", path, "neither its cell nor its raw output is there")
            return None
        if not self._complete(document):
            return None
        try:
            return read_evidence(document, files.raw.__getitem__, folder)
        except StoreError as error:
            names = (name for name in files.raw if error.what.startswith(f"{name} "))
            self.say("raw_changed", f"{folder}/{next(names, ATTEMPT_FILE)}", error.what)
        return None

    def _complete(self, document: bytes) -> bool:
        """Whether `attempt.json` can be read and all it lists is there; says what is not."""
        folder = self.files.raw_folder
        path = f"{folder}/{ATTEMPT_FILE}"
        try:
            record = json.loads(document)
            version = record["schema_version"]
            names = [str(item["stored_as"]) for item in record["files"]]
        except UNFIT as error:
            words = f"it is no record of an attempt ({type(error).__name__}: {error})"
            self.say("raw_changed", path, words)
            return False
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        if newer or not {"run", "attempt"} <= set(record):
            changed = self._changed(document)
            if changed is not None:
                self.findings.append(changed)
            elif newer:
                known = f"this version knows {SCHEMA_VERSION}"
                self.say("newer_schema", path, f"it is of schema version {version}, {known}")
            else:
                self.say("no_record", path, "it does not say all that a row is made of")
            return False
        absent = [name for name in names if name not in self.files.raw]
        for name in absent:
            self.say("raw_missing", f"{folder}/{name}", "not there; attempt.json lists it")
        for name in sorted({*self.files.raw} - {*names, ATTEMPT_FILE, FLOOR_FILE}):
            self.say("leftover", f"{folder}/{name}", "attempt.json does not list it")
        return not absent

    def _changed(self, document: bytes) -> Finding | None:
        """That the record is another than the row was made of, if so."""
        digest = hashlib.sha256(document).hexdigest()
        for _, row in self.stored.values():
            named = row.get("evidence_sha256")
            if named != digest:
                was = f"SHA-256 {str(named)[:12]} then, {digest[:12]} now"
                path = f"{self.files.raw_folder}/{ATTEMPT_FILE}"
                what = f"not the record that the row was made of ({was})"
                return Finding("raw_changed", path, what)
        return None

    def remake(self, evidence: Evidence, readers: Readers) -> Remade | None:
        """The parts as they follow from the evidence; says why, where none do."""
        folder, engine = self.files.raw_folder, evidence.run.plan.engine.name
        of = (evidence.attempt.cell.cell_id, evidence.attempt.attempt_id)
        if of != (self.files.cell_id, self.files.attempt_id):
            what = f"it records another attempt: cell {of[0][:12]}, attempt {of[1]}"
            self.say("raw_changed", f"{folder}/{ATTEMPT_FILE}", what)
            return None
        if engine not in readers:
            what = f"nothing here reads the output of the engine {engine}"
            self.say("unknown_engine", folder, what)
            return None
        try:
            raw = readers[engine](evidence.files, evidence.engine_context)
            return Remade(evidence, raw, self.files.raw.get(FLOOR_FILE))
        except Exception as error:  # nothing is known of what a changed record holds
            what = f"no row can be made of it ({type(error).__name__}: {error})"
            self.say("not_rebuilt", folder, what[:300])
            return None

    # -- both beside each other -----------------------------------------------------------

    def compare(self, remade: Remade) -> None:
        """Say where the stored parts are others than the remade ones."""
        digests = self._compare_requests(remade)
        for path, data in self.files.cells.items():
            expected = parquet_bytes(remade.cell(remade.requests_sha256))
            if data == expected and remade.follows_floor:
                self.cells += 1
                self.row = {name: remade.row[name] for name in COUNTED}
            elif path in self.stored:
                self._compare_cell(path, data, remade, digests)
            else:
                self.row = self.row or {name: remade.row[name] for name in COUNTED}
        if not self.files.cells:
            self.unjudged = True
            what = f"measured, not judged: run again in round {remade.row['round']} to judge it"
            self.say("unjudged", self.files.raw_folder, what)
        told = {found.path for found in self.findings}
        if self.raw_changed:
            return  # by a changed record nothing can be told of where a part belongs
        for path, table in self.files.parts.items():
            if path not in told and path != remade.place(table):
                self.say("misplaced", path, f"it belongs at {remade.place(table)}")

    def _compare_requests(self, remade: Remade) -> list[str]:
        """The SHA-256s that the row may name; none where the stored requests are not right."""
        if not self.files.requests and self.files.cells:
            path = remade.place("requests")
            self.say("requests_missing", path, "not there, but its cell is")
        digests = []
        for path, data in self.files.requests.items():
            if data == remade.requests:
                self.requests += remade.request_count
                digests.append(remade.requests_sha256)
                if path in self.files.written:  # proved then, whatever writes parquet files by now
                    digests.append(self.files.written[path])
                continue
            stored = self._open(path, data, "requests")
            if stored is None:
                continue
            again = remade.requests_table(Redactor())
            found = differences(stored, again)
            if found.count and self._changed(self.files.raw[ATTEMPT_FILE]):
                continue  # which is said, and no wonder then
            if found.count:
                self.say(
                    "requests_differ",
                    path,
                    "these requests do not follow from the raw output",
                    differences=found.first,
                    differing=found.count,
                )
                continue
            self.requests += remade.request_count
            expected = parquet_bytes(again)
            digests.append(hashlib.sha256(expected).hexdigest())
            if data == expected:
                continue
            bytes_differ = other_bytes(path, data, stored, expected, remade.version)
            self.findings.append(bytes_differ)
            if bytes_differ.level == "note":
                digests.append(hashlib.sha256(data).hexdigest())
        return digests

    def _compare_cell(self, path: str, data: bytes, remade: Remade, digests: list[str]) -> None:
        """Say in what a row differs that is not, byte by byte, the remade one."""
        table, stored = self.stored[path]
        remade = remade.under(self._floor_of(stored))
        named = stored.get("requests_sha256")
        digest = named if named in digests else remade.requests_sha256
        again = remade.cell(digest, Redactor())
        changed = self._changed(self.files.raw[ATTEMPT_FILE])
        apart = [] if digests else ["requests_sha256"]  # what is wrong with them is said already
        apart += ["evidence_sha256"] if changed else []
        found = compare_rows(path, stored, again.to_pylist()[0], apart)
        if changed is not None:
            if found is not None and found.kind == "row_differs":
                told = (found.differences, found.differing)
                changed = replace(changed, differences=told[0], differing=told[1])
                found = None
            self.findings.append(changed)
        if found is not None:
            self.findings.append(found)
        elif changed is None:
            self.cells += 1
            expected = parquet_bytes(again)
            if data != expected and digests:
                self.findings.append(other_bytes(path, data, table, expected, remade.version))

    def _floor_of(self, stored: Row) -> bytes | None:
        """The floor that a row names; says where the one beside the raw output is another."""
        kept, named = self.files.raw.get(FLOOR_FILE), stored.get("floor_json")
        path = f"{self.files.raw_folder}/{FLOOR_FILE}"
        if named is None:
            if kept is not None:
                self.say("leftover", path, "the row was judged without a client floor")
            return None
        if kept is None:
            self.say("floor_differs", path, "not there, but the row was judged under it")
        elif kept != named.encode():
            self.say("floor_differs", path, "not the floor that the row was judged under")
        return bytes(named.encode())


_IDS: Final = ("cell_id", "attempt_id")
_NEEDED: Final = (*COUNTED, "verification_hash", "rules_version", "tidemark_version", "reasons")
