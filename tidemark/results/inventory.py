"""Which parts of a store count as results: decided from the names of what is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tidemark.results.layout import PartName

__all__ = ["Inventory", "Torn", "take_stock"]


@dataclass(frozen=True, slots=True)
class Torn:
    """A part that is not read as a result, and why."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Inventory:
    """Paths of the complete cells' parts, in order; their requests' parts; what is torn."""

    cells: tuple[str, ...]
    requests: tuple[str, ...]
    torn: tuple[Torn, ...]


def take_stock(cell_paths: Iterable[str], request_paths: Iterable[str]) -> Inventory:
    """What is complete: a cell's part is written last, so it needs its requests' part beside it.

    Paths are relative to the store's root. Parts that are none by their name are torn too:
    nothing lies unnoticed where results are looked for.
    """
    torn = []
    cells: dict[str, str] = {}
    requests: dict[str, str] = {}
    for paths, found in ((cell_paths, cells), (request_paths, requests)):
        for path in sorted(paths):
            part = PartName.parse(path)
            if part is None:
                torn.append(Torn(path, "not the name of a part; it is not read"))
            else:
                found[path.partition("/")[2]] = path
    for name in sorted(cells.keys() - requests.keys()):
        reason = f"its requests are missing (requests/{name}); copy them too, or remove the part"
        torn.append(Torn(cells[name], reason))
    for name in sorted(requests.keys() - cells.keys()):
        reason = (
            "its cell is missing: measured, not judged; if its raw output is there, the next run "
            "of its round judges it"
        )
        torn.append(Torn(requests[name], reason))
    complete = sorted(cells.keys() & requests.keys())
    return Inventory(
        tuple(cells[name] for name in complete),
        tuple(requests[name] for name in complete),
        tuple(torn),
    )
