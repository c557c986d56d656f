"""What genai-bench left at a location: its level files, and the experiment that each is of.

Uploads put no folder name into keys, so several experiments may lie at one place: one metadata
file, that of the last writer, and level files of all of them. A level file is taken for one of an
experiment only where the experiment's workbook lists it, or where nothing in the folder speaks
against it; of any other it is not known which service it measured.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tidemark.engines.genai_bench_import_level import LEVEL_FILE, Level, read_level
from tidemark.engines.genai_bench_import_metadata import (
    Metadata,
    contradictions,
    read_metadata,
    secrets_in,
)
from tidemark.engines.genai_bench_import_workbook import (
    WORKBOOK_FILE,
    Workbook,
    read_workbook,
    workbook_text,
)
from tidemark.errors import EngineError, StoreError, TidemarkError
from tidemark.results.files import Files
from tidemark.results.redact import Redactor

__all__ = ["LARGEST_LEVEL_BYTES", "Experiment", "Progress", "Refused", "Survey", "survey"]

Progress = Callable[[str, int, int], None]
"""Told what is done, how many of it are done, and of how many."""

LARGEST_LEVEL_BYTES: Final = 128 * 1024 * 1024
"""Some 200,000 requests: more of one level than a person waits for."""

_LARGEST_OTHER_BYTES: Final = 32 * 1024 * 1024
_METADATA: Final = re.compile(r"(?P<prefix>(?:.+-)?)experiment_metadata.*\.json")


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that is not imported: its path, why, and what to do."""

    path: str
    what: str
    remedy: str | None

    @classmethod
    def of(cls, path: str, error: TidemarkError) -> Refused:
        """The refusal that an error about a file stands for."""
        return cls(path, error.what, error.remedy)


