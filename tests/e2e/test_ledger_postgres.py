"""The ledger on a PostgreSQL server of its own: the tests of the SQLite ledger, and two processes
with one cap."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import mkdtemp
from uuid import uuid4

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

sys.path.insert(0, str(Path(__file__).parent.parent / "money"))

import test_ledger
from money_builders import SetClock, begun, lease, night_cap
from test_ledger_concurrency import TAKEN, UNIT, Flow
from test_ledger_killed import dies_at
from test_ledger_opening import OPEN

from tidemark.errors import ForeignLedger, LedgerAway, LedgerError
from tidemark.money import ledger_schema
from tidemark.money.ledger import Ledger
from tidemark.money.ledger_connection import database_of

# All that a ledger does on SQLite, it does here.
globals().update({name: it for name, it in vars(test_ledger).items() if name.startswith("test_")})

PASSWORD = "canary-password-5e1f"
ROUNDS = int(os.environ.get("LEDGER_SCHEDULES", "1000"))
LIMIT = Decimal(60)


@dataclass(frozen=True)
class Server:
    """A server for the tests alone, which keeps nothing when it ends."""

    binaries: Path
    folder: Path
    port: int

    def url(self, database: str, user: str = "postgres") -> str:
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.port}/{database}"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of its programs, which refuse to be run by root."""
        done = subprocess.run(
            [str(self.binaries / program), *arguments],
            user="postgres" if os.getuid() == 0 else None,
            group="postgres" if os.getuid() == 0 else None,
            cwd=self.folder, env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            timeout=180,
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stderr}"

    def start(self) -> None:
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off "
            f"-c unix_socket_directories={self.folder}"
        )
        log = str(self.folder / "log")
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", "immediate", "stop")

    def do(self, *statements: str) -> None:
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", autocommit=True
        ) as connection:
            for statement in statements:
                connection.execute(statement.encode())


def binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    if found:
        return found[-1]
    there = shutil.which("pg_ctl")
    if there is None:
        pytest.fail("PostgreSQL is not installed: apt-get install postgresql")
    return Path(there).resolve().parent


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    folder = Path(mkdtemp(prefix="tidemark-postgres-"))
    folder.chmod(0o755)
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Server(binaries(), folder, port)
    try:
        server.run(
            "initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "postgres", "-E", "UTF8",
            "--no-sync",
        )  # fmt: skip
        rules = folder / "data" / "pg_hba.conf"
        rules.write_text(f"host all locked all scram-sha-256\n{rules.read_text()}")
        server.start()
        try:
            server.do(
                f"CREATE ROLE locked LOGIN SUPERUSER PASSWORD '{PASSWORD}'",
                "CREATE ROLE reader LOGIN",
                "ALTER ROLE reader SET default_transaction_read_only = on",
            )
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def database(server: Server) -> str:
    name = f"tidemark_{uuid4().hex[:12]}"
    server.do(f"CREATE DATABASE {name}")
    return name


@pytest.fixture
def ledger_url(server: Server, database: str) -> str:
    return server.url(database)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def ledger(ledger_url: str, clock: SetClock) -> Ledger:
    return opened(ledger_url, clock=clock)


def opened(url: str, installation: str | None = "abcd", **more: object) -> Ledger:
    given = {"clock": SetClock(), **more}
    return Ledger.open(url, installation=installation, **given)  # type: ignore[arg-type]


def plain(url: str) -> str:
    return url.replace("+psycopg", "")


def test_a_new_ledger_has_the_tables_that_the_code_knows(ledger_url: str) -> None:
    opened(ledger_url)
    opened(ledger_url)
    with database_of(ledger_url, patience_s=5).reading() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"version_table": ledger_schema.VERSION_TABLE, "compare_type": True},
        )
        assert compare_metadata(context, ledger_schema.METADATA) == []


def test_processes_that_open_a_new_ledger_at_once_share_it(ledger_url: str) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, ledger_url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0] * 4, said
    assert len({installation for installation, _ in said}) == 1


def taken(url: str) -> tuple[Decimal, int]:
    with psycopg.connect(plain(url)) as connection:
        row = connection.execute(TAKEN.encode()).fetchone()
    assert row is not None
    return Decimal(row[0]) * UNIT, int(row[1])


def spend(url: str, run_id: str, rounds: int) -> tuple[Decimal, int, Decimal]:
    """What a process does: rounds of reserving, spending and settling under the shared cap; the
    most that it saw taken, how often it was refused, and what it spent."""
    ledger = opened(url)
    ledger.intend(lease(run_id))
    flow = Flow(ledger, run_id, lambda: taken(url)[0], thrift=1000, most=Decimal(65))
    seen: list[Decimal] = []
    for number in range(rounds):
        flow.go(night_cap(str(LIMIT)), random.Random(f"{run_id} {number}"), seen)
    return max(seen), flow.refused, flow.metered


