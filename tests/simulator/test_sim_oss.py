"""The simulated OSS as a client sees it: the official SDK, over HTTP."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import alibabacloud_oss_v2 as oss
import crcmod
import pytest
import uvicorn
from alibabacloud_oss_v2.exceptions import OperationError, ServiceError
from alibabacloud_oss_v2.retry import NopRetryer
from hypothesis import given
from hypothesis import strategies as st

from tidemark.errors import ConfigError
from tidemark.simulator.clock import VirtualClock
from tidemark.simulator.oss.app import OssSimulator
from tidemark.simulator.oss.crc64 import crc64
from tidemark.simulator.oss.listing import page_of
from tidemark.simulator.oss.process import oss_process
from tidemark.simulator.pai.accounts import SIMULATOR, Account
from tidemark.simulator.pai.scenario import scenario_from_text

Connect = Callable[..., Any]
COUNTER = itertools.count()
TEMPORARY = Account("STS.example", "example-secret", security_token="example-token")
ENDED = Account("STS.ended", "example-secret", security_token="ended-token", expires_at_s=1.0)
PART = bytes(range(256)) * 400  # 100 KiB, the least that a part may have


class Served:
    """A simulator on a port, and its address."""

    def __init__(self, simulator: OssSimulator) -> None:
        self.simulator = simulator
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(simulator.app, port=self.port, log_config=None, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()))
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            self._thread.join(0.005)

    def stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(20)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    running = Served(OssSimulator(accounts=[SIMULATOR, TEMPORARY, ENDED]))
    yield running
    running.stop()


@pytest.fixture
def bucket(served: Served) -> str:
    name = f"bucket-{next(COUNTER)}"
    served.simulator.create_bucket(name)
    return name


@pytest.fixture(params=["v4", "v1"])
def signature(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def connect(served: Served) -> Iterator[Connect]:
    """Makes a client: connect(account, **settings)."""

    def made(account: Account = SIMULATOR, **settings: Any) -> oss.Client:
        provider = oss.credentials.StaticCredentialsProvider(
            account.access_key_id, account.access_key_secret, account.security_token
        )
        config = {"region": "cn-hangzhou", "endpoint": served.url, "retryer": NopRetryer()}
        return oss.Client(
            oss.config.Config(**{**config, "credentials_provider": provider, **settings})
        )

    yield made
    served.simulator.play(scenario_from_text("{}", "no rules"))


@pytest.fixture
def client(connect: Connect, signature: str) -> Any:
    return connect(signature_version=signature)


def refusal(call: Callable[[], Any]) -> ServiceError:
    with pytest.raises(OperationError) as caught:
        call()
    error = caught.value.unwrap()
    assert isinstance(error, ServiceError)
    assert error.request_id
    return error


def put(client: Any, bucket: str, key: str, data: bytes = b"x", **fields: Any) -> Any:
    return client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=data, **fields))


def read(client: Any, bucket: str, key: str, **fields: Any) -> bytes:
    with client.get_object(oss.GetObjectRequest(bucket=bucket, key=key, **fields)).body as body:
        data: bytes = body.read()
        return data


def test_an_object_comes_back_with_what_it_was_put_with(client: Any, bucket: str) -> None:
    key = "a b/ü+%25&=?/日本.txt"
    answer = put(client, bucket, key, b"hello", metadata={"who": "me"}, content_type="text/x")
    assert answer.etag == f'"{hashlib.md5(b"hello").hexdigest().upper()}"'
    assert read(client, bucket, key) == b"hello"
    head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key=key))
    assert (head.content_length, head.content_type) == (5, "text/x")
    assert head.metadata == {"who": "me"}
    assert head.hash_crc64 == answer.hash_crc64 == "11177612005948864433"
    meta = client.get_object_meta(oss.GetObjectMetaRequest(bucket=bucket, key=key))
    assert meta.etag == answer.etag
    client.delete_object(oss.DeleteObjectRequest(bucket=bucket, key=key))
    error = refusal(lambda: read(client, bucket, key))
    assert (error.status_code, error.code) == (404, "NoSuchKey")
    error = refusal(lambda: client.head_object(oss.HeadObjectRequest(bucket=bucket, key=key)))
    assert (error.status_code, error.code) == (404, "NoSuchKey")


def test_an_object_is_not_overwritten_where_that_is_forbidden(client: Any, bucket: str) -> None:
    put(client, bucket, "x", b"one", forbid_overwrite="true")
    error = refusal(lambda: put(client, bucket, "x", b"two", forbid_overwrite="true"))
    assert (error.status_code, error.code) == (409, "FileAlreadyExists")
    assert read(client, bucket, "x") == b"one"
    put(client, bucket, "x", b"three", forbid_overwrite="false")
    put(client, bucket, "x", b"four")
    assert read(client, bucket, "x") == b"four"
    client.put_bucket_versioning(
        oss.PutBucketVersioningRequest(
            bucket=bucket, versioning_configuration=oss.VersioningConfiguration(status="Enabled")
        )
    )
    put(client, bucket, "x", b"five", forbid_overwrite="true")
    assert read(client, bucket, "x") == b"five"


@pytest.mark.parametrize(
    ("wanted", "plain", "standard"),
    [
        ("bytes=2-4", b"234", b"234"),
        ("bytes=7-", b"789", b"789"),
        ("bytes=-3", b"789", b"789"),
        ("bytes=8-99", b"0123456789", b"89"),
        ("bytes=-99", b"0123456789", b"0123456789"),
        ("bytes=4-2", b"0123456789", b"0123456789"),
    ],
)
def test_ranges(connect: Connect, bucket: str, wanted: str, plain: bytes, standard: bytes) -> None:
    client = connect()
    put(client, bucket, "digits", b"0123456789")
    assert read(client, bucket, "digits", range_header=wanted) == plain
    found = read(client, bucket, "digits", range_header=wanted, range_behavior="standard")
    assert found == standard


def test_a_range_behind_the_end_is_refused_only_where_that_is_asked_for(
    connect: Connect, bucket: str
) -> None:
    client = connect()
    put(client, bucket, "x", b"0123")
    assert read(client, bucket, "x", range_header="bytes=9-") == b"0123"
    error = refusal(
        lambda: read(client, bucket, "x", range_header="bytes=9-", range_behavior="standard")
    )
    assert (error.status_code, error.code) == (416, "InvalidRange")


def test_bytes_that_changed_on_the_way_are_not_kept(client: Any, bucket: str) -> None:
    digest = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    error = refusal(lambda: put(client, bucket, "x", b"these", content_md5=digest))
    assert (error.status_code, error.code) == (400, "InvalidDigest")
    assert refusal(lambda: read(client, bucket, "x")).code == "NoSuchKey"


def test_an_object_in_parts(client: Any, bucket: str) -> None:
    same = {"bucket": bucket, "key": "large"}
    begun = client.initiate_multipart_upload(
        oss.InitiateMultipartUploadRequest(**same, metadata={"who": "me"})
    )
    same["upload_id"] = begun.upload_id
    parts = []
    for number, data in ((1, PART), (2, b"the rest")):
        answer = client.upload_part(oss.UploadPartRequest(**same, part_number=number, body=data))
        parts.append(oss.UploadPart(part_number=number, etag=answer.etag))
    listed = client.list_parts(oss.ListPartsRequest(**same)).parts
    assert [(one.part_number, one.size) for one in listed] == [(1, len(PART)), (2, 8)]
    uploads = client.list_multipart_uploads(oss.ListMultipartUploadsRequest(bucket=bucket)).uploads
    assert [one.upload_id for one in uploads] == [begun.upload_id]

    def complete(which: list[Any], **fields: Any) -> Any:
        chosen = oss.CompleteMultipartUpload(parts=which)
        return client.complete_multipart_upload(
            oss.CompleteMultipartUploadRequest(**same, complete_multipart_upload=chosen, **fields)
        )

    assert refusal(lambda: complete(parts[::-1])).code == "InvalidPartOrder"
    wrong = [oss.UploadPart(part_number=1, etag="0")]
    assert refusal(lambda: complete(wrong)).code == "InvalidPart"
    put(client, bucket, "large", b"first")
    error = refusal(lambda: complete(parts, forbid_overwrite="true"))
    assert (error.status_code, error.code) == (409, "FileAlreadyExists")
    assert read(client, bucket, "large") == b"first"
    assert complete(parts).etag.endswith('-2"')
    assert read(client, bucket, "large") == PART + b"the rest"
    head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key="large"))
    assert (head.object_type, head.metadata) == ("Multipart", {"who": "me"})
    assert refusal(lambda: complete(parts)).code == "NoSuchUpload"


def test_parts_may_be_too_small_or_given_up(connect: Connect, bucket: str) -> None:
    client = connect()
    begun = client.initiate_multipart_upload(
        oss.InitiateMultipartUploadRequest(bucket=bucket, key="large")
    )
    same = {"bucket": bucket, "key": "large", "upload_id": begun.upload_id}
    for number in (1, 2):
        client.upload_part(oss.UploadPartRequest(**same, part_number=number, body=b"small"))
    completing = oss.CompleteMultipartUploadRequest(**same, complete_all="yes")
    error = refusal(lambda: client.complete_multipart_upload(completing))
    assert (error.status_code, error.code) == (400, "EntityTooSmall")
    client.abort_multipart_upload(oss.AbortMultipartUploadRequest(**same))
    error = refusal(lambda: client.list_parts(oss.ListPartsRequest(**same)))
    assert (error.status_code, error.code) == (404, "NoSuchUpload")


@pytest.mark.parametrize("version", [1, 2])
def test_lists_are_grouped_and_come_in_pages(client: Any, bucket: str, version: int) -> None:
    for key in ("a/1", "a/2 ü", "b", "c/x/1", "d"):
        put(client, bucket, key)

    def pages(**fields: Any) -> Iterator[Any]:
        request = {"bucket": bucket, "max_keys": 2, **fields}
        while True:
            if version == 1:
                page = client.list_objects(oss.ListObjectsRequest(**request))
                request["marker"] = page.next_marker
            else:
                page = client.list_objects_v2(oss.ListObjectsV2Request(**request))
                request["continuation_token"] = page.next_continuation_token
            yield page
            if not page.is_truncated:
                return

    def names(**fields: Any) -> list[str]:
        found = []
        for page in pages(**fields):
            entries = [one.key for one in page.contents or ()]
            entries += [one.prefix for one in page.common_prefixes or ()]
            assert len(entries) <= 2
            found += entries
        return found

    assert names() == ["a/1", "a/2 ü", "b", "c/x/1", "d"]
    assert sorted(names(delimiter="/")) == ["a/", "b", "c/", "d"]
    assert names(prefix="a/", delimiter="/") == ["a/1", "a/2 ü"]
    assert names(prefix="c/", delimiter="/") == ["c/x/"]
    assert names(prefix="nothing") == []


@given(
    names=st.sets(st.text("ab/", min_size=1, max_size=5)),
    prefix=st.text("a/", max_size=2),
    delimiter=st.sampled_from(["", "/"]),
    most=st.integers(1, 3),
)
def test_pages_together_hold_every_name_once(
    names: set[str], prefix: str, delimiter: str, most: int
) -> None:
    expected = set()
    for name in names:
        if name.startswith(prefix):
            head, found, _ = name[len(prefix) :].partition(delimiter or "\0")
            expected.add(f"{prefix}{head}/" if delimiter and found else name)
    listed: list[str] = []
    after = ""
    while True:
        keys, groups, after = page_of(names, prefix, delimiter, after, most)
        assert len(keys) + len(groups) <= most
        listed += [*keys, *groups]
        if not after:
            break
    assert len(listed) == len(set(listed))
    assert set(listed) == expected


def test_several_are_deleted_at_once_and_one_is_copied(client: Any, bucket: str) -> None:
    put(client, bucket, "a b", b"data", metadata={"who": "me"})
    copying = oss.CopyObjectRequest(bucket=bucket, key="copy", source_key="a b")
    client.copy_object(copying)
    head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key="copy"))
    assert head.metadata == {"who": "me"}
    copying.forbid_overwrite = "true"
    assert refusal(lambda: client.copy_object(copying)).code == "FileAlreadyExists"
    keys = [oss.DeleteObject(key=key) for key in ("a b", "copy", "absent")]
    answer = client.delete_multiple_objects(
        oss.DeleteMultipleObjectsRequest(bucket=bucket, objects=keys)
    )
    assert [one.key for one in answer.deleted_objects] == ["a b", "copy", "absent"]
    assert not client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket)).contents


def test_buckets(client: Any, signature: str) -> None:
    name = f"made-{signature}"
    client.put_bucket(oss.PutBucketRequest(bucket=name))
    info = client.get_bucket_info(oss.GetBucketInfoRequest(bucket=name)).bucket_info
    assert (info.name, info.location) == (name, "oss-cn-hangzhou")
    assert info.intranet_endpoint == "oss-cn-hangzhou-internal.aliyuncs.com"
    location = client.get_bucket_location(oss.GetBucketLocationRequest(bucket=name))
    assert location.location == "oss-cn-hangzhou"
    assert name in [one.name for one in client.list_buckets(oss.ListBucketsRequest()).buckets]
    put(client, name, "x")
    error = refusal(lambda: client.delete_bucket(oss.DeleteBucketRequest(bucket=name)))
    assert (error.status_code, error.code) == (409, "BucketNotEmpty")
    client.delete_object(oss.DeleteObjectRequest(bucket=name, key="x"))
    client.delete_bucket(oss.DeleteBucketRequest(bucket=name))
    error = refusal(lambda: put(client, name, "x"))
    assert (error.status_code, error.code) == (404, "NoSuchBucket")


@pytest.mark.parametrize(
    ("account", "code"),
    [
        (Account("LTAInobody", "made-up"), "InvalidAccessKeyId"),
        (Account(SIMULATOR.access_key_id, "made-up"), "SignatureDoesNotMatch"),
        (Account("STS.example", "example-secret"), "InvalidSecurityToken"),
        (Account("STS.example", "example-secret", security_token="x"), "InvalidSecurityToken"),
        (Account("LTAIsimulator", "simulator-secret", security_token="x"), "InvalidSecurityToken"),
        (ENDED, "SecurityTokenExpired"),
    ],
)
def test_who_may_not_call_is_told_why(
    connect: Connect, signature: str, bucket: str, account: Account, code: str
) -> None:
    client = connect(account, signature_version=signature)
    error = refusal(lambda: put(client, bucket, "x"))
    assert (error.status_code, error.code) == (403, code)
    error = refusal(lambda: client.head_object(oss.HeadObjectRequest(bucket=bucket, key="x")))
    assert error.code == code


def test_a_session_token_is_accepted(connect: Connect, signature: str, bucket: str) -> None:
    put(connect(TEMPORARY, signature_version=signature), bucket, "x")


def test_nobody_and_somebody_else_are_denied(
    served: Served, connect: Connect, signature: str, bucket: str
) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{served.url}/{bucket}/x", timeout=10)
    with caught.value as answer:
        assert answer.status == 403
        assert b"<Code>AccessDenied</Code>" in answer.read()
    other = Account("LTAIother", "other-secret", account_id="42")
    served.simulator.accounts.add(other)
    error = refusal(lambda: put(connect(other, signature_version=signature), bucket, "x"))
    assert (error.status_code, error.code) == (403, "AccessDenied")


def test_a_signature_of_another_region_is_refused(connect: Connect, bucket: str) -> None:
    error = refusal(lambda: put(connect(region="cn-beijing"), bucket, "x"))
    assert (error.status_code, error.code) == (400, "InvalidArgument")
    assert "region" in error.message


@pytest.mark.parametrize(("minutes", "accepted"), [(14, True), (16, False), (-16, False)])
def test_a_clock_that_is_wrong_is_refused(signature: str, minutes: int, accepted: bool) -> None:
    skewed = datetime.now(UTC) + timedelta(minutes=minutes)
    running = Served(OssSimulator(clock=VirtualClock(skewed.timestamp())))
    running.simulator.create_bucket("results")
    client = oss.Client(
        oss.config.Config(
            region="cn-hangzhou",
            endpoint=running.url,
            retryer=NopRetryer(),
            signature_version=signature,
            credentials_provider=oss.credentials.StaticCredentialsProvider(
                SIMULATOR.access_key_id, SIMULATOR.access_key_secret
            ),
        )
    )
    try:
        if accepted:
            put(client, "results", "x")
        else:
            error = refusal(lambda: put(client, "results", "x"))
            assert (error.status_code, error.code) == (403, "RequestTimeTooSkewed")
    finally:
        running.stop()


def test_the_bucket_may_stand_in_the_host(
    served: Served, connect: Connect, signature: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _, *rest, **named: look_up("127.0.0.1", *rest, **named)
    )
    client = connect(endpoint=f"http://oss.simulator:{served.port}", signature_version=signature)
    put(client, bucket, "a b", b"data")
    assert read(client, bucket, "a b") == b"data"
    public = f"http://oss-cn-hangzhou.aliyuncs.com:{served.port}"
    inside = f"http://oss-cn-hangzhou-internal.aliyuncs.com:{served.port}"
    for endpoint in (public, inside):
        client = connect(endpoint=endpoint, signature_version=signature)
        assert read(client, bucket, "a b") == b"data"
    client = connect(endpoint=public, signature_version=signature, use_path_style=True)
    error = refusal(lambda: read(client, bucket, "a b"))
    assert (error.status_code, error.code) == (403, "SecondLevelDomainForbidden")
    elsewhere = f"http://oss-cn-beijing.aliyuncs.com:{served.port}"
    client = connect(endpoint=elsewhere, signature_version=signature)
    error = refusal(lambda: read(client, bucket, "a b"))
    assert (error.status_code, error.code) == (403, "AccessDenied")
    assert error.error_fileds["Endpoint"] == "oss-cn-hangzhou.aliyuncs.com"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"server_side_encryption": "DES"}, "InvalidEncryptionAlgorithmError"),
        (
            {"server_side_encryption": "AES256", "server_side_encryption_key_id": "k"},
            "InvalidArgument",
        ),
    ],
)
def test_an_encryption_that_there_is_not_is_refused(
    client: Any, bucket: str, fields: dict[str, str], code: str
) -> None:
    assert refusal(lambda: put(client, bucket, "x", **fields)).code == code


def test_encryption_is_told_with_every_answer(client: Any, bucket: str) -> None:
    asked = {"server_side_encryption": "KMS", "server_side_encryption_key_id": "key-example"}
    answers = [
        put(client, bucket, "x", **asked),
        client.head_object(oss.HeadObjectRequest(bucket=bucket, key="x")),
    ]
    for answer in answers:
        assert answer.headers["x-oss-server-side-encryption"] == "KMS"
        assert answer.headers["x-oss-server-side-encryption-key-id"] == "key-example"


def test_what_goes_wrong_by_rules(served: Served, connect: Connect, bucket: str) -> None:
    client = connect()
    rules = """
