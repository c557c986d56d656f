"""What each kind of store really guarantees, and what speaks with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["BEAT_S", "PROVIDERS", "Provider"]

BEAT_S: Final = 5.0
"""Seconds between signs of life of a run at work, where files cost nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A kind of store.

    `opened_by` is the class of its files as module:name, `packages` what that needs beyond an
    ordinary installation and `extra` the extra that brings them. `exclusive_create` says by what
    a file is created only if there is none of its name, `encryption` what can be asked for, and
    `weaker` which of a store's guarantees it gives less of, if one. Every `beat_s` seconds a run
    at work gives a sign of life there.
    """

    title: str
    opened_by: str
    exclusive_create: str
    encryption: str
    extra: str | None = None
    packages: tuple[str, ...] = ()
    weaker: str | None = None
    beat_s: float = BEAT_S


PROVIDERS: Final[Mapping[str, Provider]] = {
    "file": Provider(
        title="Folder",
        opened_by="tidemark.results.files:LocalFiles",
        exclusive_create="hard link to a finished file, else renameat2 with RENAME_NOREPLACE",
        encryption="that of the disk",
    ),
    "s3": Provider(
        title="Amazon S3",
        opened_by="tidemark.results.providers.s3:S3Files",
        exclusive_create="If-None-Match: *, also when a multipart upload is completed (a service "
        "that speaks like S3 and ignores it is refused by the probe)",
        encryption="sse AES256 or aws:kms, with sse_kms_key_id",
    ),
    "oss": Provider(
        title="Alibaba Cloud OSS",
        opened_by="tidemark.results.providers.oss:OssFiles",
        extra="oss",
        packages=("oss2", "ossfs", "alibabacloud_oss_v2"),
        exclusive_create="x-oss-forbid-overwrite: true, also when a multipart upload is completed",
        encryption="sse AES256, KMS or SM4, with sse_kms_key_id",
    ),
    "oci": Provider(
        title="OCI Object Storage",
        opened_by="tidemark.results.providers.oci:OciFiles",
        extra="oci",
        packages=("oci", "ocifs"),
        exclusive_create="If-None-Match: *, in one request of up to 50 GiB",
        encryption="sse_kms_key_id, a key in a vault; else keys of the service",
    ),
    "az": Provider(
        title="Azure Blob Storage",
        opened_by="tidemark.results.providers.azure:AzureFiles",
        extra="azure",
        packages=("adlfs", "azure"),
        exclusive_create="If-None-Match: *, also when the blocks of a large blob are committed",
        encryption="encryption_scope; else keys of the service",
    ),
    "gs": Provider(
        title="Google Cloud Storage",
        opened_by="tidemark.results.providers.gcs:GcsFiles",
        extra="gcs",
        packages=("gcsfs", "google"),
        exclusive_create="ifGenerationMatch=0, also when a resumable upload ends",
        encryption="kms_key_name; else keys of the service",
    ),
    "github": Provider(
        title="GitHub releases",
        opened_by="tidemark.results.providers.github:GithubFiles",
        exclusive_create="names of assets are unique in a release (422 already_exists)",
        encryption="none that can be asked for",
        weaker="replacing a file is removing and writing it, so that a reader may find none; a "
        "release takes 1,000 files, and GitHub some 80 new ones a minute and 500 an hour",
        beat_s=20.0,
    ),
    "pvc": Provider(
        title="Persistent volume claim",
        opened_by="tidemark.results.providers.pvc:PvcFiles",
        exclusive_create="as in a folder",
        encryption="that of the volume's storage class",
    ),
}
"""Every kind of store, by the scheme of its location."""
