"""Recorded failures: each is of its class, with the line that shows it and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tidemark.alibaba import dlc_answers
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.job_evidence import JobEvidence, waiting_events
from tidemark.alibaba.job_failures import classify
from tidemark.alibaba.job_waiting import observed
from tidemark.waiting.failure import Failure, FailureClass
from tidemark.waiting.policy import Action, Decision, Patience, WaitState, decide

RECORDED = sorted((Path(__file__).parents[1] / "data" / "dlc_failures").glob("*.yaml"))


def recorded(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def evidence_of(given: dict[str, Any]) -> JobEvidence:
    events = {
        pod_id: waiting_events([dlc_answers.Event.parse(line) for line in lines], pod_id)
        for pod_id, lines in given["events"].items()
    }
    logs = {pod_id: tuple(lines) for pod_id, lines in given["logs"].items()}
    return JobEvidence(Job.of(given["job"], "GetJob"), events, logs)


def decision_of(given: dict[str, Any], evidence: JobEvidence) -> Decision | None:
    """What the policy decides when the clock that the recording names has run out."""
    clock = given.get("stopped_by")
    if clock is None:
        return None
    patience = Patience(total_s=7200.0 if clock == "total" else 86400.0)
    after_s = {"image pull": 300.0, "queue": 1800.0, "preparing": 3600.0, "total": 7200.0}[clock]
    events = tuple(event for each in evidence.events.values() for event in each)
    state, _ = decide(WaitState.begin(0.0), observed(evidence.job, events, 0.0), patience, 30.0)
    _, decision = decide(state, observed(evidence.job, events, after_s), patience, 30.0)
    assert (decision.action, decision.clock) == (Action.STOP, clock)
    return decision


def failure_of(given: dict[str, Any]) -> Failure:
    evidence = evidence_of(given)
    return classify(evidence.job, evidence, decision_of(given, evidence))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_failure_has_its_class_its_evidence_and_advice(path: Path) -> None:
    given = recorded(path)
    expects, failure = given["expects"], failure_of(given)
    assert failure.kind.value == expects["class"], failure
    assert expects["evidence"] in failure.evidence, failure
    assert failure.where == expects["where"], failure
    assert expects["advice"] in failure.advice, failure
    assert not failure.advice.endswith(".")
    assert "\n" not in failure.evidence


def test_the_recordings_cover_every_class_and_differ() -> None:
    assert len(RECORDED) >= 25
    found = [recorded(path)["expects"] for path in RECORDED]
    assert {each["class"] for each in found} == set(FailureClass)
    assert len({path.read_text(encoding="utf-8") for path in RECORDED}) == len(RECORDED)
