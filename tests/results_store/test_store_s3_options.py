"""Options and credentials of a store on S3: what is asked of the service, what is refused."""

from __future__ import annotations

import gzip
import itertools
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import boto3
import pytest

from tidemark.errors import StoreError
from tidemark.results.store import Attempt, open_store

MakeAttempt = Callable[..., Attempt]
COUNTER = itertools.count()
KEY_ID, SECRET, TOKEN = (
    "AKIAMADEUPMADEUP0001",
    "made/up+canary/of/a/secret/key",
    "canary-token-0001",
)


class Service(Protocol):
    endpoint_url: str

    def create_bucket(self, name: str) -> None: ...
    def ask(self, method: str, path: str, body: bytes = b"") -> bytes: ...


@pytest.fixture
def bucket(s3: Service) -> str:
    name = f"options-{next(COUNTER)}"
    s3.create_bucket(name)
    return name


def client(s3: Service, service: str = "s3") -> Any:
    return boto3.session.Session().client(
        service,
        endpoint_url=s3.endpoint_url,
        aws_access_key_id="made-up",
        aws_secret_access_key="made-up",
        region_name="us-east-1",
    )


@pytest.mark.parametrize(
    ("options", "head"),
    [
        ({"sse": "AES256"}, {"ServerSideEncryption": "AES256"}),
        (
            {"sse": "aws:kms", "sse_kms_key_id": "alias/results"},
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/results"},
        ),
    ],
)
def test_encryption_is_asked_for_with_each_object(
    s3: Service,
    bucket: str,
    make_attempt: MakeAttempt,
    options: dict[str, str],
    head: dict[str, str],
) -> None:
    options = {"endpoint_url": s3.endpoint_url, **options}
    store = open_store(f"s3://{bucket}/p", options=options)
    store.put_cell(make_attempt())
    files = store._files
    put = files.filesystem.pipe_file
    files.filesystem.pipe_file = lambda *a, **k: put(*a, **k, chunksize=5 * 2**20)
    files.create("raw/large", bytes(11 * 2**20))  # in several uploads
    service = client(s3)
    keys = [each["Key"] for each in service.list_objects_v2(Bucket=bucket)["Contents"]]
    assert len(keys) > 5
    for key in keys:
        found = service.head_object(Bucket=bucket, Key=key)
        assert {name: found[name] for name in head} == head
    assert store.cells().num_rows == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sse": "aes256"}, "Did you mean AES256?"),
        ({"sse": "kms"}, "Did you mean aws:kms?"),
        ({"sse": "none"}, "There are: AES256, aws:kms"),
        ({"sse_kms_key_id": "alias/results"}, "sse=aws:kms"),
        ({"sse": "AES256", "sse_kms_key_id": "alias/results"}, "sse=aws:kms"),
        ({"endpont_url": "http://127.0.0.1:9"}, "Did you mean endpoint_url?"),
        ({"addressing_style": "paths"}, "Did you mean path?"),
        ({"anonymous": "yes"}, "There are: true, false"),
        ({"region": ""}, "region is empty"),
        ({"endpoint_url": "127.0.0.1:9"}, "https://host"),
        ({"endpoint_url": "http://127.0.0.1:port"}, "https://host"),
        ({"endpoint_url": "http://name:c4nary@127.0.0.1:9"}, "AWS_ACCESS_KEY_ID"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store("s3://my-bucket", options=options)
    assert words in str(caught.value)
    assert "c4nary" not in str(caught.value)


@pytest.mark.parametrize(
    ("credentials", "options", "words"),
    [
        ({"acces_key_id": "c4nary"}, {}, "Did you mean access_key_id?"),
        ({"c4nary!": "x"}, {}, "There are: access_key_id"),
        ({"access_key_id": "c4nary"}, {}, "secret_access_key is missing"),
        ({"access_key_id": "", "secret_access_key": "c4nary"}, {}, "access_key_id is missing"),
        ({"access_key_id": "a", "secret_access_key": "c4nary\n"}, {}, "secret_access_key cannot"),
        ({"access_key_id": "a", "secret_access_key": "c4nary"}, {"profile": "p"}, "profile"),
        ({"access_key_id": "a", "secret_access_key": "c4nary"}, {"anonymous": "true"}, "anonymous"),
    ],
)
def test_credentials_that_cannot_be_used_are_refused_without_being_shown(
    credentials: dict[str, str], options: dict[str, str], words: str
) -> None:
    with pytest.raises(StoreError) as caught:
        open_store("s3://my-bucket", options=options, credentials=credentials)
    assert words in str(caught.value)
    assert "c4nary" not in str(caught.value)


def test_a_folder_has_neither_options_nor_credentials(tmp_path: Path) -> None:
    for given in ({"options": {"sse": "AES256"}}, {"credentials": {"access_key_id": "a"}}):
        with pytest.raises(StoreError):
            open_store(str(tmp_path), **given)


@pytest.mark.parametrize("where", ["variable", "variable of s3", "profile", "services of profile"])
def test_an_endpoint_of_the_environment_is_used_like_the_option(
    s3: Service, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    if where == "variable":
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint_url)
    elif where == "variable of s3":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint_url)
    else:
        named = f"endpoint_url = {s3.endpoint_url}\n"
        if where == "services of profile":
            named = f"services = here\n[services here]\ns3 =\n  {named}"
        (tmp_path / "config").write_text(f"[profile harbour]\nregion = us-east-1\n{named}")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_PROFILE", "harbour")
    store = open_store(f"s3://{bucket}/p")
    assert store.probe().notes == ()
    # Without the option's settings each put would carry a checksum that such services refuse.
    store._files.create("raw/x", b"x")
    found = client(s3).head_object(Bucket=bucket, Key="p/raw/x", ChecksumMode="ENABLED")
    assert not [name for name in found if name.startswith("Checksum")]


