"""Names and tags of leased jobs: made before the job, and known again among others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.job_names import identity_of, job_name, job_tags
from tidemark.errors import ConfigError

OURS = "abc123def456"
WORDS = some.from_regex(r"[A-Za-z0-9]{1,6}(-[A-Za-z0-9]{1,6}){0,3}", fullmatch=True)


def job(name: str, tags: dict[str, Any] | None) -> Job:
    settings = None if tags is None else {"Tags": tags}
    return Job.of({"JobId": "dlc1", "DisplayName": name, "Settings": settings}, "GetJob")


@given(run_id=WORDS, attempt=some.integers(1, 99))
def test_a_job_made_by_name_and_tags_is_known_again(run_id: str, attempt: int) -> None:
    name = job_name(OURS, run_id, attempt)
    tags = job_tags(OURS, run_id, attempt, "0" * 64)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
    found = identity_of(job(name, tags), OURS)
    assert found is not None
    assert (found.run_id, found.attempt, found.name) == (run_id, attempt, name)
    assert identity_of(job(name, tags), "0ther") is None


@given(
    first=some.tuples(WORDS, some.integers(1, 30)),
    second=some.tuples(WORDS, some.integers(1, 30)),
)
def test_two_attempts_never_have_one_name(first: tuple[str, int], second: tuple[str, int]) -> None:
    if first != second:
        assert job_name(OURS, *first) != job_name(OURS, *second)


@pytest.mark.parametrize(
    "changed",
    [
        {"tidemark": "script"},
        {"tidemark": "someoneelse1"},
        {"tidemark": None},
        {"tidemark-run": None},
        {"tidemark-run": "run2"},
        {"tidemark-run": "../run1"},
        {"tidemark-attempt": "2"},
        {"tidemark-attempt": "01"},
        {"tidemark-attempt": None},
    ],
)
def test_what_only_looks_alike_is_none_of_ours(changed: dict[str, str | None]) -> None:
    tags = {**job_tags(OURS, "run1", 1, "0" * 64), **changed}
    kept = {name: value for name, value in tags.items() if value is not None}
    assert identity_of(job(job_name(OURS, "run1", 1), kept), OURS) is None


@pytest.mark.parametrize("tags", [None, {}])
def test_a_name_alone_is_no_proof(tags: dict[str, str] | None) -> None:
    assert identity_of(job(job_name(OURS, "run1", 1), tags), OURS) is None


@pytest.mark.parametrize(
    ("installation", "run_id", "attempt", "said"),
    [
        ("script", "run1", 1, "installation"),
        ("", "run1", 1, "installation"),
        ("two-words", "run1", 1, "installation"),
        (OURS, "", 1, "run"),
        (OURS, "a/b", 1, "run"),
        (OURS, "a--b", 1, "run"),
        (OURS, "run1", 0, "attempt"),
        (OURS, "x" * 250, 1, "characters"),
    ],
)
def test_ids_that_no_name_can_hold_are_refused(
    installation: str, run_id: str, attempt: int, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        job_tags(installation, run_id, attempt, "0" * 64)
