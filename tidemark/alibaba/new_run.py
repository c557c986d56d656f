"""A run of a job as it begins, and as whom this process acts for it."""

from __future__ import annotations

import os
import pwd
import re
import secrets as random_source
import socket
from datetime import datetime

from tidemark.money.ledger import LedgerRun
from tidemark.money.policy import SpendingRules, month_of, night_of
from tidemark.plan.job import JobPlan, plan_hash

__all__ = ["new_run", "owner_name"]


def new_run(
    plan: JobPlan,
    *,
    now: datetime,
    rules: SpendingRules | None,
    region: str,
    workspace_block: str | None,
    endpoint: str | None = None,
    trigger: str,
    trigger_ref: str | None = None,
    flow_run_id: str | None = None,
) -> LedgerRun:
    """A run to begin in the ledger, asked for by whoever this process belongs to.

    `region`, the name of a saved workspace and an address in place of the services' own are what a
    release from another process needs. No secret is in it.
    """
    timezone = rules.timezone if rules is not None else SpendingRules.usual_timezone()
    unique = re.sub(r"[^0-9a-f]", "", flow_run_id or "")[:8] or random_source.token_hex(4)
    return LedgerRun(
        run_id=f"{now:%Y%m%dt%H%M%S}-{unique}",
        flow_run_id=flow_run_id,
        name=plan.name,
        plan_hash=plan_hash(plan),
        plan={
            "plan": plan.model_dump(mode="json"),
            "region": region,
            "workspace_block": workspace_block,
            "endpoint": endpoint,
        },
        requested_by=_user(),
        trigger=trigger,
        trigger_ref=trigger_ref,
        night=night_of(now, timezone),
        month=month_of(now, timezone),
        line="Looking for a machine",
        created_at=now,
        updated_at=now,
    )


def _user() -> str | None:
    """The account that this process runs as, whatever its variables say."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except (OSError, KeyError):
        return None


def owner_name() -> str:
    """A name for an owner of leases that nobody else has: host, process, and a draw."""
    return f"{socket.gethostname()}/{os.getpid()}/{random_source.token_hex(4)}"
