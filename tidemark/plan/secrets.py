"""References to secrets: where a key is to be found, never the key itself.

`env:NAME` is an environment variable, `file:/absolute/path` the content of a file, of
the process that runs the measurement; `prefect:NAME` is a Secret block that Prefect keeps.
Anything else is refused without being repeated, since it may be the secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from tidemark.errors import SecretError
from tidemark.plan.problems import refusal

__all__ = [
    "KINDS",
    "REFERENCE_FORM",
    "SECRET_REMEDY",
    "SENSITIVE_NAME",
    "SecretRef",
    "is_sensitive_name",
    "lend",
    "looks_like_secret",
    "names_a_secret",
    "resolve",
]

SECRET_REMEDY = (
    "Write env:NAME for an environment variable, file:/absolute/path for a file, "
    "or prefect:NAME for a saved Secret block"
)
KINDS = ("env:", "file:", "prefect:")

_ENVIRONMENT = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,127}")
_FILE = re.compile(r"file:(/[^\x00-\x1f\x7f]{1,1023})")
_BLOCK = re.compile(r"prefect:[a-z0-9][a-z0-9-]{0,127}")
REFERENCE_FORM = (
    r"^(env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:/.{1,1023}|prefect:[a-z0-9][a-z0-9-]{0,127})$"
)

# How the keys of well-known services begin, and what only a key or a digest looks like.
_KEY_SHAPES = re.compile(
    r"""
      \bsk-[A-Za-z0-9_-]{8,}                     # OpenAI and many that follow it
    | \b[sprk]k_(?:live|test)_[A-Za-z0-9]+       # Stripe
    | \bgh[pousr]_[A-Za-z0-9]{8,} | \bgithub_pat_[A-Za-z0-9_]{8,}
    | \bglpat-[A-Za-z0-9_-]{8,}
    | \bhf_[A-Za-z0-9]{8,}
    | \b(?:AKIA|ASIA)[A-Z0-9]{12,}               # AWS access key ids
    | \bLTAI[A-Za-z0-9]{8,}                      # Alibaba Cloud access key ids
    | \bAIza[A-Za-z0-9_-]{20,}                   # Google API keys
    | \bxox[abprs]-[A-Za-z0-9-]{8,}
    | \beyJ[A-Za-z0-9_-]{10,}\.                  # JSON web tokens
    | -----BEGIN
    | \A\s*(?:Bearer|Basic)\s+\S+\s*\Z
    """,
    re.VERBOSE,
)
SENSITIVE_NAME = (
    r"(?i)authorization|cookie|token|secret|passw|credential|signature"
    r"|(?:^|[-_.])(?:api|access|private|subscription|session|auth|account)?[-_.]?key(?:$|[-_.])"
    r"|apikey|(?:^|[-_.])(?:auth|jwt|pwd|pass|passphrase|creds)(?:$|[-_.])"
)

# A value that stands in plain text, rather than `$NAME`, `$(cat file)` or the path of a file.
_PLAIN_VALUE = r"""["']?(?![$/`<"'-])[^\s"';&|]{3,}"""
_NAMED_SECRETS = re.compile(
    rf"""
      (?:^|[\s;&|(])[A-Z0-9_]*(?:TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|ACCESS_?KEY)={_PLAIN_VALUE}
    | (?:^|\s)--?(?:[a-z0-9]+[-_])*(?:token|password|passwd|secret|api[-_]?key)
      (?:=|\s+){_PLAIN_VALUE}
    | \bcurl\b[^\n;|&]{{0,400}}\s(?:-u|--user)[=\s]*["']?[^\s:$"']+:[^\s$"']+
    | ://[^/\s:@$]+:[^/\s@$]+@
    """,
    re.VERBOSE,
)


class SecretRef(str):
    """A reference to a secret: "env:NAME", "file:/absolute/path" or "prefect:NAME".

    A plain string to everyone who prints, stores or hashes it; `resolve` reads the secret.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> SecretRef:
        """The reference in `value`. Raises pydantic's error, which never repeats `value`."""
        if not isinstance(value, str):
            raise refusal("is not a reference to a secret", SECRET_REMEDY)
        if value.startswith("env:") and not _ENVIRONMENT.fullmatch(value):
            raise refusal(
                "env: is not followed by the name of an environment variable", SECRET_REMEDY
            )
        if value.startswith("prefect:") and not _BLOCK.fullmatch(value):
            raise refusal(
                "prefect: is not followed by the name of a block (a-z, 0-9 and -)", SECRET_REMEDY
            )
        if value.startswith("file:"):
            _check_file(value)
        elif not value.startswith(KINDS):
            raise refusal("a literal value is not accepted where a secret belongs", SECRET_REMEDY)
        # Paths may hold digests (of a store, of a volume), so only known shapes count there.
        test = _KEY_SHAPES.search if value.startswith("file:") else looks_like_secret
        if test(value.partition(":")[2]):
            raise refusal(
                "what follows the colon looks like a secret itself",
                f"{SECRET_REMEDY}; treat the pasted key as leaked and replace it",
            )
        return cls(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        examples = ["env:SERVICE_API_KEY", "prefect:service-api-key"]
        return {"type": "string", "pattern": REFERENCE_FORM, "examples": examples}

    @property
    def is_block(self) -> bool:
        """Whether Prefect keeps the secret, so that its server has to be asked."""
        return self.startswith("prefect:")


def _check_file(value: str) -> None:
    found = _FILE.fullmatch(value)
    if found is None or ".." in found[1].split("/"):
        raise refusal("file: is not followed by an absolute path without ..", SECRET_REMEDY)


def looks_like_secret(text: str) -> bool:
    """Whether `text` has the shape of a key, token or password hash that people paste.

    Says yes to the prefixes of well-known services and to long unbroken runs of mixed
    letters and digits, but for those of 40 and 64 hexadecimal digits: commits and digests.
    """
    if _KEY_SHAPES.search(text):
        return True
    for run in re.findall(r"[A-Za-z0-9+/=]{32,}", text):
        if "/" in run and not re.search(r"[+=]", run):
            # A path has slashes too: judge its parts.
            if any(_is_random(part) for part in run.split("/") if len(part) >= 32):
                return True
        elif _is_random(run):
            return True
    return False


def names_a_secret(command: str) -> bool:
    """Whether a command of a shell gives a secret by name: `TOKEN=value`, `--password value`,
    `curl -u name:value`, or a URL with a password. `$NAME` and files are no values."""
    return _NAMED_SECRETS.search(command) is not None


def _is_random(run: str) -> bool:
    if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", run):
        return False
    return bool(re.search(r"[0-9]", run)) and bool(re.search(r"[A-Za-z]", run))


def is_sensitive_name(name: str) -> bool:
    """Whether a header or parameter of this name usually carries a secret."""
    return re.search(SENSITIVE_NAME, name) is not None


def lend(
    refs: Iterable[SecretRef],
    environ: Mapping[str, str],
    read_file: Callable[[str], str],
    read_block: Callable[[str], str] | None = None,
) -> dict[str, str]:
    """The secrets behind all of `refs`, by reference. Raises SecretError as `resolve` does."""
    return {str(ref): resolve(ref, environ, read_file, read_block) for ref in refs}


def resolve(
    ref: SecretRef | str,
    environ: Mapping[str, str],
    read_file: Callable[[str], str],
    read_block: Callable[[str], str] | None = None,
) -> str:
    """The secret that `ref` refers to, without surrounding line breaks.

    `environ` is asked for `env:` references, `read_file` is called with the path of
    `file:` references, `read_block` with the name of `prefect:` references: it raises
    SecretError where there is no such block. Raises SecretError, naming the reference and
    never the secret, when the reference has a wrong form, leads nowhere, or leads to nothing
    or to several lines, which no HTTP header could carry.
    """
    kind, _, target = ref.partition(":")
    if kind == "env" and _ENVIRONMENT.fullmatch(ref):
        if target not in environ:
            raise SecretError(
                f"the environment variable {target} is not set",
                ref,
                f"Set {target} where the measurement runs",
            )
        secret = environ[target]
    elif kind == "file" and _FILE.fullmatch(ref):
        try:
            secret = read_file(target)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise SecretError(
                f"the file cannot be read ({reason})",
                ref,
                "Put the secret there, readable by the user that runs the measurement",
            ) from error
    elif kind == "prefect" and _BLOCK.fullmatch(ref):
        if read_block is None:
            raise SecretError(
                "Prefect keeps this secret, and is not asked here", ref, "Use env: or file:"
            )
        secret = read_block(target)
    else:
        raise SecretError("not a reference to a secret", "secret", SECRET_REMEDY)
    secret = secret.strip("\r\n")
    if not secret.strip():
        raise SecretError("the reference leads to an empty value", ref, "Store the secret there")
    if any(ord(character) < 32 or ord(character) == 127 for character in secret):
        raise SecretError(
            "the secret holds a line break or control character",
            ref,
            "Store the bare secret on one line",
        )
    return secret
