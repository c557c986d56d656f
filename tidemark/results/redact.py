"""Takes secrets out of everything that is kept: text, bytes, nested JSON, large files.

Two nets. Secrets the caller knows are found in every form they are likely to be written in: as
they are, JSON-escaped, URL-encoded, shell-quoted, base64. Secrets nobody told us about are found
by their shape (`sk-…`, `AKIA…`, a private key block) or by the name before them (`--api-key X`,
`"api_key": "X"`, `Authorization: Bearer X`).

Every finding is replaced by `[REDACTED]`, or by `null` where it stands as a bare JSON number, so
that JSON stays JSON. What only names a secret is left alone: `env:NAME`, `file:/path`,
`prefect:NAME`, `$NAME`. Redacting twice changes nothing more.
"""

from __future__ import annotations

import base64
import codecs
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

__all__ = ["MASK", "SHORTEST_SECRET", "Json", "Redactor"]

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

MASK: Final = "[REDACTED]"

SHORTEST_SECRET: Final = 6
"""Known secrets shorter than this are found by the name before them only: taking every "k" out
of a text would leave no text."""

_LONGEST_MATCH: Final = 16_384
"""No pattern matches more characters than this, which is what makes streaming exact."""

_CHUNK: Final = 1 << 20

# A name that announces a secret, or the end of one (MODEL_API_KEY, storage-azure-account-key).
# `token` alone announces one only as an option or a variable: in JSON it is an ordinary word of
# language models.
_WORDS: Final = (
    "api key", "access key", "access key id", "access key secret", "secret key", "account key",
    "private key", "client secret", "app secret", "connection string", "password", "passwd",
    "passphrase", "access token", "auth token", "bearer token", "session token", "security token",
    "sas token", "github token", "gitlab token", "hf token", "refresh token", "sts token",
)  # fmt: skip
_SPELLINGS: Final = tuple(
    sorted({words.replace(" ", between) for words in _WORDS for between in ("", "_", "-")})
)
_NAME = rf"(?:{'|'.join(words.replace(' ', '[-_]?') for words in _WORDS)})(?![A-Za-z0-9_-])"
_OPTION = (
    rf"(?<![A-Za-z0-9-])--?(?i:(?:[A-Za-z0-9]{{1,40}}[-_]){{0,8}}?"
    rf"(?:{_NAME}|(?:token|secret)(?![A-Za-z0-9_-])))"
)

# What stands after a name but is no secret: a reference, a placeholder, a word of a sentence,
# the rest of a document whose string has just ended.
_HARMLESS = (
    r"(?!env:[A-Za-z_]|file:/|prefect:[a-z0-9]|\$|<|\*\*\*|\[REDACTED\]|\s*[,:\[\]{}()]"
    r"|(?:null|None|NaN|-?Infinity|true|false|True|False"
    r"|is|was|must|not|or|and|for|in|cannot|should|has|to)"
    r"(?![A-Za-z0-9_-]))"
)
_QUOTE = r"""\\{0,3}["']"""
_VALUE = r"""(?P<s>[^\s"'\\,;&|)}\]]{1,4096})"""
# Up to the same quote again, with as many backslashes; with more of them it belongs to the value.
_QUOTED = (
    rf"(?P<q>{_QUOTE}){_HARMLESS}"
    r"""(?P<s>(?:(?!(?P=q))(?:\\{1,8}+[^\r\n]|[^"\\\r\n])){1,4096})"""
)

# A name, then a value: JSON, repr, YAML, headers, variables. Looked for only where one of the
# spellings stands, since as patterns they would be tried at every character.
_NAMED: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?i:{_NAME})(?:{_QUOTE})?\s{{0,16}}[:=]\s{{0,16}}{_QUOTED}",
        rf"(?i:{_NAME})(?:{_QUOTE})?[ \t]{{0,16}}[:=][ \t]{{0,16}}{_HARMLESS}{_VALUE}",
    )
)

