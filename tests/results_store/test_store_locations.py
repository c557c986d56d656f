"""Store locations: every form is understood, everything else is refused with a remedy."""

from __future__ import annotations

import contextlib
import random
import re
from collections import Counter
from urllib.parse import quote

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

NAMESPACE_63 = "n" * 63
PART = "a" * 63


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
        ("file:///data/a%20b", FileLocation("/data/a b")),
        ("file:///data/", FileLocation("/data")),
        ("file://localhost/data", FileLocation("/data")),
        ("FILE:///data", FileLocation("/data")),
        ("my-bucket/object", FileLocation("my-bucket/object")),
        ("my-pvc/results", FileLocation("my-pvc/results")),
        ("n/myns/b/mybucket/o/mypath", FileLocation("n/myns/b/mybucket/o/mypath")),
        # oci
        ("oci://n/myns/b/mybucket/o/mypath", OciLocation("myns", "mybucket", "mypath")),
        ("oci://n/myns/b/mybucket/o/path/to/my/object",
         OciLocation("myns", "mybucket", "path/to/my/object")),
        ("oci://n/my-ns.123/b/my_bucket-123/o/path.with.dots/and-dashes",
         OciLocation("my-ns.123", "my_bucket-123", "path.with.dots/and-dashes")),
        ("oci://n/myns/b/mybucket/o/", OciLocation("myns", "mybucket")),
        ("oci://n/myns/b/mybucket/o/a/", OciLocation("myns", "mybucket", "a")),
        ("oci://n/n/b/b/o/o", OciLocation("n", "b", "o")),
        # pvc
        ("pvc://my-pvc/results", PvcLocation("my-pvc", "results")),
        ("pvc://my-pvc/path/to/results", PvcLocation("my-pvc", "path/to/results")),
        ("pvc://my-pvc/path/", PvcLocation("my-pvc", "path")),
        ("pvc://my-pvc-123/path_with-special.chars",
         PvcLocation("my-pvc-123", "path_with-special.chars")),
        ("pvc://default:my-pvc/results", PvcLocation("my-pvc", "results", "default")),
        ("pvc://my-namespace:my-pvc/path/to/results",
         PvcLocation("my-pvc", "path/to/results", "my-namespace")),
        ("pvc://ns-123:pvc-456/model", PvcLocation("pvc-456", "model", "ns-123")),
        ("pvc://model-storage:shared-pvc/path/to/models/llama2-7b",
         PvcLocation("shared-pvc", "path/to/models/llama2-7b", "model-storage")),
        ("pvc://my.claim.v2/x", PvcLocation("my.claim.v2", "x")),
        # s3
        ("s3://my-bucket/path/to/object", S3Location("my-bucket", "path/to/object")),
        ("s3://my-bucket", S3Location("my-bucket")),
        ("s3://my-bucket/", S3Location("my-bucket")),
        ("S3://my-bucket", S3Location("my-bucket")),
        ("s3://my-bucket@us-east-1/path/to/object",
         S3Location("my-bucket", "path/to/object", "us-east-1")),
        ("s3://my-bucket@us-west-2/path/to/data",
         S3Location("my-bucket", "path/to/data", "us-west-2")),
        ("s3://my-bucket@us-east-1", S3Location("my-bucket", "", "us-east-1")),
        ("s3://my-bucket@us-east-1/p/q/", S3Location("my-bucket", "p/q", "us-east-1")),
        ("s3://my-bucket/pa@th/x", S3Location("my-bucket", "pa@th/x")),
        ("s3://my.bucket.2/x", S3Location("my.bucket.2", "x")),
        (f"s3://{PART}/x", S3Location(PART, "x")),
        ("oss://my-bucket@cn-hangzhou/p", OssLocation("my-bucket", "p", "cn-hangzhou")),
        # az
        ("az://myaccount/mycontainer/path/to/blob",
         AzureLocation("myaccount", "mycontainer", "path/to/blob")),
        ("az://myaccount.blob.core.windows.net/mycontainer/path/to/blob",
         AzureLocation("myaccount", "mycontainer", "path/to/blob")),
        ("az://myaccount/mycontainer", AzureLocation("myaccount", "mycontainer")),
        ("az://myaccount/mycontainer/", AzureLocation("myaccount", "mycontainer")),
        # gs
        ("gs://my-bucket/path/to/object", GcsLocation("my-bucket", "path/to/object")),
        ("gs://my-bucket", GcsLocation("my-bucket")),
        ("gs://my-bucket/", GcsLocation("my-bucket")),
        ("gs://my_bucket.example.com/x", GcsLocation("my_bucket.example.com", "x")),
        (f"gs://{PART}.{PART}.{PART}.aaa", GcsLocation(f"{PART}.{PART}.{PART}.aaa")),
        # github
        ("github://owner/repo", GithubLocation("owner", "repo", "latest")),
        ("github://owner/repo/", GithubLocation("owner", "repo", "latest")),
        ("github://owner/repo@v1.0.0", GithubLocation("owner", "repo", "v1.0.0")),
        ("github://Owner_corp/Repo.x@results/2026",
         GithubLocation("Owner_corp", "Repo.x", "results/2026")),
        ("github://owner/repo@pkg@1.0", GithubLocation("owner", "repo", "pkg@1.0")),
        ("github://owner/.github", GithubLocation("owner", ".github")),
    ],
)  # fmt: skip
def test_understood(text: str, location: Location) -> None:
    assert parse_location(text) == location
    assert parse_location(str(location)) == location


