"""Where each attempt's rows lie in a compacted store, as its generations tell it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tidemark.results.generations import Generation, LargePart
from tidemark.results.layout import LargeName

__all__ = ["Catalog", "Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """An attempt's rows in a large part: `rows` of them from row `start` on.

    `sha256` is of the part of its own that it was written as.
    """

    part: LargePart
    start: int
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """The large parts that count, by path, and the place of each attempt's rows in them.

    `number` is that of the newest generation, 0 in a store that was never compacted. `places` go
    by the paths of the parts that the attempts were written as.
    """

    number: int = 0
    parts: Mapping[str, LargePart] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)

    @classmethod
    def of(cls, generations: Iterable[Generation]) -> Catalog:
        """What the newest of these generations leaves, the oldest first."""
        number = 0
        parts: dict[str, LargePart] = {}
        for generation in generations:
            number = generation.number
            if generation.whole:
                parts.clear()
            for part in generation.parts:
                for path in part.replaces:
                    parts.pop(path, None)
                parts[part.path] = part
        places = {}
        for part in parts.values():
            start = 0
            for member in part.attempts:
                place = Place(part, start, member.rows, member.sha256)
                places[part.own_path(member)] = place
                start += member.rows
        return cls(number, parts, places)

    def leftovers(self, paths: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
        """What among these paths is not read any more, or not yet.

        (parts of attempts that large parts have taken over, large parts that do not count and
        never will, and those of a later generation: one that is being written, or whose writer
        was stopped).
        """
        replaced: list[str] = []
        dead: list[str] = []
        later: list[str] = []
        for path in sorted(paths):
            name = LargeName.parse(path)
            if path in self.places:
                replaced.append(path)
            elif name is not None and path not in self.parts:
                (dead if name.number <= self.number else later).append(path)
        return replaced, dead, later
