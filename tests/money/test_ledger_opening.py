"""Ledgers that cannot be used, each told apart; and the tables, which are brought up to date."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from money_builders import NOW, SetClock, begun

from tidemark.errors import ConfigError, ForeignLedger, LedgerAway, LedgerError, TidemarkError
from tidemark.money import ledger_schema
from tidemark.money.ledger import Ledger
from tidemark.money.ledger_connection import database_of

PASSWORD = "canary-password-5e1f"


def opened(url: str, installation: str | None = "abcd", **more: object) -> Ledger:
    given = {"clock": SetClock(), **more}
    return Ledger.open(url, installation=installation, **given)  # type: ignore[arg-type]


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"


def test_a_new_ledger_has_the_tables_that_the_code_knows(ledger_url: str) -> None:
    opened(ledger_url).close()
    with database_of(ledger_url, patience_s=5).reading() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"version_table": ledger_schema.VERSION_TABLE, "compare_type": True},
        )
        assert compare_metadata(context, ledger_schema.METADATA) == []
        assert context.get_current_revision() == ledger_schema.REVISION


def test_the_newest_step_is_the_revision_that_the_code_expects() -> None:
    config = Config()
    folder = Path(ledger_schema.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == ledger_schema.REVISION


def test_opening_again_changes_nothing(ledger_url: str) -> None:
    begun(opened(ledger_url), "run-1")
    with database_of(ledger_url, patience_s=5).reading() as connection:
        schema = list(connection.exec_driver_sql("SELECT sql FROM sqlite_master"))
    for _ in range(2):
        assert opened(ledger_url).run("run-1").created_at == NOW
    with database_of(ledger_url, patience_s=5).reading() as connection:
        assert list(connection.exec_driver_sql("SELECT sql FROM sqlite_master")) == schema


OPEN = """
import sys
from tidemark.clock import SystemClock
from tidemark.money.ledger import Ledger
print("ready", flush=True)
sys.stdin.readline()
print(Ledger.open(sys.argv[1], installation=None, clock=SystemClock()).installation)
"""


def test_processes_that_open_a_new_ledger_at_once_share_it(ledger_url: str) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, ledger_url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    assert len({installation for installation, _ in said}) == 1


def test_only_its_owner_reads_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "home" / "ledger.db"
    opened(sqlite_url(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_ledger_keeps_the_id_it_was_made_with(ledger_url: str) -> None:
    made = opened(ledger_url, None).installation
    assert len(made) == 12
    assert opened(ledger_url, None).installation == made
    assert opened(ledger_url, made, create=False).installation == made


@pytest.mark.parametrize("create", [True, False])
def test_another_installation_is_refused(ledger_url: str, create: bool) -> None:
    opened(ledger_url)
    with pytest.raises(ForeignLedger, match="belongs to installation abcd, and this is efgh"):
        opened(ledger_url, "efgh", create=create)


def test_a_ledger_is_not_taken_for_ours_without_an_id(ledger_url: str) -> None:
    opened(ledger_url)
    with pytest.raises(LedgerError, match="set TIDEMARK_INSTALLATION=abcd"):
        opened(ledger_url, None, create=False)


def test_a_ledger_that_is_exchanged_under_way_is_noticed(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.db", tmp_path / "theirs.db"
    ledger = opened(sqlite_url(ours))
    opened(sqlite_url(theirs), "efgh")
    shutil.copy(theirs, ours)
    with pytest.raises(ForeignLedger):
        begun(ledger, "run-1")
    ours.unlink()
    with pytest.raises(LedgerError, match="cannot be opened"):
        begun(ledger, "run-1")
    assert not ours.exists()
    ours.touch()
    with pytest.raises(LedgerError, match="cannot be used"):
        ledger.runs()


def test_what_is_missing_is_not_made_by_looking(tmp_path: Path) -> None:
    path = tmp_path / "none" / "ledger.db"
    with pytest.raises(LedgerError, match="is not there"):
        opened(sqlite_url(path), create=False)
    assert not path.parent.exists()


@pytest.mark.parametrize("create", [True, False])
def test_an_empty_file_is_a_ledger_only_for_who_may_make_one(tmp_path: Path, create: bool) -> None:
    path = tmp_path / "ledger.db"
    path.touch()
    if create:
        assert opened(sqlite_url(path)).is_empty()
        return
    with pytest.raises(LedgerError, match="is empty"):
        opened(sqlite_url(path), create=False)
    assert path.stat().st_size == 0


@pytest.mark.parametrize("create", [True, False])
def test_files_that_are_no_ledger(tmp_path: Path, create: bool) -> None:
    words = tmp_path / "words.db"
    words.write_text("Prices of machines, by hand. " * 100)
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE flow_run (id TEXT)")
    under_a_file = words / "ledger.db"
    cases = {words: "is no ledger, or it is damaged", foreign: "has a table flow_run",
             tmp_path: "is a folder", under_a_file: "cannot be opened|is not there"}  # fmt: skip
    for path, message in cases.items():
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(LedgerError, match=message) as refused:
            opened(sqlite_url(path), create=create)
        assert refused.value.where == str(path)
        assert refused.value.remedy
        assert before is None or path.read_bytes() == before


@pytest.mark.parametrize("create", [True, False])
def test_a_ledger_of_a_newer_version_is_left_alone(tmp_path: Path, create: bool) -> None:
    path = tmp_path / "ledger.db"
    opened(sqlite_url(path))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {ledger_schema.VERSION_TABLE} SET version_num = '0099'")
    with pytest.raises(LedgerError, match=r"by a newer version of Tidemark .*0099"):
        opened(sqlite_url(path), create=create)


def test_a_ledger_of_an_older_version_is_not_changed_by_looking(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(ledger_url)
    monkeypatch.setattr("tidemark.money.ledger_opening.REVISION", "0003")
    with pytest.raises(LedgerError, match="is of an older version"):
        opened(ledger_url, create=False)


def of_revision_1(path: Path) -> None:
    """As the first version left it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE tidemark_installation DROP COLUMN file_mark")
        connection.execute(f"UPDATE {ledger_schema.VERSION_TABLE} SET version_num = '0001'")


