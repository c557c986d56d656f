"""A store copied into another one: all that counts, each file compared, nothing overwritten."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from compacted_store import RUNS, Killed, answers, compacted, dying, files_below, put_night
from stored_sweep import context_of, put_sweep

from tidemark.errors import RefusedError, StoreAway, StoreError
from tidemark.results.copying import Copied, copy_store
from tidemark.results.files import LocalFiles
from tidemark.results.layout import ATTEMPT_FILE, LargeName
from tidemark.results.locations import FileLocation
from tidemark.results.redact import Redactor
from tidemark.results.store import Store, open_store


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


@pytest.fixture
def store(here: Path) -> Store:
    return open_store(str(here))


def copied(here: Path, there: Path, **options: Any) -> Copied:
    return copy_store(open_store(str(here)), open_store(str(there)), **options)


def test_a_copy_has_every_file_and_answers_alike(store: Store, here: Path, there: Path) -> None:
    put_night(store)
    store.files.create("leases/run/1.json", b"{}")
    told: list[tuple[int, int]] = []
    done = copied(here, there, on_progress=lambda *how: told.append(how))
    files = files_below(here)
    del files["leases/run/1.json"]
    assert files_below(there) == files
    assert answers(there) == answers(here)
    assert (done.files, done.same, done.left) == (len(files), 0, ())
    assert done.size_bytes == sum(map(len, files.values()))
    assert told[-1] == (len(files), len(files))
    again = copied(here, there)
    assert (again.files, again.same, again.left) == (0, len(files), ())


def test_of_a_compacted_store_what_is_replaced_is_not_copied(
    store: Store, here: Path, there: Path
) -> None:
    (sweep, _) = put_night(store)
    part = sweep.cells[0].cell_part
    replaced = (here / part).read_bytes()
    before = answers(here)
    compacted(store)
    put_sweep(store, context_of("20261121T060000-0badcafe"))
    compacted(store)
    before = answers(here)
    whole = files_below(here)
    (here / part).write_bytes(replaced)  # as if the compaction had been stopped
    leaving = next(path for path in whole if LargeName.parse(path)).replace("-000002-", "-000003-")
    (here / leaving).write_bytes(b"half")
    done = copied(here, there)
    assert files_below(there) == whole
    assert (done.files, done.left, done.passed_over) == (len(whole), (), 0)
    assert answers(there) == before


def test_a_copy_follows_its_source(store: Store, here: Path, there: Path) -> None:
    """Copied, compacted, copied again, put to, compacted again: the parts there are replaced."""
    put_sweep(store, context_of(RUNS[0]))
    copied(here, there)
    compacted(store)
    assert copied(here, there).left == ()
    put_sweep(store, context_of(RUNS[1]))
    compacted(store)
    assert copied(here, there).left == ()
    assert answers(there) == answers(here)
    compacted(open_store(str(there)))  # removes what is replaced
    assert set(files_below(there)) == set(files_below(here))
    assert answers(there) == answers(here)


def test_stores_that_were_compacted_apart_are_brought_together(
    store: Store, here: Path, there: Path
) -> None:
    """Large parts of one are no large parts of the other: each attempt goes as it was written."""
    other = open_store(str(there))
    for each in (store, other):
        put_sweep(each, context_of(RUNS[0]))
    for each, run_id in ((store, RUNS[1]), (other, RUNS[2])):
        put_sweep(each, context_of(run_id))
        compacted(each)
    done = copied(here, there)
    assert done.left == ()
    assert done.same > 0
    together = answers(there)
    assert len(together["cells"]) == 6
    assert together["verified"] == ((), 6, 720, 3, 6)
    assert copied(here, there).files == 0
    compacted(other)
    assert answers(there) == together
    assert copied(here, there).files == 0


@pytest.mark.parametrize("after", [False, True])
def test_a_copy_that_was_stopped_shows_nothing_torn_and_goes_on(
    store: Store, here: Path, tmp_path: Path, after: bool
) -> None:
    put_sweep(store, context_of(RUNS[0]))
    compacted(store)
    put_sweep(store, context_of(RUNS[1]))
    whole = answers(here)
    deaths = 0
    for calls in range(1, 1000, 7):
        place = tmp_path / f"stopped{calls}"
        try:
            copy_store(open_store(str(here)), dying(place, calls, after=after))
        except Killed:
            deaths += 1
        else:
            break
        part = open_store(str(place))
        attempts = {row["attempt_id"] for row in part.cells().to_pylist()}
        for path in part.files.list("raw"):
            if path.endswith(ATTEMPT_FILE):
                _, cell_id, attempt_id, _ = path.split("/")
                part.evidence(cell_id, attempt_id)
        for run in part.runs().to_pylist():
            assert {cell["attempt_id"] for cell in run["cells"]} <= attempts
        assert copied(here, place).left == ()
        shutil.rmtree(place / "probes", ignore_errors=True)
        assert files_below(place) == files_below(here)
        if calls % 3 == 0:
            assert answers(place) == whole
        shutil.rmtree(place)
    assert deaths > 5


@pytest.mark.parametrize(
    ("folder", "held_back"),
    [
        ("raw", {"cells", "manifests"}),
        ("requests", {"cells", "manifests"}),
        ("cells", {"manifests"}),
        ("runs", {"manifests"}),
        ("manifests", set()),
    ],
)
def test_other_bytes_are_told_and_never_overwritten(
    store: Store, here: Path, there: Path, folder: str, held_back: set[str]
) -> None:
    put_sweep(store, context_of(RUNS[0]))
    path = store.files.list(folder)[0]
    (there / path).parent.mkdir(parents=True)
    (there / path).write_bytes(b"another's")
    done = copied(here, there)
    assert (there / path).read_bytes() == b"another's"
    reasons = {left.path: left.reason for left in done.left}
    assert reasons[path] == "the destination has other bytes under this name"
    assert {left.partition("/")[0] for left in set(reasons) - {path}} == held_back
    assert open_store(str(there)).runs().num_rows == (folder == "manifests")
    assert len(files_below(there)) == len(files_below(here)) - len(done.left) + 1


def test_a_part_with_other_bytes_is_not_hidden_by_a_generation(
    store: Store, here: Path, there: Path
) -> None:
    sweep = put_sweep(store, context_of(RUNS[0]))
    compacted(store)
    path = there / sweep.cells[0].requests_part
    path.parent.mkdir(parents=True)
    path.write_bytes(b"another's")
    done = copied(here, there)
    assert sweep.cells[0].requests_part in {left.path for left in done.left}
    assert path.read_bytes() == b"another's"
    assert not (there / "generations").exists()
    assert open_store(str(there)).cells().num_rows == 1


def test_damaged_large_parts_are_not_copied(store: Store, here: Path, there: Path) -> None:
    put_sweep(store, context_of(RUNS[0]))
    compacted(store)
    large = next(path for path in files_below(here) if LargeName.parse(path))
    (here / large).write_bytes(b"damaged")
    done = copied(here, there)
    assert {left.path.partition("/")[0] for left in done.left} == {
        large.partition("/")[0], "generations", "manifests",
    }  # fmt: skip
    assert open_store(str(there)).runs().num_rows == 0


class Forgetful(LocalFiles):
    """A folder on a disk that loses the end of what it is given."""

    def create(self, path: str, data: bytes) -> None:
        super().create(path, data[:-1] if path.startswith("requests") else data)


class Full(LocalFiles):
    """A folder on a disk that is full."""

    def create(self, path: str, data: bytes) -> None:
        raise StoreAway(f"the disk is full, {len(data)} bytes more", path, "Make room")


def test_each_file_is_read_back(store: Store, here: Path, there: Path) -> None:
    put_sweep(store, context_of(RUNS[0]))
    location = FileLocation(str(there))
    done = copy_store(open_store(str(here)), Store(location, Forgetful(location), Redactor()))
    assert {left.reason for left in done.left if left.path.startswith("requests")} == {
        "it did not come back whole"
    }
    assert open_store(str(there)).cells().num_rows == 0
    location = FileLocation(f"{there}-too")
    with pytest.raises(StoreAway, match="the disk is full"):
        copy_store(open_store(str(here)), Store(location, Full(location), Redactor()))


@pytest.mark.parametrize(
    ("source", "destination"),
    [("here", "here"), ("here", "here/below"), ("here/below", "here"), ("here", "link")],
)
def test_a_store_is_not_copied_into_itself(
    here: Path, tmp_path: Path, source: str, destination: str
) -> None:
    put_sweep(open_store(str(here)), context_of(RUNS[0]))
    (tmp_path / "link").symlink_to(here)
    before = files_below(here)
    with pytest.raises(RefusedError) as caught:
        copied(tmp_path / source, tmp_path / destination)
    assert caught.value.remedy
    assert files_below(here) == before


def test_a_store_that_holds_nothing_is_told_as_such(here: Path, there: Path) -> None:
    with pytest.raises(StoreError, match="holds nothing"):
        copied(here, there)


def test_what_is_no_result_is_passed_over(store: Store, here: Path, there: Path) -> None:
    put_sweep(store, context_of(RUNS[0]))
    (here / "cells" / "notes.txt").write_text("mine")
    done = copied(here, there)
    assert (done.passed_over, done.left) == (1, ())
    assert not (there / "cells" / "notes.txt").exists()
    assert json.dumps(done.document())


def test_a_store_is_copied_to_s3_and_back(s3: Any, store: Store, here: Path, there: Path) -> None:
    put_night(store)
    compacted(store)
    s3.create_bucket("copied")
    options = {"endpoint_url": s3.endpoint_url}
    bucket = open_store("s3://copied@us-east-1/nightly", options=options)
    assert copy_store(store, bucket).left == ()
    again = copy_store(store, bucket)
    assert (again.files, again.left) == (0, ())
    assert copy_store(bucket, open_store(str(there))).left == ()
    shutil.rmtree(here / "probes", ignore_errors=True)
    assert files_below(there) == files_below(here)