@dataclass(frozen=True, slots=True)
class Experiment:
    """Level files of one experiment, in order; of an unknown one, where `metadata` is None.

    `folder` is what their paths begin with. `reasons` say for each path how the experiment is
    known, or why it is not. `written_at` is when its workbook was written.
    """

    folder: str
    metadata: Metadata | None
    levels: tuple[Level, ...]
    reasons: Mapping[str, str]
    written_at: str | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found at a location.

    `same` maps files to the one they are byte by byte; of such files the first is taken, or the
    first beside which its model is told. `passed_over` counts files of other kinds.
    `redactor` knows the secrets that were found.
    """

    experiments: tuple[Experiment, ...]
    refused: tuple[Refused, ...]
    same: Mapping[str, str]
    passed_over: int
    redactor: Redactor = field(repr=False)


@dataclass(slots=True)
class _Folder:
    levels: list[Level] = field(default_factory=list)
    metadata: list[Metadata] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    workbooks: list[Workbook] = field(default_factory=list)


def survey(files: Files, where: str, *, on_progress: Progress | None = None) -> Survey:
    """Read all that genai-bench left below a root, and tell its experiments apart.

    `where` names the location in errors. Raises StoreError for a location that cannot be read,
    EngineError where no level file is.
    """
    tell = on_progress or (lambda *_: None)
    paths = files.list("")
    levels = [path for path in paths if LEVEL_FILE.fullmatch(_name(path))]
    if not levels:
        raise _nothing(where, paths)
    beside = [path for path in paths if _is_beside(path)]
    size_bytes = files.sizes()
    refused: list[Refused] = []
    folders: dict[str, _Folder] = defaultdict(_Folder)

    # Secrets first: they may stand in any file, and messages quote files.
    contents: dict[str, bytes] = {}
    secrets: set[str] = set()
    for number, path in enumerate(beside):
        tell("reading metadata", number, len(beside))
        try:
            contents[path] = _read(files, path, size_bytes, _LARGEST_OTHER_BYTES)
            text = contents[path]
            secrets |= secrets_in(workbook_text(path, text) if _is_workbook(path) else text)
        except (StoreError, EngineError) as error:
            contents.pop(path, None)
            refused.append(Refused.of(path, error))
            if not _is_workbook(path):
                folders[_place(path, _METADATA)].damaged.append(path)
    redactor = Redactor(secrets)
    workbooks: dict[str, Workbook] = {}
    for path, content in contents.items():
        try:
            if _is_workbook(path):
                workbooks[path] = read_workbook(path, content, redactor)
            else:
                found = read_metadata(path, redactor.data(content))
                folders[_place(path, _METADATA)].metadata.append(found)
        except EngineError as error:
            refused.append(Refused.of(path, error))
            if not _is_workbook(path):
                folders[_place(path, _METADATA)].damaged.append(path)
    for place in {_place(path, LEVEL_FILE) for path in levels}:
        folders[place].workbooks = [
            book
            for path, book in workbooks.items()
            if path.startswith(place) and "/" not in path.removeprefix(place)
        ]

    taken: dict[str, Level] = {}
    copies: dict[str, str] = {}
    for number, path in enumerate(levels):
        tell("reading levels", number, len(levels))
        try:
            content = _read(files, path, size_bytes, LARGEST_LEVEL_BYTES)
            digest = hashlib.sha256(content).hexdigest()
            first = taken.get(digest)
            if first is None:
                taken[digest] = read_level(path, content)
                continue
            copy = replace(first, path=path)
            if _is_told(copy, folders) and not _is_told(first, folders):
                taken[digest], copy = read_level(path, content), first
            copies[copy.path] = digest
        except (StoreError, EngineError) as error:
            refused.append(Refused.of(path, error))
    tell("reading levels", len(levels), len(levels))
    for level in taken.values():
        folders[_place(level.path, LEVEL_FILE)].levels.append(level)
    return Survey(
        experiments=tuple(
            experiment
            for name, folder in sorted(folders.items())
            for experiment in _experiments(name, folder)
        ),
        refused=tuple(
            Refused(redactor.text(one.path), redactor.text(one.what), one.remedy)
            for one in sorted(refused, key=lambda one: one.path)
        ),
        same={path: taken[digest].path for path, digest in sorted(copies.items())},
        passed_over=len(paths) - len(levels) - len(beside),
        redactor=redactor,
    )


def _experiments(name: str, folder: _Folder) -> list[Experiment]:
    """The experiments in a folder: known ones first, then the unknown ones."""
    known: dict[str, tuple[Metadata, list[Level]]] = {}
    unknown: dict[tuple[str, ...], list[Level]] = defaultdict(list)
    reasons: dict[str, str] = {}
    for level, (metadata, reason) in _attributed(folder).items():
        reasons[level.path] = reason
        if metadata is None:
            key = (level.task, level.iteration, level.unit, *level.releases)
            unknown[key].append(level)
        else:
            known.setdefault(_identity(metadata), (metadata, []))[1].append(level)
    written = {_identity(book.metadata): book.written_at for book in folder.workbooks}
    return [
        Experiment(name, metadata, _ordered(levels), reasons, written.get(identity))
        for identity, (metadata, levels) in known.items()
    ] + [Experiment(name, None, _ordered(levels), reasons) for _, levels in sorted(unknown.items())]


def _attributed(folder: _Folder) -> dict[Level, tuple[Metadata | None, str]]:
    """For each level file the metadata of its experiment, or None, and why."""
    files = {_identity(one): one for one in folder.metadata}
    books = {_identity(book.metadata): book for book in folder.workbooks}
    fits = {
        level: [one for one in files.values() if not list(contradictions(level, one))]
        for level in folder.levels
    }
    found: dict[Level, tuple[Metadata | None, str]] = {}
    for level in folder.levels:
        listed = [
            identity
            for identity, book in books.items()
            if book.lists(level) and not list(contradictions(level, book.metadata))
        ]
        if len(listed) == 1:
            book = books[listed[0]]
            metadata = files.get(listed[0], book.metadata)
            found[level] = metadata, f"the workbook {book.metadata.path} lists it"
    # That others wrote here: files that fit no metadata file, workbooks of other experiments.
    mixed = any(not fitting for fitting in fits.values()) or bool(set(books) - set(files))
    for level in folder.levels:
        if level not in found:
            found[level] = _by_metadata(level, fits, files.values(), folder.damaged, mixed)
    return found


def _is_told(level: Level, folders: Mapping[str, _Folder]) -> bool:
    """Whether what lies beside a level file would tell its experiment, if it were alone there."""
    folder = folders[_place(level.path, LEVEL_FILE)]
    alone = _Folder([level], folder.metadata, workbooks=folder.workbooks)
    return _attributed(alone)[level][0] is not None


def _by_metadata(
    level: Level,
    fits: Mapping[Level, Sequence[Metadata]],
    files: Iterable[Metadata],
    damaged: Iterable[str],
    mixed: bool,
) -> tuple[Metadata | None, str]:
    fitting = fits[level]
    if not fitting:
        told = [
            f"{one.path} is of another experiment ({'; '.join(contradictions(level, one))})"
            for one in files
        ] + [f"{path} beside it cannot be read" for path in damaged]
        return None, "; ".join(told) or "there is no experiment_metadata.json beside it"
    if len(fitting) > 1:
        told = [f"{one.path} (model {one.model})" for one in fitting]
        return None, f"several metadata files fit it, and differ: {', '.join(told)}"
    metadata = fitting[0]
    twins = [
        other.path for other in fits
        if other != level and other.place == level.place and metadata in fits[other]
    ]  # fmt: skip
    if twins and mixed:
        return None, (
            f"{metadata.path} fits it and {', '.join(twins)} alike, and other experiments wrote "
            "here too: only one of them can be its own"
        )
    if twins:
        return metadata, (
            f"{metadata.path} fits it and {', '.join(twins)} alike, as where a level is repeated; "
            "that all of them measured the same service cannot be proved"
        )
    return metadata, f"{metadata.path} beside it fits, and nothing there contradicts it"


def _identity(metadata: Metadata) -> str:
    """What tells one experiment from another: its command line, which names all of it."""
    said = metadata.fields
    return f"{said.get('cmd')} {said.get('api_model_name')} {said.get('experiment_folder_name')}"


def _ordered(levels: Iterable[Level]) -> tuple[Level, ...]:
    return tuple(sorted(levels, key=lambda one: (one.scenario.text, one.level, one.path)))


def _read(files: Files, path: str, size_bytes: Mapping[str, int], most: int) -> bytes:
    size = size_bytes.get(path, 0)
    if size > most:
        raise EngineError(
            f"it has {size / 2**20:.0f} MiB, more than the {most // 2**20} MiB that are read",
            path,
            "Measure that level for a shorter time, or with fewer requests",
        )
    return files.read(path)


def _nothing(where: str, paths: Sequence[str]) -> EngineError:
    if not paths:
        what, remedy = "there are no files", "Check the address: a folder, or a prefix of keys"
    elif any(_METADATA.fullmatch(_name(path)) for path in paths):
        what = "an experiment was begun here, and no level of it was finished"
        remedy = "Measure it again: there is nothing to import"
    else:
        what = f"none of the {len(paths)} files is a level file of genai-bench"
        remedy = "Name the folder that holds SCENARIO_TASK_num_concurrency_LEVEL_time_Ts.json"
    return EngineError(what, where, remedy)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _place(path: str, form: re.Pattern[str]) -> str:
    """What the paths of one experiment begin with: a folder, or in a release a prefix."""
    folder, slash, name = path.rpartition("/")
    found = form.fullmatch(name)
    return f"{folder}{slash}{found['prefix'] if found else ''}"


def _is_workbook(path: str) -> bool:
    return WORKBOOK_FILE.fullmatch(_name(path)) is not None


def _is_beside(path: str) -> bool:
    return _is_workbook(path) or _METADATA.fullmatch(_name(path)) is not None
