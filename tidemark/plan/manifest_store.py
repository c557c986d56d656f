"""Where a BenchmarkJob puts its results: the URI, its options, and no secret.

Schemes and parameters are those of OME's `BuildStorageArgs`
(sgl-project/ome, `pkg/controller/v1beta1/benchmark/utils/utils.go`).
"""

from __future__ import annotations

from typing import Literal

from pydantic_core import PydanticCustomError

from tidemark.plan.manifest_reader import ManifestReader
from tidemark.plan.problems import did_you_mean
from tidemark.plan.secrets import SecretRef, looks_like_secret

__all__ = ["STORE_PARAMETERS", "read_store"]

_WHERE = "spec.outputLocation"

# scheme -> parameter -> whether its value is an option or a secret.
STORE_PARAMETERS: dict[str, dict[str, Literal["option", "secret"]]] = {
    "oci": {
        "auth": "option",
        "config_file": "option",
        "profile": "option",
        "region": "option",
        "security_token": "secret",
    },
    "s3": {
        "aws_access_key_id": "option",
        "aws_secret_access_key": "secret",
        "aws_profile": "option",
        "aws_region": "option",
    },
    "az": {
        "azure_account_name": "option",
        "azure_account_key": "secret",
        "azure_connection_string": "secret",
        "azure_sas_token": "secret",
    },
    "gs": {"gcp_project_id": "option", "gcp_credentials_path": "option"},
    "github": {"github_token": "secret"},
    "pvc": {},
    # Not of OME, but stores of ours.
    "oss": {},
    "file": {},
}

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
    known = ", ".join(f"{name}://" for name in STORE_PARAMETERS)
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
    if scheme not in STORE_PARAMETERS:
        reader.problem(where, "has an unknown scheme", did_you_mean(scheme, STORE_PARAMETERS))
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
    kinds = {
        parameter: kind
        for parameters in STORE_PARAMETERS.values()
        for parameter, kind in parameters.items()
    }
    kind = kinds.get(name)
    if kind is None:
        own = STORE_PARAMETERS.get(scheme or "", {}) or kinds
        reader.problem(where, "is no known parameter", did_you_mean(name, own))
        return None
    if kind == "secret":
        kept = _secret(reader, where, name, value)
    elif looks_like_secret(value) and name != "aws_access_key_id":
        reader.problem(where, "looks like a secret, and is not one by its name", "Remove it")
        kept = None
    else:
        kept = value
    if scheme is not None and name not in STORE_PARAMETERS[scheme]:
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
