"""Why a job failed."""

from __future__ import annotations

from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.job_evidence import JobEvidence
from tidemark.waiting.failure import Failure, FailureClass
from tidemark.waiting.policy import Decision

__all__ = ["classify"]


def classify(job: Job, evidence: JobEvidence, decision: Decision | None) -> Failure:
    """Why a job failed."""
    del evidence
    line = decision.evidence or decision.why if decision else job.reason_message
    return Failure(FailureClass.UNKNOWN, line or job.status, "ReasonMessage", "Read the log")
