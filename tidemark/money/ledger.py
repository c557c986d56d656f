"""The ledger: what was quoted, approved, reserved, spent and made; on SQLite or PostgreSQL.

Each method is one transaction, kept whole or not at all, also when the process is killed in it.
Methods block: call them from a thread (`asyncio.to_thread`). All raise LedgerAway where the
database is out of reach or held by others, which may pass, and LedgerError otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Self

from sqlalchemy import Connection

from tidemark.clock import Clock
from tidemark.errors import CapReached, ForeignLedger, LedgerAway, LedgerError, NotTheOwner
from tidemark.money import ledger_leases, ledger_runs, ledger_sums
from tidemark.money.approval import Approval
from tidemark.money.ledger_connection import LedgerDatabase, database_of
from tidemark.money.ledger_opening import (
    check_installation,
    claim_file,
    is_copy,
    open_existing,
    open_or_create,
)
from tidemark.money.ledger_records import (
    ENDED,
    STATES,
    Lease,
    LedgerRun,
    LedgerSummary,
    Reservation,
    ScopeTotal,
)
from tidemark.money.policy import Cap, Spent
from tidemark.money.quote import Quote

__all__ = [
    "ENDED",
    "STATES",
    "CapReached",
    "ForeignLedger",
    "Lease",
    "Ledger",
    "LedgerAway",
    "LedgerError",
    "LedgerRun",
    "LedgerSummary",
    "NotTheOwner",
    "Reservation",
    "ScopeTotal",
]


class Ledger:
    """The ledger of one installation. Any number of processes and threads may have it open."""

    def __init__(self, database: LedgerDatabase, installation: str, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.installation = installation

    def __repr__(self) -> str:
        return f"Ledger({self.place!r}, installation={self.installation!r})"

    @classmethod
    def open(
        cls,
        url: str,
        *,
        installation: str | None,
        clock: Clock,
        create: bool = True,
        update_tables: bool = False,
        patience_s: float = 15.0,
    ) -> Self:
        """Open the ledger of a URL: `sqlite:////folder/ledger.db` or
        `postgresql+psycopg://user:password@host/name` (extra `postgres`).

        With `create` it is made where it is missing, and its tables are brought up to date; without
        an `installation` it keeps its own, or gets a new one. Otherwise nothing is written, and
        what is missing, empty or of another version is refused; only tables of an older version are
        brought up to date where `update_tables` says so. Others who write are waited for up to
        `patience_s`.

        Raises ConfigError for what is no URL of a database, LedgerAway where it cannot be reached
        just now, ForeignLedger for that of another installation, and LedgerError.
        """
        database = database_of(url, patience_s=patience_s)
        if create:
            now = datetime.fromtimestamp(clock.time(), UTC)
            found = open_or_create(database, installation=installation, now=now)
        else:
            found = open_existing(database, installation=installation, update_tables=update_tables)
        return cls(database, found, clock)

    @property
    def place(self) -> str:
        """Where it is, without what is secret: a path, or a server and database."""
        return self._database.place

    def close(self) -> None:
        """Let go of what it holds."""
        self._database.engine.dispose()

    def begin_run(self, run: LedgerRun) -> LedgerRun:
        """Note a run and return it; or the one that is noted for its flow run or id."""
        with self._writing() as connection:
            return ledger_runs.begin_run(connection, run)

    def run(self, beginning: str) -> LedgerRun:
        """The run whose id, or flow run's id, begins so. LedgerError for none or several."""
        with self._database.reading() as connection:
            return ledger_runs.find_run(connection, beginning)

    def runs(self, *, states: Collection[str] = (), limit: int = 100) -> list[LedgerRun]:
        """The newest runs first; those in `states`, or all."""
        with self._database.reading() as connection:
            return ledger_runs.list_runs(connection, states, limit)

    def say(
        self,
        run_id: str,
        *,
        state: str | None = None,
        line: str | None = None,
        outcome: str | None = None,
        exit_status: int | None = None,
    ) -> None:
        """Note how far a run is; what is None stays. A run that has ended keeps its state."""
        with self._writing() as connection:
            ledger_runs.say(
                connection, run_id, now=self._now(), state=state, line=line, outcome=outcome,
                exit_status=exit_status,
            )  # fmt: skip

    def ask_to_cancel(self, run_id: str, by: str) -> None:
        """Note who wants a run to end. Raises RefusedError for one that is over."""
        with self._writing() as connection:
            ledger_runs.ask_to_cancel(connection, run_id, by, self._now())

    def keep_quote(self, quote: Quote) -> None:
        """Note a quote of a run. The same again changes nothing; its id with other values is
        refused."""
        with self._writing() as connection:
            ledger_runs.keep_quote(connection, quote)

    def quotes(self, run_id: str) -> list[Quote]:
        """All quotes of a run, the first one first."""
        with self._database.reading() as connection:
            return ledger_runs.quotes_of(connection, run_id)

    def last_quote(self, run_id: str) -> Quote | None:
        """The newest quote of a run."""
        return next(reversed(self.quotes(run_id)), None)

    def keep_approval(self, approval: Approval) -> Approval:
        """Note a decision on a quote. A quote has one: the first stands, and is returned."""
        with self._writing() as connection:
            return ledger_runs.keep_approval(connection, approval)

    def approval(self, quote_id: str) -> Approval | None:
        """The decision on a quote, if there is one."""
        with self._database.reading() as connection:
            return ledger_runs.approval_of(connection, quote_id)

    def spent(
        self,
        *,
        night: str,
        month: str,
        person: str | None,
        currency: str,
        without_run: str | None = None,
    ) -> Spent:
        """What runs reserved or spent in a night, a month, and of it for a person (None: for
        nobody named). `without_run` leaves one out: the run that is asked about."""
        with self._database.reading() as connection:
            return ledger_sums.spent(
                connection, night=night, month=month, person=person, currency=currency,
                without_run=without_run,
            )  # fmt: skip

    def reserve(
        self,
        run_id: str,
        amount: Decimal,
        currency: str,
        caps: Sequence[Cap],
        *,
        night: str | None = None,
        month: str | None = None,
    ) -> Reservation:
        """Reserve `amount` for a run in all, what it has spent included.

        As much or less than it holds changes nothing. More is reserved only where no cap would be
        passed: else CapReached, and nothing changes. `night` and `month` are those that the run
        counts to, where it waited since it began. Raises RefusedError across currencies.
        """
        with self._writing() as connection:
            return ledger_sums.reserve(
                connection, run_id, amount, currency, caps, self._now(), night=night, month=month
            )

    def reservation(self, run_id: str) -> Reservation:
        """What a run reserved and spent."""
        with self._database.reading() as connection:
            return ledger_sums.reservation_of(connection, run_id)

    def meter(
        self, lease_id: str, *, billable_s: float, amount: Decimal | None, at: datetime
    ) -> None:
        """Note machine-seconds and cost of a lease up to `at`; what was noted is never lowered.

        Amounts are rounded up. None: the cost is not known, and what was noted stays.
        """
        with self._writing() as connection:
            ledger_sums.meter(connection, lease_id, billable_s=billable_s, amount=amount, at=at)

    def settle(self, run_id: str) -> Reservation:
        """Free what a run reserved and did not spend; again changes nothing."""
        with self._writing() as connection:
            return ledger_sums.settle(connection, run_id, self._now())

    def intend(self, lease: Lease) -> tuple[Lease, bool]:
        """Note a resource before it is made; return its lease and whether it was noted before.

        One that is noted is taken over, with a higher fence, where it has expired, was released, or
        is the same owner's. Else NotTheOwner says whose it is and until when.
        """
        with self._writing() as connection:
            return ledger_leases.intend(connection, lease, self._now())

    def created(self, lease: Lease, resource_id: str) -> Lease:
        """Note the id of what was made. Raises NotTheOwner where the lease changed hands."""
        with self._writing() as connection:
            return ledger_leases.created(connection, lease, resource_id)

    def renew(self, lease: Lease, expires_at: datetime) -> Lease:
        """Keep a lease until `expires_at`, at most its `not_after`.

        Raises NotTheOwner where it changed hands or was released.
        """
        with self._writing() as connection:
            return ledger_leases.renew(connection, lease, expires_at, self._now())

    def check(self, lease: Lease) -> None:
        """See that something may be made under a lease right now.

        Raises NotTheOwner where it changed hands, was released, or has expired.
        """
        with self._database.reading() as connection:
            ledger_leases.check(connection, lease, self._now())

    def seize(self, lease_id: str, *, owner: str, now: datetime, until: datetime) -> Lease | None:
        """Take over a lease that expired by `now`; None where it was renewed or released."""
        with self._writing() as connection:
            return ledger_leases.seize(connection, lease_id, owner=owner, now=now, until=until)

    def release(self, lease: Lease, note: str = "") -> Lease:
        """Note that a resource is no more; again changes nothing.

        Raises NotTheOwner where the lease changed hands.
        """
        with self._writing() as connection:
            return ledger_leases.release(connection, lease, note, self._now())

    def leases(self, *, run_id: str | None = None, unreleased: bool = False) -> list[Lease]:
        """Leases in the order in which they were noted."""
        with self._database.reading() as connection:
            return ledger_leases.leases_of(connection, run_id, unreleased)

    def is_empty(self) -> bool:
        """Whether no lease was ever noted in it."""
        with self._database.reading() as connection:
            return ledger_leases.count_leases(connection) == 0

    def is_copy(self) -> bool:
        """Whether its file is another than it was made in: a copy, or restored, or moved to another
        disk. Who has the original may look after what stands in both. Never so on a server."""
        if self._database.path is None:
            return False
        with self._database.reading() as connection:
            return is_copy(connection, self._database.path)

    def claim_file(self) -> None:
        """Note that its file is the ledger from now on, and no other copy of it is in use."""
        if self._database.path is not None:
            with self._writing() as connection:
                claim_file(connection, self._database.path)

    def summary(self, *, limit: int = 12) -> LedgerSummary:
        """What was reserved and spent in the newest nights and months, and by persons in them, at
        most `limit` of each and currency; and the leases that are not released."""
        with self._database.reading() as connection:
            return LedgerSummary(
                self.installation,
                ledger_sums.totals(connection, limit),
                tuple(ledger_leases.leases_of(connection, None, unreleased=True)),
            )

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._database.writing() as connection:
            check_installation(connection, self.installation, self.place)
            yield connection

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), UTC)