def test_credentials_that_are_given_are_used_before_those_of_the_environment(
    s3: Service, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    given = {"access_key_id": KEY_ID, "secret_access_key": SECRET, "session_token": TOKEN}
    options = {"endpoint_url": s3.endpoint_url, "region": "us-east-1"}
    assert open_store(f"s3://{bucket}", options=options, credentials=given).probe().notes == ()


@pytest.fixture
def guarded(s3: Service, bucket: str) -> Iterator[dict[str, dict[str, str]]]:
    """A service that checks signatures and rights, and two users: one may write, one may not."""
    iam = client(s3, "iam")
    users = {}
    for name in ("writer", "stranger"):
        user = f"{name}-of-{bucket}"
        iam.create_user(UserName=user)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        users[name] = {
            "access_key_id": key["AccessKeyId"],
            "secret_access_key": key["SecretAccessKey"],
        }
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [allowed]}
    iam.put_user_policy(
        UserName=f"writer-of-{bucket}", PolicyName="all", PolicyDocument=json.dumps(policy)
    )
    s3.ask("POST", "/moto-api/reset-auth", b"0")
    yield users
    s3.ask("POST", "/moto-api/reset-auth", b"inf")


def test_wrong_credentials_are_refused_by_name_and_shown_nowhere(
    s3: Service,
    bucket: str,
    guarded: dict[str, dict[str, str]],
    make_attempt: MakeAttempt,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    options = {"endpoint_url": s3.endpoint_url, "region": "us-east-1"}
    uri = f"s3://{bucket}/p"
    assert open_store(uri, options=options, credentials=guarded["writer"]).probe().notes == ()
    cases = {
        "the secret key is wrong": {**guarded["writer"], "secret_access_key": SECRET},
        "the access key is not known there": {"access_key_id": KEY_ID, "secret_access_key": SECRET},
        "access is denied": guarded["stranger"],
        "the session token is wrong": {**guarded["writer"], "session_token": TOKEN},
    }
    caplog.set_level(logging.DEBUG)
    said = []
    for message, credentials in cases.items():
        outbox = tmp_path / message.replace(" ", "-")
        store = open_store(uri, options=options, credentials=credentials, outbox=outbox)
        with pytest.raises(StoreError, match=message) as caught:
            store.probe()
        assert caught.value.remedy
        with pytest.raises(StoreError, match="denied" if "denied" in message else message):
            store.cells()
        store.put_cell(make_attempt())  # nothing measured is lost for a key that is withdrawn
        assert store.waiting().files > 5
        kept = [path.read_bytes() for path in outbox.rglob("*") if path.is_file()]
        said += [str(caught.value), repr(caught.value), repr(store), repr(store._files)]
        said += [repr(vars(store)), *(data.decode("latin-1") for data in kept)]
    said.append(caplog.text)
    for text in said:
        for secret in (SECRET, TOKEN, KEY_ID, *guarded["stranger"].values()):
            assert secret not in text


def test_what_a_service_echoes_of_credentials_is_not_repeated(
    s3: Service, bucket: str, make_attempt: MakeAttempt
) -> None:
    given = {"access_key_id": KEY_ID, "secret_access_key": SECRET}
    options = {"endpoint_url": s3.endpoint_url}
    store = open_store(f"s3://{bucket}/p", options=options, credentials=given)
    attempt = make_attempt()
    log = {"engine.json": json.dumps({"environment": [KEY_ID, SECRET]}).encode()}
    stored = store.put_cell(Attempt(row=attempt.row, requests=attempt.requests, raw_files=log))
    text = gzip.decompress(store.files.read(f"{stored.raw_folder}/engine.json.gz")).decode()
    assert "environment" in text
    assert SECRET not in text
    assert KEY_ID not in text
