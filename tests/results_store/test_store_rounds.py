"""Which cells a round need not measure again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tidemark.errors import ConfigError, RefusedError
from tidemark.plan.advice import check_reuse
from tidemark.plan.cells import Cell, cells
from tidemark.plan.sweep import SweepPlan
from tidemark.results.context import AttemptContext, RunContext
from tidemark.results.layout import attempt_id
from tidemark.results.proof import measured_metrics, proved_row
from tidemark.results.record import record_of
from tidemark.results.requests import CellRaw
from tidemark.results.rounds import check_round, look_up
from tidemark.results.store import Attempt, Store, open_store

Put = Callable[..., str]
NIGHT, LATER = "2026-11-21", "2026-11-22"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


@pytest.fixture
def put(
    store: Store, run: RunContext, raw: CellRaw, make_context: Callable[..., AttemptContext]
) -> Put:
    """Keeps an attempt of a run in a round, judged or not; answers its attempt id."""

    def keep(
        run_id: str, round: str = NIGHT, validity: str | None = "valid", failure: object = None
    ) -> str:
        mine = replace(run, run_id=run_id, round=round)
        context = replace(make_context(), attempt_id=attempt_id(run_id, 0))
        row = proved_row(mine, context, raw, measured_metrics(mine, raw))
        attempt = Attempt(
            row={**row, "validity": validity},
            requests=raw.rows,
            raw_context={"failure": failure},
            record=record_of(mine, context),
        )
        if validity is None:
            store.put_evidence(attempt)
        else:
            store.put_cell(attempt)
        return context.attempt_id

    return keep


def attempts_of(store: Store, cell: Cell, round: str, *, any_round: bool = False) -> list[str]:
    found = look_up(store, [cell], round, any_round=any_round)
    return [row["attempt_id"] for row in found.reusable.values()]


def test_a_valid_cell_is_reused_in_its_round_only(store: Store, cell: Cell, put: Put) -> None:
    attempt = put("first")
    assert attempts_of(store, cell, NIGHT) == [attempt]
    assert look_up(store, [cell], NIGHT).measured == {(cell.cell_id, 0)}
    assert attempts_of(store, cell, LATER) == []
    assert attempts_of(store, replace(cell, repeat_idx=1), NIGHT) == []


@pytest.mark.parametrize("validity", ["invalid", "inconclusive"])
def test_another_verdict_is_measured_again(
    store: Store, cell: Cell, put: Put, validity: str
) -> None:
    put("first", validity=validity)
    assert look_up(store, [cell], NIGHT).measured == set()


def test_across_rounds_one_of_this_round_comes_first(store: Store, cell: Cell, put: Put) -> None:
    earlier = put("first")
    assert attempts_of(store, cell, LATER, any_round=True) == [earlier]
    mine = put("second", round=LATER)
    put("third")
    assert attempts_of(store, cell, LATER, any_round=True) == [mine]


def test_what_was_measured_and_never_judged_is_not_measured_again(
    store: Store, cell: Cell, put: Put
) -> None:
    attempt = put("first", validity=None)
    found = look_up(store, [cell], NIGHT)
    assert [evidence.attempt.attempt_id for evidence in found.unjudged] == [attempt]
    assert found.measured == {(cell.cell_id, 0)}
    assert look_up(store, [cell], LATER, any_round=True).unjudged == ()


def test_an_engine_that_failed_did_not_finish_the_cell(store: Store, cell: Cell, put: Put) -> None:
    put("first", validity=None, failure={"error_class": "engine_crashed"})
    found = look_up(store, [cell], NIGHT)
    assert len(found.unjudged) == 1
    assert found.measured == set()


def test_damaged_evidence_is_measured_again(
    store: Store, cell: Cell, put: Put, tmp_path: Path
) -> None:
    attempt = put("first", validity=None)
    (tmp_path / "raw" / cell.cell_id / attempt / "attempt.json").write_text("{}")
    assert look_up(store, [cell], NIGHT).measured == set()


@pytest.mark.parametrize(
    "change",
    [
        {"system": {"image_digest": "sha256:" + "b" * 64}},
        {"system": {"image_digest": "sha256:" + "a" * 64, "revision": "v2"}},
    ],
)
def test_a_changed_system_reuses_nothing(plan: SweepPlan, change: dict[str, object]) -> None:
    document = plan.model_dump() | {"system": {"image_digest": "sha256:" + "a" * 64}}
    known = SweepPlan.model_validate(document)
    check_reuse(known, True)
    other = SweepPlan.model_validate(document | change)
    assert {cell.cell_id for cell in cells(known)}.isdisjoint(cell.cell_id for cell in cells(other))


def test_a_bare_url_is_not_reused_across_rounds(plan: SweepPlan) -> None:
    with pytest.raises(RefusedError, match="may have changed") as caught:
        check_reuse(plan, True)
    assert "system.image_digest" in str(caught.value)
    check_reuse(plan, False)


@pytest.mark.parametrize("damage", ["cells", "requests"])
def test_a_damaged_part_is_left_alone_and_its_cell_measured_again(
    store: Store, cell: Cell, put: Put, tmp_path: Path, damage: str
) -> None:
    put("first")
    (part,) = (tmp_path / damage).rglob("*.parquet")
    part.write_bytes(part.read_bytes()[:100])
    if damage == "requests":
        part.unlink()
    found = look_up(store, [cell], NIGHT)
    assert (found.reusable, found.unjudged, found.measured) == ({}, (), set())


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[31mred", "bad\udcff", "x" * 201])
def test_a_round_that_cannot_be_called_so_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="the name of the round") as caught:
        check_round(name)
    assert caught.value.remedy
    check_round("2026-11-21 nightly/漲")
