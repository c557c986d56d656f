"""How far a command is: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["progress", "steps"]

PLAIN_LINES: Final = 10
"""So many lines at most for each step, where there is no terminal for a bar."""


@contextmanager
def steps(
    line: Callable[[str, int, int], str] = "{}: {} of {}".format,
    least: int = PLAIN_LINES + 1,
) -> Iterator[Callable[[str, int, int], None]]:
    """Yields what is told how much of a named step is done, and of how much: on standard error.

    Where there is no terminal, `line` makes the text from the step's name and the two numbers; a
    step of less than `least` is over before that is of use.
    """
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda what, done, total: bar.update(
                task, description=what, completed=done, total=total
            )
        return
    said: dict[str, int] = {}

    def tell(what: str, done: int, total: int) -> None:
        tenth = done * PLAIN_LINES // max(total, 1)
        if total >= least and tenth > said.get(what, 0):
            said[what] = tenth
            print(line(what, done, total), file=sys.stderr, flush=True)

    yield tell


@contextmanager
def progress(doing: str, done_so_far: str, things: str) -> Iterator[Callable[[int, int], None]]:
    """Yields what is told how many `things` of how many are done: on standard error.

    `doing` and `done_so_far` are the verb, such as "verifying" and "verified".
    """
    with steps(lambda _, done, total: f"{done_so_far} {done} of {total} {things}", 1) as tell:
        yield lambda done, total: tell(doing, done, total)
