"""The tasks that can be measured: their names, their paths, who can serve them.

Names and pairings are those of genai-bench 0.0.5 (`--task`, the `supported_tasks` of its
users, and its default traffic scenarios).
"""

from __future__ import annotations

from typing import Literal, get_args

__all__ = [
    "API_PATHS",
    "BATCH_TASKS",
    "DEFAULT_BATCH_SIZES",
    "DEFAULT_CONCURRENCY",
    "DEFAULT_SCENARIOS",
    "IMAGE_INPUT_TASKS",
    "STREAMED_TASKS",
    "TASKS",
    "TASK_SYNONYMS",
    "UNSUPPORTED_TASKS",
    "Dialect",
    "Task",
    "refused_for_dialect",
]

Task = Literal[
    "text-to-text",
    "image-text-to-text",
    "text-to-embeddings",
    "text-to-rerank",
    "text-to-image",
    "text-to-speech",
]
TASKS: tuple[Task, ...] = get_args(Task)

Dialect = Literal["vllm", "sglang", "openai"]

# Tasks the engine has a name for and none of our dialects can serve.
UNSUPPORTED_TASKS: dict[str, str] = {
    "image-to-embeddings": "the load engine sends it only to Cohere services, "
    "in a dialect Tidemark does not speak",
}

# What other documents call a task.
TASK_SYNONYMS: dict[str, str] = {
    "image_to_text": "image-text-to-text",
    "chat": "text-to-text",
    "chat_completions": "text-to-text",
    "completion": "text-to-text",
    "completions": "text-to-text",
    "text_generation": "text-to-text",
    "embedding": "text-to-embeddings",
    "embeddings": "text-to-embeddings",
    "rerank": "text-to-rerank",
    "tts": "text-to-speech",
}

# What is appended to the endpoint's URL, whatever the URL says.
API_PATHS: dict[Task, str] = {
    "text-to-text": "/v1/chat/completions",
    "image-text-to-text": "/v1/chat/completions",
    "text-to-embeddings": "/v1/embeddings",
    "text-to-rerank": "/v1/rerank",
    "text-to-image": "/v1/images/generations",
    "text-to-speech": "/v1/audio/speech",
}

# Swept over batch sizes at concurrency 1: the engine offers no other way.
BATCH_TASKS: frozenset[str] = frozenset({"text-to-embeddings", "text-to-rerank"})
# Answers that arrive token by token, so that a first token and a token rate exist.
STREAMED_TASKS: frozenset[str] = frozenset({"text-to-text", "image-text-to-text"})
IMAGE_INPUT_TASKS: frozenset[str] = frozenset({"image-text-to-text"})

DEFAULT_CONCURRENCY: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
DEFAULT_BATCH_SIZES: tuple[int, ...] = (1, 2, 4, 8, 24, 48, 96)

DEFAULT_SCENARIOS: dict[Task, tuple[str, ...]] = {
    "text-to-text": (
        "N(480,240)/(300,150)",
        "D(100,100)",
        "D(100,1000)",
        "D(2000,200)",
        "D(7800,200)",
    ),
    "image-text-to-text": ("I(512,512)", "I(1024,512)", "I(2048,2048)"),
    "text-to-embeddings": ("E(64)", "E(128)", "E(256)", "E(512)", "E(1024)"),
    "text-to-rerank": (
        "R(64,100)",
        "R(128,100)",
        "R(256,100)",
        "R(512,100)",
        "R(1024,100)",
        # 2096 is what genai-bench runs; its help text says 2048.
        "R(2096,100)",
        "R(4096,100)",
    ),
    "text-to-image": ("I(512,512)", "I(1024,1024)", "I(1024,1792)"),
    "text-to-speech": ("A(100)", "A(500)", "A(1000)", "A(2000)", "A(4000)"),
}


def refused_for_dialect(task: str, dialect: str) -> str | None:
    """Why a task cannot be measured in this dialect, or None when it can."""
    if task == "text-to-rerank" and dialect == "openai":
        return "the OpenAI API has no rerank call; vLLM and SGLang have one"
    return None
