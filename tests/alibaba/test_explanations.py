"""Codes, statuses and numbers: each is found by its name, and says what to do."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

import pytest

from tidemark.alibaba.explanations import (
    KINDS,
    TABLE,
    Explanation,
    advice_for,
    explain,
    nearest_names,
    prefix_hint,
)


def listed(words: str) -> list[str]:
    return words.split()


API_CODES = listed("""
Throttling Throttling.User Throttling.Api ServiceThrottling FlowControl
ServiceUnavailable ServiceUnavailableTemporary InternalError InternalFailure UnknownError
OperationTimeout ReadTimeOut
InvalidTimeStamp.Expired SignatureNonceUsed
InvalidAccessKeyId.NotFound SignatureDoesNotMatch IncompleteSignature InvalidSecurityToken.Expired
Forbidden.RAM Forbidden.AccessDenied NoPermission OperationForbidden
InvalidParameter MissingParameter BadRequest InvalidAction.NotFound NotFound
OperationDenied.NoStock
""")
PRICE_CODES = listed("""
PriceNotFound InvalidInstanceType.ValueNotSupported InvalidInstanceType.ValueUnauthorized
InvalidSystemDiskCategory.ValueNotSupported InvalidDiskCategory.NotSupported
InvalidInstanceType.NotSupportDiskCategory InvalidInstanceType.Missing InstanceType.Offline
RegionUnauthorized
""")
JOB_STATUSES = listed("""
Creating Queuing Bidding EnvPreparing SanityChecking Running Restarting Stopping
SucceededReserving FailedReserving Succeeded Failed Stopped Waiting Deleted SubmitFailed
""")
STRESS_TEST_STATUSES = listed("""
Creating Starting Running Updating Stopping Deleting Error CreateFailed DeleteFailed Stopped
UpdateFailed Terminated
""")
SERVICE_STATUSES = listed("""
Creating Stopped Failed Complete Cloning Stopping Updating Waiting HotUpdate Committing Starting
DeleteFailed Running Developing Scaling Deleted Pending Deleting
""")
WORDS_OF_KINDS = {
    "API error": API_CODES,
    "price error": PRICE_CODES,
    "DLC job status": JOB_STATUSES,
    "DLC job sub-status": ["Restarting"],
    "DLC pod status": ["Pending", "Running", "Succeeded", "Failed", "Unknown", "Stopped"],
    "DLC pod sub-status": ["Normal", "Evicted"],
    "DLC reason code": [
        "JobSucceeded",
        "JobFailed",
        "JobStoppedByUser",
        "StoppedByUser",
        "InvalidParameter",
        "ResourceAllocateFailed",
    ],
    "EAS stress test status": STRESS_TEST_STATUSES,
    "EAS service status": SERVICE_STATUSES,
    "EAS request status": ["200", "408", "429", "450", "499", "500", "512"],
    "HTTP status": ["400", "401", "403", "404", "429", "500", "502", "503", "504"],
    "workspace status": listed("ENABLED INITIALIZING FAILURE DISABLED FROZEN UPDATING"),
    "workload status": ["Pending", "Running", "Succeeded", "Failed", "PreAllocation"],
    "queue status": ["Enqueued", "Dequeued"],
    "quota diagnosis": listed("""
        SelfQuotaLimit AncestorQuotaLimit UserLimit QueueStrategyLimit
    """),
    "stock and spot": ["WithStock", "ClosedWithStock", "NoStock", "preempted", "spot eviction"],
    "waiting reason": listed("""
        ErrImagePull ImagePullBackOff ImageInspectError ErrImageNeverPull ContainerCreating
        PodInitializing CrashLoopBackOff CreateContainerConfigError CreateContainerError
        RunContainerError
    """),
    "image pull failure": [
        "manifest unknown",
        "pull access denied",
        "unauthorized",
        "InvalidImageName",
        "RegistryUnavailable",
        "toomanyrequests",
    ],
    "pod event": ["Failed to pull image", "Successfully pulled image", "FailedScheduling"],
    "end of container": ["OOMKilled", "Evicted", "DeadlineExceeded", "Error", "Completed"],
    "exit code": listed("0 1 126 127 137 139 143 245"),
    "connection": ["ETIMEDOUT", "ConnectionReset", "ECONNREFUSED"],
}


def names(text: str) -> list[str]:
    return [entry.name for entry in explain(text)]


def kinds(text: str) -> list[str]:
    return [entry.kind for entry in explain(text)]


def sentences(entry: Explanation) -> list[str]:
    return [
        entry.meaning,
        *entry.causes,
        *entry.remedies,
        *([entry.billed] if entry.billed else []),
    ]


def test_no_name_stands_twice_in_a_kind() -> None:
    spelt = Counter(
        (entry.kind, name.casefold())
        for entry in TABLE
        for name in dict.fromkeys([entry.name, *entry.also])
    )
    assert [name for name, count in spelt.items() if count > 1] == []


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: f"{entry.kind}: {entry.name}")
def test_every_entry_is_complete_and_plain(entry: Explanation) -> None:
    assert entry.kind in KINDS
    assert entry.causes
    assert entry.remedies
    assert entry.retry in ("never", "at once", "later")
    assert entry.links
    assert all(re.fullmatch(r"https://[a-z.]+\.(?:com|io)/[\w/.-]*", link) for link in entry.links)
    for sentence in sentences(entry):
        assert sentence[0].isupper() or sentence.startswith("exit was called")
        assert not sentence.endswith("."), (
            "sentences stand without full stop, to be put into others"
        )
        assert "  " not in sentence
        assert 6 <= len(sentence) <= 200, sentence
        assert sentence.isprintable()


def test_every_kind_has_entries() -> None:
    assert {entry.kind for entry in TABLE} == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "word"), [(kind, word) for kind, words in WORDS_OF_KINDS.items() for word in words]
)
def test_each_word_is_known_in_its_kind_in_any_case(kind: str, word: str) -> None:
    for spelling in (word, word.lower(), word.upper(), f'  "{word}",\n'):
        assert kind in kinds(spelling), spelling


def test_a_status_is_shown_in_each_of_its_kinds() -> None:
    assert kinds("Running") == [
        "DLC job status",
        "DLC pod status",
        "EAS stress test status",
        "EAS service status",
        "workload status",
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("EAS service Running", "EAS service status"),
        ("DLC job status: Failed", "DLC job status"),
        ("workload Pending", "workload status"),
        ("HTTP 404", "HTTP status"),
        ("exit code 2", "exit code"),
    ],
)
def test_words_before_a_name_choose_its_kind(text: str, kind: str) -> None:
    assert kinds(text) == [kind]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("Throttling.AnythingElse", "Throttling"),
        ("ServiceThrottling.User", "Throttling"),
        ("FlowControl.Api", "Throttling"),
        ("Throttling.*", "Throttling"),
        ("InvalidParameter.JobSpecs", "InvalidParameter"),
        ("InvalidParameterValue", "InvalidParameter"),
        ("InvalidParameter*", "InvalidParameter"),
        ("MissingWorkspaceId", "MissingParameter"),
        ("InvalidJobId.NotFound", "NotFound"),
        ("WorkspaceNotFound", "NotFound"),
        ("Forbidden.SubUser", "Forbidden.RAM"),
        ("NoPermission.Workspace", "NoPermission"),
        ("InvalidSecurityToken.Whatever", "InvalidSecurityToken"),
        ("InvalidInstanceType.Retired", "InvalidInstanceType.ValueNotSupported"),
        ("QuotaExceed.PostPaidQuota", "QuotaExceeded"),
        ("OperationDenied.Suspended", "OperationDenied"),
        ("Zone.NoStock", "OperationDenied.NoStock"),
    ],
)
def test_a_code_that_is_not_listed_is_explained_by_its_family(code: str, name: str) -> None:
    assert names(code)[0] == name


def test_a_code_of_its_own_comes_before_its_family() -> None:
    assert names("Throttling.User") == ["Throttling.User"]
    assert names("InvalidAction.NotFound") == ["InvalidAction.NotFound"]
    assert names("InvalidInstanceType.Missing") == ["InvalidInstanceType.Missing"]


@pytest.mark.parametrize("text", ["", " \n\t ", "\x00\x1b[0m", '""', "???"])
def test_nothing_is_known_about_nothing(text: str) -> None:
    assert explain(text) == []
    assert prefix_hint(text) is None
    assert nearest_names(text) == ()


def test_naming_a_kind_gives_all_of_it_in_the_order_of_life() -> None:
    assert names("dlc job status")[:4] == ["Creating", "Queuing", "Bidding", "EnvPreparing"]
    assert set(kinds("DLC job status")) == {"DLC job status"}


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("Throtling.Usr", "Throttling.User"),
        ("ImagPullBackof", "ImagePullBackOff"),
        ("EnvPreparring", "EnvPreparing"),
        ("the job says Reason EnvPreparring today", "EnvPreparing"),
        ("SignatureDoesntMatch", "SignatureDoesNotMatch"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(text: str, nearest: str) -> None:
    assert explain(text) == []
    assert nearest_names(text)[0] == nearest


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("InvalidFlavour.Colour", "refuse a value"),
        ("UnsupportedFlavour", "refuse a value"),
        ("IncorrectVolumeStatus", "state of the resource"),
        ("Entity.AlreadyExists", "exists"),
        ("SDK.InvalidEndpoint", "client library"),
        ("UserNotAllowed", "permission"),
        ("VolumeLocked", "state"),
        ("ErrContainerNames", "Kubernetes"),
        ("BackendTimeout", "ask again"),
        ("exit code 999", "0 to 255"),
    ],
)
def test_the_form_of_an_unknown_code_tells_something(code: str, says: str) -> None:
    assert explain(code) == []
    assert says in (prefix_hint(code) or "")


def test_throttling_is_worth_asking_again_and_a_refused_key_is_not() -> None:
    for code, retry in (
        ("Throttling", "later"),
        ("Throttling.User", "later"),
        ("Throttling.Api", "later"),
        ("ServiceUnavailable", "later"),
        ("InvalidTimeStamp.Expired", "at once"),
        ("SignatureNonceUsed", "at once"),
        ("InvalidSecurityToken.Expired", "at once"),
        ("InvalidAccessKeyId.NotFound", "never"),
        ("InvalidParameter", "never"),
        ("InvalidSystemDiskCategory.ValueNotSupported", "at once"),
        ("PriceNotFound", "never"),
    ):
        assert {entry.retry for entry in explain(code)} == {retry}, code


@pytest.mark.parametrize("status", JOB_STATUSES)
def test_only_a_job_that_is_over_is_not_worth_another_look(status: str) -> None:
    (entry,) = [one for one in explain(status) if one.kind == "DLC job status"]
    over = status in ("Succeeded", "Failed", "Stopped", "SubmitFailed", "Deleted")
    assert (entry.retry == "never") is over
    assert entry.billed


def test_a_job_that_keeps_its_pods_is_said_to_cost_as_before() -> None:
    for status in ("SucceededReserving", "FailedReserving"):
        (entry,) = explain(status)
        assert "As while running" in (entry.billed or "")


def test_a_failed_stress_test_says_how_long_it_is_kept() -> None:
    for status, kept in (("Stopped", "48 hours"), ("Error", "10 minutes")):
        (entry,) = [one for one in explain(status) if one.kind == "EAS stress test status"]
        assert kept in entry.meaning


@pytest.mark.parametrize("code", [*API_CODES, *PRICE_CODES, "ResourceAllocateFailed", "429", "502"])
def test_every_error_code_has_advice_of_one_sentence(code: str) -> None:
    advice = advice_for(code)
    assert advice
    assert not advice.endswith(".")
    assert advice == advice_for(f" {code.lower()} ")


def test_a_family_has_advice_and_what_is_no_error_has_none() -> None:
    assert advice_for("Throttling.Whatever") == advice_for("Throttling")
    assert advice_for("InvalidParameter.JobSpecs") == advice_for("InvalidParameter")
    for unknown in ("", "Running", "EnvPreparing", "NoSuchThing", "OOMKilled", "x" * 10_000):
        assert advice_for(unknown) is None, unknown


def test_looking_up_loads_neither_http_client_nor_terminal_nor_yaml() -> None:
    code = (
        "import sys, tidemark.alibaba.explanations; "
        "print([name for name in ('httpx', 'rich', 'yaml', 'pydantic', 'typer') "
        "if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout == "[]\n"