def test_a_ledger_of_the_first_version_is_brought_up_to_date_with_all_that_is_in_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.db"
    begun(opened(sqlite_url(path)), "run-1")
    of_revision_1(path)
    ledger = opened(sqlite_url(path))
    assert ledger.run("run-1").created_at == NOW
    assert not ledger.is_copy()
    assert Ledger.open(sqlite_url(path), installation="abcd", clock=SetClock(), create=False).run(
        "run-1"
    )


def test_who_acts_on_a_ledger_of_an_older_version_may_bring_it_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    opened(sqlite_url(path))
    of_revision_1(path)
    with pytest.raises(ForeignLedger):
        opened(sqlite_url(path), "efgh", create=False, update_tables=True)
    with pytest.raises(LedgerError, match="is of an older version"):
        opened(sqlite_url(path), create=False)
    opened(sqlite_url(path), create=False, update_tables=True)
    opened(sqlite_url(path), create=False)
    with pytest.raises(LedgerError, match="is not there"):
        opened(sqlite_url(tmp_path / "other.db"), create=False, update_tables=True)


def test_a_copy_of_a_ledger_is_told_from_the_ledger(tmp_path: Path) -> None:
    path, copied, moved = tmp_path / "ledger.db", tmp_path / "copy.db", tmp_path / "moved.db"
    opened(sqlite_url(path))
    shutil.copyfile(path, copied)
    assert opened(sqlite_url(copied)).is_copy()
    assert opened(sqlite_url(copied), create=False).is_copy()
    assert not opened(sqlite_url(path)).is_copy()
    path.rename(moved)
    assert not opened(sqlite_url(moved)).is_copy()
    opened(sqlite_url(copied)).claim_file()
    assert not opened(sqlite_url(copied)).is_copy()


def test_a_ledger_without_its_version_is_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    opened(sqlite_url(path))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"DROP TABLE {ledger_schema.VERSION_TABLE}")
    with pytest.raises(LedgerError, match="none that tells its version"):
        opened(sqlite_url(path))


