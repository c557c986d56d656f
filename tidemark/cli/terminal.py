"""A run at a terminal: its bar, its Ctrl-C, and errors without the stack they came up."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from tidemark.cli.prefect_server import API_URL
from tidemark.errors import ConfigError

if TYPE_CHECKING:
    from tasks.progress import ProgressReport
    from tasks.stop import Stop

__all__ = ["INTERRUPTED", "Bar", "Listener", "server_answers", "without_tracebacks"]

INTERRUPTED = 130
HEARTBEAT_S = 10.0  # between lines where there is no terminal to draw a bar on


class Listener:
    """Ctrl-C or SIGTERM: the first ends the run with the cells it has, a second leaves at once.

    `leave` is what the second does; left out, it raises KeyboardInterrupt. `kept` says what the
    first one stops and keeps.
    """

    def __init__(
        self,
        stop: Stop,
        console: Console,
        leave: Callable[[], None] | None = None,
        *,
        kept: str = "stopping; finished cells are kept. Once more leaves at once",
    ) -> None:
        self._stop = stop
        self._console = console
        self._leave = leave
        self._kept = kept

    def __enter__(self) -> Listener:
        self._before = signal.signal(signal.SIGINT, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def listen_to_sigterm(self) -> None:
        """SIGTERM means the same. To be said within the flow: Prefect takes the signal before."""
        if signal.getsignal(signal.SIGTERM) != self._heard:
            signal.signal(signal.SIGTERM, self._heard)

    def _heard(self, number: int, _frame: object) -> None:
        if self._stop.asked:
            if self._leave is not None:
                self._leave()
            raise KeyboardInterrupt
        self._stop.ask("Ctrl-C" if number == signal.SIGINT else "SIGTERM")
        self._console.print(self._kept, soft_wrap=True)


class Bar:
    """A bar with the status line and the time left; plain lines where there is no terminal.

    `estimates` is whether the time left is shown: there is none to tell while somebody is asked.
    """

    def __init__(self, console: Console, *, estimates: bool = True) -> None:
        self.estimates = estimates
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._row: TaskID | None = None
        self._last, self._said_at = "", 0.0

    def __enter__(self) -> Bar:
        if self._console.is_terminal:
            self._row = self._progress.add_task("Starting", total=1.0, left="")
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, report: ProgressReport) -> None:
        """Say where the run is now."""
        if self._row is not None:
            known = report.left_s is not None and self.estimates
            left = f"about {_time(report.left_s or 0)} left" if known else ""
            self._progress.update(
                self._row, description=escape(report.line), completed=report.fraction, left=left
            )
            return
        now = time.monotonic()
        if report.line != self._last or now - self._said_at > HEARTBEAT_S:
            self._last, self._said_at = report.line, now
            line = f"{report.fraction:4.0%}  {report.line}"
            self._console.print(line, soft_wrap=True, markup=False)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Without the bar, so that somebody can be asked."""
        self._progress.stop()
        try:
            yield
        finally:
            if self._row is not None:
                self._progress.start()


@contextmanager
def without_tracebacks() -> Iterator[None]:
    """Prefect logs what a flow fails of, with its whole stack; the command says it in a line."""

    def passes(record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR or not record.name.startswith("prefect")

    names = ("", "prefect", "prefect.flow_runs", "prefect.task_runs", "prefect.extra")
    handlers = {handler for name in names for handler in logging.getLogger(name).handlers}
    for handler in handlers:
        handler.addFilter(passes)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(passes)


@contextmanager
def server_answers() -> Iterator[None]:
    """Raises ConfigError where the Prefect server that is configured cannot be reached."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("Failed to reach API"):
            raise
        raise ConfigError(
            "no Prefect server answers",
            f"{API_URL}={os.environ.get(API_URL, '')}",
            f"Start it, or unset {API_URL}: then the command brings its own",
        ) from error


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
