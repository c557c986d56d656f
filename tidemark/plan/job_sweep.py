"""A sweep that runs inside a job: what it needs has to be there, and its secrets too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tidemark.plan.endpoint import URL_REMEDY
from tidemark.plan.job_container import Mount
from tidemark.plan.problems import Location, Problem
from tidemark.plan.secrets import SecretRef
from tidemark.plan.sweep import SweepPlan

__all__ = ["SECRET_FILE_REMEDY", "secret_trouble", "sweep_problems"]

SECRET_FILE_REMEDY = (
    "Put the secret into an object of OSS, mount its folder read-only (mounts: uri, mount_path), "
    "opened by the job's role (role_arn), and write file:/mount_path/name here"
)


def sweep_problems(
    sweep: SweepPlan, mounts: Sequence[Mount], *, official_image: bool
) -> list[Problem]:
    """What of a sweep's plan cannot work inside a job, each at its field below `sweep`."""
    found = [*_missing(sweep), *_secrets(sweep, mounts)]
    if official_image:
        found += _files(sweep, mounts)
    return found


def secret_trouble(ref: SecretRef, mounts: Sequence[Mount]) -> tuple[str, str] | None:
    """Why a reference leads nowhere inside a job, and what to do; None where it does not."""
    kind, _, path = ref.partition(":")
    if kind == "env":
        what = "would have to be a variable of the job, which everyone who sees the job can read"
        return what, SECRET_FILE_REMEDY
    if kind == "prefect":
        return "is kept by Prefect, which is not to be reached from the job", SECRET_FILE_REMEDY
    holders = [mount for mount in mounts if mount.holds(path)]
    if not holders:
        return "is in no folder that the job mounts", SECRET_FILE_REMEDY
    if not all(mount.read_only for mount in holders):
        return "is in a folder that the job may write", "Mount it read-only (read_only: true)"
    return None


def _missing(sweep: SweepPlan) -> Iterator[Problem]:
    if sweep.endpoint.url is None:
        what = "is not given, and nobody is there to give it inside the job"
        yield Problem(("sweep", "endpoint", "url"), what, URL_REMEDY)
    if sweep.tokenizer is None:
        what = "is not given, and prompts get their length with it"
        remedy = "Give its name on the hub, or the path of a folder that is mounted"
        yield Problem(("sweep", "tokenizer"), what, remedy)


def _secrets(sweep: SweepPlan, mounts: Sequence[Mount]) -> Iterator[Problem]:
    endpoint = sweep.endpoint
    places: list[tuple[Location, str | None]] = [(("api_key",), endpoint.api_key)]
    places += [(("headers", name), value) for name, value in endpoint.headers.items()]
    for place, value in places:
        if isinstance(value, SecretRef):
            trouble = secret_trouble(value, mounts)
            if trouble is not None:
                yield Problem(("sweep", "endpoint", *place), *trouble)


def _files(sweep: SweepPlan, mounts: Sequence[Mount]) -> Iterator[Problem]:
    """Files that the official image cannot have."""
    dataset = sweep.dataset
    named: list[tuple[Location, str | None]] = [
        (("tokenizer",), _if_path(sweep.tokenizer)),
        (("endpoint", "ca_file"), sweep.endpoint.ca_file),
    ]
    if dataset is not None:
        named += [
            (("dataset", "path"), dataset.path if dataset.is_file else None),
            (("dataset", "config"), dataset.config),
        ]
    for place, path in named:
        if path is not None and not any(mount.holds(path) for mount in mounts):
            what = "is in no folder that the job mounts, and the official image does not have it"
            remedy = "Mount its folder (mounts), or give an image that holds it"
            yield Problem(("sweep", *place), what, remedy)


def _if_path(tokenizer: str | None) -> str | None:
    return tokenizer if tokenizer is not None and tokenizer.startswith("/") else None
