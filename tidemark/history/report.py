"""The report of a run: five lines that let a person decide, then the table of its cells.

Everything here is text made from rows of the tables `runs` and `cells`; nothing is read or
written, and nothing raises on a row that lacks a column.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tidemark.history.cell_table import CellTable, cell_table
from tidemark.history.change import Change, changes
from tidemark.history.measured import (
    Row,
    is_trusted,
    leading_codes,
    measured,
    metric_name,
)
from tidemark.history.next_step import AXIS_NAMES, next_step, places
from tidemark.history.operating_point import (
    Objective,
    OperatingPoint,
    error_bound,
    objective_of,
    operating_point,
)
from tidemark.history.quantities import count_of, number, percent, plain
from tidemark.history.series import latest, series_of
from tidemark.money.amounts import sum_text

__all__ = [
    "TO_MEND",
    "Headline",
    "Row",
    "cell_table",
    "escape_markdown",
    "five_lines",
    "headlines",
    "markdown",
    "title_of",
]

SERIES_NAMED: Final = 3
TO_MEND: Final = "to mend: "
"""How a run's note begins that says what to do about a failure."""
_MARKDOWN: Final = re.compile(r"([\\|`*\[\]~#])")


@dataclass(frozen=True, slots=True)
class Headline:
    """One of the five lines: what it is about, what it says, how urgent it looks.

    `tone` is "good", "attention", "bad" or "plain".
    """

    label: str
    text: str
    tone: str = "plain"

    def __str__(self) -> str:
        return f"{self.label}: {self.text}"


def five_lines(
    run: Row, cells: Sequence[Row], baseline: Mapping[str, Row] | None = None
) -> tuple[str, str, str, str, str]:
    """Verdict, best operating point, cost, change against the baseline, what to do next.

    `run` is a row of `runs`, `cells` rows of `cells`, `baseline` maps a cell_id to the row to
    compare with. Each line is plain text without a line break.
    """
    verdict, best, cost, change, following = headlines(run, cells, baseline)
    return str(verdict), str(best), str(cost), str(change), str(following)


def headlines(
    run: Row, cells: Sequence[Row], baseline: Mapping[str, Row] | None = None
) -> tuple[Headline, Headline, Headline, Headline, Headline]:
    """The five lines with their labels apart."""
    rows = latest(cells)
    if not rows and run.get("cells_planned") == 0:
        return _of_command(run)
    objective = objective_of(run, rows)
    bound = error_bound(run)
    points = tuple(operating_point(series, objective, bound) for series in series_of(rows))
    return (
        _verdict(run, rows, bound),
        _best(points, objective),
        Headline("Cost", _cost(run, points)),
        _change(rows, baseline),
        Headline("Next", next_step(run, rows, points, objective, bound)),
    )


def _of_command(
    run: Row,
) -> tuple[Headline, Headline, Headline, Headline, Headline]:
    """The lines of a job that ran a command: it measured nothing."""
    outcome = plain(run.get("outcome") or "unknown", 40)
    seconds = run.get("wall_s")
    took = f" after {seconds:.0f} s" if seconds is not None else ""
    notes = [plain(note, 400) for note in run.get("notes") or ()]
    mend = next((note for note in notes if note.startswith(TO_MEND)), None)
    said = [note for note in notes if note != mend][:2]
    tone = {"complete": "good", "failed": "bad"}.get(outcome, "attention")
    return (
        Headline("Verdict", "; ".join([f"{outcome}{took}", *said]), tone),
        Headline("Best", "no operating point: the job ran a command"),
        Headline("Cost", _cost(run, ())),
        Headline("Change", "nothing to compare: the job ran a command"),
        Headline("Next", mend.removeprefix(TO_MEND) if mend else "nothing: the job has ended"),
    )


def title_of(run: Row, cells: Sequence[Row]) -> str:
    """What was measured, in a few words: the plan's name or the model, and the round."""
    models = list(dict.fromkeys(plain(r["model_name"], 80) for r in cells if r.get("model_name")))
    name = plain(run.get("plan_name") or ", ".join(models[:2]) or "A run", 120)
    return f"{name}, round {plain(run['round'], 80)}" if run.get("round") else name


