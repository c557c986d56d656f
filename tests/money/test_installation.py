"""The id of an installation is made once and kept."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tidemark.errors import ConfigError
from tidemark.money.installation import FILE, read_or_make


def test_an_id_is_made_once(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    made = read_or_make(home)
    assert len(made) == 12
    assert made.isalnum()
    assert read_or_make(home) == made
    assert stat.S_IMODE((home / FILE).stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == [FILE]
    assert read_or_make(tmp_path / "other") != made


def test_all_who_come_first_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(read_or_make, [tmp_path / "home"] * 32))) == 1


@pytest.mark.parametrize("text", ["", "Our Lab", "a", "x" * 33, "abcd\nefgh"])
def test_what_is_no_id_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ConfigError, match="holds no id of an installation"):
        read_or_make(tmp_path)
    assert (tmp_path / FILE).read_text() == text


def test_a_home_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(ConfigError, match="cannot be kept"):
        read_or_make(tmp_path / "home")
    (tmp_path / FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="it is no text"):
        read_or_make(tmp_path)
