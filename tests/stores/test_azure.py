"""What is special to a store on Azure Blob Storage: who opens it, and how blobs are put."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_services import Azure, azurite_missing, certificate
from conftest import HASTY
from proxy import Proxy
from services import COUNTER, HERE

from tidemark.errors import AlreadyThere, StoreAway, StoreError
from tidemark.results.opening import options_of
from tidemark.results.store import Store, open_store

URI = f"az://{Azure.account}/results/p"
KEY = {"azure_account_key": Azure.key}


@pytest.fixture(scope="module")
def azure() -> Iterator[Azure]:
    if (why := azurite_missing()) is not None:
        pytest.skip(f"NOT TESTED: Azure Blob Storage: {why}")
    service = Azure()
    service.start()
    yield service
    service.stop()


@pytest.fixture
def between(azure: Azure) -> Iterator[Proxy]:
    proxy = Proxy(azure.endpoint_url or "")
    yield proxy
    proxy.close()


@pytest.fixture
def container(azure: Azure) -> str:
    name = f"results-{next(COUNTER)}"
    azure.create_bucket(name)
    return name


def secrets_of(azure: Azure, container: str, kind: str) -> str:
    token = azure.signature(container)
    return {
        "azure_account_key": azure.key,
        "azure_sas_token": f"?{token}",
        "azure_connection_string": "DefaultEndpointsProtocol=http;"
        f"AccountName={azure.account};AccountKey={azure.key};BlobEndpoint={azure.endpoint_url};",
        "with a signature": f"BlobEndpoint={azure.endpoint_url};SharedAccessSignature={token}",
    }[kind]


@pytest.mark.parametrize("source", ["given", "environment"])
@pytest.mark.parametrize(
    "kind",
    ["azure_account_key", "azure_sas_token", "azure_connection_string", "with a signature"],
)
def test_each_kind_of_credential_opens_it(
    azure: Azure, container: str, monkeypatch: pytest.MonkeyPatch, kind: str, source: str
) -> None:
    secret = secrets_of(azure, container, kind)
    name = kind if kind.startswith("azure_") else "azure_connection_string"
    in_string = name == "azure_connection_string"
    options = {} if in_string else {"endpoint_url": azure.endpoint_url or ""}
    given = {name: secret} if source == "given" else None
    if source == "environment":
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", azure.account)
        monkeypatch.setenv(name.upper().replace("AZURE_", "AZURE_STORAGE_"), secret)
    store = open_store(f"{URI.replace('results', container)}", options=options, credentials=given)
    assert store.probe().notes == ()
    assert options_of(store._files.files)["endpoint_url"] == azure.endpoint_url


CONNECTION = f"AccountName={Azure.account};AccountKey={Azure.key}"


@pytest.mark.parametrize(
    ("credentials", "options", "words"),
    [
        ({**KEY, "azure_sas_token": "sig=c4nary"}, {}, "azure_account_key .* azure_sas_token"),
        (
            {**KEY, "azure_connection_string": CONNECTION},
            {},
            "azure_account_key .* azure_connection",
        ),
        ({"azure_account_key": "c4nary"}, {}, "azure_account_key cannot be one"),
        ({"azure_sas_token": "sv=2026&c4nary"}, {}, "azure_sas_token cannot be one"),
        ({"azure_connection_string": "c4nary"}, {}, "azure_connection_string cannot be one"),
        ({"azure_connection_string": "AccountName=other;AccountKey=YQ=="}, {}, "account other"),
        (KEY, {"azure_account_name": "other"}, "azure_account_name says other"),
        ({"azure_acount_key": "c4nary"}, {}, "Did you mean azure_account_key?"),
    ],
)
def test_what_contradicts_itself_is_refused_before_anything_is_asked(
    between: Proxy, credentials: dict[str, str], options: dict[str, str], words: str
) -> None:
    options = {"endpoint_url": between.endpoint_url, **options}
    with pytest.raises(StoreError, match=words) as caught:
        open_store(URI, options=options, credentials=credentials)
    assert caught.value.remedy
    assert "c4nary" not in str(caught.value)
    assert Azure.key not in str(caught.value)
    assert between.asked == []


def test_credentials_of_the_environment_that_contradict_are_refused_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", Azure.key)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "other")
    with pytest.raises(StoreError, match="credentials are for the account other"):
        open_store(URI)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", Azure.account)
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sig=c4nary")
    with pytest.raises(StoreError, match="AZURE_STORAGE_SAS_TOKEN"):
        open_store(URI)
    open_store(URI, credentials=KEY)  # what is given needs no environment


def test_a_signature_that_may_only_read_says_which_rights_are_needed(
    azure: Azure, container: str
) -> None:
    token = azure.signature(container, rights="rl")
    options = {"endpoint_url": azure.endpoint_url or ""}
    uri = URI.replace("results", container)
    store = open_store(uri, options=options, credentials={"azure_sas_token": token})
    assert store.cells().num_rows == 0
    with pytest.raises(StoreAway, match="Storage Blob Data Contributor") as caught:
        store.probe()
    assert token.partition("sig=")[2] not in str(caught.value)


def test_the_encryption_scope_is_asked_for_with_each_blob_also_in_blocks(
    azure: Azure, container: str, between: Proxy
) -> None:
    uri = URI.replace("results", container)
    options = {"endpoint_url": between.endpoint_url, "encryption_scope": "harbour-scope"}
    store = open_store(uri, options=options, credentials=azure.credentials(), patience=HASTY)
    store.files.create("raw/x", b"x")
    store.files.replace("raw/x", b"y")
    large = bytes(65 * 2**20)
    store.files.create("raw/large", large)
    puts = [asked for asked in between.asked if asked.method == "PUT"]
    assert len(puts) > 10
    for asked in puts:
        named = {name.lower(): value for name, value in asked.headers.items()}
        assert named["x-ms-encryption-scope"] == "harbour-scope"
    with pytest.raises(AlreadyThere):
        store.files.create("raw/large", large)
    assert store.files.read("raw/large") == large


def test_nobody_is_told_how_to_be_somebody(between: Proxy, container: str) -> None:
    uri = URI.replace("results", container)
    store = open_store(uri, options={"endpoint_url": "https://127.0.0.1:9"}, patience=HASTY)
    with pytest.raises(StoreAway, match="no credentials were found") as caught:
        store.probe()
    assert "AZURE_STORAGE_ACCOUNT_KEY" in str(caught.value)
    with pytest.raises(StoreError, match="over https only") as caught:
        open_store(uri, options={"endpoint_url": between.endpoint_url})
    assert "AZURE_STORAGE_ACCOUNT_KEY" in str(caught.value)
    assert between.asked == []  # nobody went there without a name


def test_without_an_endpoint_the_public_cloud_is_asked() -> None:
    store = open_store(URI, credentials=KEY)
    assert "endpoint_url" not in options_of(store._files.files)
    client = store.files.filesystem.service_client
    assert client.primary_hostname == f"{Azure.account}.blob.core.windows.net"


PROBING = """
import json, logging, sys
logging.basicConfig(level=logging.DEBUG)
from tidemark.errors import StoreError
from tidemark.results.patience import Patience
from tidemark.results.store import open_store
uri, endpoint = sys.argv[1:]
store = open_store(uri, options={"endpoint_url": endpoint}, patience=Patience(tries=1))
try:
    print(json.dumps(store.probe().notes))
