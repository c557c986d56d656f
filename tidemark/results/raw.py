"""What is kept of an engine's own files: the text of them, redacted and compressed.

Files that are no text (spreadsheets, pictures, archives) are not kept: a secret inside one cannot
be looked for, and everything in them is drawn from the text files anyway. `attempt.json` names
them, and says of the others what they are.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from tidemark.results.layout import ATTEMPT_FILE
from tidemark.results.redact import Redactor
from tidemark.results.schema import SCHEMA_VERSION

__all__ = ["KeptRaw", "keep_raw"]

_CHUNK: Final = 1 << 20
_SNIFFED: Final = 8192
_NO_TEXT: Final = re.compile(
    r"(?i)\.(7z|bz2|db|gz|jpe?g|parquet|pdf|pickle|pkl|png|pyc|sqlite|tar|tgz|webp|xlsx?|xz|zip|zst)"
)


@dataclass(frozen=True, slots=True)
class KeptRaw:
    """Files by name, ready to be stored; `attempt.json` is one of them."""

    files: Mapping[str, bytes]
    evidence_sha256: str


def keep_raw(
    identity: Mapping[str, str],
    files: Mapping[str, bytes | Path],
    context: Mapping[str, Any],
    record: Mapping[str, Any],
    redactor: Redactor,
) -> KeptRaw:
    """The engine's files as they are kept, in the order of their names, `attempt.json` last.

    `identity` (run, cell, attempt), `context` (JSON values: exit status, times, versions) and
    `record` (of `record_of`) go into `attempt.json`. The same input gives the same bytes.
    """
    kept: dict[str, bytes] = {}
    described, left_out = [], []
    for name in sorted(files):
        if _NO_TEXT.fullmatch(Path(name).suffix) or b"\0" in _head(files[name]):
            left_out.append({"name": name, "reason": "no text: secrets in it cannot be found"})
            continue
        stored_as = "engine-" + name if name == ATTEMPT_FILE else name
        packed, digest, size = _packed(redactor.stream(_chunks(files[name])))
        kept[f"{stored_as}.gz"] = packed
        described.append(
            {
                "name": name,
                "stored_as": f"{stored_as}.gz",
                "sha256": digest,
                "size_bytes": size,
            }
        )
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        **identity,
        **{name: redactor.tree(value) for name, value in record.items()},
        "context": redactor.tree(dict(context)),
        "files": described,
        "not_kept": left_out,
    }
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    evidence = redactor.text(text).encode("utf-8", "backslashreplace") + b"\n"
    kept[ATTEMPT_FILE] = evidence
    return KeptRaw(kept, hashlib.sha256(evidence).hexdigest())


def _head(source: bytes | Path) -> bytes:
    if isinstance(source, bytes):
        return source[:_SNIFFED]
    with source.open("rb") as opened:
        return opened.read(_SNIFFED)


def _chunks(source: bytes | Path) -> Iterator[bytes]:
    if isinstance(source, bytes):
        for begin in range(0, len(source), _CHUNK):
            yield source[begin : begin + _CHUNK]
        return
    with source.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            yield chunk


def _packed(chunks: Iterator[bytes]) -> tuple[bytes, str, int]:
    """(gzip bytes, SHA-256 of the text before, its length). No time inside: bytes must repeat."""
    sink, digest, size = BytesIO(), hashlib.sha256(), 0
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=sink, mtime=0) as packer:
        for chunk in chunks:
            packer.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return sink.getvalue(), digest.hexdigest(), size
