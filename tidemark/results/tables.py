"""Rows as Arrow tables, and tables as the bytes of a parquet file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from io import BytesIO
from operator import attrgetter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tidemark.errors import StoreError
from tidemark.results.context import TimelinePoint
from tidemark.results.requests import RequestRow
from tidemark.results.schema import REQUESTS, SCHEMA_VERSION, TIMELINE

__all__ = ["Row", "parquet_bytes", "requests_table", "table_of", "timeline_table"]

Row = dict[str, Any]
"""One row: a value or None for every column of its schema."""


def table_of(schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as an Arrow table. Raises StoreError naming the column that does not fit."""
    listed = list(rows)
    return _table(schema, lambda name: [row.get(name) for row in listed])


def _table(schema: pa.Schema, values_of: Callable[[str], list[Any]]) -> pa.Table:
    columns = []
    for column in schema:
        values = values_of(column.name)
        try:
            columns.append(pa.array(values, column.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            kind = f"a value is no {column.type}"
            raise StoreError(kind, column.name, "Give the column a value of its type") from error
    return pa.Table.from_arrays(columns, schema=schema)


def requests_table(
    run_id: str, cell_id: str, attempt_id: str, rows: Iterable[RequestRow]
) -> pa.Table:
    """One row per request, in the order of `request_idx`."""
    shared = _shared(run_id, cell_id, attempt_id)
    ordered = sorted(rows, key=attrgetter("request_idx"))

    def values_of(name: str) -> list[Any]:
        # Column by column: a dict per request would cost more than all the rest.
        if name in shared:
            return [shared[name]] * len(ordered)
        return list(map(attrgetter(name), ordered))

    return _table(REQUESTS, values_of)


def timeline_table(
    run_id: str, cell_id: str, attempt_id: str, points: Iterable[TimelinePoint]
) -> pa.Table:
    """One row per point, by source, series and time."""
    shared = _shared(run_id, cell_id, attempt_id)
    ordered = sorted(points, key=lambda point: (point.source, point.series, point.at_s))
    return table_of(TIMELINE, ({**shared, **asdict(point)} for point in ordered))


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a parquet file; the same table gives the same bytes."""
    many = table.num_rows > 1  # for a single row both only cost room
    sink = BytesIO()
    pq.write_table(
        table, sink, version="2.6", compression="zstd", compression_level=3,
        use_dictionary=many, write_statistics=many, data_page_version="1.0",
        row_group_size=131_072, store_schema=True,
    )  # fmt: skip
    return sink.getvalue()


def _shared(run_id: str, cell_id: str, attempt_id: str) -> Row:
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "cell_id": cell_id,
        "attempt_id": attempt_id,
    }
