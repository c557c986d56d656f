"""What is torn, damaged, left over or of another writer, before and after a compaction."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from datetime import timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from compacted_store import (
    NOW,
    RUNS,
    answers,
    compacted,
    files_below,
    large_parts,
    put_night,
)
from stored_sweep import (
    ASKED_AT,
    PLAN,
    READERS,
    REQUESTS,
    attempt_at,
    context_of,
    put_sweep,
)

from tidemark.errors import RefusedError, StoreAway, StoreError
from tidemark.plan.cells import cells
from tidemark.results.files import LocalFiles
from tidemark.results.generations import WHOLE_EVERY, Generation
from tidemark.results.layout import generation_path
from tidemark.results.locations import FileLocation
from tidemark.results.overview import compaction_leftovers, unfinished_files
from tidemark.results.redact import Redactor
from tidemark.results.store import Store, open_store
from tidemark.results.tables import parquet_bytes
from tidemark.results.verify import verify


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def store(root: Path) -> Store:
    return open_store(str(root))


def check(root: Path) -> list[tuple[str, str]]:
    """What a check of the store says: kind and path."""
    store = open_store(str(root))
    listed, catalog = store.files.sizes(), store.compacted.catalog()
    found = [
        *unfinished_files(listed, catalog, store.torn()),
        *compaction_leftovers(listed, catalog),
    ]
    return [(one.kind, one.path) for one in found]


@pytest.mark.parametrize("table", ["cells", "requests"])
def test_what_is_torn_or_damaged_stays_so_and_stays_where_it_is(
    store: Store, root: Path, table: str
) -> None:
    (sweep, _) = put_night(store)
    path = getattr(sweep.cells[0], f"{table}_part".replace("cells", "cell"))
    (root / path).write_bytes((root / path).read_bytes()[:-40])
    before = answers(root)
    done = compacted(store)
    assert [left.path for left in done.left] == [path]
    assert "damaged" in done.left[0].reason
    assert (root / path).exists()
    assert answers(root) == before


def test_requests_that_were_changed_are_found_out_after_a_compaction_too(
    store: Store, root: Path
) -> None:
    (sweep, _) = put_night(store)
    path = sweep.cells[0].requests_part
    (root / path).write_bytes(parquet_bytes(pq.ParquetFile(root / path).read().slice(1)))
    before = answers(root)
    assert [torn.path for torn in before["torn"] if "its cell is missing" not in torn.reason] == [
        path
    ]
    compacted(store)
    assert not (root / path).exists()
    assert answers(root) == before


@pytest.mark.parametrize("change", ["fewer columns", "another description"])
def test_parts_of_other_columns_are_kept_apart(store: Store, root: Path, change: str) -> None:
    for run_id in RUNS[:2]:
        sweep = put_sweep(store, context_of(run_id))
    for stored in sweep.cells:
        table = pq.ParquetFile(root / stored.cell_part).read()
        older = table.replace_schema_metadata({"table": "cells"})
        if change == "fewer columns":
            older = table.drop_columns(["seed"])
        (root / stored.cell_part).write_bytes(parquet_bytes(older))
    before = answers(root)
    done = compacted(store)
    assert (done.parts_after, done.left) == (3, ())
    assert answers(root) == before


def test_parts_of_another_writer_stay_as_they_are(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their bytes could not be made again, and the rows of their cells name them."""
    with monkeypatch.context() as patched:
        otherwise(patched)
        put_sweep(store, context_of(RUNS[0]))
    put_sweep(store, context_of(RUNS[1]))
    before = answers(root)
    done = compacted(store)
    assert (done.attempts, len(done.left)) == (2, 4)
    assert "its bytes do not follow from its rows" in done.left[0].reason
    assert answers(root) == before


