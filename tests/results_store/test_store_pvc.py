"""A persistent volume claim as a store: a folder, where it is mounted, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tidemark.errors import AlreadyThere, StoreAway, StoreError
from tidemark.results.locations import PvcLocation
from tidemark.results.providers.pvc import PvcFiles
from tidemark.results.store import Attempt, open_store

MakeAttempt = Callable[..., Attempt]


def test_results_lie_below_the_mount(tmp_path: Path, make_attempt: MakeAttempt) -> None:
    store = open_store("pvc://claim/nightly", options={"mount_path": str(tmp_path)})
    assert store.probe().notes == ()
    stored = store.put_cell(make_attempt())
    with pytest.raises(AlreadyThere):
        store.put_cell(make_attempt())
    assert (tmp_path / "nightly" / stored.cell_part).is_file()
    assert len(pd.read_parquet(tmp_path / "nightly" / "cells")) == 1
    assert store.torn() == ()


def test_a_claim_that_is_not_mounted_is_never_replaced_by_a_folder(
    tmp_path: Path, make_attempt: MakeAttempt
) -> None:
    mount = tmp_path / "mount"
    options = {"mount_path": str(mount)}
    store = open_store("pvc://claim/nightly", options=options, outbox=tmp_path / "outbox")
    with pytest.raises(StoreAway, match="is not mounted at") as caught:
        store.probe()
    assert "mount_path" in str(caught.value)
    mount.mkdir()
    store.probe()
    mount.rename(tmp_path / "claim")  # the mount goes while a run measures
    store.put_cell(make_attempt())
    assert not mount.exists()
    assert store.waiting().files > 5
    (tmp_path / "claim").rename(mount)
    assert store.send().files > 5
    assert store.cells().num_rows == 1


def test_results_wait_when_what_was_mounted_has_gone(
    tmp_path: Path, make_attempt: MakeAttempt
) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    options = {"mount_path": str(mount)}
    store = open_store("pvc://claim/nightly", options=options, outbox=tmp_path / "outbox")
    store.probe()
    mount.rename(tmp_path / "claim")  # as an unmounting shows what lies below
    mount.mkdir()
    store.put_cell(make_attempt())
    assert store.waiting().files > 5
    assert not list(mount.iterdir())
    with pytest.raises(StoreAway, match="has gone"):
        store.files.list("cells")


def test_a_claim_is_looked_for_where_its_name_says() -> None:
    files = PvcFiles(PvcLocation("no-such-claim", "p"), {}, pod_namespace=lambda: None)
    assert files.root == "/mnt/no-such-claim/p"
    with pytest.raises(StoreAway, match="not mounted at /mnt/no-such-claim"):
        files.create("x", b"")


def test_a_claim_of_another_namespace_cannot_be_mounted(tmp_path: Path) -> None:
    options = {"mount_path": str(tmp_path)}
    location = PvcLocation("claim", "p", "team-a")
    for here in ("team-a", None):
        PvcFiles(location, options, pod_namespace=lambda here=here: here)  # type: ignore[misc]
    with pytest.raises(StoreError, match="namespace team-a, this pod in team-b"):
        PvcFiles(location, options, pod_namespace=lambda: "team-b")


@pytest.mark.parametrize(
    ("options", "credentials", "words"),
    [
        ({"mount_path": "results"}, {}, "no absolute path"),
        ({"mont_path": "/x"}, {}, "Did you mean mount_path"),
        ({}, {"access_key_id": "a"}, "without credentials"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    options: dict[str, str], credentials: dict[str, str], words: str
) -> None:
    with pytest.raises(StoreError, match=words):
        open_store("pvc://claim/p", options=options, credentials=credentials or None)
