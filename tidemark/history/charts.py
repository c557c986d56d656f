"""Charts of a run as plotly figures: what can be believed is joined by lines, the rest is not.

A figure holds no colours of text or background: the page that shows it sets them, for light and
for dark. Names come from outside, and plotly reads some HTML in text, so they are escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import plotly.graph_objects as go

from tidemark.history.measured import (
    Measured,
    Row,
    is_trusted,
    measured,
    metric_name,
    verdict_text,
)
from tidemark.history.operating_point import OperatingPoint
from tidemark.history.quantities import plain, with_unit_range
from tidemark.history.series import Axis, Series, place

__all__ = ["Chart", "charts"]

COLOURS: Final = (
    "#3b7dd8", "#d9762b", "#2a9d6f", "#9a62c7", "#d1557a", "#1f97a8", "#8f8a1d", "#a0714f",
)  # fmt: skip
"""At least 3:1 against white and against the dark page."""
SYMBOLS: Final = (
    "circle", "square", "diamond", "star", "hexagon", "pentagon", "cross", "hourglass",
)  # fmt: skip
GREY: Final = "#858b95"
TAILS: Final = (("p95", "dash"), ("p99", "dot"))
AXIS_TITLES: Final[dict[Axis, str]] = {
    "concurrency": "concurrency (log₂)",
    "batch_size": "batch size (log₂)",
}
# Doubtful points: why they are apart, and how they look. Never joined to a line.
MARKS: Final = {
    "invalid": ("cell invalid", "x"),
    "inconclusive": ("cell inconclusive", "circle-open"),
    "client_bound": ("client-bound", "triangle-down-open"),
}
HALF_STEP: Final = 2.0**0.1  # half the width of a lone shaded range, in log2 of the level


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: its name in the page, its heading, the figure, the same in words."""

    name: str
    heading: str
    figure: go.Figure
    alt: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Point:
    """A cell's place on an axis of levels. `mark` is None where it may be believed."""

    row: Row
    level: int
    value: Measured
    mark: str | None


def charts(
    series: Sequence[Series], points: Sequence[OperatingPoint], rows: Sequence[Row]
) -> tuple[Chart, ...]:
    """The charts there is data for: latency against throughput, TTFT, TPOT, E2E, errors.

    E2E by level is shown only where nothing was streamed, and so TTFT and TPOT are not known.
    """
    if not series:
        return ()
    found = [_tradeoff(series, points), _by_level(series, "ttft_s"), _by_level(series, "tpot_s")]
    if found[1] is None and found[2] is None:
        found.append(_by_level(series, "e2e_s"))
    found.append(_errors(rows, series[0].axis))
    return tuple(chart for chart in found if chart is not None)


def _by_level(series: Sequence[Series], metric: str) -> Chart | None:
    """A latency by concurrency: p50 with its ranges, admitted tails, what is not believed apart."""
    lines = [line for each in series for line in _lines(each, metric)]
    if not any(point.value.value is not None for _, line in lines for point in line):
        return None
    scale, unit = _scale(point.value for _, line in lines for point in line)
    figure = go.Figure()
    for number, (each, line) in enumerate(lines):
        index = series.index(each)
        named = all(other is not each for other, _ in lines[:number])
        for trace in _ranges(line, index, scale):
            figure.add_trace(trace)
        figure.add_trace(_median(each, line, index, scale, named))
        for stat, dash in TAILS:
            tail = _tail(each, line, index, scale, metric, stat, dash)
            if tail is not None:
                figure.add_trace(tail)
    for trace in _apart([point for _, line in lines for point in line], scale):
        figure.add_trace(trace)
    axis = series[0].axis
    levels = sorted({level.position(axis) for each in series for level in each.levels})
    figure.update_layout(
        **_layout(f"{metric_name(metric)}, {unit}"),
        xaxis={
            "title": {"text": AXIS_TITLES[axis]},
            "type": "log",
            "tickvals": levels,
            "ticktext": [str(level) for level in levels],
        },
    )
    name = metric.removesuffix("_s")
    heading = f"{metric_name(metric)} by {axis.replace('_', ' ')}"
    note = "Shaded: 95 % interval; hatched: what this client may have added."
    return Chart(name, heading, figure, _alt(f"{heading}, median", lines), note)


