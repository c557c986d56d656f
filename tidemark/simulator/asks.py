"""What a client asks for: the bodies of inference requests, checked.

The shapes are those of the OpenAI API (chat completions, completions,
embeddings) and of vLLM's rerank.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["chat", "completion", "embedding", "rerank"]

KINDS: dict[str, Kind] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completion",
    "/v1/embeddings": "embedding",
    "/v1/rerank": "rerank",
}
DIMENSIONS_LIMIT = 4096
MODEL_NAME_LIMIT = 512


class AskError(Exception):
    """A request body that is refused; `param` names the field, `status` is the HTTP status."""

    def __init__(
        self, message: str, param: str | None = None, *, status: int = 400, code: str | None = None
    ) -> None:
        super().__init__(message, param, status, code)
        self.message = message
        self.param = param
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Ask:
    """One inference request, as far as the answer depends on it.

    `texts` is all that is to be counted as prompt, `prompt_token_ids` how many
    tokens came as numbers. `output_tokens` is None when the client named no length.
    """

    kind: Kind
    model: str
    texts: tuple[str, ...]
    prompt_token_ids: int = 0
    stream: bool = False
    include_usage: bool = False
    output_tokens: int | None = None
    inputs: int = 1
    dimensions: int = 16
    as_base64: bool = False


def read_ask(kind: Kind, body: bytes) -> Ask:
    """Read and check a request body.

    Raises AskError with the name of the field that is wrong.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise AskError("The body is not valid JSON.") from None
    if not isinstance(document, dict):
        raise AskError("The body is not a JSON object.")
    model = document.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= MODEL_NAME_LIMIT:
        raise AskError(f"`model` must be a name of 1 to {MODEL_NAME_LIMIT} characters.", "model")
    if kind == "chat":
        return _generation(kind, model, document, _messages(document.get("messages")), 0)
    if kind == "completion":
        texts, token_ids = _prompt(document.get("prompt"))
        return _generation(kind, model, document, texts, token_ids)
    if kind == "embedding":
        return _embedding(model, document)
    return _rerank(model, document)


def _generation(
    kind: Kind, model: str, document: dict[str, Any], texts: tuple[str, ...], token_ids: int
) -> Ask:
    stream = _flag(document, "stream")
    options = document.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise AskError("`stream_options` must be an object.", "stream_options")
    if options is not None and not stream:
        raise AskError("`stream_options` needs `stream: true`.", "stream_options")
    if document.get("n") not in (None, 1):
        raise AskError("This endpoint gives one choice: `n` must be 1.", "n")
    newer = _count(document, "max_completion_tokens")
    older = _count(document, "max_tokens")
    return Ask(
        kind=kind,
        model=model,
        texts=texts,
        prompt_token_ids=token_ids,
        stream=stream,
        include_usage=_flag(options or {}, "include_usage"),
        output_tokens=newer if newer is not None else older,
    )


def _flag(document: dict[str, Any], name: str) -> bool:
    value = document.get(name)
    if value is not None and not isinstance(value, bool):
        raise AskError(f"`{name}` must be true or false.", name)
    return bool(value)


def _count(document: dict[str, Any], name: str) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise AskError(f"`{name}` must be a whole number of at least 1.", name)
    return value


def _messages(messages: object) -> tuple[str, ...]:
    if not isinstance(messages, list) or not messages:
        raise AskError("`messages` must be a list of at least one message.", "messages")
    texts: list[str] = []
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise AskError(f"`{where}` must be an object with a `role`.", where)
        content = message.get("content")
        if isinstance(content, str):
            texts.append(content)
        elif isinstance(content, list):
            texts += _parts(content, f"{where}.content")
        elif content is not None:
            raise AskError(f"`{where}.content` must be text or a list of parts.", where)
    return tuple(texts)


def _parts(parts: list[object], where: str) -> list[str]:
    texts: list[str] = []
    for part in parts:
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise AskError(f"A part of `{where}` must be an object with a `type`.", where)
        if part["type"] == "text":
            if not isinstance(part.get("text"), str):
                raise AskError(f"A text part of `{where}` must have a `text`.", where)
            texts.append(part["text"])
    return texts


def _prompt(prompt: object) -> tuple[tuple[str, ...], int]:
    if isinstance(prompt, str):
        return (prompt,), 0
    if isinstance(prompt, list) and prompt:
        if _is_token_ids(prompt):
            return (), len(prompt)
        if len(prompt) == 1 and isinstance(prompt[0], str):
            return (prompt[0],), 0
    raise AskError("`prompt` must be one text or a list of token ids.", "prompt")


def _is_token_ids(values: list[object]) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) for value in values)


def _embedding(model: str, document: dict[str, Any]) -> Ask:
    given = document.get("input")
    dimensions = _count(document, "dimensions") or 16
    if dimensions > DIMENSIONS_LIMIT:
        raise AskError(f"`dimensions` must be at most {DIMENSIONS_LIMIT}.", "dimensions")
    encoding = document.get("encoding_format")
    if encoding not in (None, "float", "base64"):
        raise AskError("`encoding_format` must be float or base64.", "encoding_format")
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list) or not given:
        raise AskError("`input` must be a text or a list of texts.", "input")
    texts: list[str] = []
    token_ids = 0
    inputs = len(given)
    if _is_token_ids(given):
        token_ids, inputs = len(given), 1
    else:
        for value in given:
            if isinstance(value, str):
                texts.append(value)
            elif isinstance(value, list) and value and _is_token_ids(value):
                token_ids += len(value)
            else:
                raise AskError("`input` must be a text or a list of texts.", "input")
    return Ask(
        kind="embedding",
        model=model,
        texts=tuple(texts),
        prompt_token_ids=token_ids,
        inputs=inputs,
        dimensions=dimensions,
        as_base64=encoding == "base64",
    )


def _rerank(model: str, document: dict[str, Any]) -> Ask:
    query, documents = document.get("query"), document.get("documents")
    if not isinstance(query, str):
        raise AskError("`query` must be a text.", "query")
    if (
        not isinstance(documents, list)
        or not documents
        or not all(isinstance(value, str) for value in documents)
    ):
        raise AskError("`documents` must be a list of texts.", "documents")
    return Ask(kind="rerank", model=model, texts=(query, *documents), inputs=len(documents))