except StoreError as error:
    print(json.dumps(f"{type(error).__name__}: {error}"))
"""


class Guarded(Azure):
    """Azurite over https, which asks for tokens of Azure AD."""

    def __init__(self, paths: tuple[Path, Path]) -> None:
        super().__init__()
        self.more = ("--oauth=basic", f"--cert={paths[0]}", f"--key={paths[1]}")


class TokenServer(Azure):
    """Where Azure AD gives out tokens, and notes what it was asked for."""

    ready = b"serving"

    def __init__(self, paths: tuple[Path, Path], folder: Path) -> None:
        super().__init__()
        self.paths, self.seen = paths, folder / "asked.jsonl"

    def command(self) -> list[str]:
        return [sys.executable, str(HERE / "token_server.py"), str(self.port),
                *map(str, self.paths), str(self.seen)]  # fmt: skip

    def asked(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.seen.read_text().splitlines()]


@pytest.fixture(scope="module")
def directory(
    azure: Azure, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Guarded, TokenServer]]:
    assert azure.endpoint_url
    folder = tmp_path_factory.mktemp("directory")
    paths = certificate(folder)
    guarded, tokens = Guarded(paths), TokenServer(paths, folder)
    guarded.start()
    tokens.start()
    yield guarded, tokens
    guarded.stop()
    tokens.stop()


@pytest.mark.parametrize("kind", ["workload identity", "client secret", "refused"])
def test_azure_ad_opens_it_without_any_parameter(
    directory: tuple[Guarded, TokenServer], tmp_path: Path, kind: str
) -> None:
    guarded, tokens = directory
    (tmp_path / "federated").write_text("canary.federated.token")
    endpoint = f"https://127.0.0.1:{guarded.port}/{guarded.account}"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "SSL_CERT_FILE": str(tokens.paths[0]),
        "AZURE_AUTHORITY_HOST": f"https://127.0.0.1:{tokens.port}",
        "AZURE_TENANT_ID": "11111111-2222-3333-4444-555555555555",
        "AZURE_CLIENT_ID": "refused" if kind == "refused" else "harbour",
    }
    if kind == "workload identity":
        environment["AZURE_FEDERATED_TOKEN_FILE"] = str(tmp_path / "federated")
    else:
        environment["AZURE_CLIENT_SECRET"] = "canary-of-a-client-secret"
    done = subprocess.run(
        [sys.executable, "-c", PROBING, f"az://{guarded.account}/results/p", endpoint],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    asked = tokens.asked()[-1]
    assert asked["scope"] == "https://storage.azure.com/.default"
    assert "azure.identity" in done.stderr  # it has been told to write down all that it does
    for secret in ("canary", "eyJ", "Bearer ey"):
        assert secret not in done.stdout + done.stderr
    if kind == "refused":
        assert "StoreAway" in said
        assert "Azure AD refuses the credentials" in said
        return
    # The token is accepted; there is no container, which only an account's key could create.
    assert "there is no such container" in said
    proof = "client_assertion" if kind == "workload identity" else "client_secret"
    assert asked[proof].startswith("canary")


def opened(azure: Azure, container: str) -> Store:
    options = {"endpoint_url": azure.endpoint_url or ""}
    return open_store(
        URI.replace("results", container), options=options, credentials=azure.credentials()
    )


def test_a_folder_of_the_hierarchical_namespace_is_no_file(azure: Azure, container: str) -> None:
    store = opened(azure, container)
    store.files.create("raw/cell/attempt/x", b"x")
    with azure.client() as client, client.get_blob_client(container, "p/raw/cell") as folder:
        folder.upload_blob(b"", metadata={"hdi_isfolder": "true"})
    assert store.files.list("raw") == ["raw/cell/attempt/x"]
