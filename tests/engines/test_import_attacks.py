"""What damaged and hostile files beside good ones do to an import: nothing but be refused."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tidemark.engines.genai_bench_import import ImportedRun, Importer
from tidemark.engines.genai_bench_import_source import survey
from tidemark.results.context import Harness
from tidemark.results.store import Store, open_store

DATA = Path(__file__).parent.parent / "data" / "genai_bench_import" / "repeated_level"
BAD = "D40_12_text-to-text_num_concurrency_2_time_1s.json"
GOOD = "D40_12_text-to-text_num_concurrency_2_time_2s.json"
METADATA = "experiment_metadata.json"
BOOK = "twice_summary.xlsx"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

Document = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copied = tmp_path / "left"
    shutil.copytree(DATA, copied)
    return copied


def taken(folder: Path) -> tuple[list[ImportedRun], dict[str, str], Store]:
    """The runs of an import, what it refused and why, and the store it went to."""
    source, store = open_store(str(folder)), open_store(str(folder.parent / "results"))
    found = survey(source.files, "left")
    importer = Importer(
        source.files,
        "left",
        store,
        harness=Harness(tidemark_version="0", python_version="3.11"),
        now=NOW,
        name="left",
    )
    runs = importer.run(found)
    return runs, {one.path: one.what for one in (*found.refused, *importer.refused)}, store


def kept(runs: list[ImportedRun]) -> set[str]:
    return {file.path for run in runs for file in run.files}


def change(path: Path, edit: Callable[[Document], object]) -> None:
    document = json.loads(path.read_bytes())
    edit(document)
    path.write_text(json.dumps(document))


def request(**values: Any) -> Callable[[Document], object]:
    return lambda document: document["individual_request_metrics"][0].update(values)


def aggregated(**values: Any) -> Callable[[Document], object]:
    return lambda document: document["aggregated_metrics"].update(values)


def failed(code: float) -> Callable[[Document], object]:
    def edit(document: Document) -> None:
        request(error_code=code, error_message="no")(document)
        counts = {"num_error_requests": 1, "error_codes_frequency": {"500": 1}}
        document["aggregated_metrics"].update(counts)

    return edit


def statistic(value: Any) -> Callable[[Document], object]:
    return lambda document: document["aggregated_metrics"]["stats"]["ttft"].update(mean=value)


@pytest.mark.parametrize(
    "edit",
    [
        failed(10**400),
        failed(2**70),
        failed(1e300),
        request(total_tokens=10**400),
        statistic(10**400),
        aggregated(run_duration=10**400),
        aggregated(requests_per_second=10**400),
        aggregated(error_codes_frequency={"500": 10**400}),
    ],
)
def test_a_number_that_no_count_reaches_refuses_its_file_only(
    folder: Path, edit: Callable[[Document], object]
) -> None:
    change(folder / BAD, edit)
    runs, refused, _ = taken(folder)
    assert kept(runs) == {GOOD}
    assert set(refused) == {BAD}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('"max_time_per_run_s": 1e999', "max_time_per_run_s is inf"),
        (f'"max_requests_per_run": {10**400}', "max_requests_per_run is larger than any count"),
        (r'"api_model_name": "\ud800"', "api_model_name is no text"),
    ],
)
def test_metadata_that_no_row_can_hold_is_refused(folder: Path, said: str, words: str) -> None:
    path = folder / METADATA
    name = said.partition(":")[0]
    path.write_text(re.sub(rf"{name}: [^,}}]+", lambda _: said, path.read_text()))
    runs, refused, _ = taken(folder)
    assert kept(runs) == {BAD, GOOD}
    assert words in refused[METADATA]


def flagged(offset: int, value: int) -> Callable[[bytes], bytes]:
    """A workbook whose every entry says something else of itself."""

    def change(content: bytes) -> bytes:
        raw = bytearray(content)
        for signature, at in ((b"PK\x03\x04", offset), (b"PK\x01\x02", offset + 2)):
            for found in re.finditer(re.escape(signature), content):
                raw[found.start() + at] = value
        return bytes(raw)

    return change


def damaged(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entry = archive.getinfo("xl/workbook.xml")
    begin = entry.header_offset + 30 + len(entry.filename) + 8
    raw = bytearray(content)
    raw[begin : begin + 40] = bytes(byte ^ 0xFF for byte in raw[begin : begin + 40])
    return bytes(raw)


def rewritten(pattern: bytes, value: bytes) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        written = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(written, "w") as new:
            for name in old.namelist():
                new.writestr(name, re.sub(pattern, value, old.read(name)))
        return written.getvalue()

    return change


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(damaged, id="damaged"),
        pytest.param(flagged(6, 1), id="encrypted"),
        pytest.param(flagged(8, 99), id="compressed otherwise"),
        pytest.param(flagged(8, 14), id="no lzma"),
        pytest.param(lambda content: content[: len(content) // 2], id="cut"),
        pytest.param(
            rewritten(rb"(<t[^>]*>)2(</t>)", rb"\g<1>" + b"7" * 5000 + rb"\g<2>"), id="digits"
        ),
    ],
)
def test_a_workbook_that_cannot_be_read_is_refused(
    folder: Path, edit: Callable[[bytes], bytes]
) -> None:
    (folder / BOOK).write_bytes(edit((folder / BOOK).read_bytes()))
    runs, refused, _ = taken(folder)
    assert kept(runs) == {BAD, GOOD}
    assert set(refused) == {BOOK}


CANARY = re.compile(rb"CANARY\w*")
CONNECTION = "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=CANARYd0123456==;X=y"


def test_no_secret_of_the_metadata_is_kept_in_any_byte(folder: Path) -> None:
    (folder / BOOK).unlink()

    def metadata(fields: Document) -> None:
        fields["cmd"] += f" --storage-azure-connection-string {CONNECTION}"
        fields["cmd"] += " --api-key CANARYa,b;c=CANARYrest --azure-ad-token=CANARYe,CANARYf"
        fields["auth_config"] = {"azure_ad_token": "CANARYk12345", "password": "CANARY"[:5]}
        headers = {"Ocp-Apim-Subscription-Key": "CANARYr123", "Cookie": "id=CANARYs"}
        fields["additional_request_params"] = {"extra_headers": headers}

    change(folder / METADATA, metadata)
    said = "CANARYd0123456== CANARYk12345 CANARYr123 CANARYa,b;c=CANARYrest CANARYe,CANARYf"
    change(folder / BAD, request(error_code=401, error_message=f"refused for {said}"))
    change(
        folder / BAD,
        lambda document: document["aggregated_metrics"].update(
            num_error_requests=1, error_codes_frequency={"401": 1}
        ),
    )
    runs, _, store = taken(folder)
    assert kept(runs) == {BAD, GOOD}
    seen = {}
    for path in (folder.parent / "results").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            content = gzip.decompress(content) if path.suffix == ".gz" else content
            seen[path.name] = CANARY.findall(content)
    assert seen
    assert not {name: found for name, found in seen.items() if found}
    tables = f"{store.cells().to_pylist()} {store.requests().to_pylist()} {runs}"
    assert not CANARY.search(tables.encode())
    assert "refused for" in tables


def cut_short(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that ends between the evidence of its first attempt and its row."""
    real = os.link

    def link(source: Any, target: Any, **options: Any) -> None:
        if "/cells/" in os.fspath(target):
            raise KeyboardInterrupt
        real(source, target, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", link)
        with pytest.raises(KeyboardInterrupt):
            taken(folder)


def test_an_import_that_was_cut_short_is_finished_though_the_source_grew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = (folder / GOOD).read_bytes()
    (folder / GOOD).unlink()
    cut_short(folder, monkeypatch)
    (folder / GOOD).write_bytes(late)
    runs, refused, store = taken(folder)
    assert not refused
    assert {file.path: file.fate for run in runs for file in run.files} == {
        BAD: "imported",
        GOOD: "imported",
    }
    (run,) = store.runs().to_pylist()
    assert len(store.run_cells(run)) == 2
    again, _, _ = taken(folder)
    assert {file.fate for one in again for file in one.files} == {"already"}
    assert len(store.runs()) == 1


def test_evidence_that_was_damaged_since_refuses_its_file_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_short(folder, monkeypatch)
    (evidence,) = (folder.parent / "results").rglob("attempt.json")
    evidence.write_text("{}")
    runs, refused, _ = taken(folder)
    assert len(kept(runs)) == 1
    assert len(refused) == 1


def test_a_text_that_is_no_utf_8_leaves_nothing_half_kept(folder: Path) -> None:
    change(folder / BAD, aggregated(requests_per_second="\ud800"))
    change(folder / BAD, failed(500))
    change(folder / BAD, request(error_message="\ud800 boom"))
    runs, refused, store = taken(folder)
    assert {*kept(runs), *refused} == {BAD, GOOD}
    assert GOOD in kept(runs)
    attempts = {attempt for cell in store.cells().to_pylist() for attempt in [cell["attempt_id"]]}
    left = {path.parent.name for path in (folder.parent / "results").rglob("raw/*/*/*")}
    assert left == attempts
