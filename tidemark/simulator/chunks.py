"""What the endpoint says: the words of its answers, and the bytes that carry them.

The bytes of a stream's events are made before the first token is due, and mostly
taken over from earlier streams, so that sending a token is no more than a write.
"""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from tidemark.simulator.http_messages import LAST_CHUNK, chunk

StreamKind = Literal["chat", "completion"]

# Each is one token of the tokenizer this package builds, so that counting an
# answer's text with it gives the number of tokens that were sent.
WORDS = (
    " the", " tide", " comes", " in", " and", " goes", " out", " again",
    " with", " the", " moon", " over", " the", " water", " at", " night",
)  # fmt: skip

DONE = b"data: [DONE]\n\n"


def text(first_token: int, tokens: int) -> str:
    """The words of tokens `first_token` to `first_token + tokens - 1`."""
    size = len(WORDS)
    return "".join(WORDS[index % size] for index in range(first_token, first_token + tokens))


@dataclass(frozen=True, slots=True)
class StreamShape:
    """What the events of streams have in common, so that their bytes are made once.

    chunked: whether events are framed as HTTP chunks.
    """

    kind: StreamKind
    model: str
    chunked: bool

    def frame(self, data: bytes) -> bytes:
        """Bytes as they go on the wire."""
        return chunk(data) if self.chunked else data

    def event(self, fields: dict[str, object], identity: bytes) -> bytes:
        """A framed event: the identity of a stream, and these fields."""
        name = "chat.completion.chunk" if self.kind == "chat" else "text_completion"
        document = json.dumps(
            {"object": name, "model": self.model, **fields}, separators=(",", ":")
        ).encode()
        return self.frame(b"data: {%s,%s\n\n" % (identity, document[1:]))

    def choice(self, said: dict[str, str], finish_reason: str | None, identity: bytes) -> bytes:
        """A framed event with a choice."""
        part: dict[str, object] = (
            {"delta": said} if self.kind == "chat" else {"text": said.get("content", "")}
        )
        choice = {"index": 0, **part, "logprobs": None, "finish_reason": finish_reason}
        return self.event({"choices": [choice]}, identity)


def identity(request_id: str, created: int) -> bytes:
    """The part of an event that tells one stream from another."""
    return b'"id":"%s","created":%d' % (request_id.encode(), created)


@lru_cache(maxsize=64)
def _templates(
    shape: StreamShape, contents: tuple[tuple[int, int, bool], ...], identity: bytes
) -> tuple[bytes, ...]:
    """The opening event (empty unless it is a chat), then one event per content."""
    events = [b""]
    if shape.kind == "chat":
        events = [shape.choice({"role": "assistant", "content": ""}, None, identity)]
    for first_token, tokens, reasoning in contents:
        field = "reasoning_content" if reasoning and shape.kind == "chat" else "content"
        events.append(shape.choice({field: text(first_token, tokens)}, None, identity))
    return tuple(events)


class ChunkMaker:
    """The events of one stream, as bytes ready to be written.

    Ids of a kind are of one length, so an event of another stream becomes one of
    this stream by putting its id in the place of the other's: the length of the
    HTTP chunk stays right.
    """

    def __init__(self, shape: StreamShape, request_id: str, created: int) -> None:
        self._shape = shape
        self._identity = identity(request_id, created)
        prefix, _, digits = request_id.rpartition("-")
        self._mark = identity(f"{prefix}-{'0' * len(digits)}", 10 ** (len(str(created)) - 1))

    def contents(self, contents: tuple[tuple[int, int, bool], ...]) -> tuple[bytes, list[bytes]]:
        """The opening event (a chat's role), and one event for each content.

        A content is its first token, its number of tokens, and whether they are
        reasoning.
        """
        mark, own = self._mark, self._identity
        made = [one.replace(mark, own) for one in _templates(self._shape, contents, mark)]
        return made[0], made[1:]

    def finish(self, reason: str) -> bytes:
        """The event that says why the answer ends."""
        return self._shape.choice({}, reason, self._identity)

    def usage(self, usage: dict[str, object]) -> bytes:
        """The event with the token counts, which has no choices."""
        return self._shape.event({"choices": [], "usage": usage}, self._identity)

    def error(self, message: str, code: int) -> bytes:
        """An error inside a stream that had begun well, as vLLM sends it."""
        kind = "server_error" if code >= 500 else "invalid_request_error"
        error = {"message": message, "type": kind, "param": None, "code": code}
        return self._shape.frame(b"data: %s\n\n" % json.dumps({"error": error}).encode())

    def garbage(self) -> bytes:
        """An event whose data is cut off in the middle of its JSON."""
        return self._shape.frame(b'data: {%s,"choices":[{"de\n\n' % self._identity)

    def done(self) -> bytes:
        """The end of the stream."""
        return self._shape.frame(DONE) + (LAST_CHUNK if self._shape.chunked else b"")


def usage(
    *, prompt_tokens: int, counted_by: str, output_tokens: int, reasoning_tokens: int
) -> dict[str, object]:
    """Token counts as the OpenAI API reports them.

    `counted_by`, which that API does not have, says how the prompt was counted.
    """
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": prompt_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning_tokens},
        "counted_by": counted_by,
    }


def whole_answer(
    *,
    kind: StreamKind,
    request_id: str,
    created: int,
    model: str,
    output_tokens: int,
    reasoning_tokens: int,
    finish_reason: str,
    usage: dict[str, object] | None,
) -> bytes:
    """The JSON of an answer that is not streamed."""
    said = text(reasoning_tokens, output_tokens - reasoning_tokens)
    choice: dict[str, object] = {"index": 0, "logprobs": None, "finish_reason": finish_reason}
    if kind == "chat":
        message: dict[str, object] = {"role": "assistant", "content": said}
        if reasoning_tokens:
            message["reasoning_content"] = text(0, reasoning_tokens)
        choice["message"] = message
    else:
        choice["text"] = text(0, output_tokens)
    document: dict[str, object] = {
        "id": request_id,
        "object": "chat.completion" if kind == "chat" else "text_completion",
        "created": created,
        "model": model,
        "choices": [choice],
    }
    if usage is not None:
        document["usage"] = usage
    return json.dumps(document).encode()


def embeddings(
    *, model: str, inputs: int, dimensions: int, as_base64: bool, usage: dict[str, object] | None
) -> bytes:
    """The JSON of an embeddings answer: unit vectors, the same for the same position."""
    data: list[dict[str, object]] = []
    for index in range(inputs):
        vector = [0.0] * dimensions
        vector[index % dimensions] = 1.0
        packed = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
        data.append(
            {"object": "embedding", "index": index, "embedding": packed if as_base64 else vector}
        )
    document: dict[str, object] = {"object": "list", "data": data, "model": model}
    if usage is not None:
        document["usage"] = usage
    return json.dumps(document).encode()


def ranking(
    *, request_id: str, model: str, documents: tuple[str, ...], usage: dict[str, object] | None
) -> bytes:
    """The JSON of a rerank answer: the documents in the order given, with falling scores."""
    results = [
        {"index": index, "document": {"text": said}, "relevance_score": 1 / (index + 1)}
        for index, said in enumerate(documents)
    ]
    document: dict[str, object] = {"id": request_id, "model": model, "results": results}
    if usage is not None:
        document["usage"] = usage
    return json.dumps(document).encode()
