"""A dry run: everything is checked and shown as a page, and nothing is started."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from blocks import InferenceEndpoint, ResultStore
from tasks.log import logger
from tasks.place import place_of
from tasks.preflight import preflight
from tasks.progress import expected_steps
from tasks.report import SweepOutcome
from tasks.resume import resume_round
from tasks.room import Room, open_room, plan_for
from tasks.secrets import read_block
from tidemark.config import load_config, read_text
from tidemark.engines.install import find
from tidemark.errors import PlanError, RefusedError, TidemarkError
from tidemark.inputs import check_inputs
from tidemark.plan.advice import check_reuse, check_runnable
from tidemark.plan.cells import Cell, cells, chosen
from tidemark.plan.secrets import lend
from tidemark.plan.sweep import SweepPlan, warnings
from tidemark.preview import Preview, duration_text, failures
from tidemark.results.options import references

__all__ = ["ARTIFACT", "look_ahead"]

ARTIFACT = "sweep-plan"
DRY_RUN = "dry run"


@task(name="look ahead", cache_policy=NO_CACHE)
async def look_ahead(
    plan: SweepPlan,
    *,
    store: str | None,
    round: str | None,
    only: Sequence[str] | None,
    reuse_valid: bool,
    endpoint: InferenceEndpoint | None,
    result_store: ResultStore | None,
) -> SweepOutcome:
    """Check all that a sweep with the same arguments needs, by one request and one small file too.

    The page says all that is to be mended, not only the first of it. Raises RefusedError if there
    is anything.
    """
    measured = plan_for(plan, endpoint)
    config = load_config(os.environ, Path.cwd())
    place = place_of(store, result_store, config)
    wanted_secrets = (*measured.endpoint.secrets, *references(place.credentials))
    notes, about_s = list(warnings(measured)), None
    to_mend = failures(
        (
            lambda: check_runnable(measured),
            lambda: check_reuse(measured, reuse_valid),
            lambda: chosen(measured, only),
            *(partial(lend, [ref], os.environ, read_text, read_block) for ref in wanted_secrets),
            lambda: check_inputs(measured),
            lambda: find(measured.engine.name, config.engines),
        )
    )
    if not to_mend:
        try:
            room = open_room(
                plan,
                store=store,
                round=round,
                only=only,
                reuse_valid=reuse_valid,
                endpoint=endpoint,
                result_store=result_store,
            )
        except TidemarkError as error:
            to_mend = (str(error),)
        else:
            to_mend, about_s, more = await _asked(room)
            notes += more
    try:
        wanted = chosen(measured, only)
    except PlanError:
        wanted = cells(measured)
    shown = Preview(
        plan=measured, cells=wanted, store=place.uri, notes=notes, to_mend=to_mend, about_s=about_s
    )
    said = f"{len(wanted)} cells, at most {duration_text(shown.at_most_s)}"
    logger().info("dry run: %s; nothing was started", said)
    await acreate_markdown_artifact(shown.markdown(), key=ARTIFACT, description=said)
    if to_mend:
        more_of_it = f" (and {len(to_mend) - 1} more: see the page)" if len(to_mend) > 1 else ""
        raise RefusedError(f"this sweep cannot run yet: {to_mend[0]}{more_of_it}")
    return SweepOutcome(
        run_id="",
        outcome=DRY_RUN,
        exit_status=0,
        store=place.uri,
        five_lines=(said,),
        run={},
        cells=(),
    )


async def _asked(room: Room) -> tuple[tuple[str, ...], float | None, list[str]]:
    """Ask store and service: (what is to be mended, about how long in seconds, notes)."""
    to_mend: list[str] = []
    notes: list[str] = []
    about_s = None
    to_measure: Sequence[Cell] = room.cells
    try:
        probed = await asyncio.to_thread(room.store.probe)
        notes += probed.notes
        resumed = await resume_round(room)
        to_measure = resumed.to_measure
        taken = len(room.cells) - len(to_measure)
        if taken:
            notes.append(f"{taken} of {len(room.cells)} cells are there and are not measured again")
    except TidemarkError as error:
        to_mend.append(str(error))
    try:
        probe = await preflight(room)
        expected = {name: probe.service_time_s(name) for name in room.plan.scenarios}
        about_s = sum(expected_steps(room.plan, to_measure, expected).values())
    except TidemarkError as error:
        to_mend.append(str(error))
    return tuple(to_mend), about_s, notes
