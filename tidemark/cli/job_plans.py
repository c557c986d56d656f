"""Reading the plan of a job from the command line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from tidemark.cli.ledgers import ledger_if_any
from tidemark.cli.plans import RUN_PREFIX
from tidemark.config import load_config
from tidemark.errors import PlanError
from tidemark.plan.job import JobPlan
from tidemark.plan.job_load import load_job_plan

__all__ = ["read_job_plan"]


def read_job_plan(file: str, store: str | None = None) -> JobPlan:
    """The plan of a job from a YAML file, from standard input (`-`), or of an earlier run
    (`run:ID`), which the ledger knows, or else the store. Raises PlanError."""
    if file.startswith(RUN_PREFIX):
        return _of_run(file.removeprefix(RUN_PREFIX), store)
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise PlanError(
            f"cannot be read ({words})", file, "Name a YAML file with the plan of a job"
        ) from None
    return load_job_plan(text, "standard input" if file == "-" else file)


def _of_run(run_id: str, store: str | None) -> JobPlan:
    text = _noted(run_id) if run_id else None
    uri = store or load_config(os.environ, Path.cwd()).store
    text = text or (_stored(run_id, uri) if run_id else None)
    if text is None:
        raise PlanError(
            "no such run in the ledger or the store", f"{run_id or 'run:'} in {uri}",
            "See which there are: tidemark runs",
        )  # fmt: skip
    try:
        return JobPlan.model_validate_json(text)
    except ValidationError:
        raise PlanError(
            "is no run of a job", run_id, "Measure its plan again: tidemark sweep run:ID"
        ) from None


def _noted(run_id: str) -> str | None:
    """The plan as JSON, of a run that the ledger has."""
    with ledger_if_any() as ledger:
        found = ledger.runs(limit=1000) if ledger is not None else []
    plans = {
        run.run_id: run.plan["plan"]
        for run in found
        if run.run_id.startswith(run_id) and "plan" in run.plan
    }
    if len(plans) > 1 and run_id not in plans:
        raise _several(run_id, plans)
    plan = plans.get(run_id) or next(iter(plans.values()), None)
    return None if plan is None else json.dumps(plan)


def _stored(run_id: str, uri: str) -> str | None:
    """The plan as JSON, of a run that the store has."""
    from tidemark.cli.stores import opened

    found = {
        row["run_id"]: row["plan_json"]
        for row in opened(uri).runs().to_pylist()
        if row["run_id"].startswith(run_id)
    }
    if len(found) > 1 and run_id not in found:
        raise _several(run_id, found)
    return found.get(run_id) or next(iter(found.values()), None)


def _several(run_id: str, ids: Iterable[str]) -> PlanError:
    return PlanError("several runs begin so", run_id, f"Choose one: {', '.join(sorted(ids))}")
