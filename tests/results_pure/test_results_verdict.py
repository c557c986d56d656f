"""A cell that can't be trusted says so, with the numbers, and a sound one is left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from results_builders import Cell, Limits, Plan, answer, closed_loop, failure, made, renumbered

from tidemark.results import laws
from tidemark.results.floor import apply_floor
from tidemark.results.metrics import summarise
from tidemark.results.requests import CellRaw, Failure, RequestRow, Window
from tidemark.results.verdict import Verdict, judge, verification_hash


def verdict(raw: CellRaw, *, cell: Cell | None = None, plan: Plan | None = None) -> Verdict:
    cell, plan = cell or Cell(), plan or Plan()
    metrics = summarise(raw, task=cell.task, token_counts=plan.token_counts)
    return judge(raw, metrics, cell, plan)


def codes(found: Verdict, level: str | None = None) -> list[str]:
    return [reason.code for reason in found.reasons if level in (None, reason.level)]


def evidence(found: Verdict, code: str) -> str:
    return next(reason.evidence for reason in found.reasons if reason.code == code)


def test_a_sound_cell_is_valid_without_a_word() -> None:
    found = verdict(closed_loop())
    assert found.validity == "valid"
    assert found.reasons == ()
    assert found.feeds_baseline
    assert not found.needs_attention
    assert str(found) == "valid"


@pytest.mark.parametrize("users", [1, 2, 16, 64])
@pytest.mark.parametrize("jitter", [0.0, 0.5, 5.0])
def test_littles_law_holds_for_every_true_record(users: int, jitter: float) -> None:
    raw = closed_loop(users=users, each=12, jitter=jitter)
    assert "littles_law" not in codes(verdict(raw, cell=Cell(concurrency=users)))


def test_users_in_step_do_not_break_littles_law() -> None:
    rows = [
        answer(0, k * 1.0, k + 0.5, k + 1.0, 11) for k in range(12) for _ in range(8)
    ]  # every user sends and ends in the same instant
    raw = CellRaw(rows=renumbered(rows), window=Window(0.3, 11.7), wall_s=12.0)
    assert "littles_law" not in codes(verdict(raw, cell=Cell(concurrency=8)))


def test_durations_that_contradict_the_clock_break_the_laws() -> None:
    raw = closed_loop(each=40)
    rows = tuple(replace(row, e2e_s=row.e2e_s * 0.9, ttft_s=row.ttft_s * 0.9) for row in raw.rows)
    found = verdict(replace(raw, rows=rows))
    assert found.validity == "invalid"
    assert "times_inconsistent" in codes(found, "invalid")


def test_failures_that_claim_more_time_than_they_had_break_littles_law() -> None:
    raw = closed_loop(each=40)
    rows = tuple(replace(row, e2e_s=5.0) if row.request_idx % 2 else row for row in raw.rows)
    rows = tuple(
        replace(row, status="failed", error_class="http_5xx") if row.request_idx % 2 else row
        for row in rows
    )
    assert "littles_law" in codes(verdict(replace(raw, rows=rows)), "invalid")


def test_rows_that_are_missing_from_the_metrics_are_noticed() -> None:
    raw = closed_loop()
    metrics = summarise(raw, task="text-to-text")
    found = judge(replace(raw, rows=raw.rows[:-3]), metrics, Cell(), Plan())
    assert str(found) == "invalid(sums_differ)"
    assert "77 ok" in evidence(found, "sums_differ")
    assert "80" in evidence(found, "sums_differ")


def test_a_request_counted_twice_is_noticed() -> None:
    raw = closed_loop()
    found = verdict(replace(raw, rows=(*raw.rows, raw.rows[0])))
    assert "sums_differ" in codes(found, "invalid")


def test_a_status_of_no_known_kind_is_noticed() -> None:
    raw = closed_loop()
    odd = replace(raw.rows[0], status="half")
    assert "sums_differ" in codes(verdict(replace(raw, rows=(odd, *raw.rows[1:]))), "invalid")


@pytest.mark.parametrize(
    ("gap_s", "expected"),
    [
        (0.02, []),
        (0.08, ["inflight_low"]),  # 1.02 / 1.10: 93 %
        (0.20, ["client_bound"]),  # 84 %
    ],
)
def test_a_client_that_leaves_users_idle_is_the_bound(gap_s: float, expected: list[str]) -> None:
    found = verdict(closed_loop(each=40, gap_s=gap_s))
    assert codes(found) == expected
    assert found.validity == ("invalid" if "client_bound" in expected else "valid")


def test_what_the_client_holds_itself_is_not_in_flight_at_the_server() -> None:
    raw = closed_loop(each=40, client_s=0.25, jitter=0.0)
    metrics = summarise(raw, task="text-to-text")
    assert judge(raw, metrics, Cell(), Plan()).validity == "valid"
    known = apply_floor(metrics, made(e2e_s=0.25), concurrency=4)
    found = judge(raw, known, Cell(), Plan())
    assert str(found) == "invalid(client_bound)"
    assert "3.2" in evidence(found, "client_bound")


def test_a_client_without_processor_time_left_is_the_bound() -> None:
    raw = closed_loop()
    assert str(verdict(replace(raw, client_cpu_p95=0.81))) == "invalid(client_bound)"
    assert verdict(replace(raw, client_cpu_p95=0.79)).validity == "valid"


def test_a_few_server_errors_are_within_the_bound() -> None:
    raw = closed_loop(each=50)
    rows = renumbered([*raw.rows, failure(0, 10.0, 10.1)])
    found = verdict(replace(raw, rows=rows))
    assert codes(found) == ["errors_within_bound"]
    assert found.feeds_baseline
    assert not found.needs_attention


def test_many_server_errors_are_a_result_that_feeds_no_baseline() -> None:
    raw = closed_loop(each=40)
    bad = [failure(0, 5.0 + i, 5.1 + i, "http_429", 429, "slow down") for i in range(20)]
    found = verdict(replace(raw, rows=renumbered([*raw.rows, *bad])))
    assert found.validity == "valid"
    assert codes(found) == ["error_rate_high"]
    assert found.needs_attention
    assert not found.feeds_baseline
    assert "20 http_429 (429 x20): slow down" in evidence(found, "error_rate_high")
    assert "concurrency" in found.reasons[0].advice


def test_a_server_that_fails_everything_is_a_result_not_a_client_error() -> None:
    rows = tuple(failure(i, i * 0.01, i * 0.01 + 0.001) for i in range(500))
    raw = CellRaw(rows=rows, window=Window(0.0, 5.0), wall_s=5.0, client_cpu_p95=0.99)
    found = verdict(raw)
    assert found.validity == "valid"
    assert codes(found)[0] == "error_rate_high"
    assert "client_bound" not in codes(found)
    assert found.needs_attention
    assert not found.feeds_baseline


def test_a_server_that_falls_silent_has_hung() -> None:
    raw = closed_loop()
    silent = [
        failure(0, 15.0, 75.0, "timeout", None, "no byte for 60.0 s when the cell ended")
        for _ in range(4)
    ]
    found = verdict(replace(raw, rows=renumbered([*raw.rows, *silent])))
    assert found.reasons[0].code == "server_hung"
    assert "4 requests that timed out" in evidence(found, "server_hung")
    assert "no byte for 60.0 s" in evidence(found, "server_hung")
    assert found.needs_attention


def test_requests_that_never_ended_hang_too_without_a_class() -> None:
    raw = closed_loop()
    cut = [RequestRow(0, start_s=15.0, end_s=80.0, status="aborted") for _ in range(4)]
    found = verdict(replace(raw, rows=renumbered([*raw.rows, *cut])))
    assert "server_hung" in codes(found, "invalid")


def test_nothing_ever_answered_and_all_hung() -> None:
    rows = tuple(RequestRow(i, start_s=0.1, end_s=90.0, status="aborted") for i in range(4))
    found = verdict(CellRaw(rows=rows, window=Window(0.1, 60.0)))
    assert str(found) == "invalid(server_hung)"


def test_long_answers_that_are_cut_off_are_no_hang() -> None:
    raw = closed_loop(ttft_s=2.0, tpot_s=5.0)  # answers of 52 s
    cut = [RequestRow(0, start_s=1040.0, end_s=1105.0, status="aborted") for _ in range(4)]
    found = verdict(replace(raw, rows=renumbered([*raw.rows, *cut])))
    assert "server_hung" not in codes(found)


def test_missing_usage_makes_the_cell_invalid() -> None:
    raw = closed_loop()
    rows = tuple(replace(row, token_source="tokenizer") for row in raw.rows)
    assert str(verdict(replace(raw, rows=rows))) == "invalid(usage_missing)"
    estimated = verdict(replace(raw, rows=rows), plan=Plan(token_counts="tokenizer"))
    assert estimated.validity == "valid"


def test_tasks_without_output_tokens_need_no_usage() -> None:
    rows = tuple(replace(answer(i, i * 0.1, None, i * 0.1 + 0.1), token_source=None,
                         output_tokens=None, input_tokens=None) for i in range(60))  # fmt: skip
    raw = CellRaw(rows=rows, window=Window(0.0, 6.0))
    assert verdict(raw, cell=Cell(1, "text-to-image")).validity == "valid"


def test_no_requests_at_all() -> None:
    found = verdict(CellRaw(notes=("the engine wrote no file",)))
    assert str(found) == "invalid(no_requests)"
    assert "the engine wrote no file" in evidence(found, "no_requests")


@pytest.mark.parametrize(
    ("error_class", "code"),
    [
        ("engine_crashed", "engine_failed"),
        ("engine_start", "engine_failed"),
        ("a_class_to_come", "engine_failed"),
        ("budget", "budget"),
        ("cancelled", "cancelled"),
    ],
)
def test_a_cell_the_engine_never_delivered(error_class: str, code: str) -> None:
    found = verdict(CellRaw(failure=Failure(error_class, "exit status 1", "See its log")))
    assert str(found) == f"invalid({code})"
    assert evidence(found, code) == f"{error_class}: exit status 1"
    assert found.needs_attention


def test_a_cell_with_rows_that_was_stopped_is_no_score_either() -> None:
    raw = replace(closed_loop(), failure=Failure("budget", "0.40 of 0.40 spent", "Raise the cap"))
    assert str(verdict(raw)) == "invalid(budget)"


def test_too_few_requests_are_inconclusive() -> None:
    found = verdict(closed_loop(users=4, each=4))
    assert found.validity == "inconclusive"
    assert set(codes(found)) == {"n_too_small", "window_short"}
    assert not found.needs_attention
    assert not found.feeds_baseline


def test_fewer_than_two_requests_per_user_are_inconclusive() -> None:
    raw = closed_loop(users=16, each=20)
    assert "n_too_small" in codes(verdict(raw, cell=Cell(concurrency=200)), "inconclusive")


def test_a_window_of_few_service_times_is_inconclusive() -> None:
    raw = closed_loop(users=16, each=20, jitter=0.0)
    short = replace(raw, window=Window(5.0, 9.9))
    assert codes(verdict(short, cell=Cell(concurrency=16)), "inconclusive") == ["window_short"]
    longer = replace(raw, window=Window(5.0, 10.1))
    assert verdict(longer, cell=Cell(concurrency=16)).validity == "valid"


def test_without_times_the_load_can_not_be_shown() -> None:
    raw = closed_loop()
    rows = tuple(replace(row, start_s=None, first_token_s=None, end_s=None) for row in raw.rows)
    bare = replace(raw, rows=rows, window=None, engine_claims={"run_duration": 20.0})
    assert str(verdict(bare)) == "inconclusive(no_request_times)"


def test_a_cell_that_overran_its_time_says_so() -> None:
    raw = replace(closed_loop(), wall_s=97.0)
    plan = Plan(limits=Limits(max_time_s=60.0, drain_s=30.0))
    found = verdict(raw, plan=plan)
    assert (found.validity, codes(found)) == ("valid", ["wall_overrun"])
    assert codes(verdict(replace(raw, wall_s=95.0), plan=plan)) == []


def test_much_load_cut_off_at_the_end_is_said() -> None:
    raw = closed_loop(users=4, each=20)
    assert raw.window is not None
    cut = [
        RequestRow(0, start_s=raw.window.end_s - 2.0, end_s=raw.window.end_s + 0.1,
                   status="aborted") for _ in range(4)
    ]  # fmt: skip
    assert "requests_cut_off" in codes(verdict(replace(raw, rows=renumbered([*raw.rows, *cut]))))


def test_the_engines_own_figures_are_compared_and_never_believed() -> None:
    raw = closed_loop(each=40)
    bad = [failure(0, 5.0, 5.1) for _ in range(40)]
    claims = {
        "num_completed_requests": 160,
        "num_error_requests": 40,
        "error_rate": 0,
        "ttft_mean": 524.0,
        "tpot_mean": 25.0,
        "run_duration": 40.0,
    }
    raw = replace(
        raw,
        rows=renumbered([*raw.rows, *bad]),
        engine_claims=claims,
        engine_claims_unit="ms",
    )
    found = verdict(raw)
    said = evidence(found, "engine_disagrees")
    assert "error_rate: engine 0, rows 0.2" in said
    assert "tpot_mean: engine 0.025, rows 0.05" in said
    assert "ttft_mean" not in said
    assert "num_completed_requests" not in said
    assert found.validity == "valid"
    assert codes(found, "note") == ["engine_disagrees"]


def test_metrics_that_are_the_clients_are_named_and_the_cell_stands() -> None:
    raw = closed_loop(each=40)
    metrics = apply_floor(summarise(raw, task="text-to-text"), made(ttft_s=0.3), concurrency=4)
    found = judge(raw, metrics, Cell(), Plan())
    assert found.validity == "valid"
    assert "ttft_s mean" in evidence(found, "metrics_client_bound")


def test_a_few_impossible_rows_are_a_warning_and_many_are_not() -> None:
    raw = closed_loop(each=50)
    backwards = answer(500, 30.0, 30.5, 29.0)
    assert codes(verdict(replace(raw, rows=(*raw.rows, backwards)))) == ["times_inconsistent"]
    many = renumbered([*raw.rows, *[backwards] * 10])
    assert "times_inconsistent" in codes(verdict(replace(raw, rows=many)), "invalid")


def test_the_weightiest_reason_comes_first() -> None:
    raw = closed_loop(each=4, gap_s=0.5)
    levels = [reason.level for reason in verdict(replace(raw, wall_s=5000.0)).reasons]
    assert levels == sorted(levels, key=["invalid", "inconclusive", "warning", "note"].index)
    assert len(set(levels)) > 2


def test_the_hash_of_the_rules_changes_with_any_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    before = verification_hash()
    assert len(before) == 64
    assert verification_hash() == before
    from tidemark.results.verdict import RULES

    for name in ("little_tolerance", "inflight_invalid", "floor"):
        monkeypatch.setitem(RULES, name, "changed")
        assert verification_hash() != before
        monkeypatch.undo()
    assert set(laws.BOUNDS) <= set(RULES)
