"""Paths that hive readers take apart again, whatever a model is called."""

from __future__ import annotations

from datetime import date
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemark.errors import StoreError
from tidemark.results.layout import (
    NO_MODEL,
    LargeName,
    PartName,
    attempt_id,
    decoded_model,
    encoded_model,
    generation_number,
    generation_path,
    large_path,
    manifest_path,
    part_path,
    raw_path,
    run_path,
)

DAY = date(2026, 11, 21)


def test_paths_are_those_of_the_design() -> None:
    path = part_path("cells", "org/model", DAY, "c0ffee", "a1")
    assert path == "cells/model=org%2Fmodel/date=2026-11-21/c0ffee-a1.parquet"
    assert run_path("run-1", DAY) == "runs/date=2026-11-21/run-1.parquet"
    assert raw_path("c0ffee", "a1", "logs/engine.log") == "raw/c0ffee/a1/logs/engine.log"
    assert manifest_path("run-1") == "manifests/run-1.json"


@pytest.mark.parametrize(
    "model",
    ["org/model", "a=b", "ünïcode 模型", "..", ".", "100%", "a b", "q?#&", "model\\x", "7"],
)
def test_a_model_name_comes_back_out_of_its_partition(model: str) -> None:
    encoded = encoded_model(model)
    assert "/" not in encoded
    assert "=" not in encoded
    assert decoded_model(encoded) == model
    part = PartName.parse(part_path("cells", model, DAY, "c0ffee", "a1"))
    assert part == PartName("cells", model, "2026-11-21", "c0ffee", "a1")


@given(st.text(min_size=1, max_size=400))
def test_any_model_name_makes_one_segment_of_bounded_length(model: str) -> None:
    encoded = encoded_model(model)
    assert 0 < len(f"model={encoded}".encode()) <= 255
    assert encoded.isascii()
    assert not set("/=\\\0\n") & set(encoded)
    unquote(encoded, errors="strict")


def test_long_names_that_differ_at_the_end_stay_apart() -> None:
    assert encoded_model("m" * 300 + "a") != encoded_model("m" * 300 + "b")


def test_no_model_is_told_from_a_model_that_is_called_so() -> None:
    assert encoded_model(None) == NO_MODEL == encoded_model("")
    assert decoded_model(NO_MODEL) is None
    assert encoded_model(NO_MODEL) != NO_MODEL
    assert decoded_model(encoded_model(NO_MODEL)) == NO_MODEL


def test_an_attempt_is_named_by_run_repeat_and_try() -> None:
    named = attempt_id("run-1", 0, 0)
    assert named == attempt_id("run-1", 0, 0)
    others = {attempt_id("run-2", 0, 0), attempt_id("run-1", 1, 0), attempt_id("run-1", 0, 1)}
    assert len(others | {named}) == 4


@pytest.mark.parametrize("bad", ["", "a/b", "a-b", "..", "a b", "x" * 101, "é"])
def test_identifiers_that_would_break_a_path_are_refused(bad: str) -> None:
    with pytest.raises(StoreError, match="cannot be a"):
        part_path("cells", "m", DAY, bad, "a1")
    with pytest.raises(StoreError, match="cannot be a"):
        raw_path("c0ffee", bad)


@pytest.mark.parametrize("bad", ["../up", "/abs", "a//b", ".hidden", "a/../b", "a\\b", "a\nb"])
def test_a_raw_file_stays_in_its_folder(bad: str) -> None:
    with pytest.raises(StoreError, match="cannot be a file name"):
        raw_path("c0ffee", "a1", bad)


@pytest.mark.parametrize(
    "path", ["cells/x.parquet", "cells/model=a/date=b/nodash.parquet", "cells/a/b/c-d.parquet"]
)
def test_other_files_are_no_parts(path: str) -> None:
    assert PartName.parse(path) is None


def test_a_large_part_is_told_from_one_attempts_and_lies_in_the_same_folder() -> None:
    folder = part_path("cells", "org/model", DAY, "c0ffee", "a1").rpartition("/")[0]
    path = large_path(folder, 7, "ab" * 32)
    assert path == f"{folder}/generation-000007-abababababababab.parquet"
    assert PartName.parse(path) is None
    assert LargeName.parse(path) == LargeName(folder, "cells", "org/model", "2026-11-21", 7)
    for other in (path.replace("cells", "runs"), path.replace("-000007", "-7"), f"{path}.part"):
        assert LargeName.parse(other) is None


@pytest.mark.parametrize("number", [1, 999_999, 1_000_000])
def test_a_generation_has_one_path(number: int) -> None:
    assert generation_number(generation_path(number)) == number
    for path in ("generations/1.json", "generations/0000001.json", "generations/000000.json"):
        assert generation_number(path) is None
