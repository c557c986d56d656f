"""Waiting for a job of the simulated cloud, by a clock that jumps."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import pytest
from cloud import LEAVE, Cloud, cloud, request

from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.errors import AccessError, AlibabaError
from tidemark.alibaba.job_evidence import JobEvidence
from tidemark.alibaba.job_stopping import JobRunsOn
from tidemark.alibaba.job_waiting import JobEnd, JobFailedError, stage_of, wait_for_job
from tidemark.errors import StoreAway
from tidemark.results.redact import Redactor
from tidemark.waiting.failure import Failure, FailureClass
from tidemark.waiting.observation import Stage
from tidemark.waiting.policy import Action, Decision, Patience


@dataclass
class Wait:
    """One wait, and all that it told."""

    here: Cloud
    job_id: str = ""
    end: JobEnd | None = None
    kept: list[JobEvidence] = field(default_factory=list)
    status_when_kept: list[str] = field(default_factory=list)
    looks: list[tuple[float, str, Decision]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    keep_fails: bool = False
    stop_after_s: float | None = None

    async def keep(self, evidence: JobEvidence) -> None:
        self.kept.append(evidence)
        self.status_when_kept.append(self.here.jobs[self.job_id])
        if self.keep_fails:
            raise StoreAway("cannot be reached", "s3://somewhere", "Try again")

    async def tell(self, job: Job, decision: Decision) -> None:
        self.looks.append((self.here.clock.monotonic(), job.status, decision))

    async def asked(self) -> str | None:
        late = self.stop_after_s is not None and self.here.clock.monotonic() > self.stop_after_s
        return "tidemark cancel, by Mei" if late else None

    @property
    def actions(self) -> list[Action]:
        return [decision.action for _, _, decision in self.looks]

    @property
    def last(self) -> JobEnd:
        assert self.end is not None
        return self.end


async def wait(
    scenario: str, *, keep_fails: bool = False, stop_after_s: float | None = None, **more: object
) -> Wait:
    here = cloud(scenario)
    job_id = await here.dlc.create_job(request(), authorization=LEAVE)
    made = Wait(here, job_id, keep_fails=keep_fails, stop_after_s=stop_after_s)
    return await go_on(made, **more)


async def go_on(made: Wait, **more: object) -> Wait:
    made.end = await wait_for_job(
        made.here.dlc,
        made.job_id,
        clock=made.here.clock,
        keep=made.keep,
        tell=made.tell,
        said=lambda _, line: made.lines.append(line),
        asked_to_stop=made.asked,
        **more,  # type: ignore[arg-type]
    )
    return made


async def test_a_job_that_succeeds_ends_without_a_failure() -> None:
    made = await wait("jobs: [{then: {running_s: 200, logs: ['tide: 42']}}]")
    assert made.last.job.status == "Succeeded"
    assert made.last.failure is None
    # What a command wrote is what it was run for.
    assert [made.last.evidence] == made.kept
    assert "tide: 42" in made.kept[0].text()
    assert made.last.decision.action is Action.DONE
    assert made.lines == ["tide: 42", "command finished"]
    assert made.here.calls("StopJob") == []


class Mistaken(Dlc):
    """Says once of a job that runs that it has ended."""

    said = False

    async def get_job(self, job_id: str, **more: Any) -> Job:
        job = await super().get_job(job_id, **more)
        if self.said or job.status != "Running":
            return job
        self.said = True
        return job.model_copy(update={"status": "Succeeded"})


async def test_an_end_is_believed_when_it_is_seen_twice(caplog: pytest.LogCaptureFixture) -> None:
    here = cloud("jobs: [{then: {running_s: 200}}]")
    job_id = await here.dlc.create_job(request(), authorization=LEAVE)
    end = await wait_for_job(Mistaken(here.account), job_id, clock=here.clock)
    assert here.jobs[job_id] == "Succeeded"
    assert end.failure is None
    assert here.clock.monotonic() >= 200
    assert "was said to be Succeeded, and is Running" in caplog.text


@pytest.mark.parametrize("action", ["GetPodLogs", "GetPodEvents"])
async def test_what_the_service_says_of_its_errors_is_logged_without_secrets(
    caplog: pytest.LogCaptureFixture, action: str
) -> None:
    secret = "canary-9f8e7d6c5b4a"
    await wait(
        f"""
        calls:
          - when: {{action: {action}}}
            then: {{error: {{status: 403, code: Odd, message: {secret}}}}}
        jobs: [{{then: {{running_s: 60, exit_code: 3}}}}]
        """,
        clean=Redactor((secret,)).text,
    )
    assert "could not be read" in caplog.text
    assert secret not in caplog.text


async def test_an_image_that_cannot_be_pulled_is_kept_then_stopped_then_seen_to_have_stopped() -> (
    None
):
    made = await wait("jobs: [{then: {image_pull: {fails_after_s: 10}}}]")
    # Creating 1 s, queuing 5 s, a node 15 s, and 10 s into the pull.
    failing_since_s = 31.0
    stopped_s = made.looks[-1][0]
    assert 300 <= stopped_s - failing_since_s <= 330
    assert made.status_when_kept == ["EnvPreparing"]
    assert made.here.jobs[made.job_id] == made.last.job.status == "Stopped"
    failure = made.last.failure
    assert failure is not None
    assert failure.kind is FailureClass.IMAGE
    assert "Failed to pull image" in failure.evidence
    assert failure.where == f"event of pod {made.job_id}-master-0"
    assert "ListImages" in failure.advice
    assert any("Failed to pull" in event.text for event in made.kept[0].events[""])


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("not_found", "image"),
        ("access_denied", "image"),
        ("manifest_unknown", "image"),
        ("unauthorized", "image"),
        ("invalid_name", "image"),
        ("timeout", "network"),
    ],
)
async def test_each_way_in_which_a_pull_fails_is_found_in_time(error: str, kind: str) -> None:
    made = await wait(f"jobs: [{{then: {{image_pull: {{fails_after_s: 1, error: {error}}}}}}}]")
    assert made.last.decision.clock == "image pull"
    assert made.last.failure is not None
    assert made.last.failure.kind == kind
    assert made.here.clock.monotonic() < 22 + 300 + 30 + 30


async def test_a_patience_that_no_interval_divides_is_kept_to_all_the_same() -> None:
    made = await wait(
        "jobs: [{then: {image_pull: {fails_after_s: 10}}}]",
        patience=Patience(image_pull_failing_s=100.0),
        interval_s=77.0,
    )
    assert 100 <= made.looks[-1][0] - 31 <= 177


async def test_a_pull_that_comes_right_in_the_end_is_waited_out() -> None:
    made = await wait("""
        jobs: [{then: {running_s: 60, image_pull: {
            fails_after_s: 10, recovers_after_s: 290, pull_s: 900, layers: 5}}}]
    """)
    assert made.last.job.status == "Succeeded"


@pytest.mark.parametrize("layers", [0, 40])
async def test_a_pull_of_forty_minutes_is_waited_out(layers: int) -> None:
    made = await wait(
        f"jobs: [{{then: {{running_s: 60, image_pull: {{pull_s: 2400, layers: {layers}}}}}}}]"
    )
    assert made.last.job.status == "Succeeded"
    assert Action.STOP not in made.actions


async def test_pods_that_name_the_failure_themselves_are_believed_without_events() -> None:
    made = await wait("""
        calls: [{when: {action: "Get*Events"}, then: {error: {status: 403, code: NoPermission}}}]
        jobs: [{then: {image_pull: {fails_after_s: 10, in_sub_status: true}}}]
    """)
    assert made.last.decision.clock == "image pull"
    assert made.last.failure is not None
    assert made.last.failure.kind is FailureClass.IMAGE
    assert made.last.evidence is not None
    assert any("events" in one for one in made.last.evidence.missing)


async def test_events_of_the_job_stand_in_for_those_of_its_pods() -> None:
    made = await wait("""
        calls: [{when: {action: GetPodEvents}, then: {error: {status: 403, code: NoPermission}}}]
        jobs: [{then: {image_pull: {fails_after_s: 10}}}]
    """)
    assert made.last.decision.clock == "image pull"


async def test_no_machine_for_half_an_hour_ends_it() -> None:
    made = await wait("jobs: [{then: {stock_out: {}}}]")
    assert made.last.decision.clock == "queue"
    assert made.last.failure is not None
    assert made.last.failure.kind is FailureClass.STOCK
    assert 1800 <= made.looks[-1][0] <= 1830
    assert made.last.job.status == "Stopped"


async def test_a_machine_that_comes_late_is_taken() -> None:
    made = await wait("jobs: [{then: {running_s: 60, stock_out: {recovers_after_s: 1700}}}]")
    assert made.last.job.status == "Succeeded"


async def test_what_stands_still_is_looked_into_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tidemark.alibaba"):
        made = await wait("jobs: [{then: {running_s: 1, image_pull: {pull_s: 1000}}}]")
    assert made.actions.count(Action.DIAGNOSE) == 1
    assert "without any change" in caplog.text
    assert "Pulling image" in caplog.text
    assert made.last.job.status == "Succeeded"


async def test_what_is_logged_of_events_is_on_one_line_and_holds_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = "hunter2-is-not-real"
    here = cloud("jobs: [{then: {image_pull: {fails_after_s: 10}}}]")
    image = f"registry.example.com/bench:{secret}"
    spec = {"image": image, "resources": {"ecs_spec": "ecs.c6.large"}}
    job_id = await here.dlc.create_job(request(job_specs=[spec]), authorization=LEAVE)
    made = Wait(here, job_id, keep_fails=True)
    with caplog.at_level(logging.INFO, "tidemark.alibaba"):
        await go_on(
            made,
            patience=Patience(image_pull_failing_s=900.0, stalled_intervals=1),
            clean=Redactor((secret,)).text,
        )
    assert "Failed to pull image" in caplog.text
    assert f"stopping {job_id}" in caplog.text
    assert "StoreAway" in caplog.text
    assert secret not in caplog.text
    assert all(record.getMessage().isprintable() for record in caplog.records)


async def test_a_status_that_nobody_knows_is_waited_on_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = await wait("""
        jobs: [{then: {running_s: 60,
            detours: [{status: Pondering, before: Running, for_s: 2000}]}}]
    """)
    assert made.last.job.status == "Succeeded"
    assert caplog.text.count("Pondering, which is not known here") == 1


async def test_a_status_that_nobody_knows_does_not_outlast_the_deadline() -> None:
    made = await wait("""
        jobs: [{then: {detours: [{status: Pondering, before: Running, for_s: never}]}}]
    """)
    assert made.last.decision.clock == "total"
    assert made.last.failure is not None
    assert made.last.failure.kind is FailureClass.TIMEOUT
    assert 7200 <= made.looks[-1][0] <= 7230


async def test_a_job_that_runs_too_long_is_stopped_with_its_log_kept() -> None:
    made = await wait(
        "jobs: [{then: {running_s: never, logs: [first, second]}}]",
        patience=Patience(total_s=600.0),
    )
    assert made.last.failure is not None
    assert made.last.failure.kind is FailureClass.TIMEOUT
    assert "second" in made.last.failure.evidence
    assert made.kept[0].logs[f"{made.job_id}-master-0"] == ("first", "second")
    assert made.status_when_kept == ["Running"]
    assert made.last.job.status == "Stopped"


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        ("{running_s: 60, exit_code: 137}", FailureClass.OOM, "OOMKilled"),
        ("{running_s: 60, exit_code: 127}", FailureClass.COMMAND, "127"),
        ("{running_s: 60, exit_code: 126}", FailureClass.COMMAND, "126"),
        ("{running_s: 60, exit_code: 245}", FailureClass.GPU, "245"),
        (
            "{running_s: 60, exit_code: 1, logs: ['CUDA out of memory. Tried to allocate 2 GiB']}",
            FailureClass.OOM,
            "CUDA out of memory",
        ),
        ("{stock_out: {fails_after_s: 90}}", FailureClass.STOCK, "No stock"),
        (
            "{image_pull: {fails_after_s: 5, gives_up_after_s: 60, error: manifest_unknown}}",
            FailureClass.IMAGE,
            "manifest unknown",
        ),
    ],
)
async def test_a_job_that_fails_by_itself_is_explained(
    script: str, kind: FailureClass, words: str
) -> None:
    made = await wait(f"jobs: [{{then: {script}}}]")
    assert made.last.job.status == "Failed"
    assert made.last.failure is not None
    assert made.last.failure.kind is kind
    assert words in made.last.failure.evidence
    assert len(made.kept) == 1
    assert made.here.calls("StopJob") == []


async def test_a_job_that_somebody_stopped_is_explained() -> None:
    here = cloud("jobs: [{then: {running_s: never}}]")
    job_id = await here.dlc.create_job(request(), authorization=LEAVE)
    await here.dlc.stop_job(job_id)
    made = await go_on(Wait(here, job_id))
    assert made.last.failure is not None
    assert made.last.failure.kind is FailureClass.STOPPED
    assert "stopped by user" in made.last.failure.evidence
    assert len(made.kept) == 1


async def test_a_job_that_reaches_its_own_limit_is_a_time_out() -> None:
    here = cloud("jobs: [{then: {running_s: never}}]")
    asked = request(max_running_time_minutes=10)
    job_id = await here.dlc.create_job(asked, authorization=LEAVE)
    made = await go_on(Wait(here, job_id))
    assert made.last.failure is not None
    assert made.last.failure.kind is FailureClass.TIMEOUT
    assert "10 minutes" in made.last.failure.evidence


async def test_evictions_are_survived_and_the_log_goes_on() -> None:
    made = await wait("""
        jobs: [{then: {running_s: 100, logs: [one, two, two],
            interruptions: [{after_s: 70}, {after_s: 90, new_node_s: 300}]}}]
    """)
    assert made.last.job.status == "Succeeded"
    assert made.lines == ["one", "two", "two"] * 3 + ["command finished"]


async def test_the_logs_of_pods_that_were_replaced_are_kept_too() -> None:
    made = await wait("""
        jobs: [{then: {running_s: 100, exit_code: 1, logs: [alpha],
            interruptions: [{after_s: 70}]}}]
    """)
    logs = made.kept[0].logs
    pod_id = f"{made.job_id}-master-0"
    assert sorted(key.partition("@")[0] for key in logs) == [pod_id, pod_id]
    assert sum(1 for key in logs if "@" in key) == 1
    assert all("alpha" in lines for lines in logs.values())
    assert made.last.failure is not None
    assert made.last.failure.kind is FailureClass.COMMAND
    text = made.kept[0].text()
    assert "was evicted: the spot instance is reclaimed" in text
    document = made.kept[0].document()
    assert set(document) == {"job", "events", "logs", "missing"}


async def test_evictions_beyond_the_restarts_are_what_ended_it() -> None:
    here = cloud("""
        jobs: [{then: {running_s: 600, interruptions: [{after_s: 60}, {after_s: 60}]}}]
    """)
    asked = request(settings={"ElasticSpotJobMaxRestartTimes": 1})
    job_id = await here.dlc.create_job(asked, authorization=LEAVE)
    made = await go_on(Wait(here, job_id))
    assert made.last.job.status == "Failed"
    assert made.last.failure is not None
    assert made.last.failure.kind is FailureClass.EVICTED


async def test_who_is_asked_to_stop_stops() -> None:
    made = await wait("jobs: [{then: {running_s: never}}]", stop_after_s=100.0)
    assert made.last.decision.clock == "asked"
    assert made.last.failure is not None
    assert made.last.failure.kind is FailureClass.STOPPED
    assert "Mei" in made.last.failure.evidence
    assert made.last.job.status == "Stopped"
    assert made.status_when_kept == ["Running"]


async def test_evidence_that_cannot_be_kept_hinders_no_stop() -> None:
    made = await wait(
        "jobs: [{then: {running_s: never, logs: [kept]}}]",
        keep_fails=True,
        patience=Patience(total_s=120.0),
    )
    assert made.last.job.status == "Stopped"
    assert made.last.evidence is not None
    assert made.last.evidence.logs[f"{made.job_id}-master-0"] == ("kept",)


async def test_pods_held_on_after_success_are_given_back_without_a_failure() -> None:
    made = await wait(
        "jobs: [{then: {running_s: 60, reserving_s: 9000}}]", patience=Patience(total_s=600.0)
    )
    assert made.last.job.status == "Stopped"
    assert made.last.failure is None


async def test_pods_held_on_after_a_failure_are_given_back_with_that_failure() -> None:
    made = await wait(
        "jobs: [{then: {running_s: 60, exit_code: 127, reserving_s: 9000}}]",
        patience=Patience(total_s=600.0),
    )
    assert made.last.failure is not None
    assert made.last.failure.kind is FailureClass.COMMAND


@pytest.mark.parametrize(
    "fault",
    [
        "{throttle: {status: 400}}",
        "{error: {status: 500, code: InternalError}}",
        "{html: 502}",
        "{lost: answer}",
    ],
)
async def test_what_fails_in_passing_is_waited_out(fault: str) -> None:
    made = await wait(f"""
        calls: [{{when: {{action: "Get*", every: 2}}, then: {fault}}}]
        jobs: [{{then: {{running_s: 300, logs: [one]}}}}]
    """)
    assert made.last.job.status == "Succeeded"


async def test_a_service_that_never_answers_again_is_waited_for_no_longer_than_allowed() -> None:
    here = cloud("jobs: [{then: {running_s: never}}]")
    job_id = await here.dlc.create_job(request(), authorization=LEAVE)
    here.play("calls: [{when: {action: '*'}, then: {html: 503}}]")
    made = Wait(here, job_id)
    with pytest.raises(JobRunsOn, match="may be billed on") as caught:
        await go_on(made, patience=Patience(total_s=900.0))
    assert caught.value.effect_unknown
    assert here.clock.monotonic() < 900 + 30 + 120 + 700
    assert here.calls("StopJob")


async def test_no_permission_ends_the_waiting_with_that_error() -> None:
    here = cloud()
    job_id = await here.dlc.create_job(request(), authorization=LEAVE)
    seen = await here.dlc.get_job(job_id)
    here.play("calls: [{when: {action: GetJob}, then: {error: {status: 403, code: NoPermission}}}]")
    with pytest.raises(AccessError, match="NoPermission"):
        await go_on(Wait(here, job_id), job=seen)
    assert 120 <= here.clock.monotonic() < 180


@pytest.mark.parametrize(
    "error", ["{status: 404, code: JobNotFound}", "{status: 403, code: NoPermission}"]
)
@pytest.mark.parametrize("times", [1, 3])
async def test_a_refusal_that_passes_gives_no_running_job_up(error: str, times: int) -> None:
    made = await wait(f"""
        calls: [{{when: {{action: GetJob, nth: 5, count: {times}}}, then: {{error: {error}}}}}]
        jobs: [{{then: {{running_s: 600}}}}]
    """)
    assert made.last.job.status == "Succeeded"
    assert made.here.calls("StopJob") == []


async def test_a_refusal_is_not_waited_out_beyond_the_deadline() -> None:
    here = cloud("jobs: [{then: {running_s: never}}]")
    job_id = await here.dlc.create_job(request(), authorization=LEAVE)
    seen = await here.dlc.get_job(job_id)
    here.play("""
        calls: [{when: {action: GetJob, nth: 1, count: 4},
                 then: {error: {status: 403, code: NoPermission}}}]
    """)
    made = await go_on(Wait(here, job_id), patience=Patience(total_s=60.0), job=seen)
    assert made.last.job.status == "Stopped"
    assert here.clock.monotonic() < 120


async def test_a_job_that_is_deleted_meanwhile_ends_the_waiting_with_a_clear_error() -> None:
    here = cloud("jobs: [{then: {running_s: never}}]")
    job_id = await here.dlc.create_job(request(), authorization=LEAVE)

    async def tell(job: Job, decision: Decision) -> None:
        assert decision.action is not Action.STOP
        if here.jobs.get(job_id) == "Running":
            await here.dlc.stop_job(job.job_id)
            await here.clock.sleep(30)
            await here.dlc.delete_job(job.job_id)

    with pytest.raises(AlibabaError, match="was deleted while it was waited for; it was Running"):
        await wait_for_job(here.dlc, job_id, clock=here.clock, tell=tell)
    looked_s = here.clock.monotonic()
    with pytest.raises(AlibabaError, match="there is no such job"):
        await wait_for_job(here.dlc, job_id, clock=here.clock)
    assert here.clock.monotonic() - looked_s < 10


def test_the_error_of_a_failed_job_says_class_evidence_and_what_to_do() -> None:
    job = Job.of({"JobId": "dlc1", "Status": "Failed"}, "GetJob")
    failure = Failure(FailureClass.OOM, "OOMKilled", "event of pod dlc1-worker-0", "Ask for more")
    text = str(JobFailedError(job, failure, None))
    assert text == "job dlc1: Failed, oom: OOMKilled (event of pod dlc1-worker-0). Ask for more"


@pytest.mark.parametrize(
    ("status", "stage"),
    [
        ("Creating", Stage.QUEUEING),
        ("Queuing", Stage.QUEUEING),
        ("Bidding", Stage.QUEUEING),
        ("Waiting", Stage.QUEUEING),
        ("EnvPreparing", Stage.PREPARING),
        ("SanityChecking", Stage.PREPARING),
        ("Restarting", Stage.PREPARING),
        ("Running", Stage.RUNNING),
        ("Stopping", Stage.CLOSING),
        ("SucceededReserving", Stage.HOLDING),
        ("FailedReserving", Stage.HOLDING),
        ("Succeeded", Stage.ENDED),
        ("Failed", Stage.ENDED),
        ("Stopped", Stage.ENDED),
        ("SubmitFailed", Stage.ENDED),
        ("Pondering", Stage.UNKNOWN),
        ("", Stage.UNKNOWN),
    ],
)
def test_every_status_has_its_stage(status: str, stage: Stage) -> None:
    assert stage_of(status) is stage
