"""What EAS says of stress tests and of services."""

from __future__ import annotations

from typing import Final

from tidemark.alibaba.explained import pages
from tidemark.alibaba.explained.entry import Explanation, Retry

__all__ = ["ENTRIES"]

_UNDER_TEST = (
    "The service under test as long as it runs; what the load generators cost is not documented"
)
_FETCH = "Fetch report and message at once"
_PUBLIC = "In the public resource group by the minute; in a group of one's own the group costs"
_STARTING = "Count it as billed as soon as an instance holds a machine"
_GIVEN_BACK = "No more in the public resource group; a group of one's own goes on to cost"


def _task(
    name: str,
    meaning: str,
    causes: tuple[str, ...],
    remedies: tuple[str, ...],
    retry: Retry,
    billed: str | None = _UNDER_TEST,
) -> Explanation:
    return Explanation(
        name,
        "EAS stress test status",
        meaning,
        causes,
        remedies,
        retry,
        billed,
        links=(pages.STRESS_TESTS,),
    )


def _service(
    name: str,
    meaning: str,
    causes: tuple[str, ...],
    remedies: tuple[str, ...],
    retry: Retry,
    billed: str | None = _PUBLIC,
) -> Explanation:
    return Explanation(
        name,
        "EAS service status",
        meaning,
        causes,
        remedies,
        retry,
        billed,
        links=(pages.LIST_SERVICES, pages.EAS_BILLING, pages.EAS_FAQ),
    )


_LOOK_AGAIN = ("Look again in some seconds",)

_TASKS = (
    _task(
        "Creating",
        "The stress test is accepted and its load generators are being set up",
        ("It was created a moment ago",),
        _LOOK_AGAIN,
        "later",
    ),
    _task(
        "Starting",
        "The load generators start; the message counts them, such as Agent 0/1",
        ("It was created or started a moment ago",),
        (*_LOOK_AGAIN, "If it stays for minutes, read the message and see that the service runs"),
        "later",
    ),
    _task(
        "Running",
        "Load is being sent to the service",
        ("All load generators are at work (AvailableAgent equals DesiredAgent)",),
        ("Wait for Stopped; a report that is asked for now is a part",),
        "later",
    ),
    _task(
        "Updating",
        "A change of rate, concurrency or agents is being applied",
        ("UpdateBenchmarkTask was called",),
        _LOOK_AGAIN,
        "later",
    ),
    _task(
        "Stopping",
        "The load ends",
        ("StopBenchmarkTask was called", "The time of the test is over"),
        _LOOK_AGAIN,
        "later",
    ),
    _task(
        "Deleting",
        "The task is being removed, with its report",
        ("DeleteBenchmarkTask was called",),
        ("Nothing: it disappears, and is answered with 404 then",),
        "later",
    ),
    _task(
        "Stopped",
        "The stress test has ended, by itself or by a stop; its report is there for 48 hours",
        ("Its time is over: that is its normal end", "StopBenchmarkTask was called"),
        (f"{_FETCH}: 48 hours later the task is gone", "Stop the service if it is not needed"),
        "never",
        "The service under test goes on to cost until it is stopped",
    ),
    _task(
        "Error",
        "The stress test failed; the task is kept for 10 minutes only",
        (
            "The service cannot be called: it does not run, or the token is wrong",
            "The test data cannot be read",
            "Too many requests failed (faultTolerate, with faultAction stop)",
        ),
        (f"{_FETCH}: 10 minutes later the task is gone", "Correct the cause, then create it anew"),
        "never",
    ),
    _task(
        "CreateFailed",
        "The load generators could not be set up; the task is kept for 10 minutes only",
        (
            "The service does not exist in this region, or does not run",
            "A part of the body is not accepted",
            "No room for the agents",
        ),
        (f"{_FETCH}: 10 minutes later the task is gone", "Correct the cause, then create it anew"),
        "never",
    ),
    _task(
        "UpdateFailed",
        "A change could not be applied; the task is kept for 10 minutes only",
        ("A value that is not accepted, or no room for more agents",),
        (f"{_FETCH}: 10 minutes later the task is gone", "Create it anew with other values"),
        "never",
    ),
    _task(
        "DeleteFailed",
        "The task could not be removed",
        ("A fault of the service",),
        ("Delete it again; if it stays, stop it, so that it sends no load",),
        "later",
    ),
    _task(
        "Terminated",
        "The stress test was ended before its time; the task is kept for 10 minutes only",
        ("The service under test went away", "A fault of the load generators"),
        (f"{_FETCH}: 10 minutes later the task is gone", "Check the service, then create it anew"),
        "never",
    ),
)

