"""Files below a store's root: create exclusively, read, list, remove. On disk or on S3.

The lower half of `store.py`: bytes and paths, nothing of what they mean. Every failure becomes a
StoreError that says what to do.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import fsspec

from tidemark.errors import AlreadyThere, StoreError
from tidemark.results.locations import FileLocation, S3Location
from tidemark.results.redact import Redactor

__all__ = ["S3_OPTIONS", "Files", "LocalFiles", "S3Files"]

S3_OPTIONS: Final = (
    "endpoint_url", "profile", "region", "anonymous", "addressing_style", "sse", "sse_kms_key_id",
)  # fmt: skip

_CONFLICTS = ("PreconditionFailed", "412")
_TRY_AGAIN = ("ConditionalRequestConflict", "OperationAborted", "409")
_WRITER = "tidemark-writer"


class Files(Protocol):
    """What a store needs of a file system. Paths are relative to its root, with slashes."""

    root: str
    filesystem: Any  # an fsspec file system, for readers of whole data sets

    def create(self, path: str, data: bytes) -> None:
        """Put a file there, whole or not at all. Raises AlreadyThere if there is one."""

    def replace(self, path: str, data: bytes) -> None:
        """Put a file there, whole, in the place of one that may be there."""

    def read(self, path: str) -> bytes:
        """The bytes of a file. Raises StoreError if there is none."""

    def list(self, folder: str) -> list[str]:
        """Paths of all files below a folder, sorted; hidden ones are left out."""

    def remove(self, path: str) -> None:
        """Remove one file."""


class LocalFiles:
    """A folder."""

    def __init__(self, location: FileLocation) -> None:
        self._folder = Path(location.path).expanduser().absolute()
        self.root = str(self._folder)
        self.filesystem = fsspec.filesystem("file", skip_instance_cache=True)

    def create(self, path: str, data: bytes) -> None:
        target = self._folder / path
        with _explained(str(target)), _finished(target, data) as temporary:
            _name_exclusively(temporary, target)

    def replace(self, path: str, data: bytes) -> None:
        target = self._folder / path
        with _explained(str(target)), _finished(target, data) as temporary:
            temporary.replace(target)

    def read(self, path: str) -> bytes:
        target = self._folder / path
        with _explained(str(target)):
            return target.read_bytes()

    def list(self, folder: str) -> list[str]:
        top = self._folder / folder
        found: list[Path] = []
        with _explained(str(top)):
            for place, folders, names in os.walk(top, onerror=_unless_missing):
                folders[:] = [name for name in folders if not name.startswith(".")]
                found += [Path(place, name) for name in names if not name.startswith(".")]
        return sorted(path.relative_to(self._folder).as_posix() for path in found)

    def remove(self, path: str) -> None:
        with _explained(str(self._folder / path)):
            (self._folder / path).unlink()


class S3Files:
    """A prefix in a bucket. Credentials come from the environment or a named profile."""

    def __init__(
        self,
        location: S3Location,
        options: Mapping[str, str],
        credentials: Mapping[str, str],
    ) -> None:
        self.root = f"{location.bucket}/{location.prefix}".rstrip("/")
        region = location.region or options.get("region")
        client: dict[str, str] = {"region_name": region} if region else {}
        encryption = {
            parameter: options[option]
            for option, parameter in (
                ("sse", "ServerSideEncryption"),
                ("sse_kms_key_id", "SSEKMSKeyId"),
            )
            if option in options
        }
        config: dict[str, Any] = {"connect_timeout": 10, "retries": {"max_attempts": 2}}
        if "addressing_style" in options:
            config["s3"] = {"addressing_style": options["addressing_style"]}
        if "endpoint_url" in options:
            # Services that only speak like S3 often refuse the newer checksum headers.
            config["request_checksum_calculation"] = "when_required"
            config["response_checksum_validation"] = "when_required"
        with _explained(f"s3://{self.root}"):
            self.filesystem = fsspec.filesystem(
                "s3",
                anon=options.get("anonymous") == "true",
                key=credentials.get("access_key_id"),
                secret=credentials.get("secret_access_key"),
                token=credentials.get("session_token"),
                s3_additional_kwargs=encryption,
                profile=options.get("profile"),
                endpoint_url=options.get("endpoint_url"),
                client_kwargs=client,
                config_kwargs=config,
                use_listings_cache=False,
                skip_instance_cache=True,
            )

    def create(self, path: str, data: bytes) -> None:
        # If an answer is lost and the put repeated, the service finds our own object in the way.
        # The token tells it from another writer's.
        token = uuid.uuid4().hex
        key = f"{self.root}/{path}"
        with _explained(f"s3://{key}"):
            for attempt in range(5):
                try:
                    self.filesystem.pipe_file(key, data, mode="create", Metadata={_WRITER: token})
                    return
                except OSError as error:
                    code = _service_code(error)
                    if isinstance(error, FileExistsError) or code in _CONFLICTS:
                        if self._writer_of(key) == token:
                            return
                        raise FileExistsError(errno.EEXIST, "exists") from error
                    if code not in _TRY_AGAIN or attempt == 4:
                        raise

    def replace(self, path: str, data: bytes) -> None:
        with _explained(f"s3://{self.root}/{path}"):
            self.filesystem.pipe_file(f"{self.root}/{path}", data)

    def read(self, path: str) -> bytes:
        with _explained(f"s3://{self.root}/{path}"):
            data: bytes = self.filesystem.cat_file(f"{self.root}/{path}")
            return data

    def list(self, folder: str) -> list[str]:
        with _explained(f"s3://{self.root}/{folder}"):
            found = self.filesystem.find(f"{self.root}/{folder}")
        names = (name.removeprefix(f"{self.root}/") for name in found)
        return sorted(name for name in names if not name.rpartition("/")[2].startswith("."))

    def remove(self, path: str) -> None:
        with _explained(f"s3://{self.root}/{path}"):
            self.filesystem.rm_file(f"{self.root}/{path}")

    def _writer_of(self, key: str) -> str | None:
        metadata: Mapping[str, str] = self.filesystem.metadata(key, refresh=True)
        return metadata.get(_WRITER) or metadata.get(_WRITER.replace("-", "_"))


@contextlib.contextmanager
def _finished(target: Path, data: bytes) -> Iterator[Path]:
    """A finished file beside the target, to be given its name; removed if it was not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Readers of data sets pass over names that begin with a dot.
    temporary = target.parent / f".{uuid.uuid4().hex}.part"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        yield temporary
        _sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _name_exclusively(temporary: Path, target: Path) -> None:
    """Give a finished file its final name, unless that is taken: then FileExistsError."""
    try:
        os.link(temporary, target)
        return
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
    # Some mounted object stores have no hard links, but can rename without replacing.
    flags = 1  # RENAME_NOREPLACE, linux/fs.h
    here = -100  # AT_FDCWD, linux/fcntl.h
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    code = errno.ENOSYS
    if rename is not None:
        if rename(here, os.fsencode(temporary), here, os.fsencode(target), flags) == 0:
            return
        code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        raise StoreError(
            "this file system can neither link nor rename without replacing",
            str(target.parent),
            "Two runs could overwrite each other's results there: use another folder, or s3://",
        )
    raise OSError(code, os.strerror(code), str(target))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _service_code(error: BaseException) -> str | None:
    """The code a service answered with, such as NoSuchBucket."""
    seen: BaseException | None = error
    while seen is not None:
        response = getattr(seen, "response", None)
        if isinstance(response, Mapping):
            return str(response.get("Error", {}).get("Code"))
        seen = seen.__cause__
    return None


