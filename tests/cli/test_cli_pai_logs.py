"""`tidemark pai logs`: every line once and in order, until the job has ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pai_served import Served, jumping, serving

from tidemark.alibaba.account import Account
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.errors import AlibabaError
from tidemark.cli.pai_advice import Problem
from tidemark.cli.pai_logs import LogLine, NewLines, follow

Command = Callable[..., Any]

SCENARIO = """
jobs:
  - when: {name: "talks"}
    then:
      running_s: 60
      logs: ["one\\ttab", "\\e[32mgreen\\e[0m", "10%\\r20%", "\\e]0;title\\a", "two"]
  - when: {name: "evicted"}
    then: {running_s: 120, interruptions: [{after_s: 30}], logs: ["begin"]}
  - when: {name: "reserves"}
    then: {running_s: 10, exit_code: 1, reserving_s: never, logs: ["begin"]}
"""
TWO = [
    {
        "image": "registry.example.com/a:1",
        "resources": {"ecs_spec": "ecs.c6.large"},
        "pod_count": 2,
    }
]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with serving(SCENARIO) as served:
        served.lead(monkeypatch)
        yield served


def followed(name: str, scenario: str = SCENARIO, **how: Any) -> list[LogLine | Job | Problem]:
    """All that following a new job tells, by a clock that jumps while it waits."""
    served = jumping(scenario)
    job_id = served.create(name, job_specs=TWO)
    served.clock.advance(how.pop("after_s", 0.0))
    served.play(how.pop("later", scenario))

    async def work(account: Account) -> list[LogLine | Job | Problem]:
        return [news async for news in follow(Dlc(account), job_id, clock=served.clock, **how)]

    return served.do(work)


def lines_of(news: list[LogLine | Job | Problem], pod: str = "master-0") -> list[str]:
    return [one.text for one in news if isinstance(one, LogLine) and one.pod == pod]


def statuses_of(news: list[LogLine | Job | Problem]) -> list[str]:
    return list(dict.fromkeys(one.status for one in news if isinstance(one, Job)))


@pytest.mark.parametrize(
    ("answers", "new"),
    [
        ([["a", "b"], ["a", "b", "c"]], [["a", "b"], ["c"]]),
        ([["a"], ["a"]], [["a"], []]),
        # Lines that are the same are not the same line.
        ([["."] * 3, ["."] * 5], [["."] * 3, ["."] * 2]),
        ([["a", "a", "b"], ["a", "a", "b", "a"]], [["a", "a", "b"], ["a"]]),
        # The window moves on: its beginning is gone.
        ([["a", "b", "c"], ["b", "c", "d"]], [["a", "b", "c"], ["d"]]),
        ([["a", "b", "a"], ["a", "b", "x"]], [["a", "b", "a"], ["b", "x"]]),
        # More was printed between two looks than an answer holds.
        ([["a", "b"], ["x", "y"]], [["a", "b"], ["x", "y"]]),
        # An answer without lines is no new beginning.
        ([["a"], [], ["a", "b"]], [["a"], [], ["b"]]),
    ],
)
def test_what_is_new_of_a_log(answers: list[list[str]], new: list[list[str]]) -> None:
    log = NewLines()
    assert [log.of(answer) for answer in answers] == new


def test_logs_are_printed_as_text(command: Command, cloud: Served) -> None:
    job_id = cloud.create("talks")
    said = command("pai", "logs", job_id)
    assert (said.status, said.out) == (0, "")
    assert said.err == "nothing was printed yet: the job is Creating\n"
    cloud.clock.advance(3600)
    said = command("pai", "logs", job_id)
    assert (said.status, said.err) == (0, "")
    assert said.out.splitlines() == [
        "one    tab",
        "green",
        "10%",
        "20%",
        "\ufffd]0;title\ufffd",
        "two",
        "command finished",
    ]
    assert command("pai", "logs", job_id, "--lines", "2").out == "two\ncommand finished\n"
    document = json.loads(command("pai", "logs", job_id, "--lines", "2", "--json").out)
    assert document == {f"{job_id}-master-0": ["two", "command finished"]}


def test_lines_of_several_pods_say_whose_they_are(command: Command, cloud: Served) -> None:
    job_id = cloud.create("bench-1", job_specs=TWO)
    cloud.clock.advance(100)
    first, second = command("pai", "logs", job_id).out.splitlines()
    assert first == "master-0 | command started"
    assert second.startswith("worker-0 | waiting for ")
    for pod in ("worker-0", f"{job_id}-worker-0"):
        said = command("pai", "logs", job_id, "--pod", pod)
        assert said.out.startswith("waiting for ")
    said = command("pai", "logs", job_id, "--pod", "worker-1")
    assert said.status == 1
    assert "There are: master-0, worker-0" in said.err
    assert command("pai", "logs", job_id, "--lines", "0").status == 2


def test_following_a_job_that_has_ended_prints_all_of_it(command: Command, cloud: Served) -> None:
    job_id = cloud.create("evicted", job_specs=TWO)
    cloud.clock.advance(3600)
    said = command("pai", "logs", job_id, "--follow")
    assert said.status == 0
    # Also what the pod printed that was replaced.
    assert said.out.splitlines()[:3] == [
        "master-0 | begin",
        "master-0 | begin",
        "master-0 | command finished",
    ]
    assert [line.split()[0] for line in said.out.splitlines()[3:]] == ["worker-0"]
    assert said.err.splitlines() == [
        f"{job_id} is Succeeded",
        f"{job_id} ended after 3 min 30 s: Job is succeeded.",
    ]
    said = command("pai", "logs", job_id, "--follow", "--json", "--pod", "worker-0")
    (document,) = [json.loads(line) for line in said.out.splitlines()]
    assert document["pod_id"] == f"{job_id}-worker-0"
    assert document["line"].startswith("waiting for ")


def test_following_ends_when_the_outcome_is_known(command: Command, cloud: Served) -> None:
    job_id = cloud.create("reserves")
    cloud.clock.advance(600)
    said = command("pai", "logs", job_id, "-f")
    assert said.out == "begin\ncommand exited with code 1\n"
    assert said.err.endswith(
        "its machines are still held, and billed: tidemark pai stop gives them back\n"
    )


def test_lines_come_once_and_in_order_from_the_first_to_the_last() -> None:
    news = followed("bench-1")
    assert lines_of(news) == ["command started", "command finished"]
    assert len(lines_of(news, "worker-0")) == 1
    assert statuses_of(news) == ["Creating", "Queuing", "EnvPreparing", "Running", "Succeeded"]


def test_a_replaced_pod_is_heard_to_its_end_and_the_next_from_its_beginning() -> None:
    news = followed("evicted")
    assert lines_of(news) == ["begin", "begin", "command finished"]
    assert "Restarting" in statuses_of(news)


def test_a_pod_that_is_not_there_yet_is_waited_for() -> None:
    news = followed("bench-1", pod="worker-0")
    assert (len(lines_of(news, "worker-0")), lines_of(news)) == (1, [])
    with pytest.raises(AlibabaError, match="there is no such pod"):
        followed("bench-1", pod="worker-7")


def test_only_the_last_of_the_earlier_lines_are_told_if_so_asked() -> None:
    assert lines_of(followed("talks", after_s=80.0, first=1)) == ["two", "command finished"]


def test_a_look_that_fails_in_passing_is_left_to_the_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing = """
calls:
  - when: {action: GetPodLogs, nth: 2, count: 1}
    then: {error: {status: 500, code: InternalError}}
  - when: {action: GetPodLogs, nth: 3, count: 1}
    then: {error: {status: 500, code: InternalError}}
  - when: {action: GetPodLogs, nth: 4, count: 1}
    then: {error: {status: 500, code: InternalError}}
  - when: {action: GetPodLogs, nth: 5, count: 1}
    then: {error: {status: 500, code: InternalError}}