def test_a_store_compacted_by_another_writer_is_as_rebuilt(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer library that writes parquet files otherwise makes no row wrong."""
    with monkeypatch.context() as patched:
        otherwise(patched)
        put_night(store)
        before = answers(root)
        compacted(store)
    now = answers(root)
    apart = ("parts", "verified")
    assert {name: now[name] for name in now if name not in apart} == {
        name: before[name] for name in before if name not in apart
    }
    done = verify(partial(open_store, str(root)), READERS, jobs=1)
    assert {found.kind for found in done.findings} == {"another_writer", "unjudged"}
    assert (done.exit_status, done.cells, done.runs) == (0, 5, 2)
    put_sweep(store, context_of("20261121T060000-0badcafe"))
    before = answers(root)
    assert compacted(store).left == ()
    assert answers(root) == before


def otherwise(patched: pytest.MonkeyPatch) -> None:
    """As if another version of the library wrote parquet files."""
    write = pq.write_table
    mine = f"version {pa.__version__}".encode()

    def other(table: pa.Table, sink: BytesIO, **options: Any) -> None:
        written = BytesIO()
        write(table, written, **{**options, "compression_level": 9})
        sink.write(written.getvalue().replace(mine, b"version 9" + mine[9:]))

    patched.setattr(pq, "write_table", other)


def test_a_damaged_large_part_is_named_once_and_hides_no_other(
    store: Store, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put_night(store)
    compacted(store)
    damaged = next(path for path in large_parts(root) if path.startswith("requests"))
    (root / damaged).write_bytes((root / damaged).read_bytes()[:-1] + b"?")
    for verb in ("damaged", "there is no such file"):
        now = open_store(str(root))
        assert (now.cells().num_rows, now.requests().num_rows) == (5, REQUESTS)
        assert damaged in caplog.text
        assert ("torn", damaged) in check(root)
        done = verify(partial(open_store, str(root)), READERS, jobs=1)
        wrong = [found for found in done.findings if found.level == "wrong"]
        assert [(found.kind, found.path) for found in wrong] == [("damaged", damaged)]
        assert verb in wrong[0].what
        put_sweep(now, context_of(RUNS[1] + verb[0]))
        left = compacted(now).left
        assert [one.path for one in left] == [damaged]
        caplog.clear()
        (root / damaged).unlink(missing_ok=True)
        shutil.rmtree(root)
        store = open_store(str(root))
        put_night(store)
        compacted(store)
        (root / damaged).unlink()


@pytest.mark.parametrize("damage", [b"{", b'{"schema_version": 99}', None])
def test_without_its_generation_nothing_is_answered(
    store: Store, root: Path, damage: bytes | None
) -> None:
    put_night(store)
    compacted(store)
    put_sweep(store, context_of("20261121T060000-0badcafe"))
    compacted(store)
    path = root / "generations/000001.json"
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    for ask in ("cells", "requests", "torn"):
        with pytest.raises(StoreError, match=r"generations/000001\.json") as caught:
            getattr(open_store(str(root)), ask)()
        assert caught.value.remedy


@pytest.mark.parametrize("name", ["schema_version", "size_bytes", "rows"])
def test_a_number_without_end_is_damage_too(store: Store, root: Path, name: str) -> None:
    put_night(store)
    compacted(store)
    path = root / "generations/000001.json"
    path.write_text(re.sub(rf'"{name}": \d+', f'"{name}": Infinity', path.read_text()))
    with pytest.raises(StoreError, match=r"000001\.json: it names no generation") as caught:
        open_store(str(root)).cells()
    assert caught.value.remedy


def test_a_manifest_that_is_called_like_no_run_hinders_nothing(store: Store, root: Path) -> None:
    put_night(store)
    before = answers(root)
    for name in (b"\xff\xfe.json", b"of mine.json", b".json.json"):
        Path(os.fsdecode(os.fsencode(root / "manifests") + b"/" + name)).write_bytes(b"{}")
    assert compacted(store).attempts == 4
    assert answers(root)["cells"] == before["cells"]


def test_only_the_latest_generations_are_read(store: Store, root: Path) -> None:
    """Each twentieth one names all that counts; those in between only what they made."""
    put_sweep(store, context_of(RUNS[0]))
    compacted(store)
    for number in range(2, WHOLE_EVERY):  # as of other dates and models
        store.compacted.files.create(generation_path(number), Generation(number, ()).to_bytes())
    later = replace(context_of(RUNS[1]), created_at=ASKED_AT + timedelta(days=1))
    for cell in cells(PLAN):
        store.put_cell(attempt_at(later, cell, created_at=later.created_at))
    rows, requests = store.cells().to_pylist(), store.requests().num_rows
    assert compacted(store, now=NOW + timedelta(days=99)).generation == WHOLE_EVERY
    for number in range(1, WHOLE_EVERY):
        (root / generation_path(number)).write_bytes(b"no longer needed")
    now = open_store(str(root))
    assert len(large_parts(root)) == 4
    assert now.cells().to_pylist() == rows
    assert now.requests().num_rows == requests
    assert now.torn() == ()


def test_leftovers_are_named_and_removed_and_nothing_else(store: Store, root: Path) -> None:
    (sweep, _) = put_night(store)
    files = files_below(root)
    compacted(store)
    large = large_parts(root)[0]
    back, changed = sweep.cells[0].cell_part, sweep.cells[1].cell_part
    (root / back).write_bytes(files[back])
    (root / changed).write_bytes(files[back])
    never = large.replace("generation-000001", "generation-000002")
    dead = large[: -len("0.parquet")] + "x.parquet".replace("x", "0" if large[-9] != "0" else "1")
    for path in (never, dead):
        (root / path).write_bytes(b"half")
    before = answers(root)
    assert {path for kind, path in check(root) if kind == "leftover"} == {
        back, changed, never, dead,
    }  # fmt: skip
    done = compacted(store)
    assert (done.leftovers, [left.path for left in done.left]) == (2, [changed])
    assert (root / never).exists()  # whoever writes it may be at work
    os.utime(root / never, (0, 0))
    done = compacted(store)
    assert done.leftovers == 1
    assert [path for kind, path in check(root) if kind == "leftover"] == [changed]
    assert answers(root) == before


class Lasting(LocalFiles):
    """A folder whose files last: nothing can be removed, as with a bucket under a lock."""

    def remove(self, path: str) -> None:
        raise StoreAway("access is denied", path, "Allow it")


def test_a_store_that_lets_nothing_be_removed_is_not_compacted(store: Store, root: Path) -> None:
    put_night(store)
    before = set(files_below(root))
    location = FileLocation(str(root))
    with pytest.raises(RefusedError, match=r"lets nothing be removed: .*access is denied"):
        compacted(Store(location, Lasting(location), Redactor()))
    (probe,) = set(files_below(root)) - before
    assert probe.startswith("probes/")
