"""Traffic scenarios: how much goes in and comes out of each request, in one short string.

The grammar is that of genai-bench 0.0.5 (`genai_bench.scenarios`), read strictly: whole
strings only, no spaces, no leading zeros, and with the checks of meaning it lacks. Each
kind of scenario is one row of `_KINDS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tidemark.errors import PlanError
from tidemark.plan.secrets import looks_like_secret
from tidemark.plan.tasks import DEFAULT_SCENARIOS, TASKS

__all__ = ["DEFAULT_SCENARIOS", "MAX_TOKENS", "Kind", "Scenario", "parse_scenario"]

Kind = Literal[
    "deterministic", "normal", "uniform", "embedding", "rerank", "image", "audio", "dataset"
]

# Beyond the longest context any served model has; a longer number is a slip of the hand.
MAX_TOKENS = 2_000_000
MAX_IMAGE_SIDE_PIXELS = 16_384
MAX_IMAGES = 64
MAX_CHARACTERS = 1_000_000
# No scenario is longer than this, and messages must not repeat whole files.
_MAX_LENGTH = 64
# The engine raises shorter sampled outputs of N and U to this.
_LEAST_SAMPLED_OUTPUT_TOKENS = 2


@dataclass(frozen=True, slots=True)
class Scenario:
    """One traffic scenario that makes sense.

    `text` is the canonical string that the load engine is given. `mean_input_tokens` and
    `mean_output_tokens` are per request (for embeddings and rerank: at batch size 1) and
    None where the scenario does not say: images, audio, a dataset's own rows, and the
    outputs of embeddings and rerank. `min_input_tokens` is the least the engine takes an
    input to be when it checks a shared prefix. `warnings` are sentences about what the
    engine makes of this scenario.
    """

    text: str
    kind: Kind
    tasks: tuple[str, ...]
    parameters: tuple[int, ...] = ()
    mean_input_tokens: float | None = None
    mean_output_tokens: float | None = None
    min_input_tokens: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def controls_output_length(self) -> bool:
        """Whether the scenario sets how many tokens each answer has."""
        return self.mean_output_tokens is not None


class _Meaningless(Exception):
    """Numbers that parse but mean nothing: what, remedy."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy


def parse_scenario(text: str, where: str = "scenario") -> Scenario:
    """Read one scenario string.

    Raises PlanError, with `where` as its place, for anything the load engine would not
    run as written, and offers the spelling that was probably meant.
    """
    if not isinstance(text, str):
        raise PlanError(
            "a scenario must be text", where, 'Write it in quotes, such as "D(100,100)"'
        )
    if len(text) > _MAX_LENGTH:
        raise PlanError(
            f"a scenario has at most {_MAX_LENGTH} characters, this one has {len(text)}",
            where,
            "Write one scenario per list entry, such as D(100,100)",
        )
    try:
        return _read(text)
    except _Meaningless as error:
        shown = f"{text!r}: " if _may_be_shown(text) else ""
        raise PlanError(f"{shown}{error.what}", where, error.remedy) from None


def _may_be_shown(text: str) -> bool:
    """Whether a refused text is surely a scenario or a word, and not a secret pasted here."""
    has_form = "(" in text and not looks_like_secret(text)
    return has_form or re.fullmatch(r"[A-Za-z_\s]{0,24}", text) is not None


def _read(text: str) -> Scenario:
    scenario = _match(text)
    if scenario is None:
        raise _Meaningless(*_explain(text))
    return scenario


def _match(text: str) -> Scenario | None:
    """The scenario that `text` is, None if it has no kind's form."""
    for kind in _KINDS:
        found = kind.pattern.fullmatch(text)
        if found:
            return kind.build(tuple(int(group) for group in found.groups() if group is not None))
    return None


def _explain(text: str) -> tuple[str, str]:
    """Why no kind matches `text`, and what to write instead."""
    bare = re.sub(r"\s+", "", text)
    if not bare:
        return "a scenario is empty", "Write one, such as D(100,100), or leave scenarios out"
    spelling = _corrected(bare)
    if spelling is not None:
        problem = "spaces are not part of a scenario" if bare != text else "is misspelled"
        return problem, f"Write {spelling}"
    letters = re.match(r"[A-Za-z_-]*", bare)
    token = letters[0] if letters else ""
    kind = next((kind for kind in _KINDS if kind.letter == _letter(token)), None)
    if kind is None:
        known = ", ".join(kind.form for kind in _KINDS)
        what = f"unknown type {token or bare[0]!r}" if _may_be_shown(text) else "unknown type"
        return what, f"Known: {known}. {_nearest(bare)}"
    if "-" in bare[len(token) :]:
        return "negative numbers mean nothing here", f"Write {kind.form}, such as {kind.example}"
    if "." in bare:
        return "numbers must be whole", f"Write {kind.form}, such as {kind.example}"
    return f"does not have the form {kind.form}", f"{kind.hint(bare)}such as {kind.example}"


