"""Where a BenchmarkJob puts its results: the URI, its options, and no secret.

Schemes and parameters are those of OME's `BuildStorageArgs`
(sgl-project/ome, `pkg/controller/v1beta1/benchmark/utils/utils.go`).
"""

from __future__ import annotations

from pydantic_core import PydanticCustomError

from tidemark.plan.manifest_reader import ManifestReader
from tidemark.plan.problems import did_you_mean
from tidemark.plan.secrets import SecretRef, looks_like_secret
from tidemark.plan.store_parameters import PARAMETERS, find_parameter

__all__ = ["read_store"]

_WHERE = "spec.outputLocation"

_NOT_STORES = {
    "hf": "the Hugging Face hub keeps models, not results",
    "vendor": "vendor storage is for models",
    "local": "local:// is for models; write file:///path",
    "modelpack": "a model package keeps models, not results",
}


def read_store(reader: ManifestReader) -> tuple[str | None, dict[str, str]]:
    """The store's URI and its options, from `spec.outputLocation`.

    Options that are secrets come as SecretRef. What is wrong becomes a problem of the
    reader; the value of a secret is never repeated.
    """
    reader.mapping(_WHERE, required=True)
    uri = None
    if reader.mapping(_WHERE) is not None:
        uri = reader.text(f"{_WHERE}.storageUri", required=True)
    scheme = _scheme(reader, uri) if uri is not None else None
    options = {}
    for name, value in reader.texts(f"{_WHERE}.parameters").items():
        kept = _parameter(reader, scheme, name, value)
        if kept is not None:
            options[name] = kept
    if scheme == "github" and "github_token" not in options:
        reader.warn(
            f"{_WHERE}.parameters",
            "github_token is not given, and releases cannot be written without one; "
            "add github_token: env:GITHUB_TOKEN",
        )
    return uri, options


def _scheme(reader: ManifestReader, uri: str) -> str | None:
    where = f"{_WHERE}.storageUri"
    scheme, separator, rest = uri.partition("://")
    known = ", ".join(f"{name}://" for name in PARAMETERS)
    if not separator or not scheme:
        reader.problem(where, "is not a URI", f"Begin with one of {known}")
        return None
    if scheme in _NOT_STORES:
        reader.problem(
            where,
            f"results cannot be kept at {scheme}://: {_NOT_STORES[scheme]}",
            f"Begin with one of {known}",
        )
        return None
    if scheme not in PARAMETERS:
        reader.problem(where, "has an unknown scheme", did_you_mean(scheme, PARAMETERS))
        return None
    if not rest.strip("/"):
        reader.problem(where, "names no place", f"Write the place after {scheme}://")
        return None
    if "?" in rest or "#" in rest or (":" in rest.partition("@")[0] and "@" in rest):
        reader.problem(
            where,
            "holds a query, a fragment or a password",
            "Write scheme and path only; credentials belong in parameters, as references",
        )
        return None
    return scheme


def _parameter(reader: ManifestReader, scheme: str | None, name: str, value: str) -> str | None:
    where = f"{_WHERE}.parameters.{name}"
    known = {each: found for each in PARAMETERS if (found := find_parameter(each, name))}
    if not known:
        own = [each.also or each.name for each in PARAMETERS.get(scheme or "", ())]
        every = [each.also or each.name for found in PARAMETERS.values() for each in found]
        reader.problem(where, "is no known parameter", did_you_mean(name, own or every))
        return None
    parameter = known.get(scheme or "") or next(iter(known.values()))
    kept: str | None = value
    if parameter.kind == "secret":
        kept = _secret(reader, where, name, value)
    elif parameter.kind == "option" and looks_like_secret(value):
        reader.problem(where, "looks like a secret, and is not one by its name", "Remove it")
        kept = None
    if scheme is not None and scheme not in known:
        reader.warn(where, f"has no effect on a store at {scheme}://")
        return None
    return kept


def _secret(reader: ManifestReader, where: str, name: str, value: str) -> str | None:
    try:
        return SecretRef.parse(value)
    except PydanticCustomError:
        reader.problem(
            where,
            "is a credential, and manifests are stored and printed",
            f"Write {name}: env:{name.upper()}, with the variable set where the run starts, or "
            f"{name}: file:/absolute/path",
        )
        return None
