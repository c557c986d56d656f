"""From a location to the files there, for the locations that this version can write."""

from __future__ import annotations

from collections.abc import Mapping

from tidemark.errors import StoreError
from tidemark.results.files import Files, LocalFiles
from tidemark.results.locations import FileLocation, Location, S3Location
from tidemark.results.patience import Patience
from tidemark.results.s3 import S3Files

__all__ = ["files_at", "options_of"]

_NOT_YET = {
    "oss": "Mount the bucket as a folder, or use s3:// with the option endpoint_url set to the "
    "S3-compatible endpoint of OSS",
    "oci": "Use s3:// with the option endpoint_url set to the S3-compatible endpoint of the "
    "namespace and a customer secret key",
    "az": "Mount the container as a folder, or write to a folder and copy it",
    "gs": "Mount the bucket as a folder, or write to a folder and copy it",
    "github": "Write to a folder or s3://; a release is for what is published afterwards",
    "pvc": "Mount the claim in the pod that runs, and give the mounted folder as a path",
}


def files_at(
    location: Location,
    options: Mapping[str, str],
    credentials: Mapping[str, str] | None,
    patience: Patience | None,
) -> Files:
    """The files at a location. Raises StoreError if it or an option cannot be used."""
    if isinstance(location, S3Location):
        return S3Files(location, options, credentials, patience)
    if not isinstance(location, FileLocation):
        what = f"{location.scheme}:// is understood, but cannot be written by this version"
        raise StoreError(what, str(location), _NOT_YET[location.scheme])
    for name in options:
        raise StoreError(f"no option {name!r}", location.scheme, "A folder has no options")
    if credentials:
        remedy = "Leave them out, or name an s3:// location"
        raise StoreError("a folder is used without credentials", location.scheme, remedy)
    return LocalFiles(location)


def options_of(files: Files) -> dict[str, str]:
    """The options that are really used, with an endpoint that the environment named."""
    return dict(files.options) if isinstance(files, S3Files) else {}
