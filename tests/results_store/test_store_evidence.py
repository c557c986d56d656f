"""What is kept of an attempt is enough to make its row again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tidemark.errors import StoreError
from tidemark.results.context import AttemptContext, RunContext
from tidemark.results.proof import measured_metrics, proved_row
from tidemark.results.record import record_of
from tidemark.results.requests import CellRaw
from tidemark.results.store import Attempt, open_store

MakeAttempt = Callable[..., Attempt]


def test_a_row_comes_out_of_its_evidence_again(
    tmp_path: Path, make_attempt: MakeAttempt, raw: CellRaw
) -> None:
    store = open_store(str(tmp_path))
    stored = store.put_cell(make_attempt())
    cell_id, attempt_id = stored.row["cell_id"], stored.row["attempt_id"]
    assert store.attempts(cell_id) == [attempt_id]
    evidence = store.evidence(cell_id, attempt_id)
    row = proved_row(evidence.run, evidence.attempt, raw, measured_metrics(evidence.run, raw))
    kept = {name: value for name, value in stored.row.items() if "sha256" not in name}
    assert {name: row[name] for name in kept} | {"evidence_uri": stored.raw_folder} == kept
    assert evidence.files == {"run.json": b'{"run": 1}\n', "logs/engine.log": b"INFO ready\n" * 100}


def test_prices_and_instants_come_back_exactly(
    tmp_path: Path,
    run: RunContext,
    make_attempt: MakeAttempt,
    make_context: Callable[..., AttemptContext],
) -> None:
    known = {"quoted": Decimal("1.10"), "price_at": datetime(2026, 1, 2, tzinfo=UTC), "seed": 7}
    attempt = replace(
        make_attempt(), record=record_of(replace(run, resources=known), make_context())
    )
    store = open_store(str(tmp_path))
    store.put_evidence(attempt)
    evidence = store.evidence(attempt.row["cell_id"], attempt.row["attempt_id"])
    assert evidence.run.resources == known


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "run.json.gz").write_bytes(b"no gzip"), "cannot be unpacked"),
        (lambda folder: (folder / "run.json.gz").unlink(), "no such file"),
        (lambda folder: (folder / "attempt.json").write_text("{}"), "cannot be read"),
        (
            lambda folder: shutil.copy(folder / "logs/engine.log.gz", folder / "run.json.gz"),
            "is not the file that was kept",
        ),
    ],
)
def test_damaged_evidence_is_named(
    tmp_path: Path, make_attempt: MakeAttempt, damage: Callable[[Path], object], words: str
) -> None:
    store = open_store(str(tmp_path))
    stored = store.put_cell(make_attempt())
    damage(tmp_path / stored.raw_folder)
    with pytest.raises(StoreError, match=words):
        store.evidence(stored.row["cell_id"], stored.row["attempt_id"])
