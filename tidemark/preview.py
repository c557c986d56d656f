"""What a plan would do, before anything is started: its cells, their longest time, what to mend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tidemark.errors import TidemarkError
from tidemark.history.report import escape_markdown
from tidemark.plan.cells import Cell
from tidemark.plan.estimate import CellEstimate, Estimate, estimate
from tidemark.plan.sweep import SweepPlan, plan_hash
from tidemark.results.layout import encoded_model

__all__ = ["COLUMNS", "Preview", "duration_text", "failures"]

COLUMNS = ("cell", "scenario", "level", "repeat", "requests", "at most")


def failures(checks: Iterable[Callable[[], object]]) -> tuple[str, ...]:
    """What stands against a run: the errors of the checks that fail, in sentences."""
    found = []
    for check in checks:
        try:
            check()
        except TidemarkError as error:
            found.append(str(error))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A plan looked at. `store` is where results would go; `notes` are worth knowing, `to_mend`
    stands against a run. `about_s` is what the cells should take, in seconds, once the service
    was asked."""

    plan: SweepPlan
    cells: Sequence[Cell]
    store: str
    notes: Sequence[str] = ()
    to_mend: Sequence[str] = ()
    about_s: float | None = None

    @property
    def _bound(self) -> Estimate:
        return estimate(self.plan)

    @property
    def estimates(self) -> tuple[CellEstimate, ...]:
        """The longest time of each cell."""
        return tuple(one for one in self._bound.cells if one.cell in self.cells)

    @property
    def at_most_s(self) -> float:
        """The longest time of all cells and the warm-up, in seconds."""
        return self._bound.warmup_s + sum(one.total_s for one in self.estimates)

    def rows(self) -> list[tuple[str, ...]]:
        """The cells as text, in the order of COLUMNS."""
        by_batch = len(self.plan.batch_sizes) > 1
        return [
            (
                one.cell.cell_id[:12],
                one.cell.scenario,
                str(one.cell.batch_size if by_batch else one.cell.concurrency),
                str(one.cell.repeat_idx + 1),
                str(self.plan.limits.requests_at(one.cell.concurrency)),
                duration_text(one.total_s),
            )
            for one in self.estimates
        ]

    def facts(self) -> list[tuple[str, str]]:
        """What there is to say besides the cells: (label, text), lines of one label together."""
        plan = self.plan
        service = plan.endpoint.inference_service
        by_name = f"InferenceService {service.namespace}/{service.name}" if service else "not given"
        facts = [
            ("endpoint", plan.endpoint.url or by_name),
            ("task", f"{plan.task} by {plan.engine.name} {plan.engine.version}"),
            (
                "at most",
                f"{duration_text(self.at_most_s)}, with the warm-up; usually much less",
            ),
        ]
        if self.about_s is not None:
            facts.append(("about", f"{duration_text(self.about_s)}, by one request that was sent"))
        facts += [("writes", text) for text in (self.store, *self.writes())]
        return [*facts, ("plan hash", plan_hash(plan))]

    def writes(self) -> list[str]:
        """Which parts would be written below the store's root."""
        count = len(self.cells)
        model = self.plan.endpoint.model
        where = f"model={encoded_model(model) if model else '…'}/date=…"
        return [
            f"cells/{where}  {count} parts",
            f"requests/{where}  {count} parts",
            f"raw/<cell>/<attempt>/  {count} folders",
            "runs/date=…  1 part, manifests/  1 file",
        ]

    def document(self) -> dict[str, Any]:
        """All of it as JSON values; times in seconds."""
        return {
            "plan_hash": plan_hash(self.plan),
            "plan": self.plan.model_dump(mode="json"),
            "store": self.store,
            "at_most_s": self.at_most_s,
            "cells": [
                {
                    "cell_id": one.cell.cell_id,
                    "scenario": one.cell.scenario,
                    "concurrency": one.cell.concurrency,
                    "batch_size": one.cell.batch_size,
                    "repeat_idx": one.cell.repeat_idx,
                    "at_most_s": one.total_s,
                }
                for one in self.estimates
            ],
            "writes": self.writes(),
            "warnings": [*self.notes],
            "to_mend": [*self.to_mend],
        }

    def markdown(self) -> str:
        """All of it as a page."""
        lines = [f"# {escape_markdown(self.plan.name or 'What this sweep would do')}", ""]
        if self.to_mend:
            lines += ["## To mend before it can run", ""]
            lines += [f"- {escape_markdown(text)}" for text in self.to_mend] + [""]
        else:
            lines += ["Everything was checked. **Nothing was started.**", ""]
        lines += ["| | |", "|---|---|"]
        said = ""
        for label, text in self.facts():
            lines.append(f"| {label if label != said else ''} | {escape_markdown(text)} |")
            said = label
        if self.notes:
            lines += [
                "",
                "## Worth knowing",
                "",
                *(f"- {escape_markdown(text)}" for text in self.notes),
            ]
        lines += ["", f"## Cells ({len(self.cells)})", ""]
        lines += [f"| {' | '.join(COLUMNS)} |", "|---|---|--:|--:|--:|--:|"]
        lines += [f"| {' | '.join(map(escape_markdown, row))} |" for row in self.rows()]
        return "\n".join(lines) + "\n"


def duration_text(seconds: float) -> str:
    """A duration as people say it: seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
