"""How many tokens a prompt has, found without holding up the streams."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from tidemark.errors import ConfigError

CACHE_ENTRIES = 4096


class PromptCount:
    """A count that may still be on its way: `tokens` is None until it is there."""

    __slots__ = ("tokens",)

    def __init__(self, tokens: int | None = None) -> None:
        self.tokens = tokens


class PromptCounter(Protocol):
    """Counts the tokens of prompts; `name` says how, and goes out with each usage."""

    name: str

    def count(self, texts: tuple[str, ...], token_ids: int) -> PromptCount:
        """Begin to count; `token_ids` tokens came as numbers and are added."""

    def close(self) -> None:
        """Count nothing more."""


class WordEstimate:
    """Four tokens for three words: what English text has, roughly, with common tokenizers."""

    name = "word_estimate"

    def count(self, texts: tuple[str, ...], token_ids: int) -> PromptCount:
        words = sum(len(text.split()) for text in texts)
        return PromptCount(-(-words * 4 // 3) + token_ids)

    def close(self) -> None:
        return


class TokenizerCount:
    """Counts with a tokenizer, in a thread: encoding releases the interpreter's lock.

    No chat template is applied and no special tokens are added: what is counted
    is the text of the messages. Counts are kept by the hash of the text, because
    a benchmark sends the same prefix or prompt again.

    Raises ConfigError when the directory holds no usable tokenizer.json.
    """

    name = "tokenizer"

    def __init__(self, directory: Path) -> None:
        from tokenizers import Tokenizer

        file = directory / "tokenizer.json"
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(file))
        except Exception as error:  # tokenizers raises bare Exception for all its reasons
            raise ConfigError(
                f"no usable tokenizer: {error}", str(file), "Give a directory with tokenizer.json"
            ) from error
        self._tokenizer.no_truncation()
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokenizer")
        self._known: dict[int, int] = {}

    def count(self, texts: tuple[str, ...], token_ids: int) -> PromptCount:
        key = hash(texts)
        known = self._known.get(key)
        if known is not None:
            return PromptCount(known + token_ids)
        result = PromptCount()
        loop = asyncio.get_running_loop()
        counted = loop.run_in_executor(self._threads, self._encode, texts)

        def arrived(future: asyncio.Future[int]) -> None:
            if future.cancelled():
                return
            if len(self._known) >= CACHE_ENTRIES:
                self._known.clear()
            self._known[key] = future.result()
            result.tokens = future.result() + token_ids

        counted.add_done_callback(arrived)
        return result

    def _encode(self, texts: tuple[str, ...]) -> int:
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return sum(len(one.ids) for one in encoded)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def prompt_counter(tokenizer: Path | None) -> PromptCounter:
    """Count with the tokenizer of a directory, or estimate by words if there is none."""
    return WordEstimate() if tokenizer is None else TokenizerCount(tokenizer)
