"""What the clouds answer, and what follows from it: ask again, let it wait, or say it is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from canned import Canned, Said
from cloud_services import Azure, Oci

from tidemark.errors import StoreAway, StoreError
from tidemark.results.patience import Patience
from tidemark.results.store import Store, open_store

Answers = Callable[[list[Said]], Canned]
Open = Callable[[str, str], Store]


@pytest.fixture
def answers() -> Iterator[Answers]:
    begun: list[Canned] = []

    def begin(said: list[Said]) -> Canned:
        begun.append(Canned(said))
        return begun[-1]

    yield begin
    for server in begun:
        server.close()


def azure(status: int, code: str) -> Said:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>said so</Message></Error>"
    return Said(status, body.encode(), {"x-ms-error-code": code, "content-type": "application/xml"})


def gcs(status: int, reason: str) -> Said:
    error = {"code": status, "message": "said so", "errors": [{"reason": reason}]}
    return Said(status, json.dumps({"error": error}).encode(), {"content-type": "application/json"})


def oci(status: int, code: str) -> Said:
    body = json.dumps({"code": code, "message": "said so"}).encode()
    return Said(status, body, {"content-type": "application/json"})


KINDS = {"azure": azure, "gcs": gcs, "oci": oci}
FINE = {
    "azure": Said(201, b"", {"etag": '"1"', "last-modified": "Sat, 21 Nov 2026 00:00:00 GMT"}),
    "gcs": Said(200, b"{}", {"content-type": "application/json"}),
    "oci": Said(200, b"", {"etag": "1"}),
}


@pytest.fixture
def open_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens a store of a kind at an address, with an outbox and without pauses."""

    def opened(kind: str, endpoint_url: str) -> Store:
        patience = Patience(connect_s=5.0, answer_s=20.0, sleep=lambda _: None)
        options, credentials = {"endpoint_url": endpoint_url}, {}
        if kind == "azure":
            uri, credentials = "az://harbour/results/p", {"azure_account_key": Azure.key}
        elif kind == "gcs":
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint_url)  # for nobody in particular
            uri = "gs://results/p"
        else:
            uri, options["config_file"] = "oci://n/harbour/b/results/o/p", str(Oci(tmp_path).config)
        outbox = tmp_path / "outbox"
        return open_store(
            uri, options=options, credentials=credentials, outbox=outbox, patience=patience
        )

    return opened


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("azure", 503, "ServerBusy"),
        ("azure", 500, "InternalError"),
        ("azure", 500, "OperationTimedOut"),
        ("azure", 429, "TooManyRequests"),
        ("gcs", 503, "backendError"),
        ("gcs", 429, "rateLimitExceeded"),
        ("gcs", 403, "rateLimitExceeded"),
        ("gcs", 502, "badGateway"),
        ("gcs", 408, "requestTimeout"),
        ("gcs", 409, "conflict"),
        ("oci", 503, "ServiceUnavailable"),
        ("oci", 429, "TooManyRequests"),
        ("oci", 500, "InternalServerError"),
        ("oci", 409, "ConcurrentObjectUpdate"),
    ],
)
def test_what_may_pass_is_asked_again_as_often_as_patience_says(
    answers: Answers, open_it: Open, kind: str, status: int, code: str
) -> None:
    said = KINDS[kind](status, code)
    mended = answers([said, said, FINE[kind]])
    store = open_it(kind, mended.endpoint_url)
    store.files.create("raw/cell/attempt/x", b"x")
    assert (mended.heard, store.waiting().files) == (3, 0)
    broken = answers([said])
    store = open_it(kind, broken.endpoint_url)
    store._files.create("raw/cell/attempt/x", b"x")
    assert (broken.heard, store.waiting().files) == (3, 1)


@pytest.mark.parametrize(
    ("kind", "status", "code", "words"),
    [
        ("azure", 404, "ContainerNotFound", "no such container"),
        ("azure", 403, "AuthenticationFailed", "key or the signature is wrong"),
        ("azure", 403, "AuthorizationPermissionMismatch", "Storage Blob Data Contributor"),
        ("azure", 403, "AuthorizationFailure", "access is denied"),
        ("azure", 403, "KeyBasedAuthenticationNotPermitted", "no account keys"),
        ("azure", 403, "SomethingNewAboutRights", "access is denied"),
        ("azure", 409, "ContainerBeingDeleted", "being deleted"),
        ("azure", 403, "AccountIsDisabled", "disabled"),
        ("gcs", 404, "notFound", "no such bucket"),
        ("gcs", 401, "authError", "credentials are refused"),
        ("gcs", 403, "forbidden", "Storage Object User"),
        ("gcs", 403, "quotaExceeded", "quota"),
        ("gcs", 400, "userProjectMissing", "gcp_project_id"),
        ("oci", 404, "BucketNotFound", "no such bucket"),
        ("oci", 404, "NotAuthorizedOrNotFound", "may not use it"),
        ("oci", 401, "NotAuthenticated", "key_file of the profile DEFAULT"),
        ("oci", 403, "NotAuthorized", "OBJECT_CREATE"),
        ("oci", 400, "QuotaExceeded", "quota"),
        ("oci", 400, "KmsKeyDisabled", "sse_kms_key_id"),
    ],
)
def test_what_stays_is_asked_once_and_the_result_waits(
    answers: Answers, open_it: Open, kind: str, status: int, code: str, words: str
) -> None:
    server = answers([KINDS[kind](status, code)])
    store = open_it(kind, server.endpoint_url)
    with pytest.raises(StoreAway, match=words) as caught:
        store.files.replace("leases/x", b"x")  # which never waits
    assert caught.value.remedy
    assert server.heard == 1
    store._files.create("raw/cell/attempt/x", b"x")
    assert (server.heard, store.waiting().files) == (2, 1)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("azure", 400, "InvalidHeaderValue"),
        ("azure", 413, "RequestBodyTooLarge"),
        ("azure", 501, "NotImplemented"),
        ("gcs", 400, "badRequest"),
        ("gcs", 501, "notImplemented"),
        ("oci", 400, "InvalidObjectName"),
        ("oci", 413, "RequestEntityTooLarge"),
    ],
)
def test_what_can_never_succeed_neither_waits_nor_is_repeated(
    answers: Answers, open_it: Open, kind: str, status: int, code: str
) -> None:
    server = answers([KINDS[kind](status, code)])
    store = open_it(kind, server.endpoint_url)
    with pytest.raises(StoreError) as caught:
        store._files.create("raw/cell/attempt/x", b"x")
    assert not isinstance(caught.value, StoreAway)
    assert caught.value.remedy
    assert (server.heard, store.waiting().files) == (1, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_something_in_between_is_no_answer_of_the_service(
    answers: Answers, open_it: Open, kind: str
) -> None:
    page = Said(503, b"<html>Sorry</html>", {"content-type": "text/html"})
    server = answers([page, page, FINE[kind]])
    store = open_it(kind, server.endpoint_url)
    store.files.create("raw/cell/attempt/x", b"x")
    assert (server.heard, store.waiting().files) == (3, 0)


@pytest.mark.parametrize("printed", ["c4nary", "\\377"])
def test_a_process_that_gives_no_credentials_for_s3_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str
) -> None:
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process=/usr/bin/printf '{printed}'\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "absent"))
    options = {"endpoint_url": "http://127.0.0.1:9"}
    store = open_store("s3://results@us-east-1/p", options=options)
    with pytest.raises(StoreAway, match="answers no JSON") as caught:
        store.files.list("raw")
    assert "credential_process" in str(caught.value)
    assert "c4nary" not in str(caught.value)
