"""The client floor: measured against a known truth, then taken off with what it leaves open."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from results_builders import Slo, closed_loop, made

from tidemark.errors import StoreError
from tidemark.results.floor import Floor, FloorStat, Timing, apply_floor, floor_from
from tidemark.results.metrics import CellMetrics, summarise
from tidemark.results.requests import CellRaw


def built(pairs: list[tuple[Timing, Timing]]) -> Floor:
    return floor_from(
        pairs,
        scenario="D(100,100)",
        concurrency=4,
        request_rate_rps=3.0,
        loop_lag_p50_s=0.001,
        loop_lag_p99_s=0.004,
        measured_at="2025-01-01T00:00:00Z",
        machine="test",
        engine="genai-bench 0.0.5",
    )


def cell(raw: CellRaw | None = None, slo: Slo | None = None) -> CellMetrics:
    """ttft 0.5 s, tpot 0.05 s, e2e 1.0 s, four users."""
    raw = raw or closed_loop(jitter=0.0)
    return summarise(raw, task="text-to-text", slo=slo)


PAIRS = [
    (Timing(0.110 + i % 10 * 0.001, 0.0101, 1.120), Timing(0.100, 0.0100, 1.100))
    for i in range(200)
]


def test_a_floor_is_client_minus_truth_per_statistic() -> None:
    floor = built(PAIRS)
    assert floor.ttft_s["mean"].value == pytest.approx(0.0145)
    assert floor.ttft_s["p50"].value == pytest.approx(0.0145)
    assert floor.tpot_s["p50"].value == pytest.approx(0.0001)
    assert floor.e2e_s["p90"].value == pytest.approx(0.020)
    assert floor.n == 200
    for stat in floor.ttft_s.values():
        assert stat.low < stat.value < stat.high
        # at least the 30 % by which one load differs from run to run
        assert stat.high - stat.value >= 0.299 * stat.value


def test_tail_floors_of_few_requests_are_kept_and_marked() -> None:
    floor = built(PAIRS)
    assert floor.ttft_s["p95"].admitted
    assert not floor.ttft_s["p99"].admitted
    assert not floor.tpot_s["p01"].admitted
    assert "p01" not in floor.e2e_s


def test_the_same_pairs_give_the_same_floor_and_json_keeps_it() -> None:
    floor = built(PAIRS)
    assert built(PAIRS) == floor
    assert Floor.from_json(floor.to_json()) == floor
    assert json.loads(floor.to_json())["ttft_s"]["p50"]["admitted"] is True


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ttft_s": 3}', "null"])
def test_what_is_no_floor_is_refused(text: str) -> None:
    with pytest.raises(StoreError, match="no client floor"):
        Floor.from_json(text)


def test_a_floor_that_is_not_finite_is_refused() -> None:
    document = json.loads(built(PAIRS).to_json())
    document["ttft_s"]["p50"]["high"] = float("nan")
    with pytest.raises(StoreError, match="not finite"):
        Floor.from_json(json.dumps(document))


def test_without_a_matched_request_there_is_no_floor() -> None:
    with pytest.raises(StoreError, match="matched"):
        built([])


def test_pairs_that_lack_a_metric_are_left_out_of_it() -> None:
    floor = built([(Timing(0.2, None, 1.0), Timing(0.1, None, 0.9))])
    assert floor.tpot_s == {}
    assert floor.ttft_s["mean"].value == pytest.approx(0.1)
    metrics = apply_floor(cell(), floor, concurrency=4)
    assert "floor_not_measured" in (metrics.get("tpot_s", "mean").reason or "")


@pytest.mark.parametrize(
    ("added_s", "validity"),
    [
        (0.0, "valid"),
        (0.0245, "valid"),  # 4.9 %
        (0.0255, "band"),  # 5.1 %
        (0.0995, "band"),  # 19.9 %
        (0.1005, "invalid(client_bound)"),  # 20.1 %
        (2.0, "invalid(client_bound)"),
    ],
)
def test_the_share_decides_how_a_latency_is_shown(added_s: float, validity: str) -> None:
    stat = apply_floor(cell(), made(ttft_s=added_s), concurrency=4).get("ttft_s", "p50")
    assert stat.value == pytest.approx(0.5)
    assert stat.validity == validity
    assert stat.client_share == pytest.approx(min(1.0, added_s / 0.5))
    assert stat.lo == pytest.approx(max(0.0, 0.5 - added_s))
    assert stat.hi == stat.value


def test_the_band_reaches_as_far_as_the_floor_may_be_large() -> None:
    stat = apply_floor(cell(), made(ttft_s=0.05, noise_s=0.02), concurrency=4).get("ttft_s", "p50")
    assert stat.lo == pytest.approx(0.43)
    assert stat.hi == stat.value
    assert stat.client_share == pytest.approx(0.1)


def test_a_negative_floor_is_none_with_its_noise_kept() -> None:
    floor = made(tpot_s=-0.001, noise_s=0.002)
    stat = apply_floor(cell(), floor, concurrency=4).get("tpot_s", "p50")
    assert stat.client_share == 0.0
    assert stat.validity == "valid"
    assert stat.lo == pytest.approx(0.05 - 0.001)
    assert stat.hi == pytest.approx(0.05 + 0.003)


def test_a_client_that_surely_shortens_a_latency_falsifies_it_as_much() -> None:
    floor = made(tpot_s=-0.02, noise_s=0.001)
    stat = apply_floor(cell(), floor, concurrency=4).get("tpot_s", "p50")
    assert stat.client_share == pytest.approx(0.4)
    assert stat.validity == "invalid(client_bound)"
    assert stat.hi == pytest.approx(0.071)


def test_without_a_floor_nothing_is_claimed() -> None:
    for stat in apply_floor(cell(), None, concurrency=4).stats:
        assert (stat.client_share, stat.lo, stat.hi, stat.validity) == (None, None, None, None)
        if stat.value is not None:
            assert "floor_unknown" in (stat.reason or "")


def test_extremes_have_no_floor_and_say_so() -> None:
    metrics = apply_floor(cell(), made(ttft_s=0.01), concurrency=4)
    for name in ("min", "max", "stddev"):
        assert metrics.get("ttft_s", name).validity is None
        assert metrics.get("ttft_s", name).reason == "floor_not_measured"


def test_a_loop_that_woke_later_makes_the_floor_larger() -> None:
    late = replace(closed_loop(jitter=0.0), loop_lag_p50_s=0.002, loop_lag_p99_s=0.004)
    metrics = apply_floor(cell(late), made(ttft_s=0.05), concurrency=4)
    assert metrics.get("ttft_s", "p50").client_share == pytest.approx(0.2)
    assert metrics.get("ttft_s", "mean").client_share == pytest.approx(0.2)
    punctual = replace(late, loop_lag_p50_s=0.0001)
    metrics = apply_floor(cell(punctual), made(ttft_s=0.05), concurrency=4)
    assert metrics.get("ttft_s", "p50").client_share == pytest.approx(0.1)


def test_a_loop_more_than_three_times_as_late_can_not_be_compared() -> None:
    late = replace(closed_loop(jitter=0.0), loop_lag_p50_s=0.0031)
    stat = apply_floor(cell(late), made(ttft_s=0.001), concurrency=4).get("ttft_s", "p50")
    assert stat.validity == "inconclusive(floor_not_comparable)"
    assert stat.lo is not None


def test_a_floor_that_is_too_much_as_it_is_needs_no_comparison() -> None:
    late = replace(closed_loop(jitter=0.0), loop_lag_p50_s=0.0031)
    stat = apply_floor(cell(late), made(ttft_s=0.15), concurrency=4).get("ttft_s", "p50")
    assert stat.validity == "invalid(client_bound)"
    # Only the lateness of this cell's own loop makes that of it: nothing is concluded.
    stat = apply_floor(cell(late), made(ttft_s=0.04), concurrency=4).get("ttft_s", "p50")
    assert stat.validity == "inconclusive(floor_not_comparable)"


def test_tails_of_a_floor_are_allowed_to_repeat_less_well() -> None:
    pairs = [(Timing(0.3, 0.02, 0.9), Timing(0.2, 0.02, 0.8))] * 1000
    floor = floor_from(
        pairs,
        scenario="D(8,8)",
        concurrency=4,
        request_rate_rps=1.0,
        loop_lag_p50_s=None,
        loop_lag_p99_s=None,
        measured_at="2026-01-01T00:00:00+00:00",
        machine="m",
        engine="e",
    )
    width = {name: stat.high - stat.value for name, stat in floor.ttft_s.items()}
    assert width["p50"] == pytest.approx(0.03)
    assert width["p50"] < width["p90"] < width["p95"] < width["p99"]
    assert width["p99"] == pytest.approx(0.1)


def test_lags_below_a_millisecond_are_no_lags() -> None:
    late = replace(closed_loop(jitter=0.0), loop_lag_p50_s=0.0009)
    floor = made(ttft_s=0.001, loop_lag_p50_s=0.0001)
    assert apply_floor(cell(late), floor, concurrency=4).get("ttft_s", "p50").validity == "valid"


@pytest.mark.parametrize(
    "floor", [made(concurrency=2), made(request_rate_rps=1.0)], ids=["fewer users", "lower rate"]
)
def test_a_floor_of_a_lighter_load_can_not_be_compared(floor: Floor) -> None:
    metrics = apply_floor(cell(), floor, concurrency=4)
    assert metrics.get("ttft_s", "p50").validity == "inconclusive(floor_not_comparable)"
    assert metrics.get("output_tput_tok_s").validity == "inconclusive(floor_not_comparable)"


def test_throughput_lost_between_a_users_requests_is_the_clients() -> None:
    # service 1.0 s, then 0.25 s of nothing: of a cycle of 1.25 s the server has 0.8.
    raw = closed_loop(jitter=0.0, gap_s=0.25, each=40)
    metrics = apply_floor(cell(raw), made(), concurrency=4)
    stat = metrics.get("request_rate_rps")
    assert stat.value == pytest.approx(4 / 1.25, rel=0.02)
    assert stat.client_share == pytest.approx(0.2, abs=0.01)
    assert stat.lo == stat.value
    assert stat.hi == pytest.approx(4.0, rel=0.01)  # what 4 users with no gap would get


def test_throughput_lost_inside_the_measured_latency_is_the_clients_too() -> None:
    # the client adds 0.1 s to 1.0 s of service: server occupancy 10/11.
    raw = closed_loop(jitter=0.0, client_s=0.1, each=40)
    stat = apply_floor(cell(raw), made(e2e_s=0.1), concurrency=4).get("output_tput_tok_s")
    assert stat.client_share == pytest.approx(1 / 11, abs=0.005)
    assert stat.validity == "band"
    assert stat.value == pytest.approx(44 / 1.1, rel=0.01)
    assert stat.hi == pytest.approx(44.0, rel=0.01)


def test_in_flight_as_the_server_saw_it() -> None:
    raw = closed_loop(jitter=0.0, client_s=0.1, each=40)
    stat = apply_floor(cell(raw), made(e2e_s=0.1), concurrency=4).get("achieved_inflight")
    assert stat.hi == stat.value == pytest.approx(4.0, rel=0.01)
    assert stat.lo == pytest.approx(4.0 * 10 / 11, rel=0.01)


def test_interactivity_follows_tpot_and_per_token_time_follows_e2e() -> None:
    metrics = apply_floor(cell(), made(tpot_s=0.005, e2e_s=0.1), concurrency=4)
    speed = metrics.get("interactivity_tok_s", "p50")
    assert speed.client_share == pytest.approx(0.1)
    assert speed.hi == pytest.approx(1 / 0.045)
    assert speed.lo == pytest.approx(20.0)
    whole = metrics.get("ntpot_s", "p50")
    assert whole.client_share == pytest.approx(0.1)
    assert whole.lo == pytest.approx(0.9 / 11)


def test_the_fastest_users_are_judged_by_the_shortest_tpot() -> None:
    raw = closed_loop(each=40, jitter=0.0)
    floor = made(tpot_s=0.0)
    floor = replace(floor, tpot_s={**floor.tpot_s, "p10": FloorStat(0.01, 0.01, 0.01)})
    metrics = apply_floor(cell(raw), floor, concurrency=4)
    assert metrics.get("interactivity_tok_s", "p90").client_share == pytest.approx(0.2)
    assert metrics.get("interactivity_tok_s", "p50").client_share == 0.0


def test_goodput_near_a_limit_is_not_the_servers_to_answer_for() -> None:
    raw = closed_loop(jitter=0.0)  # every ttft is 0.5 s
    near, far = Slo(ttft_s=0.49), Slo(ttft_s=2.0)
    floor = made(ttft_s=0.02)
    stat = apply_floor(cell(raw, near), floor, concurrency=4, raw=raw).get("goodput_ratio")
    assert (stat.value, stat.hi) == (0.0, 1.0)
    assert stat.validity == "invalid(client_bound)"
    stat = apply_floor(cell(raw, far), floor, concurrency=4, raw=raw).get("goodput_ratio")
    assert (stat.value, stat.lo, stat.hi) == (1.0, 1.0, 1.0)
    assert stat.validity == "valid"


def test_error_counts_are_not_the_clients() -> None:
    stat = apply_floor(cell(), made(ttft_s=10.0, e2e_s=10.0), concurrency=4).get("error_rate")
    assert (stat.lo, stat.hi, stat.validity) == (0.0, 0.0, "valid")
