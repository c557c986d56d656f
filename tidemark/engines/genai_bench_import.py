"""What genai-bench alone measured, made rows of our tables: an import.

Each level file becomes an attempt whose id follows from its bytes, each experiment a run whose id
follows from its attempts: what was imported once is never imported again, and an import that was
cut short goes on where it stopped. The numbers are recomputed from the requests by our own
definitions; the engine's own are kept as evidence. Since it gives no times of requests, the load
that it offered cannot be shown, and no such cell is ever valid.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from tidemark.engines.genai_bench import GenaiBench
from tidemark.engines.genai_bench_import_level import Level
from tidemark.engines.genai_bench_import_metadata import METADATA_FILE
from tidemark.engines.genai_bench_import_plan import Planned, made_name, planned
from tidemark.engines.genai_bench_import_source import (
    Experiment,
    Progress,
    Refused,
    Survey,
)
from tidemark.engines.genai_bench_output import read_pass
from tidemark.errors import AlreadyThere, EngineError, StoreAway, StoreError
from tidemark.plan.cells import Cell
from tidemark.plan.sweep import plan_hash
from tidemark.results.context import AttemptContext, Harness, RunContext, RunOutcome
from tidemark.results.files import Files
from tidemark.results.layout import PartName, run_path
from tidemark.results.parts import clean_requests_table, clean_row
from tidemark.results.proof import measured_metrics, proved_row
from tidemark.results.record import record_of
from tidemark.results.redact import Redactor
from tidemark.results.rows import run_row
from tidemark.results.schema import CELLS
from tidemark.results.store import Attempt, Store, StoredAttempt
from tidemark.results.tables import Row, table_of

__all__ = ["ImportedFile", "ImportedRun", "Importer"]

Fate = Literal["imported", "already", "would_import"]

FAILED, PARTIAL, INCONCLUSIVE = 1, 3, 4

_LACKING: Final = (
    "genai-bench ran alone: the times at which requests were sent, the window of steady load, and "
    "the client's processor time and floor are not known",
    "whether the server or a tokenizer counted the tokens is not known",
)


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """A level file that is in the store, or would be: where it lay, and the attempt it became.

    `run_id` is the run that has it, or would.
    """

    path: str
    fate: Fate
    scenario: str
    task: str
    concurrency: int
    batch_size: int
    repeat_idx: int
    requests: int
    failed: int
    unit: str
    cell_id: str
    attempt_id: str
    run_id: str
    reason: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """An experiment that became a run, or would; `run_id` is None where nothing in it is new.

    `planned` counts the cells that it asked for and that no earlier import has; `notes` are of all
    its files, those of a file its own.
    """

    run_id: str | None
    folder: str
    model: str | None
    planned: int
    files: tuple[ImportedFile, ...]
    notes: tuple[str, ...] = ()
    outcome: str | None = None
    written_at: str | None = None


@dataclass(frozen=True, slots=True)
class _Sweep:
    """An experiment with its plan, and the cell of each of its level files."""

    experiment: Experiment
    planned: Planned
    cells: tuple[tuple[Level, Cell], ...]


class Importer:
    """Puts the experiments of a survey into a store.

    `source` names the location in rows; `name` is the runs' plan name, by default made of the
    source, the folder in it and the model; `version` is genai-bench's where no metadata tells it.
    `now` is when the import was asked for.
    """

    def __init__(
        self,
        files: Files,
        source: str,
        store: Store,
        *,
        harness: Harness,
        now: datetime,
        requested_by: str | None = None,
        name: str | None = None,
        version: str | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        self._files = files
        self._source = source
        self._store = store
        self._redactor = Redactor()
        self._harness = harness
        self._now = now
        self._requested_by = requested_by
        self._name = name
        self._version = version
        self._tell = on_progress or (lambda *_: None)
        self._done = self._total = 0
        self.refused: list[Refused] = []

    def run(self, survey: Survey, *, dry_run: bool = False) -> list[ImportedRun]:
        """Import all that is new; what cannot be is in `refused`, by name.

        A `dry_run` only says what would be done. Raises StoreError where the store takes nothing.
        """
        self._redactor = survey.redactor
        self._source = survey.redactor.text(self._source)
        self._total = sum(len(experiment.levels) for experiment in survey.experiments)
        parts = (PartName.parse(path) for path in self._store.files.list("cells"))
        there = {part.attempt_id: part.cell_id for part in parts if part is not None}
        finished = {
            path.rpartition("/")[2].removesuffix(".json")
            for path in self._store.files.list("manifests")
        }
        sweeps = (self._sweep(experiment) for experiment in survey.experiments)
        return [
            self._imported(sweep, there, finished, dry_run) for sweep in sweeps if sweep is not None
        ]

    def _sweep(self, experiment: Experiment) -> _Sweep | None:
        """An experiment, without the files that no plan can speak of; None if none is left."""

        def plan(levels: Sequence[Level]) -> Planned:
            name = self._name or made_name(
                self._source, self._redactor.text(experiment.folder), experiment.metadata
            )
            return planned(levels, experiment.metadata, name=name, version=self._version)

        levels = []
        for level in experiment.levels:
            try:
                plan([level])
            except EngineError as error:
                self.refused.append(Refused.of(level.path, error))
            else:
                levels.append(level)
        if not levels:
            return None
        found = plan(levels)
        return _Sweep(experiment, found, tuple(zip(levels, found.cells, strict=True)))

    def _imported(
        self, sweep: _Sweep, there: Mapping[str, str], finished: Collection[str], dry_run: bool
    ) -> ImportedRun:
        rows = self._rows(there, [_attempt_id(level) for level, _ in sweep.cells])
        over = {attempt: row for attempt, row in rows.items() if row["run_id"] in finished}
        if len(over) < len(rows):  # begun by an import that was ended, and taken up by another
            counted = {
                cell["attempt_id"]
                for found in self._store.runs().to_pylist()
                for cell in found["cells"]
            }
            over |= {attempt: row for attempt, row in rows.items() if attempt in counted}
        new = tuple((level, cell) for level, cell in sweep.cells if _attempt_id(level) not in over)
        run_id = _run_id([level for level, _ in new]) if new else None
        files = tuple(
            _file(level, cell, sweep, run_id, over.get(_attempt_id(level)))
            for level, cell in sweep.cells
        )
        told = ImportedRun(
            run_id=run_id,
            folder=sweep.experiment.folder,
            model=sweep.planned.plan.endpoint.model,
            planned=sweep.planned.planned - len(over),
            files=files,
            notes=sweep.planned.notes,
            written_at=sweep.experiment.written_at,
        )
        if dry_run or told.run_id is None:
            return told
        run = self._context(told.run_id, sweep, new, rows)
        kept: dict[str, StoredAttempt] = {}
        for level, cell in new:
            self._tell("importing", self._done, self._total)
            stored = self._attempt(run, sweep, level, cell, rows)
            self._done += 1
            if stored is not None:
                kept[level.path] = stored
        self._tell("importing", self._done, self._total)
        files = tuple(
            _kept(file, kept[file.path].row) if file.path in kept else file
            for file in files
            if file.path in kept or file.fate == "already"
        )
        if not kept:
            return replace(told, files=files, run_id=None)
        outcome = self._finish(run, sweep.experiment, told.planned, list(kept.values()))
        return replace(told, files=files, outcome=outcome)

    def _rows(self, there: Mapping[str, str], attempts: Sequence[str]) -> dict[str, Row]:
        """The rows that some of the attempts have already, by attempt."""
        cell_ids = {there[attempt] for attempt in attempts if attempt in there}
        rows = self._store.find_cells(cell_ids) if cell_ids else []
        return {row["attempt_id"]: row for row in rows if row["attempt_id"] in attempts}

    def _context(
        self,
        run_id: str,
        sweep: _Sweep,
        new: Sequence[tuple[Level, Cell]],
        rows: Mapping[str, Row],
    ) -> RunContext:
        """The run; as an import that was cut short began it, if one was."""
        for level, cell in new:
            attempt = _attempt_id(level)
            cell_id = rows[attempt]["cell_id"] if attempt in rows else cell.cell_id
            if attempt in self._store.attempts(cell_id):
                try:
                    begun = self._store.evidence(cell_id, attempt).run
                except StoreAway:
                    raise
                except StoreError:  # damaged: refused by name when its turn comes
                    continue
                if begun.run_id == run_id:
                    return begun
            elif attempt not in rows:
                break  # attempts are kept one after another
        place = f"{self._source.rstrip('/')}/{sweep.experiment.folder}".rstrip("/")
        plan = sweep.planned.plan
        known = sweep.experiment.metadata is not None
        return RunContext(
            run_id=run_id,
            round=run_id,
            plan=plan,
            plan_hash=plan_hash(plan),
            created_at=self._now,
            harness=self._harness,
            trigger="manual",
            trigger_ref=f"import of {self._redactor.text(place)}",
            requested_by=self._requested_by,
            reproduce=f"tidemark sweep run:{run_id} --store {self._store.uri}" if known else None,
            resources=dict(sweep.planned.columns),
        )

    def _attempt(
        self, run: RunContext, sweep: _Sweep, level: Level, cell: Cell, rows: Mapping[str, Row]
    ) -> StoredAttempt | None:
        """Keep one level file; None, and refused by name, where that cannot be done."""
        attempt_id = _attempt_id(level)
        if attempt_id in rows:
            return self._store.stored(rows[attempt_id])
        try:
            attempt = self._read(run, sweep, level, cell)
            if attempt is None:
                return None
            try:
                return self._store.put_cell(attempt)
            except AlreadyThere:
                return self._taken_up(cell, attempt_id)
        except StoreAway:
            raise
        except (StoreError, EngineError) as error:
            elsewhere = error.where not in (None, level.path)
            what = f"{error.what} ({error.where})" if elsewhere else error.what
            self.refused.append(Refused(level.path, self._redactor.text(what), error.remedy))
            return None

    def _taken_up(self, cell: Cell, attempt_id: str) -> StoredAttempt:
        """An attempt that another import kept, finished as that one began it.

        That import was ended, and had another name: the source has grown or shrunk since.
        """
        for row in self._store.find_cells({cell.cell_id}):
            if row["attempt_id"] == attempt_id:
                return self._store.stored(row)
        begun = self._store.evidence(cell.cell_id, attempt_id)
        raw = read_pass(begun.files, begun.engine_context)
        row = proved_row(begun.run, begun.attempt, raw, measured_metrics(begun.run, raw))
        return self._store.put_verdict(row, raw.rows, begun.sha256)

    def _read(self, run: RunContext, sweep: _Sweep, level: Level, cell: Cell) -> Attempt | None:
        """What a level file comes to; None, and refused, if it is no longer what was looked at.

        Raises EngineError or StoreError for what the tables cannot hold, before any of it is kept.
        """
        content = self._files.read(level.path)
        if hashlib.sha256(content).hexdigest() != level.sha256:
            what = "it changed while it was imported"
            self.refused.append(Refused(level.path, what, "Import it again once it is finished"))
            return None
        # Redact, then read: rows come from what is kept, so they can be made of it again.
        files = {"run.json": self._redactor.data(content)}
        metadata = sweep.experiment.metadata
        if metadata is not None:
            text = json.dumps(metadata.fields, indent=4, ensure_ascii=False)
            files[METADATA_FILE] = self._redactor.data(text.encode("utf-8", "replace"))
        context = {
            "engine": GenaiBench.name,
            "engine_version": run.resources.get("engine_version", run.plan.engine.version),
            "task": level.task,
            "time_unit": level.unit,
            "source": self._source,
            "source_file": self._redactor.text(level.path),
            "source_sha256": level.sha256,
            "failure": None,
            "notes": [self._redactor.text(note) for note in self._notes(sweep, level)],
        }
        attempt = AttemptContext(
            cell=cell,
            attempt_id=_attempt_id(level),
            created_at=run.created_at,
            reproduce=run.reproduce and f"{run.reproduce} --cell {cell.cell_id[:12]}",
        )
        try:
            raw = read_pass(files, context)
            row = proved_row(run, attempt, raw, measured_metrics(run, raw))
            table_of(CELLS, [clean_row(row, self._redactor)])
            clean_requests_table(row, raw.rows, self._redactor)
            record = record_of(run, attempt)
        except (ValueError, TypeError, ArithmeticError) as error:
            what = f"what it says fits no row ({type(error).__name__})"
            remedy = "Copy it again from where it was written"
            raise EngineError(what, level.path, remedy) from error
        return Attempt(
            row=row, requests=raw.rows, raw_files=files, raw_context=context, record=record
        )

    def _notes(self, sweep: _Sweep, level: Level) -> Sequence[str]:
        written = sweep.experiment.written_at
        return [
            f"imported from {level.path} at {self._source}",
            f"experiment: {sweep.experiment.reasons[level.path]}",
            *_LACKING,
            *level.notes,
            *sweep.planned.notes,
            *([f"the workbook of its experiment was written at {written}"] if written else []),
        ]

    def _finish(
        self, run: RunContext, experiment: Experiment, planned: int, kept: Sequence[StoredAttempt]
    ) -> str:
        """The run's row and, last, its manifest; the outcome in a word."""
        rows = [stored.row for stored in kept]
        outcome, exit_status = _outcome(rows, planned)
        row = run_row(
            run,
            RunOutcome(
                outcome=outcome,
                exit_status=exit_status,
                finished_at=run.created_at,
                cells_planned=planned,
                notes=(
                    f"imported: genai-bench alone measured it; {run.trigger_ref}",
                    "created_at and finished_at are of the import; when it was measured is not "
                    + (
                        f"known but for its workbook, written at {experiment.written_at}"
                        if experiment.written_at
                        else "known"
                    ),
                ),
            ),
            rows,
        )
        try:
            part = self._store.put_run(row)
        except AlreadyThere:  # by an import that was ended just then
            part = run_path(run.run_id, run.created_at.date())
        with contextlib.suppress(AlreadyThere):  # another import of the same files was first
            self._store.put_manifest(
                run.run_id,
                run_part=part,
                cell_parts=sorted({stored.cell_part for stored in kept}),
                contents={"round": run.round, "plan_hash": run.plan_hash},
            )
        return outcome


