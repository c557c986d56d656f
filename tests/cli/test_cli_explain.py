"""`tidemark explain`: what a person reads, what a program reads, and the exit status."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tidemark.alibaba.explanations import KINDS, TABLE

Command = Callable[..., Any]


@pytest.fixture
def piped(command: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Types `tidemark explain` with something on standard input."""

    def typed(data: bytes, *arguments: str) -> Any:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        return command("explain", *arguments)

    return typed


def test_a_code_is_explained_for_people(command: Command) -> None:
    said = command("explain", "imagepullbackoff")
    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "ImagePullBackOff  waiting reason"
    assert lines[1].startswith("  The image could not be pulled")
    assert "  because    1. The address or the tag is wrong" in lines
    assert any(line.startswith("  do         1. ") for line in lines)
    assert "  ask again  later" in lines
    assert any(line.startswith("  billed     ") for line in lines)
    assert "  see        https://kubernetes.io/docs/concepts/containers/images/" in lines


def test_long_sentences_are_wrapped_under_their_beginning(command: Command) -> None:
    lines = command("explain", "Throttling.User").out.splitlines()
    assert max(map(len, lines)) <= 100
    (first,) = [place for place, line in enumerate(lines) if line.startswith("  do         1. ")]
    assert lines[first + 1].startswith(" " * 16)


def test_words_need_no_quotes(command: Command) -> None:
    assert command("explain", "exit", "code", "137").out.startswith("exit code 137  exit code\n")


def test_each_kind_that_has_the_status_is_shown(command: Command) -> None:
    out = command("explain", "Running").out
    for kind in ("DLC job status", "EAS service status", "workload status"):
        assert f"Running  {kind}\n" in out


def test_a_program_gets_json(command: Command) -> None:
    said = command("explain", "Throttling.User", "--json")
    assert said.status == 0
    document = json.loads(said.out)
    (found,) = document["found"]
    assert list(found) == [
        "name",
        "kind",
        "meaning",
        "causes",
        "remedies",
        "retry",
        "billed",
        "links",
    ]
    assert (found["name"], found["retry"], found["billed"]) == ("Throttling.User", "later", None)
    assert (document["did_you_mean"], document["hint"]) == ([], None)


def test_an_unknown_code_says_what_is_near_and_what_its_form_tells(command: Command) -> None:
    said = command("explain", "Throtling.Usr")
    assert (said.status, said.out) == (1, "")
    assert "nothing is known about Throtling.Usr" in said.err
    assert "did you mean Throttling.User, " in said.err
    said = command("explain", "InvalidFlavour.Colour")
    assert said.status == 1
    assert "by its form: such codes refuse a value" in said.err
    said = command("explain", "something else entirely")
    assert said.status == 1
    assert "paste the whole line" in said.err


def test_an_unknown_code_in_json(command: Command) -> None:
    said = command("explain", "Throtling.Usr", "--json")
    assert said.status == 1
    document = json.loads(said.out)
    assert document["found"] == []
    assert document["did_you_mean"][0] == "Throttling.User"
    assert document["hint"] is None


def test_without_a_code_it_lists_what_can_be_explained(command: Command) -> None:
    said = command("explain")
    assert said.status == 0
    words = " ".join(said.out.split())
    for kind, where in KINDS.items():
        assert f"{kind} {where}" in words
    for entry in TABLE:
        assert entry.name in words
    listed = json.loads(command("explain", "--json").out)["kinds"]
    assert [one["kind"] for one in listed] == list(KINDS)
    assert "EnvPreparing" in next(one["names"] for one in listed if one["kind"] == "DLC job status")


def test_a_kind_is_listed_one_line_each(command: Command) -> None:
    lines = command("explain", "workspace status").out.splitlines()
    assert len(lines) == 6
    assert lines[0] == "ENABLED  workspace status  The workspace can be used"


def test_of_many_findings_the_first_are_whole_and_the_others_one_line(command: Command) -> None:
    codes = "Throttling.User NoPermission PriceNotFound OOMKilled JobFailed NoStock UserLimit"
    said = command("explain", f"{codes} at once")
    assert said.out.count("  ask again  ") == 5
    assert "\nalso:\n" in said.out
    assert len(said.out.split("\nalso:\n")[1].splitlines()) == 2


def test_standard_input_is_read(piped: Callable[..., Any]) -> None:
    said = piped(b'2026-01-28 14:07:24 Failed to pull image "a": manifest unknown\r\n', "-")
    assert said.status == 0
    assert said.out.startswith("manifest unknown  image pull failure\n")


def test_bytes_that_are_no_text_are_looked_through(piped: Callable[..., Any]) -> None:
    said = piped(b"\xff\xfe\x00 OOMKilled \x80", "-")
    assert said.out.startswith("OOMKilled  end of container\n")


def test_a_very_long_input_is_read_at_both_ends(piped: Callable[..., Any]) -> None:
    filler = b"nothing to see here\n" * 400_000
    document = json.loads(
        piped(b"PriceNotFound\n" + filler + b"exit code 139\n", "-", "--json").out
    )
    assert [one["name"] for one in document["found"]] == ["PriceNotFound", "exit code 139"]


def test_nothing_on_standard_input_is_nothing_known(piped: Callable[..., Any]) -> None:
    said = piped(b"", "-")
    assert said.status == 1
    assert "nothing is known about this text" in said.err


@pytest.mark.parametrize(
    "secret",
    [
        "sk-c4nary0123456789abcdef",
        "LTAI5tC4naryC4naryC4nary",
        "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcD",
        "qwertyuiopasdfghjklzxcvbnmqwer",
        "STS.NUgYrLnoC4naryC4nary",
        "Zm9vYmFyZm9vYmFyZm9vYmFy==",
    ],
)
def test_what_looks_like_a_key_is_not_repeated(command: Command, secret: str) -> None:
    for text in (secret, f"Invalid.{secret}", f"password: {secret}", f"OOMKilled {secret}"):
        for arguments in ((text,), (text, "--json")):
            said = command("explain", *arguments)
            assert secret not in said.out + said.err


def test_what_steers_a_terminal_is_not_repeated(command: Command) -> None:
    said = command("explain", "\x1b[2JNoSuchThing\x07")
    assert said.status == 1
    assert "\x1b" not in said.err
    assert "\x07" not in said.err


@pytest.mark.parametrize(
    ("name", "command_line"),
    [
        ("DLC job status Queuing", "(tidemark pai specs --available)"),
        ("DLC job status EnvPreparing", "(tidemark pai events ID)"),
        ("manifest unknown", "(tidemark pai images)"),
        ("BenchmarkTask.NotFound", "(tidemark eas benchmark list)"),
    ],
)
def test_advice_names_the_command_that_does_it(
    command: Callable[..., Any], name: str, command_line: str
) -> None:
    assert command_line in " ".join(command("explain", name).out.split())
