"""Store locations: every form is understood, everything else is refused with a remedy."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemark.errors import StoreError
from tidemark.results.locations import (
    AzureLocation,
    FileLocation,
    GcsLocation,
    GithubLocation,
    Location,
    OciLocation,
    OssLocation,
    PvcLocation,
    S3Location,
    parse_location,
)
from tidemark.results.store import open_store


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("results", FileLocation("results")),
        ("./results/", FileLocation("results")),
        ("../results", FileLocation("../results")),
        (".", FileLocation(".")),
        ("/data/results", FileLocation("/data/results")),
        ("/", FileLocation("/")),
        ("~/results", FileLocation("~/results")),
        ("my-bucket/object", FileLocation("my-bucket/object")),
        ("file:///data/a%20b", FileLocation("/data/a b")),
        ("file://localhost/data", FileLocation("/data")),
        ("FILE:///data", FileLocation("/data")),
        ("s3://my-bucket", S3Location("my-bucket")),
        ("s3://my-bucket/path/to/object", S3Location("my-bucket", "path/to/object")),
        ("s3://my-bucket@us-east-1/p/q/", S3Location("my-bucket", "p/q", "us-east-1")),
        ("s3://my-bucket/pa@th/x", S3Location("my-bucket", "pa@th/x")),
        ("oss://my-bucket@cn-hangzhou/p", OssLocation("my-bucket", "p", "cn-hangzhou")),
        ("oci://n/myns/b/mybucket/o/mypath", OciLocation("myns", "mybucket", "mypath")),
        ("oci://n/my-ns.123/b/my_bucket-123/o/path.with.dots/and-dashes",
         OciLocation("my-ns.123", "my_bucket-123", "path.with.dots/and-dashes")),
        ("az://myaccount/mycontainer", AzureLocation("myaccount", "mycontainer")),
        ("az://myaccount.blob.core.windows.net/mycontainer/path/to/blob",
         AzureLocation("myaccount", "mycontainer", "path/to/blob")),
        ("gs://my-bucket/path/to/object", GcsLocation("my-bucket", "path/to/object")),
        ("github://owner/repo", GithubLocation("owner", "repo", "latest")),
        ("github://owner/repo@v1.0.0", GithubLocation("owner", "repo", "v1.0.0")),
        ("pvc://my-pvc/results", PvcLocation("my-pvc", "results")),
        ("pvc://my-pvc-123/path_with-special.chars",
         PvcLocation("my-pvc-123", "path_with-special.chars")),
        ("pvc://ns-123:pvc-456/model", PvcLocation("pvc-456", "model", "ns-123")),
    ],
)  # fmt: skip
def test_understood(text: str, location: Location) -> None:
    assert parse_location(text) == location


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        (" results", "spaces around"),
        ("results\n", "spaces around"),
        ("res\nults", "line breaks"),
        ("s3://", "the bucket name is missing"),
        ("s3:///prefix", "the bucket name is missing"),
        ("s3://my-bucket@/p", "the region is missing"),
        ("s3://my-bucket@US East/p", "the region 'US East'"),
        ("s3://My_Bucket/p", "the bucket name 'My_Bucket'"),
        ("s3://ab/p", "Allowed: 3 to 63"),
        ("s3://my-bucket//p", "an empty segment"),
        ("s3://my-bucket/a/../b", "'.' or '..'"),
        ("s3:/my-bucket/p", "not followed by //. Write s3://bucket"),
        ("s3:my-bucket", "not followed by //"),
        ("s33://my-bucket", "Did you mean s3://bucket"),
        ("s3a://my-bucket", "Did you mean s3://bucket"),
        ("minio://bucket/p", "Did you mean s3://bucket"),
        ("gcs://bucket/p", "Did you mean gs://bucket"),
        ("abfss://c/p", "Did you mean az://account"),
        ("ftp://host/p", "no store is called ftp://"),
        ("local://models", "Did you mean file:///"),
        ("https://my-bucket.example.com/p", "endpoint_url"),
        ("hf://org/model@main", "Hugging Face"),
        ("hf://org/model", "Hugging Face"),
        ("vendor://a/b/c", "names a model"),
        ("file://results", "names no host"),
        ("file://host/results", "names no host"),
        ("oci://", "marks n, b and o"),
        ("oci://n/ns/b/bucket/o", "marks n, b and o"),
        ("oci://myns/b/mybucket/o/mypath", "marks n, b and o"),
        ("oci://b/mybucket/n/myns/o/mypath", "marks n, b and o"),
        ("oci://n//b//o/p", "the namespace is missing"),
        ("pvc://", "the claim's name is missing"),
        ("pvc:///results", "the claim's name is missing"),
        ("pvc://my-pvc", "the path in the volume is missing"),
        ("pvc://my-pvc/", "the path in the volume is missing"),
        ("pvc://default:/models", "the claim's name is missing"),
        ("pvc://:my-pvc/models", "the namespace is missing"),
        ("pvc://ns:pvc:extra/path", "the claim's name 'pvc:extra'"),
        ("pvc://MyNamespace:my-pvc/models", "the namespace 'MyNamespace'"),
        ("pvc://namespace-:my-pvc/models", "the namespace 'namespace-'"),
        (f"pvc://{'n' * 64}:my-pvc/models", "up to 63"),
        ("pvc://my-pvc/../x", "'.' or '..'"),
        ("az://myaccount", "the container name is missing"),
        ("az://", "the account name is missing"),
        ("az://My-Account/container", "the account name 'My-Account'"),
        ("gs://", "the bucket name is missing"),
        ("gs:///x", "the bucket name is missing"),
        ("github://owner", "the repository is missing"),
        ("github://", "the owner is missing"),
        ("github://o/r/x", "the repository 'r/x'"),
        ("github://o/r@", "the tag is missing"),
    ],
)
def test_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(StoreError) as caught:
        parse_location(text)
    assert message in str(caught.value)
    assert caught.value.remedy or caught.value.where


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKIAIOSFODNN7EXAMPLE:canary-Secret/Key@my-bucket/p",
        "s3://canary-key:canary-secret@my-bucket/p",
        "s3://canary-key@canary-secret@my-bucket/p",
        "https://user:canary-password@host/bucket",
        "minio://canary:canary@host:9000/bucket",
        "s3://my-bucket/p?AWSAccessKeyId=canary&Signature=canary",
        "az://account/container?sv=1&sig=canary",
        "gs://canary:x@bucket/p",
        "github://ghp_canarycanarycanary0123@owner/repo",
        "github://canary@github.com/owner/repo",
        "oci://user:canary@n/ns/b/bucket/o/p",
        "s3://my-bucket/ghp_canarycanarycanary0123",
        "oss://LTAIcanarycanary0123@my-bucket/p",
    ],
)
def test_credentials_are_refused_and_never_repeated(text: str) -> None:
    with pytest.raises(StoreError) as caught:
        parse_location(text)
    shown = f"{caught.value} {caught.value.args!r}"
    assert "do not belong" in shown
    assert "canary" not in shown
    assert "AKIA" not in shown


SEGMENT = st.text("abcXYZ019._-@ äß~=+", min_size=1, max_size=12).filter(
    lambda text: text.strip() == text and text not in (".", "..")
)
PREFIX = st.lists(SEGMENT, max_size=4).map("/".join)
NAME = st.from_regex(r"[a-z0-9]{3,20}", fullmatch=True)
REGION = st.none() | st.from_regex(r"[a-z]{2}-[a-z]{4,9}-[0-9]", fullmatch=True)
PATH = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=40
).filter(lambda text: text.strip() == text)
LOCATION = st.one_of(
    st.builds(S3Location, NAME, PREFIX, REGION),
    st.builds(OssLocation, NAME, PREFIX, REGION),
    st.builds(OciLocation, NAME, NAME, PREFIX),
    st.builds(AzureLocation, NAME, NAME, PREFIX),
    st.builds(GcsLocation, NAME, PREFIX),
    st.builds(GithubLocation, NAME, NAME, st.from_regex(r"v[0-9.]{1,6}", fullmatch=True)),
    st.builds(PvcLocation, NAME, PREFIX.filter(bool), st.none() | NAME),
    st.builds(FileLocation, PATH),
)


@given(LOCATION)
def test_a_location_survives_being_printed(location: Location) -> None:
    assert parse_location(str(location)) == location


@given(st.text(max_size=60) | st.text("s3:/@?#.ab-", max_size=30).map("s3://{}".format))
def test_any_text_is_a_location_or_a_store_error(text: str) -> None:
    with contextlib.suppress(StoreError):
        location = parse_location(text)
        assert parse_location(str(location)) == location


def test_unknown_options_are_refused_by_name() -> None:
    with pytest.raises(StoreError, match="no option 'secret_key'") as caught:
        open_store("s3://my-bucket", options={"secret_key": "canary"})
    assert "endpoint_url" in str(caught.value)
    assert "canary" not in str(caught.value)
    with pytest.raises(StoreError, match="no option 'endpoint_url'"):
        open_store("results", options={"endpoint_url": "http://localhost"})
