"""A workload's fields as they are documented, and the four words for every status there is."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.dlc_status import JobStatus
from tidemark.alibaba.paistudio_answers import QueueInfo
from tidemark.alibaba.workload_info import WorkloadInfo
from tidemark.alibaba.workload_mapping import (
    STATUSES,
    WorkloadStatus,
    job_document,
    queue_document,
    status_of,
)

SEEDED = "wl-1234567890abcdef"


def test_the_documented_answer_is_read_and_written_as_it_came() -> None:
    document: dict[str, object] = {
        "WorkloadId": SEEDED,
        "WorkloadName": "image-classification-training",
        "WorkloadType": "TrainingJob",
        "WorkloadStatus": "Running",
        "WorkloadCreatedTime": "2024-06-15T08:30:00Z",
        "WorkspaceId": "ws-abcdef123456",
        "WorkspaceName": "vision-workspace",
        "UserId": "1234567890123456",
        "TenantId": "t-9876543210",
        "UserName": "alice@example.com",
        "Priority": 10,
        "IsScheduled": "false",
        "QueueMetas": [{"QueueId": "q-xyz789", "QueueName": "gpu-queue"}],
    }
    info = WorkloadInfo.of(document, "GetWorkloadInfo")
    assert info.workload_id == SEEDED
    assert info.workload_created_time == datetime(2024, 6, 15, 8, 30, tzinfo=UTC)
    assert info.is_scheduled is False
    assert info.priority == 10
    assert info.queue_metas[0].queue_name == "gpu-queue"
    assert info.document() == document


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        ("true", True),
        ("True", True),
        (True, True),
        ("false", False),
        (False, False),
        ("", None),
        (None, None),
        ("maybe", None),
    ],
)
def test_scheduled_is_read_from_text_and_from_truth_values(given: Any, flag: bool | None) -> None:
    assert WorkloadInfo.of({"IsScheduled": given}, "GetWorkloadInfo").is_scheduled is flag


def test_missing_and_unknown_fields_do_no_harm() -> None:
    assert WorkloadInfo.of({}, "GetWorkloadInfo").queue_metas == ()
    info = WorkloadInfo.of({"QueueMetas": None, "Priority": "7", "Colour": "red"}, "G")
    assert info.queue_metas == ()
    assert info.priority == 7
    assert info.model_extra == {"Colour": "red"}
    assert WorkloadInfo.of({"Priority": "high"}, "G").priority is None


def test_every_status_of_a_job_has_its_word() -> None:
    words = {str(status): str(STATUSES[status]) for status in JobStatus}
    assert words == {
        "Creating": "Pending",
        "Queuing": "Pending",
        "Bidding": "Pending",
        "EnvPreparing": "Pending",
        "SanityChecking": "Pending",
        "Running": "Running",
        "Restarting": "Running",
        "Stopping": "Running",
        "SucceededReserving": "Succeeded",
        "FailedReserving": "Failed",
        "Succeeded": "Succeeded",
        "Failed": "Failed",
        "Stopped": "Failed",
    }


def test_words_stay_and_queues_have_theirs() -> None:
    for word in WorkloadStatus:
        assert status_of(word) == word
    assert status_of("Enqueued") == "Pending"
    assert status_of("PreAllocation") == "Pending"
    assert status_of("Dequeued") == "Running"


def test_an_unknown_status_stays_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    for document in (
        job_document(Job.of({"JobId": "dlc1", "Status": "Hibernating"}, "GetJob")),
        queue_document(QueueInfo.of({"WorkloadStatus": "Hibernating"}, "ListQuotaWorkloads")),
    ):
        info = WorkloadInfo.of(document, "G")
        assert info.workload_status == info.source_status == "Hibernating"
        assert not info.is_known
        assert not info.has_ended
        assert info.is_scheduled is None
    assert caplog.text.count("Hibernating") == 2


def test_a_stopped_job_failed_for_that_reason() -> None:
    for status, code, message, reason in (
        ("Stopped", "StoppedByUser", "Job is stopped by user.", "Stopped: Job is stopped by user."),
        ("Stopped", "", "", "Stopped"),
        ("Failed", "JobFailed", "", "JobFailed"),
        ("Failed", "JobFailed", "It ran out of memory.", "It ran out of memory."),
    ):
        found = Job.of(
            {"JobId": "d", "Status": status, "ReasonCode": code, "ReasonMessage": message}, "GetJob"
        )
        info = WorkloadInfo.of(job_document(found), "GetJob")
        assert (info.workload_status, info.reason) == ("Failed", reason)
        assert info.source_status == status
        assert info.has_ended


def test_a_place_in_the_queue_counts_where_a_workload_has_no_status_of_its_own() -> None:
    for fields, status, scheduled in (
        ({"Status": "Enqueued"}, "Pending", False),
        ({"Status": "Dequeued"}, "Running", True),
        ({"Status": "Dequeued", "WorkloadStatus": "Succeeded"}, "Succeeded", True),
        ({"Status": "Enqueued", "WorkloadStatus": "Queuing"}, "Pending", False),
        ({"Status": "Dequeued", "WorkloadStatus": "PreAllocation"}, "Pending", True),
        ({}, "", None),
    ):
        document = queue_document(QueueInfo.of(dict(fields), "ListQuotaWorkloads"))
        info = WorkloadInfo.of(document, "ListQuotaWorkloads")
        assert (info.workload_status, info.is_scheduled) == (status, scheduled)


@pytest.mark.parametrize(
    ("status", "scheduled"),
    [
        ("Queuing", False),
        ("EnvPreparing", True),
        ("Running", True),
        ("SucceededReserving", True),
        ("Stopped", None),
    ],
)
def test_a_job_is_scheduled_from_when_it_has_machines(status: str, scheduled: bool | None) -> None:
    found = Job.of({"JobId": "dlc1", "Status": status}, "GetJob")
    assert job_document(found)["IsScheduled"] is scheduled
