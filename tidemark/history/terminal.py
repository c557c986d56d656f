"""The report for a terminal: five lines and a table that gives way to a narrow window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from tidemark.history.cell_table import CellTable, TableRow, cell_table
from tidemark.history.measured import Row
from tidemark.history.report import Headline, headlines

__all__ = ["TerminalReport", "render", "table"]

TONES: Final = {"good": "green", "attention": "yellow", "bad": "red", "plain": ""}


class TerminalReport:
    """A rich renderable: `console.print(report)`. Columns that find no room are named below."""

    def __init__(self, lines: Sequence[Headline], cells: CellTable) -> None:
        self.lines = tuple(lines)
        self.cells = cells

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines:
            yield Text.assemble((f"{line.label}: ", "bold"), (line.text, TONES[line.tone]))
        if not self.cells.rows:
            return
        yield Text()
        kept, dropped = _fitting(self.cells, console, options)
        yield table(self.cells, kept)
        for note in (*self.cells.footnotes, *self.cells.legend):
            yield Text(note, style="dim")
        if dropped:
            yield Text(f"no room for: {', '.join(dropped)}", style="dim")


def render(
    run: Row, cells: Sequence[Row], baseline: Mapping[str, Row] | None = None
) -> TerminalReport:
    """The whole report of a run, to be printed by a rich console."""
    return TerminalReport(headlines(run, cells, baseline), cell_table(cells))


def table(cells: CellTable, kept: Sequence[int] | None = None) -> Table:
    """The table of cells, with the columns of these places or all."""
    shown = range(len(cells.columns)) if kept is None else kept
    result = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    for place in shown:
        column = cells.columns[place]
        result.add_column(
            Text(column.heading),
            justify="right" if column.numeric else "left",
            no_wrap=column.numeric,
            overflow="fold",
        )
    for line in cells.rows:
        texts = [Text(line.texts[place]) for place in shown]
        texts[-1].stylize(_verdict_style(line))
        result.add_row(*texts, style="" if line.trusted else "dim")
    return result


def _verdict_style(line: TableRow) -> str:
    if line.trusted:
        return "yellow" if line.row.get("reasons") else "green"
    return "yellow" if line.row.get("validity") == "inconclusive" else "bold red"


def _fitting(
    cells: CellTable, console: Console, options: ConsoleOptions
) -> tuple[list[int], list[str]]:
    """(places of the columns there is room for, headings of those there is none for)."""
    kept = list(range(len(cells.columns)))
    dropped: list[str] = []
    while Measurement.get(console, options.update(max_width=10_000), table(cells, kept)).maximum > (
        options.max_width
    ):
        worst = max(kept, key=lambda place: cells.columns[place].rank)
        if cells.columns[worst].rank == 0:
            break
        kept.remove(worst)
        dropped.append(cells.columns[worst].heading)
    return kept, dropped
