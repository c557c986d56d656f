"""`tidemark quote`: what a job would cost, on which machine and why; nothing is created."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pai_served import Served, serving

Command = Callable[..., Any]

PLAN = """
name: nightly
command: echo tide
machine: {spec: ecs.c6.large}
image: registry.example.com/bench:1
workers: 2
expected_s: 600
limits: {total_s: 3600}
"""


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: Command) -> Iterator[Served]:
    assert command  # which goes to the folder first
    (tmp_path / "job.yaml").write_text(PLAN)
    with serving() as cloud:
        cloud.lead(monkeypatch)
        yield cloud


def test_a_quote_says_machine_sums_and_until_when(command: Command, served: Served) -> None:
    said = command("quote", "job.yaml")
    assert (said.status, said.err) == (0, "")
    assert "ecs.c6.large" in said.out
    assert "named by the plan" in said.out
    for label in (
        "expected cost",
        "most it can cost",
        "on top, if this machine dies",
        "holds until",
    ):
        assert label in said.out
    assert "ECS DescribePrice" in said.out
    assert said.out.rstrip().endswith("Nothing was started.")
    assert served.calls("CreateJob") == []


def test_a_quote_as_json_has_exact_sums_and_the_machines(command: Command, served: Served) -> None:
    quote = json.loads(command("quote", "job.yaml", "--json").out)
    assert quote["currency"] == "CNY"
    assert quote["workers"] == 2
    assert float(quote["bound"]) == pytest.approx(float(quote["per_hour"]))
    assert float(quote["expected"]) < float(quote["bound"])
    assert quote["machines"][0]["spec"] == "ecs.c6.large"
    assert len(quote["plan_hash"]) == 64
    assert "run_id" not in quote
    assert served.calls("CreateJob") == []


def test_it_fits_a_hundred_columns(
    command: Command, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert served
    monkeypatch.setenv("COLUMNS", "100")
    out = command("quote", "job.yaml").out
    assert max(map(len, out.splitlines())) <= 100


def test_it_leaves_no_ledger(command: Command, served: Served, tmp_path: Path) -> None:
    assert served
    command("quote", "job.yaml")
    assert not (tmp_path / "home" / "ledger.db").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ecs.c6.large -> ecs.c6.larg", "Did you mean ecs.c6.large?"),
        ("expected_s: 600 -> expected_s: 6000", "is longer than the job may run"),
        ("workers: 2 -> cap: {amount: 0.01, currency: CNY}", "and the cap is 0.01 CNY"),
        ("command: -> user_command:", "command"),
    ],
)
def test_what_cannot_be_run_is_refused_with_what_to_do(
    command: Command, served: Served, tmp_path: Path, change: str, words: str
) -> None:
    assert served
    before, after = change.split(" -> ")
    (tmp_path / "job.yaml").write_text(PLAN.replace(before, after))
    said = command("quote", "job.yaml")
    assert said.status == 2
    assert words in said.err
    assert said.out == ""


def test_a_machine_without_a_price_is_no_free_one(command: Command, served: Served) -> None:
    refusal = "{error: {status: 403, code: Forbidden.RAM}}"
    served.play(f"calls: [{{when: {{action: DescribePrice}}, then: {refusal}}}]")
    said = command("quote", "job.yaml")
    assert said.status == 1
    assert "not known" in said.out


@pytest.mark.parametrize("file", ["run:20260101", "run:", "missing.yaml"])
def test_a_plan_that_is_not_there(command: Command, served: Served, file: str) -> None:
    assert served
    said = command("quote", file)
    assert said.status == 2
    assert "Traceback" not in said.err
