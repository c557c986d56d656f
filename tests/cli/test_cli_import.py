"""`tidemark import`: real output of genai-bench becomes rows that can be proved."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tidemark.results.store import open_store

Command = Callable[..., Any]

DATA = Path(__file__).parent.parent / "data"
SHARED = DATA / "genai_bench_import" / "shared_prefix"
REPEATED = DATA / "genai_bench_import" / "repeated_level"
DOWN = DATA / "genai_bench_import" / "endpoint_down"
BATCHES = DATA / "genai_bench_import" / "batch_sizes"
OTHER = "D20_16_text-to-text_num_concurrency_2_time_1s.json"
AGAIN = "D40_12_text-to-text_num_concurrency_2_time_2s.json"


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Three experiments at one prefix, copied so that it can be changed."""
    return Path(shutil.copytree(SHARED, tmp_path / "shared"))


def rows(store: str = "results") -> list[dict[str, Any]]:
    return sorted(open_store(store).cells().to_pylist(), key=lambda row: row["notes"][0])


def written(folder: Path) -> Iterator[tuple[Path, str]]:
    """All that was written, in plain text."""
    for path in folder.rglob("*"):
        if path.suffix == ".gz":
            yield path, gzip.decompress(path.read_bytes()).decode()
        elif path.suffix == ".parquet":
            content = pq.read_table(io.BytesIO(path.read_bytes()))
            yield path, json.dumps(content.to_pylist(), default=str) + str(content.schema)
        elif path.is_file():
            yield path, path.read_text()


def test_experiments_of_one_prefix_become_runs_that_can_be_proved(
    command: Command, shared: Path
) -> None:
    said = command("import", str(shared), "--name", "last night")
    assert (said.status, said.err) == (0, "")
    assert "5 imported" in said.out
    cells = rows()
    assert sorted((row["model_name"], row["scenario"], row["concurrency"]) for row in cells) == [
        ("harbour-70b", "D(20,16)", 2),
        ("harbour-70b", "U(10,30)/(8,16)", 2),
        ("harbour-8b", "D(40,12)", 1),
        ("harbour-8b", "D(40,12)", 2),
        ("harbour-8b", "D(40,12)", 2),
    ]
    assert {row["serving_version"] for row in cells} == {"0.9.0", "0.9.1", "0.5.0"}
    assert {(row["validity"], row["feeds_baseline"]) for row in cells} == {("inconclusive", False)}
    assert {"no_request_times"} <= {reason["code"] for row in cells for reason in row["reasons"]}
    for name in ("started_at", "window_start_s", "client_cpu_p95", "floor_json", "image_digest",
                 "token_source", "client_spec"):  # fmt: skip
        assert {row[name] for row in cells} == {None}
    verified = command("verify", "results")
    assert verified.status == 0
    assert f"5 cells, {len(requests())} requests and 3 runs are as rebuilt" in verified.out
    assert command("runs").out.count("last night") == 3
    assert "harbour-70b  " in command("store", "ls").out


def requests(store: str = "results") -> list[dict[str, Any]]:
    return open_store(store).requests().to_pylist()


def test_seconds_are_seconds_whatever_the_engine_wrote(command: Command, shared: Path) -> None:
    """The endpoint took 100 ms to its first token, and 10 ms for each of eleven more."""
    command("import", str(shared))
    for row in rows():
        if row["scenario"] != "D(40,12)":
            continue
        assert 0.08 < row["ttft_s_min"] < 0.2
        assert 0.17 < row["e2e_s_min"] < 0.4
        assert row["duration_source"] == "engine_run_duration"
        codes = {reason["code"] for reason in row["reasons"]}
        assert "engine_disagrees" not in codes
    assert {row["engine_claims_unit"] for row in rows()} == {"s", "ms"}
    assert max(row["e2e_s"] or 0.0 for row in requests()) < 10


def test_a_unit_that_is_not_the_one_the_file_says_is_corrected(
    command: Command, shared: Path
) -> None:
    path = shared / AGAIN
    path.write_text(path.read_text().replace('"_time_unit": "ms"', '"_time_unit": "s"'))
    said = command("import", str(shared))
    assert (said.status, "its requests prove that it is ms" in said.out) == (0, True)
    (row,) = (one for one in rows() if one["engine_claims_unit"] == "ms")
    assert 0.08 < row["ttft_s_min"] < 0.2
    assert row["serving_version"] == "0.9.1"
    assert "engine_disagrees" not in {reason["code"] for reason in row["reasons"]}
    assert command("verify", "results").status == 0


