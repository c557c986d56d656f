"""What keeping results costs on each kind of store, and what compaction gains.

    python benchmarks/stores.py [PROVIDER …] [--cells 10000] [--requests 100] [--directory FOLDER]

Cells of synthetic runs are written to each kind of store by eight writers, each file of a cell
after the one before it as a run does it: with raw output the first 400, the others their requests
and rows. They are read back by our reader, and the first 1,000 by plain pandas too; compacted and
read again. Beside it, the same measurements as the load engine keeps them: one JSON file per cell,
written and read by as many hands. Servers are local ones that speak each service's
protocol, so seconds compare ways of reading and writing, not services. Requests are counted with
the first 40 cells, of one run.

What is measured is kept in FOLDER, one file per provider: a run that was ended goes on there.
A release on GitHub takes 1,000 assets, so that store holds fewer cells.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.services import PROVIDERS, Served, served
from benchmarks.synthetic_store import run_of, sample_attempts
from tidemark.results.compaction import compact
from tidemark.results.compaction_plan import plan_compaction
from tidemark.results.context import RunOutcome
from tidemark.results.files import Files
from tidemark.results.layout import attempt_id, run_path
from tidemark.results.parts import cell_table, clean_requests_table
from tidemark.results.rows import run_row
from tidemark.results.schema import RUNS
from tidemark.results.store import Store, open_store
from tidemark.results.tables import Row, parquet_bytes, table_of

HANDS = 8
COUNTED_CELLS = 40
RAW_CELLS = 400
PANDAS_RUNS = 25
MOST_ASSETS = 980
FILES_PER_CELL = 7
LATER = datetime(2027, 1, 1, tzinfo=UTC)

Cells = list[list[str]]  # the files of each cell, in the order in which they are written


@dataclass
class Measured:
    """One way of keeping cells on one provider. Seconds are of the wall.

    Objects and bytes are those of cells and requests; `whole_cell_s` is per cell with raw output.
    """

    provider: str
    kept_as: str
    cells: int
    requests: int
    objects: int = 0
    size_bytes: int = 0
    written_s: float = 0.0
    whole_cell_s: float | None = None
    calls_per_cell_written: float | None = None
    calls_to_read: int | None = None
    cells_read_s: float = 0.0
    requests_read_s: float = 0.0
    pandas_read_s: float | None = None
    compacted_s: float | None = None
    calls_to_compact: int | None = None


def build_source(folder: Path, cells: int, requests: int) -> None:
    """Runs of 40 cells each in a folder: one measured on paper, the others the same on other
    days, under other ids."""
    if (folder / "built").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    store = open_store(str(folder))
    sample, attempts = sample_attempts(requests)
    first = [store.put_cell(one) for one in attempts]
    raw = [_files_below(folder / stored.raw_folder) for stored in first]
    for number in range(-(-cells // len(attempts))):
        run = run_of(number, requests)
        kept = []
        for one, stored, files in zip(attempts, first, raw, strict=True):
            if number * len(attempts) + len(kept) == cells:
                break
            row = _moved(stored.row, run.run_id, run.created_at - sample.created_at)
            place = store.stored(row)
            written = parquet_bytes(clean_requests_table(row, one.requests, None))
            table = cell_table(
                row,
                raw_folder=place.raw_folder,
                evidence_sha256=stored.row["evidence_sha256"],
                requests_sha256=hashlib.sha256(written).hexdigest(),
                redactor=None,
            )
            for name, data in files.items():
                _write(folder / place.raw_folder / name, data)
            _write(folder / place.requests_part, written)
            _write(folder / place.cell_part, parquet_bytes(table))
            kept.append(replace(place, row=row))
        outcome = RunOutcome(outcome="complete", exit_status=0, finished_at=run.created_at)
        row = run_row(run, outcome, [place.row for place in kept])
        part = run_path(run.run_id, run.created_at.date())
        _write(folder / part, parquet_bytes(table_of(RUNS, [row])))
        parts = [place.cell_part for place in kept]
        store.put_manifest(run.run_id, run_part=part, cell_parts=parts)
        say(f"{number * len(attempts) + len(kept)} cells are built")
    (folder / "built").touch()


def _files_below(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _moved(row: Row, run_id: str, later: timedelta) -> Row:
    moved = {**row, "run_id": run_id, "attempt_id": attempt_id(run_id, row["repeat_idx"])}
    return moved | {name: row[name] + later for name in ("created_at", "started_at", "finished_at")}


def files_by_cell(files: Files) -> Cells:
    """The files of each cell: raw output, requests, the cell's own part."""
    by_attempt: dict[tuple[str, str], list[str]] = {}
    for path in files.list("raw"):
        _, cell_id, attempt, _ = path.split("/", 3)
        by_attempt.setdefault((cell_id, attempt), []).append(path)
    for folder in ("requests", "cells"):
        for path in files.list(folder):
            cell_id, _, attempt = Path(path).stem.partition("-")
            by_attempt[cell_id, attempt].append(path)
    return sorted(by_attempt.values(), key=lambda paths: paths[-1])


