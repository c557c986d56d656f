"""The parts of an attempt made again from its evidence, by today's rules. Pure."""

from __future__ import annotations

import hashlib
from datetime import UTC

import pyarrow as pa

from tidemark.errors import StoreError
from tidemark.results.client_floor import Floor
from tidemark.results.layout import part_path, raw_path
from tidemark.results.parts import cell_table, clean_requests_table
from tidemark.results.proof import measured_metrics, proved_row
from tidemark.results.record import Evidence
from tidemark.results.redact import Redactor
from tidemark.results.requests import CellRaw
from tidemark.results.tables import Row, parquet_bytes

__all__ = ["Remade"]


class Remade:
    """An attempt's row and requests, under one client floor.

    Evidence was redacted before it was kept, so nothing is taken out of it again, unless a
    `Redactor` is given: for comparing with what was taken out of a row twice.
    """

    def __init__(self, evidence: Evidence, raw: CellRaw, floor: bytes | None) -> None:
        self._evidence = evidence
        self._raw = raw
        self._metrics = measured_metrics(evidence.run, raw)
        self._judge(floor)
        self.requests = parquet_bytes(self.requests_table())
        self.version = evidence.run.harness.tidemark_version
        self.request_count = len(raw.rows)
        self.requests_sha256 = hashlib.sha256(self.requests).hexdigest()

    def _judge(self, floor: bytes | None) -> None:
        self._floor = floor
        try:
            known = None if floor is None else Floor.from_json(floor.decode())
        except (StoreError, UnicodeDecodeError):
            known = None  # a floor nobody can read was applied to no row
        run, attempt = self._evidence.run, self._evidence.attempt
        self.row: Row = proved_row(run, attempt, self._raw, self._metrics, known)

    def under(self, floor: bytes | None) -> Remade:
        """The same under another floor, given as the JSON that is kept of it."""
        if floor != self._floor:
            self._judge(floor)
        return self

    @property
    def follows_floor(self) -> bool:
        """Whether the floor that was given is, byte by byte, the one that the row names."""
        named = self.row["floor_json"]
        return self._floor == (None if named is None else named.encode())

    def place(self, table: str) -> str:
        """The path where its part of a table belongs."""
        row = self.row
        day = row["created_at"].astimezone(UTC).date()
        return part_path(table, row["model_name"], day, row["cell_id"], row["attempt_id"])

    def requests_table(self, redactor: Redactor | None = None) -> pa.Table:
        """The table of its requests."""
        return clean_requests_table(self.row, self._raw.rows, redactor)

    def cell(self, requests_sha256: str, redactor: Redactor | None = None) -> pa.Table:
        """The table of its row."""
        return cell_table(
            self.row,
            raw_folder=raw_path(self.row["cell_id"], self.row["attempt_id"]),
            evidence_sha256=self._evidence.sha256,
            requests_sha256=requests_sha256,
            redactor=redactor,
        )
