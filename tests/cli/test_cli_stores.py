"""Stores from the command line: their options, and sending what waits for them."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tidemark.cli.stores import say_what_waits
from tidemark.config import load_config
from tidemark.errors import ConfigError
from tidemark.results.outbox import outboxes
from tidemark.results.patience import Patience
from tidemark.results.store import Store, open_store

Command = Callable[..., Any]
OPTIONS = "endpoint_url=http://127.0.0.1:9, sse=aws:kms ,sse_kms_key_id=alias/results"
TABLE = """
[store_options]
sse = "AES256"
anonymous = true
"""


def test_options_come_from_the_variable_then_the_file(command: Command, tmp_path: Path) -> None:
    (tmp_path / "tidemark.toml").write_text(TABLE)
    found = load_config({}, tmp_path)
    assert found.store_options == {"s3": {"sse": "AES256", "anonymous": "true"}}
    assert found.origins["store_options"] == str(tmp_path / "tidemark.toml")
    shown = command("config").out
    assert "store_options = s3.sse=AES256,s3.anonymous=true  (" in shown
    found = load_config({"TIDEMARK_STORE_OPTIONS": OPTIONS}, tmp_path)
    assert found.store_options["s3"] == {
        "endpoint_url": "http://127.0.0.1:9",
        "sse": "aws:kms",
        "sse_kms_key_id": "alias/results",
    }
    assert found.origins["store_options"] == "TIDEMARK_STORE_OPTIONS"
    assert found.options_for("S3://bucket/p") == found.store_options["s3"]
    assert found.options_for("results") == found.options_for("file:///s3://x") == {}


def test_options_stand_beside_the_kind_of_store_that_they_are_for(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "tidemark.toml").write_text("""
        store = "oss://bench@cn-beijing/nightly"
        [store_options]
        sse = "KMS"
        access_key_id = "LTAImadeupmadeup"
        access_key_secret = "env:OSS_SECRET"
        [store_options.s3]
        aws_profile = "harbour"
        """)
    found = load_config({}, tmp_path)
    assert found.options_for(found.store) == {"sse": "KMS"}
    assert found.credentials_for(found.store) == {
        "access_key_id": "LTAImadeupmadeup",
        "access_key_secret": "env:OSS_SECRET",
    }
    assert found.options_for("s3://bucket") == {"profile": "harbour"}
    assert found.credentials_for("s3://bucket") == {}
    shown = command("config").out
    assert "oss.sse=KMS" in shown
    assert "oss.access_key_secret=env:OSS_SECRET" in shown


def test_what_a_reference_leads_to_opens_the_store(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_STORE_OPTIONS", "access_key_id=a,secret_access_key=env:S3_CANARY")
    assert "S3_CANARY is not set" in command("store", "ls", "s3://bucket/p").err
    monkeypatch.setenv("S3_CANARY", "c4nary\nc4nary")
    said = command("store", "ls", "s3://bucket/p")
    assert "line break" in said.err
    assert "c4nary" not in said.err


def test_without_options_the_configuration_says_none(command: Command) -> None:
    assert "store_options = none  (default)" in command("config").out


@pytest.mark.parametrize(
    ("variable", "table", "words"),
    [
        ("sse=aes256", "", "TIDEMARK_STORE_OPTIONS: store_options: .*Did you mean AES256?"),
        ("ssee=AES256", "", "Did you mean sse?"),
        ("sse", "", "option 1: has no value. Write name=value"),
        ("sse=AES256,", "", "option 2: has no value"),
        ("sse=AES256,sse=AES256", "", "given twice"),
        ("secret_access_key=c4nary", "", "secret_access_key is no reference.*env:NAME"),
        ("access_key_id=c4naryc4naryc4naryc4naryc4naryc4nary", "", "access_key_id is no reference"),
        ("azz.azure_account_name=x", "", "no store is called azz://. Did you mean az?"),
        ("az.azure_acount_name=x", "", "Did you mean azure_account_name?"),
        ("", "[store_options.gs]\ngcp_project = 'x'", "Did you mean gcp_project_id?"),
        ("profile=a,aws_profile=b", "", "profile is given twice"),
        ("endpoint_url=http://u:c4nary@127.0.0.1", "", "do not belong into endpoint_url"),
        ("", '[store_options]\nendpont_url = "x"', "tidemark.toml.*Did you mean endpoint_url?"),
        ("", "[store_options]\nsse = 1", "store_options.sse: is not text"),
        ("", 'store_options = "sse=AES256"', "is not a table"),
        ("", '[store_option]\nsse = "AES256"', "Did you mean store_options?"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    tmp_path: Path, variable: str, table: str, words: str
) -> None:
    (tmp_path / "tidemark.toml").write_text(table)
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")) as caught:
        load_config({"TIDEMARK_STORE_OPTIONS": variable}, tmp_path)
    assert "c4nary" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [("report", "--store", "s3://bucket/p"), ("plan", "run:1", "--store", "s3://bucket/p")],
)
def test_commands_open_stores_on_s3_with_the_options(
    command: Command, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("TIDEMARK_STORE_OPTIONS", "profile=harbour-of-nowhere")
    said = command(*arguments)
    assert said.status == 1
    assert "there is no such profile" in said.err


@pytest.fixture
def waiting(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    """A folder whose disk was full, for which two files wait."""
    store = open_store(str(tmp_path / "results"), outbox=tmp_path / "home/outbox")
    assert command("store", "send").out == "nothing waits\n"
    opening = os.open

    def full(path: os.PathLike[str], flags: int, *arguments: int) -> int:
        if flags & os.O_CREAT and Path(path).is_relative_to(tmp_path / "results"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return opening(path, flags, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", full)
        store.files.create("raw/cell/attempt/engine.log", b"line\n")
        store.files.create("runs/date=2026-11-21/run-1.parquet", b"row")
    return store


def test_what_waits_is_told_and_sent(command: Command, waiting: Store, tmp_path: Path) -> None:
    console = Console(record=True, width=200, file=io.StringIO())
    say_what_waits(str(tmp_path / "results"), console)
    line = console.export_text()
    assert "2 files (8 bytes) on this machine" in line
    assert f"tidemark store send {tmp_path / 'results'}" in line
    sent = command("store", "send", str(tmp_path / "results"))
    assert (sent.status, sent.err) == (0, "")
    assert sent.out == f"2 files (8 bytes) sent to {waiting.uri}\n"
    assert (tmp_path / "results/raw/cell/attempt/engine.log").read_bytes() == b"line\n"
    again = command("store", "send", str(tmp_path / "results"))
    assert (again.status, again.out) == (0, f"nothing waits for {waiting.uri}\n")
    say_what_waits(str(tmp_path / "results"), console)
    assert console.export_text() == ""


@pytest.mark.usefixtures("waiting")
def test_what_cannot_be_sent_is_named_with_a_status_of_its_own(
    command: Command, tmp_path: Path
) -> None:
    taken = tmp_path / "results/raw/cell/attempt/engine.log"
    taken.parent.mkdir(parents=True, exist_ok=True)
    taken.write_bytes(b"another's")
    sent = command("store", "send")
    assert sent.status == 3
    assert "1 file (3 bytes) sent" in sent.out
    assert "left raw/cell/attempt/engine.log: the store has other bytes" in sent.err


def test_a_store_that_is_still_away_is_named_and_the_others_are_sent(
    command: Command, waiting: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")
    outbox = tmp_path / "home/outbox"
    options = {"endpoint_url": "http://127.0.0.1:9"}
    once = Patience(tries=1)
    away = open_store("s3://bucket/p", options=options, outbox=outbox, patience=once)
    away.files.create("runs/date=2026-11-21/run-1.parquet", b"row")
    sent = command("store", "send")
    assert sent.status == 1
    assert f"to {waiting.uri}" in sent.out
    assert "not sent: s3://bucket/p/runs" in sent.err
    assert "cannot be reached" in sent.err
    ((label,), _) = outboxes(outbox)
    assert (label.uri, label.options) == ("s3://bucket/p", options)
    # Now as configured: the same store with another profile, then another store of this name.
    monkeypatch.setenv("TIDEMARK_STORE_OPTIONS", "profile=harbour-of-nowhere")
    assert "there is no such profile" in command("store", "send").err
    monkeypatch.setenv("TIDEMARK_STORE_OPTIONS", "endpoint_url=http://127.0.0.1:8")
    assert "127.0.0.1:9" in command("store", "send").err


def test_what_waits_for_one_service_is_not_sent_to_another(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    label = open_store("s3://bucket/p", outbox=tmp_path / "home/outbox").outbox
    assert label is not None
    (label / "runs").mkdir(parents=True)
    (label / "runs/run-1.parquet").write_bytes(b"row")
    (label / "store.json").write_text('{"uri": "s3://bucket/p", "options": {}}')
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    sent = command("store", "send")
    assert sent.status == 1
    assert "Unset AWS_ENDPOINT_URL" in sent.err


def test_what_waits_for_a_folder_is_not_sent_to_another_of_the_same_name(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "a")
    monkeypatch.setattr(os, "link", _full)
    store = open_store("results", outbox=tmp_path / "home/outbox")
    store.files.create("raw/cell/attempt/engine.log", b"line\n")
    monkeypatch.undo()
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "b")
    assert open_store("results", outbox=tmp_path / "home/outbox").waiting().files == 0
    assert "nothing waits for" in command("store", "send", "results").out
    assert "1 file (5 bytes) sent" in command("store", "send").out
    assert (tmp_path / "a/results/raw/cell/attempt/engine.log").read_bytes() == b"line\n"
    assert not (tmp_path / "b/results").exists()


def _full(source: Path, target: Path) -> None:
    if "outbox" in str(target):
        os.rename(source, target)
    else:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))


@pytest.mark.parametrize("arguments", [("ls",), ("check",), ("compact", "--dry-run")])
def test_a_store_that_cannot_be_opened_is_told_in_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for uri, words in (
        ("s3://bucket/p", "no credentials were found"),
        ("pvc://claim-of-nobody/p", "not mounted"),
    ):
        said = command("store", arguments[0], uri, *arguments[1:])
        assert said.status == 1
        assert words in said.err
