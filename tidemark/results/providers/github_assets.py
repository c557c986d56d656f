"""Assets of a release as files: what a path is called there, and what an asset says of itself.

GitHub keeps the letters, digits, '.', '-' and '_' of an asset's name and puts '.' in the place of
anything else, so a path is spelled with those alone:

    a-z 0-9 -     as they are, and '.' between others
    /             __
    anything else _ and two hexadecimal digits for each byte of its UTF-8; so are capital letters,
                  that no two names differ in case only

A path whose name would be too long is called by its digest, `_z` and as much of its end as fits;
the asset's label has the beginning. Every label also says which writer put the asset there, and
how many bytes it has: an asset has no other metadata.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tidemark.errors import StoreError

__all__ = ["EMPTY", "LARGEST_BYTES", "Asset", "asset_label", "asset_name"]

LARGEST_BYTES: Final = 2**31
"""The most bytes an asset may have. Source: GitHub, "About releases"."""

EMPTY: Final = b"\n"
"""What an asset for an empty file holds: GitHub takes none without content."""

_LONGEST: Final = 240  # of a name, and of a label; GitHub states no limit
_DIGEST: Final = 32
_KEPT: Final = re.compile(r"[a-z0-9.-]")
_UNIT: Final = re.compile(r"__|_[0-9a-f]{2}|[a-z0-9.-]")
_NOWHERE: Final = ("", ".", "..")  # no names of a folder or a file
_CUT: Final = re.compile(rf"(?P<digest>[0-9a-f]{{{_DIGEST}}})_z(?P<end>.*)")
_LABEL: Final = re.compile(r"(?P<text>.*) \(writer (?P<writer>[0-9a-f]+), (?P<size>\d+) bytes\)")


def asset_name(path: str) -> str:
    """What the asset for the file at a path is called: the same name for the same path only."""
    units = _units(path)
    name = "".join(units)
    if len(name) <= _LONGEST:
        return name
    return f"{_digest(path)}_z{''.join(units[_cut(units) :])}"


def asset_label(path: str, writer: str, size_bytes: int) -> str:
    """What stands in the place of an asset's name for who looks at the release.

    Raises StoreError for a path that is too long for name and label together.
    """
    said = f" (writer {writer}, {size_bytes} bytes)"
    units = _units(path)
    if len("".join(units)) <= _LONGEST:
        return _shown(path)[: _LONGEST - len(said)] + said
    head = _shown(path[: _cut(units)])
    if len(head) + len(said) > _LONGEST:
        raise StoreError(
            "the path is too long for an asset of a release",
            path,
            "Use a shorter name of the model or of the engine's file, or another store",
        )
    return head + said


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset, as GitHub describes it. `size_bytes` is that of the file it stands for.

    Under one id the content never changes. Until it is `uploaded` it cannot be read, but has its
    name already.
    """

    asset_id: int
    name: str
    label: str
    uploaded: bool
    size_bytes: int
    created_at: datetime

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Asset:
        """The asset that a JSON object describes. Raises KeyError, TypeError or ValueError."""
        label = str(document.get("label") or "")
        said, size = _LABEL.fullmatch(label), int(document["size"] or 0)
        uploaded = document["state"] == "uploaded"
        if said is not None and (not uploaded or (size == len(EMPTY) and said["size"] == "0")):
            size = int(said["size"])
        return cls(
            asset_id=int(document["id"]),
            name=str(document["name"]),
            label=label,
            uploaded=uploaded,
            size_bytes=size,
            created_at=datetime.fromisoformat(document["created_at"]),
        )

    @property
    def writer(self) -> str | None:
        """The token of who put it there; None for what is not ours."""
        said = _LABEL.fullmatch(self.label)
        return said["writer"] if said else None

    @property
    def path(self) -> str | None:
        """The path of the file that it stands for; None for what is no file of a store.

        It never leads out of a folder: anybody with a right to the release names assets.
        """
        if (cut := _CUT.fullmatch(self.name)) is None:
            found = _path(self.name)
        else:
            said, end = _LABEL.fullmatch(self.label), _path(cut["end"])
            found = None if said is None or end is None else _unshown(said["text"], end)
        if found is None or not {*found.split("/")}.isdisjoint(_NOWHERE):
            return None
        return found if asset_name(found) == self.name else None


def _units(path: str) -> list[str]:
    """How each character of a path is spelled."""
    units: list[str] = []
    for index, character in enumerate(path):
        # GitHub takes dots away at both ends, and might join those that follow each other.
        is_lone = character != "." or (0 < index < len(path) - 1 and units[-1] != ".")
        if character == "/":
            units.append("__")
        elif _KEPT.fullmatch(character) and is_lone:
            units.append(character)
        else:
            spelled = character.encode("utf-8", "surrogateescape")
            units.append("".join(f"_{byte:02x}" for byte in spelled))
    return units


def _cut(units: list[str]) -> int:
    """From which character on the end of a long path is part of its asset's name."""
    room, begin = _LONGEST - _DIGEST - len("_z"), len(units)
    while len(units[begin - 1]) <= room:
        begin -= 1
        room -= len(units[begin])
    return begin


def _path(name: str) -> str | None:
    spelled = bytearray()
    position = 0
    while position < len(name):
        unit = _UNIT.match(name, position)
        if unit is None:
            return None
        text = unit[0]
        if text == "__":
            spelled += b"/"
        else:
            spelled += bytes.fromhex(text[1:]) if text.startswith("_") else text.encode()
        position = unit.end()
    return spelled.decode("utf-8", "surrogateescape")


def _shown(text: str) -> str:
    """A text in printable ASCII, as in a JSON string."""
    return json.dumps(text)[1:-1]


def _unshown(shown: str, end: str) -> str | None:
    try:
        return str(json.loads(f'"{shown}"')) + end
    except ValueError:
        return None


def _digest(path: str) -> str:
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGEST]
