"""What a store at each kind of location can be told: options, and credentials by reference.

Names that a BenchmarkJob of OME gives differently are understood too (sgl-project/ome,
`pkg/controller/v1beta1/benchmark/utils/utils.go`, and the parameters of its documentation).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["PARAMETERS", "Parameter", "find_parameter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One thing a store can be told.

    An `option` is written as it is. A `secret` is given as a reference wherever it is kept, and a
    `key id` may be: it names a key and opens nothing. `choices` are its values, if they are few;
    `also` is its name in a BenchmarkJob, where that is another.
    """

    name: str
    meaning: str
    kind: Literal["option", "key id", "secret"] = "option"
    choices: tuple[str, ...] = ()
    also: str | None = None
    is_url: bool = False

    @property
    def is_credential(self) -> bool:
        """Whether it belongs to what opens a store, and not to how one is used."""
        return self.kind != "option"


def _option(
    name: str, meaning: str, *choices: str, also: str | None = None, is_url: bool = False
) -> Parameter:
    return Parameter(name=name, meaning=meaning, choices=choices, also=also, is_url=is_url)


def _secret(name: str, meaning: str, also: str | None = None) -> Parameter:
    return Parameter(name=name, meaning=meaning, kind="secret", also=also)


def _key_id(name: str, meaning: str, also: str | None = None) -> Parameter:
    return Parameter(name=name, meaning=meaning, kind="key id", also=also)


_BOOLEAN: Final = ("true", "false")

PARAMETERS: Final[Mapping[str, tuple[Parameter, ...]]] = {
    "file": (),
    "s3": (
        _option(
            "endpoint_url",
            "address of a service that speaks like S3; default: AWS_ENDPOINT_URL, or AWS",
            is_url=True,
        ),
        _option("region", "where the bucket's URI names none", also="aws_region"),
        _option(
            "addressing_style",
            "where the bucket's name goes in the address",
            "path", "virtual", "auto",
        ),
        _option(
            "profile",
            "of the AWS configuration files; default: AWS_PROFILE",
            also="aws_profile",
        ),
        _option("anonymous", "true: requests without credentials", *_BOOLEAN),
        _option(
            "sse",
            "encryption by the service, asked for with each object",
            "AES256", "aws:kms",
        ),
        _option("sse_kms_key_id", "the key, with sse aws:kms; default: the account's"),
        _key_id("access_key_id", "id of an access key", also="aws_access_key_id"),
        _secret("secret_access_key", "the access key's secret", also="aws_secret_access_key"),
        _secret("session_token", "of temporary credentials", also="aws_session_token"),
    ),
    "oss": (
        _option("endpoint_url", "address in place of the region's own", is_url=True),
        _option("region", "where the bucket's URI names none; default: the configured region"),
        _option(
            "network",
            "vpc: the address within the region, free of traffic charges; default: as configured",
            "public", "vpc",
        ),
        _option("addressing_style", "where the bucket's name goes in the address",
                "path", "virtual"),
        _option("profile", "of the Alibaba Cloud CLI's configuration"),
        _option(
            "sse",
            "encryption by the service, asked for with each object",
            "AES256", "KMS", "SM4",
        ),
        _option("sse_kms_key_id", "the key, with sse KMS; default: the service's"),
        _key_id("access_key_id", "id of an access key"),
        _secret("access_key_secret", "the access key's secret"),
        _secret("security_token", "of temporary credentials (STS)"),
    ),
    "oci": (
        _option(
            "auth",
            "how requests are signed; default: user_principal",
            "user_principal", "instance_principal", "security_token", "instance_obo_user",
        ),
        _option(
            "config_file",
            "configuration of the OCI command line; default: ~/.oci/config, or OCI_CONFIG_FILE",
        ),
        _option("profile", "in that file; default: OCI_CLI_PROFILE, or DEFAULT"),
        _option("region", "default: that of the profile or the instance"),
        _option("endpoint_url", "address in place of the region's own", is_url=True),
        _option("sse_kms_key_id", "OCID of the key in a vault that encrypts each object"),
        _secret("security_token", "session token, for auth security_token"),
        _secret("delegation_token", "the user's token, for auth instance_obo_user"),
    ),
    "az": (
        _option("azure_account_name", "the storage account; as in the URI"),
        _option("endpoint_url", "address of the account's blobs, if not the public cloud's",
                is_url=True),
        _option("encryption_scope", "encryption scope that each blob is written in"),
        _secret(
            "azure_account_key",
            "a key of the storage account; default: AZURE_STORAGE_ACCOUNT_KEY",
        ),
        _secret(
            "azure_connection_string",
            "a connection string; default: AZURE_STORAGE_CONNECTION_STRING",
        ),
        _secret(
            "azure_sas_token",
            "a shared access signature; default: AZURE_STORAGE_SAS_TOKEN, or Azure AD",
        ),
    ),
    "gs": (
        _option(
            "gcp_project_id",
            "the project that requests are counted for; default: of the credentials",
        ),
        _option(
            "gcp_credentials_path",
            "file of a service account; default: GOOGLE_APPLICATION_CREDENTIALS, or what else are "
            "application default credentials",
        ),
        _option(
            "endpoint_url",
            "address in place of Google's own; default: STORAGE_EMULATOR_HOST, if set",
            is_url=True,
        ),
        _option("kms_key_name", "resource name of the key that encrypts each object"),
    ),
    "github": (
        _option(
            "endpoint_url",
            "a GitHub Enterprise server, or its API; default: GITHUB_API_URL, or GitHub",
            is_url=True,
        ),
        _secret(
            "github_token",
            "a token that may write contents; default: GITHUB_TOKEN, then GH_TOKEN",
        ),
    ),
    "pvc": (
        _option("mount_path", "folder where the claim is mounted; default: /mnt/<claim>"),
    ),
}  # fmt: skip
"""What a store can be told, by the scheme of its location."""


def find_parameter(scheme: str, name: str) -> Parameter | None:
    """The parameter of this name, or of this name in a BenchmarkJob; None if there is none."""
    for parameter in PARAMETERS.get(scheme, ()):
        if name in (parameter.name, parameter.also):
            return parameter
    return None
