"""A sample of the faults in a job's run: the whole of it is `make drill`."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from dlc_cases import drilled
from dlc_drill import enumerate_cases, play_all, record, table
from dlc_points import FAULTS

SEED = 20261122


@pytest.mark.timeout(400)  # half a minute, on a machine that is not busy
async def test_nothing_is_left_doubled_or_lost_whatever_fails(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    async with drilled(tmp_path) as place:
        points = await record(place)
        cases = enumerate_cases(points)
        assert len(cases) >= 500
        assert {point.kind for point in points} == {"cloud", "ledger", "store", "Prefect"}
        sample = [dice.choice([case for case in cases if case.fault is fault]) for fault in FAULTS]
        outcomes = await play_all(place, sample, until_s=math.inf)
    failed = [f"{one.case}: {one.problems}" for one in outcomes if one.problems]
    assert failed == [], table(outcomes)
