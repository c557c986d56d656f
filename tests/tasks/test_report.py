"""What a run came to, from its cells."""

import pytest

from tasks.report import conclude


def cell(validity: str, needs_attention: bool = False) -> dict[str, object]:
    return {"validity": validity, "needs_attention": needs_attention}


GOOD, BAD, OPEN = cell("valid"), cell("invalid"), cell("inconclusive")


@pytest.mark.parametrize(
    ("cells", "planned", "outcome", "exit_status"),
    [
        ([GOOD, GOOD], 2, "complete", 0),
        ([GOOD, BAD], 2, "partial", 3),
        ([GOOD, cell("valid", needs_attention=True)], 2, "partial", 3),
        ([GOOD], 2, "partial", 3),
        ([GOOD, OPEN], 2, "inconclusive", 4),
        ([BAD, BAD], 2, "failed", 1),
        ([], 2, "failed", 1),
    ],
)
def test_the_outcome_and_the_exit_status(
    cells: list[dict[str, object]], planned: int, outcome: str, exit_status: int
) -> None:
    assert conclude(cells, planned) == (outcome, exit_status)
