"""The confirmation of a job: in the browser, from the shell, by a policy; and who is told."""

from __future__ import annotations

import gzip
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
import yaml
from conftest import ACCESS_KEY_SECRET, ROOT, Installation, prefect, wait_until
from playwright.sync_api import Locator, Page, expect
from test_sweep_in_the_browser import FINISHED, Shot, finished, group, submit, text

from tidemark.clock import SystemClock
from tidemark.config import load_config
from tidemark.money.ledger import Ledger, LedgerRun
from tidemark.money.opening import open_ledger
from tidemark.results.store import open_store

DEPLOYMENT = "dlc-benchmark"
REGISTRY_PASSWORD = "canary-registry-password-9e8d7c6b"
CANARIES = (ACCESS_KEY_SECRET, REGISTRY_PASSWORD)
# By digest, so that no registry is asked for it.
IMAGE = "registry.example.com/team/bench@sha256:" + "1f" * 32
AUTOMATION = ROOT / "deployments" / "automations" / "approval-waiting.yaml"
BEFORE_THE_GATE = {"check the store", "quote"}

# Saves a secret, two policies and a notification; prints the id of each that is referred to.
SAVE = """
import json, os, sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.blocks.system import Secret
from blocks import SpendingPolicy
Secret(value=os.environ["CANARY_REGISTRY_PASSWORD"]).save("registry-password")
told = CustomWebhookNotificationBlock(
    name="listener", url=sys.argv[1], json_data={"subject": "{{subject}}", "body": "{{body}}"}
)
ids = {"listener": told.save("listener")}
for name, most in (("generous", 20), ("tight", 0.01), ("changing", 0.01)):
    ids[name] = SpendingPolicy(currency="CNY", per_run=most).save(name)
print(json.dumps({name: str(block_id) for name, block_id in ids.items()}))
"""
LOOSEN = """
from blocks import SpendingPolicy
SpendingPolicy(currency="CNY", per_run=20).save("changing", overwrite=True)
"""


def plan(name: str, **more: Any) -> dict[str, Any]:
    """A job that takes a second here, as a form or an API sends it."""
    return {
        "name": name,
        "command": "echo tide",
        "machine": {"spec": "ecs.c6.large"},
        "image": IMAGE,
        "expected_s": 60,
        "limits": {"poll_interval_s": 1},
        **more,
    }


def parameters(installation: Installation, name: str, **more: Any) -> dict[str, Any]:
    return {"plan": plan(name), "store": str(installation.results), **more}


def saved(block_id: str) -> dict[str, Any]:
    """A parameter that is a saved block."""
    return {"$ref": {"block_document_id": block_id}}


def start(installation: Installation, given: Mapping[str, Any]) -> str:
    path = f"/deployments/{installation.deployments[DEPLOYMENT]}/create_flow_run"
    asked = {"parameters": dict(given), "idempotency_key": str(uuid4())}
    run_id: str = installation.post(path, asked)["id"]
    return run_id


@contextmanager
def ledger_of(installation: Installation) -> Iterator[Ledger]:
    config = load_config(installation.environ, installation.home)
    opened = open_ledger(config, SystemClock(), create=False)
    try:
        yield opened
    finally:
        opened.close()


def noted(installation: Installation, run_id: str) -> LedgerRun:
    with ledger_of(installation) as ledger:
        return ledger.run(run_id)


