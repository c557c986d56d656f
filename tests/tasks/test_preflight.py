"""What is refused before any load: tokenizers, datasets, and services that do not answer well."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tasks.preflight import probe_endpoint
from tidemark.errors import EndpointError, PlanError
from tidemark.inputs import check_dataset, check_tokenizer
from tidemark.plan.advice import check_runnable
from tidemark.plan.load import plan_from_mapping
from tidemark.plan.sweep import SweepPlan
from tidemark.simulator.faults import rule_from_text
from tidemark.simulator.process import EndpointProcess, endpoint_process
from tidemark.simulator.tokenizer import build_tokenizer


def plan_with(**changes: object) -> SweepPlan:
    document = {
        "endpoint": {"url": "http://127.0.0.1:9", "model": "served-model"},
        "scenarios": ["D(32,16)"],
        "concurrency": [1],
        "limits": {"max_time_s": 5, "stall_timeout_s": 1},
        "tokenizer": "/tokenizer",
    }
    return plan_from_mapping({**document, **changes})


def test_a_tokenizer_that_is_one(tmp_path: Path) -> None:
    check_tokenizer(plan_with(tokenizer=str(build_tokenizer(tmp_path))))


def test_a_name_on_the_hub_is_for_the_engine_to_find() -> None:
    check_tokenizer(plan_with(tokenizer="meta-llama/Llama-3.1-8B"))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (None, "no such directory"),
        ({}, "holds no tokenizer"),
        ({"config.json": "{}"}, "holds no tokenizer"),
        ({"tokenizer.json": ""}, "cannot be read"),
        ({"tokenizer.json": "{}"}, "cannot be read"),
        ({"tokenizer.json": "[1, 2"}, "cannot be read"),
        ({"tokenizer.json": '{"version": "1.0", "model": {"type": "X"}}'}, "cannot be read"),
        (
            {"tokenizer.json": '{"version": "1.0", "model": {"type": "BPE", "vocab": {}, '
             '"merges": []}}'},
            "gives no tokens",
        ),
    ],
)  # fmt: skip
def test_a_tokenizer_that_is_none(tmp_path: Path, files: dict[str, str] | None, words: str) -> None:
    directory = tmp_path / "tokenizer"
    if files is not None:
        directory.mkdir()
        for name, text in files.items():
            (directory / name).write_text(text)
    with pytest.raises(PlanError, match=words) as caught:
        check_tokenizer(plan_with(tokenizer=str(directory)))
    assert "tokenizer" in (caught.value.where or "")
    assert caught.value.remedy


def test_a_plan_without_a_tokenizer_cannot_run() -> None:
    with pytest.raises(PlanError, match="prompts get their length with it") as caught:
        check_runnable(plan_with(tokenizer=None))
    assert "tokenizer" in (caught.value.where or "")
    assert caught.value.remedy


@pytest.mark.parametrize("field", ["path", "config"])
def test_a_dataset_that_is_not_there(field: str) -> None:
    with pytest.raises(PlanError, match="no such file") as caught:
        check_dataset(plan_with(dataset={field: "/no/such/data.json"}, scenarios=["dataset"]))
    assert caught.value.where == f"dataset.{field}: /no/such/data.json"


@pytest.fixture(scope="module")
def service() -> Iterator[EndpointProcess]:
    options = ("--ttft-s", "0.01", "--tpot-s", "0.001", "--served-model", "served-model")
    with endpoint_process(*options, "--max-seconds", "300") as process:
        yield process


def to(service: EndpointProcess, **changes: object) -> SweepPlan:
    return plan_with(**{"endpoint": {"url": service.url, "model": "served-model"}, **changes})


async def test_a_service_that_answers_shows_its_latencies(service: EndpointProcess) -> None:
    found = await probe_endpoint(to(service), {})
    assert found.usage
    assert found.ttft_s is not None
    assert 0.01 <= found.ttft_s < found.e2e_s
    assert found.service_time_s("D(32,1000)") > found.service_time_s("D(32,10)")


@pytest.mark.parametrize(
    ("fault", "words", "remedy"),
    [
        ("status=401", "answered 401", "endpoint.api_key"),
        ("status=429", "answered 429", "limits the rate"),
        ("status=503", "answered 503", "Mend the service"),
        ("error_in_stream,after_tokens=2", "carried an error", "Mend the service"),
        ("cut,after_tokens=2", "broke off", "HTTP service"),
        ("garbage", "holds no JSON", "LLM service"),
        ("empty", "held no text", "chat request"),
        ("no_usage", "reports no usage", "token_counts: tokenizer"),
        ("hang", "no answer within 1 s", "limits.stall_timeout_s"),
    ],
)
async def test_a_service_that_answers_badly_is_refused(
    service: EndpointProcess, fault: str, words: str, remedy: str
) -> None:
    put_faults(service, [fault])
    try:
        with pytest.raises(EndpointError, match=words) as caught:
            await probe_endpoint(to(service), {}, sleep=no_wait)
        assert remedy in f"{caught.value.where} {caught.value.remedy}"
    finally:
        put_faults(service, [])


async def no_wait(_: float) -> None:
    """Time is not what these tests are about."""


@pytest.mark.parametrize("fault", ["status=429", "status=500", "error_in_stream,after_tokens=1"])
async def test_a_service_that_fails_now_and_then_is_one_to_measure(
    service: EndpointProcess, fault: str
) -> None:
    put_faults(service, [f"{fault} when first=1,last=3"])
    waits: list[float] = []

    async def waited(seconds: float) -> None:
        waits.append(seconds)

    try:
        assert (await probe_endpoint(to(service), {}, sleep=waited)).usage
    finally:
        put_faults(service, [])
    assert waits == [0.25, 0.5, 1.0]


def put_faults(service: EndpointProcess, rules: list[str]) -> None:
    document = [rule_from_text(rule).as_json() for rule in rules]
    httpx.put(f"{service.url}/faults", json=document).raise_for_status()


async def test_a_model_that_is_not_served_names_those_that_are(service: EndpointProcess) -> None:
    other = {"url": service.url, "model": "other-model"}
    with pytest.raises(EndpointError, match="404") as caught:
        await probe_endpoint(to(service, endpoint=other), {})
    assert "The service serves served-model" in (caught.value.remedy or "")


async def test_a_key_that_http_cannot_carry_is_in_no_message(service: EndpointProcess) -> None:
    endpoint = {"url": service.url, "model": "served-model", "api_key": "env:KEY"}
    lent = {"env:KEY": "canary-\x00-0123456789"}
    with pytest.raises(EndpointError, match="characters that HTTP does not allow") as caught:
        await probe_endpoint(to(service, endpoint=endpoint), lent)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_nobody_at_the_address() -> None:
    with pytest.raises(EndpointError, match="no connection") as caught:
        await probe_endpoint(plan_with(), {})
    assert "Check host and port" in (caught.value.remedy or "")


async def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    endpoint = {"url": "https://127.0.0.1:9", "model": "m", "ca_file": str(tmp_path / "ca.pem")}
    with pytest.raises(EndpointError, match="CA file") as caught:
        await probe_endpoint(plan_with(endpoint=endpoint), {})
    assert "PEM" in (caught.value.remedy or "")
