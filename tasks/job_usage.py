"""What a job used of its machines, kept beside the cells that were measured meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tasks.job_room import JobRoom
from tasks.log import logger
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.errors import AlibabaError
from tidemark.alibaba.job_metrics import Usage, usage
from tidemark.errors import AlreadyThere, StoreError
from tidemark.results.context import TimelinePoint
from tidemark.results.job_files import put_job_file
from tidemark.results.redact import Json
from tidemark.results.tables import Row

__all__ = ["keep_usage"]


async def keep_usage(room: JobRoom, job: Job, cells: Sequence[Row]) -> None:
    """Keep the use of processors, GPUs and memory: each cell's part of it beside the cell, and all
    of it beside the job's evidence. What cannot be read or kept is told, and no reason to fail."""
    since = job.gmt_create_time or room.run.created_at
    until = (job.ended_at or datetime.fromtimestamp(room.account.time_s(), UTC)) + timedelta(
        minutes=1
    )
    try:
        found = await usage(Dlc(room.account), job.job_id, since=since, until=until)
    except AlibabaError as error:
        logger().warning("the use of the machine is not known: %s", error)
        return
    if not found:
        return
    try:
        await asyncio.to_thread(_keep, room, job, cells, found)
    except AlreadyThere:
        logger().info("the use of the machine is beside the cells already")
    except StoreError as error:
        logger().warning("the use of the machine is not kept: %s", error)


def _keep(room: JobRoom, job: Job, cells: Sequence[Row], found: Sequence[Usage]) -> None:
    document: list[Json] = [each.document() for each in found]
    put_job_file(room.store, room.run.run_id, f"usage-{job.job_id}", document)
    for row in cells:
        points = [*_beside(row, found)]
        if points and row["reused_from"] is None:
            room.store.put_timeline(row, points)


def _beside(row: Row, found: Sequence[Usage]) -> list[TimelinePoint]:
    begin, end = row["started_at"], row["finished_at"]
    if begin is None or end is None:
        return []
    return [
        TimelinePoint(
            source=each.source,
            series=f"{each.series} {each.pod_id}",
            unit=each.unit,
            at_s=(each.at - begin).total_seconds(),
            value=each.value,
            interval_s=each.interval_s,
        )
        for each in found
        # A point speaks of the interval that begins with it.
        if begin - timedelta(seconds=each.interval_s or 0.0) <= each.at <= end
    ]
