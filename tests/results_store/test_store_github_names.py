"""What files are called as assets: nothing is lost, and no two are taken for each other."""

from __future__ import annotations

import re
import string
from datetime import date

import pytest
from github_server import kept_name
from hypothesis import example, given
from hypothesis import strategies as st

from tidemark.errors import StoreError
from tidemark.results.layout import part_path, raw_path
from tidemark.results.providers.github_assets import Asset, asset_label, asset_name

WRITER = "0123456789abcdef0123456789abcdef"
CHARACTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from('./_-%=AaZz09 ä\\"')
PATH = st.text(CHARACTERS, min_size=1, max_size=30)  # longer ones of twelve units each are refused
CELL_ID = "0123456789abcdef" * 4


def as_listed(path: str, size_bytes: int = 5, state: str = "uploaded") -> Asset:
    return Asset.parse(
        {
            "id": 7,
            "name": asset_name(path),
            "label": asset_label(path, WRITER, size_bytes),
            "state": state,
            "size": size_bytes or 1,
            "created_at": "2026-11-21T03:00:00Z",
        }
    )


@given(PATH.filter(lambda path: {*path.split("/")}.isdisjoint(("", ".", ".."))))
@example(".begins")
@example("..begins/...")
@example("ends.")
@example("two..dots")
@example("Case/case_%5F")
def test_a_path_is_read_back_from_its_asset_and_github_keeps_the_name(path: str) -> None:
    assert as_listed(path).path == path
    name = asset_name(path)
    assert kept_name(name) == name
    assert re.fullmatch(r"[a-z0-9._-]{1,240}", name)


@given(PATH, PATH)
def test_two_paths_never_have_one_name(one: str, other: str) -> None:
    assert (asset_name(one) == asset_name(other)) is (one == other)


@pytest.mark.parametrize("table", ["cells", "requests", "timeline"])
@pytest.mark.parametrize(
    "model",
    [None, "org/Model=7b", "m" * 200, "x" * 500, "Ü/" * 300, string.printable, "模型" * 99],
)
def test_every_part_of_a_store_has_a_name(table: str, model: str | None) -> None:
    path = part_path(table, model, date(2026, 11, 21), CELL_ID, "0123456789abcdefr0t0")
    assert as_listed(path).path == path
    assert len(asset_label(path, WRITER, 2**31)) <= 240


def test_long_paths_that_differ_anywhere_have_different_names() -> None:
    start = part_path("cells", "m" * 190, date(2026, 11, 21), CELL_ID, "a" * 20)
    paths = [start.replace("mmm", change + "mm", 1) for change in "mno"]
    assert len({asset_name(path) for path in paths}) == 3


def test_a_path_too_long_for_name_and_label_is_refused_with_a_remedy() -> None:
    with pytest.raises(StoreError, match="too long") as caught:
        asset_label(raw_path(CELL_ID, "a" * 20, "/".join(["Ö" * 90] * 4)), WRITER, 5)
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["notes_", "Setup.EXE", "a_zz", "_zz", "a..b", "x" * 241, ""])
def test_what_others_put_there_is_no_file_of_the_store(name: str) -> None:
    document = {"id": 1, "name": name, "label": None, "state": "uploaded", "size": 9}
    asset = Asset.parse({**document, "created_at": "2026-11-21T03:00:00Z"})
    assert asset.path is None
    assert asset.writer is None


@pytest.mark.parametrize(
    "path",
    ["../x", "raw/../../x", "raw/./x", "raw//x", "/etc/x", "raw/x/", "..", "/", "raw/..",
     f"../{'m' * 300}", f"raw/{'m' * 300}/../x"],
)  # fmt: skip
def test_a_name_that_leads_out_of_a_folder_is_no_file_of_the_store(path: str) -> None:
    assert as_listed(path).path is None


def test_an_edited_label_does_not_lead_to_another_path() -> None:
    path = part_path("cells", "m" * 190, date(2026, 11, 21), CELL_ID, "a" * 20)
    label = asset_label(path, WRITER, 5).replace("model=m", "model=n")
    document = {"id": 1, "name": asset_name(path), "label": label, "state": "uploaded", "size": 5}
    assert Asset.parse({**document, "created_at": "2026-11-21T03:00:00Z"}).path is None


def test_an_unfinished_asset_tells_the_size_it_will_have() -> None:
    assert as_listed("raw/x", 1_000_000, "starter").size_bytes == 1_000_000
    assert as_listed("raw/x", 0).size_bytes == 0