def markdown(run: Row, cells: Sequence[Row], baseline: Mapping[str, Row] | None = None) -> str:
    """The report as Markdown (with GitHub's tables): five lines, table, reasons. Ends in "\\n"."""
    lines = [f"## {escape_markdown(title_of(run, cells))}", ""]
    lines += [
        f"- **{headline.label}:** {escape_markdown(headline.text)}"
        for headline in headlines(run, cells, baseline)
    ]
    table = cell_table(cells)
    if table.rows:
        lines += ["", *_markdown_table(table)]
    reasons = _markdown_reasons(table)
    if reasons:
        lines += ["", "### Reasons", "", *reasons]
    return "\n".join(lines) + "\n"


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is: no links, no emphasis, no HTML, no new table cell."""
    shown = _MARKDOWN.sub(r"\\\1", plain(text))
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _verdict(run: Row, rows: Sequence[Row], max_error_rate: float) -> Headline:
    if not rows:
        return Headline("Verdict", "no cell was measured", "bad")
    groups: dict[str, list[Row]] = {"valid": [], "invalid": [], "inconclusive": []}
    for row in rows:
        validity = row.get("validity") if row.get("status") != "failed" else "invalid"
        groups.setdefault(str(validity or "not judged"), []).append(row)
    valid = len(groups.pop("valid"))
    text = f"{valid} of {count_of(len(rows), 'cell')} valid"
    if valid == len(rows):
        text = "the one cell is valid" if valid == 1 else f"all {valid} cells are valid"
    others = [
        f"{len(members)} {name}{_with_codes(members)}"
        for name, members in groups.items()
        if members
    ]
    text = ", ".join([text, *others])
    tone = "good" if valid == len(rows) else "bad" if groups["invalid"] else "attention"
    errors = [
        row
        for row in rows
        if is_trusted(row) and (measured(row, "error_rate").value or 0.0) > max_error_rate
    ]
    if errors:
        worst = max(measured(row, "error_rate").value or 0.0 for row in errors)
        text += f"; {len(errors)} valid with up to {percent(worst)} of requests failed"
        tone = "bad" if tone == "bad" else "attention"
    bound = [
        f"{metric_name(metric)} client-bound in {count_of(count, 'cell')}"
        for metric in ("ttft_s", "tpot_s", "e2e_s", "output_tput_tok_s")
        if (count := _client_bound(rows, metric))
    ]
    if bound:
        text += f"; {', '.join(bound)}"
        tone = "bad" if tone == "bad" else "attention"
    missing = (run.get("cells_planned") or 0) - len(rows)
    if missing > 0:
        text += f"; {count_of(missing, 'planned cell')} not measured"
        tone = "bad" if tone == "bad" else "attention"
    return Headline("Verdict", text, tone)


def _with_codes(rows: Sequence[Row]) -> str:
    codes = Counter(code for row in rows for code in leading_codes(row, 1))
    named = ", ".join(code for code, _ in codes.most_common(3))
    return f" ({named})" if named else ""


def _client_bound(rows: Sequence[Row], metric: str) -> int:
    return sum(is_trusted(row) and measured(row, metric).standing == "client_bound" for row in rows)


def _best(points: Sequence[OperatingPoint], objective: Objective | None) -> Headline:
    if not points:
        return Headline("Best", "no operating point: no cell was measured", "bad")
    label = "Best under the SLO" if objective else "Best (knee, no SLO given)"
    prefix = f"{objective.text}: " if objective else ""
    named = [_point_text(point, several=len(points) > 1) for point in points[:SERIES_NAMED]]
    more = (
        f"; and {len(points) - SERIES_NAMED} more scenarios" if len(points) > SERIES_NAMED else ""
    )
    found = [point for point in points if point.row is not None]
    tone = "good" if len(found) == len(points) else "attention" if found else "bad"
    return Headline(label, prefix + "; ".join(named) + more, tone)


def _point_text(point: OperatingPoint, several: bool) -> str:
    name = f"{point.series.name} " if several else ""
    if point.row is None or point.level is None:
        text = f"{name}none, {point.why_none}"
        if point.nearest is not None:
            ratio = measured(point.nearest, "goodput_ratio").value or 0.0
            at = point.nearest.get(point.series.axis) or 1
            text += f"; nearest is {AXIS_NAMES[point.series.axis]} {at} with {percent(ratio)}"
        return text
    row, axis = point.row, point.series.axis
    parts = [measured(row, point.series.throughput).text]
    if point.basis == "slo":
        met = percent(measured(row, "goodput_ratio").value or 0.0)
        parts.append(f"{met} met it" if point.proven else f"{met} met it (too few to prove)")
    for metric in ("ttft_s", "tpot_s", "e2e_s"):
        value = measured(row, metric)
        if value.value is not None and (metric != "e2e_s" or point.basis == "knee"):
            parts.append(f"{metric_name(metric, 'p50')} {value.text}")
    text = f"{name}{AXIS_NAMES[axis]} {point.level.position(axis)}, {', '.join(parts)}"
    if len(point.series.levels) == 1:
        return f"{text} (the only level tried)"
    if point.last:
        ending = "the SLO still holds" if point.basis == "slo" else "no knee up to there"
        return f"{text} (the highest tried: {ending})"
    if point.highest_trusted:
        return f"{text} (no higher level can be trusted)"
    return text


def _cost(run: Row, points: Sequence[OperatingPoint]) -> str:
    currency = plain(run.get("currency") or "", 10)
    metered, quoted = run.get("metered"), run.get("quoted")
    for kind, amount in (("billed", run.get("billed")), ("metered", metered)):
        if amount is not None:
            text = f"{_sum(amount, currency)} {kind}"
            text += f" of {_sum(quoted, currency)} quoted" if quoted is not None else ""
            return text + _cost_per_token(points)
    if quoted is not None:
        return f"{_sum(quoted, currency)} quoted, nothing metered" + _cost_per_token(points)
    for note in run.get("notes") or ():
        if str(note).startswith("not priced"):
            return plain(note)
    return "not priced: no price was read for this run"


def _cost_per_token(points: Sequence[OperatingPoint]) -> str:
    for point in points:
        if point.row is not None and point.row.get("cost_per_mtok_out") is not None:
            row = point.row
            # A quotient has no last digit.
            each = Decimal(number(float(row["cost_per_mtok_out"])).replace(",", ""))
            amount = _sum(each, plain(row.get("currency") or "", 10))
            return f"; {amount} per million output tokens at the best point"
    return ""


def _sum(amount: Decimal, currency: str) -> str:
    return sum_text(amount, currency).strip()


def _change(rows: Sequence[Row], baseline: Mapping[str, Row] | None) -> Headline:
    if baseline is None:
        return Headline("Change", "no baseline yet")
    found = changes(rows, baseline)
    if not found:
        return Headline("Change", "no trusted cell in common with the baseline")
    by_direction: dict[str, list[Change]] = {"worse": [], "better": [], "within noise": []}
    for change in found:
        by_direction[change.direction].append(change)
    parts = []
    for direction in ("worse", "better"):
        members = sorted(by_direction[direction], key=lambda change: -abs(change.ratio))
        if members:
            top = members[0]
            what = f"{metric_name(top.metric)} {top.percent_text}, {places([top.row])}"
            parts.append(f"{len(members)} {direction} (most: {what})")
    quiet = len(by_direction["within noise"])
    if quiet:
        parts.append(f"{quiet} within noise")
    cells = len({id(change.row) for change in found})
    text = f"{', '.join(parts)}, of {count_of(len(found), 'value')} in {count_of(cells, 'cell')}"
    tone = "bad" if by_direction["worse"] else "good"
    return Headline("Change", text, tone)


def _markdown_table(table: CellTable) -> list[str]:
    headings = " | ".join(escape_markdown(column.heading) for column in table.columns)
    rule = "|".join("---:" if column.numeric else ":---" for column in table.columns)
    lines = [f"| {headings} |", f"|{rule}|"]
    lines += [
        f"| {' | '.join(escape_markdown(text) for text in line.texts)} |" for line in table.rows
    ]
    notes = [escape_markdown(note) for note in (*table.footnotes, *table.legend)]
    return [*lines, "", *(f"{note}  " for note in notes)] if notes else lines


def _markdown_reasons(table: CellTable) -> list[str]:
    lines = []
    for line in table.rows:
        reasons = line.row.get("reasons") or ()
        if not reasons:
            continue
        lines.append(
            f"- **{escape_markdown(places([line.row]))}**: {escape_markdown(line.texts[-1])}"
        )
        for reason in reasons:
            parts = [reason.get("code"), reason.get("evidence"), reason.get("advice")]
            shown = [escape_markdown(str(part)) for part in parts if part]
            lines.append(f"  - {'. '.join(shown)}")
        if line.row.get("reproduce"):
            lines.append(f"  - Again: {_code(plain(line.row['reproduce'], 2000))}")
    return lines


def _code(text: str) -> str:
    """Inline code, with a fence longer than any run of backticks within."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"
