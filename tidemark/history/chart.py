"""One chart: the figure, the same in words, and what all figures share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import plotly.graph_objects as go

from tidemark.history.measured import Measured
from tidemark.history.series import Axis, Series
from tidemark.history.traces import Point

__all__ = ["AXIS_TITLES", "Chart", "in_words", "layout_of", "scale_of"]

AXIS_TITLES: Final[dict[Axis, str]] = {
    "concurrency": "concurrency (log₂)",
    "batch_size": "batch size (log₂)",
}


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: its name in the page, its heading, the figure, the same in words."""

    name: str
    heading: str
    figure: go.Figure
    alt: str
    note: str = ""


def layout_of(y_title: str) -> dict[str, Any]:
    return {
        "template": "none",
        "height": 400,
        "margin": {"l": 64, "r": 16, "t": 8, "b": 52},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "hoverlabel": {"align": "left"},
        "yaxis": {"title": {"text": y_title}, "rangemode": "tozero", "automargin": True},
    }


def scale_of(values: Iterable[Measured]) -> tuple[float, str]:
    largest = max((value.value for value in values if value.value is not None), default=0.0)
    return (1.0, "s") if largest >= 1.0 else (1000.0, "ms")


def in_words(heading: str, lines: Sequence[tuple[Series, list[Point]]]) -> str:
    """The chart in words: every point with its value, or why it has none."""
    told = []
    for each, line in lines:
        points = [
            f"{point.level}: {point.value.text}" + (f" ({point.mark})" if point.mark else "")
            for point in line
        ]
        told.append(f"{each.name}: {', '.join(points)}")
    return f"{heading}. " + ". ".join(told)
