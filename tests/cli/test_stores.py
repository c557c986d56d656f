"""`tidemark verify` and `tidemark store`: what a person types, sees, and gets as exit status."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "results_store"))

from stored_sweep import attempt_at, context_of, put_sweep

from tidemark.cli.main import main
from tidemark.plan.cells import cells
from tidemark.results.store import Store, open_store


@pytest.fixture
def tidemark(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Types a command in a folder with a store; answers its status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def typed(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tidemark", *arguments])
        status = 0
        try:
            main()
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        return status, *capsys.readouterr()

    return typed


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "results"))


def test_a_store_that_is_as_rebuilt(tidemark, store: Store) -> None:
    put_sweep(store)
    status, out, err = tidemark("verify", "results")
    assert status == 0
    assert out == (
        "2 cells, 240 requests and 1 runs are as rebuilt from the raw output of 2 attempts\n"
    )
    assert err == "verified 2 of 2 attempts\n"
    assert tidemark("verify")[0] == 0  # the configured store


def test_a_difference_is_told_with_part_column_and_both_values(
    tidemark, store: Store, tmp_path: Path
) -> None:
    sweep = put_sweep(store)
    path = tmp_path / "results" / sweep.cells[0].requests_part
    path.unlink()
    put_sweep(store, context_of("20261122T030000-0badcafe"), ttft_s_p50=0.001)
    status, out, _ = tidemark("verify", "results", "--jobs", "1")
    assert status == 1
    assert sweep.cells[0].requests_part in out
    assert "ttft_s_p50: stored 0.001, rebuilt 0.056" in out
    assert "wrong: requests missing 1, row differs 2" in out
    status, out, _ = tidemark("verify", "results", "--run", "20261121", "--json")
    document = json.loads(out)
    assert (status, document["exit_status"]) == (1, 1)
    (found,) = document["findings"]
    assert (found["kind"], found["level"]) == ("requests_missing", "wrong")
    assert found["remedy"]
    assert document["as_rebuilt"] == {"cells": 2, "requests": 120, "runs": 1}


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("verify", "nowhere"), 4, "nothing could be verified"),
        (("verify", "results", "--run", "1999"), 2, "no run begins so"),
        (("verify", "results", "--jobs", "0"), 2, "--jobs"),
        (("verify", "s3://B/x"), 1, "the bucket name 'B' is not one"),
        (("store", "ls", "nowhere"), 1, "holds nothing"),
        (("store", "check", "nowhere"), 1, "holds nothing"),
        (("store", "check", "result"), 1, "Did you mean"),
        (("store", "compact", "nowhere"), 1, "holds nothing"),
        (("store", "copy", "nowhere", "other"), 1, "holds nothing"),
        (("store", "copy", "results", "results/copy"), 2, "lies in the other"),
    ],
)
def test_what_cannot_be_verified_is_said(
    tidemark, store: Store, arguments: tuple[str, ...], status: int, words: str
) -> None:
    put_sweep(store)
    found, out, err = tidemark(*arguments)
    assert found == status
    assert words in out + err


def test_what_is_in_a_store(tidemark, store: Store) -> None:
    sweep = put_sweep(store)
    later = context_of("20261122T030000-0badcafe")
    store.put_evidence(attempt_at(later, cells(later.plan)[1]))
    status, out, _ = tidemark("store", "ls", "results")
    assert status == 0
    run = next(line for line in out.splitlines() if line.startswith(sweep.run.run_id))
    assert run.split()[1:] == ["2026-11-21", "03:00", "2026-11-21", "nightly", "complete", "2/2"]
    assert "org/model=7b  2026-11-21  2" in out
    assert "measured, not judged: run again in round 2026-11-21 to judge it" in out
    document = json.loads(tidemark("store", "ls", "results", "--json")[1])
    assert [run["run_id"] for run in document["runs"]] == [sweep.run.run_id]
    assert document["cells"] == [{"model": "org/model=7b", "date": "2026-11-21", "cells": 2}]
    assert [one["run_id"] for one in document["unjudged"]] == [later.run_id]
    files = [path for path in Path("results").rglob("*") if path.is_file()]
    assert sum(document["files"].values()) == len(files)
    assert sum(document["size_bytes"].values()) == sum(path.stat().st_size for path in files)


def test_a_whole_store_passes_the_check(tidemark, store: Store) -> None:
    put_sweep(store)
    later = context_of("20261122T030000-0badcafe")
    store.put_evidence(attempt_at(later, cells(later.plan)[1]))
    assert tidemark("store", "check", "results")[:2] == (
        0,
        "17 files, 1 finished runs: nothing is torn\n",
    )


def test_what_is_torn_fails_the_check(tidemark, store: Store, tmp_path: Path) -> None:
    sweep = put_sweep(store)
    root = tmp_path / "results"
    cut, named = (root / stored.cell_part for stored in sweep.cells)
    cut.write_bytes(cut.read_bytes()[:500])
    named.unlink()
    (root / "raw" / "f00" / "a1").mkdir(parents=True)
    (root / "raw" / "f00" / "a1" / "events.jsonl.gz").write_bytes(b"")
    (root / "cells" / ".0.part").write_bytes(b"half")
    status, out, _ = tidemark("store", "check", "results")
    assert status == 1
    lines = [line.split(maxsplit=1) for line in out.splitlines() if not line.startswith(" ")]
    assert ["wrong", sweep.cells[0].cell_part] in lines
    assert ["wrong", sweep.manifest] in lines
    assert ["note", "raw/f00/a1"] in lines
    assert ["note", "cells/.0.part"] in lines
    assert f"it names {sweep.cells[1].cell_part}, which is not there" in out
    document = json.loads(tidemark("store", "check", "results", "--json")[1])
    assert {found["kind"] for found in document["findings"]} == {
        "torn", "part_missing", "unfinished", "leftover",
    }  # fmt: skip


def test_a_store_is_compacted_and_every_command_answers_as_before(
    tidemark, store: Store, tmp_path: Path
) -> None:
    put_sweep(store)
    put_sweep(store, context_of("20261121T040000-0badcafe"))
    asked = (
        ("runs", "--store", "results", "--json"),
        ("report", "--store", "results", "--json"),
        ("verify", "results"),
    )
    before = [tidemark(*arguments)[:2] for arguments in asked]
    status, out, _ = tidemark("store", "compact", "results", "--dry-run")
    assert status == 0
    assert "8 parts" in out
    assert "would become 2" in out
    planned = json.loads(tidemark("store", "compact", "results", "--dry-run", "--json")[1])
    assert (planned["parts_before"], planned["parts_after"]) == (8, 2)
    assert not (tmp_path / "results/generations").exists()
    status, out, err = tidemark("store", "compact", "results")
    assert status == 0
    assert out.startswith("4 attempts: 8 parts (")
    assert out.endswith("now, generation 1\n")
    assert "compacted 8 of 8 parts" in err
    assert [tidemark(*arguments)[:2] for arguments in asked] == before
    listed = tidemark("store", "ls", "results")[1]
    assert "org/model=7b  2026-11-21  4" in listed
    assert "4 cells are compacted into 2 large parts (generation 1)" in listed
    assert "generations" in listed
    document = json.loads(tidemark("store", "ls", "results", "--json")[1])
    assert (document["generation"], document["compacted_cells"]) == (1, 4)
    assert "nothing is torn" in tidemark("store", "check", "results")[1]
    document = json.loads(tidemark("store", "compact", "results", "--json")[1])
    assert (document["generation"], document["left"]) == (None, [])


def test_what_a_compaction_left_is_checked_and_removed(
    tidemark, store: Store, tmp_path: Path
) -> None:
    sweep = put_sweep(store)
    part = tmp_path / "results" / sweep.cells[0].cell_part
    data = part.read_bytes()
    tidemark("store", "compact", "results")
    part.write_bytes(data)
    status, out, _ = tidemark("store", "check", "results")
    assert status == 0
    assert sweep.cells[0].cell_part in out
    assert "tidemark store compact removes it" in out
    status, out, _ = tidemark("store", "compact", "results")
    assert (status, part.exists()) == (0, False)
    assert "1 files that earlier compactions left are removed" in out
    part.write_bytes(b"another's")
    status, _, err = tidemark("store", "compact", "results")
    assert (status, part.read_bytes()) == (3, b"another's")
    assert f"left {sweep.cells[0].cell_part}: it has other bytes" in err
    large = next((tmp_path / "results/requests").rglob("generation-*"))
    large.write_bytes(b"damaged")
    status, out, _ = tidemark("store", "check", "results")
    assert status == 1
    assert large.name in out
    assert "it holds 2 attempts" in out


def test_a_store_is_copied(tidemark, store: Store, tmp_path: Path) -> None:
    sweep = put_sweep(store)
    status, out, err = tidemark("store", "copy", "results", "other")
    assert status == 0
    assert out.endswith("copied to other, 0 were there already, 0 left\n")
    assert "copied 13 of 13 files" in err
    assert tidemark("verify", "other")[0] == 0
    (tmp_path / "other" / sweep.manifest).write_text("another's")
    status, out, err = tidemark("store", "copy", "results", "other")
    assert (status, out) == (
        3,
        "0 files (0 bytes) copied to other, 12 were there already, 1 left\n",
    )
    assert f"left {sweep.manifest}: the destination has other bytes under this name" in err
    document = json.loads(tidemark("store", "copy", "results", "other", "--json")[1])
    assert (document["same"], document["left"][0]["path"]) == (12, sweep.manifest)
