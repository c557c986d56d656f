"""Opening a ledger: is it there, is it ours, and are its tables those that this version knows?"""

from __future__ import annotations

import os
import threading
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Select, insert, inspect, select, text, update

from tidemark.errors import ForeignLedger, LedgerError
from tidemark.money.installation import new_id
from tidemark.money.ledger_connection import LedgerDatabase, read_only
from tidemark.money.ledger_schema import INSTALLATION, METADATA, REVISION, VERSION_TABLE

__all__ = [
    "check_installation",
    "claim_file",
    "is_copy",
    "open_existing",
    "open_or_create",
    "upgrade",
]

# Any number that nobody else in the same database uses for an advisory lock.
_ADVISORY_LOCK = 7_434_711_301

_WHOSE: Select[tuple[str]] = select(INSTALLATION.c.installation)

_MARK: Select[tuple[str | None]] = select(INSTALLATION.c.file_mark)

# Alembic keeps what it works on in its module.
_ONE_AT_A_TIME = threading.Lock()


def open_or_create(database: LedgerDatabase, *, installation: str | None, now: datetime) -> str:
    """Make the ledger where there is none, bring its tables up to date, and return whose it is.

    Raises ForeignLedger where that is not `installation`, and LedgerError.
    """
    if database.path is not None:
        with database.errors():
            _make_file(database.path)
    with database.writing() as connection:
        _bring_up_to_date(connection, database)
        found: str | None = connection.execute(_WHOSE).scalar_one_or_none()
        if found is None:
            found = installation or new_id()
            connection.execute(
                insert(INSTALLATION).values(id=1, installation=found, created_at=now)
            )
        if database.path is not None and connection.execute(_MARK).scalar_one() is None:
            claim_file(connection, database.path)
    _check_whose(found, installation, database.place)
    database.use_write_ahead_log()
    return found


def open_existing(
    database: LedgerDatabase, *, installation: str | None, update_tables: bool = False
) -> str:
    """Return whose ledger it is, and write nothing; or, to `update_tables`, bring those of an older
    version up to date.

    Raises LedgerError where there is none, or one of another version, ForeignLedger where it is
    not that of `installation`.
    """
    if database.path is not None:
        with database.errors():
            _check_file(database.path)
    with database.reading() as connection:
        revision = _revision(connection, database.place)
        if revision is None:
            raise LedgerError(
                "is empty", database.place,
                "See that it is the right one: one is made when the first run is begun",
            )  # fmt: skip
        if revision != REVISION and not update_tables:
            raise LedgerError(
                f"is of an older version (revision {revision}, and this needs {REVISION})",
                database.place, "Begin any run: that brings it up to date",
            )  # fmt: skip
        found = connection.execute(_WHOSE).scalar_one_or_none()
    if found is None:
        raise LedgerError("belongs to no installation", database.place, "Begin a run first")
    if installation is None:
        raise LedgerError(
            f"belongs to installation {found}, and this machine has no id yet", database.place,
            f"If it is this machine's, set TIDEMARK_INSTALLATION={found}",
        )  # fmt: skip
    _check_whose(found, installation, database.place)
    if revision != REVISION:
        with database.writing() as connection:
            _bring_up_to_date(connection, database)
    return found


def check_installation(connection: Connection, installation: str, place: str) -> None:
    """See in a transaction that the ledger is still this installation's, and keep others from
    writing to it meanwhile."""
    found = connection.execute(_WHOSE.with_for_update()).scalar_one_or_none()
    if found is None:
        raise LedgerError("belongs to no installation any more", place, "See what emptied it")
    _check_whose(found, installation, place)


def _bring_up_to_date(connection: Connection, database: LedgerDatabase) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
    if _revision(connection, database.place) != REVISION:
        upgrade(connection)


def is_copy(connection: Connection, path: Path) -> bool:
    """Whether the ledger was made in another file than that of `path`: that one may be in use."""
    mark = connection.execute(_MARK).scalar_one_or_none()
    return mark is not None and mark != _file_mark(path)


def claim_file(connection: Connection, path: Path) -> None:
    """Note that the file of `path` is the ledger, whatever it was copied from."""
    connection.execute(update(INSTALLATION).values(file_mark=_file_mark(path)))


def _file_mark(path: Path) -> str:
    # It stays through a restart, a renaming and a new device number; a copy never has the same on
    # the same disk, and hardly on another.
    return f"inode {path.stat().st_ino}"


def upgrade(connection: Connection) -> None:
    """Bring the tables to the newest revision, within the transaction of `connection`."""
    from alembic import command  # seldom needed, and slow to load
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    with _ONE_AT_A_TIME:
        command.upgrade(config, "head")


def _make_file(path: Path) -> None:
    if path.is_dir():
        raise LedgerError("is a folder", str(path), "Name a file in the ledger's URL")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        # Whoever is first makes it; only its owner reads it.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    if os.access(path, os.R_OK) and not os.access(path, os.W_OK):
        # SQLite itself would find out at the first change only.
        raise read_only(str(path))


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise LedgerError("is a folder", str(path), "Name a file in the ledger's URL")
    if not path.exists():
        raise LedgerError(
            "is not there", str(path),
            "See that the ledger's URL is right: one is made when the first run is begun",
        )  # fmt: skip


def _revision(connection: Connection, place: str) -> str | None:
    """The revision of the tables, None where there are none of ours.

    Raises LedgerError for one that this version does not know, and for another program's file.
    """
    names = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in names:
        # A server's database may hold other things too; a file is a ledger's alone.
        ours = set(METADATA.tables) & names
        if ours or (names and connection.dialect.name == "sqlite"):
            found = sorted(ours or names)[0]
            raise LedgerError(
                f"is no ledger: it has a table {found}, and none that tells its version", place,
                "Name a file of its own in the ledger's URL",
            )  # fmt: skip
        return None
    asked = text(f"SELECT version_num FROM {VERSION_TABLE}")
    revision = connection.execute(asked).scalar_one_or_none()
    if revision is not None and str(revision) > REVISION:
        raise LedgerError(
            f"was written by a newer version of Tidemark (revision {revision}, and this knows "
            f"{REVISION})", place, "Upgrade Tidemark on this machine",
        )  # fmt: skip
    return None if revision is None else str(revision)


def _check_whose(found: str, installation: str | None, place: str) -> None:
    if installation is not None and found != installation:
        raise ForeignLedger(
            f"belongs to installation {found}, and this is {installation}", place,
            "Correct the ledger's URL; or, where machines share one ledger, set "
            f"TIDEMARK_INSTALLATION={found} on each",
        )  # fmt: skip
