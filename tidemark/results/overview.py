"""What is in a store, at a glance: from the names and sizes of its files and the runs' rows. Pure.

And a quick look at its integrity: whether everything is there that something else needs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tidemark.results.catalog import Catalog
from tidemark.results.finding import Finding
from tidemark.results.inventory import Torn
from tidemark.results.layout import ATTEMPT_FILE, GENERATIONS, PartName, generation_number

__all__ = [
    "Overview",
    "Unjudged",
    "compaction_leftovers",
    "look_at",
    "manifest_problems",
    "unfinished_files",
    "unjudged_of",
]


@dataclass(frozen=True, slots=True)
class Unjudged:
    """An attempt that was measured and has no row: the next run of its round judges it."""

    cell_id: str
    attempt_id: str
    run_id: str
    round: str | None

    @property
    def folder(self) -> str:
        """Where its raw output lies."""
        return f"raw/{self.cell_id}/{self.attempt_id}"

    def document(self) -> dict[str, Any]:
        """The attempt as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Overview:
    """What is in a store.

    `cells` counts complete cells by model and date, `files` and `size_bytes` are by top folder,
    `unjudged` holds `(cell_id, attempt_id)`. `generation` is the number of the newest one, 0 in a
    store that was never compacted; `large_parts` count in it, with the cells of `compacted`
    attempts.
    """

    cells: Mapping[tuple[str | None, str], int]
    files: Mapping[str, int]
    size_bytes: Mapping[str, int]
    unjudged: tuple[tuple[str, str], ...]
    generation: int = 0
    large_parts: int = 0
    compacted: int = 0

    def document(self) -> dict[str, Any]:
        """The overview as JSON values."""
        return {
            "cells": [
                {"model": model, "date": date, "cells": count}
                for (model, date), count in self.cells.items()
            ],
            "files": dict(self.files),
            "size_bytes": dict(self.size_bytes),
            "generation": self.generation,
            "large_parts": self.large_parts,
            "compacted_cells": self.compacted,
        }


def look_at(sizes: Mapping[str, int], catalog: Catalog) -> Overview:
    """The overview of a store, from the size in bytes of each of its files by path, and its
    catalog."""
    parts = {path: PartName.parse(path) for path in (*sizes, *catalog.places)}
    cells = {(p.cell_id, p.attempt_id): p for p in parts.values() if p and p.table == "cells"}
    requests = {(p.cell_id, p.attempt_id) for p in parts.values() if p and p.table == "requests"}
    counted = Counter((part.model, part.date) for key, part in cells.items() if key in requests)
    measured = {
        (segments[1], segments[2])
        for segments in (path.split("/") for path in sizes)
        if segments[0] == "raw" and len(segments) == 4 and segments[3] == ATTEMPT_FILE
    }
    files: Counter[str] = Counter()
    size_bytes: Counter[str] = Counter()
    for path, size in sizes.items():
        folder = path.partition("/")[0]
        files[folder] += 1
        size_bytes[folder] += size
    return Overview(
        cells=dict(sorted(counted.items(), key=lambda item: (item[0][0] or "", item[0][1]))),
        files=dict(sorted(files.items())),
        size_bytes=dict(sorted(size_bytes.items())),
        unjudged=tuple(sorted(measured - set(cells))),
        generation=catalog.number,
        large_parts=len(catalog.parts),
        compacted=sum(path.startswith("cells/") for path in catalog.places),
    )


def unjudged_of(cell_id: str, attempt_id: str, record: bytes) -> Unjudged:
    """What an `attempt.json` says of an attempt without a row."""
    try:
        document = json.loads(record)
        run = document.get("run") or {}
        return Unjudged(cell_id, attempt_id, str(document["run_id"]), run.get("round"))
    except (ValueError, KeyError, AttributeError, RecursionError):
        return Unjudged(cell_id, attempt_id, "unknown", None)


def manifest_problems(manifests: Mapping[str, bytes], present: Iterable[str]) -> list[Finding]:
    """Manifests that cannot be read, or that name parts that are not there."""
    there = set(present)
    found = []
    for path, data in sorted(manifests.items()):
        try:
            document = json.loads(data)
            named = [str(document["run_part"]), *map(str, document["cell_parts"])]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            what = f"it is no manifest ({type(error).__name__}: {error})"
            found.append(Finding("damaged", path, what))
            continue
        found += [
            Finding("part_missing", path, f"it names {part}, which is not there")
            for part in named
            if part not in there
        ]
    return found


def compaction_leftovers(sizes: Mapping[str, int], catalog: Catalog) -> list[Finding]:
    """What compactions that were stopped left; no reader of ours sees it."""
    replaced, dead, unnamed = catalog.leftovers(sizes)
    reasons = (
        (replaced, "its rows are in a large part too: plain readers see them twice"),
        (dead, "a large part that does not count: plain readers see its rows twice"),
        (unnamed, "a large part that no generation names: being written, or its writer stopped"),
    )
    remedy = "tidemark store compact removes it"
    return [
        Finding("leftover", path, what, remedy=remedy) for paths, what in reasons for path in paths
    ]


def unfinished_files(
    sizes: Mapping[str, int], catalog: Catalog, torn: Iterable[Torn]
) -> list[Finding]:
    """What writers that were stopped left: half-written files, runs without a manifest, cells
    without requests; and parts that are damaged."""
    overview = look_at(sizes, catalog)
    unjudged = set(overview.unjudged)
    found = []
    for one in torn:
        part = PartName.parse(one.path)
        waiting = part is not None and (part.cell_id, part.attempt_id) in unjudged
        if not (waiting and part is not None and part.table == "requests"):
            found.append(Finding("torn", one.path, one.reason))
    finished = {path.rpartition("/")[2].removesuffix(".json") for path in sizes
                if path.startswith("manifests/")}  # fmt: skip
    whole = {path.rpartition("/")[0] for path in sizes if path.endswith(f"/{ATTEMPT_FILE}")}
    half = set()
    for path in sizes:
        folder, _, name = path.rpartition("/")
        if name.startswith(".") and name.endswith(".part"):
            found.append(Finding("leftover", path, "a file whose writer was stopped"))
        elif folder == GENERATIONS and generation_number(path) is None:
            found.append(Finding("foreign", path, "not the name of a generation; it is not read"))
        elif path.startswith("probes/"):
            found.append(Finding("leftover", path, "a probe that could not be removed"))
        elif path.startswith("runs/") and name.removesuffix(".parquet") not in finished:
            what = "the run has no manifest: it did not finish, and is not read as one"
            found.append(Finding("unfinished", path, what))
        elif path.startswith("raw/") and path.count("/") >= 3:
            half.add("/".join(path.split("/")[:3]))
    for folder in sorted(half - whole):
        what = "raw output without an attempt.json: its writer stopped before all of it was there"
        found.append(Finding("unfinished", folder, what))
    return found
