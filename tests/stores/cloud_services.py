"""The services of Azure, Google and Oracle, as far as they can be had on one machine."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import (
    BlobServiceClient,
    ContainerSasPermissions,
    generate_container_sas,
)
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from services import HERE, Process, Wrong

AZURITE = HERE / "azurite"
AZURITE_SERVER = AZURITE / "node_modules/azurite/dist/src/blob/main.js"


def azurite_missing() -> str | None:
    """Why Azure's emulator cannot be run here; None if it can."""
    if shutil.which("node") is None:
        return "node is not installed, which Azurite needs"
    if not AZURITE_SERVER.exists():
        return "Azurite is not installed: npm --prefix tests/stores/azurite ci"
    return None


class Azure(Process):
    """Azurite, which checks keys and signatures."""

    name = "azure"
    account = "tidemarktest"
    path = f"/{account}"
    key = base64.b64encode(b"canary of an account key, 32 bytes"[:32]).decode()
    wrong_key = base64.b64encode(b"canary of a wrong key, 32 bytes.").decode()
    ready = b"successfully listens"
    variables = {"AZURITE_ACCOUNTS": f"{account}:{key}"}  # noqa: RUF012
    more: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.secrets = (self.key, self.wrong_key)

    def command(self) -> list[str]:
        return [
            "node",
            str(AZURITE_SERVER),
            "--blobHost=127.0.0.1",
            f"--blobPort={self.port}",
            "--inMemoryPersistence",
            "--disableTelemetry",
            "--skipApiVersionCheck",
            *self.more,
        ]

    def client(self) -> BlobServiceClient:
        """The official client, with the account's key."""
        credential = {"account_name": self.account, "account_key": self.key}
        return BlobServiceClient(self.endpoint_url or "", credential=credential)

    def create_bucket(self, name: str) -> None:
        with self.client() as client, contextlib.suppress(ResourceExistsError):
            client.create_container(name)

    def uri(self, bucket: str, prefix: str) -> str:
        return f"az://{self.account}/{bucket}/{prefix}"

    def credentials(self) -> dict[str, str]:
        return {"azure_account_key": self.key}

    def environment(self) -> dict[str, str]:
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": self.account,
            "AZURE_STORAGE_ACCOUNT_KEY": self.key,
        }

    def signature(self, bucket: str, rights: str = "rcwdl", minutes: int = 60) -> str:
        """A shared access signature of a container, as the official client makes one."""
        return str(
            generate_container_sas(
                self.account,
                bucket,
                account_key=self.key,
                permission=ContainerSasPermissions.from_string(rights),
                start=datetime.now(UTC) - timedelta(hours=2),
                expiry=datetime.now(UTC) + timedelta(minutes=minutes),
            )
        )

    def wrong(self) -> Sequence[Wrong]:
        expired = self.signature("anywhere", minutes=-60)
        return (
            Wrong("denied|wrong", {"azure_account_key": self.wrong_key}),
            Wrong("not valid now|wrong|denied", {"azure_sas_token": expired}),
        )


