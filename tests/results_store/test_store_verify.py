"""What is stored follows from the raw output, or it is said what does not, where and why."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stored_sweep import (
    READERS,
    REQUESTS,
    Sweep,
    attempt_at,
    context_of,
    floor,
    place_of,
    put_run,
    put_sweep,
    taken_over,
)

from tidemark.errors import ConfigError
from tidemark.plan.cells import cells
from tidemark.results.finding import Finding
from tidemark.results.redact import Redactor
from tidemark.results.schema import CELLS
from tidemark.results.store import Store, open_store
from tidemark.results.tables import parquet_bytes, table_of
from tidemark.results.verify import Verification, verify


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def store(root: Path) -> Store:
    return open_store(str(root))


@pytest.fixture
def sweep(store: Store) -> Sweep:
    return put_sweep(store)


@pytest.fixture
def verified(root: Path) -> Callable[..., Verification]:
    def verified(**options: Any) -> Verification:
        return verify(partial(open_store, str(root)), READERS, **{"jobs": 1, **options})

    return verified


def kinds(done: Verification) -> list[tuple[str, str]]:
    return [(found.kind, found.path) for found in done.findings]


def only(done: Verification) -> Finding:
    (found,) = done.findings
    return found


def rewrite(path: Path, **changes: Any) -> None:
    """A part with other values in its first row, written as tidemark writes parts."""
    table = pq.ParquetFile(path).read()
    rows = table.to_pylist()
    rows[0] |= changes
    path.write_bytes(parquet_bytes(table_of(table.schema, rows)))


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x40
    path.write_bytes(bytes(data))


def test_a_store_is_as_rebuilt(sweep: Sweep, verified: Callable[..., Verification]) -> None:
    assert [stored.row["validity"] for stored in sweep.cells] == ["valid", "valid"]
    done = verified()
    assert done.findings == ()
    assert (done.cells, done.requests, done.runs) == (2, 2 * REQUESTS, 1)
    assert done.exit_status == 0


def test_nothing_is_written(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    flip(root / sweep.cells[0].cell_part, 100)
    before[root / sweep.cells[0].cell_part] = (root / sweep.cells[0].cell_part).stat().st_mtime_ns
    verified()
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


# -- damage, each named with what and where ------------------------------------------------


def test_every_flipped_byte_of_a_cell_part_is_noticed(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    """Wherever it is: in a page, in the footer, or where no reader looks."""
    path = sweep.cells[0].cell_part
    whole = (root / path).read_bytes()
    for place in range(2, len(whole), len(whole) // 23):
        flip(root / path, place)
        found = [found for found in verified().findings if found.path == path]
        assert found, place
        assert found[0].level == "wrong", (place, found)
        (root / path).write_bytes(whole)


def test_a_changed_number_is_named(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    stored = sweep.cells[1]
    rewrite(root / stored.cell_part, ttft_s_p50=0.001)
    done = verified()
    found = only(done)
    assert (found.kind, found.path) == ("row_differs", stored.cell_part)
    (one,) = found.differences
    assert (one.column, one.stored, one.rebuilt) == (
        "ttft_s_p50", 0.001, stored.row["ttft_s_p50"]
    )  # fmt: skip
    assert (done.exit_status, done.cells) == (1, 1)


def test_a_changed_verdict_is_named(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    rewrite(root / sweep.cells[0].cell_part, validity="invalid", reasons=[])
    found = only_of("row_differs", verified())
    assert [one.column for one in found.differences] == ["validity", "reasons, entries"]


def only_of(kind: str, done: Verification) -> Finding:
    (found,) = (found for found in done.findings if found.kind == kind)
    return found


def test_a_changed_request_is_named(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    path = sweep.cells[0].requests_part
    table = pq.ParquetFile(root / path).read()
    rows = table.to_pylist()
    rows[17]["ttft_s"] = 0.01
    (root / path).write_bytes(parquet_bytes(table_of(table.schema, rows)))
    done = verified()
    found = only(done)
    assert (found.kind, found.path, found.differing) == ("requests_differ", path, 1)
    assert (found.differences[0].request_idx, found.differences[0].column) == (17, "ttft_s")
    assert done.cells == 2  # the row itself follows from the raw output
    assert done.requests == REQUESTS


def test_missing_requests_are_named(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    path = sweep.cells[0].requests_part
    (root / path).unlink()
    assert kinds(verified()) == [("requests_missing", path)]


def test_a_changed_raw_file_is_named(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    path = f"{sweep.cells[0].raw_folder}/events.jsonl.gz"
    text = gzip.decompress((root / path).read_bytes())
    (root / path).write_bytes(gzip.compress(text.replace(b'"status": 429', b'"status": 500')))
    assert kinds(verified()) == [("raw_changed", path)]


def test_a_missing_raw_file_is_named(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    path = f"{sweep.cells[0].raw_folder}/events.jsonl.gz"
    (root / path).unlink()
    assert kinds(verified()) == [("raw_missing", path)]


def test_a_missing_raw_folder_is_named(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    shutil.rmtree(root / sweep.cells[0].raw_folder)
    done = verified()
    assert kinds(done) == [("raw_missing", sweep.cells[0].raw_folder)]
    assert (done.exit_status, done.runs) == (1, 1)  # the run still counts what it counted


def test_an_edited_record_is_named_with_what_it_would_change(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    path = f"{sweep.cells[0].raw_folder}/attempt.json"
    record = json.loads((root / path).read_bytes())
    record["run"]["requested_by"] = "somebody else"
    (root / path).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    found = only(verified())
    assert (found.kind, found.path) == ("raw_changed", path)
    assert [str(one) for one in found.differences] == [
        "requested_by: stored night watch, rebuilt somebody else"
    ]


def test_raw_output_that_was_changed_with_its_hashes_no_longer_gives_the_row(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    """A file, its hash in the record, and the hash of the record in the row."""
    folder = root / sweep.cells[0].raw_folder
    text = gzip.decompress((folder / "events.jsonl.gz").read_bytes())
    text = text.replace(b'"status": 429', b'"status": 500')
    (folder / "events.jsonl.gz").write_bytes(gzip.compress(text))
    record = json.loads((folder / "attempt.json").read_bytes())
    record["files"][0]["sha256"] = hashlib.sha256(text).hexdigest()
    document = (json.dumps(record, indent=2, sort_keys=True) + "\n").encode()
    (folder / "attempt.json").write_bytes(document)
    rewrite(root / sweep.cells[0].cell_part, evidence_sha256=hashlib.sha256(document).hexdigest())
    found = {found.kind: found for found in verified().findings}
    assert set(found) == {"row_differs", "requests_differ"}
    assert "error_code" in [one.column for one in found["requests_differ"].differences]


def test_an_edited_floor_is_named(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    path = f"{sweep.cells[1].raw_folder}/floor.json"
    (root / path).write_text(floor(added_s=0.01).to_json())
    done = verified()
    assert kinds(done) == [("floor_differs", path)]
    assert done.cells == 2  # the row follows under the floor that it names
    (root / path).write_text(json.dumps(json.loads(floor().to_json()), indent=1))
    assert kinds(verified()) == [("floor_differs", path)]
    (root / path).write_text("{")
    assert kinds(verified()) == [("floor_differs", path)]
    (root / path).unlink()
    assert kinds(verified()) == [("floor_differs", path)]


@pytest.mark.parametrize(
    ("changes", "columns"),
    [
        ({"cells_valid": 1}, {"cells_valid"}),
        ({"requested_by": "somebody else"}, {"requested_by"}),
        ({"outcome": "failed", "exit_status": 0}, {"exit_status"}),
        ({"cells_planned": 7}, {"cells_planned", "outcome"}),
        ({"wall_s": 1.0}, {"wall_s"}),
    ],
)
def test_an_edited_run_is_named(
    root: Path,
    sweep: Sweep,
    verified: Callable[..., Verification],
    changes: dict[str, Any],
    columns: set[str],
) -> None:
    rewrite(root / sweep.run_part, **changes)
    done = verified()
    told = {one.column for found in done.findings for one in found.differences}
    assert {found.path for found in done.findings} == {sweep.run_part}
    assert {found.kind for found in done.findings} == {"run_differs"}
    assert columns <= told
    assert (done.exit_status, done.cells, done.runs) == (1, 2, 0)


def test_a_run_that_counts_fewer_cells_than_it_wrote_is_named(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    rewrite(root / sweep.run_part, cells=[], cells_valid=0, outcome="failed", exit_status=1)
    found = only(verified())
    assert found.path == sweep.manifest
    assert [one.rebuilt for one in found.differences] == sorted(
        stored.cell_part for stored in sweep.cells
    )


def test_a_manifest_that_names_an_absent_part_is_named(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    (root / sweep.cells[0].cell_part).unlink()
    done = verified()
    assert ("part_missing", sweep.manifest) in kinds(done)
    assert ("part_missing", sweep.run_part) in kinds(done)
    assert sweep.cells[0].cell_part in " ".join(found.what for found in done.findings)


@pytest.mark.parametrize(
    ("edit", "kind"),
    [
        (lambda document: document.update(cell_parts=[]), "manifest_differs"),
        (lambda document: document.update(round="another"), "manifest_differs"),
        (lambda document: document.update(note="added"), None),
        (lambda document: document.pop("run_part"), "damaged"),
    ],
)
def test_an_edited_manifest_is_named(
    root: Path,
    sweep: Sweep,
    verified: Callable[..., Verification],
    edit: Callable[[dict[str, Any]], object],
    kind: str | None,
) -> None:
    document = json.loads((root / sweep.manifest).read_text())
    edit(document)
    (root / sweep.manifest).write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    assert kinds(verified()) == ([(kind, sweep.manifest)] if kind else [])


def test_orphaned_requests_are_named(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    path = sweep.cells[0].requests_part.replace(sweep.cells[0].row["attempt_id"], "astray")
    shutil.copy(root / sweep.cells[0].requests_part, root / path)
    assert kinds(verified()) == [("orphan", path)]


@pytest.mark.parametrize("table", ["cells", "requests", "runs"])
def test_a_truncated_part_is_named(
    root: Path, sweep: Sweep, verified: Callable[..., Verification], table: str
) -> None:
    path = sweep.run_part if table == "runs" else place_of(table, sweep.cells[0].row)
    (root / path).write_bytes((root / path).read_bytes()[:-200])
    assert kinds(verified()) == [("damaged", path)]


def test_a_part_under_another_cells_name_is_named(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    first, second = sweep.cells
    shutil.copy(root / first.cell_part, root / second.cell_part)
    shutil.copy(root / first.requests_part, root / second.requests_part)
    done = verified()
    assert kinds(done) == [
        ("other_part", second.cell_part),
        ("other_part", second.requests_part),
    ]
    assert first.row["cell_id"][:12] in done.findings[0].what


def test_a_raw_folder_under_another_cells_name_is_named(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    first, second = (root / stored.raw_folder for stored in sweep.cells)
    shutil.rmtree(second)
    shutil.copytree(first, second)
    path = f"{sweep.cells[1].raw_folder}/attempt.json"
    assert kinds(verified()) == [("raw_changed", path)]


def test_a_part_in_another_folder_is_named(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    path = sweep.cells[0].requests_part
    astray = root / path.replace("date=2026-11-21", "date=2026-11-22")
    astray.parent.mkdir()
    (root / path).rename(astray)
    found = only(verified())
    assert found.kind == "misplaced"
    assert path in found.what


def test_rows_that_are_equal_and_bytes_that_are_not_are_told_apart(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    """Written anew by this pyarrow is damage of a kind; by another one it is not."""
    path = root / sweep.cells[0].requests_part
    pq.write_table(pq.ParquetFile(path).read(), path, compression="gzip")
    done = verified()
    assert "the rows are as rebuilt, the bytes are not" in done.findings[0].what
    assert done.findings[0].kind == "damaged"
    mine = f"version {pa.__version__}".encode()
    path.write_bytes(path.read_bytes().replace(mine, b"version 9" + mine[9:]))
    found = [found for found in verified().findings if found.path.startswith("requests/")]
    assert [one.kind for one in found] == ["another_writer"]


def test_a_store_written_by_another_pyarrow_is_verified_with_notes(
    root: Path, store: Store, verified: Callable[..., Verification]
) -> None:
    """Every part with other bytes; the cells name the requests as they were written then."""
    run, kept = context_of(), []
    for cell in cells(run.plan):
        stored = store.put_cell(attempt_at(run, cell))
        requests = root / stored.requests_part
        foreign(requests)
        digest = hashlib.sha256(requests.read_bytes()).hexdigest()
        rewrite(root / stored.cell_part, requests_sha256=digest)
        foreign(root / stored.cell_part)
        kept.append(stored)
    sweep = put_run(store, run, tuple(kept))
    foreign(root / sweep.run_part)
    done = verified()
    assert {found.kind for found in done.findings} == {"another_writer"}
    assert len(done.findings) == 5
    assert (done.exit_status, done.cells, done.requests) == (0, 2, 2 * REQUESTS)


def foreign(path: Path) -> None:
    """The same rows as another pyarrow would write them."""
    pq.write_table(pq.ParquetFile(path).read(), path, compression="gzip")
    mine = f"version {pa.__version__}".encode()
    path.write_bytes(path.read_bytes().replace(mine, b"version 9" + mine[9:]))


# -- what has changed since ------------------------------------------------------------------


def test_rows_judged_by_other_rules_are_named_with_the_verdicts_that_change(
    store: Store, verified: Callable[..., Verification]
) -> None:
    older = {"rules_version": "0", "verification_hash": "ab" * 32}
    strict = [{"code": "littles_law", "level": "invalid", "evidence": "e", "advice": "a"}]
    put_sweep(store, **older, validity="invalid", reasons=strict, feeds_baseline=False)
    done = verified()
    found = [found for found in done.findings if found.kind == "rules_changed"]
    assert len(found) == 2
    assert all(one.verdict_changes for one in found)
    assert "judged by rules 0 (abababababab), today's are 1" in found[0].what
    assert "invalid (littles_law) then, valid today" in found[0].what
    assert (done.exit_status, done.cells, done.requests) == (0, 0, 2 * REQUESTS)


def test_other_rules_explain_no_other_measurement(
    store: Store, verified: Callable[..., Verification]
) -> None:
    put_sweep(store, verification_hash="ab" * 32, requests_ok=3, ttft_s_mean=0.001)
    found = next(one for one in verified().findings if one.path.startswith("cells/"))
    assert found.kind == "row_differs"
    assert {one.column for one in found.differences} == {"requests_ok", "ttft_s_mean"}


def test_other_rules_explain_no_other_percentile(
    store: Store, verified: Callable[..., Verification]
) -> None:
    put_sweep(store, verification_hash="ab" * 32, ttft_s_p50=0.001)
    found = next(one for one in verified().findings if one.path.startswith("cells/"))
    assert (found.kind, verified().exit_status) == ("row_differs", 1)
    assert "ttft_s_p50" in {one.column for one in found.differences}


@pytest.mark.parametrize("folder", ["raw", "manifests", "runs"])
def test_what_no_version_writes_is_named_and_stops_nothing(
    root: Path, sweep: Sweep, verified: Callable[..., Verification], folder: str
) -> None:
    assert sweep
    names = {"raw": "attempt.json", "manifests": "*.json", "runs": "*.parquet"}
    path = next((root / folder).rglob(names[folder]))
    if folder == "runs":
        rewritten = pq.read_table(path, partitioning=None)
        column = pa.array(["most"] * rewritten.num_rows)
        place = rewritten.column_names.index("cells_planned")
        pq.write_table(rewritten.set_column(place, "cells_planned", column), path)
    else:
        path.write_text("[" * 200_000)
    done = verified()
    assert done.exit_status == 1
    where = str(path.relative_to(root).parent if folder == "raw" else path.relative_to(root))
    assert any(found.path.startswith(where) for found in done.findings), done.findings


def test_a_row_of_another_version_that_comes_out_otherwise_is_not_called_damaged(
    store: Store, verified: Callable[..., Verification]
) -> None:
    put_sweep(store, context_of(version="0.0.1"), ttft_s_p50=0.001)
    done = verified()
    assert {found.kind for found in done.findings} == {"another_version"}
    assert "tidemark 0.0.1 (commit c0ffeec0ffee) wrote it" in done.findings[0].what
    assert done.exit_status == 3


def test_a_part_of_a_newer_schema_is_left_to_a_newer_version(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    rewrite(root / sweep.cells[0].cell_part, schema_version=99)
    done = verified()
    assert kinds(done) == [("newer_schema", sweep.cells[0].cell_part)]
    assert done.exit_status == 3


def test_a_part_of_an_earlier_version_from_before_a_column_existed_is_as_rebuilt(
    root: Path, store: Store, verified: Callable[..., Verification]
) -> None:
    sweep = put_sweep(store, context_of(version="0.0.1"))
    path = root / sweep.cells[0].cell_part
    table = pq.ParquetFile(path).read()
    fewer = pa.schema([field for field in CELLS if field.name != "seed"], CELLS.metadata)
    path.write_bytes(parquet_bytes(table.drop_columns(["seed"]).cast(fewer)))
    done = verified()
    assert [found.kind for found in done.findings] == ["described_otherwise"]
    assert (done.exit_status, done.cells) == (0, 2)


def test_an_engine_nobody_can_read_is_said_so(root: Path, sweep: Sweep) -> None:
    done = verify(partial(open_store, str(root)), {}, jobs=1)
    assert {found.kind for found in done.findings} == {"unknown_engine"}
    assert done.exit_status == 4
    assert len(sweep.cells) == 2


def test_raw_output_kept_without_a_record_cannot_be_verified(
    store: Store, verified: Callable[..., Verification]
) -> None:
    attempt = attempt_at(context_of(), cells(context_of().plan)[0])
    stored = store.put_cell(replace(attempt, record={}))
    done = verified()
    assert kinds(done) == [("no_record", f"{stored.raw_folder}/attempt.json")]
    assert done.exit_status == 4


# -- what is no damage -----------------------------------------------------------------------


def test_an_attempt_that_nobody_judged_is_noted_and_its_requests_are_verified(
    store: Store, verified: Callable[..., Verification]
) -> None:
    put_sweep(store)
    run = context_of("20261121T050000-0badcafe")
    attempt = attempt_at(run, cells(run.plan)[0])
    store.put_evidence(attempt)
    done = verified()
    found = only(done)
    assert found.kind == "unjudged"
    assert "run again in round 2026-11-21" in found.what
    assert (done.unjudged, done.requests, done.cells) == (1, 3 * REQUESTS, 2)
    assert done.exit_status == 0


def test_a_run_without_a_manifest_did_not_finish(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    (root / sweep.manifest).unlink()
    done = verified()
    assert kinds(done) == [("unfinished", sweep.run_part)]
    assert done.exit_status == 0


def test_what_a_writer_left_half_done_is_noted(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    half = root / "raw" / "f00" / "a1"
    half.mkdir(parents=True)
    (half / "events.jsonl.gz").write_bytes(b"")
    (root / sweep.cells[0].raw_folder / "extra.txt").write_text("mine")
    done = verified()
    assert kinds(done) == [
        ("leftover", f"{sweep.cells[0].raw_folder}/extra.txt"),
        ("unfinished", "raw/f00/a1"),
    ]
    assert done.exit_status == 0


def test_files_that_are_no_parts_are_named(
    root: Path, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    (root / "cells" / "notes.txt").write_text("mine")
    assert kinds(verified()) == [("foreign", "cells/notes.txt")]
    assert len(sweep.cells) == 2


def test_a_run_that_took_everything_over_is_verified(
    root: Path, store: Store, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    later = taken_over(store, sweep)
    assert later.row["cells_reused"] == 2
    assert verified().findings == ()
    rewrite(root / later.run_part, cells_reused=0)
    assert kinds(verified()) == [("run_differs", later.run_part)]


def test_one_run_can_be_verified_alone(
    root: Path, store: Store, sweep: Sweep, verified: Callable[..., Verification]
) -> None:
    other = put_sweep(store, context_of("20261122T030000-0badcafe"))
    rewrite(root / other.cells[0].cell_part, ttft_s_p50=0.001)
    done = verified(run="20261121")
    assert (done.attempts, done.cells, done.runs, done.findings) == (2, 2, 1, ())
    assert verified(run="20261122").exit_status == 1
    later = taken_over(store, sweep)
    assert verified(run=later.run.run_id).cells == 2  # what it took over is part of it
    with pytest.raises(ConfigError, match="several runs begin so"):
        verified(run="2026")
    with pytest.raises(ConfigError, match="no run begins so"):
        verified(run="1999")


def test_an_empty_store_has_nothing_to_verify(verified: Callable[..., Verification]) -> None:
    done = verified()
    assert (done.findings, done.exit_status) == ((), 4)


def test_what_was_taken_out_of_a_row_makes_no_difference(
    tmp_path: Path, verified: Callable[..., Verification]
) -> None:
    """What a run's own secrets took out of a row was taken out of its raw output first."""
    redactor = Redactor(["slow down"])
    store = open_store(str(tmp_path / "results"), redactor=redactor)
    run = context_of()
    attempt = attempt_at(run, cells(run.plan)[0], redactor=redactor)
    assert any(row.error_message == "[REDACTED]" for row in attempt.requests)
    store.put_cell(attempt)
    done = verified()
    assert (done.findings, done.cells, done.requests) == ((), 1, REQUESTS)


