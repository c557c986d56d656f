"""What a store of each kind can be told, as groups of fields of a form."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, create_model

from tidemark.errors import StoreError
from tidemark.plan.base import Name, PlanModel
from tidemark.plan.problems import refusal
from tidemark.plan.secrets import SecretRef
from tidemark.plan.store_parameters import PARAMETERS, Parameter
from tidemark.results.options import sort_parameters
from tidemark.results.providers.provider import PROVIDERS

__all__ = ["SCHEMES", "settings_field", "settings_of"]

SCHEMES: Final = tuple(scheme for scheme, parameters in PARAMETERS.items() if parameters)
"""Schemes of the locations that have settings."""

_EXAMPLES: Final = {
    "azure_account_name": "myaccount",
    "config_file": "/etc/oci/config",
    "encryption_scope": "benchmarks",
    "endpoint_url": "https://storage.example.com",
    "gcp_credentials_path": "/secrets/service-account.json",
    "gcp_project_id": "my-project-123",
    "kms_key_name": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
    "mount_path": "/mnt/results",
    "profile": "benchmarks",
    "region": "eu-central-1",
    "sse_kms_key_id": "alias/benchmarks",
}

# Who saves a store wants to write to it, which nobody may anonymously.
_LEFT_OUT: Final = {("s3", "anonymous")}


def settings_of(scheme: str) -> Any:
    """A model with a field for each parameter of a store at locations of this scheme."""
    fields: dict[str, Any] = {
        parameter.name: (_type_of(scheme, parameter) | None, _field_of(parameter))
        for parameter in PARAMETERS[scheme]
        if (scheme, parameter.name) not in _LEFT_OUT
    }
    name = f"{scheme.capitalize()}Settings"
    title = PROVIDERS[scheme].title
    return create_model(name, __base__=PlanModel, __doc__=f"Settings of {title}.", **fields)


def settings_field(scheme: str) -> Any:
    """The field of a store for its settings, if it is of this kind."""
    first = next(one for one in PARAMETERS[scheme] if one.name in _EXAMPLES)
    return Field(
        default=None,
        title=PROVIDERS[scheme].title,
        examples=[{first.name: _EXAMPLES[first.name]}],
        description=f"For {scheme}:// only. Left out, all is as the environment of the run has it.",
    )


def _type_of(scheme: str, parameter: Parameter) -> Any:
    if parameter.choices:
        return Literal[parameter.choices]
    if parameter.kind == "secret":
        return SecretRef

    def check(value: str) -> str:
        try:
            options, credentials = sort_parameters(scheme, {parameter.name: value})
        except StoreError as error:
            if error.where == scheme and "is used with" in error.what:
                return value  # judged with the others
            raise refusal(error.what, error.remedy or "Correct it") from None
        return {**options, **credentials}[parameter.name]

    return Annotated[Name, AfterValidator(check)]


def _field_of(parameter: Parameter) -> Any:
    title = parameter.name.replace("_", " ").capitalize().replace(" url", " URL")
    description = parameter.meaning[0].upper() + parameter.meaning[1:] + "."
    examples = [*parameter.choices] or [_EXAMPLES.get(parameter.name, parameter.name)]
    if parameter.is_credential:
        description += (
            " As a reference: env:NAME, file:/absolute/path, or prefect:NAME for a saved Secret "
            "block."
        )
        name = parameter.name
        examples = [f"prefect:{name.replace('_', '-')}", f"env:{name.upper()}"]
    return Field(default=None, title=title, description=description, examples=examples)
