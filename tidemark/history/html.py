"""The report as one HTML file that needs no network: five lines, charts, cells, provenance.

What comes from outside (names, messages, commands) is escaped wherever it goes: by the template
in HTML, by this file in JSON, by `charts` in the text of plots. A content security policy in the
file forbids every connection besides.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import plotly.io
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from tidemark.history.cell_table import CellTable, TableRow, cell_table
from tidemark.history.charts import Chart, charts
from tidemark.history.measured import Measured, Row, measured, metric_name, verdict_text
from tidemark.history.operating_point import error_bound, objective_of, operating_point
from tidemark.history.quantities import DASH, instant, percent, plain, with_unit_range
from tidemark.history.report import headlines, title_of
from tidemark.history.series import axis_of, latest, place, series_of

__all__ = ["html_report"]

DETAILED: Final = (
    "ttft_s", "tpot_s", "e2e_s", "interactivity_tok_s", "output_tput_tok_s", "input_tput_tok_s",
    "request_rate_rps", "goodput_rps", "goodput_ratio", "error_rate", "achieved_inflight",
)  # fmt: skip
STATS: Final = ("mean", "p50", "p90", "p95", "p99")
LONGEST_COMMAND: Final = 4000
VALUES_NAMED: Final = 3
_PROVENANCE_OF_RUN: Final = (
    ("Plan", "plan_name"),
    ("Plan hash", "plan_hash"),
    ("Round", "round"),
    ("Run", "run_id"),
    ("Asked for by", "requested_by"),
    ("Trigger", "trigger"),
    ("Started", "started_at"),
    ("Finished", "finished_at"),
    ("Outcome", "outcome"),
    ("Tidemark", "tidemark_version"),
    ("Commit", "git_sha"),
    ("Python", "python_version"),
)
_PROVENANCE_OF_CELLS: Final = (
    ("Endpoint", "endpoint_url"),
    ("Model", "model_name"),
    ("Model revision", "model_revision"),
    ("Served by", "serving_engine"),
    ("Server version", "serving_version"),
    ("Image digest", "image_digest"),
    ("Precision", "precision"),
    ("Accelerator", "gpu_type"),
    ("Accelerators", "gpu_count"),
    ("Region", "region"),
    ("Load engine", "engine_name"),
    ("Load engine version", "engine_version"),
    ("Load model", "load_model"),
    ("Times count from", "send"),
    ("Token counts from", "token_source"),
    ("Tokenizer", "tokenizer"),
    ("Quantiles", "quantile_method"),
    ("Client machine", "client_spec"),
    ("Rules of the verdict", "rules_version"),
)


@dataclass(frozen=True, slots=True)
class _Detail:
    """All that is known of one cell, for its own section of the page."""

    anchor: str
    place: str
    verdict: str
    tone: str
    needs_reading: bool
    reasons: tuple[Mapping[str, str], ...]
    missing: tuple[tuple[str, str], ...]
    metrics: tuple[tuple[str, tuple[str, ...]], ...]
    notes: tuple[str, ...]
    command: str
    facts: tuple[tuple[str, str], ...]


def html_report(run: Row, cells: Sequence[Row], baseline: Mapping[str, Row] | None = None) -> str:
    """The whole report as the text of one HTML file, about 5 MB for plotly's script.

    The same rows give the same text. Without anything to plot the script is left out.
    """
    rows = latest(cells)
    series = series_of(rows)
    objective, bound = objective_of(run, rows), error_bound(run)
    points = [operating_point(each, objective, bound) for each in series]
    drawn = charts(series, points, rows)
    table = cell_table(cells)
    details = _details(table, rows)
    environment = Environment(
        loader=PackageLoader("tidemark.history", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(
        title=title_of(run, cells),
        subtitle=_subtitle(run, rows),
        headlines=headlines(run, cells, baseline),
        charts=drawn,
        charts_json=Markup(_json_in_script(drawn)),
        plotly=Markup(get_plotlyjs()) if drawn else None,
        table=table,
        details=details,
        stats=STATS,
        provenance=_provenance(run, rows),
        run_command=plain(run.get("reproduce") or "", LONGEST_COMMAND),
        run_notes=[plain(note) for note in run.get("notes") or ()],
    )


def _subtitle(run: Row, rows: Sequence[Row]) -> str:
    parts = [_distinct(rows, "model_name"), _distinct(rows, "endpoint_url")]
    parts.append(instant(run["started_at"]) if run.get("started_at") else "")
    return " · ".join(part for part in parts if part)


def _details(table: CellTable, rows: Sequence[Row]) -> list[_Detail]:
    axis = axis_of(rows)
    repeats = len({row.get("repeat_idx") or 0 for row in rows}) > 1
    found = []
    for number, line in enumerate(table.rows, start=1):
        row = line.row
        where = place(row, axis)
        where += f", repeat {(row.get('repeat_idx') or 0) + 1}" if repeats else ""
        reasons = tuple(
            {
                name: plain(reason.get(name) or "")
                for name in ("code", "level", "evidence", "advice")
            }
            for reason in row.get("reasons") or ()
        )
        detail = _Detail(
            anchor=f"cell-{number}",
            place=where,
            verdict=verdict_text(row),
            tone=_tone(line),
            needs_reading=any(reason["level"] != "note" for reason in reasons),
            reasons=reasons,
            missing=line.notes,
            metrics=tuple(_metric_lines(row)),
            notes=tuple(plain(note) for note in row.get("notes") or ()),
            command=plain(row.get("reproduce") or "", LONGEST_COMMAND),
            facts=tuple(_cell_facts(row)),
        )
        found.append(detail)
    return found


def _tone(line: TableRow) -> str:
    if line.trusted:
        return "attention" if verdict_text(line.row) != "valid" else "good"
    return "attention" if line.row.get("validity") == "inconclusive" else "bad"


def _metric_lines(row: Row) -> Iterable[tuple[str, tuple[str, ...]]]:
    """(name, (mean, p50, p90, p95, p99, 95 % interval, n, client share)) of what is known."""
    for metric in DETAILED:
        headline = measured(row, metric)
        scalar = headline.stat == "value"
        shown = [headline if scalar and stat == "mean" else None for stat in STATS]
        if not scalar:
            shown = [measured(row, metric, stat) for stat in STATS]
        if all(value is None or value.value is None for value in shown):
            continue
        texts = [DASH if value is None else value.text for value in shown]
        yield metric_name(metric), (*texts, *_belief(headline))


def _belief(value: Measured) -> tuple[str, str, str]:
    interval = DASH
    if value.interval is not None and value.usable:
        low, high = value.interval
        interval = with_unit_range(low, high, value.unit)
        if value.is_ratio:
            interval = f"{percent(low)} {DASH} {percent(high)}"
    share = DASH if value.client_share is None else percent(value.client_share)
    return interval, DASH if value.n is None else f"{value.n:,}", share


def _cell_facts(row: Row) -> Iterable[tuple[str, str]]:
    for label, name in (
        ("Cell", "cell_id"),
        ("Attempt", "attempt_id"),
        ("Taken over from", "reused_from"),
        ("Raw output", "evidence_uri"),
    ):
        if row.get(name):
            yield label, plain(row[name])


def _provenance(run: Row, rows: Sequence[Row]) -> list[tuple[str, str]]:
    found = [(label, instant(run[name])) for label, name in _PROVENANCE_OF_RUN if run.get(name)]
    found += [
        (label, text) for label, name in _PROVENANCE_OF_CELLS if (text := _distinct(rows, name))
    ]
    found.append(("Client floor", _floor(rows)))
    return found


def _distinct(rows: Sequence[Row], name: str) -> str:
    values = list(dict.fromkeys(plain(row[name]) for row in rows if row.get(name) is not None))
    more = f" and {len(values) - VALUES_NAMED} more" if len(values) > VALUES_NAMED else ""
    return ", ".join(values[:VALUES_NAMED]) + more


def _floor(rows: Sequence[Row]) -> str:
    """The plain values of the floors that were applied; they may differ by concurrency."""
    written = dict.fromkeys(row["floor_json"] for row in rows if row.get("floor_json"))
    if not written:
        return "none was applied: this client's share is not known"
    try:
        floor = json.loads(next(iter(written)))
    except ValueError:
        floor = None
    parts = []
    if isinstance(floor, dict):
        parts = [f"{k} {v}" for k, v in floor.items() if isinstance(v, str | int | float)]
    others = f"; and {len(written) - 1} more" if len(written) > 1 else ""
    return plain(", ".join(parts) or "applied") + others


def _json_in_script(drawn: Sequence[Chart]) -> str:
    """Figures as JSON that no text within can end the script element of."""
    figures: dict[str, Any] = {
        chart.name: json.loads(plotly.io.to_json(chart.figure, validate=False)) for chart in drawn
    }
    text = json.dumps(figures, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
