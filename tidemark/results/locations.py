"""Where results are kept, as a URI: parsed, checked, printed again.

    results, /data/results, file:///data/results   a folder
    s3://bucket[@region]/prefix                    Amazon S3 and what speaks like it
    oss://bucket[@region]/prefix                   Alibaba Cloud OSS
    oci://n/namespace/b/bucket/o/prefix            Oracle Cloud Infrastructure Object Storage
    az://account/container/prefix                  Azure Blob Storage
    gs://bucket/prefix                             Google Cloud Storage
    github://owner/repository[@tag]                release assets
    pvc://[namespace:]claim/path                   a Kubernetes persistent volume claim

The forms are those of OME's storage URIs. Where OME's reading of them is loose, this is decided:

| written                           | there                             | here                     |
|-----------------------------------|-----------------------------------|--------------------------|
| my-bucket/object                  | refused: no scheme                | a folder                 |
| s3://my-bucket/pa@th/x            | bucket my-bucket/pa, region th    | the path pa@th/x         |
| s3://b/x, pvc://My_claim/x        | names are not looked at           | refused: no such names   |
| oci://n/ns/b/bucket/o             | refused                           | refused                  |
| oci://n/ns/b/bucket/o/            | the whole bucket                  | the whole bucket         |
| oci://n//b//o/                    | empty names                       | refused                  |
| pvc://claim/../x, s3://bucket/../x| refused for pvc, else kept        | refused                  |
| github://o/r/x                    | repository r/x                    | refused                  |
| github://o/r@                     | the empty tag                     | refused                  |
| github://o/r@pkg@1.0              | the tag pkg@1.0                   | the tag pkg@1.0          |
| a slash at the end                | belongs to the path               | left out                 |
| hf://, vendor://, modelpack://    | models, and no place for results  | refused                  |
| local://path                      | a model, and no place for results | refused; file:// is meant|

Credentials in a URI are refused, and what might be one is in no message. Which names there can
be, `location_names.py` says.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final
from urllib.parse import quote, unquote

from tidemark.errors import StoreError
from tidemark.results.location_names import (
    AZURE_ACCOUNT,
    AZURE_CONTAINER,
    CLAIM,
    GCS_BUCKET,
    GIT_TAG,
    GITHUB_OWNER,
    GITHUB_REPOSITORY,
    NAMESPACE,
    OCI_BUCKET,
    OCI_NAMESPACE,
    OSS_BUCKET,
    REGION,
    S3_BUCKET,
    UNPRINTABLE,
    Names,
    demand_path,
)
from tidemark.results.redact import Redactor

__all__ = [
    "FORMS",
    "AzureLocation",
    "FileLocation",
    "GcsLocation",
    "GithubLocation",
    "Location",
    "OciLocation",
    "OssLocation",
    "PvcLocation",
    "S3Location",
    "parse_location",
]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_AZURE_HOST = ".blob.core.windows.net"
_SHAPES_ONLY = Redactor()


def _joined(head: str, prefix: str) -> str:
    return f"{head}/{prefix}" if prefix else head


@dataclass(frozen=True, slots=True)
class FileLocation:
    """A folder: absolute, relative to the working directory, or below the home folder (`~/`)."""

    scheme: ClassVar[str] = "file"
    form: ClassVar[str] = "file:///absolute/path"
    path: str

    def __post_init__(self) -> None:
        if not self.path or UNPRINTABLE.search(self.path) or self.path != self.path.strip():
            remedy = "Write a folder's path, without line breaks or spaces around it"
            raise StoreError("the path is empty or has unprintable characters", self.form, remedy)
        segments = [segment for segment in self.path.split("/") if segment not in ("", ".")]
        plain = ("/" if self.path.startswith("/") else "") + "/".join(segments)
        object.__setattr__(self, "path", plain or ".")

    def __str__(self) -> str:
        if posixpath.isabs(self.path):
            return f"file://{quote(self.path)}"
        ambiguous = ":" in self.path.split("/")[0]
        return f"./{self.path}" if ambiguous else self.path


@dataclass(frozen=True, slots=True)
class _BucketLocation:
    scheme: ClassVar[str]
    form: ClassVar[str]
    names: ClassVar[Names]
    bucket: str
    prefix: str = ""
    region: str | None = None

    def __post_init__(self) -> None:
        self.names.demand(self.bucket, self.form)
        if self.region is not None:
            REGION.demand(self.region, self.form)
        demand_path(self.prefix, self.form)

    def __str__(self) -> str:
        region = f"@{self.region}" if self.region else ""
        return _joined(f"{self.scheme}://{self.bucket}{region}", self.prefix)


@dataclass(frozen=True, slots=True)
class S3Location(_BucketLocation):
    """A prefix in a bucket of Amazon S3, or of a service that speaks its protocol."""

    scheme: ClassVar[str] = "s3"
    form: ClassVar[str] = "s3://bucket[@region]/prefix"
    names: ClassVar[Names] = S3_BUCKET


@dataclass(frozen=True, slots=True)
class OssLocation(_BucketLocation):
    """A prefix in a bucket of Alibaba Cloud OSS."""

    scheme: ClassVar[str] = "oss"
    form: ClassVar[str] = "oss://bucket[@region]/prefix"
    names: ClassVar[Names] = OSS_BUCKET


@dataclass(frozen=True, slots=True)
class OciLocation:
    """A prefix in a bucket of Oracle Cloud Infrastructure Object Storage."""

    scheme: ClassVar[str] = "oci"
    form: ClassVar[str] = "oci://n/namespace/b/bucket/o/prefix"
    namespace: str
    bucket: str
    prefix: str = ""

    def __post_init__(self) -> None:
        OCI_NAMESPACE.demand(self.namespace, self.form)
        OCI_BUCKET.demand(self.bucket, self.form)
        demand_path(self.prefix, self.form)

    def __str__(self) -> str:
        return f"oci://n/{self.namespace}/b/{self.bucket}/o/{self.prefix}"


@dataclass(frozen=True, slots=True)
class AzureLocation:
    """A prefix in a container of Azure Blob Storage."""

    scheme: ClassVar[str] = "az"
    form: ClassVar[str] = "az://account/container/prefix"
    account: str
    container: str
    prefix: str = ""

    def __post_init__(self) -> None:
        AZURE_ACCOUNT.demand(self.account, self.form)
        AZURE_CONTAINER.demand(self.container, self.form)
        demand_path(self.prefix, self.form)
        if any(segment.endswith(".") for segment in self.prefix.split("/")):
            remedy = "Write its parts without a dot at their end"
            raise StoreError("the path has a part that ends with '.'", self.form, remedy)

    def __str__(self) -> str:
        return _joined(f"az://{self.account}/{self.container}", self.prefix)


@dataclass(frozen=True, slots=True)
class GcsLocation:
    """A prefix in a bucket of Google Cloud Storage."""

    scheme: ClassVar[str] = "gs"
    form: ClassVar[str] = "gs://bucket/prefix"
    bucket: str
    prefix: str = ""

    def __post_init__(self) -> None:
        GCS_BUCKET.demand(self.bucket, self.form)
        demand_path(self.prefix, self.form)

    def __str__(self) -> str:
        return _joined(f"gs://{self.bucket}", self.prefix)


@dataclass(frozen=True, slots=True)
class GithubLocation:
    """The assets of a release on GitHub."""

    scheme: ClassVar[str] = "github"
    form: ClassVar[str] = "github://owner/repository[@tag]"
    owner: str
    repository: str
    tag: str = "latest"

    def __post_init__(self) -> None:
        GITHUB_OWNER.demand(self.owner, self.form)
        GITHUB_REPOSITORY.demand(self.repository, self.form)
        GIT_TAG.demand(self.tag, self.form)

    def __str__(self) -> str:
        return f"github://{self.owner}/{self.repository}@{self.tag}"


@dataclass(frozen=True, slots=True)
class PvcLocation:
    """A path in a Kubernetes persistent volume claim; without a namespace, the pod's own."""

    scheme: ClassVar[str] = "pvc"
    form: ClassVar[str] = "pvc://[namespace:]claim/path"
    claim: str
    path: str
    namespace: str | None = None

    def __post_init__(self) -> None:
        if self.namespace is not None:
            NAMESPACE.demand(self.namespace, self.form)
        CLAIM.demand(self.claim, self.form)
        if not self.path:
            raise StoreError("the path in the volume is missing", self.form, "Name a folder in it")
        demand_path(self.path, self.form)

    def __str__(self) -> str:
        namespace = f"{self.namespace}:" if self.namespace else ""
        return f"pvc://{namespace}{self.claim}/{self.path}"