def _tradeoff(series: Sequence[Series], points: Sequence[OperatingPoint]) -> Chart | None:
    """End-to-end latency against throughput, a point per level, labelled with the level."""
    throughput = series[0].throughput
    every = [row for each in series for level in each.levels for row in level.attempts]
    both = [(measured(row, throughput), measured(row, "e2e_s")) for row in every]
    if not any(x.value is not None and y.value is not None for x, y in both):
        return None
    scale, unit = _scale(y for _, y in both)
    figure = go.Figure()
    apart: list[tuple[_Point, float]] = []
    lines: list[tuple[Series, list[_Point]]] = []
    for index, each in enumerate(series):
        for number, (_, line) in enumerate(_lines(each, "e2e_s")):
            lines.append((each, line))
            xs: list[float | None] = []
            ys: list[float | None] = []
            for point in line:
                x = measured(point.row, throughput)
                mark = point.mark or (None if x.usable or x.value is None else "client_bound")
                good = mark is None and x.value is not None and point.value.value is not None
                xs.append(x.value if good else None)
                ys.append((point.value.value or 0.0) * scale if good else None)
                if good:
                    figure.add_trace(_box(x, point.value, index, scale))
                elif x.value is not None and point.value.value is not None and mark:
                    apart.append((_Point(point.row, point.level, point.value, mark), x.value))
            figure.add_trace(
                go.Scatter(
                    x=xs,
                    y=ys,
                    mode="lines+markers+text",
                    name=_safe(each.name),
                    legendgroup=f"series{index}",
                    showlegend=number == 0,
                    line={"color": _colour(index), "width": 2},
                    marker={"symbol": SYMBOLS[index % len(SYMBOLS)], "size": 8},
                    text=[str(point.level) for point in line],
                    textposition="top center",
                    hovertext=[_hover(point, each.axis, measured(point.row, throughput))
                               for point in line],
                    hoverinfo="text",
                )
            )  # fmt: skip
    for mark, (label, symbol) in MARKS.items():
        members = [(point, x) for point, x in apart if point.mark == mark]
        if members:
            ys_apart = [(point.value.value or 0.0) * scale for point, _ in members]
            hover = [_hover(point, series[0].axis) for point, _ in members]
            figure.add_trace(_grey([x for _, x in members], ys_apart, label, symbol, hover))
    for index, best in enumerate(points):
        if best.row is None:
            continue
        across, up = measured(best.row, throughput).value, measured(best.row, "e2e_s").value
        if across is not None and up is not None:
            ring = {"symbol": "circle-open", "size": 20, "color": _colour(index)}
            ring["line"] = {"width": 3}
            figure.add_trace(
                go.Scatter(
                    x=[across],
                    y=[up * scale],
                    mode="markers",
                    marker=ring,
                    name="under the SLO" if best.basis == "slo" else "knee",
                    legendgroup="best",
                    showlegend=all(earlier.row is None for earlier in points[:index]),
                    hoverinfo="skip",
                )
            )
    name = f"{metric_name(throughput)}, {'req/s' if throughput.endswith('_rps') else 'tok/s'}"
    figure.update_layout(
        **_layout(f"E2E p50, {unit}"),
        xaxis={"title": {"text": name}, "rangemode": "tozero"},
    )
    words = f"E2E p50 against {metric_name(throughput)}, by level of load"
    note = "Numbers at the points: " + AXIS_TITLES[series[0].axis].removesuffix(" (log₂)")
    note += ". Ringed: the operating point. Boxes: 95 % interval and the client's part."
    return Chart("tradeoff", "Latency against throughput", figure, _alt(words, lines), note)


