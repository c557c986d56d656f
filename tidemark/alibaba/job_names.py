"""What a leased job is called, and the tags by which it is found again.

The name says whose job it is even where tags are not shown; what is stopped is known by its tags.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tidemark.alibaba.cleaning import TAG
from tidemark.alibaba.dlc_answers import Job
from tidemark.errors import ConfigError

__all__ = [
    "ATTEMPT_TAG",
    "PLAN_TAG",
    "RUN_TAG",
    "JobIdentity",
    "identity_of",
    "installation_tags",
    "job_name",
    "job_tags",
    "name_beginning",
    "run_tags",
]

RUN_TAG = f"{TAG}-run"
ATTEMPT_TAG = f"{TAG}-attempt"
PLAN_TAG = f"{TAG}-plan"

# Scripts' jobs carry this in place of an installation, and have no lease.
_SCRIPT = "script"
# Without a dash, so that no two installations and runs make the same name.
_INSTALLATION = re.compile(r"[A-Za-z0-9]{1,64}")
_RUN = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")
_ATTEMPT = re.compile(r"[1-9][0-9]{0,5}")
# Of a DLC job's DisplayName.
_MOST_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class JobIdentity:
    """Whose job it is, as its tags say."""

    installation: str
    run_id: str
    attempt: int

    @property
    def name(self) -> str:
        """The display name of such a job, and the id of its lease."""
        return job_name(self.installation, self.run_id, self.attempt)


def job_name(installation: str, run_id: str, attempt: int) -> str:
    """The display name of a run's attempt (from 1): letters, digits and dashes.

    Raises ConfigError for an id that such a name cannot hold.
    """
    _check_installation(installation)
    if not _RUN.fullmatch(run_id):
        raise ConfigError(
            "is no id of a run", f"run_id: {run_id[:80]!a}",
            "Use letters and digits, with single dashes between them",
        )  # fmt: skip
    if not _ATTEMPT.fullmatch(str(attempt)):
        raise ConfigError("is no number of an attempt", f"attempt: {attempt}", "Count from 1")
    name = f"{name_beginning(installation)}{run_id}-a{attempt}"
    if len(name) > _MOST_CHARACTERS:
        raise ConfigError(
            f"makes a name of {len(name)} characters, and DLC takes {_MOST_CHARACTERS}",
            f"run_id: {run_id[:80]}...",
            "Use a shorter id",
        )
    return name


def name_beginning(installation: str) -> str:
    """How the names of all leased jobs of an installation begin."""
    return f"{TAG}-{installation}-"


def job_tags(installation: str, run_id: str, attempt: int, plan_hash: str) -> dict[str, str]:
    """The tags of a run's attempt. Raises ConfigError as `job_name` does."""
    job_name(installation, run_id, attempt)
    return {**run_tags(installation, run_id), ATTEMPT_TAG: str(attempt), PLAN_TAG: plan_hash}


def run_tags(installation: str, run_id: str) -> dict[str, str]:
    """The tags that all jobs of a run have."""
    return {**installation_tags(installation), RUN_TAG: run_id}


def installation_tags(installation: str) -> dict[str, str]:
    """The tags that all leased jobs of an installation have. Raises ConfigError for no id."""
    _check_installation(installation)
    return {TAG: installation}


def identity_of(job: Job, installation: str) -> JobIdentity | None:
    """Which attempt of this installation a job is; None for all that is not surely one.

    Its tags must say so and its name must agree: either alone may be somebody else's.
    """
    found = _identity(job.tags)
    if found is None or found.installation != installation:
        return None
    return found if found.name == job.display_name else None


def _identity(tags: Mapping[str, str]) -> JobIdentity | None:
    installation, run_id = tags.get(TAG, ""), tags.get(RUN_TAG, "")
    attempt = tags.get(ATTEMPT_TAG, "")
    if not (_is_installation(installation) and _RUN.fullmatch(run_id)):
        return None
    if not _ATTEMPT.fullmatch(attempt):
        return None
    if len(f"{name_beginning(installation)}{run_id}-a{attempt}") > _MOST_CHARACTERS:
        return None
    return JobIdentity(installation, run_id, int(attempt))


def _is_installation(text: str) -> bool:
    return text != _SCRIPT and _INSTALLATION.fullmatch(text) is not None


def _check_installation(installation: str) -> None:
    if not _is_installation(installation):
        raise ConfigError(
            "is no id of an installation", f"installation: {installation[:80]!a}",
            "Use letters and digits only; `script` is taken",
        )  # fmt: skip