Location = (
    FileLocation
    | S3Location
    | OssLocation
    | OciLocation
    | AzureLocation
    | GcsLocation
    | GithubLocation
    | PvcLocation
)


def parse_location(text: str) -> Location:
    """The location a URI or path names; `str` of it gives the canonical form back.

    Raises StoreError with what is wrong and the form that would be right. A message never holds
    a part of the text that may be a credential.
    """
    if not text.strip():
        raise StoreError("the store's location is empty", None, "Give a folder or s3://bucket/…")
    if text != text.strip() or UNPRINTABLE.search(text):
        remedy = "Leave them out"
        raise StoreError("the store's location has spaces around it or line breaks", None, remedy)
    match = _SCHEME.fullmatch(text)
    if match is None:
        return _bare(text)
    scheme, rest = match[1].lower(), match[2]
    _refuse_credentials(scheme, rest)
    if scheme not in _PARSERS:
        raise _unknown(scheme)
    return _PARSERS[scheme](rest)


def _bare(text: str) -> FileLocation:
    head, colon, _ = text.partition(":")
    if colon and head.lower() in _PARSERS:
        form = FORMS[head.lower()]
        raise StoreError(f"{head}: is not followed by //", None, f"Write {form}, or ./{head}:…")
    return FileLocation(text)