def _letter(token: str) -> str | None:
    """The type that a person who wrote `token` has in mind, if that can be told."""
    if token in _ALIASES.values():
        return token
    return _ALIASES.get(token.casefold().replace("-", "_"))


def _nearest(bare: str) -> str:
    """The scenario of a known type whose numbers fit those of a scenario of none."""
    numbers = [str(int(number)) for number in re.findall(r"[0-9]{1,7}", bare)]
    if len(numbers) == 1:
        numbers = [numbers[0], numbers[0]]
    if len(numbers) == 2 and "0" not in numbers:
        return f"Did you mean D({','.join(numbers)})?"
    return "Did you mean D(100,100)?"


def _corrected(bare: str) -> str | None:
    """`bare` with the type's own letter, plain parentheses and no leading zeros, if that
    has a known form. Raises _Meaningless if it has and its numbers mean nothing."""
    letters = re.match(r"[A-Za-z_-]+", bare)
    letter = _letter(letters[0]) if letters else None
    if letters is None or letter is None:
        return None
    rest = bare[letters.end() :].translate(_PLAIN_BRACKETS)
    guess = letter + re.sub(r"[0-9]+", lambda number: str(int(number[0])), rest)
    scenario = _match(guess)
    return scenario.text if scenario else None


_PLAIN_BRACKETS = str.maketrans("[{<（】》），；;", "((((" + ")))" + ",,,") | str.maketrans(
    "]}>", ")))"
)

_ALIASES: dict[str, str] = {
    "d": "D",
    "deterministic": "D",
    "constant": "D",
    "fixed": "D",
    "n": "N",
    "normal": "N",
    "gaussian": "N",
    "u": "U",
    "uniform": "U",
    "e": "E",
    "embedding": "E",
    "embeddings": "E",
    "r": "R",
    "rerank": "R",
    "i": "I",
    "image": "I",
    "a": "A",
    "audio": "A",
    "speech": "A",
    "dataset": "dataset",
    "data": "dataset",
}


def _at_least_one(value: int, what: str, most: int) -> None:
    if value < 1:
        raise _Meaningless(f"{what} must be at least 1", "Write 1 or more")
    if value > most:
        raise _Meaningless(f"{what} must be at most {most}", f"Write {most} or less")


def _deterministic(numbers: tuple[int, ...]) -> Scenario:
    inputs, outputs = numbers
    _at_least_one(inputs, "the number of input tokens", MAX_TOKENS)
    _at_least_one(outputs, "the number of output tokens", MAX_TOKENS)
    text = f"D({inputs},{outputs})"
    warnings: tuple[str, ...] = ()
    if outputs == 1:
        warnings = (
            f"{text}: with one output token there is no time between tokens, so TPOT is not "
            "defined and stays empty; ask for 2 or more to have it",
        )
    return Scenario(
        text, "deterministic", ("text-to-text",), numbers, inputs, outputs, inputs, warnings
    )


def _normal(numbers: tuple[int, ...]) -> Scenario:
    input_mean, input_deviation, output_mean, output_deviation = numbers
    for side, mean, deviation in (
        ("input", input_mean, input_deviation),
        ("output", output_mean, output_deviation),
    ):
        _at_least_one(mean, f"the mean of the {side} tokens", MAX_TOKENS)
        if deviation > mean:
            raise _Meaningless(
                f"the standard deviation of the {side} tokens ({deviation}) is above their mean "
                f"({mean}), so most short samples would be cut off and the mean would not hold",
                f"Write a standard deviation of at most {mean}, or use U for a wide spread",
            )
    text = f"N({input_mean},{input_deviation})/({output_mean},{output_deviation})"
    return Scenario(
        text,
        "normal",
        ("text-to-text",),
        numbers,
        input_mean,
        max(output_mean, _LEAST_SAMPLED_OUTPUT_TOKENS),
        max(1, input_mean - 3 * input_deviation),
        _raised_output(text, output_mean),
    )


def _uniform(numbers: tuple[int, ...]) -> Scenario:
    if len(numbers) == 2:
        input_min, output_min = 1, 1
        input_max, output_max = numbers
        text = f"U({input_max},{output_max})"
    else:
        input_min, input_max, output_min, output_max = numbers
        text = f"U({input_min},{input_max})/({output_min},{output_max})"
    for side, least, most in (
        ("input", input_min, input_max),
        ("output", output_min, output_max),
    ):
        _at_least_one(least, f"the least number of {side} tokens", MAX_TOKENS)
        _at_least_one(most, f"the largest number of {side} tokens", MAX_TOKENS)
        if least > most:
            raise _Meaningless(
                f"the least number of {side} tokens ({least}) is above the largest ({most})",
                f"Write the smaller number first: ({most},{least})",
            )
    floor = _LEAST_SAMPLED_OUTPUT_TOKENS
    return Scenario(
        text,
        "uniform",
        ("text-to-text",),
        numbers,
        (input_min + input_max) / 2,
        (max(output_min, floor) + max(output_max, floor)) / 2,
        input_min,
        _raised_output(text, output_max),
    )


