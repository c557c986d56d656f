"""The id of this installation: what is started carries it, and only that is ever stopped."""

from __future__ import annotations

import os
import re
from pathlib import Path
from tempfile import NamedTemporaryFile
from uuid import uuid4

from tidemark.errors import ConfigError

__all__ = ["FILE", "new_id", "read_or_make"]

FILE = "installation"
"""Name of the file in home that holds the id."""


def new_id() -> str:
    """An id that no other installation has: 12 small letters and digits."""
    return uuid4().hex[:12]


def read_or_make(home: Path) -> str:
    """The id that is kept in `home`, made where there is none: of several processes that come
    first at once, all get the same. Raises ConfigError where it cannot be read or written."""
    path = home / FILE
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write_once(path, new_id())
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(
            f"the id of this installation cannot be kept ({reason})", str(path),
            "Make the folder writable, or set TIDEMARK_INSTALLATION",
        ) from error  # fmt: skip
    if not re.fullmatch(r"[a-z0-9]{4,32}", text):
        raise ConfigError(
            "holds no id of an installation", str(path),
            "Write the id that this machine's jobs carry into it, 4 to 32 small letters and digits",
        )  # fmt: skip
    return text


def _write_once(path: Path, text: str) -> None:
    # Whole, by a name of its own: whoever reads it, however early, reads all of it.
    with NamedTemporaryFile("w", dir=path.parent, prefix=".installation-") as written:
        written.write(f"{text}\n")
        written.flush()
        os.fsync(written.fileno())
        try:
            os.link(written.name, path)
        except FileExistsError:
            return