@pytest.mark.parametrize(
    ("namespace", "is_one"),
    [
        ("default", True),
        ("my-namespace", True),
        ("ns123", True),
        ("a", True),
        (NAMESPACE_63, True),
        ("", False),
        ("MyNamespace", False),
        ("my_namespace", False),
        ("my.namespace", False),
        ("-namespace", False),
        ("namespace-", False),
        (NAMESPACE_63 + "n", False),
        ("name@space", False),
    ],
)
def test_which_namespaces_there_can_be(namespace: str, is_one: bool) -> None:
    text = f"pvc://{namespace}:my-pvc/models"
    if is_one:
        assert parse_location(text) == PvcLocation("my-pvc", "models", namespace)
    else:
        with pytest.raises(StoreError):
            parse_location(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        (" results", "spaces around"),
        ("results\n", "spaces around"),
        ("res\nults", "line breaks"),
        ("file://results", "names no host"),
        ("file://host/results", "names no host"),
        ("file:results", "not followed by //. Write file:///"),
        # oci
        ("oci://", "marks n, b and o"),
        ("oci://invalid/format", "marks n, b and o"),
        ("oci://my-pvc/results", "marks n, b and o"),
        ("oci://myns/b/mybucket/o/mypath", "marks n, b and o"),
        ("oci://n/myns/mybucket/o/mypath", "marks n, b and o"),
        ("oci://n/myns/b/mybucket/mypath", "marks n, b and o"),
        ("oci://b/mybucket/n/myns/o/mypath", "marks n, b and o"),
        ("oci://N/myns/B/mybucket/O/mypath", "marks n, b and o"),
        ("oci://n/ns/b/bucket/o", "Write oci://n/namespace/b/bucket/o/"),
        ("oci://n//b//o/", "the namespace is missing"),
        ("oci://n//b//o/p", "the namespace is missing"),
        ("oci://n/ns/b//o/p", "the bucket name is missing"),
        ("oci://n/ns/b/buc ket/o/p", "the bucket name 'buc ket'"),
        ("oci://n/ns/b/../o/p", "has only dots"),
        (f"oci://n/ns/b/{'b' * 257}/o/p", "up to 256"),
        ("oci://n/ns/b/bucket/o//p", "an empty segment"),
        # pvc
        ("pvc://", "the claim's name is missing"),
        ("pvc:///results", "the claim's name is missing"),
        ("pvc://my-pvc", "the path in the volume is missing"),
        ("pvc://my-pvc/", "the path in the volume is missing"),
        ("pvc://default:my-pvc", "the path in the volume is missing"),
        ("pvc://default:my-pvc/", "the path in the volume is missing"),
        ("pvc://default:/models", "the claim's name is missing"),
        ("pvc://:my-pvc/models", "the namespace is missing"),
        ("pvc://ns:pvc:extra/path", "the claim's name 'pvc:extra'"),
        ("pvc://MyNamespace:my-pvc/models", "the namespace 'MyNamespace'"),
        ("pvc://my_namespace:my-pvc/models", "the namespace 'my_namespace'"),
        ("pvc://-namespace:my-pvc/models", "the namespace '-namespace'"),
        ("pvc://namespace-:my-pvc/models", "the namespace 'namespace-'"),
        (f"pvc://{'n' * 64}:my-pvc/models", "up to 63"),
        ("pvc://name@space:my-pvc/models", "do not belong"),
        ("pvc://my-pvc/../x", "'.' or '..'"),
        ("pvc://my-pvc/a/../x", "'.' or '..'"),
        ("pvc://my-pvc/a/..", "'.' or '..'"),
        ("pvc://my-pvc/.", "'.' or '..'"),
        ("pvc://my-pvc//x", "an empty segment"),
        ("pvc://My_claim/x", "the claim's name 'My_claim'"),
        ("pvc://my..claim/x", "around each '.'"),
        (f"pvc://{'c' * 254}/x", "up to 253"),
        # s3
        ("s3://", "the bucket name is missing"),
        ("s3:///prefix", "the bucket name is missing"),
        ("s3://@us-east-1/p", "the bucket name is missing"),
        ("s3://my-bucket@/p", "the region is missing"),
        ("s3://my-bucket@US East/p", "the region 'US East'"),
        ("s3://my-bucket@us--east/p", "the region 'us--east'"),
        ("s3://b/pa@th/x", "the bucket name 'b'"),
        ("s3://My_Bucket/p", "the bucket name 'My_Bucket'"),
        ("s3://ab/p", "Allowed: 3 to 63"),
        (f"s3://{'a' * 64}/p", "Allowed: 3 to 63"),
        ("s3://-bucket/p", "with a letter or digit at both ends"),
        ("s3://bucket./p", "with a letter or digit at both ends"),
        ("s3://my..bucket/p", "two dots in a row"),
        ("s3://192.168.5.4/p", "like an IP address"),
        ("s3://xn--bucket/p", "names of Amazon's own"),
        ("s3://sthree-bucket/p", "names of Amazon's own"),
        ("s3://my-point-abc-s3alias/p", "an access point, and not of its bucket"),
        ("s3://my-bucket//p", "an empty segment"),
        ("s3://my-bucket/p//", "an empty segment"),
        ("s3://my-bucket/a/../b", "'.' or '..'"),
        ("s3://my-bucket/a\\b", "Write '/' between"),
        ("s3://my-bucket/ a", "spaces around"),
        (f"s3://my-bucket/{'ä' * 251}", "up to 500 bytes"),
        ("s3:/my-bucket/p", "not followed by //. Write s3://bucket"),
        ("s3:my-bucket", "not followed by //"),
        ("oss://my.bucket/p", "the bucket name 'my.bucket'"),
        ("oss://ab/p", "3 to 63 of a-z, 0-9 and '-'"),
        ("oss://bucket-/p", "with a letter or digit at both ends"),
        # az
        ("az://", "the account name is missing"),
        ("az://myaccount", "the container name is missing"),
        ("az://myaccount/", "the container name is missing"),
        ("az:///mycontainer", "the account name is missing"),
        ("az://My-Account/container", "the account name 'My-Account'"),
        ("az://myaccount.example.com/container", "the account name 'myaccount.example.com'"),
        ("az://myaccount/My-Container", "the container name 'My-Container'"),
        ("az://myaccount/my--container", "single '-'"),
        ("az://myaccount/-container", "single '-'"),
        ("az://myaccount/$root/x", "one that Azure itself uses"),
        ("az://myaccount/$web/x", "one that Azure itself uses"),
        ("az://myaccount/container/a./b", "ends with '.'"),
        # gs
        ("gs://", "the bucket name is missing"),
        ("gs:///x", "the bucket name is missing"),
        ("gs://My-Bucket", "the bucket name 'My-Bucket'"),
        (f"gs://{'a' * 64}", "with dots up to 222"),
        (f"gs://{'a' * 64}.com", "63 between them"),
        (f"gs://{'.'.join(['a' * 60] * 4)}", "with dots up to 222"),
        ("gs://10.0.0.1/x", "like an IP address"),
        ("gs://goog-results", "Google keeps for itself"),
        ("gs://my-google-results", "Google keeps for itself"),
        # github
        ("github://", "the owner is missing"),
        ("github://owner", "the repository is missing"),
        ("github://owner/", "the repository is missing"),
        ("github:///repo", "the owner is missing"),
        ("github://o/r/x", "the repository 'r/x'"),
        ("github://o/r@", "the tag is missing"),
        ("github://o/r.git", "the git repository behind it"),
        ("github://o/..", "has only dots"),
        ("github://-o/r", "with a letter or digit first"),
        (f"github://{'o' * 40}/r", "up to 39"),
        (f"github://o/{'r' * 101}", "up to 100"),
        ("github://o/r@a b", "none that git allows"),
        ("github://o/r@a..b", "none that git allows"),
        ("github://o/r@-v1", "none that git allows"),
        ("github://o/r@v1.", "none that git allows"),
        ("github://o/r@v1.lock", "none that git allows"),
        ("github://o/r@/v1", "none that git allows"),
        ("github://o/r@v1/", "none that git allows"),
        ("github://o/r@a/.b", "none that git allows"),
        ("github://o/r@a@{1}", "none that git allows"),
        ("github://o/r@a^", "a tag as git allows it"),
        ("github://o/r@refs/tags/v1", "the tag is the last part"),
        # what there is no store for
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
        ("modelpack://registry/model", "names a model"),
    ],
)
def test_refused_with_what_is_wrong_and_what_to_write(text: str, message: str) -> None:
    with pytest.raises(StoreError) as caught:
        parse_location(text)
    assert message in str(caught.value)
    assert caught.value.remedy


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
    st.builds(AzureLocation, NAME, NAME, PREFIX.filter(lambda path: "./" not in f"{path}/")),
    st.builds(GcsLocation, NAME, PREFIX),
    st.builds(
        GithubLocation,
        NAME,
        NAME,
        st.from_regex(r"v[0-9@/]{1,6}[0-9]", fullmatch=True).filter(lambda tag: "//" not in tag),
    ),
    st.builds(PvcLocation, NAME, PREFIX.filter(bool), st.none() | NAME),
    st.builds(FileLocation, PATH),
)


