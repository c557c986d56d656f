"""Extra request parameters: which are passed on, which would break the measurement.

The rules stand in `RULES` as data. Their reasons are what genai-bench 0.0.5 does with
each parameter (`genai_bench.user.openai_user`, `genai_bench.sampling.text`): some it
drops, some overwrite what it needs, and `ignore_eos: false` makes it ask a question that
nobody is there to answer.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tidemark.plan.canonical import canonical_json
from tidemark.plan.problems import Problem
from tidemark.plan.scenario import Scenario
from tidemark.plan.secrets import looks_like_secret
from tidemark.plan.tasks import STREAMED_TASKS

__all__ = ["RULES", "Rule", "request_problems", "request_warnings"]

_MAX_DEPTH = 8
_MAX_CHARACTERS = 16_384
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_SECRET_KEY = re.compile(
    r"api[_-]?key|secret|passw|authorization|credential|bearer|(?:access|auth|id)[_-]?token|^token$"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of one parameter. `tasks` empty: of every task."""

    treatment: Literal["refused", "warned"]
    reason: str
    remedy: str
    tasks: frozenset[str] = frozenset()

    def applies(self, task: str) -> bool:
        """Whether the rule is about this task."""
        return not self.tasks or task in self.tasks


_STOPS_EARLY = "answers may end before the length the scenario asks for"
_CHAT = STREAMED_TASKS
_IMAGE = frozenset({"text-to-image"})

RULES: dict[str, Rule] = {
    "model": Rule("refused", "would replace the model under test", "Set endpoint.model"),
    "messages": Rule(
        "refused",
        "is dropped by the load engine, which writes the messages itself",
        "Use dataset for your own prompts, or system_message for a fixed beginning",
    ),
    "prompt": Rule(
        "refused", "would stand beside the prompt the engine writes", "Use dataset instead"
    ),
    "input": Rule(
        "refused", "would replace the input the scenario describes", "Use dataset instead"
    ),
    "query": Rule(
        "refused", "would replace the query the scenario describes", "Use dataset instead"
    ),
    "documents": Rule(
        "refused", "would replace the documents the scenario describes", "Use dataset instead"
    ),
    "stream": Rule(
        "refused", "is set by the load engine, which can only read streamed answers", "Remove it"
    ),
    "stream_options": Rule(
        "refused", "would switch off the token counts the server reports", "Remove it"
    ),
    "n": Rule(
        "refused",
        "asks for several answers in one stream, whose tokens cannot be told apart",
        "Remove it; for images, write I(width,height,images)",
    ),
    "best_of": Rule(
        "refused", "generates tokens that are never seen, so token rates are wrong", "Remove it"
    ),
    "use_beam_search": Rule(
        "refused", "generates tokens that are never seen, so token rates are wrong", "Remove it"
    ),
    "echo": Rule("refused", "counts input tokens as output", "Remove it"),
    "max_completion_tokens": Rule(
        "refused",
        "contradicts max_tokens, which the load engine sends from the scenario",
        "Remove it and write the output length in the scenario, such as D(100,200)",
    ),
    "max_new_tokens": Rule(
        "refused",
        "contradicts max_tokens, which the load engine sends from the scenario",
        "Remove it and write the output length in the scenario, such as D(100,200)",
    ),
    "size": Rule(
        "refused",
        "is dropped by the load engine, which takes the size from the scenario",
        "Remove it and write I(width,height)",
        _IMAGE,
    ),
    "min_tokens": Rule(
        "warned", "is refused by servers when above the output asked for", "", _CHAT
    ),
    "stop": Rule("warned", _STOPS_EARLY, "", _CHAT),
    "stop_token_ids": Rule("warned", _STOPS_EARLY, "", _CHAT),
    "response_format": Rule("warned", _STOPS_EARLY, "", _CHAT),
    "structured_outputs": Rule("warned", _STOPS_EARLY, "", _CHAT),
    "guided_json": Rule("warned", _STOPS_EARLY, "", _CHAT),
    "guided_regex": Rule("warned", _STOPS_EARLY, "", _CHAT),
    "guided_choice": Rule("warned", _STOPS_EARLY, "", _CHAT),
    "guided_grammar": Rule("warned", _STOPS_EARLY, "", _CHAT),
    "tools": Rule("warned", _STOPS_EARLY, "", _CHAT),
    "tool_choice": Rule("warned", _STOPS_EARLY, "", _CHAT),
    "logprobs": Rule("warned", "makes each chunk larger and the client slower", "", _CHAT),
    "top_logprobs": Rule("warned", "makes each chunk larger and the client slower", "", _CHAT),
    "system_message": Rule(
        "warned", "adds its tokens to each input, beyond what the scenario says", "", _CHAT
    ),
}

# Common parameters that pass as they are; for spotting misspellings only.
_KNOWN = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "ignore_eos",
    "max_tokens",
    "chat_template_kwargs",
    "reasoning_effort",
    "encoding_format",
    "quality",
    "voice",
    *RULES,
)


