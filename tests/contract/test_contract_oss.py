"""The older official SDK of OSS, still in wide use, against the simulated OSS, over HTTP."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from contract_cloud import served

from tidemark.simulator.oss.app import OssSimulator
from tidemark.simulator.pai.accounts import SIMULATOR, Account
from tidemark.simulator.pai.scenario import scenario_from_text

with warnings.catch_warnings():  # of escapes in its docstrings that are none
    warnings.simplefilter("ignore")
    import oss2
    from oss2 import exceptions

REGION = "cn-hangzhou"
TEMPORARY = Account("STS.example", "example-secret", security_token="example-token")
LARGE = os.urandom(700 * 2**10)
Connect = Callable[..., Any]


@pytest.fixture(autouse=True)
def _one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oss2.defaults, "request_retries", 0)


@pytest.fixture
def simulator() -> OssSimulator:
    made = OssSimulator(accounts=[SIMULATOR, TEMPORARY])
    made.create_bucket("results")
    return made


@pytest.fixture
def port(simulator: OssSimulator) -> Iterator[int]:
    with served(simulator.app, lifespan="off") as port:
        yield port


@pytest.fixture(params=["v1", "v4"])
def connect(request: pytest.FixtureRequest, port: int) -> Connect:
    """Makes a client of a bucket: connect(account, name)."""

    def made(account: Account = SIMULATOR, name: str = "results") -> Any:
        keys = (account.access_key_id, account.access_key_secret)
        url = f"http://127.0.0.1:{port}"
        if account.security_token is not None:
            version = {"v1": oss2.AUTH_VERSION_1, "v4": oss2.AUTH_VERSION_4}[request.param]
            auth = oss2.StsAuth(*keys, account.security_token, auth_version=version)
        else:
            auth = {"v1": oss2.Auth, "v4": oss2.AuthV4}[request.param](*keys)
        return oss2.Bucket(auth, url, name, region=REGION)

    return made


@pytest.fixture
def bucket(connect: Connect) -> Any:
    return connect()


def test_objects_are_put_got_listed_and_deleted(bucket: Any) -> None:
    names = ["a b", "folder/1", "folder/ü+%25&", "z"]
    for name in names:
        bucket.put_object(name, name.encode(), headers={"x-oss-meta-who": "me"})
    assert [one.key for one in oss2.ObjectIterator(bucket, max_keys=2)] == names
    assert [one.key for one in oss2.ObjectIteratorV2(bucket, max_keys=2)] == names
    grouped = [one.key for one in oss2.ObjectIterator(bucket, delimiter="/")]
    assert grouped == ["a b", "folder/", "z"]
    for name in names:
        answer = bucket.get_object(name)
        assert answer.read() == name.encode()
        assert answer.client_crc == answer.server_crc
    assert bucket.head_object("z").headers["x-oss-meta-who"] == "me"
    assert bucket.get_object("folder/1", byte_range=(2, 4)).read() == b"lde"
    assert bucket.object_exists("z")
    bucket.copy_object("results", "folder/ü+%25&", "copy")
    assert bucket.get_object("copy").read() == "folder/ü+%25&".encode()
    bucket.delete_object("z")
    assert not bucket.object_exists("z")
    assert bucket.batch_delete_objects(["a b", "copy"]).deleted_keys == ["a b", "copy"]


def test_an_object_is_created_only_once(bucket: Any) -> None:
    forbid = {"x-oss-forbid-overwrite": "true"}
    bucket.put_object("x", b"one", headers=forbid)
    with pytest.raises(exceptions.ServerError) as caught:
        bucket.put_object("x", b"two", headers=forbid)
    assert (caught.value.status, caught.value.code) == (409, "FileAlreadyExists")
    assert caught.value.request_id
    assert bucket.get_object("x").read() == b"one"


def test_a_file_is_uploaded_in_parts(bucket: Any, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(LARGE)
    store = oss2.ResumableStore(root=str(tmp_path))
    oss2.resumable_upload(
        bucket,
        "large",
        str(source),
        store=store,
        multipart_threshold=1,
        part_size=200 * 2**10,
        num_threads=2,
    )
    bucket.get_object_to_file("large", str(target))
    assert target.read_bytes() == LARGE
    assert bucket.head_object("large").object_type == "Multipart"


def test_uploads_can_be_looked_at_and_aborted(bucket: Any) -> None:
    upload = bucket.init_multipart_upload("large").upload_id
    bucket.upload_part("large", upload, 1, LARGE)
    assert [one.size for one in oss2.PartIterator(bucket, "large", upload)] == [len(LARGE)]
    assert [one.upload_id for one in oss2.MultipartUploadIterator(bucket)] == [upload]
    bucket.abort_multipart_upload("large", upload)
    assert [*oss2.MultipartUploadIterator(bucket)] == []


def test_buckets_are_made_told_about_and_removed(connect: Connect) -> None:
    bucket = connect(name="made-here")
    bucket.create_bucket()
    info = bucket.get_bucket_info()
    assert (info.name, info.location) == ("made-here", f"oss-{REGION}")
    assert bucket.get_bucket_location().location == f"oss-{REGION}"
    bucket.delete_bucket()
    with pytest.raises(exceptions.NoSuchBucket):
        bucket.get_bucket_info()


@pytest.mark.parametrize(
    ("account", "code"),
    [
        (Account("LTAInobody", "made-up"), "InvalidAccessKeyId"),
        (Account(SIMULATOR.access_key_id, "made-up"), "SignatureDoesNotMatch"),
    ],
)
def test_wrong_keys_are_refused(connect: Connect, account: Account, code: str) -> None:
    with pytest.raises(exceptions.ServerError) as caught:
        connect(account).put_object("x", b"x")
    assert (caught.value.status, caught.value.code) == (403, code)


def test_temporary_credentials(connect: Connect, simulator: OssSimulator) -> None:
    connect(TEMPORARY).put_object("x", b"x")
    simulator.accounts.add(
        Account("STS.example", "example-secret", security_token="example-token", expires_at_s=1.0)
    )
    with pytest.raises(exceptions.ServerError) as caught:
        connect(TEMPORARY).put_object("x", b"x")
    assert caught.value.code == "SecurityTokenExpired"


def test_encryption_and_refusals_by_rules(bucket: Any, simulator: OssSimulator) -> None:
    answer = bucket.put_object("x", b"x", headers={"x-oss-server-side-encryption": "AES256"})
    assert answer.headers["x-oss-server-side-encryption"] == "AES256"
    with pytest.raises(exceptions.NoSuchKey):
        bucket.get_object("absent")
    simulator.play(
        scenario_from_text(
            "calls: [{then: {error: {status: 503, code: ServiceUnavailable}}}]", "rules"
        )
    )
    with pytest.raises(exceptions.ServerError) as caught:
        bucket.get_object("x")
    assert (caught.value.status, caught.value.code) == (503, "ServiceUnavailable")