def _refuse_credentials(scheme: str, rest: str) -> None:
    authority = rest.split("/", 1)[0]
    name, at, _ = authority.rpartition("@")
    colon_is_fine = scheme in ("pvc", "file")
    at_is_fine = scheme in ("s3", "oss")
    suspicious = (
        (":" in authority and not colon_is_fine)
        or (at and (":" in name or "@" in name or not at_is_fine))
        or (scheme != "file" and ("?" in rest or "#" in rest))
        or _SHAPES_ONLY.text(rest) != rest
    )
    if suspicious:
        raise StoreError(
            "credentials, a port or a query do not belong into a store's location",
            f"{scheme}://…",
            "Give credentials by the environment (for s3 AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE), another endpoint as the option endpoint_url",
        )


def _file(rest: str) -> FileLocation:
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        remedy = "Write file:///absolute/path, or a path without file://"
        raise StoreError("a file URI names no host and an absolute path", "file://…", remedy)
    return FileLocation("/" + unquote(path))


def _bucket(rest: str) -> tuple[str, str, str | None]:
    head, _, prefix = rest.partition("/")
    bucket, at, region = head.partition("@")
    return bucket, prefix.removesuffix("/"), region if at else None


def _gcs(rest: str) -> GcsLocation:
    bucket, _, prefix = rest.partition("/")
    return GcsLocation(bucket, prefix.removesuffix("/"))


def _oci(rest: str) -> OciLocation:
    parts = rest.split("/", 5)
    if len(parts) == 5 and (parts[0], parts[2], parts[4]) == ("n", "b", "o"):
        remedy = "Write oci://n/namespace/b/bucket/o/ for the whole bucket, or a prefix after it"
        raise StoreError("there is no '/' after the mark o", OciLocation.form, remedy)
    if len(parts) != 6 or (parts[0], parts[2], parts[4]) != ("n", "b", "o"):
        remedy = f"The form is {OciLocation.form}"
        raise StoreError("the marks n, b and o are not where they belong", "oci://…", remedy)
    return OciLocation(parts[1], parts[3], parts[5].removesuffix("/"))


def _azure(rest: str) -> AzureLocation:
    account, _, path = rest.partition("/")
    container, _, prefix = path.partition("/")
    return AzureLocation(account.removesuffix(_AZURE_HOST), container, prefix.removesuffix("/"))


def _github(rest: str) -> GithubLocation:
    owner, _, path = rest.partition("/")
    repository, at, tag = path.partition("@")
    if not at:
        return GithubLocation(owner, repository.removesuffix("/"))
    return GithubLocation(owner, repository, tag)


def _pvc(rest: str) -> PvcLocation:
    head, _, path = rest.partition("/")
    namespace, colon, claim = head.partition(":")
    if not colon:
        namespace, claim = "", head
    return PvcLocation(claim, path.removesuffix("/"), namespace if colon else None)


_PARSERS: Final[dict[str, Callable[[str], Location]]] = {
    "file": _file,
    "s3": lambda rest: S3Location(*_bucket(rest)),
    "oss": lambda rest: OssLocation(*_bucket(rest)),
    "oci": _oci,
    "az": _azure,
    "gs": _gcs,
    "github": _github,
    "pvc": _pvc,
}
_KINDS = (
    FileLocation, S3Location, OssLocation, OciLocation,
    AzureLocation, GcsLocation, GithubLocation, PvcLocation,
)  # fmt: skip
FORMS: Final = {kind.scheme: kind.form for kind in _KINDS}
"""How each kind of location is written, by its scheme."""

_OTHER_NAMES: Final = {
    **dict.fromkeys(("s3a", "s3n", "minio", "aws", "r2"), "s3"),
    **dict.fromkeys(("gcs", "google"), "gs"),
    **dict.fromkeys(("abfs", "abfss", "wasb", "wasbs", "adl", "azure", "azblob"), "az"),
    **dict.fromkeys(("local", "path", "dir"), "file"),
}
_NO_STORE: Final = {
    "hf": "Hugging Face holds models and data sets here, not results",
    "vendor": "vendor:// names a model, not a place for results",
    "modelpack": "modelpack:// names a model, not a place for results",
    "http": "a web address is no store; for S3-like services it is the option endpoint_url",
    "https": "a web address is no store; for S3-like services it is the option endpoint_url",
}


def _unknown(scheme: str) -> StoreError:
    known = ", ".join(f"{name}://" for name in FORMS)
    if scheme in _NO_STORE:
        return StoreError(_NO_STORE[scheme], f"{scheme}://…", f"Stores are a folder or {known}")
    near = difflib.get_close_matches(scheme, [*FORMS], n=1, cutoff=0.6)
    meant = _OTHER_NAMES.get(scheme) or (near[0] if near else None)
    remedy = f"Did you mean {FORMS[meant]}?" if meant else f"Known are a folder and {known}"
    return StoreError(f"no store is called {scheme}://", f"{scheme}://…", remedy)
