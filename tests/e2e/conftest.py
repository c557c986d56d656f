"""The whole product as people meet it: a Prefect server, a worker, a service, and a browser."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tidemark.config import load_config
from tidemark.engines.calibration import simulated_endpoint
from tidemark.simulator.pai.process import pai_process
from tidemark.simulator.tokenizer import build_tokenizer

ROOT = Path(__file__).parent.parent.parent
SCREENSHOTS = ROOT / "e2e"
POOL = "local-process"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
KEY = "canary-key-7a1b2c3d4e5f6071"
ACCESS_KEY_ID = "LTAIcanary0000000001"
ACCESS_KEY_SECRET = "canary-access-key-secret-4d3c2b1a"
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """What the condition answers once it is true. Fails after some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    pytest.fail(f"not within {seconds:g} s: {what}")


@dataclass
class Installation:
    """A server with its deployments, a worker, a cloud, and the folders they work in."""

    url: str
    home: Path
    environ: Mapping[str, str]
    deployments: Mapping[str, str]

    @property
    def deployment_id(self) -> str:
        return self.deployments["sweep"]

    @property
    def api(self) -> str:
        return f"{self.url}/api"

    @property
    def results(self) -> Path:
        return self.home / "results"

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """What the server answers once its database is not locked, as its own clients wait."""

        def answered() -> httpx.Response | None:
            answer = httpx.request(method, f"{self.api}{path}", json=body, timeout=30)
            return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer

        answer: httpx.Response = wait_until(answered, "the server answers")
        return answer

    def post(self, path: str, body: Any) -> Any:
        return self.ask("POST", path, body).raise_for_status().json()

    def run(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"/flow_runs/{run_id}").json()
        return found

    def newest_run(self) -> dict[str, Any] | None:
        """The newest run that a person started: others come by themselves meanwhile."""
        started = [self.deployments[name] for name in ("sweep", "dlc-benchmark")]
        wanted = {"deployments": {"id": {"any_": started}}}
        runs = self.post("/flow_runs/filter", {**wanted, "sort": "EXPECTED_START_TIME_DESC"})
        by_hand = (
            run
            for run in runs
            if not run["auto_scheduled"] and (run["created_by"] or {}).get("type") != "AUTOMATION"
        )
        return next(by_hand, None)

    def artifact(self, run_id: str, key: str) -> dict[str, Any] | None:
        wanted = {"artifacts": {"flow_run_id": {"any_": [run_id]}, "key": {"any_": [key]}}}
        found = self.post("/artifacts/filter", wanted)
        return found[0] if found else None

    def state(self, run_id: str) -> str:
        return str(self.run(run_id)["state"]["type"])

    def engines(self) -> list[psutil.Process]:
        """The load engine's processes of this installation."""
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if self.environ["TIDEMARK_HOME"] in " ".join(process.info["cmdline"] or ())
        ]


def prefect(environ: Mapping[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        cwd=ROOT, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def _stop(process: subprocess.Popen[bytes]) -> None:
    # A worker takes the first SIGTERM for a wish, and the second for an order.
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                continue


@pytest.fixture(scope="session")
def cloud() -> Iterator[str]:
    """The address of a simulated account, in which a minute takes a second."""
    environ = {**os.environ, "CANARY_ACCESS_KEY_SECRET": ACCESS_KEY_SECRET}
    account = ("--account", f"{ACCESS_KEY_ID}:CANARY_ACCESS_KEY_SECRET")
    with pai_process("--speed", "60", *account, environ=environ) as ready:
        yield ready.url


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory, cloud: str) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("installation")
    engines = load_config(os.environ, Path.cwd()).engines.resolve()
    (home / "tidemark").mkdir()
    (home / "tidemark" / "engines").symlink_to(engines)
    # Commands start elsewhere: a folder `tidemark` beside them would hide the package.
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_UI_URL": f"http://127.0.0.1:{port}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "DO_NOT_TRACK": "1",
        "TIDEMARK_HOME": str(home / "tidemark"),
        "TIDEMARK_PAI_ENDPOINT": cloud,
        "ALIBABA_CLOUD_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": ACCESS_KEY_SECRET,
    }
    url = f"http://127.0.0.1:{port}"
    client = {**environ, "PREFECT_API_URL": f"{url}/api", "PREFECT_WORKER_QUERY_SECONDS": "2"}
    started: list[subprocess.Popen[bytes]] = []

    def start(log: str, environ: Mapping[str, str], *arguments: str) -> None:
        with (home / log).open("wb") as words:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "prefect", *arguments],
                    cwd=elsewhere, env=environ, stdin=subprocess.DEVNULL, stdout=words,
                    stderr=words, start_new_session=True,
                )
            )  # fmt: skip

    def healthy() -> bool:
        try:
            return httpx.get(f"{url}/api/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        start("server.log", environ, "server", "start", "--host", "127.0.0.1")
        wait_until(healthy, "the Prefect server answers", 120)
        prefect(client, "block", "register", "-m", "blocks")
        prefect(client, "work-pool", "create", POOL, "--type", "process")
        prefect(client, "deploy", "--all")
        start("worker.log", client, "worker", "start", "--pool", POOL)
        found = httpx.post(f"{url}/api/deployments/filter", json={}, timeout=30).json()
        deployments = {deployment["name"]: deployment["id"] for deployment in found}
        yield Installation(url, home, client, deployments)
    finally:
        for process in reversed(started):
            _stop(process)


@pytest.fixture(scope="session")
def tokenizer(installation: Installation) -> Path:
    build_tokenizer(installation.home / "tokenizer")
    return installation.home / "tokenizer"


@pytest.fixture(scope="session")
def service(installation: Installation) -> Iterator[str]:
    """A service that demands a key, which Prefect keeps as a Secret block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANARY_KEY", KEY)
        with simulated_endpoint(
            "--ttft-s", "0.05", "--tpot-s", "0.005", "--api-key-env", "CANARY_KEY"
        ) as ready:
            code = "import os; from prefect.blocks.system import Secret; "
            code += "Secret(value=os.environ['CANARY_KEY']).save('service-key')"
            environ = {**installation.environ, "CANARY_KEY": KEY}
            subprocess.run([sys.executable, "-c", code], env=environ, check=True)
            yield ready["url"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.fail("no chromium: install it (apt-get install chromium) or set CHROMIUM")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1280, "height": 1000})
    opened.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    failed_before = request.session.testsfailed
    yield opened
    if request.session.testsfailed > failed_before:
        opened.set_viewport_size({"width": 1280, "height": 5600})
        opened.wait_for_timeout(700)
        opened.screenshot(path=SCREENSHOTS / f"failed_{request.node.name}.png")
    opened.close()


@pytest.fixture
def shot(page: Page) -> Callable[[str], None]:
    """Keep what the browser shows, under a name."""
    SCREENSHOTS.mkdir(exist_ok=True)

    def take(name: str, height: int = 1000, width: int = 1280) -> None:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(700)  # the page draws itself anew after it was resized
        page.screenshot(path=SCREENSHOTS / f"{name}.png")

    return take
