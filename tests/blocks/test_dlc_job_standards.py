"""Prefect's own standards for the blocks of a job, and forms that say what they ask for."""

from __future__ import annotations

import pytest
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites import BlockStandardTestSuite

from blocks import AlibabaCloudCredentials, DlcJob, PaiWorkspace, SpendingPolicy

NEW = [AlibabaCloudCredentials, DlcJob, PaiWorkspace, SpendingPolicy]


@pytest.mark.parametrize("block", NEW)
class TestBlocks(BlockStandardTestSuite):
    @pytest.fixture
    def block(self, request: pytest.FixtureRequest) -> type[Block]:
        found: type[Block] = request.param
        return found

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        """The picture itself is not fetched: tests need no network."""
        assert str(block._logo_url).startswith("https://")
        assert str(block._logo_url).endswith(".png")


@pytest.mark.parametrize("block", NEW)
def test_every_field_says_what_it_is_to_a_person_with_a_form(block: type[Block]) -> None:
    for name, field in block.model_fields.items():
        assert field.title, name
        assert (field.description or "").endswith("."), name
        assert field.examples, name
    for name, shown in block.model_json_schema()["properties"].items():
        assert "position" in shown, name
        # What is optional can be left empty: groups are switched on and off.
        assert {"type": "null"} not in shown.get("anyOf", []), name
