"""What `tidemark dlc` is told on its command line; what it does then is in tests/e2e."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tidemark.cli.asking import UpTo
from tidemark.errors import ConfigError

Command = Callable[..., Any]


@pytest.mark.parametrize("demo", [("demo",), ("dlc", "demo")])
def test_a_demo_in_a_folder_that_cannot_be_made_says_so(
    command: Command, tmp_path: Path, demo: tuple[str, ...]
) -> None:
    (tmp_path / "taken").write_text("")
    for folder in ("taken", "taken/below", "/proc/x"):
        said = command(*demo, "--directory", folder)
        assert (said.status, said.out) == (2, "")
        assert f"--directory {folder}: the folder cannot be made" in said.err


@pytest.mark.parametrize("text", ["5CNY", "5 cny", "5.00CNY"])
def test_a_sum_is_read(text: str) -> None:
    assert UpTo.of(text, "--up-to") == UpTo(Decimal(5), "CNY")


@pytest.mark.parametrize(
    "text",
    [
        "", "0CNY", "-5CNY", "CNY", "5 yuan", "1e3CNY", "5,5CNY", "nan", "9" * 5000 + "CNY",
        "5", "5_", "5_CNY", "5__0USD", "\uff15CNY", "\u0665CNY", "5\u0421NY",
    ],
)  # fmt: skip
def test_what_is_no_sum_with_a_currency_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no sum of money"):
        UpTo.of(text, "--up-to")
