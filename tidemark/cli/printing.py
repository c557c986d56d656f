"""What services said, on its way to a terminal or a program: no secrets, nothing that steers it."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tidemark.results.redact import Redactor

__all__ = [
    "console",
    "day",
    "long_table",
    "moment",
    "number",
    "plain",
    "print_document",
    "print_facts",
    "say",
    "span",
]

# Variables of this process whose values are no one's business, wherever they turn up.
_OWN_SECRETS = (
    "ALIBABA_CLOUD_ACCESS_KEY_ID",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "ALIBABA_CLOUD_SECURITY_TOKEN",
    "DASHSCOPE_API_KEY",
)

# Own keys that are shorter, or made of nothing but words, are no real ones.
_LEAST_KEY = 12
_LONGEST_WORD = 16

_WIDTH = 80

# How programs colour their logs, and move the cursor.
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def plain(text: object) -> str:
    """`text` without secrets and colours, and with a mark for what is no printed character."""
    clean = _masked(_COLOURS.sub("", str(text))).replace("\t", "    ")
    return "".join(c if c.isprintable() else "\ufffd" for c in clean)


def say(line: str, *, err: bool = False) -> None:
    """Print one line."""
    typer.echo(plain(line), err=err)


def print_document(
    document: object, *, indent: int | None = 2, as_it_is: Mapping[str, str] | None = None
) -> None:
    """Print JSON: times as ISO 8601 and amounts of money as text; without secrets.

    `as_it_is` are fields more, of an object, that were asked for with whatever is in them.
    """
    clean = _masked_tree(json.loads(json.dumps(document, default=_as_text)))
    if isinstance(clean, dict):
        clean |= as_it_is or {}
    typer.echo(json.dumps(clean, indent=indent))


def console() -> Console:
    """Where tables and lists of facts are printed: as wide as the terminal, or 80 columns."""
    from rich.console import Console

    return Console(highlight=False)


def long_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    folded: Sequence[str] = (),
    right: Sequence[str] = (),
) -> Table:
    """A table for 80 columns or more: of its columns only those `folded` are, where they must.

    In a narrower terminal all but the first are. `right` are columns of numbers.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    narrow = console().width < _WIDTH
    for place, heading in enumerate(headings):
        whole = place == 0 or not (narrow or heading in folded)
        table.add_column(
            heading,
            no_wrap=whole,
            overflow="ignore" if whole else "fold",
            justify="right" if heading in right else "left",
        )
    for row in rows:
        table.add_row(*(Text(plain(value)) for value in row))
    return table


def print_facts(pairs: Mapping[str, object], *, err: bool = False) -> None:
    """Print labels and what is known under them: a text each, or several lines of it.

    Empty ones are left out. Long texts are folded between words, so that addresses stay whole.
    """
    known = {
        label: [plain(line) for line in lines if line not in (None, "")]
        for label, value in pairs.items()
        for lines in [value if isinstance(value, list | tuple) else [value]]
    }
    indent = max((len(label) for label, lines in known.items() if lines), default=0) + 4
    width = max(console().width, indent + 20)
    for label, lines in known.items():
        head = f"  {label}"
        for line in lines:
            folds = textwrap.wrap(
                line, width - indent, break_long_words=False, break_on_hyphens=False
            )
            for fold in folds:
                typer.echo(f"{head:<{indent}}{fold}", err=err)
                head = ""


def moment(at: datetime | None) -> str:
    """A moment in UTC to the second, `-` for none."""
    return "-" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def day(at: datetime | None) -> str:
    """The day of a moment in UTC, `-` for none."""
    return moment(at)[:10]


def span(seconds: float | None) -> str:
    """A duration as people say it: `3.5 s`, `4 min 05 s`, `2 h 10 min`, `3 d 04 h`."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.3g} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def number(value: float | None, unit: str = "") -> str:
    """A number without needless digits, and its unit; `-` for none."""
    return "-" if value is None else f"{value:,.10g}{unit}"


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _masked(text: str) -> str:
    redactor, words = _masks()
    clean = redactor.text(text)
    return clean if words is None else words.sub(_mask(), clean)


def _masked_tree(document: Any) -> Any:
    redactor, words = _masks()
    clean = redactor.tree(document)
    return clean if words is None else _without(words, clean)


def _without(words: re.Pattern[str], value: Any) -> Any:
    """JSON without these words: also where a text is nothing else, and so stands in quotes."""
    if isinstance(value, dict):
        return {key: _without(words, each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without(words, each) for each in value]
    if isinstance(value, str):
        whole = words.sub(_mask(), f'"{value}"') == f'"{_mask()}"'
        return _mask() if whole else words.sub(_mask(), value)
    return value


def _mask() -> str:
    from tidemark.results.redact import MASK

    return MASK


def _masks() -> tuple[Redactor, re.Pattern[str] | None]:
    return _masks_of(tuple(os.environ.get(name, "") for name in _OWN_SECRETS))


@cache
def _masks_of(secrets: tuple[str, ...]) -> tuple[Redactor, re.Pattern[str] | None]:
    from tidemark.results.redact import SHORTEST_SECRET, Redactor

    words = [one for one in secrets if len(one) >= SHORTEST_SECRET and _is_ordinary(one)]
    return Redactor(one for one in secrets if one not in words), _standing_alone(words)


def _is_ordinary(secret: str) -> bool:
    """Whether a text may hold this without any thought of a secret: real keys are long and mixed.

    What is short, or words of letters in one case, is a stand-in such as `simulator`.
    """
    if len(secret) < _LEAST_KEY:
        return True
    return all(
        len(part) <= _LONGEST_WORD and part.isalpha() and part in (part.lower(), part.upper())
        for part in re.split(r"[-_. ]", secret)
    )


def _standing_alone(words: Sequence[str]) -> re.Pattern[str] | None:
    """Finds words as values: whole, in quotes or after `=` or `:`, and long ones wherever whole."""
    if not words:
        return None
    short, long = (
        "|".join(re.escape(one) for one in words if (len(one) >= _LEAST_KEY) is wanted)
        for wanted in (False, True)
    )
    patterns = []
    if short:
        patterns.append(
            rf"(?:(?<=[=:\"'])|(?<=[=:] )|(?<=[=:] [\"']))(?:{short})(?![\w-]|\.\w)"
            rf"|(?<![\w.-])(?:{short})(?=[\"'])"
        )
    if long:
        patterns.append(rf"(?<![\w-])(?:{long})(?![\w-])")
    return re.compile("|".join(patterns))
