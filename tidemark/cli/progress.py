"""How far a command is: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["progress"]

PLAIN_LINES: Final = 10
"""So many lines at most, where there is no terminal for a bar."""


@contextmanager
def progress(doing: str, done_so_far: str, things: str) -> Iterator[Callable[[int, int], None]]:
    """Yields what is told how many `things` of how many are done: on standard error.

    `doing` and `done_so_far` are the verb, such as "verifying" and "verified".
    """
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    said = 0

    def say(done: int, total: int) -> None:
        nonlocal said
        tenth = done * PLAIN_LINES // total
        if tenth > said:
            said = tenth
            print(f"{done_so_far} {done} of {total} {things}", file=sys.stderr, flush=True)

    yield say
