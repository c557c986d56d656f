"""The tables say what every column holds, and plain readers get what was put in."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemark.results import metrics
from tidemark.results.rows import Row, parquet_bytes, table_of
from tidemark.results.schema import (
    CELLS,
    DISTRIBUTION_STATS,
    DISTRIBUTIONS,
    REQUESTS,
    SCALARS,
    TABLES,
    markdown,
)

UNITS_IN_NAMES = {"_s": "s", "_at": "UTC", "_json": "JSON", "_rps": "1/s", "_tok_s": "tok/s"}


@pytest.mark.parametrize("name", TABLES)
def test_every_column_has_a_unit_and_says_what_it_holds(name: str) -> None:
    for column in TABLES[name]:
        assert column.metadata is not None, column.name
        assert column.metadata[b"description"], column.name
        assert b"unit" in column.metadata, column.name


@pytest.mark.parametrize("name", TABLES)
def test_columns_are_named_once_and_never_like_a_partition(name: str) -> None:
    names = TABLES[name].names
    assert len(names) == len(set(names))
    assert not {"model", "date"} & set(names)


@pytest.mark.parametrize("name", TABLES)
def test_the_unit_in_a_name_is_the_unit_of_the_column(name: str) -> None:
    for column in TABLES[name]:
        ending = max((e for e in UNITS_IN_NAMES if column.name.endswith(e)), key=len, default=None)
        if ending is not None:
            assert column.metadata[b"unit"].decode() == UNITS_IN_NAMES[ending], column.name


def test_there_is_a_wide_column_for_every_statistic_of_every_metric() -> None:
    assert set(metrics.UNITS) == {*DISTRIBUTIONS, *SCALARS}
    for name in DISTRIBUTIONS:
        assert CELLS.field(f"{name}_p50").metadata[b"unit"].decode() == metrics.UNITS[name]
        assert {f"{name}_{stat}" for stat in metrics.STATS} <= set(CELLS.names)
    for name in SCALARS:
        assert CELLS.field(name).metadata[b"unit"].decode() == metrics.UNITS[name]
    assert metrics.STATS == DISTRIBUTION_STATS


@pytest.mark.parametrize("name", TABLES)
def test_a_schema_survives_a_parquet_file(name: str) -> None:
    schema = TABLES[name]
    read = pq.read_table(BytesIO(parquet_bytes(schema.empty_table())))
    assert read.schema.equals(schema, check_metadata=True)
    assert read.schema.metadata[b"schema_version"] == b"1"


def test_a_row_survives_a_parquet_file(make_row: Callable[..., Row]) -> None:
    row = make_row()
    table = pq.read_table(BytesIO(parquet_bytes(table_of(CELLS, [row]))))
    assert table.to_pylist() == table_of(CELLS, [row]).to_pylist()


def test_the_same_table_gives_the_same_bytes(make_row: Callable[..., Row]) -> None:
    first, second = (parquet_bytes(table_of(CELLS, [make_row()])) for _ in range(2))
    assert first == second


def test_a_value_of_the_wrong_type_is_refused_by_the_name_of_its_column() -> None:
    with pytest.raises(Exception, match="error_code: a value is no int64"):
        table_of(REQUESTS, [{"schema_version": 1, "error_code": "many"}])


def test_the_rendered_table_has_a_line_for_every_column() -> None:
    text = markdown(pa.schema([REQUESTS.field("ttft_s"), CELLS.field("metrics")]))
    assert "| `ttft_s` | double | s | time to first token, from the actual send |" in text
    assert len(markdown(CELLS).splitlines()) == len(CELLS) + 2
    assert all(line.count(" | ") == 3 for line in markdown(CELLS).splitlines()[2:])
