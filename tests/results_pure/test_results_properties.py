"""What must hold for any cell: order does not matter, units scale, nothing is NaN."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from results_builders import Cell, Plan, Slo, answer, failure, made

from tidemark.results.floor import Floor, apply_floor
from tidemark.results.metrics import CellMetrics, summarise
from tidemark.results.requests import CellRaw, RequestRow, Window
from tidemark.results.verdict import judge

SLO = Slo(ttft_s=0.6, tpot_s=0.1, e2e_s=5.0)


def measured(raw: CellRaw) -> CellMetrics:
    return summarise(raw, task="text-to-text", slo=SLO)


@st.composite
def answers(draw: st.DrawFn, request_idx: int = 0) -> RequestRow:
    start = draw(st.floats(0.0, 50.0))
    first = start + draw(st.floats(0.01, 2.0))
    tokens = draw(st.integers(1, 200))
    end = first + (tokens - 1) * draw(st.floats(0.001, 0.2))
    return answer(request_idx, start, first, end, tokens, draw(st.integers(1, 500)))


@st.composite
def some_cells(draw: st.DrawFn) -> CellRaw:
    """Plausible cells: answers, failures and requests cut off, in a window of any place."""
    rows = list(draw(st.lists(answers(), max_size=25)))
    begins = st.floats(0.0, 50.0)
    rows += [failure(0, at, at + 0.3) for at in draw(st.lists(begins, max_size=5))]
    cut = draw(st.lists(begins, max_size=3))
    rows += [RequestRow(0, start_s=at, end_s=at + 5.0, status="aborted") for at in cut]
    numbered = tuple(replace(row, request_idx=index) for index, row in enumerate(rows))
    begin = draw(st.floats(0.0, 40.0))
    return CellRaw(rows=numbered, window=Window(begin, begin + draw(st.floats(0.5, 40.0))))


extremes = st.sampled_from([0.0, 5e-324, 1e-9, 1e8, 1e300, -1.0])
anything = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), extremes)


@st.composite
def hostile_cells(draw: st.DrawFn) -> CellRaw:
    """Whatever an engine might hand over, with every field wrong in any way."""
    tokens = st.one_of(st.none(), st.integers(-5, 10**9))
    rows = draw(
        st.lists(
            st.builds(
                RequestRow,
                request_idx=st.integers(0, 5),
                start_s=anything,
                first_token_s=anything,
                end_s=anything,
                status=st.sampled_from(["ok", "ok", "failed", "aborted", "odd"]),
                error_class=st.sampled_from([None, "http_429", "timeout", "of_a_new_kind"]),
                error_code=st.sampled_from([None, 0, 429, 599]),
                error_message=st.sampled_from([None, "", "two\nlines"]),
                input_tokens=tokens,
                output_tokens=tokens,
                reasoning_tokens=tokens,
                token_source=st.sampled_from([None, "server", "tokenizer"]),
                ttft_s=anything,
                e2e_s=anything,
            ),
            max_size=12,
        )
    )
    window = draw(st.one_of(st.none(), st.builds(Window, st.floats(), st.floats())))
    claims = {"run_duration": draw(anything), "ttft_mean": draw(anything), "error_rate": "none"}
    return CellRaw(
        rows=tuple(rows),
        window=window,
        wall_s=draw(anything),
        engine_claims=claims,
        engine_claims_unit=draw(st.sampled_from(["s", "ms", "fortnights"])),
        client_cpu_p95=draw(anything),
        loop_lag_p50_s=draw(anything),
        loop_lag_p99_s=draw(anything),
    )


FLOORS = [None, made(0.015, 0.001, 0.12, noise_s=0.01), made(-0.01, -0.005, 0.0, noise_s=0.002)]


@settings(deadline=None)
@given(some_cells(), st.randoms())
def test_the_order_of_rows_is_irrelevant(raw: CellRaw, rng: object) -> None:
    shuffled = list(raw.rows)
    rng.shuffle(shuffled)
    assert measured(raw) == measured(replace(raw, rows=tuple(shuffled)))


@settings(deadline=None)
@given(some_cells(), st.sampled_from([0.5, 2.0, 4.0]))
def test_a_slower_clock_scales_times_up_and_rates_down(raw: CellRaw, factor: float) -> None:
    def slower(row: RequestRow) -> RequestRow:
        names = ("start_s", "first_token_s", "end_s", "ttft_s", "e2e_s")
        values = {name: getattr(row, name) for name in names}
        return replace(
            row, **{name: None if v is None else v * factor for name, v in values.items()}
        )

    assert raw.window is not None
    scaled = replace(
        raw,
        rows=tuple(map(slower, raw.rows)),
        window=Window(raw.window.start_s * factor, raw.window.end_s * factor),
    )
    before, after = measured(raw), measured(scaled)
    powers = {"s": 1, "tok/s": -1, "1/s": -1, "1": 0}
    for old in before.stats:
        if old.metric.startswith("goodput"):
            continue  # its limits did not scale
        new = after.get(old.metric, old.stat)
        if old.value is None:
            assert new.value is None
        else:
            expected = old.value * factor ** powers[old.unit]
            assert new.value == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(some_cells(), st.lists(st.floats(0.0, 90.0), min_size=1, max_size=5))
def test_failed_requests_never_improve_goodput(raw: CellRaw, starts: list[float]) -> None:
    more = [failure(100 + i, start, start + 0.1) for i, start in enumerate(starts)]
    before, after = measured(raw), measured(replace(raw, rows=(*raw.rows, *more, failure(200))))
    old, new = before.value("goodput_ratio"), after.value("goodput_ratio")
    assert old is None or (new is not None and new <= old)
    assert (before.value("goodput_rps") or 0.0) >= (after.value("goodput_rps") or 0.0)


@settings(deadline=None)
@given(some_cells(), st.floats(0.05, 0.95))
def test_what_adjoining_windows_saw_adds_up(raw: CellRaw, cut: float) -> None:
    assert raw.window is not None
    middle = raw.window.start_s + cut * raw.window.length_s
    parts = [Window(raw.window.start_s, middle), Window(middle, raw.window.end_s)]
    additive = (
        "output_tput_tok_s",
        "input_tput_tok_s",
        "total_tput_tok_s",
        "request_rate_rps",
        "goodput_rps",
        "achieved_inflight",
    )
    windows = (raw.window, *parts)
    seen = [measured(replace(raw, window=window)) for window in windows]
    for metric in additive:
        whole, first, second = (
            (metrics.value(metric) or 0.0) * window.length_s
            for metrics, window in zip(seen, windows, strict=True)
        )
        assert whole == pytest.approx(first + second, rel=1e-6, abs=1e-6)


@settings(deadline=None)
@given(some_cells())
def test_a_window_over_everything_sees_every_token_once(raw: CellRaw) -> None:
    metrics = measured(replace(raw, window=Window(-1.0, 1000.0)))
    rate = metrics.value("output_tput_tok_s")
    if rate is not None:
        assert rate * 1001.0 == pytest.approx(metrics.output_tokens)
    completed = metrics.value("request_rate_rps")
    assert (completed or 0.0) * 1001.0 == pytest.approx(metrics.ok, abs=1e-6)


@settings(deadline=None)
@given(some_cells(), st.sampled_from([0.0, 0.0005, 0.002, 0.1]), st.sampled_from(FLOORS[1:]))
def test_the_band_holds_what_was_measured(raw: CellRaw, lag_s: float, floor: Floor) -> None:
    raw = replace(raw, loop_lag_p50_s=lag_s, loop_lag_p99_s=lag_s)
    for again in (raw, None):
        for stat in apply_floor(measured(raw), floor, concurrency=4, raw=again).stats:
            if stat.value is None or stat.validity is None:
                continue
            assert stat.lo is not None
            assert stat.lo <= stat.value
            assert stat.hi is None or stat.hi >= stat.value
            assert stat.client_share is not None
            assert 0.0 <= stat.client_share <= 1.0


@settings(max_examples=200, deadline=None)
@given(hostile_cells())
def test_nothing_an_engine_hands_over_raises_or_gives_nan(raw: CellRaw) -> None:
    for floor in FLOORS:
        metrics = apply_floor(measured(raw), floor, concurrency=4, raw=raw)
        for stat in metrics.stats:
            numbers = (stat.value, stat.ci_lo, stat.ci_hi, stat.client_share, stat.lo, stat.hi)
            assert all(number is None or math.isfinite(number) for number in numbers), stat
            assert stat.value is not None or stat.reason, stat
        verdict = judge(raw, metrics, Cell(), Plan())
        assert verdict.validity in ("valid", "invalid", "inconclusive")
        assert all(reason.evidence and reason.advice for reason in verdict.reasons)