def write(source: Files, target: Files, cells: Cells) -> float:
    """Write cells by several hands; seconds."""

    def put(paths: list[str]) -> None:
        for path in paths:
            target.create(path, source.read(path))

    return timed(lambda: by_hands(put, cells))


def by_hands(work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    with ThreadPoolExecutor(HANDS) as pool:
        return list(pool.map(work, items))


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure_parts(source: Store, place: Served, cells: Cells, requests: int) -> list[Measured]:
    """Write, read, compact, read."""
    store = place.open("parts")
    found = Measured(place.provider, "parts", len(cells), requests)
    whole, bare = cells[:RAW_CELLS], [paths[-2:] for paths in cells[RAW_CELLS:]]
    whole_s = write(source.files, store.files, whole)
    found.whole_cell_s = whole_s / len(whole)
    found.written_s = whole_s
    if bare:
        found.written_s = write(source.files, store.files, bare) * len(cells) / len(bare)
    write_runs(source.files, store.files)
    say(f"{place.provider}: written in {found.written_s:.0f} s")
    read(found, store)
    compacted = replace(found, kept_as="compacted", whole_cell_s=None)
    compacted.compacted_s = timed(lambda: squeeze(store))
    say(f"{place.provider}: compacted in {compacted.compacted_s:.0f} s")
    read(compacted, place.open("parts"))
    return [found, compacted]


def count_calls(source: Store, place: Served, cells: Cells, found: Sequence[Measured]) -> None:
    """The same with few cells, through a proxy that counts requests."""
    if place.calls() is None:
        return
    store, counted = place.open("counted", counted=True), cells[:COUNTED_CELLS]
    parts, compacted = found
    asked = _counter(place)
    write(source.files, store.files, counted)
    parts.calls_per_cell_written = asked() / len(counted)
    write_runs(source.files, store.files)
    asked()
    store.cells(), store.requests()
    parts.calls_to_read = asked()
    squeeze(store)
    compacted.calls_to_compact = asked()
    fresh = place.open("counted", counted=True)
    fresh.cells(), fresh.requests()
    compacted.calls_to_read = asked()


def _counter(place: Served) -> Callable[[], int]:
    """Answers how many requests were made since it was asked last."""
    last = [place.calls() or 0]

    def since() -> int:
        before, last[0] = last[0], place.calls() or 0
        return last[0] - before

    return since


def write_runs(source: Files, target: Files) -> None:
    """Rows and manifests of all runs: their attempts may then be compacted."""
    for folder in ("runs", "manifests"):
        by_hands(lambda path: target.create(path, source.read(path)), source.list(folder))


def squeeze(store: Store) -> None:
    """Compact all that there is."""
    compact(store, plan_compaction(store, now=LATER, older_than=timedelta(days=1)))


def read(found: Measured, store: Store) -> None:
    """Read all rows by our reader, and the cells by plain pandas."""
    held = [size for folder in ("cells", "requests") for size in store.files.sizes(folder).values()]
    found.objects, found.size_bytes = len(held), sum(held)
    found.cells_read_s = timed(lambda: _demand(store.cells().num_rows, found.cells))
    rows = found.cells * found.requests
    found.requests_read_s = timed(lambda: _demand(store.requests().num_rows, rows))
    root, filesystem = store.files.root, store.files.filesystem
    nights = {run_of(number, 1).created_at.date().isoformat() for number in range(PANDAS_RUNS)}
    wanted = [("date", "in", sorted(nights))]
    found.pandas_read_s = timed(
        lambda: _demand(
            len(
                pd.read_parquet(
                    f"{root}/cells", filesystem=filesystem, filters=wanted, columns=["ttft_s_p50"]
                )
            ),
            min(found.cells, PANDAS_RUNS * 40),
        )
    )
    say(f"{found.provider}, {found.kept_as}: read")


def measure_json(source: Store, place: Served, cells: Cells, requests: int) -> Measured:
    """The engine's own JSON: one file per cell, read to the rows of its requests."""
    store = place.open("json")
    found = Measured(place.provider, "engine's JSON", len(cells), requests)
    wanted = [next(path for path in paths if path.endswith("run.json.gz")) for paths in cells]
    # Every run has the same cells.
    held = [gzip.decompress(source.files.read(path)) for path in wanted[:COUNTED_CELLS]]

    def put(number: int) -> None:
        store.files.create(f"raw/{number:05}/run.json", held[number % len(held)])

    found.written_s = timed(lambda: by_hands(put, range(len(cells))))
    listed = store.files.sizes("raw")
    found.objects = len(listed)
    found.size_bytes = sum(listed.values())

    def load(path: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(store.files.read(path))[
            "individual_request_metrics"
        ]
        return rows

    def rows() -> None:
        loaded = by_hands(load, store.files.list("raw"))
        _demand(len(pd.DataFrame([row for one in loaded for row in one])), len(cells) * requests)

    found.requests_read_s = timed(rows)
    say(f"{place.provider}, {found.kept_as}: written and read")
    return found


def _demand(found: int, wanted: int) -> None:
    if found != wanted:
        raise SystemExit(f"{found} rows came back, {wanted} were written")


def measure(
    provider: str, source: Store, cells: Cells, given: argparse.Namespace
) -> list[Measured]:
    """All that is to be measured on one provider, or what was measured before."""
    kept = given.directory / f"{provider}.json"
    if kept.exists():
        return [Measured(**one) for one in json.loads(kept.read_text("utf-8"))]
    if provider == "github":
        cells = cells[: MOST_ASSETS // FILES_PER_CELL]
    shutil.rmtree(given.directory / "served", ignore_errors=True)  # of a run that was ended
    with served(provider, given.directory / "served") as place:
        found = measure_parts(source, place, cells, given.requests)
        count_calls(source, place, cells, found)
        found.append(measure_json(source, place, cells, given.requests))
    kept.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n", "utf-8")
    return found


def table(measured: Sequence[Measured]) -> Iterator[str]:
    """The figures as lines of text."""
    yield (
        "provider  kept as         cells objects KiB/cell  write ms/cell  with raw  read cells s"
        "  read requests s  pandas 1000 s  compact s | 40 cells, calls: write a cell  read  compact"
    )
    for one in measured:
        yield (
            f"{one.provider:9} {one.kept_as:14} {one.cells:6} {one.objects:7} "
            f"{one.size_bytes / one.cells / 1024:8.1f} {one.written_s / one.cells * 1000:14.1f} "
            f"{number((one.whole_cell_s or 0) * 1000 or None, 9)} {one.cells_read_s:13.2f} "
            f"{one.requests_read_s:16.2f} {number(one.pandas_read_s, 14)} "
            f"{number(one.compacted_s, 10)} | {number(one.calls_per_cell_written, 27)} "
            f"{number(one.calls_to_read, 5)} {number(one.calls_to_compact, 8)}"
        )


def number(value: float | None, width: int) -> str:
    return f"{'-' if value is None else f'{value:.1f}':>{width}}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("providers", nargs="*", default=[*PROVIDERS], metavar="PROVIDER")
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=100, help="per cell")
    parser.add_argument("--directory", type=Path, default=Path("bench-stores"))
    given = parser.parse_args()
    if unknown := set(given.providers) - set(PROVIDERS):
        parser.error(f"no provider {', '.join(sorted(unknown))}; there are {', '.join(PROVIDERS)}")
    folder = given.directory / f"source-{given.cells}x{given.requests}"
    build_source(folder, given.cells, given.requests)
    source = open_store(str(folder))
    cells = files_by_cell(source.files)
    measured = [one for name in given.providers for one in measure(name, source, cells, given)]
    print("\n".join(table(measured)))
    print(f"load of this machine: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