def _kept(file: ImportedFile, row: Row) -> ImportedFile:
    """What is said of a file that is in the store now: also what its numbers are not worth."""
    told = [reason["evidence"] for reason in row["reasons"] if reason["level"] == "invalid"]
    return replace(
        file, fate="imported", notes=(*file.notes, *(f"invalid: {what}" for what in told))
    )


def _file(
    level: Level, cell: Cell, sweep: _Sweep, run_id: str | None, row: Row | None
) -> ImportedFile:
    """What is said of a file; `row` is that of an earlier import, else it is of the run."""
    notes = list(level.notes)
    if row is not None and row["cell_id"] != cell.cell_id:
        then, now = row["model_name"], sweep.planned.plan.endpoint.model
        notes.append(
            f"run {row['run_id']} has it as of {then or 'a model that is not known'}; by what lies "
            f"beside it today it is of {now or 'a model that is not known'}"
        )
    return ImportedFile(
        path=level.path,
        fate="would_import" if row is None else "already",
        scenario=level.scenario.text,
        task=level.task,
        concurrency=level.concurrency,
        batch_size=level.batch_size,
        repeat_idx=cell.repeat_idx,
        requests=level.requests,
        failed=level.failed,
        unit=level.unit,
        cell_id=cell.cell_id,
        attempt_id=_attempt_id(level),
        run_id=row["run_id"] if row is not None else run_id or "",
        reason=sweep.experiment.reasons[level.path],
        notes=tuple(notes),
    )


def _attempt_id(level: Level) -> str:
    """The name of the attempt that a level file is: the same bytes always have the same."""
    return level.sha256[:32]


def _run_id(levels: Sequence[Level]) -> str:
    """The name of the run that these level files are."""
    joined = " ".join(sorted(level.sha256 for level in levels))
    return f"import-{hashlib.sha256(joined.encode()).hexdigest()[:16]}"


def _outcome(rows: Sequence[Row], planned: int) -> tuple[str, int]:
    """(outcome, exit status) of an imported run, of whose cells none is ever valid."""
    bad = sum(row["validity"] == "invalid" or row["needs_attention"] for row in rows)
    if bad == len(rows):
        return "failed", FAILED
    return ("partial", PARTIAL) if bad or len(rows) < planned else ("inconclusive", INCONCLUSIVE)