@pytest.mark.timeout(1800)
def test_a_cap_holds_with_two_processes_at_once(ledger_url: str) -> None:
    begun(opened(ledger_url), "run-1", "run-2")
    spawn = multiprocessing.get_context("spawn")
    most = Decimal(0)
    with ProcessPoolExecutor(2, mp_context=spawn) as processes:
        works = [
            processes.submit(spend, ledger_url, run_id, ROUNDS // 2)
            for run_id in ("run-1", "run-2")
        ]
        while not all(work.done() for work in works):
            most = max(most, taken(ledger_url)[0])
            time.sleep(0.05)
        found = [work.result() for work in works]
    assert max(most, *(seen for seen, _, _ in found)) <= LIMIT
    assert sum(refused for _, refused, _ in found) > ROUNDS / 20
    assert taken(ledger_url) == (sum(metered for _, _, metered in found), 0)


def test_a_killed_process_leaves_no_half_step_and_keeps_nobody_out(ledger: Ledger) -> None:
    begun(ledger, "run-1", "run-2")
    killed = 0
    while dies_at(
        killed + 1, lambda: ledger.reserve("run-1", Decimal(9), "CNY", (night_cap("10"),))
    ):
        killed += 1
        assert not ledger.reservation("run-1").open
        assert ledger.reserve("run-2", Decimal(10), "CNY", (night_cap("10"),)).open
        ledger.settle("run-2")
    assert killed >= 5
    assert ledger.reservation("run-1").amount == 9


def test_tables_of_others_in_the_same_database_are_left_alone(
    server: Server, database: str, ledger_url: str
) -> None:
    with psycopg.connect(plain(ledger_url)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('theirs')")
        connection.execute("CREATE TABLE flow_run (id INTEGER)")
    begun(opened(ledger_url), "run-1")
    with psycopg.connect(plain(ledger_url)) as connection:
        assert connection.execute("SELECT * FROM alembic_version").fetchall() == [("theirs",)]
    assert database in opened(server.url(database)).place


def test_an_empty_database_is_no_ledger_for_who_only_looks(ledger_url: str) -> None:
    with pytest.raises(LedgerError, match="is empty"):
        opened(ledger_url, create=False)
    with psycopg.connect(plain(ledger_url)) as connection:
        asked = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        assert connection.execute(asked).fetchone() == (0,)


def test_ledgers_of_others_and_of_newer_versions_are_refused(ledger_url: str) -> None:
    opened(ledger_url)
    for create in (True, False):
        with pytest.raises(ForeignLedger, match="belongs to installation abcd, and this is efgh"):
            opened(ledger_url, "efgh", create=create)
    with psycopg.connect(plain(ledger_url)) as connection:
        connection.execute("UPDATE tidemark_schema SET version_num = '0099'")
    for create in (True, False):
        with pytest.raises(LedgerError, match="by a newer version of Tidemark"):
            opened(ledger_url, create=create)


def test_what_others_hold_for_long_is_away_and_readers_do_not_wait(ledger_url: str) -> None:
    ledger = opened(ledger_url, patience_s=0.3)
    with psycopg.connect(plain(ledger_url)) as connection:
        connection.execute("SELECT * FROM tidemark_installation FOR UPDATE")
        with pytest.raises(LedgerAway, match="is busy or going down"):
            begun(ledger, "run-1")
        assert ledger.runs() == []
    begun(ledger, "run-1")


def refusal(url: str, **more: object) -> LedgerError:
    with pytest.raises(LedgerError) as refused:
        opened(url, **more)
    shown = f"{refused.value!r} {refused.value} {refused.value.__dict__}"
    assert PASSWORD not in shown
    assert "wrong-password-77" not in shown
    assert refused.value.remedy
    return refused.value


def test_mistakes_in_the_url_are_told_apart_from_what_passes(
    server: Server, database: str, ledger_url: str
) -> None:
    missing = refusal(server.url("nowhere"))
    assert not isinstance(missing, LedgerAway)
    assert 'database "nowhere" does not exist' in str(missing)
    nobody = refusal(server.url(database, "nobody_known"))
    assert not isinstance(nobody, LedgerAway)
    wrong = refusal(server.url(database, "locked:wrong-password-77"))
    assert not isinstance(wrong, LedgerAway)
    assert "authentication failed" in str(wrong)
    # A password in the place of a name, which the server repeats.
    assert 'role "***" does not exist' in str(
        refusal(server.url(database, f"{PASSWORD}:{PASSWORD}"))
    )
    begun(opened(server.url(database, f"locked:{PASSWORD}")), "run-1")
    assert PASSWORD not in repr(opened(server.url(database, f"locked:{PASSWORD}")))
    reader = refusal(server.url(database, "reader"))
    assert not isinstance(reader, LedgerAway)
    assert ledger_url


def test_a_server_that_goes_away_and_comes_back_is_gone_on_with(
    server: Server, ledger_url: str
) -> None:
    ledger = opened(ledger_url, patience_s=2)
    begun(ledger, "run-1")
    server.stop()
    try:
        with pytest.raises(LedgerAway, match="cannot be reached"):
            ledger.runs()
        with pytest.raises(LedgerAway, match="cannot be reached"):
            begun(ledger, "run-2")
    finally:
        server.start()
    begun(ledger, "run-2")
    assert len(ledger.runs()) == 2
