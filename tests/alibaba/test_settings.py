"""What is configured for PAI, and where it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemark.config import load_config
from tidemark.errors import ConfigError


def test_the_region_is_ours_then_the_official_variable_then_the_default(tmp_path: Path) -> None:
    assert load_config({}, tmp_path).region == "cn-hangzhou"
    official = {"ALIBABA_CLOUD_REGION_ID": "cn-beijing"}
    found = load_config(official, tmp_path)
    assert (found.region, found.origins["region"]) == ("cn-beijing", "ALIBABA_CLOUD_REGION_ID")
    assert load_config({**official, "TIDEMARK_REGION": "cn-shanghai"}, tmp_path).region == (
        "cn-shanghai"
    )
    (tmp_path / "tidemark.toml").write_text('region = "us-west-1"\npai_calls_per_s = 5\n')
    found = load_config(official, tmp_path)
    assert (found.region, found.pai_calls_per_s) == ("us-west-1", 5.0)


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("TIDEMARK_NETWORK", "vcp", "public nor vpc"),
        ("TIDEMARK_PAI_CALLS_PER_S", "fast", "no number above 0"),
        ("TIDEMARK_PAI_CALLS_PER_S", "0", "no number above 0"),
        ("TIDEMARK_REGOIN", "x", "Did you mean TIDEMARK_REGION"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    tmp_path: Path, variable: str, value: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=hint):
        load_config({variable: value}, tmp_path)
