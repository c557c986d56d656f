"""The configured ledger: made by who begins a run, and never by who only looks."""

from __future__ import annotations

from pathlib import Path

import pytest
from money_builders import SetClock

from tidemark.config import load_config
from tidemark.errors import ForeignLedger, LedgerError
from tidemark.money.installation import FILE
from tidemark.money.opening import open_ledger


def test_looking_makes_neither_a_ledger_nor_an_id(tmp_path: Path) -> None:
    config = load_config({"TIDEMARK_HOME": str(tmp_path / "home")}, tmp_path)
    with pytest.raises(LedgerError, match="is not there"):
        open_ledger(config, SetClock(), create=False)
    assert not config.home.exists()
    made = open_ledger(config, SetClock(), create=True)
    assert (config.home / FILE).read_text().strip() == made.installation
    assert open_ledger(config, SetClock(), create=False).installation == made.installation


def test_the_configured_id_goes_before_the_kept_one(tmp_path: Path) -> None:
    environ = {"TIDEMARK_HOME": str(tmp_path / "home")}
    made = open_ledger(load_config(environ, tmp_path), SetClock(), create=True)
    other = load_config({**environ, "TIDEMARK_INSTALLATION": "lab1"}, tmp_path)
    with pytest.raises(ForeignLedger, match=f"belongs to installation {made.installation}"):
        open_ledger(other, SetClock(), create=True)
