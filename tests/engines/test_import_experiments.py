"""Which experiment a level file is of, where several share a prefix and one metadata file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidemark.engines.genai_bench_import_metadata import read_metadata, secrets_in
from tidemark.engines.genai_bench_import_plan import planned
from tidemark.engines.genai_bench_import_source import LARGEST_LEVEL_BYTES, Survey, survey
from tidemark.errors import EngineError
from tidemark.results.store import open_store

DATA = Path(__file__).parent.parent / "data" / "genai_bench_import"
FIRST = ("D40_12_text-to-text_num_concurrency_1_time_1s.json",
         "D40_12_text-to-text_num_concurrency_2_time_1s.json")  # fmt: skip
AGAIN = "D40_12_text-to-text_num_concurrency_2_time_2s.json"
OTHER = ("D20_16_text-to-text_num_concurrency_2_time_1s.json",
         "U10_30_8_16_text-to-text_num_concurrency_2_time_1s.json")  # fmt: skip

Copied = Callable[..., Path]


@pytest.fixture
def copied(tmp_path: Path) -> Copied:
    """A folder of real output, copied so that it can be changed; without some of its files."""

    def copy(name: str, *without: str) -> Path:
        folder = tmp_path / name
        shutil.copytree(DATA / name, folder)
        for pattern in without:
            for path in folder.glob(pattern):
                path.unlink()
        return folder

    return copy


def surveyed(folder: Path) -> Survey:
    return survey(open_store(str(folder)).files, str(folder))


def told(found: Survey) -> dict[str, str | None]:
    """The model that each level file is said to have measured."""
    return {
        level.path: one.metadata.model if one.metadata else None
        for one in found.experiments
        for level in one.levels
    }


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **fields}))


def test_workbooks_tell_the_experiments_of_one_prefix_apart(copied: Copied) -> None:
    found = surveyed(copied("shared_prefix"))
    assert told(found) == {
        **dict.fromkeys(FIRST, "harbour-8b"),
        AGAIN: "harbour-8b",
        **dict.fromkeys(OTHER, "harbour-70b"),
    }
    assert len(found.experiments) == 3
    versions = {
        one.levels[0].path: one.metadata.fields["server_version"]
        for one in found.experiments
        if one.metadata
    }
    assert (versions[FIRST[0]], versions[AGAIN]) == ("0.9.0", "0.9.1")
    assert not found.refused


def test_the_surviving_metadata_is_not_believed_of_other_experiments(copied: Copied) -> None:
    found = surveyed(copied("shared_prefix", "*.xlsx"))
    assert told(found) == {
        **dict.fromkeys((*FIRST, AGAIN), None),
        **dict.fromkeys(OTHER, "harbour-70b"),
    }
    unknown = [one for one in found.experiments if one.metadata is None]
    assert sorted(level.unit for one in unknown for level in one.levels[:1]) == ["ms", "s"]
    reasons = unknown[0].reasons
    assert "times written in ms, not in s" in reasons[AGAIN]
    assert "scenario D(40,12), which is none of D(20,16), U(10,30)/(8,16)" in reasons[FIRST[0]]


def test_twins_are_repeats_of_one_cell(copied: Copied) -> None:
    found = surveyed(copied("repeated_level"))
    (experiment,) = found.experiments
    plan = planned(experiment.levels, experiment.metadata, name=None, version=None)
    assert [cell.repeat_idx for cell in plan.cells] == [0, 1]
    assert len({cell.cell_id for cell in plan.cells}) == 1


def test_of_twins_among_other_experiments_none_is_taken_for_the_survivors(copied: Copied) -> None:
    folder = copied("shared_prefix", "*.xlsx")
    for path in (DATA / "repeated_level").glob("*concurrency*.json"):
        content = json.loads(path.read_bytes())
        content["aggregated_metrics"]["scenario"] = "D(20,16)"
        (folder / path.name.replace("D40_12", "D20_16")).write_text(json.dumps(content))
    models = told(surveyed(folder))
    assert {model for path, model in models.items() if path.startswith("D20_16")} == {None}
    assert models[OTHER[1]] == "harbour-70b"


def test_metadata_files_that_differ_and_both_fit_prove_nothing(copied: Copied) -> None:
    folder = copied("repeated_level", "*.xlsx")
    shutil.copy(folder / "experiment_metadata.json", folder / "experiment_metadata (1).json")
    assert set(told(surveyed(folder)).values()) == {"harbour-8b"}
    change(folder / "experiment_metadata (1).json", api_model_name="another")
    found = surveyed(folder)
    assert set(told(found).values()) == {None}
    assert "several metadata files fit it" in next(iter(found.experiments[0].reasons.values()))
    change(folder / "experiment_metadata (1).json", metrics_time_unit="ms")
    assert set(told(surveyed(folder)).values()) == {"harbour-8b"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_concurrency": [4]}, "num_concurrency 2, which is none of 4"),
        ({"traffic_scenario": ["D(1,2)"]}, "scenario D(40,12), which is none of D(1,2)"),
        ({"metrics_time_unit": "ms"}, "times written in s, not in ms"),
        ({"task": "image-text-to-text"}, "task text-to-text, not image-text-to-text"),
        ({"iteration_type": "batch_size"}, "swept over num_concurrency, not over batch_size"),
        ({"benchmark_version": "0.0.3"}, "fields of genai-bench 0.0.5, not 0.0.3"),
    ],
)
def test_metadata_is_believed_only_where_nothing_contradicts_it(
    copied: Copied, fields: dict[str, Any], words: str
) -> None:
    folder = copied("repeated_level", "*.xlsx")
    change(folder / "experiment_metadata.json", **fields)
    (experiment,) = surveyed(folder).experiments
    assert experiment.metadata is None
    assert all(words in reason for reason in experiment.reasons.values())


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"cmd": 1}', b'{"benchmark_version": "0.0.5"}', b"[" * 100_000]
)
def test_damaged_metadata_is_refused_and_the_levels_are_kept(
    copied: Copied, content: bytes
) -> None:
    folder = copied("repeated_level", "*.xlsx")
    (folder / "experiment_metadata.json").write_bytes(content)
    found = surveyed(folder)
    assert [one.path for one in found.refused] == ["experiment_metadata.json"]
    assert "no genai-bench metadata" in found.refused[0].what
    assert list(told(found).values()) == [None, None]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"no workbook"])
def test_a_damaged_workbook_is_refused_and_the_metadata_still_tells(
    copied: Copied, content: bytes
) -> None:
    folder = copied("repeated_level")
    (book,) = folder.glob("*.xlsx")
    book.write_bytes(content)
    found = surveyed(folder)
    assert [one.path for one in found.refused] == [book.name]
    assert set(told(found).values()) == {"harbour-8b"}


def test_the_same_bytes_are_one_attempt(copied: Copied) -> None:
    folder = copied("repeated_level")
    shutil.copytree(folder, folder / "copy")
    found = surveyed(folder)
    assert len(told(found)) == 2
    assert found.same == {f"copy/{path}": path for path in told(found)}


def test_a_file_beyond_all_measure_is_not_read(copied: Copied) -> None:
    folder = copied("repeated_level")
    large = folder / "D40_12_text-to-text_num_concurrency_2_time_9s.json"
    with large.open("wb") as opened:
        opened.truncate(LARGEST_LEVEL_BYTES + 1)
    (refused,) = surveyed(folder).refused
    assert (refused.path, "more than the 128 MiB" in refused.what) == (large.name, True)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "there are no files"),
        (("readme.txt", "data.json"), "none of the 2 files is a level file"),
        (("experiment_metadata.json",), "an experiment was begun here"),
    ],
)
def test_where_the_engine_left_nothing_that_is_said(
    tmp_path: Path, names: tuple[str, ...], words: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("{}")
    with pytest.raises(EngineError, match=words):
        surveyed(tmp_path)


def test_assets_of_a_release_have_a_prefix(copied: Copied) -> None:
    folder = copied("shared_prefix")
    for path in folder.iterdir():
        path.rename(folder / f"last-night-{path.name}")
    models = told(surveyed(folder))
    assert models[f"last-night-{AGAIN}"] == "harbour-8b"
    assert models[f"last-night-{OTHER[0]}"] == "harbour-70b"


def test_secrets_of_the_command_line_are_known() -> None:
    content = (DATA / "shared_prefix" / "experiment_metadata.json").read_bytes()
    assert secrets_in(content) == {"sk-quay-canary-333333"}
    url = content.replace(b"http://127", b"http://user:pass-of-quay@127")
    assert secrets_in(url) == {"sk-quay-canary-333333", "pass-of-quay"}


def test_what_a_plan_refuses_is_kept_in_its_column(copied: Copied) -> None:
    folder = copied("repeated_level", "*.xlsx")
    path = folder / "experiment_metadata.json"
    change(path, server_model_tokenizer="../tok", server_gpu_count="-1", api_backend="together",
           max_requests_per_run=None, additional_request_params={"stream": False})  # fmt: skip
    (experiment,) = surveyed(folder).experiments
    plan = planned(experiment.levels, experiment.metadata, name=None, version=None)
    assert plan.plan.endpoint.model == "harbour-8b"
    assert plan.columns == {
        "tokenizer": "../tok", "gpu_count": None, "dialect": "together", "max_requests": None,
        "request_json": '{"stream":false}',
    }  # fmt: skip
    assert any(note.startswith("tokenizer is no part of the plan") for note in plan.notes)


def test_a_dataset_nobody_names_is_refused(copied: Copied) -> None:
    folder = copied("repeated_level", "*.xlsx", "*metadata*")
    (first, *_) = folder.glob("*.json")
    content = json.loads(first.read_bytes())
    content["aggregated_metrics"]["scenario"] = "dataset"
    first.write_text(json.dumps(content))
    first.rename(folder / first.name.replace("D40_12", "dataset"))
    experiment = surveyed(folder).experiments[0]
    (level,) = (one for one in experiment.levels if one.scenario.kind == "dataset")
    with pytest.raises(EngineError, match="there is no dataset to take rows from"):
        planned([level], None, name=None, version=None)


def test_metadata_keeps_no_secret() -> None:
    content = (DATA / "shared_prefix" / "experiment_metadata.json").read_bytes()
    assert b"canary" in content
    metadata = read_metadata("m.json", content.replace(b"sk-quay-canary-333333", b"[REDACTED]"))
    assert metadata.option("api-key") == "[REDACTED]"


def test_the_version_is_the_one_that_the_metadata_names(copied: Copied) -> None:
    folder = copied("repeated_level", "*.xlsx")
    change(folder / "experiment_metadata.json", benchmark_version="0.0.6")
    (experiment,) = surveyed(folder).experiments
    plan = planned(experiment.levels, experiment.metadata, name=None, version="0.0.5")
    assert plan.plan.engine.version == "0.0.6"


def test_of_equal_files_that_one_is_taken_beside_which_the_model_is_told(
    copied: Copied, tmp_path: Path
) -> None:
    told_at, source = copied("repeated_level"), tmp_path / "all"
    source.mkdir()
    told_at.rename(source / "told")
    levels = sorted(path.name for path in (source / "told").glob("*concurrency*.json"))
    for folder in ("bare", "untold"):
        (source / folder).mkdir()
        for name in levels:
            shutil.copy(source / "told" / name, source / folder)
    found = surveyed(source)
    assert told(found) == {f"told/{name}": "harbour-8b" for name in levels}
    assert found.same == {
        f"{folder}/{name}": f"told/{name}" for folder in ("bare", "untold") for name in levels
    }
    (source / "told" / "experiment_metadata.json").unlink()
    by_workbook = told(surveyed(source))  # which lists one of the two
    assert sorted((path.partition("/")[0], model) for path, model in by_workbook.items()) == [
        ("bare", None),
        ("told", "harbour-8b"),
    ]
    for path in (source / "told").glob("*.xlsx"):
        path.unlink()
    assert set(told(surveyed(source))) == {f"bare/{name}" for name in levels}
