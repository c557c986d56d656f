"""Whatever is in a store, and however often it is compacted, its answers stay the same."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

from compacted_store import RUNS, answers, compacted
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_sweep import PLAN, attempt_at, context_of, floor, put_run

from tidemark.plan.cells import cells
from tidemark.results.context import TimelinePoint
from tidemark.results.store import Attempt, open_store

STATES = ("whole", "with a timeline", "not judged", "without requests", "cut", "absent")

Night = tuple[tuple[tuple[str, str], bool], ...]
nights = st.tuples(
    *(
        st.tuples(st.tuples(st.sampled_from(STATES), st.sampled_from(STATES)), st.booleans())
        for _ in RUNS
    )
)
compactions = st.lists(
    st.tuples(st.sampled_from([1, 30]), st.sampled_from([2**26, 200_000, 30_000])),
    min_size=1,
    max_size=3,
)


@cache
def attempt_of(run: int, cell: int) -> Attempt:
    return attempt_at(context_of(RUNS[run]), cells(PLAN)[cell], floor() if cell else None)


def put(root: Path, night: Night) -> None:
    """Each run with its two cells, in the states drawn; some runs have finished."""
    store = open_store(str(root))
    points = (TimelinePoint("server", "running", "1", 0.0, 4.0),)
    for run, (states, finished) in enumerate(night):
        kept = []
        for cell, state in enumerate(states):
            attempt = attempt_of(run, cell)
            if state == "with a timeline":
                attempt = replace(attempt, timeline=points)
            if state == "not judged":
                store.put_evidence(attempt)
            elif state != "absent":
                kept.append(store.put_cell(attempt))
            if state == "without requests":
                (root / kept[-1].requests_part).unlink()
            if state == "cut":
                part = root / kept[-1].cell_part
                part.write_bytes(part.read_bytes()[:9000])
        if finished:
            put_run(store, context_of(RUNS[run]), tuple(kept))


@settings(max_examples=8, deadline=None)
@given(nights, compactions)
def test_any_store_answers_as_before(night: Night, steps: list[tuple[int, int]]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        put(folder, night)
        before = answers(folder)
        for days, largest_bytes in steps:
            store = open_store(str(folder))
            compacted(store, older_than=timedelta(days=days), largest_bytes=largest_bytes)
            assert open_store(str(folder)).cells().to_pylist() == before["cells"]
        assert answers(folder) == before
    finally:
        shutil.rmtree(folder)
