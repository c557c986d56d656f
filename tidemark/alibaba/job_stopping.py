"""Stopping a job and seeing that it has stopped: until then its machines are billed."""

from __future__ import annotations

import logging

from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.errors import AlibabaError, NotFoundError
from tidemark.clock import Clock

__all__ = ["JobRunsOn", "stop_and_see"]

LOG = logging.getLogger("tidemark.alibaba")

# A stop that was taken and has no effect for so long is asked for again.
_ASK_AGAIN_S = 60.0


class JobRunsOn(AlibabaError):
    """A job that was asked to stop and was not seen to have stopped: it may be billed on."""


async def stop_and_see(
    dlc: Dlc, job_id: str, *, clock: Clock, within_s: float = 600.0, interval_s: float = 5.0
) -> Job:
    """Stop a job, and return it when it has ended and holds no machine any more.

    It is asked to stop, looked at every `interval_s` seconds, and asked again each minute. Errors
    in passing are waited out. A job that is deleted meanwhile holds nothing: its status is then
    `Deleted`. Raises JobRunsOn when it was not seen to have ended within `within_s` seconds, or
    when these credentials may not stop it.
    """
    begun_s = clock.monotonic()
    asked_s: float | None = None
    last: str = "no answer yet"
    while True:
        now_s = clock.monotonic()
        try:
            if asked_s is None or now_s - asked_s >= _ASK_AGAIN_S:
                job = await dlc.stop_job(job_id)
                asked_s = now_s
            else:
                job = await dlc.get_job(job_id)
            if job.is_terminal:
                return job
            last = f"it is {job.status}"
        except NotFoundError as error:
            if error.code.startswith("InvalidAction"):
                raise _runs_on(job_id, str(error)) from error
            return Job.of({"JobId": job_id, "Status": "Deleted"}, "GetJob")
        except AlibabaError as error:
            if not error.retryable:
                raise _runs_on(job_id, error.what) from error
            LOG.warning("%s is being stopped: %s", job_id, error)
            last = error.what
        left_s = begun_s + within_s - clock.monotonic()
        if left_s <= 0:
            raise _runs_on(job_id, last)
        await clock.sleep(min(interval_s, left_s))


def _runs_on(job_id: str, last: str) -> JobRunsOn:
    error = JobRunsOn(
        f"was not seen to have stopped, and may be billed on: {last}",
        job_id,
        "Stop it in the console, or with stop_job, and see that it is Stopped",
    )
    error.effect_unknown = True
    return error