def _errors(rows: Sequence[Row], axis: Axis) -> Chart | None:
    """Failed requests by class and cell, as stacked bars; None where none failed."""
    failing = [row for row in rows if row.get("failed_by_class")]
    kinds: dict[str, dict[int, int]] = {}
    for index, row in enumerate(failing):
        for entry in row["failed_by_class"]:
            kind = plain(entry.get("kind") or "unknown", 60)
            kinds.setdefault(kind, {})[index] = entry.get("requests") or 0
    if not any(sum(counts.values()) for counts in kinds.values()):
        return None
    repeats = len({row.get("repeat_idx") or 0 for row in rows}) > 1
    labels = []
    for row in failing:
        repeat = f", repeat {(row.get('repeat_idx') or 0) + 1}" if repeats else ""
        labels.append(_safe(place(row, axis) + repeat).replace(" at ", "<br>", 1))
    figure = go.Figure()
    for number, (kind, counts) in enumerate(sorted(kinds.items())):
        bar = go.Bar(
            y=labels,
            x=[counts.get(index, 0) for index in range(len(failing))],
            name=_safe(kind),
            orientation="h",
            marker={"color": _colour(number)},
            showlegend=True,
        )
        figure.add_trace(bar)
    figure.update_layout(
        **{**_layout(""), "hovermode": "closest"},
        barmode="stack",
        xaxis={"title": {"text": "failed requests"}, "rangemode": "tozero"},
    )
    figure.update_yaxes(autorange="reversed", automargin=True, rangemode="normal")
    figure.update_layout(height=max(220, 130 + 56 * len(failing)))
    alt = "Failed requests. " + "; ".join(
        f"{place(row, axis)}: "
        + ", ".join(f"{plain(e.get('kind'))} {e.get('requests')}" for e in row["failed_by_class"])
        for row in failing
    )
    return Chart("errors", "Failed requests by class", figure, alt)


def _lines(series: Series, metric: str) -> Iterator[tuple[Series, list[_Point]]]:
    """The points of one repeat each, in order of level: percentiles are never averaged."""
    repeats = sorted({row.get("repeat_idx") or 0 for lv in series.levels for row in lv.attempts})
    for repeat in repeats:
        line = []
        for level in series.levels:
            for row in level.attempts:
                if (row.get("repeat_idx") or 0) == repeat:
                    value = measured(row, metric)
                    line.append(_Point(row, level.position(series.axis), value, _mark(row, value)))
        yield series, line


def _mark(row: Row, value: Measured) -> str | None:
    if not is_trusted(row):
        return "inconclusive" if row.get("validity") == "inconclusive" else "invalid"
    return None if value.usable or value.value is None else "client_bound"


def _believed(point: _Point) -> float | None:
    return point.value.value if point.mark is None else None


def _median(each: Series, line: list[_Point], index: int, scale: float, named: bool) -> go.Scatter:
    values = [_believed(point) for point in line]
    return go.Scatter(
        x=[point.level for point in line],
        y=[None if value is None else value * scale for value in values],
        mode="lines+markers",
        connectgaps=False,
        name=_safe(each.name),
        legendgroup=f"series{index}",
        showlegend=named,
        line={"color": _colour(index), "width": 2},
        marker={"symbol": SYMBOLS[index % len(SYMBOLS)], "size": 8},
        hovertext=[_hover(point, each.axis) for point in line],
        hoverinfo="text",
    )


def _tail(
    each: Series, line: list[_Point], index: int, scale: float, metric: str, stat: str, dash: str
) -> go.Scatter | None:
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
        name=f"{_safe(each.name)} {stat}",
        legendgroup=f"series{index}{stat}",
        line={"color": _colour(index), "width": 1.5, "dash": dash},
        marker={"symbol": SYMBOLS[index % len(SYMBOLS)], "size": 5},
        hovertext=[
            f"{_safe(place(point.row, each.axis))}<br>{metric_name(metric, stat)} {value.text}"
            for point, value in zip(line, found, strict=True)
        ],
        hoverinfo="text",
    )