@cache
def key_pair(name: str) -> tuple[str, str]:
    """A private and a public RSA key in PEM, made for these tests only."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert name
    return private.decode(), public.decode()


def lines_of(key: str) -> str:
    """A line of a key, which must be nowhere."""
    return key.splitlines()[5]


class Gcs(Process):
    """The emulator of Google Cloud Storage, which checks tokens here."""

    name = "gcs"
    writer, stranger, nobody = (
        f"{who}@harbour.example" for who in ("writer", "stranger", "nobody")
    )

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        known = {who: key_pair(who)[1] for who in (self.writer, self.stranger)}
        keys = {"keys": known, "denied": [self.stranger]}
        (folder / "gcs.json").write_text(json.dumps(keys))
        self.secrets = (
            f"canary-token-of-{self.writer}",
            f"canary-token-of-{self.stranger}",
            *(lines_of(key_pair(who)[0]) for who in (self.writer, self.stranger, self.nobody)),
        )

    def command(self) -> list[str]:
        return [sys.executable, str(HERE / "gcs_server.py"), str(self.port),
                str(self.folder / "gcs.json")]  # fmt: skip

    def account_file(self, who: str, signed_by: str | None = None) -> str:
        """The file of a service account, whose tokens come from the server itself."""
        path = self.folder / f"{who}-{signed_by or who}.json"
        document = {
            "type": "service_account",
            "project_id": "harbour",
            "private_key_id": "0001",
            "private_key": key_pair(signed_by or who)[0],
            "client_email": who,
            "client_id": "1",
            "token_uri": f"http://127.0.0.1:{self.port}/token",
        }
        path.write_text(json.dumps(document))
        return str(path)

    def create_bucket(self, name: str) -> None:
        body = json.dumps({"name": name}).encode()
        asked = {"x_test_setup": "1", "content_type": "application/json"}
        listed = json.loads(self.ask("GET", "/storage/v1/b?project=harbour", **asked) or b"{}")
        if name not in [one["name"] for one in listed.get("items", ())]:
            self.ask("POST", "/storage/v1/b?project=harbour", body, **asked)

    def uri(self, bucket: str, prefix: str) -> str:
        return f"gs://{bucket}/{prefix}"

    def options(self, endpoint_url: str | None) -> dict[str, str]:
        return {
            **super().options(endpoint_url),
            "gcp_credentials_path": self.account_file(self.writer),
        }

    def environment(self) -> dict[str, str]:
        return {"GOOGLE_APPLICATION_CREDENTIALS": self.account_file(self.writer)}

    def wrong(self) -> Sequence[Wrong]:
        forged = self.account_file(self.writer, self.nobody)
        return (
            Wrong("credentials are refused", options={"gcp_credentials_path": forged}),
            Wrong("access is denied",
                  options={"gcp_credentials_path": self.account_file(self.stranger)}),
        )  # fmt: skip


class Oci(Process):
    """A server that speaks like OCI Object Storage, and verifies signatures."""

    name = "oci"
    tenancy, region = "ocid1.tenancy.oc1..made-up", "us-ashburn-1"
    session, expired = "canary.session.token", "canary.expired.token"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        known = {self.key_id(who): key_pair(who)[1] for who in ("writer", "stranger")}
        known |= {f"ST${self.session}": key_pair("writer")[1]}
        keys = {"keys": known, "denied": [self.key_id("stranger")]}
        (folder / "oci.json").write_text(json.dumps(keys))
        profiles = [self.profile("DEFAULT", "writer", "writer")]
        profiles += [self.profile("STRANGER", "stranger", "stranger")]
        profiles += [self.profile("FORGED", "writer", "nobody")]
        profiles += [self.profile("SESSION", "writer", "writer", self.session)]
        profiles += [self.profile("EXPIRED", "writer", "writer", self.expired)]
        self.config = folder / "config"
        self.config.write_text("\n".join(profiles))
        self.config.chmod(0o600)
        keys_of = (lines_of(key_pair(who)[0]) for who in ("writer", "stranger", "nobody"))
        self.secrets = (self.session, self.expired, *keys_of)

    def command(self) -> list[str]:
        return [sys.executable, str(HERE / "oci_server.py"), str(self.port),
                str(self.folder / "oci.json")]  # fmt: skip

    def key_id(self, who: str) -> str:
        return f"{self.tenancy}/ocid1.user.oc1..{who}/{self.fingerprint(who)}"

    def fingerprint(self, who: str) -> str:
        """Of a public key, as the service shows it."""
        key = serialization.load_pem_public_key(key_pair(who)[1].encode())
        der = key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digest = hashlib.md5(der).hexdigest()
        return ":".join(digest[place : place + 2] for place in range(0, 32, 2))

    def profile(self, name: str, who: str, signed_by: str, token: str | None = None) -> str:
        """A profile of the command line's configuration; its client would log all requests."""
        key = self.folder / f"{signed_by}.pem"
        key.write_text(key_pair(signed_by)[0])
        key.chmod(0o600)
        said = {
            "user": f"ocid1.user.oc1..{who}",
            "fingerprint": self.fingerprint(who),
            "tenancy": self.tenancy,
            "region": self.region,
            "key_file": str(key),
            "log_requests": "true",
        }
        if token is not None:
            (self.folder / f"{name}.token").write_text(token)
            said["security_token_file"] = str(self.folder / f"{name}.token")
        return "\n".join([f"[{name}]", *(f"{key}={value}" for key, value in said.items()), ""])

    def create_bucket(self, name: str) -> None:
        self.ask("POST", f"/n/harbour/b/{name}", x_test_setup="1")

    def uri(self, bucket: str, prefix: str) -> str:
        return f"oci://n/harbour/b/{bucket}/o/{prefix}"

    def options(self, endpoint_url: str | None) -> dict[str, str]:
        return {**super().options(endpoint_url), "config_file": str(self.config)}

    def environment(self) -> dict[str, str]:
        return {"OCI_CONFIG_FILE": str(self.config), "OCI_CLI_PROFILE": "DEFAULT"}

    def wrong(self) -> Sequence[Wrong]:
        session = {"auth": "security_token"}
        return (
            Wrong("does not know who asks", options={"profile": "FORGED"}),
            Wrong("may not use it", options={"profile": "STRANGER"}),
            Wrong("does not know who asks.*oci session", options={"profile": "EXPIRED", **session}),
            Wrong("does not know who asks", {"security_token": self.expired}, session),
        )


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    paths = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
         "-keyout", str(paths[1]), "-out", str(paths[0])],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return paths


def instance_identity(folder: Path, tenancy: str, region: str) -> tuple[tuple[Path, Path], Path]:
    """What the metadata service of an instance tells, left in a folder for the server to give.

    Answers the certificate and key of the region's federation, and whom it is vouched for by.
    """
    host = f"auth.{region}.oraclecloud.com"
    paths = folder / "federation.pem", folder / "federation-key.pem"
    leaf = folder / "cert.pem", folder / "key.pem"
    for (shown, key), subject in ((paths, f"/CN={host}"), (leaf, f"/OU=opc-tenant:{tenancy}")):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", subject, "-addext", f"subjectAltName=DNS:{host}",
             "-keyout", str(key), "-out", str(shown)],
            check=True,
            capture_output=True,
        )  # fmt: skip
    (folder / "intermediate.pem").write_text(leaf[0].read_text())
    (folder / "region").write_text(region)
    return paths, paths[0]
