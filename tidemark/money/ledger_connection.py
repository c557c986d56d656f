"""Connections to the ledger's database, one transaction each, and its errors in plain words.

No connection outlives its transaction: none goes stale, and none is shared between processes.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    NoSuchModuleError,
    OperationalError,
    StatementError,
)
from sqlalchemy.pool import NullPool

from tidemark.errors import ConfigError, LedgerAway, LedgerError
from tidemark.plan.problems import did_you_mean

__all__ = ["LedgerDatabase", "database_of", "read_only"]

_WHERE = "ledger"
_EXAMPLES = (
    "Write sqlite:////folder/ledger.db, or postgresql+psycopg://user:password@host:5432/name"
)
_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}

# Errors of PostgreSQL by their code (SQLSTATE): what others hold, or a server that goes down.
_PASSING = {"40001", "40P01", "55P03", "57014", "57P01", "57P02", "57P03", "53300", "25P03"}
_READ_ONLY = {"25006", "42501"}
_NO_TABLE = {"42P01", "42703", "3F000"}
# Classes of codes: the connection, who may connect, which database, the server's own troubles.
_CONNECTION = {"08", "28", "3D", "57", "58"}
# Errors while connecting often have no code, only words.
_MISTAKES = re.compile(
    r"authentication failed|does not exist|no pg_hba\.conf entry|invalid connection option"
    r"|no password supplied|permission denied|certificate|root\.crt",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LedgerDatabase:
    """Where the ledger is. `place` names it without a password; `path` is its file, for SQLite."""

    place: str
    path: Path | None
    engine: Engine = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    patience_s: float

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in a transaction that sees one state and changes nothing."""
        with self._transaction(write=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction that is kept whole or not at all; with SQLite the only one
        that writes. Raises LedgerAway where others write for longer than the patience."""
        with self._transaction(write=True) as connection:
            yield connection

    def use_write_ahead_log(self) -> None:
        """Let whoever reads an SQLite file not wait for whoever writes it: once for each file."""
        if self.path is None:
            return
        with self.errors(), self.engine.connect() as connection:
            try:
                connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            except DBAPIError as error:
                # While others are at it, it stays as it is, which is slower and as safe.
                if not _is_busy(error.orig):
                    raise

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Connection]:
        with self.errors():
            connection = self.engine.connect()
            try:
                if self.path is not None:
                    self._begin(connection, "BEGIN IMMEDIATE" if write else "BEGIN")
                elif not write:
                    connection.execution_options(
                        isolation_level="REPEATABLE READ", postgresql_readonly=True
                    )
                yield connection
                connection.commit()
            finally:
                # What is not committed is rolled back.
                connection.close()

    def _begin(self, connection: Connection, begin: str) -> None:
        # SQLite answers at once, without waiting, while another recovers or closes the file.
        deadline = time.monotonic() + self.patience_s
        while True:
            try:
                connection.exec_driver_sql(begin)
            except DBAPIError as error:
                if not _is_busy(error.orig) or time.monotonic() >= deadline:
                    raise
                connection.rollback()
                time.sleep(0.01)
            else:
                return

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Errors of the database as LedgerError and LedgerAway, without what is secret in them."""
        try:
            yield
        except (StatementError, sqlite3.Error, OSError) as error:
            raise self._explained(error) from None

    def _explained(self, error: Exception) -> LedgerError:
        cause = error.orig if isinstance(error, StatementError) and error.orig else error
        words = self._without_secrets(str(cause))
        if isinstance(cause, sqlite3.Error):
            return self._sqlite_error(cause, words)
        if isinstance(cause, OSError):
            reason = cause.strerror or words
            return LedgerError(
                f"cannot be opened ({reason})", self.place, "See to the folder, and its owner"
            )
        if isinstance(error, DBAPIError):
            return self._postgres_error(error, cause, words)
        return LedgerError(f"cannot hold this value ({words})", self.place, "Correct the value")

    def _sqlite_error(self, cause: sqlite3.Error, words: str) -> LedgerError:
        # Extended codes carry the plain one in their last byte.
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return LedgerAway(
                f"is locked by another process, for longer than {self.patience_s:g} s", self.place,
                "Try again in a moment; a backup or a shell may have it open",
            )  # fmt: skip
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            return read_only(self.place)
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return LedgerError(
                f"is no ledger, or it is damaged ({words})", self.place,
                "Put the file back from a backup; until then nothing is started or stopped",
            )  # fmt: skip
        if code == sqlite3.SQLITE_CANTOPEN:
            return LedgerError(
                "cannot be opened",
                self.place,
                "See that it is there, and that it and its folder can be read and written",
            )
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return LedgerAway(
                f"cannot be written just now ({words})", self.place, "See to the disk it is on"
            )
        return LedgerError(f"cannot be used ({words})", self.place, "See what changed the file")

    def _postgres_error(self, error: DBAPIError, cause: BaseException, words: str) -> LedgerError:
        code = getattr(cause, "sqlstate", None) or ""
        if code in _PASSING:
            return LedgerAway(
                f"is busy or going down ({words})", self.place, "Try again in a moment"
            )
        if code in _READ_ONLY:
            return LedgerError(
                f"cannot be written ({words})", self.place, "Give its user leave to write"
            )
        if code in _NO_TABLE:
            return LedgerError(
                f"has not the tables of a ledger ({words})", self.place,
                "See that the URL names the right database",
            )  # fmt: skip
        if (code and code[:2] not in _CONNECTION) or not isinstance(error, OperationalError):
            return LedgerError(f"cannot do this ({words})", self.place, "See the server's log")
        if code[:2] == "28" or _MISTAKES.search(words):
            return LedgerError(
                f"refuses us ({words})", self.place,
                "Correct the URL of the ledger, or what the server allows",
            )  # fmt: skip
        return LedgerAway(
            f"cannot be reached ({words})", self.place, "See that the server runs and is in reach"
        )

    def _without_secrets(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())


def read_only(place: str) -> LedgerError:
    """The error for a file that can be read and not written."""
    return LedgerError(
        "cannot be written: the file or its folder is read-only", place,
        "Make it writable for whoever runs this",
    )  # fmt: skip


def database_of(url: str, *, patience_s: float) -> LedgerDatabase:
    """The database of a URL; nothing is opened yet. Raises ConfigError for what is no URL of one.

    Others that write are waited for up to `patience_s`.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, patience_s)
    return _postgres(parsed, patience_s)


def _parsed(url: str) -> URL:
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise ConfigError("is no URL of a database", _WHERE, _EXAMPLES)
    driver = _DRIVERS.get(scheme)
    if driver is None:
        near = did_you_mean(scheme, _DRIVERS)
        # A scheme may be a secret that was typed into the wrong place.
        remedy = near if near.startswith("Did") else _EXAMPLES
        raise ConfigError("names no database that a ledger can be in", _WHERE, remedy)
    try:
        parsed = make_url(url).set(drivername=driver)
    except (ArgumentError, ValueError):
        # Their words repeat the URL, with its password.
        raise ConfigError("is no URL of a database", _WHERE, _EXAMPLES) from None
    if "@" in (parsed.host or ""):
        # What stands before it is the end of a password, and would be shown as part of the host.
        raise ConfigError(
            "has more than one @", _WHERE, "Write %40 for an @ in the name or the password"
        )
    if driver == "sqlite":
        if parsed.host or parsed.username or parsed.query or parsed.port:
            raise ConfigError(
                "names more than a file", _WHERE, "Write sqlite:////folder/ledger.db, four slashes"
            )
        if not parsed.database or parsed.database == ":memory:":
            raise ConfigError("would forget all when this process ends", _WHERE, _EXAMPLES)
    elif not parsed.database:
        raise ConfigError("names no database", _WHERE, _EXAMPLES)
    return parsed


def _sqlite(url: URL, patience_s: float) -> LedgerDatabase:
    path = Path(str(url.database)).expanduser().absolute()

    def connect() -> sqlite3.Connection:
        # Never makes a file: an emptied ledger must not look like a new one.
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw", uri=True, timeout=patience_s, isolation_level=None,
            check_same_thread=False,
        )  # fmt: skip
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            # What was answered is on the disk, also when the power fails.
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)
    return LedgerDatabase(str(path), path, engine, (), patience_s)


def _postgres(url: URL, patience_s: float) -> LedgerDatabase:
    try:
        engine = create_engine(
            url, poolclass=NullPool, hide_parameters=True,
            connect_args={"connect_timeout": max(2, round(patience_s))},
        )  # fmt: skip
    except ImportError:
        raise ConfigError(
            "needs a client of PostgreSQL", _WHERE, "Install tidemark[postgres]"
        ) from None
    except (NoSuchModuleError, ArgumentError, TypeError):
        raise ConfigError("is no URL of a database", _WHERE, _EXAMPLES) from None
    event.listen(engine, "connect", _with_time_limits(patience_s))
    secrets = {url.password, *_values(url.query.get("password"))}
    where = f"{url.host or 'localhost'}:{url.port or 5432}"
    return LedgerDatabase(
        f"postgresql://{where}/{url.database}", None, engine,
        tuple(str(secret) for secret in secrets if secret), patience_s,
    )  # fmt: skip


def _with_time_limits(patience_s: float) -> Callable[[sqlite3.Connection, object], None]:
    def limit(connection: sqlite3.Connection, record: object) -> None:  # noqa: ARG001
        wait_ms = round(patience_s * 1000)
        with closing(connection.cursor()) as cursor:
            # A process that was stopped in the middle must not keep others out for ever.
            cursor.execute(
                f"SET lock_timeout = {wait_ms}; SET statement_timeout = {wait_ms + 15_000}; "
                "SET idle_in_transaction_session_timeout = 60000"
            )
        connection.commit()

    return limit


def _values(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


def _is_busy(cause: BaseException | None) -> bool:
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
