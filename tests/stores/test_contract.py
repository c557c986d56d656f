"""What every kind of store has to do."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import HASTY, Place
from proxy import Proxy
from services import Service
from stored_sweep import READERS, REQUESTS, put_sweep

from tidemark.errors import AlreadyThere, StoreAway, StoreBusy, StoreError
from tidemark.results.copying import copy_store
from tidemark.results.patience import Patience
from tidemark.results.providers.provider import PROVIDERS
from tidemark.results.rows import RunContext, RunOutcome, run_row
from tidemark.results.store import Attempt, Store, open_store
from tidemark.results.verify import verify

MakeAttempt = Callable[..., Attempt]
WRITERS = 16
CELL_FILES = 6  # three of raw output, requests, timeline, the cell
ODD_NAMES = (
    "org/model=7b",
    "100 % sure+more&a;b,c",
    "模型-七b/ü",
    "a?b#c[d]{e}@f:g~h!'(i)*",
    "..",
)


def weaker_of(store: Store) -> tuple[str, ...]:
    """What the probe of a sound store notes: what this kind gives less of."""
    weaker = PROVIDERS[store.location.scheme].weaker
    return () if weaker is None else (weaker,)


def test_a_store_says_that_it_works(store: Store) -> None:
    probed = store.probe()
    assert probed.notes == weaker_of(store)
    assert store.files.list("probes") == []
    assert store.cells().num_rows == 0
    assert store.runs().num_rows == 0


def test_a_run_comes_back_whole(place: Place) -> None:
    sweep = put_sweep(place.open())
    found = place.open()
    assert found.cells().to_pylist() == sorted(
        (stored.row for stored in sweep.cells), key=lambda row: found.stored(row).cell_part
    )
    assert found.requests().num_rows == 2 * REQUESTS
    first = sweep.cells[0].row
    assert found.requests(cell_id=first["cell_id"]).num_rows == REQUESTS
    assert found.runs()["run_id"].to_pylist() == [sweep.run.run_id]
    assert found.attempts(first["cell_id"]) == [first["attempt_id"]]
    assert found.evidence(first["cell_id"], first["attempt_id"]).run == sweep.run
    assert found.torn() == ()


def test_pandas_reads_it_without_us(place: Place) -> None:
    sweep = put_sweep(place.open())
    files = place.open().files
    cells = pd.read_parquet(f"{files.root}/cells", filesystem=files.filesystem)
    assert sorted(cells["cell_id"]) == sorted(stored.row["cell_id"] for stored in sweep.cells)
    assert cells["model"].astype(str).tolist() == ["org/model=7b"] * 2
    chosen = sweep.cells[1].row
    some = pd.read_parquet(
        f"{files.root}/requests",
        filesystem=files.filesystem,
        filters=[("cell_id", "==", chosen["cell_id"]), ("status", "==", "ok")],
        columns=["ttft_s", "cell_id"],
    )
    assert len(some) == REQUESTS - 1
    assert some["ttft_s"].between(0.049, 0.07).all()
    one = pq.read_table(f"{files.root}/{sweep.cells[0].cell_part}", filesystem=files.filesystem)
    assert one.num_rows == 1


def test_files_are_listed_by_folder_with_their_sizes(store: Store) -> None:
    files = store.files
    written = {f"raw/{folder}/{name}": b"x" * len(name) for folder in "ab" for name in ("1", "22")}
    for path, data in {**written, "rawness/x": b"x", "cells/.hidden": b"x"}.items():
        files.create(path, data)
    assert files.list("raw") == sorted(written)
    assert files.list("raw/a") == ["raw/a/1", "raw/a/22"]
    assert files.list("cells") == files.list("nothing") == []
    assert files.sizes("raw") == {path: len(data) for path, data in written.items()}


def test_many_files_are_all_listed(store: Store) -> None:
    names = [f"raw/cell/{number:03}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        [*pool.map(lambda name: store.files.create(name, b""), names)]
    assert store.files.list("raw") == names
    assert store.files.read(names[3]) == b""


def test_an_attempt_that_was_cut_short_is_put_again(
    place: Place, make_attempt: MakeAttempt
) -> None:
    attempt = make_attempt()
    place.open().put_evidence(attempt)
    assert place.open().cells().num_rows == 0
    stored = place.open().put_cell(attempt)
    assert place.open().cells().to_pylist() == [stored.row]
    with pytest.raises(AlreadyThere):
        place.open().put_cell(attempt)
    with pytest.raises(AlreadyThere):  # other output under the same name is never put over it
        place.open().put_evidence(replace(attempt, raw_context={"exit_status": 1}))


def test_another_process_finds_the_cells_that_are_finished(
    place: Place, make_attempt: MakeAttempt
) -> None:
    done = place.open().put_cell(make_attempt(0)).row
    later = place.open()
    (found,) = later.find_cells([done["cell_id"]], "2026-11-21")
    assert found == done
    assert later.judged([done["cell_id"]]) == {(done["cell_id"], done["attempt_id"])}
    assert later.find_cells([done["cell_id"]], "another round") == []


def test_verify_finds_it_fine_and_then_what_was_spoilt(place: Place) -> None:
    store = place.open()
    sweep = put_sweep(store)
    done = verify(place.open, READERS, jobs=1)
    assert done.findings == ()
    assert (done.cells, done.requests, done.runs) == (2, 2 * REQUESTS, 1)
    spoilt = sweep.cells[0].requests_part
    data = bytearray(store.files.read(spoilt))
    data[len(data) // 3] ^= 0x40
    store.files.replace(spoilt, bytes(data))
    assert store.files.read(spoilt) == bytes(data)
    found = verify(place.open, READERS, jobs=1).findings
    assert spoilt in [finding.path for finding in found]
    assert [torn.path for torn in place.open().torn()] == [spoilt]


def race(writes: list[Callable[[], object]]) -> list[int]:
    """Who won of those that were let go at once."""
    gate = threading.Barrier(len(writes))

    def write(index: int) -> int | None:
        gate.wait(timeout=60)
        try:
            writes[index]()
        except AlreadyThere:
            return None
        return index

    with ThreadPoolExecutor(len(writes)) as pool:
        return [won for won in pool.map(write, range(len(writes))) if won is not None]


def test_of_sixteen_writers_of_one_part_one_wins(place: Place, make_attempt: MakeAttempt) -> None:
    attempt, stores = make_attempt(), [place.open() for _ in range(4)]
    winners = race([partial(stores[n % 4].put_cell, attempt) for n in range(WRITERS)])
    assert len(winners) == 1
    assert place.open().cells().num_rows == 1
    assert place.open().torn() == ()


def test_of_sixteen_writers_of_one_manifest_one_wins(
    place: Place, run: RunContext, make_attempt: MakeAttempt
) -> None:
    store = place.open()
    stored = store.put_cell(make_attempt())
    outcome = RunOutcome(outcome="complete", exit_status=0, finished_at=run.created_at)
    part = store.put_run(run_row(run, outcome, [stored.row]))
    stores = [store, *(place.open() for _ in range(3))]
    writes = [
        partial(
            stores[n % 4].put_manifest,
            "run-1",
            run_part=part,
            cell_parts=[stored.cell_part],
            contents={"writer": n},
        )
        for n in range(WRITERS)
    ]
    (winner,) = race(writes)
    (manifest,) = store.files.list("manifests")
    assert json.loads(store.files.read(manifest))["writer"] == winner


@pytest.mark.parametrize("model", ODD_NAMES)
def test_models_are_found_under_whatever_name_they_have(
    place: Place, make_attempt: MakeAttempt, model: str
) -> None:
    attempt = make_attempt()
    stored = place.open().put_cell(replace(attempt, row={**attempt.row, "model_name": model}))
    found = place.open()
    assert found.cells()["model_name"].to_pylist() == [model]
    files = found.files
    assert files.list("cells") == [stored.cell_part]
    frame = pd.read_parquet(f"{files.root}/cells", filesystem=files.filesystem)
    assert frame["model"].astype(str).tolist() == [model]


def test_odd_names_of_files_come_back_as_they_are(store: Store) -> None:
    names = [f"raw/cell/attempt/{name}" for name in ("ü 100%", "a%2Fb", "a+b&c=d", "{}~'()!,;$")]
    for number, name in enumerate(names):
        store.files.create(name, str(number).encode())
    assert store.files.list("raw") == sorted(names)
    assert [store.files.read(name) for name in names] == [b"0", b"1", b"2", b"3"]
    for name in names:
        store.files.remove(name)
    assert store.files.list("raw") == []


def test_a_large_file_is_created_once_and_whole(place: Place) -> None:
    large = bytes(range(256)) * (80 * 2**10)
    assert len(large) == 20 * 2**20
    place.open().files.create("raw/cell/attempt/large", large)
    with pytest.raises(AlreadyThere):
        place.open().files.create("raw/cell/attempt/large", large[::-1])
    assert place.open().files.read("raw/cell/attempt/large") == large


def test_data_that_look_like_a_part_of_the_protocol_come_back(store: Store) -> None:
    data = b"--==0==\r\nContent-Type: application/json\r\n\r\n{}\n--==0==--\r\n0\r\n\r\n"
    store.files.create("raw/cell/attempt/log", data)
    assert store.files.read("raw/cell/attempt/log") == data


def test_what_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(StoreError, match="no such file") as caught:
        store.files.read("cells/absent")
    assert not isinstance(caught.value, StoreAway)
    assert caught.value.remedy


def test_a_whole_store_is_copied_to_a_folder_and_back(place: Place, tmp_path: Path) -> None:
    sweep = put_sweep(place.open())
    here = open_store(str(tmp_path / "copy"))
    copied = copy_store(place.open(), here)
    assert (copied.left, copied.files) == ((), len(here.files.list("")))
    back = replace(place, prefix="copied/back")
    copy_store(here, back.open())
    again = copy_store(here, back.open())
    assert (again.files, again.same) == (0, copied.files)
    done = verify(back.open, READERS, jobs=1)
    assert (done.findings, done.runs) == ((), 1)
    assert back.open().runs()["run_id"].to_pylist() == [sweep.run.run_id]


# What a network does to it.


def test_an_answer_that_was_lost_is_known_as_ones_own(place: Place, proxy: Proxy) -> None:
    files = place.open().files
    files.list("cells")  # so that what follows is the creating alone
    if hasattr(place.service, "lose_answer"):
        place.service.lose_answer()
    else:
        proxy.lose_answer_to(b"mine, and no other's")
    files.create("cells/x", b"mine, and no other's")
    assert proxy.lose is None
    with pytest.raises(AlreadyThere):
        files.create("cells/x", b"mine, and no other's")
    assert place.open().files.read("cells/x") == b"mine, and no other's"


def test_a_service_that_hangs_is_given_up_on_in_time(place: Place, proxy: Proxy) -> None:
    patience = Patience(tries=1, connect_s=0.5, answer_s=1.0, slowest_bytes_per_s=1e9)
    store = place.open(patience=patience)
    store.files.list("cells")
    proxy.hang()
    uses: list[Callable[[], Any]] = [
        lambda: store.files.create("cells/x", b"x" * 2**20),
        lambda: store.files.read("cells/y"),
        lambda: store.files.list("cells"),
    ]
    for use in uses:
        begin = time.monotonic()
        with pytest.raises(StoreBusy, match="cannot be reached") as caught:
            use()
        assert time.monotonic() - begin < 8
        assert caught.value.remedy
    proxy.release()


def test_what_is_measured_while_a_service_is_away_is_sent_later(
    place: Place, proxy: Proxy, run: RunContext, make_attempt: MakeAttempt, tmp_path: Path
) -> None:
    assert proxy.endpoint_url
    store = place.open(outbox=tmp_path / "outbox")
    first = store.put_cell(make_attempt(0))
    place.service.stop()
    try:
        stored = [store.put_cell(make_attempt(number)) for number in (1, 2)]
        outcome = RunOutcome(outcome="complete", exit_status=0, finished_at=run.created_at)
        part = store.put_run(run_row(run, outcome, [each.row for each in stored]))
        cell_parts = [each.cell_part for each in stored]
        store.put_manifest(run.run_id, run_part=part, cell_parts=cell_parts)
        assert store.waiting().files == 2 * CELL_FILES + 2
        with pytest.raises(StoreBusy, match="cannot be reached"):
            store.send()
    finally:
        place.service.start()
        place.service.create_bucket(place.bucket)
    sent = place.open(outbox=tmp_path / "outbox").send()
    assert (sent.files, sent.left) == (2 * CELL_FILES + 2, ())
    others = place.open()
    assert others.runs()["run_id"].to_pylist() == [run.run_id]
    kept = [first] if place.service.keeps else []
    assert others.cells().num_rows == len([*kept, *stored])
    assert others.torn() == ()


def test_a_bucket_that_is_not_there_is_named_and_results_wait_for_it(
    place: Place, proxy: Proxy, make_attempt: MakeAttempt, tmp_path: Path
) -> None:
    assert proxy.endpoint_url
    absent = replace(place, bucket="no-such-place")
    for use in (absent.open().probe, absent.open().cells):
        with pytest.raises(StoreAway, match="no-such-place") as caught:
            use()
        assert not isinstance(caught.value, StoreBusy)
        assert caught.value.remedy
    store = absent.open(outbox=tmp_path)
    store.put_cell(make_attempt())
    assert store.waiting().files == CELL_FILES


def test_a_service_that_is_not_there_is_named(place: Place, proxy: Proxy) -> None:
    assert proxy.endpoint_url
    nowhere = place.open(options={"endpoint_url": "http://127.0.0.1:9"})
    with pytest.raises(StoreBusy, match="cannot be reached") as caught:
        nowhere.probe()
    assert "endpoint_url" in str(caught.value)


def test_opening_asks_nobody(place: Place, proxy: Proxy) -> None:
    asked = len(proxy.asked)
    store = place.open()
    repr(store)
    assert len(proxy.asked) == asked


def test_credentials_of_the_environment_open_it(
    place: Place, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in place.service.environment().items():
        monkeypatch.setenv(name, value)
    options = {"endpoint_url": proxy.endpoint_url}
    opened = open_store(place.uri, options=options, patience=HASTY)
    assert opened.probe().notes == weaker_of(opened)


def test_wrong_credentials_are_refused_with_what_to_do_and_results_wait(
    place: Place, proxy: Proxy, make_attempt: MakeAttempt, tmp_path: Path
) -> None:
    assert proxy.endpoint_url
    cases = place.service.wrong()
    assert cases
    for number, case in enumerate(cases):
        given: dict[str, Any] = {"options": {**case.options}, "credentials": {**case.credentials}}
        with pytest.raises(StoreError, match=case.words) as caught:
            place.open(**given).probe()
        assert caught.value.remedy
        assert not isinstance(caught.value, StoreBusy)
        if isinstance(caught.value, StoreAway):  # and not refused before anything was asked
            store = place.open(**given, outbox=tmp_path / str(number))
            with pytest.raises(StoreAway):
                store.files.sizes()
            store.put_cell(make_attempt())
            assert store.waiting().files == CELL_FILES


def test_secrets_are_written_nowhere(
    place: Place,
    proxy: Proxy,
    make_attempt: MakeAttempt,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("azure", "gcsfs", "google", "oci", "ocifs", "adlfs", "msal", "urllib3"):
        logging.getLogger(name).setLevel(logging.NOTSET)  # as in a process that has just begun
    said = []
    good = place.open()
    good.probe()
    stored = good.put_cell(make_attempt())
    said += [repr(good), repr(good.files), repr(vars(good)), repr(good.files.filesystem)]
    for number, case in enumerate(place.service.wrong()):
        given: dict[str, Any] = {"options": {**case.options}, "credentials": {**case.credentials}}
        try:
            store = place.open(**given, outbox=tmp_path / str(number))
            store.put_cell(make_attempt(1))
            store.probe()
        except StoreError as error:
            said += [str(error), repr(error), repr(error.__cause__)]
    held = [good.files.read(path) for path in good.files.list("")]
    held += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert stored.cell_part in good.files.list("cells")
    said += [data.decode("latin-1") for data in held]
    said += [f"{one.method} {one.target} {one.headers}" for one in proxy.asked]
    said.append(caplog.text)
    assert capfd.readouterr().out == ""  # where clients print requests as they are signed
    assert place.service.secrets
    signed = signatures(place.service)
    for text in said:
        for secret in place.service.secrets:
            assert secret not in text
        assert "PRIVATE KEY" not in text
        assert not any(one in text for one in signed if "?" not in text)


def signatures(service: Service) -> list[str]:
    """What is sent in addresses by design, and must be nowhere else."""
    tokens = [case.credentials.get("azure_sas_token", "") for case in service.wrong()]
    return [token.partition("sig=")[2] for token in tokens if token]