def processes_of(run_id: str) -> list[psutil.Process]:
    """The processes that a flow run has."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if run_id in words:
            found.append(process)
    return found


def suspended(installation: Installation, run_id: str, number: int = 1) -> str:
    """Wait until a run asks for its `number`th quote; answers what its form says above."""

    def asked() -> str | None:
        run = installation.run(run_id)
        ended = run["state"]["type"] in FINISHED
        assert not ended, (run["state"]["name"], run["state"]["message"])
        keys = run["state"]["state_details"].get("run_input_keyset")
        if run["state"]["name"] != "Suspended" or not keys:
            return None
        if not keys["description"].endswith(f"-q{number}-description"):
            return None
        answer = installation.ask("GET", f"/flow_runs/{run_id}/input/{keys['description']}")
        return str(answer.json()) if answer.is_success else None

    description: str = wait_until(asked, f"run {run_id} waits for approval", 120)
    return description


def resume(installation: Installation, run_id: str, answer: dict[str, Any] | None) -> str:
    """Resume by the API; answers what Prefect says to it."""
    body = {} if answer is None else {"run_input": answer}
    status: str = installation.post(f"/flow_runs/{run_id}/resume", body)["status"]
    return status


def task_runs(installation: Installation, run_id: str) -> list[dict[str, Any]]:
    wanted = {"flow_runs": {"id": {"any_": [run_id]}}}
    found: list[dict[str, Any]] = installation.post("/task_runs/filter", wanted)
    return found


def created(cloud: str, run: LedgerRun) -> list[dict[str, Any]]:
    """The jobs that were created for a run."""
    calls = httpx.get(f"{cloud}/_simulator/requests", timeout=30).json()["requests"]
    return [
        call
        for call in calls
        if call["action"] == "CreateJob" and run.run_id in call["body"]["DisplayName"]
    ]


def tidemark(installation: Installation, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tidemark.cli", *argv],
        cwd=installation.home / "elsewhere", env=installation.environ,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def script(installation: Installation, code: str, *argv: str) -> str:
    environ = {**installation.environ, "CANARY_REGISTRY_PASSWORD": REGISTRY_PASSWORD}
    done = subprocess.run(
        [sys.executable, "-c", code, *argv],
        cwd=installation.home / "elsewhere", env=environ, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def arguments_of_processes() -> Iterator[list[str]]:
    """Command lines with a secret in them, of all processes there are while the tests run."""
    found: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            for process in psutil.process_iter():
                try:
                    line = " ".join(process.cmdline())
                except psutil.Error:
                    continue
                if any(canary in line for canary in CANARIES):
                    found.append(line)

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    yield found
    over.set()
    looking.join()


@pytest.fixture(scope="module")
def messages() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Where somebody listens, and what was told there."""
    told: list[dict[str, str]] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    listening = threading.Thread(target=server.serve_forever, daemon=True)
    listening.start()
    yield f"http://127.0.0.1:{server.server_port}/told", told
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def blocks(
    installation: Installation, messages: tuple[str, list[dict[str, str]]], tmp_path_factory: Any
) -> dict[str, str]:
    """Ids of saved blocks, by name; an automation tells the listener of runs that wait."""
    ids: dict[str, str] = json.loads(script(installation, SAVE, messages[0]).splitlines()[-1])
    automation = yaml.safe_load(AUTOMATION.read_text("utf-8"))
    automation["actions"][0]["block_document_id"] = ids["listener"]
    path: Path = tmp_path_factory.mktemp("automation") / "approval-waiting.yaml"
    path.write_text(yaml.safe_dump(automation), "utf-8")
    prefect(installation.environ, "automation", "create", "--from-file", str(path))
    return ids


@pytest.fixture(scope="module")
def unattended(installation: Installation, blocks: dict[str, str]) -> None:
    """A schedule with a policy that allows its run, and an event with one that does not. Their
    runs come while other tests go on."""
    deployment = installation.deployments[DEPLOYMENT]
    soon = (datetime.now(UTC) + timedelta(seconds=45)).isoformat()
    schedule = {
        "schedule": {"interval": 86_400, "anchor_date": soon},
        "max_scheduled_runs": 1,
        "parameters": parameters(installation, "nightly", policy=saved(blocks["generous"])),
    }
    installation.post(f"/deployments/{deployment}/schedules", [schedule])
    action = {
        "type": "run-deployment",
        "source": "selected",
        "deployment_id": deployment,
        "parameters": parameters(installation, "after a deploy", policy=saved(blocks["tight"])),
    }
    trigger = {
        "type": "event",
        "posture": "Reactive",
        "expect": ["model.deployed"],
        "threshold": 1,
        "within": 0,
    }
    automation = {"name": "a model was deployed", "trigger": trigger, "actions": [action]}
    installation.post("/automations/", automation)
    event = {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "model.deployed",
        "resource": {"prefect.resource.id": "model.llama"},
    }
    installation.ask("POST", "/events", [event]).raise_for_status()