calls:
  - {when: {action: PutObject, nth: 1}, then: {error: {status: 503, code: QpsLimitExceeded}}}
  - {when: {action: PutObject, nth: 2}, then: {lost: request}}
  - {when: {action: PutObject, nth: 3}, then: {lost: answer}}
  - {when: {action: GetObject, nth: 1}, then: {lost: answer}}
"""
    served.simulator.play(scenario_from_text(rules, "rules"))
    error = refusal(lambda: put(client, bucket, "x", b"1"))
    assert (error.status_code, error.code) == (503, "QpsLimitExceeded")
    for key, there in (("asked", False), ("answered", True)):
        with pytest.raises(OperationError):
            put(client, bucket, key, b"0123456789")
        assert (key in served.simulator.state()["buckets"][bucket]["objects"]) is there
    answer = client.get_object(oss.GetObjectRequest(bucket=bucket, key="answered"))
    assert answer.content_length == 10
    with pytest.raises(Exception, match=r"IncompleteRead|Connection broken"):
        answer.body.read()
    assert read(client, bucket, "answered") == b"0123456789"


def test_requests_and_bytes_are_counted_and_no_secret_is_kept(bucket: str) -> None:
    with oss_process("--bucket", bucket, "--max-seconds", "60") as process:
        provider = oss.credentials.StaticCredentialsProvider(
            SIMULATOR.access_key_id, SIMULATOR.access_key_secret
        )
        config = oss.config.Config(
            region="cn-hangzhou", endpoint=process.url, credentials_provider=provider
        )
        client = oss.Client(config)
        put(client, bucket, "x", bytes(1000))
        read(client, bucket, "x")

        def told(name: str) -> Any:
            with urllib.request.urlopen(f"{process.url}/_simulator/{name}", timeout=10) as answer:
                return json.loads(answer.read())

        assert told("bill") == {
            "requests": {"PutObject": 1, "GetObject": 1},
            "received_bytes": 1000,
            "sent_bytes": 1000,
            "stored_bytes": 1000,
        }
        assert told("state")["buckets"][bucket]["objects"]["x"]["size_bytes"] == 1000
        seen = told("requests")["requests"]
        assert [one["action"] for one in seen] == ["PutObject", "GetObject"]
        assert SIMULATOR.access_key_secret not in json.dumps([seen, told("state")])


@given(st.binary(max_size=300))
def test_the_sum_of_bytes_is_that_of_the_sdks(data: bytes) -> None:
    reference = crcmod.mkCrcFun(0x142F0E1EBA9EA3693, initCrc=0, xorOut=0xFFFFFFFFFFFFFFFF)
    assert crc64(data) == reference(data)
    long = data * 200 + b"end" if len(data) > 200 else data
    assert crc64(long) == reference(long)


def test_a_rule_for_an_operation_that_there_is_not_is_refused_with_the_nearest() -> None:
    rules = "calls: [{when: {action: PutObjekt}, then: {html: 502}}]"
    with pytest.raises(ConfigError, match=r"Did you mean PutObject\?"):
        OssSimulator(scenario=scenario_from_text(rules, "rules"))