def test_a_ledger_that_others_hold_is_away(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = opened(sqlite_url(path), patience_s=0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerAway, match=r"is locked by another process, for longer than 0\.1"):
            begun(ledger, "run-1")
        with pytest.raises(LedgerAway):
            opened(sqlite_url(path), patience_s=0.1)
        # Who only reads does not wait.
        assert ledger.runs() == []
        connection.execute("ROLLBACK")
    begun(ledger, "run-1")


def as_nobody(work: Callable[[], object]) -> str:
    """What an error says that work ends with, when it is done by a user without rights."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            work()
        except BaseException as error:
            os.write(theirs, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(theirs)
    os.waitpid(child, 0)
    with open(ours, encoding="utf-8") as said:
        return said.read()


@pytest.mark.parametrize("create", [True, False])
def test_a_read_only_ledger_is_told_as_such(create: bool) -> None:
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        path = Path(folder) / "ledger.db"
        begun(opened(sqlite_url(path)), "run-1")
        path.chmod(0o444)
        said = as_nobody(lambda: begun(opened(sqlite_url(path), create=create), "run-2"))
        assert said.startswith(f"LedgerError: {path}: cannot be written: the file or its folder is")
        if create:
            # It is known before a run is begun.
            assert as_nobody(lambda: opened(sqlite_url(path))) == said
        path.chmod(0)
        said = as_nobody(lambda: opened(sqlite_url(path), create=create))
        assert said.startswith(f"LedgerError: {path}: cannot be opened")


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("ledger.db", "Write sqlite:"),
        ("sqlite3:///ledger.db", "Did you mean sqlite?"),
        ("postgres://db/tidemark", "Did you mean postgresql?"),
        ("postgresql+psycopg2://db/tidemark", "Did you mean postgresql"),
        ("mysql://db/tidemark", "Write sqlite:"),
        ("sqlite://", "Write sqlite:"),
        ("sqlite:///:memory:", "Write sqlite:"),
        ("sqlite://home/ledger.db", "four slashes"),
        (f"postgresql://user:{PASSWORD}@db:port/tidemark", "Write sqlite:"),
        (f"postgresql://user:{PASSWORD}@db:5432", "Write sqlite:"),
        (f"{PASSWORD}://user@db:5432/x", "Write sqlite:"),
    ],
)
def test_a_url_that_is_none(url: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as refused:
        opened(url)
    assert remedy in str(refused.value.remedy)
    assert PASSWORD not in repr(refused.value) + str(refused.value)


def test_a_server_out_of_reach_is_away_and_the_password_stays_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("psycopg")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    at = f"127.0.0.1:{port}"
    for url, secrets in (
        (f"postgresql://user:{PASSWORD}@{at}/tidemark", ()),
        (f"postgresql+psycopg://{at}/tidemark?user=u&password={PASSWORD}", ()),
        (f"postgresql://user:{PASSWORD}%20x@{at}/tidemark?connect_timeout=3", ()),
    ):
        for create in (True, False):
            with pytest.raises(LedgerAway, match="cannot be reached") as refused:
                opened(url, create=create, patience_s=2)
            shown = f"{refused.value!r} {refused.value} {refused.value.__dict__} {secrets}"
            assert PASSWORD not in shown
            assert refused.value.where == f"postgresql://{at}/tidemark"
    assert PASSWORD not in repr(database_of(url, patience_s=2))
    assert PASSWORD not in caplog.text


def test_an_option_that_no_server_knows_is_a_mistake_and_not_passing() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(LedgerError) as refused:
        opened(f"postgresql://user:{PASSWORD}@127.0.0.1:1/tidemark?sslmod=require")
    assert not isinstance(refused.value, LedgerAway)
    assert PASSWORD not in str(refused.value)


def test_a_ledger_shows_where_it_is(ledger_url: str, tmp_path: Path) -> None:
    ledger = opened(ledger_url)
    assert ledger.place == str(tmp_path / "ledger.db")
    assert repr(ledger) == f"Ledger({ledger.place!r}, installation='abcd')"
    assert issubclass(LedgerAway, TidemarkError)


def test_an_at_sign_in_a_password_shows_nothing_of_it() -> None:
    with pytest.raises(ConfigError, match="more than one @") as refused:
        Ledger.open(
            "postgresql://u:canary1@canary2@localhost/db", installation="abcd", clock=SetClock()
        )
    assert "canary" not in str(refused.value)