# Each shape with what a text must hold, in lower case, for the shape to be worth looking for.
_SHAPES: Final = tuple(
    (tuple(needles.split()), re.compile(pattern))
    for needles, pattern in (
        ("token= secret=", rf"(?:TOKEN|SECRET)=(?:{_QUOTE})?{_HARMLESS}{_VALUE}"),
        # an option, then its value: a shell line, or two elements of an argv
        ("-", rf"{_OPTION}(?:=|\s{{1,16}}){_QUOTED}"),
        ("-", rf"{_OPTION}(?:=|[ \t]{{1,16}}){_HARMLESS}{_VALUE}"),
        ("-", rf"{_OPTION}{_QUOTE}\s{{0,64}},\s{{0,64}}{_QUOTED}"),
        # headers
        (
            "authorization",
            rf"(?i:authorization)(?:{_QUOTE})?\s{{0,16}}[:=,]\s{{0,16}}(?:{_QUOTE})?"
            rf"(?:(?i:basic|bearer|digest|token)\s{{1,8}})?+{_HARMLESS}(?P<s>[^\s\"'\\,]{{1,4096}})",
        ),
        # long or with a digit, unlike the words of "bearer authentication failed"
        (
            "bearer",
            r"(?i:\bbearer)\s{1,8}(?=[A-Za-z._~+/=-]{0,64}[0-9]|[A-Za-z0-9._~+/=-]{20})"
            r"(?P<s>[A-Za-z0-9._~+/=-]{8,4096})",
        ),
        # a signature or key inside a URL or a connection string
        (
            "sig= signature= credential= token= accesskeyid= accountkey= accesskey=",
            r"[?&;\s\"'](?i:sig|signature|x-(?:amz|oss)-(?:signature|credential|security-token)"
            r"|ossaccesskeyid|accountkey|sharedaccess(?:key|signature)|access_token)="
            r"(?P<s>[A-Za-z0-9%/+=._~-]{6,4096})",
        ),
        ("://", r"://[^\s/@:\"'\\]{0,256}:(?P<s>[^\s@\"'\\]{1,256})@"),
        # shapes that speak for themselves
        ("sk-", r"(?<![A-Za-z0-9])(?P<s>sk-[A-Za-z0-9_-]{12,512})"),
        ("akia asia", r"(?<![A-Za-z0-9])(?P<s>A[KS]IA[0-9A-Z]{16})(?![A-Za-z0-9])"),
        (
            "ltai sts.",
            r"(?<![A-Za-z0-9])(?P<s>LTAI[A-Za-z0-9]{12,30}|STS\.[A-Za-z0-9]{16,64})(?![A-Za-z0-9])",
        ),
        (
            "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
            r"(?<![A-Za-z0-9])(?P<s>(?:gh[pousr]_|github_pat_)[A-Za-z0-9_]{16,255})",
        ),
        (
            "hf_ nvapi- glpat- xox",
            r"(?<![A-Za-z0-9])(?P<s>(?:hf_|nvapi-|glpat-|xox[abprs]-)[A-Za-z0-9_-]{16,255})",
        ),
        ("aiza", r"(?<![A-Za-z0-9])(?P<s>AIza[A-Za-z0-9_-]{35})(?![A-Za-z0-9_-])"),
        (
            "eyj",
            r"(?<![A-Za-z0-9])(?P<s>eyJ[\w-]{8,4096}\.eyJ[\w-]{8,4096}\.[\w-]{8,4096})",
        ),
        # an unfinished block is one too: it may have been cut
        (
            "private key-----",
            r"(?P<s>-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----(?:"
            r"(?:(?!-----)(?:[A-Za-z0-9+/=\s:,.-]|\\{1,4}[nr])){0,12000}"
            r"-----END [A-Z ]{0,32}PRIVATE KEY-----"
            r"|(?:\s|\\{1,4}[nr]|[A-Za-z0-9+/=]{16,100}){0,120}[A-Za-z0-9+/=]{0,15}))",
        ),
    )
)

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_BEFORE_SCALAR = re.compile(r"[:\[,]\s*\Z")
_AFTER_SCALAR = re.compile(r"\s*[,\]}]")
_SECRET_NAME = re.compile(rf"(?i)(?:{_NAME}|authorization)\Z")
_SECRET_OPTION = re.compile(rf"{_OPTION}\Z")
_WORTH_HIDING = re.compile(rf"{_HARMLESS}(?s:.)")


