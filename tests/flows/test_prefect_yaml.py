"""What is deployed: the file, and what the server makes of it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from prefect import get_client
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.settings import get_current_settings
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate
from pydantic import BaseModel

from flows.sweep import sweep
from tidemark.plan.load import load_plan
from tidemark.plan.sweep import SweepPlan, plan_hash

ROOT = Path(__file__).parent.parent.parent
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS: list[dict[str, Any]] = DOCUMENT["deployments"]
ANCHORS = "definitions"  # where the file keeps what it repeats


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def unknown_keys(value: Any, model: type[BaseModel], where: str = "") -> list[str]:
    """Keys that Prefect would pass over in silence."""
    if not isinstance(value, dict):
        return []
    fields = {info.alias or name: info for name, info in model.model_fields.items()}
    found = [f"{where}{key}" for key in value if key not in fields]
    for key in value.keys() & fields:
        inside = next(models_in(fields[key].annotation), None)
        for item in value[key] if isinstance(value[key], list) else [value[key]]:
            if inside is not None:
                found += unknown_keys(item, inside, f"{where}{key}.")
    return found


def test_prefect_knows_every_key() -> None:
    read = {key: value for key, value in DOCUMENT.items() if key != ANCHORS}
    assert unknown_keys(read, PrefectYamlModel) == []


def test_a_misspelled_key_would_be_found() -> None:
    wrong = {
        "deploymentz": [],
        "deployments": [{"name": "x", "parametres": {}, "work_pool": {"n": 1}}],
    }
    assert sorted(unknown_keys(wrong, PrefectYamlModel)) == [
        "deployments.parametres",
        "deployments.work_pool.n",
        "deploymentz",
    ]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda each: each["name"])
def test_every_deployment_runs_a_flow_with_parameters_it_takes(deployment: dict[str, Any]) -> None:
    flow: Flow[..., Any] = load_flow_from_entrypoint(
        deployment["entrypoint"], use_placeholder_flow=False
    )
    schema = parameter_schema(flow).model_dump()
    assert deployment["parameters"].keys() <= schema["properties"].keys()
    validate(deployment["parameters"], schema, raise_on_error=True, ignore_required=True)
    assert deployment["enforce_parameter_schema"] is True
    assert deployment["description"]
    assert deployment["tags"]


def test_nothing_of_a_machine_is_recorded() -> None:
    assert DOCUMENT["pull"] == []
    assert "/" not in "".join(each["entrypoint"] for each in DEPLOYMENTS)


@pytest.fixture(scope="module")
async def deployed() -> Any:
    """The deployments, as the server has them after `prefect deploy --all`."""
    async with get_client() as client:
        for name in {each["work_pool"]["name"] for each in DEPLOYMENTS}:
            await client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
            cwd=ROOT,
            env={**os.environ, "PREFECT_API_URL": str(get_current_settings().api.url)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return {found.name: found for found in await client.read_deployments()}


async def test_the_server_has_the_form_of_the_flow(deployed: Any) -> None:
    assert deployed["sweep"].parameter_openapi_schema == parameter_schema(sweep).model_dump()
    assert deployed["sweep"].enforce_parameter_schema
    assert deployed["sweep"].pull_steps == []
    assert deployed["sweep"].path is None
    blocks = deployed["sweep"].parameter_openapi_schema["definitions"]
    assert blocks["InferenceEndpoint"]["block_type_slug"] == "inference-endpoint"
    assert blocks["ResultStore"]["block_type_slug"] == "result-store"


async def test_the_server_shows_the_blocks_without_being_told(deployed: Any) -> None:
    assert deployed
    async with get_client() as client:
        for slug in ("inference-endpoint", "result-store"):
            assert (await client.read_block_type_by_slug(slug)).logo_url


YAML = """
endpoint: {url: "http://localhost:8000/v1", model: llama, headers: {x-team: search}}
scenarios: ["D(100,100)", "N(480,240)/(300,150)"]
concurrency: [1, 4]
request: {temperature: 0}
slo: {ttft_s: 0.5}
tokenizer: /models/tokenizer
"""
# What the form sends: numbers for texts, nothing for what was left empty, all defaults.
FORM = {
    "endpoint": {
        "url": "http://localhost:8000/v1",
        "model": "llama",
        "dialect": "vllm",
        "headers": {"__prefect_kind": "json", "value": '{"x-team": "search"}'},
        "inference_service": None,
    },
    "scenarios": [
        {"input_tokens": 100, "output_tokens": 100},
        {
            "input_tokens": 480,
            "input_stddev_tokens": 240,
            "output_tokens": 300,
            "output_stddev_tokens": 150,
        },
    ],
    "concurrency": [1, 4],
    "limits": {"max_time_s": 60, "min_requests_per_user": 10, "stall_timeout_s": 60, "drain_s": 30},
    "repeats": 1,
    "request": {"__prefect_kind": "json", "value": '{"temperature": 0}'},
    "slo": {"ttft_s": 0.5, "attainment": 0.99},
    "system": {"labels": {"__prefect_kind": "json"}},
    "task": "text-to-text",
    "max_error_rate": 0.01,
    "token_counts": "server",
    "tokenizer": "/models/tokenizer",
    "dataset": None,
    "prefix": None,
    "engine": {"name": "genai-bench", "version": "0.0.5"},
}


async def test_the_same_plan_has_one_hash_by_yaml_by_form_and_by_python(deployed: Any) -> None:
    written = load_plan(YAML)
    python = SweepPlan.model_validate(written.model_dump())
    hashes = {plan_hash(written), plan_hash(python)}
    async with get_client() as client:
        for sent in (FORM, written.model_dump(mode="json")):
            created = await client.create_flow_run_from_deployment(
                deployed["sweep"].id, parameters={"plan": sent}
            )
            kept = (await client.read_flow_run(created.id)).parameters
            hashes.add(plan_hash(sweep.validate_parameters(kept)["plan"]))
            await client.delete_flow_run(created.id)
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"tokenizer": None}, "tokenizer"),
        ({"repeats": 0}, "repeats"),
        ({"repeat": 2}, "repeat"),
        ({"task": "chat"}, "task"),
        ({"endpoint": {"api_key": "pasted"}}, "api_key"),
        ({"scenarios": [{"output_tokens": 5}]}, "scenarios"),
    ],
)
async def test_the_server_refuses_what_the_plan_would(
    deployed: Any, wrong: dict[str, Any], place: str
) -> None:
    sent = {name: value for name, value in {**FORM, **wrong}.items() if value is not None}
    async with get_client() as client:
        with pytest.raises(PrefectHTTPStatusError) as caught:
            await client.create_flow_run_from_deployment(
                deployed["sweep"].id, parameters={"plan": sent}
            )
    assert caught.value.response.status_code == 409
    assert place in caught.value.response.text
