"""What is special to a store on Google Cloud Storage: who opens it, and how objects are put."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cloud_services import Gcs
from conftest import HASTY
from proxy import Proxy
from services import COUNTER

from tidemark.errors import AlreadyThere, StoreAway, StoreError
from tidemark.results.opening import options_of
from tidemark.results.store import Store, open_store

KEY_NAME = "projects/harbour/locations/eu/keyRings/night/cryptoKeys/results"
LARGE = bytes(range(256)) * (132 * 2**10)  # 33 MiB: in two pieces


@pytest.fixture(scope="module")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gcs]:
    service = Gcs(tmp_path_factory.mktemp("gcs"))
    service.start()
    yield service
    service.stop()


@pytest.fixture
def between(gcs: Gcs) -> Iterator[Proxy]:
    proxy = Proxy(gcs.endpoint_url or "")
    yield proxy
    proxy.close()


@pytest.fixture
def bucket(gcs: Gcs) -> str:
    name = f"results-{next(COUNTER)}"
    gcs.create_bucket(name)
    return name


def opened(gcs: Gcs, bucket: str, between: Proxy | None = None, **more: str) -> Store:
    options = gcs.options((between or gcs).endpoint_url)
    return open_store(f"gs://{bucket}/p", options={**options, **more}, patience=HASTY)


def test_the_key_and_the_project_are_named_with_each_object_also_in_pieces(
    gcs: Gcs, bucket: str, between: Proxy
) -> None:
    store = opened(gcs, bucket, between, kms_key_name=KEY_NAME, gcp_project_id="harbour-pays")
    store.files.create("raw/x", b"x")
    store.files.replace("raw/x", b"y")
    store.files.create("raw/large", LARGE)
    begun = [
        parse_qs(urlsplit(asked.target).query)
        for asked in between.asked
        if asked.method == "POST" and "upload_id" not in asked.target
    ]
    assert [asked["uploadType"] for asked in begun] == [["multipart"], ["multipart"], ["resumable"]]
    assert [asked["kmsKeyName"] for asked in begun] == [[KEY_NAME]] * 3
    assert [asked.get("ifGenerationMatch") for asked in begun] == [["0"], None, ["0"]]
    assert {asked.headers["x-goog-user-project"] for asked in between.asked} == {"harbour-pays"}
    assert store.files.read("raw/large") == LARGE


def test_of_writers_of_one_file_in_pieces_one_wins(gcs: Gcs, bucket: str) -> None:
    stores, gate = [opened(gcs, bucket) for _ in range(3)], threading.Barrier(3)

    def write(index: int) -> str:
        gate.wait(timeout=30)
        try:
            stores[index].files.create("raw/large", bytes([index]) * (33 * 2**20))
        except AlreadyThere:
            return "lost"
        return "won"

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(write, range(3))) == ["lost", "lost", "won"]
    assert len({*stores[0].files.read("raw/large")}) == 1


def test_an_answer_to_the_last_piece_that_was_lost_is_known_as_ones_own(
    gcs: Gcs, bucket: str, between: Proxy
) -> None:
    store = opened(gcs, bucket, between)
    between.lose = lambda asked: asked.headers.get("Content-Range", "").startswith(
        f"bytes {32 * 2**20}-"
    )
    store.files.create("raw/large", LARGE)
    assert between.lose is None
    assert store.files.read("raw/large") == LARGE


def test_a_key_that_cannot_be_used_is_said_to_be_one(gcs: Gcs, bucket: str) -> None:
    store = opened(gcs, bucket, kms_key_name=f"{KEY_NAME}-disabled")
    with pytest.raises(StoreAway, match="the encryption key cannot be used") as caught:
        store.probe()
    assert "kms_key_name" in str(caught.value)


def test_nobody_is_anonymous_by_accident(
    gcs: Gcs, bucket: str, between: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"endpoint_url": between.endpoint_url}
    with pytest.raises(StoreAway, match="no credentials were found") as caught:
        open_store(f"gs://{bucket}/p", options=options, patience=HASTY).probe()
    assert "GOOGLE_APPLICATION_CREDENTIALS" in str(caught.value)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(gcs.folder / "absent.json"))
    with pytest.raises(StoreAway, match="no credentials were found"):
        open_store(f"gs://{bucket}/p", options=options, patience=HASTY).probe()
    assert between.asked == []


@pytest.mark.parametrize("content", ["[]", "7", '"c4nary"', None])
def test_a_default_file_that_holds_no_object_is_told(
    between: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    path = tmp_path / "account.json"
    path.mkdir() if content is None else path.write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    options = {"endpoint_url": between.endpoint_url}
    with pytest.raises(StoreAway, match="the file of the credentials cannot be used") as caught:
        open_store("gs://harbour/p", options=options, patience=HASTY).probe()
    assert str(path) in str(caught.value)
    assert "c4nary" not in str(caught.value)
    assert between.asked == []


def test_an_emulator_of_the_environment_is_used_and_told_and_nothing_else_is(
    gcs: Gcs, bucket: str, between: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = open_store("gs://harbour/p")
    assert "endpoint_url" not in options_of(plain._files.files)
    assert plain.files.filesystem.base == "https://storage.googleapis.com/storage/v1/"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", between.endpoint_url.removeprefix("http://"))
    emulated = open_store(f"gs://{bucket}/p", patience=HASTY)
    assert options_of(emulated._files.files) == {"endpoint_url": between.endpoint_url}
    with pytest.raises(StoreAway, match="credentials are refused"):  # by one that asks for some
        emulated.probe()
    assert len(between.asked) == 1
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", gcs.account_file(gcs.writer))
    assert open_store(f"gs://{bucket}/p", patience=HASTY).probe().notes == ()


def test_opening_changes_nothing_for_others() -> None:
    before = dict(os.environ)
    open_store("gs://harbour/p")
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "the file is not there"),
        ("not JSON", "holds no key"),
        ("[]", "holds no key"),
        ("7", "holds no key"),
        ('{"type": "authorized_user"}', "holds no key"),
        ('{"type": "service_account", "private_key": "c4nary"}', "holds no key"),
    ],
)
def test_a_file_that_holds_no_service_account_is_refused(
    tmp_path: Path, content: str | None, words: str
) -> None:
    path = tmp_path / "account.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(StoreError, match=words) as caught:
        open_store("gs://harbour/p", options={"gcp_credentials_path": str(path)})
    assert "account.json" in str(caught.value)
    assert "c4nary" not in str(caught.value)
    assert caught.value.remedy


def test_a_token_is_asked_for_once_by_many_threads(gcs: Gcs, bucket: str) -> None:
    tokens = Proxy(gcs.endpoint_url or "")
    path = Path(gcs.account_file(gcs.writer))
    path.write_text(path.read_text().replace(f":{gcs.port}/", f":{tokens.server_port}/"))
    store = opened_with(gcs, bucket, path)
    with ThreadPoolExecutor(16) as pool:
        [*pool.map(lambda n: store.files.create(f"raw/{n}", b"x"), range(16))]
    assert [asked.target for asked in tokens.asked] == ["/token"]
    tokens.close()


def opened_with(gcs: Gcs, bucket: str, path: Path) -> Store:
    options = {"endpoint_url": gcs.endpoint_url or "", "gcp_credentials_path": str(path)}
    return open_store(f"gs://{bucket}/p", options=options, patience=HASTY)
