"""A stored part beside the one that was made again: equal, or where they differ.

Pure: bytes and tables in, findings out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tidemark import __version__
from tidemark.results.finding import Difference, Finding
from tidemark.results.tables import Row, parquet_bytes

__all__ = [
    "SHOWN",
    "UNFIT",
    "Found",
    "Unreadable",
    "differences",
    "other_bytes",
    "read_part",
    "row_differences",
]

SHOWN: Final = 12
"""So many differences of one part are told; all of them are counted."""

_READ_ERRORS: Final = (pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError)
UNFIT: Final = (
    AttributeError, KeyError, TypeError, ValueError, ArithmeticError, RecursionError,
    pa.ArrowException,
)  # fmt: skip
"""What values of an unexpected kind raise, sooner or later."""
_ABSENT: Final = object()
_WRITER: Final = re.compile(r"parquet-cpp-arrow version \d+(\.\d+)+\S*")


class Unreadable(Exception):
    """Bytes that are no parquet file, or a damaged one; the text says why."""


@dataclass(frozen=True, slots=True)
class Found:
    """Up to `SHOWN` differences, and how many there are."""

    first: tuple[Difference, ...]
    count: int


def read_part(data: bytes) -> pa.Table:
    """The table in a part, with all its texts and numbers looked at. Raises Unreadable."""
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        table.validate(full=True)
    except _READ_ERRORS as error:
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise Unreadable(words) from error
    return table


def row_differences(stored: Row, rebuilt: Row) -> tuple[Difference, ...]:
    """Where two rows differ, by column; a column that the stored row lacks does not count."""
    return tuple(
        difference
        for name in dict.fromkeys((*rebuilt, *stored))
        if name in stored
        for difference in _values(name, stored[name], rebuilt.get(name, _ABSENT))
    )


def differences(stored: pa.Table, rebuilt: pa.Table) -> Found:
    """Where two tables of requests differ, by row and column."""
    if stored.num_rows != rebuilt.num_rows:
        return Found((Difference("rows", stored.num_rows, rebuilt.num_rows),), 1)
    first: list[tuple[int, Difference]] = []
    count = 0
    index = rebuilt["request_idx"].to_pylist()
    for name in stored.column_names:
        if name not in rebuilt.column_names:
            first.append((-1, Difference(name, "a column", "no such column")))
        elif stored[name].type != rebuilt[name].type:
            kinds = Difference(name, str(stored[name].type), str(rebuilt[name].type))
            first.append((-1, kinds))
        else:
            pairs = zip(stored[name].to_pylist(), rebuilt[name].to_pylist(), strict=True)
            # By their text: 0.0 and -0.0 are equal, and different bytes.
            places = [n for n, (here, there) in enumerate(pairs) if repr(here) != repr(there)]
            count += len(places)
            first += [
                (n, Difference(name, stored[name][n].as_py(), rebuilt[name][n].as_py(), index[n]))
                for n in places[:SHOWN]
            ]
            continue
        count += 1
    first.sort(key=lambda pair: pair[0])
    return Found(tuple(difference for _, difference in first[:SHOWN]), count)


def other_bytes(
    path: str, data: bytes, stored: pa.Table, rebuilt: bytes, version: str | None
) -> Finding:
    """Why a part has the rows that were made again, but not the bytes.

    `version` of tidemark wrote it, as its record says.
    """
    theirs, ours = _writer(data), _writer(rebuilt)
    if theirs != ours and _WRITER.fullmatch(theirs):
        what = f"written by {theirs}, this is {ours}: the rows are as rebuilt, the bytes are not"
        return Finding("another_writer", path, what)
    if version != __version__ and parquet_bytes(stored) == data:
        what = f"tidemark {version} described its columns otherwise; the rows are as rebuilt"
        return Finding("described_otherwise", path, what)
    what = "the rows are as rebuilt, the bytes are not: it was written anew, or a byte was changed"
    return Finding("damaged", path, what)


def _writer(data: bytes) -> str:
    return str(pq.ParquetFile(pa.BufferReader(data)).metadata.created_by)


def _values(name: str, stored: Any, rebuilt: Any) -> Iterator[Difference]:
    if rebuilt is _ABSENT:
        yield Difference(name, stored, "no such column")
    elif isinstance(stored, list) and isinstance(rebuilt, list):
        yield from _lists(name, stored, rebuilt)
    elif repr(stored) != repr(rebuilt):
        yield Difference(name, stored, rebuilt)


def _lists(name: str, stored: list[Any], rebuilt: list[Any]) -> Iterator[Difference]:
    if len(stored) != len(rebuilt):
        yield Difference(f"{name}, entries", len(stored), len(rebuilt))
        return
    for place, (here, there) in enumerate(zip(stored, rebuilt, strict=True)):
        if isinstance(here, dict) and isinstance(there, dict):
            label = _label(there, place)
            for key in there:
                yield from _values(f"{name}[{label}].{key}", here.get(key), there[key])
        elif repr(here) != repr(there):
            yield Difference(f"{name}[{place}]", here, there)


def _label(entry: dict[str, Any], place: int) -> str:
    """What an entry is called: a statistic of a metric, a code, a kind; else its place."""
    if "metric" in entry and "stat" in entry:
        return f"{entry['metric']} {entry['stat']}"
    return str(entry.get("code") or entry.get("kind") or entry.get("column") or place)
