"""A job's run with a fault at every point where it meets the world.

    python tests/drill/dlc_drill.py [--minutes 60] [--directory DIR] [--only POINT:FAULT]
                                    [--sample N --seed S]

First a run without faults is recorded: each call to the cloud, each transaction of the ledger, each
operation on the store and each call to Prefect is a point. Then the same run is made again for each
point and each fault, the process is left dead or alive as it is, the reaper comes by once, and the
run is gone on with. What has been shown is in `DIR/cases.jsonl`; the same command goes on from
there. Exit status: 0 all held, 1 something did not, 4 the time was up before all was shown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from dlc_cases import Case, Outcome, Range, drilled
from dlc_points import FAULTS, Point

__all__ = ["enumerate_cases", "play_all", "record", "table"]

UNFINISHED = 4


async def record(place: Range) -> list[Point]:
    """The points of a run without faults; from the last recording if there is one."""
    file = place.folder / "points.json"
    if file.exists():
        return [Point.of(text) for text in json.loads(file.read_text("utf-8"))]
    outcome = await place.play(Case())
    if outcome.problems:
        raise SystemExit(f"without a fault: {outcome.problems}; see {place.folder}/cases")
    points = outcome.told["points"]
    file.write_text(json.dumps(points, indent=0), "utf-8")
    return [Point.of(text) for text in points]


def enumerate_cases(points: Sequence[Point]) -> list[Case]:
    """Each fault at each point."""
    return [Case(point, fault) for point in dict.fromkeys(points) for fault in FAULTS]


async def play_all(
    place: Range, cases: Sequence[Case], *, until_s: float, at_once: int = 2
) -> list[Outcome]:
    """Play the cases that have not been played, until a moment of `time.monotonic`, and answer all
    that have been."""
    file = place.folder / "cases.jsonl"
    done = _read(file)
    left = iter([case for case in cases if str(case) not in done])

    async def work() -> None:
        for case in left:
            if time.monotonic() > until_s:
                return
            outcome = await place.play(case)
            if outcome.missed:
                outcome = await place.play(case)
            done[outcome.case] = outcome
            with file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(outcome)) + "\n")
            if outcome.problems:
                print(f"{outcome.case}: {outcome.problems}", flush=True)

    await asyncio.gather(*(work() for _ in range(at_once)))
    return [done[str(case)] for case in cases if str(case) in done]


def _read(file: Path) -> dict[str, Outcome]:
    done = {}
    for line in file.read_text("utf-8").splitlines() if file.exists() else []:
        try:
            outcome = Outcome(**json.loads(line))
        except (ValueError, TypeError):
            continue  # cut short when the drill was ended
        done[outcome.case] = outcome
    return done


def table(outcomes: Sequence[Outcome]) -> str:
    """Kinds of points and faults: how many cases passed, of how many."""
    cells: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        case = Case.of(outcome.case)
        assert case.point is not None
        assert case.fault is not None
        for row in (case.point.kind, "all"):
            for column in (str(case.fault), "all"):
                cells.setdefault((row, column), []).append(outcome)
    kinds = [*dict.fromkeys(row for row, _ in cells if row != "all"), "all"]
    columns = [*map(str, FAULTS), "all"]
    lines = [["", *columns]]
    for kind in kinds:
        line = [kind]
        for column in columns:
            found = [one for one in cells.get((kind, column), []) if not one.missed]
            line.append(f"{sum(one.passed for one in found)}/{len(found)}")
        lines.append(line)
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def report(outcomes: Sequence[Outcome], planned: int, directory: Path) -> int:
    """Print the table and each failure; answers the exit status."""
    print(table(outcomes))
    failed = [one for one in outcomes if one.problems]
    missed = [one for one in outcomes if one.missed]
    for one in failed:
        print(f"\nFAILED {one.case}")
        for problem in one.problems:
            print(f"  {problem}")
        print(
            f"  again: python tests/drill/dlc_drill.py --directory {directory} --only '{one.case}'"
        )
    if missed:
        print(f"\n{len(missed)} faults never came: the run went another way before")
    if failed:
        return 1
    if len(outcomes) < planned:
        print(f"\n{len(outcomes)} of {planned} cases: the time is up; the same command goes on")
        return UNFINISHED
    print(
        f"\n{len(outcomes)} cases: nothing of ours runs on, everything of others does, no attempt "
        "had two jobs, no result is lost, and no bill is above its quote"
    )
    return 0


async def drill(given: argparse.Namespace) -> int:
    """Do what the command line says."""
    directory = given.directory.absolute()
    until_s = time.monotonic() + 60 * given.minutes
    async with drilled(directory, at_once=given.at_once) as place:
        if given.only:
            case = Case.of(given.only)
            outcome = await place.play(case, keep=True)
            print(json.dumps(asdict(outcome), indent=2))
            return 1 if outcome.problems else 0
        points = await record(place)
        cases = enumerate_cases(points)
        print(f"{len(points)} points, {len(cases)} cases", flush=True)
        random.Random(given.seed).shuffle(cases)
        cases = cases[: given.sample]
        outcomes = await play_all(place, cases, until_s=until_s, at_once=given.at_once)
    return report(outcomes, len(cases), directory)


def _main() -> int:
    parser = argparse.ArgumentParser(description="A job's run with a fault at every point.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--directory", type=Path, default=Path("drill-dlc"))
    parser.add_argument("--only", metavar="POINT:FAULT", help="one case, as it is printed")
    parser.add_argument("--sample", type=int, help="so many cases, drawn by --seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--anew", action="store_true", help="forget what has been shown")
    given = parser.parse_args()
    if given.anew:
        shutil.rmtree(given.directory, ignore_errors=True)
    return asyncio.run(drill(given))


if __name__ == "__main__":
    sys.exit(_main())
