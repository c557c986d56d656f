"""The parts of a chart: points, lines through what is believed, shaded ranges, grey marks.

Names come from outside, and plotly reads some HTML in text, so they are escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import plotly.graph_objects as go

from tidemark.history.measured import Measured, Row, is_trusted, measured, metric_name, verdict_text
from tidemark.history.quantities import plain, with_unit_range
from tidemark.history.series import Axis, Series, place

__all__ = [
    "MARKS",
    "SYMBOLS",
    "TAILS",
    "Point",
    "apart_marks",
    "box",
    "colour",
    "grey_marks",
    "hover_text",
    "lines_of",
    "median_line",
    "safe",
    "shaded_ranges",
    "tail_line",
]

COLOURS: Final = (
    "#3b7dd8", "#d9762b", "#2a9d6f", "#9a62c7", "#d1557a", "#1f97a8", "#8f8a1d", "#a0714f",
)  # fmt: skip
"""At least 3:1 against white and against the dark page."""
SYMBOLS: Final = (
    "circle", "square", "diamond", "star", "hexagon", "pentagon", "cross", "hourglass",
)  # fmt: skip
GREY: Final = "#858b95"
TAILS: Final = (("p95", "dash"), ("p99", "dot"))
# Doubtful points: why they are apart, and how they look. Never joined to a line.
MARKS: Final = {
    "invalid": ("cell invalid", "x"),
    "inconclusive": ("cell inconclusive", "circle-open"),
    "client_bound": ("client-bound", "triangle-down-open"),
}
HALF_STEP: Final = 2.0**0.1  # half the width of a lone shaded range, in log2 of the level


@dataclass(frozen=True, slots=True)
class Point:
    """A cell's place on an axis of levels. `mark` is None where it may be believed."""

    row: Row
    level: int
    value: Measured
    mark: str | None


def lines_of(series: Series, metric: str) -> Iterator[list[Point]]:
    """The points of one repeat each, in order of level: percentiles are never averaged."""
    repeats = sorted({row.get("repeat_idx") or 0 for lv in series.levels for row in lv.attempts})
    for repeat in repeats:
        line = []
        for level in series.levels:
            for row in level.attempts:
                if (row.get("repeat_idx") or 0) == repeat:
                    value = measured(row, metric)
                    line.append(Point(row, level.position(series.axis), value, _mark(row, value)))
        yield line


def _mark(row: Row, value: Measured) -> str | None:
    if not is_trusted(row):
        return "inconclusive" if row.get("validity") == "inconclusive" else "invalid"
    return None if value.usable or value.value is None else "client_bound"


def _believed(point: Point) -> float | None:
    return point.value.value if point.mark is None else None


def median_line(
    each: Series, line: list[Point], index: int, scale: float, named: bool
) -> go.Scatter:
    values = [_believed(point) for point in line]
    return go.Scatter(
        x=[point.level for point in line],
        y=[None if value is None else value * scale for value in values],
        mode="lines+markers",
        connectgaps=False,
        name=safe(each.name),
        legendgroup=f"series{index}",
        showlegend=named,
        line={"color": colour(index), "width": 2},
        marker={"symbol": SYMBOLS[index % len(SYMBOLS)], "size": 8},
        hovertext=[hover_text(point, each.axis) for point in line],
        hoverinfo="text",
    )


def tail_line(
    each: Series,
    line: list[Point],
    index: int,
    scale: float,
    what: tuple[str, str, str],
    named: bool,
) -> go.Scatter | None:
    metric, stat, dash = what
    found = [measured(point.row, metric, stat) for point in line]
    believed = [
        value.value if value.usable and point.mark is None else None
        for point, value in zip(line, found, strict=True)
    ]
    if not any(value is not None for value in believed):
        return None
    return go.Scatter(
        x=[point.level for point in line],
        y=[None if value is None else value * scale for value in believed],
        mode="lines+markers",
        connectgaps=False,
        name=f"{safe(each.name)} {stat}",
        legendgroup=f"series{index}{stat}",
        showlegend=named,
        line={"color": colour(index), "width": 1.5, "dash": dash},
        marker={"symbol": SYMBOLS[index % len(SYMBOLS)], "size": 5},
        hovertext=[
            f"{safe(place(point.row, each.axis))}<br>{metric_name(metric, stat)} {value.text}"
            for point, value in zip(line, found, strict=True)
        ],
        hoverinfo="text",
    )