def request_problems(
    request: Mapping[str, Any], task: str, scenarios: Sequence[Scenario]
) -> Iterator[Problem]:
    """All that keeps these parameters from being sent, each at ("request", key).

    Values are never repeated: a parameter may hold what should be a reference.
    """
    too_large = _size_problem(request)
    if too_large is not None:
        yield too_large
        return
    for key, value in request.items():
        trouble = _trouble(key, value, task, scenarios)
        if trouble is not None:
            yield Problem(("request", key), *trouble)


def request_warnings(
    request: Mapping[str, Any], task: str, dialect: str, scenarios: Sequence[Scenario]
) -> Iterator[str]:
    """Sentences about parameters that are sent and change what is measured."""
    for key in request:
        rule = RULES.get(key)
        if rule is not None and rule.treatment == "warned" and rule.applies(task):
            yield f"request.{key}: {rule.reason}"
        elif key not in _KNOWN:
            close = difflib.get_close_matches(key.casefold().replace("-", "_"), _KNOWN, 1, 0.8)
            if close:
                yield f"request.{key}: is sent as it is; did you mean {close[0]}?"
    if request.get("ignore_eos") is True and task == "text-to-text":
        if dialect == "openai":
            yield (
                "request.ignore_eos: is removed by the load engine in the openai dialect; "
                "set endpoint.dialect to vllm or sglang if the server is one of them"
            )
        if any(scenario.kind == "dataset" for scenario in scenarios):
            yield "request.ignore_eos: is set to false by the load engine for dataset scenarios"


def _size_problem(request: Mapping[str, Any]) -> Problem | None:
    where = ("request",)
    if _depth(request) > _MAX_DEPTH:
        return Problem(where, f"is nested deeper than {_MAX_DEPTH} levels", "Flatten it")
    if len(canonical_json(request)) > _MAX_CHARACTERS:
        return Problem(
            where,
            f"is larger than {_MAX_CHARACTERS} characters as JSON",
            "Remove what is not needed; it is sent with each request",
        )
    return None


def _depth(value: Any) -> int:
    if isinstance(value, Mapping):
        return 1 + max((_depth(item) for item in value.values()), default=0)
    if isinstance(value, list | tuple):
        return 1 + max((_depth(item) for item in value), default=0)
    return 0


def _trouble(
    key: str, value: Any, task: str, scenarios: Sequence[Scenario]
) -> tuple[str, str] | None:
    if not _KEY.fullmatch(key):
        return "is not a parameter name", "Use letters, digits, _ . and -, beginning with a letter"
    if _SECRET_KEY.search(key.casefold()) or _holds_secret(value):
        return (
            "looks as if it held a secret, and request parameters are stored with the results",
            "Remove it; give endpoint.api_key or endpoint.headers as references",
        )
    rule = RULES.get(key)
    if rule is not None and rule.treatment == "refused" and rule.applies(task):
        return rule.reason, rule.remedy
    if key == "ignore_eos":
        return _ignore_eos_trouble(value)
    if key == "temperature":
        return _temperature_trouble(value)
    if key == "max_tokens":
        return _max_tokens_trouble(value, scenarios)
    if key == "system_message" and (not isinstance(value, str) or not value):
        return "is not text", "Write the message in quotes, or remove it"
    return None


def _holds_secret(value: Any) -> bool:
    if isinstance(value, str):
        return looks_like_secret(value)
    if isinstance(value, Mapping):
        return any(
            _SECRET_KEY.search(str(key).casefold()) or _holds_secret(item)
            for key, item in value.items()
        )
    return isinstance(value, list | tuple) and any(_holds_secret(item) for item in value)


def _ignore_eos_trouble(value: Any) -> tuple[str, str] | None:
    if value is True:
        return None
    if value is False:
        return (
            "false lets answers end early, so output lengths would not be those of the scenario; "
            "the load engine asks whether that is meant, and ends when nobody answers",
            "Remove it; for answers of natural length use a dataset scenario",
        )
    return "is neither true nor false", "Write true, without quotes, or remove it"


def _temperature_trouble(value: Any) -> tuple[str, str] | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "is not a number", "Write a number from 0 to 2, without quotes"
    if not 0 <= value <= 2:
        return "is out of range", "Write a number from 0 to 2"
    return None


def _max_tokens_trouble(value: Any, scenarios: Sequence[Scenario]) -> tuple[str, str] | None:
    if any(scenario.controls_output_length for scenario in scenarios):
        return (
            "would replace the output length of the scenarios",
            "Remove it and write the output length in the scenario, such as D(100,200)",
        )
    if isinstance(value, bool) or not isinstance(value, int) or value < 2:
        return "is not a whole number of at least 2", "Write 2 or more, so that TPOT is defined"
    return None
