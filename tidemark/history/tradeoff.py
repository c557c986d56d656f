"""Latency against throughput: what each further user gains and costs."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from tidemark.history.chart import AXIS_TITLES, Chart, in_words, layout_of, scale_of
from tidemark.history.measured import Measured, Row, measured, metric_name
from tidemark.history.operating_point import OperatingPoint
from tidemark.history.series import Series
from tidemark.history.traces import (
    MARKS,
    SYMBOLS,
    Point,
    box,
    colour,
    grey_marks,
    hover_text,
    lines_of,
    safe,
)

__all__ = ["tradeoff"]


def tradeoff(series: Sequence[Series], points: Sequence[OperatingPoint]) -> Chart | None:
    """End-to-end latency against throughput, a point per level, labelled with the level.

    `points` are the operating points of the series, in their order. None without any data.
    """
    throughput = series[0].throughput
    numbered = [
        (index, each, number, line)
        for index, each in enumerate(series)
        for number, line in enumerate(lines_of(each, "e2e_s"))
    ]
    known = [
        point.value
        for _, _, _, line in numbered
        for point in line
        if point.value.value is not None and measured(point.row, throughput).value is not None
    ]
    if not known:
        return None
    scale, unit = scale_of(known)
    best = [_ring_place(point, throughput) for point in points]
    ringed = [id(point.row) for point, at in zip(points, best, strict=True) if at is not None]
    figure = go.Figure()
    for index, each, number, line in numbered:
        for point in line:
            across = measured(point.row, throughput)
            if _believed(point, across):
                figure.add_trace(box(across, point.value, index, scale))
        trace = _line(each, line, index, scale, ringed)
        figure.add_trace(trace.update(showlegend=number == 0))
    every = [point for _, _, _, line in numbered for point in line]
    for mark in MARKS:
        if trace := _apart(every, mark, throughput, scale):
            figure.add_trace(trace)
    named = True
    for index, at in enumerate(best):
        if at is not None:
            figure.add_trace(_ring(points[index], at, index, scale).update(showlegend=named))
            named = False
    name = f"{metric_name(throughput)}, {'req/s' if throughput.endswith('_rps') else 'tok/s'}"
    figure.update_layout(
        **layout_of(f"E2E p50, {unit}"),
        xaxis={"title": {"text": name}, "rangemode": "tozero"},
    )
    words = f"E2E p50 against {metric_name(throughput)}, by level of load"
    note = "Numbers at the points: " + AXIS_TITLES[series[0].axis].removesuffix(" (log₂)")
    note += ". Ringed: the operating point. Boxes: 95 % interval and the client's part."
    lines = [(each, line) for _, each, _, line in numbered]
    return Chart("tradeoff", "Latency against throughput", figure, in_words(words, lines), note)


def _believed(point: Point, across: Measured) -> bool:
    return point.mark is None and point.value.value is not None and across.usable


def _line(
    each: Series, line: list[Point], index: int, scale: float, ringed: list[int]
) -> go.Scatter:
    xs: list[float | None] = []
    ys: list[float | None] = []
    for point in line:
        across = measured(point.row, each.throughput)
        good = _believed(point, across)
        xs.append(across.value if good else None)
        ys.append((point.value.value or 0.0) * scale if good else None)
    return go.Scatter(
        x=xs,
        y=ys,
        mode="lines+markers+text",
        name=safe(each.name),
        legendgroup=f"series{index}",
        line={"color": colour(index), "width": 2},
        marker={"symbol": SYMBOLS[index % len(SYMBOLS)], "size": 8},
        text=["" if id(point.row) in ringed else str(point.level) for point in line],
        textposition="top center",
        cliponaxis=False,
        hovertext=[hover_text(point, each.axis, measured(point.row, each.throughput))
                   for point in line],
        hoverinfo="text",
    )  # fmt: skip


def _apart(points: Sequence[Point], mark: str, throughput: str, scale: float) -> go.Scatter | None:
    """Points that are not believed, on either axis, in grey."""
    members: list[tuple[Point, float]] = []
    for point in points:
        across = measured(point.row, throughput)
        found = point.mark or (None if across.usable else "client_bound")
        if found == mark and across.value is not None and point.value.value is not None:
            members.append((point, across.value))
    if not members:
        return None
    label, symbol = MARKS[mark]
    ys = [(point.value.value or 0.0) * scale for point, _ in members]
    hover = [hover_text(point, "concurrency") for point, _ in members]
    return grey_marks([x for _, x in members], ys, label, symbol, hover)


def _ring_place(best: OperatingPoint, throughput: str) -> tuple[float, float] | None:
    row: Row | None = best.row
    if row is None:
        return None
    across, up = measured(row, throughput), measured(row, "e2e_s")
    if not across.usable or not up.usable or across.value is None or up.value is None:
        return None
    return across.value, up.value


def _ring(best: OperatingPoint, at: tuple[float, float], index: int, scale: float) -> go.Scatter:
    level = best.level.position(best.series.axis) if best.level else ""
    return go.Scatter(
        x=[at[0]],
        y=[at[1] * scale],
        mode="markers+text",
        marker={"symbol": "circle-open", "size": 20, "color": colour(index), "line": {"width": 3}},
        text=[f"<b>{level}</b>"],
        textposition="top center",
        cliponaxis=False,
        name="under the SLO" if best.basis == "slo" else "knee",
        legendgroup="best",
        hoverinfo="skip",
    )
