"""What the endpoint says: the words of its answers, and the bytes that carry them.

The bytes of a stream's chunks are made once per request, before the first token
is due, so that sending a token is no more than a write.
"""

from __future__ import annotations

import base64
import json
import struct
from typing import Literal

from tidemark.simulator.http_messages import chunk

StreamKind = Literal["chat", "completion"]

# Each is one token of the tokenizer this package builds, so that counting an
# answer's text with it gives the number of tokens that were sent.
WORDS = (
    " the", " tide", " comes", " in", " and", " goes", " out", " again",
    " with", " the", " moon", " over", " the", " water", " at", " night",
)  # fmt: skip

_MARK = "words-go-here"
DONE = b"data: [DONE]\n\n"


def text(first_token: int, tokens: int) -> str:
    """The words of tokens `first_token` to `first_token + tokens - 1`."""
    size = len(WORDS)
    return "".join(WORDS[index % size] for index in range(first_token, first_token + tokens))


class ChunkMaker:
    """The events of one stream, as bytes ready to be written."""

    def __init__(
        self, *, kind: StreamKind, request_id: str, created: int, model: str, chunked: bool
    ) -> None:
        self._kind = kind
        self._chunked = chunked
        self._base = {
            "id": request_id,
            "object": "chat.completion.chunk" if kind == "chat" else "text_completion",
            "created": created,
            "model": model,
        }
        self._around: dict[bool, tuple[str, str]] = {}

    def _event(self, document: dict[str, object]) -> bytes:
        return self.raw(b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n")

    def raw(self, data: bytes) -> bytes:
        """Bytes as they go on the wire, framed as an HTTP chunk if the stream is chunked."""
        return chunk(data) if self._chunked else data

    def _choice(self, part: dict[str, str], finish_reason: str | None) -> bytes:
        return self._event(self._document(part, finish_reason))

    def _document(self, part: dict[str, str], finish_reason: str | None) -> dict[str, object]:
        said: dict[str, object] = (
            {"delta": part} if self._kind == "chat" else {"text": part.get("content", "")}
        )
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish_reason}
        return {**self._base, "choices": [choice]}

    def role(self) -> bytes:
        """The event that opens a chat stream, with a role and no content; empty otherwise."""
        if self._kind != "chat":
            return b""
        return self._choice({"role": "assistant", "content": ""}, None)

    def content(self, first_token: int, tokens: int, reasoning: bool) -> bytes:
        """The event that carries these tokens."""
        around = self._around.get(reasoning)
        if around is None:
            field = "reasoning_content" if reasoning and self._kind == "chat" else "content"
            document = self._document({field: _MARK}, None)
            before, _, after = json.dumps(document, separators=(",", ":")).rpartition(_MARK)
            around = self._around[reasoning] = (f"data: {before}", f"{after}\n\n")
        # The words need no escaping, so each event is its text between two constants.
        return self.raw(f"{around[0]}{text(first_token, tokens)}{around[1]}".encode())

    def finish(self, reason: str) -> bytes:
        """The event that says why the answer ends."""
        return self._choice({}, reason)

    def usage(self, usage: dict[str, object]) -> bytes:
        """The event with the token counts, which has no choices."""
        return self._event({**self._base, "choices": [], "usage": usage})

    def error(self, message: str, code: int) -> bytes:
        """An error inside a stream that had begun well, as vLLM sends it."""
        kind = "server_error" if code >= 500 else "invalid_request_error"
        return self._event({"error": {"message": message, "type": kind, "code": code}})

    def garbage(self) -> bytes:
        """An event whose data is cut off in the middle of its JSON."""
        return self.raw(
            b'data: {"id": "' + str(self._base["id"]).encode() + b'", "choices": [{"de\n\n'
        )


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