@pytest.fixture(scope="module")
def waiting(installation: Installation, blocks: dict[str, str]) -> dict[str, str]:
    """Runs that wait for an answer, by what is tried with them."""
    changing = {"policy": saved(blocks["changing"])}
    private = plan(
        "private", registry={"username": "robot", "password": "prefect:registry-password"}
    )
    return {
        "reject": start(installation, parameters(installation, "reject", **changing)),
        "approve": start(installation, {**parameters(installation, ""), "plan": private}),
        "refuse": start(installation, parameters(installation, "refuse")),
        "expire": start(installation, parameters(installation, "expire")),
    }


def open_answer(page: Page, installation: Installation, run_id: str) -> Locator:
    """The form that asks, from the page of a run."""
    page.goto(f"{installation.url}/v2/runs/flow-run/{run_id}")
    expect(page.get_by_text("Suspended", exact=True).first).to_be_visible()
    page.locator("button[aria-haspopup=menu]").first.click()
    page.get_by_role("menuitem", name="Resume").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Select Decision")).to_be_visible()
    return dialog


def give_answer(page: Page, dialog: Locator, decision: str, **fields: str) -> None:
    dialog.get_by_label("Select Decision").click()
    page.get_by_role("option", name=decision).click()
    for label, value in fields.items():
        text(page, f"{label.replace('_', ' ')} (Optional)").fill(value)


def press_resume(page: Page, dialog: Locator, installation: Installation, run_id: str) -> None:
    def pressed() -> bool:
        # The form takes the first press only to leave the field that was being filled, at times.
        if installation.run(run_id)["state"]["name"] == "Suspended" and dialog.is_visible():
            dialog.get_by_role("button", name="Resume").click()
            page.wait_for_timeout(2000)
        return installation.run(run_id)["state"]["name"] != "Suspended"

    wait_until(pressed, "the answer is taken", 60)