_SERVICES = (
    _service(
        "Creating",
        "The service is being created",
        ("It was created a moment ago",),
        ("Wait for Running; read DescribeServiceEvent if it takes longer than the model's load",),
        "later",
        _STARTING,
    ),
    _service(
        "Waiting",
        "The service waits for machines, or for its instances to start",
        (
            "The instance type is sold out, or the resource group is full",
            "The image is being pulled, or cannot be pulled",
            "The health check asks another port than the server listens on",
        ),
        (
            "Look at the instances (ListServiceInstances) and at DescribeServiceEvent",
            "Choose another instance type, or give the resource group another node",
        ),
        "later",
        _STARTING,
    ),
    _service(
        "Pending",
        "Some instances wait for machines; the others serve",
        ("The service is being scaled out, and there is no room",),
        ("Look at the instances; measure only when all of them run",),
        "later",
        _STARTING,
    ),
    _service(
        "Running",
        "The service answers requests: the one status in which it can be measured",
        ("All instances started",),
        ("Stop it when it is not needed: it costs also when nobody calls it",),
        "later",
    ),
    _service(
        "Starting",
        "The service is being started again",
        ("StartService was called",),
        ("Wait for Running",),
        "later",
        _STARTING,
    ),
    _service(
        "Stopping",
        "The service is being stopped",
        ("StopService was called",),
        ("Look again until it is Stopped",),
        "later",
        "Until it is Stopped",
    ),
    _service(
        "Stopped",
        "The service exists and does not run",
        ("StopService was called", "Bills are overdue"),
        ("Start it with StartService, or delete it",),
        "never",
        _GIVEN_BACK,
    ),
    _service(
        "Failed",
        "The service could not be brought up",
        (
            "An instance crashed at its start: out of memory, or an error in the command",
            "The model's path or another resource does not exist",
            "The image cannot be pulled",
        ),
        (
            "Read Reason and Message, DescribeServiceEvent, and the instances' logs",
            "Correct the cause and update the service, or delete it",
        ),
        "never",
        "Instances that are held cost: delete or stop the service",
    ),
    _service(
        "Complete",
        "The service's work is done; for jobs that end by themselves",
        ("An offline task came to its end",),
        ("Take the result, and delete the service",),
        "never",
        _GIVEN_BACK,
    ),
    _service(
        "Cloning",
        "The service is being copied from another",
        ("A copy was asked for",),
        ("Wait for Running",),
        "later",
        _STARTING,
    ),
    _service(
        "Updating",
        "A new version is being rolled out; old and new instances answer side by side",
        ("UpdateService was called",),
        ("Wait for Running before you measure: two versions answer meanwhile",),
        "later",
    ),
    _service(
        "HotUpdate",
        "The service takes over a change without a restart",
        ("A model or a setting was exchanged while it runs",),
        ("Wait for Running before you measure",),
        "later",
    ),
    _service(
        "Committing",
        "A change made in development mode is being kept as a version",
        ("CommitService was called",),
        ("Wait for Running",),
        "later",
    ),
    _service(
        "Developing",
        "The service is in development mode: a person works in its container",
        ("DevelopService was called",),
        ("Leave development mode before you measure",),
        "later",
    ),
    _service(
        "Scaling",
        "Instances are being added or removed",
        ("Autoscaling, or a changed number of instances",),
        ("Wait for Running before you measure: the capacity is changing",),
        "later",
    ),
    _service(
        "Deleting",
        "The service is being deleted",
        ("DeleteService was called",),
        ("Look again until it is gone",),
        "later",
        "Until its instances have ended",
    ),
    _service(
        "Deleted",
        "The service is gone",
        ("DeleteService was called",),
        ("Create it anew if that was not meant",),
        "never",
        _GIVEN_BACK,
    ),
    _service(
        "DeleteFailed",
        "The service could not be deleted; its instances may still be held",
        ("A resource that belongs to it is in use", "A fault of the service"),
        ("Delete it again, and see that it is gone",),
        "later",
        "As long as its instances are held",
    ),
)

_LIST_TASKS = "List the stress tests of the region (tidemark eas benchmark list)"

_CODES = (
    Explanation(
        "BenchmarkTask.NotFound",
        "API error",
        "There is no stress test of this name in this region any more, or there was none",
        (
            "It ended more than 48 hours ago, or failed more than 10 minutes ago",
            "The name is mistyped, or lacks what the service added to it",
            "It belongs to another region",
        ),
        (_LIST_TASKS, "Fetch report and message as soon as a stress test ends"),
        "never",
        links=(pages.STRESS_TESTS,),
    ),
    Explanation(
        "BenchmarkTaskReport.NotFound",
        "API error",
        "The stress test has no report yet",
        ("It has not sent load yet", "It failed before it sent any"),
        (
            "See whether it runs (tidemark eas benchmark show NAME), and ask again some seconds "
            "after it does",
        ),
        "later",
        links=(pages.STRESS_TESTS,),
    ),
    Explanation(
        "InvalidTask.Status",
        "API error",
        "What was asked of the stress test is not done in its present status",
        (
            "It has ended already, and was asked to stop",
            "It is being created, changed or stopped at the moment",
            "Only a stopped one can be started",
        ),
        (
            "See its status (tidemark eas benchmark show NAME): one that is Stopped needs no stop",
            "Wait until it is Running or Stopped, then ask again",
        ),
        "later",
        links=(pages.STRESS_TESTS,),
    ),
    Explanation(
        "InvalidParameter.TaskAlreadyExists",
        "API error",
        "There is a stress test of this name already; this call made none",
        (
            "One of before is kept for 48 hours after its end",
            "The call before this one made it, though its answer was lost",
        ),
        (
            "Look whether it is yours (tidemark eas benchmark show NAME); else use another name",
            "Delete the one that has ended, when its report is fetched",
        ),
        "never",
        links=(pages.STRESS_TESTS,),
    ),
    Explanation(
        "InvalidService.NotFound",
        "API error",
        "There is no inference service of this name in this region",
        ("The name is mistyped", "It was deleted", "It belongs to another region or account"),
        ("List the services of the region (tidemark eas services), and compare the name",),
        "never",
        links=(pages.LIST_SERVICES,),
    ),
    Explanation(
        "InvalidService.Status",
        "API error",
        "The inference service is not in a status in which this can be done; a stress test needs "
        "a running one",
        (
            "The service is stopped, or failed to start",
            "It is being created, updated or scaled at the moment",
        ),
        (
            "See its status (tidemark eas services NAME), and ask again when it is Running",
            "Start it, if it is Stopped",
        ),
        "later",
        links=(pages.LIST_SERVICES,),
    ),
)

ENTRIES: Final = (*_TASKS, *_SERVICES, *_CODES)