def _raised_output(text: str, outputs: int) -> tuple[str, ...]:
    if outputs >= _LEAST_SAMPLED_OUTPUT_TOKENS:
        return ()
    return (
        f"{text}: the load engine raises sampled outputs to 2 tokens, so answers of 1 token "
        "will not occur; write 2, or D(n,1) for answers of exactly 1",
    )


def _embedding(numbers: tuple[int, ...]) -> Scenario:
    (inputs,) = numbers
    _at_least_one(inputs, "the number of tokens per document", MAX_TOKENS)
    return Scenario(f"E({inputs})", "embedding", ("text-to-embeddings",), numbers, inputs)


def _rerank(numbers: tuple[int, ...]) -> Scenario:
    document, query = numbers
    _at_least_one(document, "the number of tokens per document", MAX_TOKENS)
    _at_least_one(query, "the number of tokens in the query", MAX_TOKENS)
    text = f"R({document},{query})"
    return Scenario(text, "rerank", ("text-to-rerank",), numbers, document + query)


def _image(numbers: tuple[int, ...]) -> Scenario:
    width, height, *rest = numbers
    count = rest[0] if rest else 1
    _at_least_one(width, "the width in pixels", MAX_IMAGE_SIDE_PIXELS)
    _at_least_one(height, "the height in pixels", MAX_IMAGE_SIDE_PIXELS)
    _at_least_one(count, "the number of images", MAX_IMAGES)
    text = f"I({width},{height})" if count == 1 else f"I({width},{height},{count})"
    return Scenario(text, "image", ("image-text-to-text", "text-to-image"), (width, height, count))


def _audio(numbers: tuple[int, ...]) -> Scenario:
    (characters,) = numbers
    _at_least_one(characters, "the number of characters", MAX_CHARACTERS)
    return Scenario(f"A({characters})", "audio", ("text-to-speech",), numbers)


def _dataset(numbers: tuple[int, ...]) -> Scenario:
    return Scenario("dataset", "dataset", tuple(TASKS), numbers)


_NUMBER = r"(0|[1-9][0-9]*)"


@dataclass(frozen=True, slots=True)
class _KindRow:
    letter: str
    form: str
    example: str
    pattern: re.Pattern[str]
    build: Callable[[tuple[int, ...]], Scenario]
    advice: str = ""

    def hint(self, bare: str) -> str:
        """What to write, for a string of this type that has the wrong shape."""
        first = re.search(r"[1-9][0-9]{0,6}", bare)
        if self.letter == "E" and first and bare.count(",") == 1:
            # OME's webhook asks for two numbers; the load engine takes one.
            return f"The load engine takes one number; write E({first[0]}), "
        if "(" in bare and ")" not in bare:
            return "A comma ends an entry of a [list], so put each scenario in quotes, "
        return f"Write {self.form}{self.advice}, "


def _row(
    letter: str,
    form: str,
    example: str,
    pattern: str,
    build: Callable[[tuple[int, ...]], Scenario],
    advice: str = "",
) -> _KindRow:
    return _KindRow(letter, form, example, re.compile(pattern, re.ASCII), build, advice)


_n = _NUMBER
_KINDS: tuple[_KindRow, ...] = (
    _row("D", "D(input,output)", "D(100,100)", rf"D\({_n},{_n}\)", _deterministic),
    _row(
        "N",
        "N(mean_in,sd_in)/(mean_out,sd_out)",
        "N(480,240)/(300,150)",
        rf"N\({_n},{_n}\)/\({_n},{_n}\)",
        _normal,
    ),
    _row(
        "U",
        "U(min_in,max_in)/(min_out,max_out)",
        "U(50,100)/(200,250)",
        rf"U\({_n},{_n}\)(?:/\({_n},{_n}\))?",
        _uniform,
        " or U(max_in,max_out)",
    ),
    _row("E", "E(tokens)", "E(1024)", rf"E\({_n}\)", _embedding),
    _row("R", "R(document,query)", "R(1024,100)", rf"R\({_n},{_n}\)", _rerank),
    _row(
        "I",
        "I(width,height)",
        "I(512,512)",
        rf"I\({_n},{_n}(?:,{_n})?\)",
        _image,
        " or I(width,height,images)",
    ),
    _row("A", "A(characters)", "A(500)", rf"A\({_n}\)", _audio),
    _row("dataset", "dataset", "dataset", r"dataset", _dataset),
)