def test_a_store_on_s3_is_verified_by_processes(s3: Any) -> None:
    """Each opens it anew; what they need to do so is in no command line."""
    s3.create_bucket("verified")
    opener = partial(
        open_store, "s3://verified@us-east-1/nightly", options={"endpoint_url": s3.endpoint_url}
    )
    store = opener()
    sweep = put_sweep(store)
    run = context_of()
    for number in range(8):
        store.put_cell(attempt_at(context_of(f"run-{number}"), cells(run.plan)[0]))
    store.files.remove(sweep.cells[0].requests_part)
    rewritten = store.files.read(sweep.cells[1].cell_part)
    store.files.replace(sweep.cells[1].cell_part, rewritten[:-100])
    seen: set[str] = set()
    told: list[tuple[int, int]] = []

    def look(done: int, total: int) -> None:
        told.append((done, total))
        children = psutil.Process().children(recursive=True)
        seen.update(part for child in children for part in child.cmdline())

    done = verify(opener, READERS, jobs=2, on_progress=look)
    assert kinds(done) == [
        ("damaged", sweep.cells[1].cell_part),
        ("requests_missing", sweep.cells[0].requests_part),
    ]
    assert (done.cells, done.requests, done.runs) == (9, 9 * REQUESTS, 1)
    assert told[-1] == (10, 10)
    assert done == verify(opener, READERS, jobs=1)
    assert seen
    assert not any("made-up" in part or "verified" in part for part in seen)


def test_processes_end_when_nobody_waits_for_them_any_more() -> None:
    """A caller that is killed leaves none behind."""
    script = (
        "import time\n"
        "from tidemark.results.workers import in_processes\n"
        "if __name__ == '__main__':\n"
        "    for pid in in_processes(__import__('os').getpgid, [0, 0], 2):\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert caller.stdout is not None
    try:
        assert caller.stdout.readline() == b"ready\n"
        children = psutil.Process(caller.pid).children(recursive=True)
        assert len(children) >= 2
    finally:
        caller.kill()
        caller.wait(timeout=20)
        caller.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
