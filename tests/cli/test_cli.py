"""The `tidemark` command: what a person types, sees, and gets as exit status."""

import json
import sys
from pathlib import Path

import pytest

from tidemark import __version__
from tidemark.cli.main import main
from tidemark.config import load_config
from tidemark.errors import ConfigError

PLAN = """
endpoint: {url: "http://127.0.0.1:9", model: m, api_key: "env:NOT_SET_ANYWHERE"}
scenarios: ["D(64,24)", "N(128,32)/(20,4)"]
concurrency: [1, 4]
limits: {max_time_s: 30}
tokenizer: /no/such/tokenizer
"""


class Typed:
    """What came of a command line."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


@pytest.fixture
def tidemark(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Types a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "plan.yaml").write_text(PLAN)

    def typed(*arguments: str) -> Typed:
        monkeypatch.setattr(sys, "argv", ["tidemark", *arguments])
        status = 0
        try:
            main()
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        out, err = capsys.readouterr()
        return Typed(status, out, err)

    return typed


def test_the_version(tidemark) -> None:
    assert tidemark("--version").out == f"tidemark {__version__}\n"


def test_a_plan_shows_cells_time_and_what_would_be_written(tidemark, tmp_path: Path) -> None:
    shown = tidemark("plan", "plan.yaml", "--store", "s3://bucket@region/benchmarks")
    assert shown.status == 0
    assert shown.out.count("D(64,24)") == 2
    assert "at most" in shown.out
    assert "s3://bucket@region/benchmarks" in shown.out
    assert "4 parts" in shown.out
    assert shown.out.rstrip().endswith("Nothing was started.")
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]


def test_a_plan_as_json_has_its_hash_and_cells(tidemark) -> None:
    document = json.loads(tidemark("plan", "plan.yaml", "--json").out)
    assert len(document["plan_hash"]) == 64
    assert [cell["concurrency"] for cell in document["cells"]] == [1, 4, 1, 4]
    assert document["at_most_s"] > 4 * 30


def test_options_replace_what_the_plan_says(tidemark) -> None:
    shown = tidemark("plan", "plan.yaml", "--url", "http://other:1/v1", "--model", "n", "--json")
    endpoint = json.loads(shown.out)["plan"]["endpoint"]
    assert (endpoint["url"], endpoint["model"]) == ("http://other:1", "n")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("concurrency: [1, 4]", "concurency: [1]"), ("concurency", "Did you mean concurrency")),
        (("D(64,24)", "D(64, 24)"), ("scenarios", "D(64,24)")),
        (("max_time_s: 30", "max_time_s: -1"), ("limits.max_time_s",)),
        (("env:NOT_SET_ANYWHERE", "sk-a-real-key-1234567890"), ("endpoint.api_key", "env:")),
    ],
)
def test_a_bad_plan_is_refused_with_the_field_and_the_remedy(
    tidemark, tmp_path: Path, change: tuple[str, str], words: tuple[str, ...]
) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN.replace(*change))
    refused = tidemark("plan", "plan.yaml")
    assert refused.status == 2
    assert refused.err.startswith("error:")
    assert all(word in refused.err for word in words)
    assert "sk-a-real-key" not in refused.err + refused.out


def test_a_file_that_is_not_there(tidemark) -> None:
    refused = tidemark("plan", "missing.yaml")
    assert refused.status == 2
    assert "missing.yaml" in refused.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("plan", "run:2026"), "no such run"),
        (("report",), "no finished run"),
        (("report", "--store", "s4://bucket"), "s4"),
        (("sweep", "plan.yaml", "--cell", "zz"), "no cell of the plan"),
        (("sweep", "plan.yaml"), "NOT_SET_ANYWHERE"),
        (("runs",), "holds no run yet"),
    ],
)
def test_what_cannot_work_says_so(tidemark, arguments: tuple[str, ...], word: str) -> None:
    refused = tidemark(*arguments)
    assert refused.status != 0
    assert word in refused.err


def test_unknown_commands_are_wrong_use(tidemark) -> None:
    assert tidemark("swep").status == 2


def test_configuration_comes_from_variables_then_the_file(tidemark, tmp_path: Path) -> None:
    (tmp_path / "tidemark.toml").write_text('store = "from-file"\nhome = "h"\n')
    found = load_config({"TIDEMARK_STORE": "from-variable"}, tmp_path)
    assert (found.store, found.origins["store"]) == ("from-variable", "TIDEMARK_STORE")
    assert found.home == tmp_path / "h"
    assert "tidemark.toml" in tidemark("config").out


@pytest.mark.parametrize(
    ("environ", "text", "words"),
    [
        ({}, 'stor = "x"', "Did you mean store?"),
        ({}, "store = 1", "Put the value in quotes"),
        ({}, "store = ", "Correct the file"),
        ({"TIDEMARK_STOR": "x"}, "", "Did you mean TIDEMARK_STORE?"),
    ],
)
def test_bad_configuration_is_refused(
    tmp_path: Path, environ: dict[str, str], text: str, words: str
) -> None:
    (tmp_path / "tidemark.toml").write_text(text)
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        load_config(environ, tmp_path)


def test_a_plan_says_what_stands_against_running_it_here(tidemark) -> None:
    shown = tidemark("plan", "plan.yaml", "--store", "gs://b")
    assert shown.status == 0
    mend = [line for line in shown.out.splitlines() if line.startswith("to mend")]
    assert len(mend) == 3
    assert "NOT_SET_ANYWHERE" in mend[0]
    assert "/no/such/tokenizer" in mend[1]
    assert "bucket name" in mend[2]


@pytest.mark.parametrize(
    ("kind", "part", "words"),
    [
        ("job", "limits.total_s", "limits.total_s: number = 7200"),
        ("sweep", "limits.max_time_s", "limits.max_time_s: number = 60"),
    ],
)
def test_the_fields_of_a_plan_are_listed_and_shown_in_an_example(
    tidemark, kind: str, part: str, words: str
) -> None:
    listed = tidemark("fields", kind)
    assert words in listed.out
    assert "Seconds" in tidemark("fields", kind, part).out
    assert part in {one["path"] for one in json.loads(tidemark("fields", kind, "--json").out)}
    assert "Did you mean" in tidemark("fields", kind, "limit").err
    assert tidemark("fields", kind, "limit").status == 2
    assert tidemark("fields", "plan").status == 2


def test_the_example_of_a_plan_can_be_planned_with(tidemark, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(tidemark("fields", "sweep", "--example").out)
    shown = tidemark("plan", "plan.yaml")
    assert shown.status == 0
    assert "D(512,128)" in shown.out
