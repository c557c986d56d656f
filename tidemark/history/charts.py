"""Charts of a run as plotly figures: what can be believed is joined by lines, the rest is not.

A figure holds no colours of text or background: the page that shows it sets them, for light and
for dark.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from tidemark.history.chart import AXIS_TITLES, Chart, in_words, layout_of, scale_of
from tidemark.history.measured import Row, metric_name
from tidemark.history.operating_point import OperatingPoint
from tidemark.history.quantities import plain
from tidemark.history.series import Axis, Series, place
from tidemark.history.traces import (
    TAILS,
    apart_marks,
    colour,
    lines_of,
    median_line,
    safe,
    shaded_ranges,
    tail_line,
)
from tidemark.history.tradeoff import tradeoff

__all__ = ["Chart", "charts"]


def charts(
    series: Sequence[Series], points: Sequence[OperatingPoint], rows: Sequence[Row]
) -> tuple[Chart, ...]:
    """The charts there is data for: latency against throughput, TTFT, TPOT, E2E, errors.

    E2E by level is shown only where nothing was streamed, and so TTFT and TPOT are not known.
    """
    if not series:
        return ()
    found = [tradeoff(series, points), _by_level(series, "ttft_s"), _by_level(series, "tpot_s")]
    if found[1] is None and found[2] is None:
        found.append(_by_level(series, "e2e_s"))
    found.append(_errors(rows, series[0].axis))
    return tuple(chart for chart in found if chart is not None)


def _by_level(series: Sequence[Series], metric: str) -> Chart | None:
    """A latency by concurrency: p50 with its ranges, admitted tails, what is not believed apart."""
    numbered = [
        (index, each, number, line)
        for index, each in enumerate(series)
        for number, line in enumerate(lines_of(each, metric))
    ]
    lines = [(each, line) for _, each, _, line in numbered]
    if not any(point.value.value is not None for _, line in lines for point in line):
        return None
    scale, unit = scale_of(point.value for _, line in lines for point in line)
    figure = go.Figure()
    for index, each, number, line in numbered:
        for trace in shaded_ranges(line, index, scale):
            figure.add_trace(trace)
        figure.add_trace(median_line(each, line, index, scale, number == 0))
        for stat, dash in TAILS:
            tail = tail_line(each, line, index, scale, (metric, stat, dash), number == 0)
            if tail is not None:
                figure.add_trace(tail)
    for trace in apart_marks([point for _, line in lines for point in line], scale):
        figure.add_trace(trace)
    axis = series[0].axis
    levels = sorted({level.position(axis) for each in series for level in each.levels})
    figure.update_layout(
        **layout_of(f"{metric_name(metric)}, {unit}"),
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
    return Chart(name, heading, figure, in_words(f"{heading}, median", lines), note)


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
        labels.append(safe(place(row, axis) + repeat).replace(" at ", "<br>", 1))
    figure = go.Figure()
    for number, (kind, counts) in enumerate(sorted(kinds.items())):
        bar = go.Bar(
            y=labels,
            x=[counts.get(index, 0) for index in range(len(failing))],
            name=safe(kind),
            orientation="h",
            marker={"color": colour(number)},
            showlegend=True,
        )
        figure.add_trace(bar)
    figure.update_layout(
        **{**layout_of(""), "hovermode": "closest"},
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
