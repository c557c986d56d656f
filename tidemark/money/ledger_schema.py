"""The tables of the ledger, and how amounts and instants stand in them.

Amounts are whole numbers of 0.00000001, so that sums are exact in every database. Instants are
text of one length in UTC, which people can read and which sorts by time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

from tidemark.money.amounts import LEDGER_PLACES

__all__ = [
    "APPROVALS",
    "INSTALLATION",
    "LEASES",
    "METADATA",
    "QUOTES",
    "RESERVATIONS",
    "REVISION",
    "RUNS",
    "VERSION_TABLE",
    "Amount",
    "Instant",
    "Words",
]

REVISION = "0002"
"""The newest revision of the tables that this version knows (see `migrations/versions`)."""

VERSION_TABLE = "tidemark_schema"
"""Where the revision of the tables stands. Others may keep theirs in the same database."""


class Amount(TypeDecorator[Decimal]):
    """An amount of money as a whole number of 0.00000001."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """The number that is written. Raises ValueError where digits would be lost."""
        if value is None:
            return None
        whole = Decimal(value).scaleb(LEDGER_PLACES)  # exact: amounts have less than 20 digits
        if whole != int(whole):
            raise ValueError(f"an amount has more than {LEDGER_PLACES} digits after the point")
        return int(whole)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        """The amount that was written; sums come as other types of number from some databases."""
        return None if value is None else Decimal(int(value)).scaleb(-LEDGER_PLACES)


class Instant(TypeDecorator[datetime]):
    """An aware datetime as text in UTC: `2026-11-22T18:00:00.000000+00:00`."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The text that is written. Raises ValueError for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time has no zone")
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """The instant that was written, in UTC."""
        return None if value is None else datetime.fromisoformat(value)


class Words(TypeDecorator[str]):
    """Text of any origin, such as a line of a log; what no database takes in it is replaced."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The text that is written."""
        if value is None:
            return None
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


METADATA = MetaData()

INSTALLATION = Table(
    "tidemark_installation",
    METADATA,
    # One row: whose ledger this is. Whoever changes anything locks it first.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("installation", String(32), nullable=False),
    Column("created_at", Instant, nullable=False),
    # The file it was made in, where it is one; a copy has another.
    Column("file_mark", String(64)),
    CheckConstraint("id = 1", name="tidemark_installation_one"),
)

RUNS = Table(
    "tidemark_runs",
    METADATA,
    Column("run_id", String(256), primary_key=True),
    Column("flow_run_id", String(256), unique=True),
    Column("kind", String(64), nullable=False),
    Column("name", String(256)),
    Column("plan_hash", String(64), nullable=False),
    Column("plan", JSON, nullable=False),
    Column("requested_by", String(256)),
    Column("trigger", String(64), nullable=False),
    Column("trigger_ref", Words),
    Column("night", String(10), nullable=False),
    Column("month", String(7), nullable=False),
    Column("state", String(32), nullable=False),
    Column("line", Words, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("outcome", Words),
    Column("exit_status", Integer),
    Column("cancel_asked", Words),
    Index("tidemark_runs_night", "night"),
    Index("tidemark_runs_month", "month"),
)

QUOTES = Table(
    "tidemark_quotes",
    METADATA,
    Column("quote_id", String(256), primary_key=True),
    Column("run_id", String(256), ForeignKey("tidemark_runs.run_id"), nullable=False),
    # Of the quotes of a run, which came first.
    Column("number", Integer, nullable=False),
    Column("document", JSON, nullable=False),
    Index("tidemark_quotes_run", "run_id", "number", unique=True),
)

APPROVALS = Table(
    "tidemark_approvals",
    METADATA,
    Column("approval_id", String(256), primary_key=True),
    Column(
        "quote_id", String(256), ForeignKey("tidemark_quotes.quote_id"), nullable=False, unique=True
    ),
    Column("run_id", String(256), ForeignKey("tidemark_runs.run_id"), nullable=False),
    Column("plan_hash", String(64), nullable=False),
    Column("decision", String(16), nullable=False),
    Column("up_to", Amount),
    Column("currency", String(3)),
    Column("claimed_by", Words, nullable=False),
    Column("channel", Words, nullable=False),
    Column("decided_at", Instant, nullable=False),
    Column("rule", Words),
    Column("reason", Words, nullable=False),
)

RESERVATIONS = Table(
    "tidemark_reservations",
    METADATA,
    Column("run_id", String(256), ForeignKey("tidemark_runs.run_id"), primary_key=True),
    Column("amount", Amount, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("changed_at", Instant, nullable=False),
)

LEASES = Table(
    "tidemark_leases",
    METADATA,
    Column("lease_id", String(256), primary_key=True),
    Column("run_id", String(256), ForeignKey("tidemark_runs.run_id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("region", String(64), nullable=False),
    Column("workspace_id", String(256)),
    Column("resource_id", String(256)),
    Column("owner", Words, nullable=False),
    # Raised at each change of hands: who has an older one owns it no more.
    Column("fence", Integer, nullable=False),
    Column("price_per_hour", Amount),
    Column("currency", String(3)),
    Column("state", String(16), nullable=False),
    Column("intended_at", Instant, nullable=False),
    Column("renewed_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("not_after", Instant, nullable=False),
    Column("released_at", Instant),
    Column("note", Words, nullable=False),
    Column("billable_s", Float, nullable=False),
    Column("metered", Amount),
    Column("metered_at", Instant),
    Index("tidemark_leases_run", "run_id"),
    Index("tidemark_leases_state", "state"),
)
