"""The same store on Alibaba Cloud OSS, over the network."""

from __future__ import annotations

import itertools
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from alibabacloud_oss_v2.exceptions import RequestError
from oss_service import SECRET, OssService

from tidemark.errors import AlreadyThere, StoreAway, StoreBusy, StoreError
from tidemark.results.outbox import outboxes
from tidemark.results.patience import Patience
from tidemark.results.rows import RunContext, RunOutcome, run_row
from tidemark.results.store import Attempt, Store, open_store
from tidemark.simulator.pai.accounts import SIMULATOR, Account

MakeAttempt = Callable[..., Attempt]
Open = Callable[..., Store]
LARGE = bytes(range(256)) * (36 * 2**10)  # 9 MiB: two parts
HASTY = Patience(sleep=lambda _: None)
KEY_VARIABLES = {
    "ALIBABA_CLOUD_ACCESS_KEY_ID": SIMULATOR.access_key_id,
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": SECRET,
}
TEMPORARY = Account("STS.example", "example-secret", security_token="example-token")
COUNTER = itertools.count()


@pytest.fixture(scope="module")
def running() -> Iterator[OssService]:
    service = OssService()
    service.start()
    yield service
    service.stop()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The published key, and nothing of this machine's own."""
    for name in [*os.environ]:
        if name.startswith(("ALIBABA_CLOUD_", "TIDEMARK_REGION", "TIDEMARK_NETWORK", "HTTP_PROXY")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
    for name, value in KEY_VARIABLES.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def service(running: OssService, environment: None) -> Iterator[OssService]:  # noqa: ARG001
    yield running
    running.play()


@pytest.fixture
def bucket(service: OssService) -> str:
    name = f"results-{next(COUNTER)}"
    service.simulator.create_bucket(name)
    return name


@pytest.fixture
def open_it(service: OssService, bucket: str) -> Open:
    """Opens the store as another process would: open_it(**options)."""

    def opened(
        credentials: Mapping[str, str] | None = None,
        patience: Patience = HASTY,
        outbox: Path | None = None,
        **options: str,
    ) -> Store:
        return open_store(
            f"oss://{bucket}@cn-hangzhou/nightly/runs",
            options={"endpoint_url": service.endpoint_url, **options},
            credentials=credentials,
            patience=patience,
            outbox=outbox,
        )

    return opened


@pytest.fixture
def store(open_it: Open) -> Store:
    return open_it()


def test_what_is_put_comes_back(store: Store, run: RunContext, make_attempt: MakeAttempt) -> None:
    assert store.probe().notes == ()
    assert store.cells().num_rows == 0
    first, second = store.put_cell(make_attempt(0)), store.put_cell(make_attempt(1))
    assert store.cells().to_pylist() == [first.row, second.row]
    assert store.requests(attempt_id=first.row["attempt_id"]).num_rows == 200
    assert len(store.find_cells([first.row["cell_id"]], "2026-11-21")) == 2
    outcome = RunOutcome(outcome="complete", exit_status=0, finished_at=run.created_at)
    part = store.put_run(run_row(run, outcome, [first.row]))
    store.put_manifest("run-1", run_part=part, cell_parts=[first.cell_part, second.cell_part])
    assert store.runs()["run_id"].to_pylist() == ["run-1"]
    evidence = store.evidence(first.row["cell_id"], first.row["attempt_id"])
    assert evidence.engine_context == {"exit_status": 0}
    assert evidence.run == run
    assert store.torn() == ()


def test_pandas_reads_it(store: Store, make_attempt: MakeAttempt) -> None:
    stored = [store.put_cell(make_attempt(index)) for index in (0, 1)]
    files = store.files
    frame = pd.read_parquet(f"{files.root}/cells", filesystem=files.filesystem)
    assert frame["model"].astype(str).tolist() == ["org/model=7b"] * 2
    assert sorted(frame["attempt_id"]) == sorted(each.row["attempt_id"] for each in stored)
    one = pd.read_parquet(
        f"{files.root}/{stored[0].requests_part}", filesystem=files.filesystem, columns=["ttft_s"]
    )
    assert len(one) == 200


def test_of_sixteen_writers_of_one_part_one_wins(store: Store, make_attempt: MakeAttempt) -> None:
    attempt, gate = make_attempt(), threading.Barrier(16)

    def write(_: int) -> str:
        gate.wait(timeout=30)
        try:
            store.put_cell(attempt)
        except AlreadyThere:
            return "lost"
        return "won"

    with ThreadPoolExecutor(16) as pool:
        outcomes = sorted(pool.map(write, range(16)))
    assert outcomes == ["lost"] * 15 + ["won"]
    assert store.cells().num_rows == 1


def test_of_sixteen_writers_of_one_manifest_one_wins(
    open_it: Open, run: RunContext, make_attempt: MakeAttempt
) -> None:
    store = open_it()
    stored = store.put_cell(make_attempt())
    outcome = RunOutcome(outcome="complete", exit_status=0, finished_at=run.created_at)
    part = store.put_run(run_row(run, outcome, [stored.row]))
    writers = [open_it() for _ in range(4)]
    gate = threading.Barrier(16)

    def write(index: int) -> int | None:
        gate.wait(timeout=30)
        try:
            writers[index % 4].put_manifest(
                "run-1", run_part=part, cell_parts=[stored.cell_part], contents={"writer": index}
            )
        except AlreadyThere:
            return None
        return index

    with ThreadPoolExecutor(16) as pool:
        (winner,) = [index for index in pool.map(write, range(16)) if index is not None]
    (manifest,) = store.files.list("manifests")
    assert json.loads(store.files.read(manifest))["writer"] == winner


def test_a_put_whose_answer_was_lost_is_known_as_ones_own(
    service: OssService, store: Store
) -> None:
    service.play("calls: [{when: {action: PutObject, nth: 1}, then: {lost: answer}}]")
    before = service.heard()
    store.files.create("cells/x", b"mine")
    assert (service.heard() - before)["PutObject"] == 2
    with pytest.raises(AlreadyThere):
        store.files.create("cells/x", b"mine")
    assert store.files.read("cells/x") == b"mine"


def test_a_large_file_is_put_in_parts_and_created_once(
    service: OssService, bucket: str, store: Store
) -> None:
    store.files.create("raw/large", LARGE)
    assert service.objects(bucket)["nightly/runs/raw/large"]["kind"] == "Multipart"
    assert store.files.read("raw/large") == LARGE
    with pytest.raises(AlreadyThere):
        store.files.create("raw/large", LARGE)


def test_of_writers_who_all_have_sent_their_parts_one_completes_and_no_part_is_left(
    service: OssService, bucket: str, store: Store
) -> None:
    client = store.files.filesystem._client  # what each of them calls last
    complete, gate = client.complete_multipart_upload, threading.Barrier(4)

    def together(request: Any) -> Any:
        gate.wait(timeout=30)
        return complete(request)

    client.complete_multipart_upload = together

    def write(index: int) -> bool:
        try:
            store.files.create("raw/large", LARGE[index:])
        except AlreadyThere:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        (winner,) = [index for index, won in enumerate(pool.map(write, range(4))) if won]
    assert store.files.read("raw/large") == LARGE[winner:]
    assert service.simulator.state()["buckets"][bucket]["uploads"] == 0


def test_a_completion_whose_answer_was_lost_is_known_as_ones_own(
    service: OssService, bucket: str, store: Store
) -> None:
    service.play("calls: [{when: {action: CompleteMultipartUpload, nth: 1}, then: {lost: answer}}]")
    store.files.create("raw/large", LARGE)
    assert store.files.read("raw/large") == LARGE
    assert service.simulator.state()["buckets"][bucket]["uploads"] == 0


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({"sse": "AES256"}, {"x-oss-server-side-encryption": "AES256"}),
        ({"sse": "SM4"}, {"x-oss-server-side-encryption": "SM4"}),
        (
            {"sse": "KMS", "sse_kms_key_id": "key-example"},
            {
                "x-oss-server-side-encryption": "KMS",
                "x-oss-server-side-encryption-key-id": "key-example",
            },
        ),
    ],
)
def test_every_object_is_encrypted_as_asked(
    service: OssService,
    bucket: str,
    open_it: Open,
    options: dict[str, str],
    headers: dict[str, str],
) -> None:
    store = open_it(**options)
    store.files.create("cells/small", b"small")
    store.files.replace("leases/over", b"over")
    store.files.create("raw/large", LARGE)
    written = service.objects(bucket)
    assert len(written) == 3
    for known in written.values():
        assert headers.items() <= known["headers"].items()