def shaded_ranges(line: list[Point], index: int, scale: float) -> Iterator[go.Scatter]:
    """Shaded polygons: the 95 % interval, and the client's part where it is shown as a band."""
    for kind in ("interval", "band"):
        for stretch in _stretches(line, kind):
            levels = [float(level) for level, _, _ in stretch]
            lows = [lo * scale for _, lo, _ in stretch]
            highs = [hi * scale for _, _, hi in stretch]
            if len(stretch) == 1:
                levels = [levels[0] / HALF_STEP, levels[0] * HALF_STEP]
                lows, highs = lows * 2, highs * 2
            hatch = {"shape": "/", "size": 6, "solidity": 0.35, "fgcolor": colour(index)}
            look: dict[str, Any] = {"fillcolor": _faint(index)}
            if kind == "band":
                look = {"fillpattern": hatch | {"bgcolor": "rgba(0,0,0,0)"}, "opacity": 0.6}
            yield go.Scatter(
                x=levels + levels[::-1],
                y=highs + lows[::-1],
                mode="lines",
                fill="toself",
                line={"width": 0, "color": colour(index)},
                legendgroup=f"series{index}",
                showlegend=False,
                hoverinfo="skip",
                **look,
            )


def _stretches(line: list[Point], kind: str) -> Iterator[list[tuple[int, float, float]]]:
    """Neighbouring levels that have such a range: (level, low, high)."""
    stretch: list[tuple[int, float, float]] = []
    for point in line:
        value = point.value
        ends = value.interval
        if kind == "band":
            known = value.standing == "band" and value.lo is not None and value.hi is not None
            ends = (value.lo or 0.0, value.hi or 0.0) if known else None
        if ends is not None and _believed(point) is not None:
            stretch.append((point.level, *ends))
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def apart_marks(points: Iterable[Point], scale: float) -> Iterator[go.Scatter]:
    members = [point for point in points if point.mark and point.value.value is not None]
    for mark, (label, symbol) in MARKS.items():
        these = [point for point in members if point.mark == mark]
        if these:
            ys = [(point.value.value or 0.0) * scale for point in these]
            hover = [hover_text(point, "concurrency") for point in these]
            yield grey_marks([point.level for point in these], ys, label, symbol, hover)


def grey_marks(
    xs: Sequence[float], ys: Sequence[float], label: str, symbol: str, hover: list[str]
) -> go.Scatter:
    return go.Scatter(
        x=list(xs),
        y=list(ys),
        mode="markers",
        name=label,
        marker={"symbol": symbol, "size": 11, "color": GREY, "line": {"width": 2, "color": GREY}},
        hovertext=hover,
        hoverinfo="text",
    )


def box(x: Measured, y: Measured, index: int, scale: float) -> go.Scatter:
    """The rectangle the point lies in, given intervals and the client's part on both axes."""
    (left, right), (low, high) = _extent(x), _extent(y)
    return go.Scatter(
        x=[left, right, right, left],
        y=[low * scale, low * scale, high * scale, high * scale],
        mode="lines",
        fill="toself",
        fillcolor=_faint(index),
        line={"width": 0},
        legendgroup=f"series{index}",
        showlegend=False,
        hoverinfo="skip",
    )


def _extent(value: Measured) -> tuple[float, float]:
    known = [value.value or 0.0, *(value.interval or ())]
    if value.standing == "band":
        known += [end for end in (value.lo, value.hi) if end is not None]
    return min(known), max(known)


def hover_text(point: Point, axis: Axis, throughput: Measured | None = None) -> str:
    value = point.value
    lines = [place(point.row, axis), f"{metric_name(value.metric, value.stat)} {value.text}"]
    if value.interval is not None and value.usable:
        lines[-1] += f" (95 %: {with_unit_range(*value.interval, value.unit)})"
    if throughput is not None and throughput.value is not None:
        lines.append(f"{metric_name(throughput.metric)} {throughput.text}")
    if value.n is not None:
        lines.append(f"n = {value.n}")
    lines.append(verdict_text(point.row))
    return "<br>".join(safe(line) for line in lines)


def colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _faint(index: int) -> str:
    red, green, blue = (int(colour(index)[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"


def safe(text: str) -> str:
    return html.escape(plain(text), quote=False)
