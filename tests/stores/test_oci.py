"""What is special to a store on OCI Object Storage: who opens it, and how objects are put."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from cloud_services import Oci, instance_identity
from conftest import HASTY
from services import COUNTER

from tidemark.errors import StoreAway, StoreError
from tidemark.results.store import Store, open_store

VAULT_KEY = "ocid1.key.oc1.iad.made-up"


@pytest.fixture(scope="module")
def oci(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oci]:
    service = Oci(tmp_path_factory.mktemp("oci"))
    service.start()
    yield service
    service.stop()


@pytest.fixture
def bucket(oci: Oci) -> str:
    name = f"results-{next(COUNTER)}"
    oci.create_bucket(name)
    return name


def opened(oci: Oci, bucket: str, token: str | None = None, **more: str) -> Store:
    options = {**oci.options(oci.endpoint_url), **more}
    credentials = {} if token is None else {"security_token": token}
    return open_store(
        oci.uri(bucket, "p"), options=options, credentials=credentials, patience=HASTY
    )


def test_a_profile_of_a_user_or_of_a_session_opens_it(oci: Oci, bucket: str) -> None:
    session = {"auth": "security_token", "profile": "SESSION"}
    for store in (
        opened(oci, bucket),
        opened(oci, bucket, auth="user_principal", profile="DEFAULT"),
        opened(oci, bucket, **session),
        opened(oci, bucket, oci.session, auth="security_token", profile="DEFAULT"),
    ):
        assert store.probe().notes == ()


def test_a_session_that_is_renewed_while_a_run_goes_on_is_used(oci: Oci, bucket: str) -> None:
    file = oci.folder / "EXPIRED.token"
    store = opened(oci, bucket, auth="security_token", profile="EXPIRED")
    with pytest.raises(StoreAway, match="oci session refresh"):
        store.probe()
    file.write_text(f"{oci.session}\n")
    assert store.probe().notes == ()
    file.unlink()
    with pytest.raises(StoreAway, match="the file of the token cannot be read"):
        store.probe()
    file.write_text(oci.expired)


@pytest.mark.parametrize(
    ("options", "credentials", "words"),
    [
        ({}, {"security_token": "c4nary"}, "auth=security_token only"),
        ({"auth": "security_token"}, {"delegation_token": "c4nary"}, "auth=instance_obo_user only"),
        ({"auth": "instance_principal", "profile": "DEFAULT"}, {}, "profile is given"),
        ({"auth": "instance_obo_user"}, {}, "delegation_token"),
        ({"profile": "ABSENT"}, {}, "no profile ABSENT"),
        ({"auth": "security_token", "profile": "DEFAULT"}, {}, "no security_token_file"),
        ({"auth": "user_principle"}, {}, "Did you mean user_principal"),
    ],
)
def test_what_contradicts_itself_is_refused_before_anything_is_asked(
    oci: Oci, options: dict[str, str], credentials: dict[str, str], words: str
) -> None:
    given = {"endpoint_url": "http://127.0.0.1:9", **options}
    if options.get("auth") not in ("instance_principal", "instance_obo_user"):
        given["config_file"] = str(oci.config)
    with pytest.raises(StoreError, match=words) as caught:
        open_store(oci.uri("results", "p"), options=given, credentials=credentials)
    assert not isinstance(caught.value, StoreAway)
    assert caught.value.remedy
    assert "c4nary" not in str(caught.value)


def test_a_configuration_that_cannot_be_used_is_named(oci: Oci, tmp_path: Path) -> None:
    path = tmp_path / "config"
    uri = oci.uri("results", "p")
    with pytest.raises(StoreError, match="no configuration file"):
        open_store(uri, options={"config_file": str(path)})
    key = tmp_path / "key.pem"
    key.write_text("c4nary")
    key.chmod(0o600)
    lines = oci.config.read_text().split("\n\n")[0].splitlines()
    lines = [f"key_file={key}" if line.startswith("key_file") else line for line in lines]
    path.write_text("\n".join(lines))
    with pytest.raises(StoreError, match="the key_file of the profile DEFAULT cannot") as caught:
        open_store(uri, options={"config_file": str(path)})
    assert "c4nary" not in str(caught.value)
    path.write_text("\n".join(line for line in lines if not line.startswith("fingerprint")))
    with pytest.raises(StoreError, match="has no fingerprint"):
        open_store(uri, options={"config_file": str(path)})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("pass_phrase=c4nary\n[DEFAULT]\nuser=a\n", "line 1 stands before any"),
        ("[DEFAULT]\nuser=a\nc4nary=b\nc4nary=c\n", "line 4 names again"),
        ("[c4nary]\n[c4nary]\n", "line 2 names again"),
        ("[DEFAULT]\nuser=a\nc4nary\n", "line 3 is no name=value"),
    ],
)
def test_a_configuration_that_is_mistyped_is_not_shown(
    tmp_path: Path, content: str, words: str
) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(StoreError, match=words) as caught:
        open_store("oci://n/harbour/b/results/o/p", options={"config_file": str(path)})
    assert "c4nary" not in "".join(traceback.format_exception(caught.value))
    assert "each name=value once" in str(caught.value)


def test_the_key_of_a_vault_is_named_with_each_object(oci: Oci, bucket: str) -> None:
    store = opened(oci, bucket, sse_kms_key_id=VAULT_KEY)
    store.files.create("raw/x", b"x")
    store.files.replace("raw/y", b"y")
    client = store.files.filesystem.oci_client
    for name in ("p/raw/x", "p/raw/y"):
        headers = client.head_object("harbour", bucket, name).headers
        assert headers["opc-sse-kms-key-id"] == VAULT_KEY
    with pytest.raises(StoreAway, match="the encryption key cannot be used"):
        opened(oci, bucket, sse_kms_key_id=f"{VAULT_KEY}.disabled").probe()


def test_without_an_endpoint_the_one_of_the_region_is_asked(oci: Oci) -> None:
    options = {"config_file": str(oci.config)}
    for more, region in (({}, oci.region), ({"region": "eu-frankfurt-1"}, "eu-frankfurt-1")):
        store = open_store(oci.uri("results", "p"), options={**options, **more})
        client: Any = store.files.filesystem.oci_client
        assert f"https://objectstorage.{region}." in client.base_client.get_endpoint()


def test_the_server_refuses_who_signs_with_another_clock(oci: Oci, bucket: str) -> None:
    """Else the tests here would prove nothing about signatures."""
    signer: Any = opened(oci, bucket).files.filesystem.oci_client.base_client.signer
    path = f"/n/harbour/b/{bucket}/o"
    heard = {}
    for shift_s in (0, 3600, -3600):
        date = formatdate(time.time() + shift_s, usegmt=True)
        host = f"127.0.0.1:{oci.port}"
        signed = signer._basic_signer.sign({"date": date}, host=host, method="get", path=path)
        asking = http.client.HTTPConnection(host, timeout=20)
        asking.request("GET", path, headers={**signed, "date": date})
        heard[shift_s] = asking.getresponse().status
        asking.close()
    assert heard == {0: 200, 3600: 401, -3600: 401}


class Federation(threading.Thread):
    """In the place of the region's own: a way out that leads https to the server here."""

    def __init__(self, port: int, paths: tuple[Path, Path]) -> None:
        super().__init__(daemon=True)
        self.port, self.hosts = port, list[str]()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*paths)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    def run(self) -> None:
        while True:
            try:
                asking, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(asking,), daemon=True).start()

    def serve(self, asking: socket.socket) -> None:
        with asking, contextlib.suppress(OSError):
            asked = asking.recv(4096)
            self.hosts.append(asked.split()[1].decode())
            asking.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with self.context.wrap_socket(asking, server_side=True) as inside:
                self.pass_on(inside)

    def pass_on(self, inside: ssl.SSLSocket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            if not (data := inside.recv(65536)):
                return
            request += data
        head, _, body = request.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < size:
            body += inside.recv(65536)
        with socket.create_connection(("127.0.0.1", self.port)) as outside:
            outside.sendall(head.replace(b"keep-alive", b"close") + b"\r\n\r\n" + body)
            while data := outside.recv(65536):
                inside.sendall(data)


PROBING = """
import json, sys
from tidemark.errors import StoreError
from tidemark.results.patience import Patience
from tidemark.results.store import open_store
uri, options, credentials = sys.argv[1], *map(json.loads, sys.argv[2:])
store = open_store(uri, options=options, credentials=credentials, patience=Patience(tries=1))
try:
    print(json.dumps(store.probe().notes))
except StoreError as error:
    print(json.dumps(f"{type(error).__name__}: {error}"))
"""


@pytest.mark.parametrize("kind", ["instance", "user", "user of a file", "revoked", "no instance"])
def test_an_instance_opens_it_for_itself_or_for_a_user(
    oci: Oci, bucket: str, tmp_path: Path, kind: str
) -> None:
    paths, authority = instance_identity(oci.folder, oci.tenancy, oci.region)
    federation = Federation(oci.port, paths)
    federation.start()
    options = {"endpoint_url": oci.endpoint_url, "auth": "instance_obo_user"}
    credentials = {}
    if kind in ("instance", "no instance"):
        options["auth"] = "instance_principal"
    elif kind == "user of a file":
        (tmp_path / "token").write_text("canary.delegation.token\n")
        (tmp_path / "config").write_text(f"[DEFAULT]\ndelegation_token_file={tmp_path}/token\n")
        options["config_file"] = str(tmp_path / "config")
    else:
        revoked = "canary.revoked.token"
        token = revoked if kind == "revoked" else "canary.delegation.token"
        credentials["delegation_token"] = token
    metadata = f"http://127.0.0.1:{9 if kind == 'no instance' else oci.port}/opc/v2"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "OCI_METADATA_BASE_URL": metadata,
        "HTTPS_PROXY": federation.url,
        "NO_PROXY": "127.0.0.1",
        "REQUESTS_CA_BUNDLE": str(authority),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROBING, oci.uri(bucket, "p"), json.dumps(options),
         json.dumps(credentials)],
        capture_output=True, text=True, timeout=120, env=environment, check=False,
    )  # fmt: skip
    federation.listening.close()
    assert done.returncode == 0, done.stderr
    assert "canary" not in done.stdout + done.stderr
    said = json.loads(done.stdout)
    if kind == "no instance":
        assert "StoreBusy" in said
    elif kind == "revoked":
        assert "StoreAway" in said
        assert "Ask for a new delegation token" in said
    else:
        assert said == []
    if kind != "no instance":
        assert {*federation.hosts} == {f"auth.{oci.region}.oraclecloud.com:443"}