def test_blocks_of_a_job_are_in_the_catalogue_and_saved_by_their_forms(
    page: Page, shot: Shot, installation: Installation, cloud: str
) -> None:
    page.goto(f"{installation.url}/v2/blocks/catalog")
    for name in ("PAI Workspace", "Spending Policy", "DLC Job", "Alibaba Cloud Credentials"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    page.goto(f"{installation.url}/v2/blocks/catalog/pai-workspace/create")
    text(page, "Region (Optional)").fill("cn-hangzhou")
    text(page, "Address (Optional)").fill(cloud)
    page.get_by_label("Name", exact=True).first.fill("simulated")
    shot("dlc_1_workspace_form", 1600)
    page.get_by_role("button", name="Save").click()
    page.wait_for_timeout(1500)
    page.goto(f"{installation.url}/v2/blocks/catalog/spending-policy/create")
    text(page, "Per run (Optional)").fill("20")
    page.get_by_label("Name", exact=True).first.fill("by-form")
    shot("dlc_2_policy_form", 1600)
    page.get_by_role("button", name="Save").click()
    page.wait_for_timeout(1500)
    page.goto(f"{installation.url}/v2/blocks")
    for name in ("simulated", "by-form"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()


def fill_plan(page: Page, installation: Installation, name: str) -> None:
    page.goto(
        f"{installation.url}/v2/deployments/deployment/{installation.deployments[DEPLOYMENT]}/run"
    )
    expect(text(page, "Command (Optional)")).to_be_visible()
    page.wait_for_timeout(1000)  # until the form has its defaults
    text(page, "Command (Optional)").fill("echo tide")
    text(page, "Instance type (Optional)").fill("ecs.c6.large")
    text(page, "Name (Optional)").fill(name)
    text(page, "Image (Optional)").fill(IMAGE)
    text(page, "Expected time (Optional)").fill("60")
    text(page, "Poll interval (Optional)").fill("1")
    text(page, "store (Optional)").fill(str(installation.results))


@pytest.mark.usefixtures("blocks")
def test_a_run_started_in_the_browser_is_quoted_suspended_approved_there_and_completes(
    page: Page,
    shot: Shot,
    installation: Installation,
    cloud: str,
    messages: tuple[str, list[dict[str, str]]],
) -> None:
    fill_plan(page, installation, "tide check")
    shot("dlc_3_form", 5600)
    run_id = submit(page, installation)
    suspended(installation, run_id)
    wait_until(lambda: not processes_of(run_id), "no process is held while it waits", 20)
    before = {task["id"]: task["run_count"] for task in task_runs(installation, run_id)}
    run = noted(installation, run_id)
    with ledger_of(installation) as ledger:
        quote = ledger.last_quote(run.run_id)
        assert ledger.leases(run_id=run.run_id) == []
    assert quote is not None
    assert created(cloud, run) == []

    # Somebody is told, and comes by the link.
    def link() -> str | None:
        own = [one["body"] for one in messages[1] if f"tidemark approve {run_id}" in one["body"]]
        return next(word for word in own[0].split() if word.startswith("http")) if own else None

    address: str = wait_until(link, "somebody is told", 30)
    page.goto(address)
    expect(page.get_by_text("job tide check").first).to_be_visible()
    assert "/flow-run/" in page.url
    dialog = open_answer(page, installation, run_id)
    expect(dialog.get_by_role("heading", name="What tide check will cost")).to_be_visible()
    assert dialog.get_by_role("row").count() > 10
    for label, value in (
        ("Machines", "1 × ecs.c6.large"),
        ("Most it can cost", f"{quote.bound:f}".rstrip("0")),
        ("Holds until", quote.expires_at.isoformat(sep=" ", timespec="seconds")),
    ):
        row = dialog.get_by_role("row").filter(has=page.get_by_role("cell", name=label, exact=True))
        expect(row.get_by_role("cell").nth(1)).to_contain_text(value)
    shot("dlc_4_quote", 2000)

    # Nothing is approved by a press alone, here or by the API.
    dialog.get_by_role("button", name="Resume").click()
    page.wait_for_timeout(1500)
    assert [resume(installation, run_id, answer) for answer in (None, {})] == ["REJECT"] * 2
    assert installation.run(run_id)["state"]["name"] == "Suspended"

    give_answer(page, dialog, "approve", Your_name="Dana Doe", Reason="needed today")
    shot("dlc_5_answer")
    press_resume(page, dialog, installation, run_id)
    assert finished(installation, run_id, 120) == "COMPLETED"
    page.goto(f"{installation.url}/v2/runs/flow-run/{run_id}")
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    page.wait_for_timeout(2000)  # the graph draws itself slowly
    shot("dlc_6_completed")

    after = task_runs(installation, run_id)
    gate = [task for task in after if task["id"] in before]
    assert {task["name"].rpartition("-")[0] for task in gate} == BEFORE_THE_GATE
    assert [task["run_count"] for task in gate] == [1, 1]
    again = [task["name"] for task in after if task["id"] not in before]
    assert again
    assert not [name for name in again if name.rpartition("-")[0] in BEFORE_THE_GATE]

    with ledger_of(installation) as ledger:
        answer = ledger.approval(quote.quote_id)
        assert [one.quote_id for one in ledger.quotes(run.run_id)] == [quote.quote_id]
        assert ledger.leases(unreleased=True) == []
    assert answer is not None
    assert (answer.decision, answer.by, answer.channel, answer.reason) == (
        "approve",
        "Dana Doe",
        "Prefect",
        "needed today",
    )
    assert len(created(cloud, run)) == 1
    [row] = rows(installation, run_id)
    assert row["outcome"] == "complete"
    assert row["approved_by"] == "Dana Doe via Prefect"
    assert 0 < row["metered"] <= row["reserved"]


def rows(installation: Installation, run_id: str) -> list[dict[str, Any]]:
    kept = open_store(str(installation.results)).runs().to_pylist()
    return [row for row in kept if row["flow_run_id"] == run_id]


@pytest.mark.usefixtures("unattended")
def test_a_rejection_in_the_browser_ends_the_run_whatever_a_policy_says_by_then(
    page: Page, shot: Shot, installation: Installation, cloud: str, waiting: dict[str, str]
) -> None:
    run_id = waiting["reject"]
    said = suspended(installation, run_id)
    assert "The policy changing does not allow it: per_run" in said
    script(installation, LOOSEN)
    dialog = open_answer(page, installation, run_id)
    give_answer(page, dialog, "reject", Reason="too dear for a check", Your_name="Dana Doe")
    shot("dlc_7_reject")
    press_resume(page, dialog, installation, run_id)
    assert finished(installation, run_id, 120) == "CANCELLED"
    told = "Rejected by Dana Doe (Prefect): too dear for a check"
    assert installation.run(run_id)["state"]["message"] == told
    page.goto(f"{installation.url}/v2/runs/flow-run/{run_id}")
    expect(page.get_by_text("Cancelled", exact=True).first).to_be_visible()
    shot("dlc_8_rejected")
    run = noted(installation, run_id)
    assert (run.state, run.line) == ("rejected", told)
    assert created(cloud, run) == []
    assert processes_of(run_id) == []


def test_a_run_of_the_browser_is_approved_by_command(
    installation: Installation, cloud: str, waiting: dict[str, str]
) -> None:
    run_id = waiting["approve"]
    suspended(installation, run_id)
    run = noted(installation, run_id)
    listed = tidemark(installation, "runs", "--waiting")
    assert f"tidemark approve {run.run_id}" in listed.stdout
    done = tidemark(installation, "approve", run.run_id, "--yes", "--by", "Dana Doe")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "most it can cost" in done.stdout
    assert finished(installation, run_id, 120) == "COMPLETED"
    [row] = rows(installation, run_id)
    assert row["approved_by"] == "Dana Doe via tidemark approve"
    assert len(created(cloud, run)) == 1


def test_a_run_of_the_browser_is_rejected_by_command(
    installation: Installation, cloud: str, waiting: dict[str, str]
) -> None:
    run_id = waiting["refuse"]
    suspended(installation, run_id)
    run = noted(installation, run_id)
    done = tidemark(installation, "reject", run.run_id, "--by", "Dana Doe", "--reason", "not now")
    assert done.returncode == 0, done.stdout + done.stderr
    assert finished(installation, run_id, 120) == "CANCELLED"
    message = installation.run(run_id)["state"]["message"]
    assert "Dana Doe" in message
    assert "not now" in message
    assert created(cloud, run) == []


def test_an_expired_quote_is_asked_again_with_a_fresh_one(
    installation: Installation, cloud: str, waiting: dict[str, str]
) -> None:
    run_id = waiting["expire"]
    suspended(installation, run_id)
    run = noted(installation, run_id)
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    with sqlite3.connect(installation.home / "tidemark" / "ledger.db") as database:
        database.execute(
            "UPDATE tidemark_quotes SET document = json_set(document, '$.expires_at', ?)"
            " WHERE run_id = ?",
            (long_ago, run.run_id),
        )
    database.close()
    answer = {"decision": "approve", "answered_by": "Dana Doe"}
    assert resume(installation, run_id, answer) == "ACCEPT"
    said = suspended(installation, run_id, number=2)
    with ledger_of(installation) as ledger:
        first, second = ledger.quotes(run.run_id)
    assert second.quote_id in said
    assert second.quoted_at > first.quoted_at
    assert second.expires_at > datetime.now(UTC)
    assert created(cloud, run) == []
    assert resume(installation, run_id, answer) == "ACCEPT"
    assert finished(installation, run_id, 120) == "COMPLETED"
    assert len(created(cloud, run)) == 1


def test_saved_blocks_chosen_in_the_form_answer_for_a_person(
    page: Page, shot: Shot, installation: Installation, cloud: str
) -> None:
    fill_plan(page, installation, "by policy")
    for field, kind, name in (
        ("workspace", "PaiWorkspace", "simulated"),
        ("policy", "SpendingPolicy", "by-form"),
    ):
        chosen = group(page, f"{field} (Optional)")
        chosen.get_by_role("tab", name=kind).click()
        chosen.get_by_label("Select a block").click()
        page.get_by_role("option", name=name).click()
    shot("dlc_9_blocks_chosen", 5600)
    run_id = submit(page, installation)
    assert finished(installation, run_id, 120) == "COMPLETED"
    [row] = rows(installation, run_id)
    assert row["approved_by"] == "policy by-form"
    run = noted(installation, run_id)
    assert run.plan["workspace_block"] == "simulated"
    assert len(created(cloud, run)) == 1


def started_by(installation: Installation, test: Callable[[dict[str, Any]], bool]) -> str:
    """The first run of the deployment that a test picks, once it is more than planned."""

    def found() -> str | None:
        wanted = {"deployments": {"id": {"any_": [installation.deployments[DEPLOYMENT]]}}}
        for run in installation.post("/flow_runs/filter", wanted):
            if test(run) and run["state"]["type"] != "SCHEDULED":
                return str(run["id"])
        return None

    run_id: str = wait_until(found, "a run that nobody started by hand", 90)
    return run_id


@pytest.mark.usefixtures("unattended")
def test_a_scheduled_run_is_answered_by_its_policy_without_waiting(
    installation: Installation,
) -> None:
    run_id = started_by(installation, lambda run: bool(run["auto_scheduled"]))
    assert finished(installation, run_id, 120) == "COMPLETED"
    [row] = rows(installation, run_id)
    assert row["trigger"] == "schedule"
    assert row["approved_by"] == "policy generous"
    assert "Suspended" not in states(installation, run_id)


@pytest.mark.usefixtures("unattended")
def test_an_event_triggered_run_is_refused_by_the_rule_that_says_no(
    installation: Installation, cloud: str
) -> None:
    run_id = started_by(
        installation, lambda run: (run["created_by"] or {}).get("type") == "AUTOMATION"
    )
    assert finished(installation, run_id, 120) == "CANCELLED"
    message = installation.run(run_id)["state"]["message"]
    assert "policy tight" in message
    assert "per_run" in message
    assert "Suspended" not in states(installation, run_id)
    run = noted(installation, run_id)
    assert (run.trigger, run.state) == ("event", "rejected")
    assert created(cloud, run) == []


def states(installation: Installation, run_id: str) -> str:
    """All the states that a run has been in, as the server tells them."""
    return installation.ask("GET", f"/flow_run_states/?flow_run_id={run_id}").text


def pages(installation: Installation, path: str, **wanted: Any) -> Iterator[str]:
    """All that Prefect answers to a filter, as text."""
    offset = 0
    while True:
        found = installation.post(path, {**wanted, "limit": 200, "offset": offset})
        yield json.dumps(found)
        if len(found) < 200:
            return
        offset += 200


def everything_in_prefect(installation: Installation) -> Iterator[tuple[str, str]]:
    for path in (
        "/flow_runs/filter",
        "/task_runs/filter",
        "/artifacts/filter",
        "/logs/filter",
        "/deployments/filter",
        "/automations/filter",
        "/block_documents/filter",
    ):
        for found in pages(installation, path):
            yield path, found
    yield "/events/filter", json.dumps(installation.post("/events/filter", {"limit": 50}))
    runs = installation.post("/flow_runs/filter", {"limit": 200})
    for run in runs:
        yield "states", states(installation, run["id"])
        inputs = installation.post(f"/flow_runs/{run['id']}/input/filter", {"prefix": ""})
        yield "inputs", json.dumps(inputs)


def test_no_secret_is_in_prefect_the_ledger_the_store_or_a_command_line(
    installation: Installation,
    cloud: str,
    waiting: dict[str, str],
    arguments_of_processes: list[str],
) -> None:
    # The password was lent to the job, so that there was something to leak.
    [job] = created(cloud, noted(installation, waiting["approve"]))
    assert job["body"]["JobSpecs"][0]["ImageConfig"]["Username"] == "robot"
    seen: dict[str, str] = {}
    for where, found in everything_in_prefect(installation):
        seen[where] = seen.get(where, "") + found
        for canary in CANARIES:
            assert canary not in found, where
    # What is no secret is found where it belongs.
    assert "prefect:registry-password" in seen["/flow_runs/filter"]
    assert "approve" in seen["inputs"]
    assert "Suspended" in seen["states"]
    assert "Waiting for approval" in seen["/logs/filter"]
    assert "at most" in seen["/artifacts/filter"]
    written = [
        path
        for folder in (installation.home / "tidemark", installation.results)
        for path in folder.rglob("*")
        if path.is_file() and "engines" not in path.parts
    ]
    logs = [installation.home / "server.log", installation.home / "worker.log"]
    assert any(path.name == "ledger.db" for path in written)
    for path in (*written, *logs):
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        for canary in CANARIES:
            assert canary.encode() not in content, path
    assert arguments_of_processes == []
