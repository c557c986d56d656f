"""Runs seen and stopped from outside, through the leases that they hold."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidemark.results.lease import Lease, Process, acquire, lease_key
from tidemark.results.store import open_store

Command = Callable[..., Any]
Hold = Callable[..., Lease]


@pytest.fixture
def hold(tmp_path: Path) -> Hold:
    """Takes a round for a run; by default of this process, so that it lives."""
    files = open_store(str(tmp_path / "results")).files

    async def here(function: Callable[..., object], *given: object) -> object:
        return function(*given)

    def take(run_id: str, round: str = "night", process: Process | None = None) -> Lease:
        owner = {"run_id": run_id, "round": round, "cells": 6, "plan_name": "nightly"}
        taking = acquire(
            files, lease_key(round, {}), owner,
            clock=lambda: 0.0, sleep=asyncio.sleep, in_thread=here, process=process,
        )  # fmt: skip
        return asyncio.run(taking)

    return take


@pytest.fixture
def dead() -> Process:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = Process.of(child.pid)
    child.communicate(b"\n")
    return process


def test_a_run_at_work_says_what_it_does(command: Command, hold: Hold) -> None:
    lease = hold("20261121T010203-aaaa")
    lease.beat({"line": "Running iteration 2/6: concurrency=5", "fraction": 0.25, "left_s": 90.0})
    said = command("status")
    assert said.status == 0
    assert "20261121T010203-aaaa  running" in said.out
    assert "25% Running iteration 2/6: concurrency=5" in said.out
    assert "about 90 s left" in said.out
    assert "running" in command("runs").out
    document = json.loads(command("status", "20261121", "--json").out)
    assert (document["state"], document["fraction"], document["round"]) == (
        "running",
        0.25,
        "night",
    )


def test_a_run_is_asked_to_stop(command: Command, hold: Hold) -> None:
    lease = hold("20261121T010203-aaaa")
    said = command("cancel", "20261121", "--wait", "0")
    assert said.status == 1  # nobody hears it here
    assert "is asked to stop" in said.out
    assert lease.check() is True
    assert "stopping" in command("status").out
    lease.end()
    assert command("cancel", "20261121").status == 1


def test_a_run_that_died_is_said_to_be_gone(command: Command, hold: Hold, dead: Process) -> None:
    hold("20261121T010203-aaaa", process=dead)
    said = command("status")
    assert said.status == 1
    assert "gone" in said.out
    assert "--round night" in said.out
    refused = command("cancel", "20261121")
    assert refused.status == 2
    assert "its process is gone already" in refused.err


@pytest.mark.parametrize("words", [("cancel", ""), ("cancel", " "), ("status", "")])
def test_nobody_is_named_by_nothing(command: Command, hold: Hold, words: tuple[str, str]) -> None:
    lease = hold("20261121T010203-aaaa")
    assert command(*words).status == 2
    assert lease.check() is False


def test_one_of_several_has_to_be_chosen(command: Command, hold: Hold) -> None:
    hold("20261121T010203-aaaa")
    hold("20261121T010203-bbbb", round="another")
    for words in (("cancel", "20261121"), ("status", "20261121")):
        said = command(*words)
        assert said.status == 2
        assert "20261121T010203-bbbb" in said.err


def test_what_was_planted_steers_no_terminal(command: Command, hold: Hold) -> None:
    lease = hold("20261121T010203-aaaa", round="\x1b]0;owned\x07")
    lease.beat({"line": "\x1b[31mred", "fraction": "most"})
    for words in (("runs",), ("status",)):
        assert "\x1b" not in command(*words).out
