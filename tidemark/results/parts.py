"""An attempt's parts as they are stored: its requests, and its cell with where its evidence lies.

Pure: the store that writes parts and the check that rebuilds them make them by the same functions,
so that the same evidence gives the same bytes. What is rebuilt needs no redactor: evidence was
redacted before it was kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pyarrow as pa

from tidemark.results.redact import Redactor
from tidemark.results.requests import RequestRow
from tidemark.results.schema import CELLS
from tidemark.results.tables import Row, requests_table, table_of

__all__ = ["cell_table", "clean_requests_table", "clean_row"]


def clean_row(row: Row, redactor: Redactor | None) -> Row:
    """A row without secrets in its texts; as it is without a redactor."""
    if redactor is None:
        return row
    return {
        name: redactor.tree(value) if isinstance(value, str | list) else value
        for name, value in row.items()
    }


def clean_requests_table(
    row: Row, rows: Iterable[RequestRow], redactor: Redactor | None
) -> pa.Table:
    """The table of the requests of a cell's row, without secrets in what a service said."""
    if redactor is not None:
        text = redactor.text
        rows = [
            replace(one, error_message=text(one.error_message)) if one.error_message else one
            for one in rows
        ]
    return requests_table(row["run_id"], row["cell_id"], row["attempt_id"], rows)


def cell_table(
    row: Row,
    *,
    raw_folder: str,
    evidence_sha256: str,
    requests_sha256: str,
    redactor: Redactor | None,
) -> pa.Table:
    """The table of a cell's row, with where its raw output lies and what belongs to it."""
    finished = {
        **clean_row(row, redactor),
        "evidence_uri": raw_folder,
        "evidence_sha256": evidence_sha256,
        "requests_sha256": requests_sha256,
    }
    return table_of(CELLS, [finished])