@given(LOCATION)
def test_a_location_survives_being_printed(location: Location) -> None:
    assert parse_location(str(location)) == location


def uri(chance: random.Random) -> str:
    """A URI as people write them: with slashes to spare, and without what may be left out."""

    def word(letters: str, longest: int = 20) -> str:
        inner = "".join(chance.choices(letters + "-", k=chance.randint(1, longest)))
        return re.sub("-+", "-", f"r{inner}s")

    def path() -> str:
        letters = "abcXYZ019_-@ äß~=+%.,'()"
        names = (word(letters, 12) for _ in range(chance.randint(0, 4)))
        return "/".join(names) + chance.choice(["", "/"])

    small, mixed = "bdefgijlmnqtuvwxyz0123", "bdefgijlmnqtuvwxyzABCDEF0123"
    region = chance.choice(["", "", "@cn-hangzhou", "@us-east-1"])
    below = chance.choice(["", "/" + path().lstrip("/")])
    host = chance.choice(["", ".blob.core.windows.net"])
    tag = chance.choice(["", "", "@latest", f"@{word(mixed)}/{word(mixed)}@1.{word(small)}"])
    namespace = chance.choice(["", f"{word(small)}:"])
    text = chance.choice(
        [
            lambda: f"s3://{word(small + '01')}{region}{below}",
            lambda: f"oss://{word(small)}{region}{below}",
            lambda: f"oci://n/{word(mixed)}/b/{word(mixed + '._')}/o/{path()}",
            lambda: f"az://{word(small).replace('-', '0')}0{host}/{word(small)}{below}",
            lambda: f"gs://{word(small + '_')}{below}",
            lambda: f"github://{word(mixed)}/{word(mixed + '._')}{tag}",
            lambda: f"pvc://{namespace}{word(small)}/x{below}",
            lambda: f"file://{chance.choice(['', 'localhost'])}/{quote(path())}",
            lambda: f"{chance.choice(['', './', '/', '~/'])}{path()}",
        ]
    )()
    scheme, mark, rest = text.partition("://")
    return f"{chance.choice([scheme, scheme.upper()])}{mark}{rest}" if mark else text or "."


def test_ten_thousand_uris_are_read_printed_and_read_as_the_same() -> None:
    chance = random.Random(20261121)
    kinds: Counter[type] = Counter()
    for _ in range(10_000):
        text = uri(chance)
        location = parse_location(text)
        again = parse_location(str(location))
        assert again == location, text
        assert str(again) == str(location), text
        kinds[type(location)] += 1
    assert len(kinds) == 8
    assert min(kinds.values()) > 500


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