def test_a_bucket_that_keeps_versions_overwrites_and_is_refused(
    service: OssService, bucket: str, store: Store
) -> None:
    service.simulator.create_bucket(bucket).versioning = "Enabled"
    with pytest.raises(StoreError, match="overwrites a file that was to be created only if absent"):
        store.probe()


@pytest.mark.parametrize(
    ("key", "what", "remedy"),
    [
        (("LTAInobody", SECRET, None), "the access key is not known", "Check the access key id"),
        (
            (SIMULATOR.access_key_id, "made-up-canary", None),
            "the access key secret is wrong",
            "Check the access key secret",
        ),
        (
            ("STS.example", "example-secret", "made-up-canary"),
            "the security token is wrong",
            "Check the security token",
        ),
        (("STS.ended", "example-secret", "canary-token"), "the credentials have expired", "Log in"),
    ],
)
def test_the_probe_tells_what_is_wrong_with_credentials_and_what_to_do(
    service: OssService,
    open_it: Open,
    key: tuple[str, str, str | None],
    what: str,
    remedy: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    service.simulator.accounts.add(TEMPORARY)
    ended = Account("STS.ended", "example-secret", security_token="canary-token", expires_at_s=1.0)
    service.simulator.accounts.add(ended)
    names = ("access_key_id", "access_key_secret", "security_token")
    given = {name: text for name, text in zip(names, key, strict=True) if text is not None}
    store = open_it(credentials=given)
    before = service.heard()
    with pytest.raises(StoreAway, match=what) as caught:
        store.probe()
    assert remedy in str(caught.value)
    assert sum((service.heard() - before).values()) == 1  # asking again would not help
    shown = f"{caplog.text} {caught.value} {caught.value!r} {store!r} {vars(store.files)!r}"
    for secret in key[1:]:
        assert secret is None or secret not in shown


def test_credentials_of_the_environment_are_in_no_log_error_or_repr(
    store: Store, caplog: pytest.LogCaptureFixture, make_attempt: MakeAttempt
) -> None:
    caplog.set_level(logging.DEBUG)
    store.probe()
    store.put_cell(make_attempt())
    filesystem = store.files.filesystem
    shown = f"{caplog.text} {filesystem!r} {filesystem.storage_options} {vars(store.files)!r}"
    assert SECRET not in shown


def test_a_session_token_goes_with_every_request(service: OssService, open_it: Open) -> None:
    service.simulator.accounts.add(TEMPORARY)
    store = open_it(
        credentials={
            "access_key_id": TEMPORARY.access_key_id,
            "access_key_secret": TEMPORARY.access_key_secret,
            "security_token": str(TEMPORARY.security_token),
        }
    )
    assert store.probe().notes == ()


def test_credentials_that_end_are_renewed_and_the_file_is_put(
    service: OssService, open_it: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = service.simulator.accounts
    first = Account("STS.first", "first-secret", security_token="first-token")

    def give(account: Account) -> None:
        accounts.add(account)
        monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", account.access_key_id)
        monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", account.access_key_secret)
        monkeypatch.setenv("ALIBABA_CLOUD_SECURITY_TOKEN", str(account.security_token))

    give(first)
    store = open_it()
    store.files.create("cells/before", b"before")
    accounts.add(replace(first, expires_at_s=1.0))
    with pytest.raises(StoreAway, match="the credentials have expired"):
        store.files.create("cells/meanwhile", b"meanwhile")
    give(TEMPORARY)
    before = service.heard()
    store.files.create("cells/after", b"after")
    assert (service.heard() - before)["PutObject"] == 2
    assert store.files.list("cells") == ["cells/after", "cells/before"]
    accounts.add(replace(TEMPORARY, expires_at_s=1.0))
    monkeypatch.delenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET")  # nothing to renew them from
    with pytest.raises(StoreAway, match="the credentials have expired"):
        store.files.create("cells/late", b"late")


def test_without_credentials_it_says_where_it_looked(
    open_it: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in KEY_VARIABLES:
        monkeypatch.delenv(name)
    with pytest.raises(StoreAway, match="no credentials") as caught:
        open_it().probe()
    assert "ALIBABA_CLOUD_ACCESS_KEY_ID" in str(caught.value)


def test_a_profile_goes_before_the_environment(
    open_it: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = {"access_key_id": SIMULATOR.access_key_id, "access_key_secret": SECRET}
    profile = {"name": "bench", "mode": "AK", **keys}
    (tmp_path / ".aliyun").mkdir()
    (tmp_path / ".aliyun/config.json").write_text(
        json.dumps({"current": "bench", "profiles": [profile]})
    )
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAInobody")
    assert open_it(profile="bench").probe().notes == ()
    with pytest.raises(StoreAway, match="names a profile that is in neither file"):
        open_it(profile="absent").probe()


def test_entries_for_other_tools_do_not_take_the_place_of_the_signature(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password made-up\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert store.probe().notes == ()


@pytest.mark.parametrize("named", ["oss://no-such-bucket@cn-hangzhou/p", "oss://no-such-bucket/p"])
def test_a_bucket_that_is_not_there_is_named(service: OssService, named: str) -> None:
    absent = open_store(named, options={"endpoint_url": service.endpoint_url})
    for use in (absent.probe, absent.cells, absent.torn):
        with pytest.raises(StoreAway, match="there is no such bucket") as caught:
            use()
        assert "no-such-bucket" in str(caught.value)


def test_a_bucket_in_another_region_is_told_as_such(service: OssService, bucket: str) -> None:
    options = {"endpoint_url": service.endpoint_url, "region": "cn-beijing"}
    with pytest.raises(StoreError, match="the bucket is in another region") as caught:
        open_store(f"oss://{bucket}/p", options=options).probe()
    assert "oss://bucket@region" in str(caught.value)
    assert open_store(f"oss://{bucket}/p", options={**options, "region": "cn-hangzhou"}).probe()


def test_anothers_bucket_is_denied(service: OssService) -> None:
    other = Account("LTAIother", "other-secret", account_id="42")
    service.simulator.create_bucket("anothers", account=other)
    store = open_store(
        "oss://anothers@cn-hangzhou/p", options={"endpoint_url": service.endpoint_url}
    )
    with pytest.raises(StoreAway, match="access is denied") as caught:
        store.probe()
    assert "oss:PutObject" in str(caught.value)


@pytest.mark.parametrize(
    ("effect", "heard", "kind"),
    [
        ("error: {status: 503, code: QpsLimitExceeded}", 3, StoreBusy),
        ("error: {status: 500, code: InternalError}", 3, StoreBusy),
        ("throttle: {status: 503, code: ServiceUnavailable}", 3, StoreBusy),
        ("html: 502", 3, StoreBusy),
        ("lost: request", 3, StoreBusy),
        ("error: {status: 400, code: InvalidDigest}", 3, StoreBusy),
        ("error: {status: 403, code: UserDisable}", 1, StoreAway),
        ("error: {status: 403, code: KmsServiceNotEnabled}", 1, StoreAway),
        ("error: {status: 403, code: RequestTimeTooSkewed}", 1, StoreAway),
        ("error: {status: 409, code: FileImmutable}", 1, StoreError),
        ("error: {status: 400, code: InvalidArgument}", 1, StoreError),
    ],
)
def test_what_may_pass_is_asked_again_by_the_stores_patience_alone(
    service: OssService, open_it: Open, effect: str, heard: int, kind: type[StoreError]
) -> None:
    slept: list[float] = []
    store = open_it(patience=Patience(sleep=slept.append))
    before = service.heard()
    service.play(f"calls: [{{when: {{action: PutObject}}, then: {{{effect}}}}}]")
    with pytest.raises(kind) as caught:
        store.files.create("cells/x", b"x")
    assert type(caught.value) is kind
    assert caught.value.remedy
    assert (service.heard() - before)["PutObject"] == heard
    assert len(slept) == heard - 1


@pytest.mark.parametrize("action", ["GetObject", "ListObjectsV2"])
def test_half_an_answer_is_not_taken_for_a_whole_one(
    service: OssService, store: Store, action: str
) -> None:
    store.files.create("raw/x", bytes(200_000))
    service.play(f"calls: [{{when: {{action: {action}, nth: 1}}, then: {{lost: answer}}}}]")
    assert store.files.read("raw/x") == bytes(200_000)
    assert store.files.list("raw") == ["raw/x"]


class Page(BaseHTTPRequestHandler):
    """Something on the way that asks to log in, whatever it is asked."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "13")
        self.end_headers()
        self.wfile.write(b"<html></html>")

    do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.usefixtures("environment")
def test_a_page_of_something_on_the_way_is_neither_content_nor_receipt() -> None:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            store = open_store(
                "oss://results@cn-hangzhou/p",
                options={"endpoint_url": f"http://127.0.0.1:{server.server_port}"},
                patience=HASTY,
            )
            files = store.files
            for use in (
                lambda: files.create("cells/x", b"x"),
                lambda: files.read("cells/x"),
                lambda: files.list("cells"),
            ):
                with pytest.raises(StoreBusy, match="what answers there is not OSS"):
                    use()
        finally:
            server.shutdown()
            thread.join(20)


def test_the_file_system_reads_lists_and_tells_as_others_do(store: Store) -> None:
    store.files.create("raw/a/digits", b"0123456789")
    store.files.create("raw/b", b"b")
    root, filesystem = store.files.root, store.files.filesystem
    digits = f"{root}/raw/a/digits"
    assert filesystem.cat_file(digits, 8, 99) == b"89"
    assert filesystem.cat_file(digits, -3) == b"789"
    assert filesystem.cat_file(digits, 2, -7) == b"2"
    assert filesystem.cat_file(digits, 3, 3) == filesystem.cat_file(digits, 99) == b""
    with filesystem.open(f"oss://{digits}") as opened:
        opened.seek(4)
        assert opened.read(3) == b"456"
    assert filesystem.ls(f"{root}/raw", detail=False) == [f"{root}/raw/a", f"{root}/raw/b"]
    assert filesystem.ls(digits)[0]["size"] == 10
    assert filesystem.isdir(f"{root}/raw/a")
    assert filesystem.isfile(digits)
    assert not filesystem.exists(f"{root}/raw/absent")
    assert filesystem.find(digits) == [digits]
    assert filesystem.find(root, maxdepth=2) == [f"{root}/raw/b"]
    assert filesystem.glob(f"{root}/raw/*/d*") == [digits]
    with pytest.raises(FileNotFoundError):
        filesystem.cat_file(f"{root}/raw/absent")
    with pytest.raises(FileExistsError):
        filesystem.pipe_file(digits, b"other", mode="create")
    with pytest.raises(NotImplementedError):
        filesystem.open(digits, "wb")
    store.files.remove("raw/b")
    assert store.files.list("raw") == ["raw/a/digits"]


def test_a_service_that_hangs_is_given_up_on(
    service: OssService, open_it: Open, tmp_path: Path
) -> None:
    store = open_it(patience=Patience(tries=1, answer_s=0.2), outbox=tmp_path)
    service.play("calls: [{when: {action: PutObject}, then: {slow_s: 3}}]")
    store.files.create("raw/cell/attempt/x", b"x")
    assert store.waiting().files == 1


def test_a_put_that_takes_longer_than_it_may_is_ended(store: Store) -> None:
    with pytest.raises(RequestError, match="sending takes too long"):
        store.files.filesystem.pipe_file(f"{store.files.root}/raw/x", b"x", timeout_s=-1.0)
    assert store.files.list("raw") == []


def test_what_waits_is_sent_to_the_region_that_was_configured(
    service: OssService, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service.simulator.create_bucket(bucket).region = "cn-beijing"
    monkeypatch.setenv("TIDEMARK_REGION", "cn-beijing")
    options = {"endpoint_url": service.endpoint_url}
    store = open_store(f"oss://{bucket}/p", options=options, outbox=tmp_path, patience=HASTY)
    service.play("calls: [{then: {error: {status: 503, code: ServiceUnavailable}}}]")
    store.files.create("raw/cell/attempt/x", b"x")
    service.play()
    monkeypatch.delenv("TIDEMARK_REGION")
    ((label,), _) = outboxes(tmp_path)
    assert open_store(label.uri, options=label.options, outbox=tmp_path).send().files == 1
    assert [*service.objects(bucket)] == ["p/raw/cell/attempt/x"]


def test_an_empty_file_comes_back_and_an_empty_folder_is_one(
    service: OssService, store: Store
) -> None:
    store.files.create("raw/empty", b"")
    assert store.files.read("raw/empty") == b""
    before = service.heard()
    assert store.files.filesystem.find(f"{store.files.root}/cells") == []
    assert sum((service.heard() - before).values()) == 2


def test_names_of_any_kind_are_listed_as_they_were_written(store: Store) -> None:
    names = sorted(["raw/a b", "raw/ü+%25&=?", "raw/日本", "raw/x/y", "raw/" + "n" * 200])
    for name in names:
        store.files.create(name, name.encode())
    assert store.files.list("raw") == names
    assert [store.files.read(name).decode() for name in names] == names


def test_more_files_than_one_page_are_listed(store: Store, service: OssService) -> None:
    bucket = service.simulator.create_bucket(store.files.root.partition("/")[0])
    store.files.create("raw/0000", b"x")
    (one,) = bucket.objects.values()
    for index in range(2500):
        bucket.objects[f"nightly/runs/raw/{index:04}"] = one
    assert store.files.list("raw") == [f"raw/{index:04}" for index in range(2500)]


@pytest.fixture
def asked_hosts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Host names that were looked up; those of the simulator lead to this machine."""
    asked: list[str] = []
    look_up = socket.getaddrinfo

    def found(host: str, *rest: Any, **named: Any) -> Any:
        if host.endswith(".simulator"):
            asked.append(host)
            return look_up("127.0.0.1", *rest, **named)
        if host.endswith(".aliyuncs.com"):
            asked.append(host)
            raise socket.gaierror("no such name")
        return look_up(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    return asked


@pytest.mark.parametrize(
    ("style", "prefix"), [({}, "{}."), ({"addressing_style": "virtual"}, "{}."),
                          ({"addressing_style": "path"}, "")],
)  # fmt: skip
def test_the_bucket_stands_in_the_host_or_in_the_path(
    service: OssService,
    bucket: str,
    open_it: Open,
    asked_hosts: list[str],
    style: dict[str, str],
    prefix: str,
) -> None:
    store = open_it(endpoint_url=f"http://oss.simulator:{service.port}", **style)
    store.files.create("raw/x", b"x")
    assert {*asked_hosts} == {f"{prefix.format(bucket)}oss.simulator"}
    assert [*service.objects(bucket)] == ["nightly/runs/raw/x"]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("uri", "options", "variables", "host"),
    [
        ("oss://results@cn-beijing/p", {}, {}, "results.oss-cn-beijing.aliyuncs.com"),
        (
            "oss://results@cn-beijing/p",
            {"network": "vpc"},
            {},
            "results.oss-cn-beijing-internal.aliyuncs.com",
        ),
        ("oss://results/p", {"region": "cn-beijing"}, {}, "results.oss-cn-beijing.aliyuncs.com"),
        (
            "oss://results/p",
            {},
            {"TIDEMARK_REGION": "ap-southeast-1", "TIDEMARK_NETWORK": "vpc"},
            "results.oss-ap-southeast-1-internal.aliyuncs.com",
        ),
    ],
)
def test_the_address_follows_from_region_and_network(
    asked_hosts: list[str],
    monkeypatch: pytest.MonkeyPatch,
    uri: str,
    options: dict[str, str],
    variables: dict[str, str],
    host: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreBusy, match="cannot be reached"):
        open_store(uri, options=options, patience=Patience(tries=1)).probe()
    assert {*asked_hosts} == {host}
