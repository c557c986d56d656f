"""What events say when an image cannot be pulled, as the container runtime words it."""

from __future__ import annotations

from tidemark.simulator.pai.job_script import PullError

__all__ = ["back_off_times", "pull_failure"]

_FIRST_BACK_OFF_S = 10.0
_LONGEST_BACK_OFF_S = 300.0
_CAUSES: dict[PullError, str] = {
    "not_found": 'failed to resolve reference "{image}": {image}: not found',
    "access_denied": "pull access denied, repository does not exist or may require authorization",
    "manifest_unknown": "manifest unknown: manifest for {image} is not found",
    "unauthorized": "failed to authorize: unauthorized: authentication required",
    "invalid_name": "InvalidImageName: couldn't parse image reference {image}",
    "timeout": "dial tcp: i/o timeout while pulling the image",
}


def pull_failure(image: str, error: PullError) -> str:
    """The text of one failed pull."""
    cause = _CAUSES[error].format(image=image)
    return f'Failed to pull image "{image}": rpc error: code = Unknown desc = {cause}'


def back_off_times(first_s: float, until_s: float) -> list[float]:
    """When the pulls fail: at `first_s`, then at intervals that double up to five minutes."""
    times, wait_s = [], _FIRST_BACK_OFF_S
    at_s = first_s
    while at_s < until_s:
        times.append(at_s)
        at_s += wait_s
        wait_s = min(2 * wait_s, _LONGEST_BACK_OFF_S)
    return times