def _ranges(line: list[_Point], index: int, scale: float) -> Iterator[go.Scatter]:
    """Shaded polygons: the 95 % interval, and the client's part where it is shown as a band."""
    for kind in ("interval", "band"):
        for stretch in _stretches(line, kind):
            levels = [float(level) for level, _, _ in stretch]
            lows = [lo * scale for _, lo, _ in stretch]
            highs = [hi * scale for _, _, hi in stretch]
            if len(stretch) == 1:
                levels = [levels[0] / HALF_STEP, levels[0] * HALF_STEP]
                lows, highs = lows * 2, highs * 2
            hatch = {"shape": "/", "size": 6, "solidity": 0.35, "fgcolor": _colour(index)}
            look: dict[str, Any] = {"fillcolor": _faint(index)}
            if kind == "band":
                look = {"fillpattern": hatch | {"bgcolor": "rgba(0,0,0,0)"}, "opacity": 0.6}
            yield go.Scatter(
                x=levels + levels[::-1],
                y=highs + lows[::-1],
                mode="lines",
                fill="toself",
                line={"width": 0, "color": _colour(index)},
                legendgroup=f"series{index}",
                showlegend=False,
                hoverinfo="skip",
                **look,
            )


def _stretches(line: list[_Point], kind: str) -> Iterator[list[tuple[int, float, float]]]:
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


def _apart(points: Iterable[_Point], scale: float) -> Iterator[go.Scatter]:
    members = [point for point in points if point.mark and point.value.value is not None]
    for mark, (label, symbol) in MARKS.items():
        these = [point for point in members if point.mark == mark]
        if these:
            ys = [(point.value.value or 0.0) * scale for point in these]
            hover = [_hover(point, "concurrency") for point in these]
            yield _grey([point.level for point in these], ys, label, symbol, hover)


def _grey(
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


def _box(x: Measured, y: Measured, index: int, scale: float) -> go.Scatter:
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


def _hover(point: _Point, axis: Axis, throughput: Measured | None = None) -> str:
    value = point.value
    lines = [place(point.row, axis), f"{metric_name(value.metric, value.stat)} {value.text}"]
    if value.interval is not None and value.usable:
        lines[-1] += f" (95 %: {with_unit_range(*value.interval, value.unit)})"
    if throughput is not None and throughput.value is not None:
        lines.append(f"{metric_name(throughput.metric)} {throughput.text}")
    if value.n is not None:
        lines.append(f"n = {value.n}")
    lines.append(verdict_text(point.row))
    return "<br>".join(_safe(line) for line in lines)


def _layout(y_title: str) -> dict[str, Any]:
    return {
        "template": "none",
        "height": 400,
        "margin": {"l": 64, "r": 16, "t": 16, "b": 56},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "y": -0.24, "yanchor": "top", "x": 0},
        "hoverlabel": {"align": "left"},
        "yaxis": {"title": {"text": y_title}, "rangemode": "tozero", "automargin": True},
    }


def _scale(values: Iterable[Measured]) -> tuple[float, str]:
    largest = max((value.value for value in values if value.value is not None), default=0.0)
    return (1.0, "s") if largest >= 1.0 else (1000.0, "ms")


def _alt(heading: str, lines: Sequence[tuple[Series, list[_Point]]]) -> str:
    """The chart in words: every point with its value, or why it has none."""
    told = []
    for each, line in lines:
        points = [
            f"{point.level}: {point.value.text}" + (f" ({point.mark})" if point.mark else "")
            for point in line
        ]
        told.append(f"{each.name}: {', '.join(points)}")
    return f"{heading}. " + ". ".join(told)


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _faint(index: int) -> str:
    red, green, blue = (int(_colour(index)[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"


def _safe(text: str) -> str:
    return html.escape(plain(text), quote=False)
