"""What a round already has: cells that need not be measured again, and cells only to be judged."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from tidemark.errors import ConfigError, StoreError
from tidemark.plan.cells import Cell
from tidemark.results.record import Evidence
from tidemark.results.store import Store
from tidemark.results.tables import Row

__all__ = ["CellKey", "Found", "check_round", "look_up"]

LONGEST_NAME = 200

_logger = logging.getLogger(__name__)

CellKey = tuple[str, int]
"""A cell of a plan and the repeat: `(cell_id, repeat_idx)`."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of some cells.

    `reusable` holds the row of a finished valid attempt for each cell that has one, `unjudged`
    the attempts of the round whose raw output was kept and that no run lived to judge.
    """

    reusable: dict[CellKey, Row]
    unjudged: tuple[Evidence, ...]

    @property
    def measured(self) -> set[CellKey]:
        """The cells that need no measuring: valid, or measured to the end and not yet judged."""
        whole = {
            (evidence.attempt.cell.cell_id, evidence.attempt.cell.repeat_idx)
            for evidence in self.unjudged
            if not evidence.engine_context.get("failure")
        }
        return whole | set(self.reusable)


def check_round(name: str) -> None:
    """See that a round can be called so. Raises ConfigError."""
    remedy = f"Name it with 1 to {LONGEST_NAME} printable characters, such as 2026-11-21"
    if not name.strip():
        raise ConfigError("the name of the round is empty", "round", remedy)
    if len(name) > LONGEST_NAME:
        raise ConfigError(f"the name of the round has {len(name)} characters", "round", remedy)
    if not name.isprintable():
        raise ConfigError("the name of the round has control characters", "round", remedy)


def look_up(store: Store, cells: Sequence[Cell], round: str, *, any_round: bool = False) -> Found:
    """What a store has of these cells: of one round, or valid ones of any round.

    What is damaged, a raw folder or a row, is left alone, and its cell measured again.
    """
    wanted = {(cell.cell_id, cell.repeat_idx) for cell in cells}
    rows = store.find_cells({cell_id for cell_id, _ in wanted}, None if any_round else round)
    reusable: dict[CellKey, Row] = {}
    for row in rows:
        key = (row["cell_id"], row["repeat_idx"])
        mine = reusable.get(key, {}).get("round") == round
        if key in wanted and row["validity"] == "valid" and (row["round"] == round or not mine):
            reusable[key] = row
    judged = store.judged({cell_id for cell_id, _ in wanted})
    return Found(reusable, tuple(_unjudged(store, wanted, round, judged)))


def _unjudged(
    store: Store, wanted: set[CellKey], round: str, judged: set[tuple[str, str]]
) -> list[Evidence]:
    found = []
    for cell_id in sorted({cell_id for cell_id, _ in wanted}):
        for attempt_id in store.attempts(cell_id):
            if (cell_id, attempt_id) in judged:
                continue
            try:
                evidence = store.evidence(cell_id, attempt_id)
            except StoreError as error:
                _logger.warning("left alone: %s", error)
                continue
            key = (cell_id, evidence.attempt.cell.repeat_idx)
            if evidence.run.round == round and key in wanted:
                found.append(evidence)
    return sorted(found, key=lambda evidence: evidence.attempt.created_at)