def test_batch_sizes_are_levels_too(command: Command) -> None:
    assert command("import", str(BATCHES)).status == 0
    told = [(row["task"], row["concurrency"], row["batch_size"], row["ttft_s_mean"])
            for row in rows()]  # fmt: skip
    assert told == [("text-to-embeddings", 1, 2, None), ("text-to-embeddings", 1, 4, None)]
    assert all(0.09 < row["e2e_s_mean"] < 1 and row["input_tput_tok_s"] > 0 for row in rows())
    assert command("verify", "results").status == 0


def test_what_is_known_better_later_is_said(command: Command, shared: Path) -> None:
    """The workbook of an experiment turned up after its levels were imported."""
    workbook = (shared / "again_summary.xlsx").read_bytes()
    (shared / "again_summary.xlsx").unlink()
    command("import", str(shared))
    (shared / "again_summary.xlsx").write_bytes(workbook)
    said = command("import", str(shared))
    assert "has it as of a model that is not known; by what lies beside it today" in said.out
    assert len(rows()) == 5


def test_a_file_that_is_still_being_written_is_left(
    command: Command, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It grows between the look at it and its import; the store's first link is in between."""
    linking, path = os.link, shared / AGAIN

    def link(*arguments: Any) -> None:
        path.write_bytes(path.read_bytes() + b" ")
        linking(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", link)
        said = command("import", str(shared))
    assert said.status == 3
    assert f"refused {AGAIN}: it changed while it was imported" in said.err
    assert len(rows()) == 4
    assert "1 imported, 4 already there" in command("import", str(shared)).out
    assert command("verify", "results").status == 0


def test_failed_requests_are_results(command: Command, shared: Path) -> None:
    command("import", str(shared))
    (row,) = (one for one in rows() if one["scenario"] == "D(20,16)")
    assert (row["failed_by_class"][0]["kind"], row["needs_attention"]) == ("http_5xx", True)
    assert row["error_rate"] == row["requests_failed"] / row["requests_attempted"] > 0.1
    assert json.loads(row["engine_claims"])["error_rate"] == 0
    assert "engine_disagrees" in {reason["code"] for reason in row["reasons"]}


def test_a_level_in_which_all_failed_is_kept(command: Command) -> None:
    said = command("import", str(DOWN))
    assert said.status == 0
    (row,) = rows()
    assert (row["requests_ok"], row["error_rate"], row["ttft_s_mean"]) == (0, 1.0, None)
    assert row["validity"] == "inconclusive"
    assert command("verify", "results").status == 0


def test_two_files_of_one_level_are_two_attempts_of_one_cell(command: Command) -> None:
    said = command("import", str(REPEATED))
    assert "repeat 2" in said.out
    first, second = rows()
    assert first["cell_id"] == second["cell_id"]
    assert {first["repeat_idx"], second["repeat_idx"]} == {0, 1}
    assert command("verify", "results").status == 0


def test_what_was_imported_is_not_imported_again(command: Command, shared: Path) -> None:
    command("import", str(shared))
    before = dict(written(Path("results")))
    again = command("import", str(shared))
    assert again.status == 0
    assert "nothing new: all 5 level files were imported before" in again.out
    assert dict(written(Path("results"))) == before


def test_only_what_is_new_at_a_source_that_grew_is_imported(command: Command, shared: Path) -> None:
    kept = (shared / OTHER).read_bytes()
    (shared / OTHER).unlink()
    assert "4 imported" in command("import", str(shared)).out
    (shared / OTHER).write_bytes(kept)
    said = command("import", str(shared))
    assert said.status == 0
    assert "1 imported, 4 already there" in said.out
    assert len(rows()) == 5
    verified = command("verify", "results")
    assert verified.status == 0
    assert "4 runs are as rebuilt" in verified.out


@pytest.mark.parametrize("kept_files", range(12))
def test_an_import_that_was_cut_short_goes_on_where_it_stopped(
    command: Command, monkeypatch: pytest.MonkeyPatch, kept_files: int
) -> None:
    """The process is ended when so many files have got their names."""

    class Killed(BaseException):
        pass

    linking, left = os.link, [kept_files]

    def link(*arguments: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        linking(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", link)
        with pytest.raises(Killed):
            command("import", str(REPEATED))
    assert command("import", str(REPEATED)).status == 0
    assert len(rows()) == 2
    verified = command("verify", "results")
    assert (verified.status, "1 runs are as rebuilt" in verified.out) == (0, True)
    assert "nothing new" in command("import", str(REPEATED)).out


def test_a_dry_run_writes_nothing(command: Command, shared: Path) -> None:
    said = command("import", str(shared), "--dry-run")
    assert said.status == 0
    assert "5 would import, nothing was written" in said.out
    assert not Path("results").exists()


def test_what_cannot_be_proved_is_null_with_the_reason(command: Command, shared: Path) -> None:
    """Without workbooks only the last writer's metadata is left."""
    for path in shared.glob("*.xlsx"):
        path.unlink()
    said = command("import", str(shared))
    assert said.status == 0
    assert "a model that is not known" in said.out
    unknown = [row for row in rows() if row["model_name"] is None]
    assert [row["scenario"] for row in unknown] == ["D(40,12)"] * 3
    for name in ("endpoint_url", "dialect", "tokenizer", "max_time_s", "max_requests",
                 "serving_engine", "gpu_type", "request_json", "reproduce"):  # fmt: skip
        assert {row[name] for row in unknown} == {None}
    assert {row["engine_version"] for row in unknown} == {"0.0.5"}
    assert all(any("is of another experiment" in note for note in row["notes"]) for row in unknown)
    assert {row["model_name"] for row in rows() if row not in unknown} == {"harbour-70b"}
    assert command("verify", "results").status == 0


def test_a_file_that_contradicts_itself_is_refused_and_the_others_are_kept(
    command: Command, shared: Path
) -> None:
    path = shared / OTHER
    path.write_text(path.read_text().replace('"num_concurrency": 2', '"num_concurrency": 8'))
    (shared / "D1_2_text-to-text_num_concurrency_1_time_1s.json").write_text("")
    said = command("import", str(shared))
    assert said.status == 3
    assert f"refused {OTHER}: its name says D20_16, num_concurrency, 2, its content" in said.err
    assert "refused D1_2_text-to-text_num_concurrency_1_time_1s.json: it is empty" in said.err
    assert "4 imported, 2 refused" in said.out
    assert "harbour-70b, from ./, failed, 1 more level was asked for" in said.out
    assert len(rows()) == 4


def test_json_tells_each_file_and_each_refusal(command: Command, shared: Path) -> None:
    (shared / OTHER).write_text("{")
    said = command("import", str(shared), "--json")
    document = json.loads(said.out)
    assert (said.status, document["exit_status"]) == (3, 3)
    assert [one["path"] for one in document["refused"]] == [OTHER]
    fates = [file["fate"] for run in document["runs"] for file in run["files"]]
    assert fates == ["imported"] * 4


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("import",), 2, "Missing argument"),
        (("import", "nowhere"), 1, "there are no files"),
        (("import", "ftp://host/x"), 1, "ftp"),
        (("import", "broken"), 1, "refused D1_2_text-to-text_num_concurrency_1_time_1s.json"),
        (("import", "broken", "--engine-version", "latest"), 2, "engine.version"),
        (("import", "broken", "--name", " "), 2, "name"),
    ],
)
def test_what_cannot_be_meant_ends_with_a_status_of_its_own(
    command: Command, arguments: tuple[str, ...], status: int, words: str
) -> None:
    Path("broken").mkdir()
    Path("broken/D1_2_text-to-text_num_concurrency_1_time_1s.json").write_text("{]")
    said = command(*arguments)
    assert said.status == status
    assert words in said.err
    assert not Path("results").exists()


def test_a_version_is_taken_where_no_metadata_tells_it(command: Command, shared: Path) -> None:
    for pattern in ("*.xlsx", "experiment_metadata.json"):
        for path in shared.glob(pattern):
            path.unlink()
    assert command("import", str(shared), "--engine-version", "0.0.6.dev1").status == 0
    assert {row["engine_version"] for row in rows()} == {"0.0.6.dev1"}


def test_no_key_is_written_anywhere(command: Command, shared: Path) -> None:
    """The engine writes keys into its metadata, and services answer with the keys they refuse."""
    path = shared / OTHER
    content = json.loads(path.read_bytes())
    failed = [one for one in content["individual_request_metrics"] if one["error_code"]]
    failed[0]["error_message"] = "no such key: quay-canary-key-11"
    path.write_text(json.dumps(content))
    metadata = shared / "experiment_metadata.json"
    text = metadata.read_text().replace(
        '"auth_type": "api_key"', '"access_key_id": "quay-canary-9"'
    )
    metadata.write_text(text)
    said = command("import", str(shared))
    assert said.status == 0
    assert "canary" not in said.out + said.err
    found = list(written(Path("results")))
    assert len(found) > 30
    assert [str(path) for path, text in found if "canary" in text or "canary" in str(path)] == []
    assert [path for path in Path("results").rglob("*") if b"canary" in _bytes(path)] == []
    assert any("no such key: [REDACTED]" in (row["error_message"] or "") for row in requests())


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_closed_folder_is_said_to_be_closed(command: Command, shared: Path) -> None:
    shared.chmod(0)
    said = command("import", str(shared))
    shared.chmod(0o700)
    assert said.status == 1
    assert "access is denied" in said.err


def test_imported_cells_are_compacted_too(command: Command) -> None:
    """Each of two levels has a part with its row, and one with its requests."""
    command("import", str(BATCHES))
    before = rows()
    planned = command("store", "compact", "results", "--dry-run")
    assert "4 parts (" in planned.out
    assert "would become 2" in planned.out
    assert command("store", "compact", "results").out.startswith("2 attempts: 4 parts (")
    assert rows() == before
    assert command("verify", "results").status == 0
    assert "nothing new" in command("import", str(BATCHES)).out


def test_parts_that_a_compaction_leaves_are_counted(command: Command) -> None:
    command("import", str(DOWN))
    left = "2 small parts stay: 2 with no other to merge with in the same folder"
    assert left in command("store", "compact", "results", "--dry-run").out
    done = command("store", "compact", "results")
    assert done.status == 0
    assert "nothing was to be compacted" in done.out
    assert left in done.out
    assert json.loads(command("store", "compact", "results", "--json").out)["alone"] == 2


def test_runs_of_one_source_are_told_apart(command: Command, tmp_path: Path) -> None:
    source = tmp_path / "nights"
    for number, folder in enumerate((SHARED, BATCHES)):
        shutil.copytree(folder, source / f"night-{number}")
    assert command("import", str(source)).status == 0
    said = command("runs").out
    assert "import of nights/night-0: harbour-70b" in said
    assert "import of nights/night-0: harbour-8b" in said
    assert "import of nights/night-1: harbour-embed" in said


def test_a_folder_whose_name_no_plan_can_have_is_imported(command: Command, tmp_path: Path) -> None:
    shutil.copytree(DOWN, tmp_path / "all" / ("quay\n" + "x" * 240) / "deep")
    assert command("import", str(tmp_path / "all")).status == 0
    (run,) = open_store("results").runs().to_pylist()
    assert run["plan_name"].startswith("import of all/quay?xxx")


def test_what_was_imported_before_names_its_run_and_keeps_its_name(
    command: Command, shared: Path
) -> None:
    (shared / OTHER).rename(shared.parent / OTHER)
    command("import", str(shared), "--name", "first")
    runs = {row["model_name"]: row["run_id"] for row in rows()}
    (shared.parent / OTHER).rename(shared / OTHER)
    said = command("import", str(shared), "--name", "second").out
    assert f"{runs['harbour-8b']}: harbour-8b, imported before, from ./" in said
    assert f"times in s, in {runs['harbour-70b']}" in said
    assert "runs that are there already keep their names" in said
    assert "keep their names" not in command("import", str(shared)).out
    assert command("runs").out.count("first") == 3


def test_that_no_imported_cell_is_valid_is_said_with_the_reason(
    command: Command, shared: Path
) -> None:
    why = "no imported cell is ever valid: genai-bench does not say when its requests began"
    assert why in command("import", str(shared), "--dry-run").out
    assert why in command("import", str(shared)).out
    assert why not in command("import", str(shared)).out


def test_a_level_that_is_imported_as_invalid_says_why(command: Command, shared: Path) -> None:
    path = shared / AGAIN
    content = json.loads(path.read_bytes())
    for one in content["individual_request_metrics"]:
        one["e2e_latency"] *= -1
    path.write_text(json.dumps(content))
    said = command("import", str(shared))
    (row,) = (row for row in rows() if row["validity"] == "invalid")
    (reason,) = (one for one in row["reasons"] if one["level"] == "invalid")
    assert f"invalid: {reason['evidence']}" in said.out


def test_metadata_that_cannot_be_read_is_not_said_to_be_missing(
    command: Command, shared: Path
) -> None:
    for path in shared.glob("*.xlsx"):
        path.unlink()
    (shared / "experiment_metadata.json").write_text("rubbish")
    said = command("import", str(shared))
    assert said.status == 3
    assert "experiment_metadata.json beside it cannot be read" in said.out
    assert "there is no experiment_metadata.json" not in said.out
    assert "is not there" not in said.out
