"""The table of cells: what each said, how far it can be believed, and why something is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tidemark.history.measured import (
    Measured,
    Row,
    explain,
    is_trusted,
    measured,
    metric_name,
    verdict_text,
)
from tidemark.history.quantities import DASH, count_of, number, percent, plain
from tidemark.history.series import axis_of, latest

__all__ = ["CellTable", "Column", "TableRow", "cell_table"]

SHARED_METRICS: Final = ("ttft_s", "tpot_s", "e2e_s", "output_tput_tok_s")
BRACKETS: Final = "in brackets: from a cell whose verdict does not let its numbers stand"
DOUBTFUL: Final = "?: the client floor does not fit this cell, so the client's share is not known"
BAND: Final = f"a range ({DASH}): the truth lies within; the client's own part is allowed for"
CLIENT_BOUND: Final = "client-bound: this client adds too much for the server's value to be told"
NO_FLOOR: Final = "no client floor was applied: this client's share of the times is not known"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, whether it holds numbers, and how soon it may be left out.

    `rank` 0 is always shown; where there is no room, the highest rank goes first.
    """

    heading: str
    numeric: bool = True
    rank: int = 0


@dataclass(frozen=True, slots=True)
class TableRow:
    """One cell: the texts of its columns, the row they come from, whether it is trusted."""

    texts: tuple[str, ...]
    row: Row
    trusted: bool
    notes: tuple[tuple[str, str], ...] = ()
    """(column heading, reason) of what is missing."""


@dataclass(frozen=True, slots=True)
class CellTable:
    """Columns, rows and the footnotes that the texts refer to as [1], [2], ..."""

    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    footnotes: tuple[str, ...]
    legend: tuple[str, ...]


