"""OSS that goes away while results are written, and comes back."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from oss_service import OssService

from tidemark.errors import StoreBusy
from tidemark.results.patience import Patience
from tidemark.results.rows import RunContext, RunOutcome, run_row
from tidemark.results.store import Attempt, Store, open_store
from tidemark.simulator.oss.process import oss_process

MakeAttempt = Callable[..., Attempt]
CELL_FILES = 6  # three of raw output, requests, timeline, the cell
HASTY = Patience(tries=2, sleep=lambda _: None)
KEY = {"access_key_id": "LTAIsimulator", "access_key_secret": "simulator-secret"}
URI = "oss://night@cn-hangzhou/runs"


@pytest.fixture
def service() -> Iterator[OssService]:
    service = OssService()
    service.simulator.create_bucket("night")
    service.start()
    yield service
    service.stop()


def opened(endpoint_url: str, outbox: Path | None = None) -> Store:
    options = {"endpoint_url": endpoint_url}
    return open_store(URI, options=options, credentials=KEY, outbox=outbox, patience=HASTY)


def before_put(store: Store, number: int, do: Callable[[], None]) -> None:
    """Do something as the store's n-th put from now is to begin."""
    filesystem = store.files.filesystem
    put, count = filesystem.pipe_file, itertools.count(1)

    def counted(*arguments: object, **named: object) -> None:
        if next(count) == number:
            do()
        put(*arguments, **named)

    filesystem.pipe_file = counted


@pytest.mark.parametrize("number", [1, 2, 6, 7, 14])
def test_a_service_that_goes_away_between_puts_has_everything_once_it_is_back(
    service: OssService, tmp_path: Path, make_attempt: MakeAttempt, run: RunContext, number: int
) -> None:
    store = opened(service.endpoint_url, tmp_path)
    before_put(store, number, service.stop)
    stored = [store.put_cell(make_attempt(index)) for index in (0, 1)]
    outcome = RunOutcome(outcome="complete", exit_status=0, finished_at=run.created_at)
    part = store.put_run(run_row(run, outcome, [each.row for each in stored]))
    store.put_manifest(run.run_id, run_part=part, cell_parts=[each.cell_part for each in stored])
    waiting = store.waiting().files
    assert waiting == 2 * CELL_FILES + 2 - (number - 1)
    with pytest.raises(StoreBusy, match="cannot be reached"):
        store.send()
    service.start()
    sent = opened(service.endpoint_url, tmp_path).send()
    assert (sent.files, sent.left) == (waiting, ())
    others = opened(service.endpoint_url)
    assert others.cells().to_pylist() == [each.row for each in stored]
    assert others.runs()["run_id"].to_pylist() == [run.run_id]
    assert others.torn() == ()


def test_a_service_that_loses_every_second_answer_has_everything_once(
    service: OssService, tmp_path: Path, make_attempt: MakeAttempt
) -> None:
    service.play('calls: [{when: {action: "*", every: 2}, then: {lost: answer}}]')
    store = opened(service.endpoint_url, tmp_path)
    stored = [store.put_cell(make_attempt(index)) for index in (0, 1, 2)]
    service.play()
    opened(service.endpoint_url, tmp_path).send()
    others = opened(service.endpoint_url)
    assert others.cells().to_pylist() == [each.row for each in stored]
    assert others.torn() == ()


def test_a_server_that_is_killed_loses_nothing_of_what_is_written_from_then_on(
    tmp_path: Path, make_attempt: MakeAttempt
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    options = ("--port", port, "--bucket", "night", "--max-seconds", "100")
    with ExitStack() as stack:
        first = stack.enter_context(oss_process(*options))

        def kill() -> None:
            first.process.kill()
            first.process.wait(20)

        store = opened(first.url, tmp_path)
        before_put(store, 3, kill)
        store.put_cell(make_attempt(0))
        second = store.put_cell(make_attempt(1))
        assert store.waiting().files == 2 * CELL_FILES - 2
    with oss_process(*options) as again:
        assert store.send().files == 2 * CELL_FILES - 2
        assert second.cell_part in opened(again.url).files.list("cells")
        assert store.waiting().files == 0