class Redactor:
    """Removes known secrets, and what looks like one.

    `secrets` are values, not references. Empty ones are ignored; ones shorter than
    `SHORTEST_SECRET` are removed only after a name such as `--api-key`.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {secret for secret in secrets if secret}
        forms = {form for secret in known for form in _forms(secret)}
        self._longest = max((len(form) for form in forms), default=0)
        self._forms = tuple(sorted(forms))

    def __repr__(self) -> str:
        return "Redactor(...)"  # never what it looks for

    def knowing(self, secrets: Iterable[str]) -> Redactor:
        """One that knows these secrets too."""
        both = Redactor(secrets)
        both._forms = tuple(sorted({*self._forms, *both._forms}))
        both._longest = max(self._longest, both._longest)
        return both

    def text(self, text: str) -> str:
        """`text` without secrets."""
        return _masked(text, self._spans(text), 0, len(text))

    def data(self, data: bytes) -> bytes:
        """`data` without secrets; bytes that are no UTF-8 come back as they were."""
        return self.text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def tree(self, value: Json) -> Json:
        """Nested JSON without secrets, by the names of keys and by their text.

        Keys are kept but for secrets inside them. Numbers stay, unless they are a secret: then
        None.
        """
        if isinstance(value, dict):
            return {
                self.text(key): self._named(item) if _SECRET_NAME.search(key) else self.tree(item)
                for key, item in value.items()
            }
        if isinstance(value, list):
            after_option = [False] + [
                isinstance(item, str) and _SECRET_OPTION.match(item) is not None for item in value
            ]
            return [
                self._named(item) if follows else self.tree(item)
                for item, follows in zip(value, after_option, strict=False)
            ]
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bool) or value is None:
            return value
        return None if self.text(f"[{json.dumps(value)}]") == "[null]" else value

    def stream(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same as `data` of all chunks joined, in bounded memory.

        Holds back as much as the longest possible secret, so that none is missed for lying
        across two chunks.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        overlap = 2 * max(_LONGEST_MATCH, self._longest)
        pending, start = "", 0  # pending[:start] is out already, and kept as context
        for chunk in chunks:
            pending += decoder.decode(chunk)
            if len(pending) - start < overlap + _CHUNK:
                continue
            cut = len(pending) - overlap
            spans = self._spans(pending)
            cut = max([end for begin, end in spans if begin < cut < end], default=cut)
            yield _masked(pending, spans, start, cut).encode("utf-8", "surrogateescape")
            keep = max(0, cut - overlap)
            pending, start = pending[keep:], cut - keep
        pending += decoder.decode(b"", final=True)
        rest = _masked(pending, self._spans(pending), start, len(pending))
        yield rest.encode("utf-8", "surrogateescape")

    def _named(self, value: Json) -> Json:
        """A value whose name says that it is secret."""
        if isinstance(value, str):
            return MASK if _WORTH_HIDING.match(value) else self.text(value)
        if isinstance(value, bool) or value is None:
            return value
        return None if isinstance(value, int | float) else self.tree(value)

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Where secrets are, in order and without overlap.

        A secret found may have hidden another that touches it, so what is found is blanked and
        the rest looked at again until nothing more turns up.
        """
        spans: list[tuple[int, int]] = []
        while True:
            found = [span for form in self._forms for span in _places(text, form)]
            merged = _merged(spans + found + _shaped(text))
            if merged == spans:
                return spans
            spans = merged
            text = _blanked(text, spans)


def _shaped(text: str) -> list[tuple[int, int]]:
    """Where something looks like a secret, in any order."""
    lower = text.lower()
    if len(lower) != len(text):  # a few letters become two
        lower = "".join(letter.lower() if letter.isascii() else letter for letter in text)
    found = [
        match.span("s")
        for needles, shape in _SHAPES
        if any(needle in lower for needle in needles)
        for match in shape.finditer(text)
    ]
    for spelling in _SPELLINGS:
        for position, _ in _places(lower, spelling):
            found += [match.span("s") for shape in _NAMED if (match := shape.match(text, position))]
    return found


def _places(text: str, part: str) -> Iterator[tuple[int, int]]:
    """Where a part stands in a text; a number only as a whole number."""
    begin = text.find(part)
    while begin >= 0:
        end = begin + len(part)
        around = text[max(0, begin - 1) : begin] + text[end : end + 1]
        if not (part.isdigit() and any(letter.isdigit() or letter == "." for letter in around)):
            yield begin, end
        begin = text.find(part, begin + 1)


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _blanked(text: str, spans: list[tuple[int, int]]) -> str:
    pieces, position = [], 0
    for begin, end in spans:
        pieces += [text[position:begin], "\0" * (end - begin)]
        position = end
    return "".join([*pieces, text[position:]])


def _masked(text: str, spans: list[tuple[int, int]], start: int, end: int) -> str:
    """text[start:end] with the spans replaced; no span crosses either edge."""
    pieces, position = [], start
    for begin, stop in spans:
        if start <= begin and stop <= end:
            pieces += [text[position:begin], _mask(text, begin, stop)]
            position = stop
    return "".join([*pieces, text[position:end]])


def _mask(text: str, begin: int, end: int) -> str:
    """What stands instead of text[begin:end]: null for a bare JSON number, else the mask."""
    bare = (
        _NUMBER.fullmatch(text, begin, end)
        and _BEFORE_SCALAR.search(text, max(0, begin - 64), begin)
        and _AFTER_SCALAR.match(text, end)
    )
    return "null" if bare else MASK


def _forms(secret: str) -> set[str]:
    """The ways a secret is likely to be written."""
    forms = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
    forms |= {re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), form) for form in forms}
    for ascii_only in (True, False):
        once = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        forms |= {once, once.replace("/", "\\/"), json.dumps(once)[1:-1]}
    forms |= {repr(secret)[1:-1], shlex.quote(secret).strip("'")}
    raw = secret.encode("utf-8", "surrogateescape")
    for before in range(3):
        # inside a longer text (`user:secret`) the first and last characters also hold neighbours
        encoded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        whole = (before + len(raw)) * 8 // 6
        inner = encoded[-(-before * 8 // 6) : whole]
        forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= SHORTEST_SECRET}
