"""Cells: their order, and ids that change exactly when the measurement would."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from plan_builders import PLAN, changed, make_plan

from tidemark.errors import PlanError
from tidemark.plan.canonical import canonical_json, sha256_hex
from tidemark.plan.cells import cell_identity, cells, identity_known
from tidemark.plan.load import plan_from_mapping
from tidemark.plan.sweep import SweepPlan, estimate

DIGEST = "sha256:" + "0" * 64
KNOWN = changed(PLAN, {"system.image_digest": DIGEST})


def first_id(base: dict[str, Any], changes: dict[str, Any]) -> str:
    return cells(plan_from_mapping(changed(base, changes)))[0].cell_id


def test_the_whole_sweep_runs_and_then_again() -> None:
    plan = make_plan(scenarios=["D(1,2)", "D(3,4)"], concurrency=[4, 1], repeats=2)
    got = [
        (cell.scenario, cell.concurrency, cell.repeat_idx, cell.order_idx) for cell in cells(plan)
    ]
    assert got == [
        ("D(1,2)", 4, 0, 0),
        ("D(1,2)", 1, 0, 1),
        ("D(3,4)", 4, 0, 2),
        ("D(3,4)", 1, 0, 3),
        ("D(1,2)", 4, 1, 4),
        ("D(1,2)", 1, 1, 5),
        ("D(3,4)", 4, 1, 6),
        ("D(3,4)", 1, 1, 7),
    ]


def test_repeats_share_an_id_and_different_cells_do_not() -> None:
    found = cells(make_plan(scenarios=["D(1,2)", "D(3,4)"], concurrency=[1, 4], repeats=3))
    assert len({cell.cell_id for cell in found}) == 4
    assert found[0].cell_id == found[4].cell_id == found[8].cell_id


def test_embeddings_are_swept_over_batch_sizes() -> None:
    plan = plan_from_mapping(
        {"endpoint": {"url": "http://h"}, "task": "text-to-embeddings", "scenarios": ["E(64)"]}
    )
    found = cells(plan)
    assert [cell.batch_size for cell in found] == [1, 2, 4, 8, 24, 48, 96]
    assert {cell.concurrency for cell in found} == {1}
    assert len({cell.cell_id for cell in found}) == 7


def test_the_id_is_the_hash_of_the_identity() -> None:
    plan = make_plan()
    for cell in cells(plan):
        assert cell.cell_id == sha256_hex(cell_identity(plan, cell))
        assert re.fullmatch("[0-9a-f]{64}", cell.cell_id)


@pytest.mark.parametrize(
    "change",
    [
        {"scenarios": ["D(100,101)"]},
        {"concurrency": [2]},
        {"limits.max_time_s": 61},
        {"limits.max_requests": 21},
        {"limits.drain_s": 31},
        {"limits.stall_timeout_s": 61},
        {"warmup": None},
        {"warmup.requests": 7},
        {"request": {"temperature": 1}},
        {"prefix": {"length": 5}},
        {"dataset": {"path": "prompts.txt"}},
        {"tokenizer": "/other"},
        {"token_counts": "tokenizer"},
        {"endpoint.dialect": "openai"},
        {"endpoint.model": "other"},
        {"endpoint.proxy": "http://proxy:3128"},
        {"endpoint.headers": {"X-Route": "canary"}},
        {"endpoint.headers": {"X-Key": "env:K"}},
        {"system.revision": "r"},
        {"system.image_digest": "sha256:" + "1" * 64},
        {"system.precision": "fp8"},
        {"system.serving_engine": "vLLM"},
        {"system.serving_version": "1"},
        {"system.gpu_type": "H100"},
        {"system.gpu_count": 8},
        {"engine": {"version": "0.0.4"}},
    ],
    ids=str,
)
def test_what_could_change_the_measurement_changes_the_id(change: dict[str, Any]) -> None:
    assert first_id(KNOWN, change) != first_id(KNOWN, {})


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"slo": {"ttft_s": 1}},
        {"repeats": 5},
        {"max_error_rate": 0.5},
        {"concurrency": [1, 4, 256]},
        {"scenarios": ["D(100,100)", "D(9,9)"]},
        {"limits.max_requests": 100},
        {"limits.min_requests_per_user": 20},
        {"limits.max_time_s": 60},
        {"endpoint.url": "http://elsewhere:9000/v1"},
        {"endpoint.api_key": "env:KEY"},
        {"endpoint.ca_file": "/ca.pem"},
        {"endpoint.inference_service": {"name": "a", "namespace": "b"}},
        {"system.labels": {"team": "search"}},
        {"system.image": "vllm:latest"},
    ],
    ids=str,
)
def test_what_could_not_change_the_measurement_leaves_the_id(change: dict[str, Any]) -> None:
    assert first_id(KNOWN, change) == first_id(KNOWN, {})


def test_a_rotated_key_is_not_another_workload_and_a_header_literal_is() -> None:
    base = changed(KNOWN, {"endpoint.headers": {"X-Key": "env:A", "X-Route": "one"}})
    same = {"endpoint.headers": {"x-key": "file:/b", "x-route": "one"}}
    assert first_id(base, same) == first_id(base, {})
    other = {"endpoint.headers": {"X-Key": "env:A", "X-Route": "two"}}
    assert first_id(base, other) != first_id(base, {})


def test_the_address_counts_only_when_the_system_is_not_known() -> None:
    elsewhere = {"endpoint.url": "http://elsewhere:9000"}
    assert identity_known(plan_from_mapping(KNOWN))
    assert not identity_known(plan_from_mapping(PLAN))
    assert first_id(PLAN, elsewhere) != first_id(PLAN, {})
    nameless = changed(KNOWN, {"endpoint.model": None})
    assert not identity_known(plan_from_mapping(nameless))
    assert first_id(nameless, elsewhere) != first_id(nameless, {})


def test_no_reference_to_a_secret_is_in_the_identity() -> None:
    plan = make_plan(
        endpoint__api_key="env:REFERENCE_ONE",
        endpoint__headers={"X-Key": "file:/reference/two", "X-Route": "literal"},
    )
    text = canonical_json(cell_identity(plan, cells(plan)[0]))
    assert "REFERENCE_ONE" not in text
    assert "/reference/two" not in text
    assert "x-key" in text
    assert "literal" in text
    assert set(json.loads(text)) == {"identity_version", "workload", "system", "engine"}


def test_ids_are_the_same_in_every_version_of_this_project() -> None:
    # Stored results are found by this id: if it changes, IDENTITY_VERSION must go up.
    assert first_id(KNOWN, {}) == "71106540666c32b979d783b30d266a79357e405dc5231be158fb7e582cd89443"


def test_the_estimate_bounds_every_cell_and_adds_up() -> None:
    plan = make_plan(limits={"max_time_s": 100, "drain_s": 5}, repeats=2)
    bound = estimate(plan)
    assert len(bound.cells) == 4
    assert all((each.load_s, each.total_s) == (100, 115) for each in bound.cells)
    assert bound.warmup_s == 115
    assert bound.total_s == 5 * 115


def test_the_estimate_is_shorter_when_a_request_is_known_to_be_short() -> None:
    plan = make_plan(limits={"max_time_s": 100, "drain_s": 0}, warmup=None)
    bound = estimate(plan, service_time_s=2, engine_overhead_s=0)
    # 100 requests of one user are more than the time allows; four make 25 each, one after
    # another, and one more for the spread start.
    assert [each.load_s for each in bound.cells] == [100, 52]
    assert bound.total_s == 152
    assert estimate(plan, service_time_s=50, engine_overhead_s=0).total_s == 200


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf")])
def test_an_estimate_needs_a_real_time(bad: float) -> None:
    with pytest.raises(PlanError, match="positive"):
        estimate(make_plan(), service_time_s=bad)


def test_a_plan_may_have_the_greatest_number_of_cells() -> None:
    plan = SweepPlan.model_validate(
        {
            **PLAN,
            "scenarios": [f"D({n},9)" for n in range(1, 51)],
            "concurrency": [1],
            "repeats": 100,
        }
    )
    assert len(cells(plan)) == 5000
