"""What file systems and networks raise, as a StoreError that says what to do.

The class tells what may help: StoreBusy asking again in a moment, StoreAway writing the same file
there later, any other StoreError something else than waiting. What a service answered, the module
of its store explains.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from typing import Final

from tidemark.errors import AlreadyThere, StoreAway, StoreBusy, StoreError
from tidemark.results.redact import Redactor

__all__ = ["BUSY", "ROOM", "WAIT", "explained", "of_status", "unreachable"]

_SHAPES_ONLY = Redactor()

_PERMISSION = "Give this user the right to read and write there, or use another store"
ROOM = "Make room, or use another store"
BUSY = "the service cannot do it now"
WAIT = "Wait, or ask whoever runs the service"

_DEVICE = "Check the disk or the mount"
_BY_ERRNO: Final[dict[int, tuple[type[StoreError], str, str]]] = {
    errno.ENOSPC: (StoreAway, "the disk is full", ROOM),
    errno.EDQUOT: (StoreAway, "the quota is used up", ROOM),
    errno.EROFS: (
        StoreAway, "the file system is read-only", "Mount it writable, or use another store"),
    errno.EMFILE: (StoreAway, "too many files are open", "Raise the limit: ulimit -n"),
    errno.EIO: (StoreAway, "reading or writing failed: input/output error", _DEVICE),
    errno.ESTALE: (StoreAway, "the mount has gone", _DEVICE),
    errno.ENOTCONN: (StoreAway, "the mount has gone", _DEVICE),
    errno.EHOSTDOWN: (StoreAway, "the mount does not answer", _DEVICE),
    errno.ENOTDIR: (StoreError, "a file is where a folder should be", "Name a folder"),
    errno.EISDIR: (
        StoreError, "a folder is where a file should be", "Remove it, or use another store"),
    errno.ENAMETOOLONG: (StoreError, "the path is too long", "Use a folder with a shorter path"),
}  # fmt: skip

_NETWORK_PACKAGES: Final = ("aiohttp", "urllib3", "requests", "httpx", "httpcore", "ssl")
_NOT_IMPLEMENTED = 501

Refusal = Callable[[Exception, str, str], StoreError | None]


@contextlib.contextmanager
def explained(
    where: str, redactor: Redactor = _SHAPES_ONLY, refusal: Refusal | None = None
) -> Iterator[None]:
    """Turns what file systems and services raise into a StoreError with a remedy.

    `refusal(error, where, text)` explains what a service or its client raised, whose text is
    given without secrets, and returns None for what it does not know.
    """
    try:
        yield
    except StoreError:
        raise
    except FileExistsError as error:
        remedy = "Another writer was first; what it wrote stays"
        raise AlreadyThere("there is a file of this name", where, remedy) from error
    except Exception as error:
        said = redactor.text(str(error))[:300]
        # Those of clients first: some are an OSError by descent, without a number.
        if refusal is not None and (known := refusal(error, where, said)) is not None:
            raise known from error
        if type(error).__module__.partition(".")[0] in _NETWORK_PACKAGES:
            raise unreachable(said, where) from error
        if isinstance(error, OSError):
            raise _of_os(error, where, said) from error
        raise


def of_status(status: int, said: str, where: str, rights: str) -> StoreError:
    """What a service answered, by its HTTP status. `rights` are those that writing there needs."""
    if status == 429 or (status >= 500 and status != _NOT_IMPLEMENTED):
        return StoreBusy(f"{BUSY}: {said}", where, WAIT)
    if status in (401, 403):
        return StoreAway(f"access is denied: {said}", where, rights)
    remedy = "Check the store's location and its options"
    return StoreError(f"the service refuses it: {said}", where, remedy)


def unreachable(said: str, where: str) -> StoreError:
    """That no answer came."""
    remedy = "Check the network and the option endpoint_url"
    return StoreBusy(f"the service cannot be reached: {said or 'no answer'}", where, remedy)


def _of_os(error: OSError, where: str, said: str) -> StoreError:
    if isinstance(error, PermissionError):
        return StoreAway("access is denied", where, _PERMISSION)
    if isinstance(error, FileNotFoundError):
        return StoreError("there is no such file", where, "Check the store's location")
    if isinstance(error, ConnectionError | TimeoutError):
        return unreachable(said, where)
    if error.errno in _BY_ERRNO:
        kind, what, remedy = _BY_ERRNO[error.errno]
        return kind(what, where, remedy)
    return StoreError(f"reading or writing failed: {said}", where, "Try again")