_BY_CODE: Final = {
    "NoSuchBucket": ("there is no such bucket", "Create it, or correct the name"),
    "InvalidAccessKeyId": ("the access key is not known there", "Check AWS_ACCESS_KEY_ID"),
    "SignatureDoesNotMatch": ("the secret key is wrong", "Check AWS_SECRET_ACCESS_KEY"),
    "ExpiredToken": ("the session has expired", "Log in again"),
    "RequestTimeTooSkewed": ("this machine's clock is wrong", "Set the clock"),
    "PermanentRedirect": ("the bucket is in another region", "Name it: s3://bucket@region/…"),
    "AuthorizationHeaderMalformed": (
        "the bucket is in another region", "Name it: s3://bucket@region/…"),
    "301": ("the bucket is in another region", "Name it: s3://bucket@region/…"),
}  # fmt: skip
_BY_ERRNO: Final = {
    errno.ENOSPC: ("the disk is full", "Make room, or use another store"),
    errno.EDQUOT: ("the quota is used up", "Make room, or use another store"),
    errno.EROFS: ("the file system is read-only", "Mount it writable, or use another store"),
    errno.ENOTDIR: ("a file is where a folder should be", "Name a folder"),
    errno.EISDIR: ("a folder is where a file should be", "Remove it, or use another store"),
    errno.ENAMETOOLONG: ("the path is too long", "Use a folder with a shorter path"),
    errno.EMFILE: ("too many files are open", "Raise the limit: ulimit -n"),
}
_PERMISSION = "Give this user the right to read and write there, or use another store"
_CREDENTIALS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role is given"
)


@contextlib.contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turns what file systems raise into a StoreError with a remedy."""
    try:
        yield
    except StoreError:
        raise
    except FileExistsError as error:
        remedy = "Another writer was first; what it wrote stays"
        raise AlreadyThere("there is a file of this name", where, remedy) from error
    except OSError as error:
        raise _of_os(error, where) from error
    except Exception as error:
        name = type(error).__name__
        if type(error).__module__.partition(".")[0] not in ("botocore", "aiobotocore", "aiohttp"):
            raise
        raise _of_botocore(name, error, where) from error


def _of_os(error: OSError, where: str) -> StoreError:
    code = _service_code(error)
    if code in _BY_CODE:
        what, remedy = _BY_CODE[code]
        return StoreError(what, where, remedy)
    if isinstance(error, PermissionError):
        return StoreError("access is denied", where, _PERMISSION)
    if isinstance(error, FileNotFoundError):
        return StoreError("there is no such file", where, "Check the store's location")
    if error.errno in _BY_ERRNO:
        what, remedy = _BY_ERRNO[error.errno]
        return StoreError(what, where, remedy)
    detail = Redactor().text(str(error))[:300]
    return StoreError(f"reading or writing failed: {detail}", where, "Try again")


def _of_botocore(name: str, error: Exception, where: str) -> StoreError:
    if "Credential" in name:
        return StoreError("no credentials were found", where, _CREDENTIALS)
    if name == "ProfileNotFound":
        return StoreError("there is no such profile", where, "Check AWS_PROFILE or the option")
    detail = Redactor().text(str(error))[:300]
    if "Connect" in name or "Timeout" in name or "HTTPClient" in name:
        remedy = "Check the network and the option endpoint_url"
        return StoreError(f"the service cannot be reached: {detail}", where, remedy)
    return StoreError(f"{name}: {detail}", where, "Check the store's location and its options")
