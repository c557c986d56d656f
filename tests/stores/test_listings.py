"""Listings whose pages name each other as the next: they end, and say so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from canned import Canned, Said
from cloud_services import Azure, Oci
from conftest import HASTY

from tidemark.errors import StoreAway, StoreError
from tidemark.results.store import Store, open_store

JSON, XML = {"content-type": "application/json"}, {"content-type": "application/xml"}
RELEASE = Said(
    200, b'{"id": 1, "upload_url": "http://127.0.0.1:9/uploads{?name,label}"}', JSON)  # fmt: skip


def azure(name: str, following: str) -> Said:
    blob = f"<Blob><Name>p/raw/{name}</Name><Properties><Content-Length>1</Content-Length>"
    blob += (
        "<Last-Modified>Sat, 21 Nov 2026 00:00:00 GMT</Last-Modified><BlobType>BlockBlob</BlobType>"
    )
    blob += "</Properties></Blob>"
    body = f"<EnumerationResults ContainerName='results'><Blobs>{blob}</Blobs>"
    body += f"<NextMarker>{following}</NextMarker></EnumerationResults>"
    return Said(200, f"<?xml version='1.0'?>{body}".encode(), XML)


def gcs(name: str, following: str) -> Said:
    page = {"kind": "storage#objects", "items": [{"name": f"p/raw/{name}", "size": "1"}]}
    return Said(200, json.dumps({**page, "nextPageToken": following or None}).encode(), JSON)


def oci(name: str, following: str) -> Said:
    page = {"objects": [{"name": f"p/raw/{name}", "size": 1}], "prefixes": []}
    return Said(200, json.dumps({**page, "nextStartWith": following or None}).encode(), JSON)


def github(name: str, following: str) -> Said:
    asset = {"id": ord(name), "name": f"raw__{name}", "label": "", "state": "uploaded", "size": 1}
    body = json.dumps([{**asset, "created_at": "2026-11-21T00:00:00Z"}]).encode()
    link = f'<repos/o/r/releases/1/assets?page={following}>; rel="next"'
    return Said(200, body, {**JSON, **({"link": link} if following else {})})


def s3(name: str, following: str) -> Said:
    body = f"<IsTruncated>{str(bool(following)).lower()}</IsTruncated>"
    body += f"<NextContinuationToken>{following}</NextContinuationToken>" if following else ""
    body += f"<Contents><Key>p/raw/{name}</Key><Size>1</Size>"
    body += "<LastModified>2026-11-21T00:00:00.000Z</LastModified></Contents>"
    return Said(200, f"<ListBucketResult>{body}</ListBucketResult>".encode(), XML)


def oss(name: str, following: str) -> Said:
    body = f"<Name>results</Name><Prefix>p/raw/</Prefix><IsTruncated>{str(bool(following)).lower()}"
    body += "</IsTruncated>"
    body += f"<NextContinuationToken>{following}</NextContinuationToken>" if following else ""
    body += f"<Contents><Key>p/raw/{name}</Key><Size>1</Size>"
    body += "<LastModified>2026-11-21T00:00:00.000Z</LastModified></Contents>"
    headers = {**XML, "x-oss-request-id": "0123456789ABCDEF01234567"}
    return Said(200, f"<ListBucketResult>{body}</ListBucketResult>".encode(), headers)


PAGES: dict[str, Callable[[str, str], Said]] = {
    "azure": azure, "gcs": gcs, "oci": oci, "github": github, "s3": s3, "oss": oss}  # fmt: skip


@pytest.fixture
def served() -> Iterator[Callable[[list[Said]], Canned]]:
    begun: list[Canned] = []

    def begin(said: list[Said]) -> Canned:
        begun.append(Canned(said))
        return begun[-1]

    yield begin
    for server in begun:
        server.close()


def opened(kind: str, server: Canned, folder: Path, patch: pytest.MonkeyPatch) -> Store:
    options, credentials = {"endpoint_url": server.endpoint_url}, {}
    if kind == "azure":
        uri, credentials = "az://harbour/results/p", {"azure_account_key": Azure.key}
    elif kind == "gcs":
        uri = "gs://results/p"
        patch.setenv("STORAGE_EMULATOR_HOST", server.endpoint_url)
    elif kind == "oci":
        uri, options["config_file"] = "oci://n/harbour/b/results/o/p", str(Oci(folder).config)
    elif kind == "github":
        uri = "github://o/r@t"
    elif kind == "oss":
        uri = "oss://results@cn-hangzhou/p"
        credentials = {"access_key_id": "LTAImadeup", "access_key_secret": "made-up"}
    else:
        uri, options["anonymous"] = "s3://results@us-east-1/p", "true"
    return open_store(uri, options=options, credentials=credentials, patience=HASTY)


@pytest.mark.parametrize("kind", PAGES)
def test_a_page_that_was_given_already_ends_the_listing(
    kind: str,
    served: Callable[[list[Said]], Canned],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page, first = PAGES[kind], [RELEASE] if kind == "github" else []
    three = [page("x", "2"), page("y", "3"), page("z", "2")]
    server = served([*first, *three, Said(400)])
    store = opened(kind, server, tmp_path, monkeypatch)
    for ask in (store.files.list, store.files.sizes):
        server.answers, server.heard = [*first, *three, Said(400)], 0
        with pytest.raises(StoreError, match="the listing does not end") as caught:
            ask("raw")
        assert not isinstance(caught.value, StoreAway)
        assert caught.value.remedy
        assert server.heard == len(first) + 3
        first = []


@pytest.mark.parametrize("kind", PAGES)
def test_all_pages_of_a_listing_that_ends_are_read(
    kind: str,
    served: Callable[[list[Said]], Canned],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page, first = PAGES[kind], [RELEASE] if kind == "github" else []
    three = [page("x", "2"), page("y", "3"), page("z", "")]
    looks = [*three, *three] if kind == "github" else three  # it looks until two looks agree
    server = served([*first, *looks, Said(400)])
    store = opened(kind, server, tmp_path, monkeypatch)
    assert store.files.list("raw") == ["raw/x", "raw/y", "raw/z"]
    assert server.heard == len(first) + len(looks)
