"""Prefect's own standards for blocks, and what is ours beyond them."""

import pytest
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites import BlockStandardTestSuite
from prefect.utilities.schema_tools.validation import is_valid

from blocks import InferenceEndpoint, ResultStore

BLOCKS = [InferenceEndpoint, ResultStore]


@pytest.mark.parametrize("block", BLOCKS)
class TestBlocks(BlockStandardTestSuite):
    @pytest.fixture
    def block(self, request: pytest.FixtureRequest) -> type[Block]:
        found: type[Block] = request.param
        return found

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        """The picture itself is not fetched: tests need no network."""
        assert str(block._logo_url).startswith("https://")
        assert str(block._logo_url).endswith(".png")


@pytest.mark.parametrize("block", BLOCKS)
def test_a_form_can_leave_empty_what_is_optional(block: type[Block]) -> None:
    fields = block.model_json_schema()["properties"]
    for name, field in fields.items():
        assert field["title"], name
        assert {"type": "null"} not in field.get("anyOf", []) or "$ref" in field["anyOf"][0], name


def test_a_store_in_the_form_needs_a_location_only() -> None:
    schema = ResultStore.model_json_schema()
    assert is_valid({"uri": "/data"}, schema)
    assert not is_valid({"s3": {"region": "eu"}}, schema)
    assert not is_valid({"uri": "s3://b/p", "s3": {"sse": "aes"}}, schema)
