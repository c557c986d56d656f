"""The tokenizer made on demand, and prompts counted with it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tidemark.errors import ConfigError
from tidemark.simulator.chunks import WORDS, text
from tidemark.simulator.tokenizer import build_tokenizer, main

PROSE = """When the harbour lights were lit, the old captain walked down to the quay and
looked at the water for a long while. The wind had turned to the west, and the boats that
lay in a row along the wall were pulling softly at their ropes. "If we leave before the
morning," he said to the boy beside him, "we shall be across before anybody notices."
"""


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def tokenizer(directory: Path) -> Tokenizer:
    return Tokenizer.from_file(str(directory / "tokenizer.json"))


def test_english_has_three_to_five_characters_a_token(tokenizer: Tokenizer) -> None:
    assert 3 <= len(PROSE) / len(tokenizer.encode(PROSE).ids) <= 5


@settings(max_examples=50)
@given(said=st.text())
def test_any_text_makes_the_round_trip(tokenizer: Tokenizer, said: str) -> None:
    assert tokenizer.decode(tokenizer.encode(said).ids) == said


def test_what_the_endpoint_says_has_as_many_tokens_as_it_counts(tokenizer: Tokenizer) -> None:
    assert {len(tokenizer.encode(word).ids) for word in WORDS} == {1}
    assert len(tokenizer.encode(text(5, 100)).ids) == 100


def test_it_is_the_same_each_time(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "again")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "again")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (directory / name).read_bytes()


def test_a_place_that_cannot_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write the tokenizer"):
        build_tokenizer(tmp_path / "file")
    assert main([str(tmp_path / "file")]) == 2
    assert "cannot write the tokenizer" in capsys.readouterr().err


async def test_prompts_are_counted_with_the_tokenizer(
    start: Any, directory: Path, tokenizer: Tokenizer
) -> None:
    endpoint = await start(tokenizer=directory)
    expected = len(tokenizer.encode(PROSE).ids)
    parts = [{"type": "text", "text": PROSE}, {"type": "image_url", "image_url": {"url": "x"}}]
    messages = [{"role": "system", "content": PROSE}, {"role": "user", "content": parts}]
    # Asked twice: the second comes from what is known already.
    for _ in range(2):
        seen = await endpoint.stream(messages=messages)
        assert seen.usage["prompt_tokens"] == 2 * expected
        assert seen.usage["counted_by"] == "tokenizer"
    assert (await endpoint.truth())["prompt_tokens_counted_by"] == "tokenizer"


async def test_a_count_that_takes_longer_than_the_answer_is_waited_for(
    start: Any, directory: Path, tokenizer: Tokenizer
) -> None:
    endpoint = await start(tokenizer=directory)
    # Long enough that a one-token answer is due long before the count is there.
    prompt = PROSE * 2000
    asked = endpoint.stream("/v1/completions", prompt=prompt, max_tokens=1)
    other = endpoint.stream(max_tokens=40)
    seen, beside = await asyncio.gather(asked, other)
    assert seen.usage["prompt_tokens"] == len(tokenizer.encode(prompt).ids)
    assert len(beside.content) == 40
    embedded = await endpoint.client.post("/v1/embeddings", json={"model": "e", "input": prompt})
    assert embedded.json()["usage"]["prompt_tokens"] == seen.usage["prompt_tokens"]


async def test_a_directory_without_a_tokenizer_is_refused(start: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no usable tokenizer"):
        await start(tokenizer=tmp_path)
