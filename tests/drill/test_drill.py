"""A sample of the drill: the whole of it is `make drill-sweep`."""

from pathlib import Path

import pytest
from drill import Place, prepared


@pytest.mark.timeout(600)
def test_a_round_survives_being_interrupted(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "results"), {}, None, None, "")
    with prepared(tmp_path / "drill", seed=20261121) as drill:
        drill.round("night", place, ["kill both", "tidemark cancel"])
    assert sum(drill.shown.values()) >= 1
