"""What whoever runs the simulator sees of it, and what nobody else does."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tidemark.clock import SystemClock
from tidemark.simulator.clock import ScaledClock

ADDRESS = "http://127.0.0.1:8080/_simulator"


async def ask(pai: Any, name: str, body: Any = None) -> httpx.Response:
    if body is None:
        return await pai.http.get(f"{ADDRESS}/{name}")
    content = body if isinstance(body, str) else json.dumps(body)
    return await pai.http.post(f"{ADDRESS}/{name}", content=content)


async def test_state_and_bill_need_no_signature(start: Any) -> None:
    pai = start()
    job_id = await pai.create()
    pai.clock.advance(30)
    state = (await ask(pai, "state")).json()
    assert state["now_s"] == pai.clock.time()
    assert state["jobs"][job_id]["name"] == "bench-1"
    bill = (await ask(pai, "bill")).json()
    assert bill == pai.simulator.bill()
    assert job_id in bill["still_billed"]


async def test_requests_are_kept_without_secrets(start: Any) -> None:
    pai = start()
    canary = "canary-0123456789"
    body = pai.job(
        Envs={"HF_TOKEN": canary, "LEVEL": "5"},
        CustomEnvs=[{"Key": "API_KEY", "Value": canary}, {"Key": "ROUND", "Value": "3"}],
        spec={"ImageConfig": {"Username": "reader", "Password": canary, "Auth": canary}},
        CredentialConfig={
            "CredentialConfigItems": [
                {"Key": "0", "Roles": [{"AssumeUserInfo": {"SecurityToken": canary}}]}
            ]
        },
    )
    job_id = (await pai.ok("POST", "/api/v1/jobs", "CreateJob", body=body))["JobId"]
    path = "/api/v1/jobs"
    await pai.call("GET", path, "ListJobs", query={"Token": canary, "Status": "Running"})
    task = {
        "base": {"name": "t"},
        "service": {"serviceName": "chat", "requestToken": canary},
        "http": {"headers": [f"Authorization: {canary}", "Accept: text/plain"]},
    }
    await pai.call(
        "POST", "/api/v2/benchmark-tasks", "CreateBenchmarkTask", version="2021-07-01", body=task
    )
    answer = await ask(pai, "requests")
    assert canary not in answer.text
    created, listed, tasked = answer.json()["requests"]
    assert created["action"] == "CreateJob"
    assert (created["method"], created["path"], created["status"]) == ("POST", path, 200)
    assert created["body"]["Envs"] == {"HF_TOKEN": "***", "LEVEL": "5"}
    assert created["body"]["CustomEnvs"][1] == {"Key": "ROUND", "Value": "3"}
    assert created["body"]["JobSpecs"][0]["ImageConfig"]["Username"] == "reader"
    assert listed["query"] == {"Token": "***", "Status": "Running"}
    assert tasked["body"]["http"]["headers"] == ["Authorization: ***", "Accept: text/plain"]
    echoed = json.dumps((await pai.get(job_id))["JobSpecs"])
    assert canary not in echoed
    assert "reader" in echoed


async def test_signatures_and_keys_are_in_no_record(start: Any) -> None:
    pai = start()
    await pai.names()
    signature = pai.signed("GET", "/api/v1/jobs", "ListJobs").headers["authorization"]
    text = json.dumps([(await ask(pai, name)).json() for name in ("requests", "state")])
    assert "simulator-secret" not in text
    assert "ACS3" in signature
    assert "ACS3" not in text


async def test_another_scenario_is_in_force_at_once(start: Any) -> None:
    pai = start()
    rules = {"calls": [{"when": {"nth": 1}, "then": {"html": 502}}]}
    assert (await ask(pai, "scenario", rules)).json() == {
        "calls": 1,
        "jobs": 0,
        "tasks": 0,
        "prices": 0,
    }
    assert (await ask(pai, "scenario")).json() == rules
    assert (await pai.call("GET", "/api/v1/jobs", "ListJobs")).status_code == 502
    answer = await ask(pai, "scenario", "calls: [{then: {throtle: {}}}]")
    assert answer.status_code == 400
    assert "Did you mean throttle?" in answer.json()["Message"]
    answer = await ask(pai, "scenario", "calls: [{when: {action: listjobs}, then: {html: 502}}]")
    assert answer.status_code == 400
    assert "Did you mean ListJobs?" in answer.json()["Message"]
    assert (await ask(pai, "scenario")).json() == rules


async def test_jobs_keep_the_life_they_were_given(start: Any) -> None:
    pai = start("jobs: [{then: {running_s: 1000}}]")
    job_id = await pai.create()
    await ask(pai, "scenario", "jobs: [{then: {running_s: 1}}]")
    pai.clock.advance(600)
    assert await pai.status(job_id) == "Running"


@pytest.mark.parametrize("clock", [None, ScaledClock(1.0)])
async def test_the_clock_is_moved_on(start: Any, clock: Any) -> None:
    pai = start(clock=clock)
    before = (await ask(pai, "clock")).json()["now_s"]
    after = (await ask(pai, "clock", {"advance_s": 3600})).json()["now_s"]
    assert 3600 <= after - before < 3660
    endless = '{"advance_s": ' + "9" * 400 + "}"
    far: tuple[Any, ...] = ({"advance_s": 1e12}, {"advance_s": 1e308}, endless, '{"a":' * 3000)
    for wrong in ({"advance_s": -1}, {"advance_s": True}, {}, {"advance_s": "x"}, [], "x", *far):
        answer = await ask(pai, "clock", wrong)
        assert answer.status_code == 400
        assert answer.json()["Message"]
    # Signatures are judged by this machine's time, unless the clock stands still.
    pai.clock = ScaledClock(1.0) if clock else pai.clock
    await pai.create()
    assert len(await pai.names()) == 1


async def test_this_machine_s_clock_stays(start: Any) -> None:
    answer = await ask(start(clock=SystemClock()), "clock", {"advance_s": 1})
    assert answer.status_code == 400


async def test_what_is_not_there_names_what_is(start: Any) -> None:
    answer = await ask(start(), "bills")
    assert answer.status_code == 404
    assert "GET /_simulator/bill" in answer.json()["Message"]


async def test_other_machines_and_browsers_see_nothing(start: Any) -> None:
    pai = start()
    elsewhere = httpx.ASGITransport(app=pai.simulator.app, client=("192.0.2.7", 1234))
    async with httpx.AsyncClient(transport=elsewhere) as client:
        assert (await client.get(f"{ADDRESS}/state")).status_code == 403
    origin = {"origin": "http://pages.example.com"}
    answer = await pai.http.post(f"{ADDRESS}/scenario", content="calls: []", headers=origin)
    assert answer.status_code == 403