class _Footnotes:
    """Numbers equal reasons once, in the order of their appearance."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}

    def mark(self, text: str) -> str:
        """The mark that refers to this text."""
        return f"[{self.texts.setdefault(text, len(self.texts) + 1)}]"


def cell_table(cells: Iterable[Row]) -> CellTable:
    """The last try at each cell, one row each (a row for each repeat); pure text, any length.

    What is printed without a mark can be believed: numbers of a cell that is not trusted stand
    in brackets, a metric the client bound shows as "client-bound", a band as a range, and
    what is missing as a dash with a footnote.
    """
    all_cells = list(cells)
    rows = latest(all_cells)
    axis = axis_of(rows)
    repeats = len({row.get("repeat_idx") or 0 for row in rows}) > 1
    batches = axis == "batch_size" or any((row.get("batch_size") or 1) > 1 for row in rows)
    goodput = any(measured(row, "goodput_ratio").value is not None for row in rows)
    metrics = _metrics(rows)
    columns = [Column("scenario", numeric=False), Column("concurrency")]
    columns += [Column("batch size")] if batches else []
    columns += [Column("repeat", rank=2)] if repeats else []
    columns += [Column("n", rank=3), Column("errors", rank=2)]
    columns += [Column(heading, rank=rank) for heading, _, rank in metrics]
    columns += [Column("goodput", rank=3)] if goodput else []
    columns += [
        Column("in flight / asked", rank=4),
        Column("client share", rank=5),
        Column("verdict", numeric=False),
    ]
    footnotes = _Footnotes()
    lines = []
    for row in rows:
        notes: list[tuple[str, str]] = []
        texts = [plain(row.get("scenario") or DASH, 120), str(row.get("concurrency") or DASH)]
        texts += [str(row.get("batch_size") or 1)] if batches else []
        texts += [str((row.get("repeat_idx") or 0) + 1)] if repeats else []
        texts += [_whole(row.get("requests_ok")), _errors(row)]
        shown = [(heading, measured(row, metric)) for heading, metric, _ in metrics]
        shown += [("goodput", measured(row, "goodput_ratio"))] if goodput else []
        texts += [_text(row, heading, value, footnotes, notes) for heading, value in shown]
        taken_over = ", taken over" if row.get("reused_from") else ""
        texts += [_in_flight(row), _client_share(row), verdict_text(row) + taken_over]
        lines.append(TableRow(tuple(texts), row, is_trusted(row), tuple(notes)))
    marks = tuple(f"[{index}] {text}" for text, index in footnotes.texts.items())
    legend = _legend(rows, lines, earlier=len(all_cells) - len(rows))
    return CellTable(tuple(columns), tuple(lines), marks, legend)


def _metrics(rows: Sequence[Row]) -> list[tuple[str, str, int]]:
    """(heading, metric, rank) of the metrics worth a column: not those no cell can have."""
    found = [("E2E p50", "e2e_s", 1)]
    if any(_may_have(row, "ttft_s") for row in rows):
        found.insert(0, ("TTFT p50", "ttft_s", 0))
        found.insert(1, ("TPOT p50", "tpot_s", 0))
    if any(_may_have(row, "output_tput_tok_s") for row in rows):
        found.append(("output tok/s", "output_tput_tok_s", 0))
    elif any(_may_have(row, "input_tput_tok_s") for row in rows):
        found.append(("input tok/s", "input_tput_tok_s", 0))
    else:
        found.append(("requests", "request_rate_rps", 0))
    return found


def _may_have(row: Row, metric: str) -> bool:
    """False where the task has no such metric, and where the cell was never delivered."""
    value = measured(row, metric)
    if value.value is None and row.get("status") == "failed":
        return False
    return value.reason not in ("not_streamed", "no_output_tokens")


def _text(
    row: Row, heading: str, value: Measured, footnotes: _Footnotes, notes: list[tuple[str, str]]
) -> str:
    if value.value is None:
        why = explain(value.reason)
        if row.get("status") == "failed" and value.reason is None:
            why = "the engine never delivered this cell"
        notes.append((heading, why))
        return f"{DASH} {footnotes.mark(why)}"
    text = value.text
    if heading.endswith("tok/s"):
        text = text.replace(" tok/s", "")
    return text if is_trusted(row) else f"({text})"


def _whole(count: object) -> str:
    return f"{count:,}" if isinstance(count, int) else DASH


def _errors(row: Row) -> str:
    failed, attempted = row.get("requests_failed"), row.get("requests_attempted")
    if not isinstance(failed, int):
        return DASH
    if failed == 0 or not attempted:
        return str(failed)
    return f"{failed:,} ({percent(failed / attempted)})"


def _in_flight(row: Row) -> str:
    value = measured(row, "achieved_inflight").value
    asked = row.get("concurrency") or DASH
    return f"{DASH if value is None else number(value)} / {asked}"


def _client_share(row: Row) -> str:
    """The largest share the client has in a headline number, and in which."""
    known = [
        value
        for metric in SHARED_METRICS
        if (value := measured(row, metric)).client_share is not None
    ]
    if not known:
        return DASH
    most = max(known, key=lambda value: value.client_share or 0.0)
    name = metric_name(most.metric).replace("output throughput", "tok/s")
    mark = " ?" if most.standing == "doubtful" else ""
    return f"{percent(most.client_share or 0.0)}{mark} ({name})"


def _legend(rows: Sequence[Row], lines: Sequence[TableRow], earlier: int) -> tuple[str, ...]:
    standings = {measured(row, metric).standing for row in rows for metric in SHARED_METRICS}
    found = []
    if any(not line.trusted for line in lines):
        found.append(BRACKETS)
    if "band" in standings:
        found.append(BAND)
    if "client_bound" in standings:
        found.append(CLIENT_BOUND)
    if "doubtful" in standings:
        found.append(DOUBTFUL)
    elif rows and all(_client_share(row) == DASH for row in rows):
        found.append(NO_FLOOR)
    origins = Counter(str(row["reused_from"]) for row in rows if row.get("reused_from"))
    for origin, cells in sorted(origins.items()):
        found.append(f"taken over from run {plain(origin)}: {count_of(cells, 'cell', 'cells')}")
    if earlier > 0:
        found.append(f"{count_of(earlier, 'earlier try', 'earlier tries')} not shown")
    return tuple(found)