"""
    news = followed("bench-1", later=failing)
    assert lines_of(news) == ["command started", "command finished"]
    assert capsys.readouterr().err.startswith(
        "cannot look at the moment: GetPodLogs was answered with InternalError"
    )


def test_an_image_that_cannot_be_pulled_is_said_once_while_it_is_waited_for() -> None:
    pull = "jobs: [{then: {image_pull: {fails_after_s: 5, gives_up_after_s: 600}}}]"
    news = followed("bench-1", pull)
    problems = [one for one in news if isinstance(one, Problem)]
    assert [one.text.startswith("Failed to pull image") for one in problems] == [True]
    assert "tidemark pai images" in problems[0].do
    # It is said while the job waits, and not only when it has failed.
    after = news[news.index(problems[0]) + 1]
    assert isinstance(after, Job)
    assert after.status == "EnvPreparing"


def test_following_says_what_to_do_about_a_failure(command: Command, cloud: Served) -> None:
    cloud.play("jobs: [{then: {running_s: 60, exit_code: 137}}]")
    job_id = cloud.create("bench-1")
    cloud.clock.advance(3600)
    said = command("pai", "logs", job_id, "--follow")
    assert "problem: Container main terminated: OOMKilled" in said.err
    assert said.err.count("do: ") == 1
    assert "do: Ask for more memory" in said.err


def test_what_will_not_pass_ends_it() -> None:
    gone = """
calls:
  - when: {action: GetJob, nth: 3}
    then: {error: {status: 403, code: NoPermission}}
"""
    with pytest.raises(AlibabaError, match="NoPermission"):
        followed("bench-1", later=gone)
