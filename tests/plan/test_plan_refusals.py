"""What cannot be measured is refused before any load, with the field and the remedy."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from plan_builders import GONE, MANIFEST, PLAN, changed

from tidemark.errors import PlanError
from tidemark.plan.load import load_plan

# Planted where a person might paste a secret; must be in no message.
CANARY = "canary-5f1e0b7c9d2a4e6f8091a2b3c4d5e6f7"


@dataclass(frozen=True)
class Refused:
    """Changes to a good document, and what the message must hold."""

    changes: dict[str, Any]
    where: str
    remedy: str
    says: str = ""
    base: dict[str, Any] = field(default_factory=lambda: PLAN)


def plan(changes: dict[str, Any], where: str, remedy: str, says: str = "") -> Refused:
    return Refused(changes, where, remedy, says)


def scenario(text: str, remedy: str, says: str = "") -> Refused:
    return Refused({"scenarios": [text]}, "scenarios[0]", remedy, says)


def manifest(changes: dict[str, Any], where: str, remedy: str, says: str = "") -> Refused:
    return Refused(changes, where, remedy, says, MANIFEST)


EMBEDDINGS = {"task": "text-to-embeddings", "scenarios": ["E(64)"], "concurrency": GONE}
IMAGES = {"task": "image-text-to-text", "scenarios": ["I(512,512)"]}
HUB = {"path": "org/images", "prompt_column": "text", "image_column": "image"}

SCENARIOS = [
    scenario("", "such as D(100,100)", "empty"),
    scenario("D(100, 100)", "Write D(100,100)", "spaces"),
    scenario(" D(100,100)", "Write D(100,100)", "spaces"),
    scenario("R(1024, 128)", "Write R(1024,128)", "spaces"),
    scenario("D(1,1)\n", "Write D(1,1)"),
    scenario("d(100,100)", "Write D(100,100)"),
    scenario("D[100,100]", "Write D(100,100)"),
    scenario("D(0100,100)", "Write D(100,100)"),
    scenario("normal(1,0)/(2,0)", "Write N(1,0)/(2,0)"),
    scenario("Dataset", "Write dataset"),
    scenario("P(100,100)", "Did you mean D(100,100)?", "unknown type 'P'"),
    scenario("V(1,1)", "Known: D(input,output)", "unknown type 'V'"),
    scenario("constant_load", "Did you mean D(100,100)?", "unknown type"),
    scenario("junkD(1,2)", "Did you mean D(1,2)?"),
    scenario("D(1,2)x", "such as D(100,100)"),
    scenario("D(1)", "Write D(input,output)"),
    scenario("D(100", "put each scenario in quotes"),
    scenario("D(1.5,2)", "Write D(input,output)", "whole"),
    scenario("D(-1,2)", "Write D(input,output)", "negative"),
    scenario("D(0,100)", "Write 1 or more", "input tokens"),
    scenario("D(100,0)", "Write 1 or more", "output tokens"),
    scenario("D(99999999,1)", "Write 2000000 or less", "input tokens"),
    scenario("U(200,100)/(5,10)", "(100,200)", "least number of input tokens (200)"),
    scenario("U(1,2)/(5,3)", "(3,5)", "output tokens"),
    scenario("U(0,2)/(1,3)", "Write 1 or more", "input tokens"),
    scenario("N(100,300)/(50,10)", "at most 100", "standard deviation"),
    scenario("N(100,10)/(50,51)", "at most 50", "standard deviation"),
    scenario("N(0,0)/(50,1)", "Write 1 or more", "mean of the input"),
    scenario("E(64,128)", "E(64)"),
    scenario("D(" + "1" * 100 + ",1)", "one scenario per list entry", "at most 64 characters"),
    plan({"scenarios": [5]}, "scenarios[0]", "in quotes"),
    plan({"scenarios": []}, "scenarios", "leave the field out"),
    plan({"scenarios": "D(1,2)"}, "scenarios", "Write a list"),
    plan({"scenarios": ["D(1,2)", "D(1,2)"]}, "scenarios", "List each once"),
    plan({**IMAGES, "dataset": HUB, "scenarios": ["I(9,9)", "I(9,9,1)"]}, "scenarios", "once"),
    plan({"scenarios": ["E(64)"]}, "scenarios[0]", "change the task", "text-to-embeddings"),
    plan({**EMBEDDINGS, "scenarios": ["D(1,2)"]}, "scenarios[0]", "E(64)", "text-to-text"),
    plan({"scenarios": ["dataset"]}, "scenarios[0]", "Add dataset"),
]

ENDPOINTS = [
    plan({"endpoint.url": "localhost:8000"}, "endpoint.url", "Write scheme"),
    plan({"endpoint.url": "ftp://host/x"}, "endpoint.url", "Write scheme", "http or https"),
    plan({"endpoint.url": "http://"}, "endpoint.url", "Write scheme", "no host"),
    plan({"endpoint.url": "http://:8000"}, "endpoint.url", "Write scheme", "host"),
    plan({"endpoint.url": "http://ho st/"}, "endpoint.url", "Write scheme", "spaces"),
    plan({"endpoint.url": "http://host:0"}, "endpoint.url", "1 to 65535"),
    plan({"endpoint.url": "http://host:99999"}, "endpoint.url", "Write scheme"),
    plan({"endpoint.url": "http://10.0.0.300"}, "endpoint.url", "Write scheme", "host"),
    plan({"endpoint.url": f"http://me:{CANARY}@host"}, "endpoint.url", "api_key"),
    plan({"endpoint.url": f"http://host/v1?key={CANARY}"}, "endpoint.url", "api_key"),
    plan({"endpoint.url": "http://host/v1#x"}, "endpoint.url", "Remove all from the ? or #"),
    plan({"endpoint.url": 5}, "endpoint.url", "in quotes"),
    plan({"endpoint.dialect": "vlm"}, "endpoint.dialect", "Did you mean vllm?"),
    plan({"endpoint.dialect": "tgi"}, "endpoint.dialect", "Choose one of them"),
    plan({"endpoint.model": " llama"}, "endpoint.model", "Remove the spaces"),
    plan({"endpoint.model": "lla\u200bma"}, "endpoint.model", "Type the text again"),
    plan({"endpoint.api_key": CANARY}, "endpoint.api_key", "Write env:NAME"),
    plan({"endpoint.api_key": "env:sk-" + CANARY}, "endpoint.api_key", "Write env:NAME"),
    plan({"endpoint.api_key": "env:" + CANARY[7:]}, "endpoint.api_key", "Write env:NAME"),
    plan({"endpoint.api_key": "env:ghp_0123456789abcdef"}, "endpoint.api_key", "replace it"),
    plan({"endpoint.api_key": "file:key.txt"}, "endpoint.api_key", "file:/absolute/path"),
    plan({"endpoint.api_key": "file:/run/../key"}, "endpoint.api_key", "file:/absolute/path"),
    plan({"endpoint.headers": {"Authorization": CANARY}}, "endpoint.headers", "env:NAME"),
    plan({"endpoint.headers": {"X-Api-Key": CANARY}}, "headers.X-Api-Key", "env:NAME"),
    plan({"endpoint.headers": {"cookie": "a=b"}}, "endpoint.headers.cookie", "env:NAME"),
    plan({"endpoint.headers": {"X-Session-Token": "x"}}, "X-Session-Token", "env:NAME"),
    plan({"endpoint.headers": {"X-Tag": "sk-" + CANARY}}, "headers.X-Tag", "env:NAME"),
    plan({"endpoint.headers": {"X-Tag": "a\r\nb: c"}}, "headers.X-Tag", "Correct the value"),
    plan({"endpoint.headers": {"X Tag": "a"}}, "endpoint.headers.X Tag", "letters, digits"),
    plan({"endpoint.headers": {"Host": "a"}}, "endpoint.headers.Host", "Remove it"),
    plan({"endpoint.headers": {"x-a": "1", "X-A": "2"}}, "headers.X-A", "Keep one"),
    plan(
        {"endpoint.headers": {"authorization": "env:KEY"}, "endpoint.api_key": "env:KEY"},
        "endpoint.headers.Authorization",
        "Keep one of the two",
    ),
    plan({"endpoint.ca_file": "ca.pem"}, "endpoint.ca_file", "from / on"),
    plan({"endpoint.proxy": f"http://u:{CANARY}@proxy"}, "endpoint.proxy", "Remove them"),
    plan({"endpoint.apikey": "env:K"}, "endpoint.apikey", "Did you mean api_key?"),
    plan({"endpoint.inference_service": {"name": "A_b", "namespace": "n"}}, "name", "Follow"),
]

PLANS = [
    plan({"api_base": "http://x"}, "api_base", "Did you mean endpoint.url?"),
    plan({"num_concurrency": [1]}, "num_concurrency", "Did you mean concurrency?"),
    plan({"concurency": [1]}, "concurency", "Did you mean concurrency?"),
    plan({"limits": {"max_time": 60}}, "limits.max_time", "Did you mean"),
    plan({"task": "image-to-embeddings"}, "task", "Choose one of", "Cohere"),
    plan({"task": "image-to-text"}, "task", "Did you mean image-text-to-text?"),
    plan({"task": "text-to-txt"}, "task", "Did you mean text-to-text?"),
    plan({"task": "text-to-video"}, "task", "Did you mean"),
    plan(
        {
            "task": "text-to-rerank",
            "scenarios": GONE,
            "concurrency": GONE,
            "endpoint.dialect": "openai",
        },
        "endpoint.dialect",
        "vllm or sglang",
    ),
    plan({"concurrency": [0]}, "concurrency[0]", "Give 1 or more"),
    plan({"concurrency": [5000]}, "concurrency[0]", "Give 4096 or less"),
    plan({"concurrency": [1, 4, 1]}, "concurrency", "List each once"),
    plan({"concurrency": ["4"]}, "concurrency[0]", "without quotes"),
    plan({"concurrency": [True]}, "concurrency[0]", "whole number"),
    plan({"concurrency": [1.5]}, "concurrency[0]", "whole number"),
    plan({"concurrency": 4}, "concurrency", "Write a list"),
    plan({**EMBEDDINGS, "concurrency": [4]}, "concurrency", "list batch_sizes"),
    plan({**EMBEDDINGS, "warmup": {"concurrency": 4}}, "warmup.concurrency", "write 1"),
    plan({"batch_sizes": [8]}, "batch_sizes", "Leave batch_sizes out"),
    plan({"limits.max_time_s": 0}, "limits.max_time_s", "Give 1 or more"),
    plan({"limits.max_time_s": 1e9}, "limits.max_time_s", "Give 86400"),
    plan({"limits.max_time_s": "60"}, "limits.max_time_s", "without quotes"),
    plan({"limits.max_time_s": float("nan")}, "limits.max_time_s", "finite"),
    plan({"limits.max_time_s": float("inf")}, "limits.max_time_s", "finite"),
    plan({"limits.max_requests": 0}, "limits.max_requests", "Give 1 or more"),
    plan({"repeats": True}, "repeats", "whole number"),
    plan({"repeats": 0}, "repeats", "Give 1 or more"),
    plan(
        {"repeats": 100, "scenarios": [f"D({n},9)" for n in range(1, 65)]},
        "repeats",
        "Split it",
        "more than 5000",
    ),
    plan({"max_error_rate": 1.5}, "max_error_rate", "Give 1 or less"),
    plan({"slo": {}}, "slo.ttft_s", "leave slo out"),
    plan({"slo": {"ttft_s": 0}}, "slo.ttft_s", "above 0"),
    plan({"slo": {"ttft_s": 1, "attainment": 0}}, "slo.attainment", "above 0"),
    plan({**EMBEDDINGS, "slo": {"ttft_s": 1}}, "slo.ttft_s", "Use e2e_s"),
    plan({"token_counts": "srever"}, "token_counts", "Did you mean server?"),
    plan({"system": {"image_digest": "latest"}}, "system.image_digest", "Follow the example"),
    plan({"system": {"serving_version": 0.9}}, "system.serving_version", "in quotes"),
    plan({"system": {"labels": {"key": CANARY}}}, "system.labels", "remove it"),
    plan(
        {"system": {"image": "a@sha256:" + "0" * 64, "image_digest": "sha256:" + "1" * 64}},
        "system.image_digest",
        "Keep one of the two",
    ),
    plan({"engine": {"name": "genai_bench"}}, "engine.name", "Did you mean genai-bench?"),
    plan({"engine": {"version": "latest"}}, "engine.version", "Follow the example"),
    plan({"name": "x" * 300}, "name", "Shorten it"),
    plan({"limits": None}, "limits", "name: value"),
]

REQUESTS = [
    plan({"request": {"ignore_eos": False}}, "request.ignore_eos", "Remove it"),
    plan({"request": {"ignore_eos": "true"}}, "request.ignore_eos", "without quotes"),
    plan({"request": {"stream": False}}, "request.stream", "Remove it"),
    plan({"request": {"stream_options": {}}}, "request.stream_options", "Remove it"),
    plan({"request": {"model": "other"}}, "request.model", "Set endpoint.model"),
    plan({"request": {"messages": []}}, "request.messages", "Use dataset"),
    plan({"request": {"max_tokens": 5}}, "request.max_tokens", "in the scenario"),
    plan({"request": {"max_completion_tokens": 5}}, "max_completion_tokens", "in the scenario"),
    plan({"request": {"n": 2}}, "request.n", "Remove it"),
    plan({"request": {"temperature": "hot"}}, "request.temperature", "from 0 to 2"),
    plan({"request": {"temperature": 2.1}}, "request.temperature", "from 0 to 2"),
    plan({"request": {"system_message": "x" * 17_000}}, "request", "sent with each request"),
    plan(
        {"request": {"max_tokens": 1}, "dataset": {"path": "a.txt"}, "scenarios": GONE},
        "request.max_tokens",
        "Write 2 or more",
    ),
    plan({"request": {"temperature": -1}}, "request.temperature", "from 0 to 2"),
    plan({"request": {"temperature": float("nan")}}, "request", "finite number"),
    plan({"request": {"api_key": CANARY}}, "request.api_key", "as references"),
    plan({"request": {"extra": {"password": CANARY}}}, "request.extra", "as references"),
    plan({"request": {"a b": 1}}, "request.a b", "Use letters"),
    plan({"request": {"a": [[[[[[[[[1]]]]]]]]]}}, "request", "Flatten it"),
    plan({"request": {"system_message": 5}}, "request.system_message", "in quotes"),
    plan({"request": [1]}, "request", "name: value"),
]

DATASETS = [
    plan({"dataset": {}}, "dataset.path", "Give path, or config"),
    plan({"dataset": {"path": "a.txt", "config": "b.json"}}, "dataset.config", "Keep one"),
    plan({"dataset": {"path": "/d/a.jsonl"}}, "dataset.path", "Convert it"),
    plan({"dataset": {"path": "s3://b/a.txt"}}, "dataset.path", "Download"),
    plan({"dataset": {"path": "~/a.txt"}}, "dataset.path", "from / on"),
    plan({"dataset": {"path": "/data/dir"}}, "dataset.path", "Give a file"),
    plan({"dataset": {"path": "/d/a.csv"}}, "dataset.prompt_column", "Name the column"),
    plan({"dataset": {"path": "org/name"}}, "dataset.prompt_column", "Name the column"),
    plan({"dataset": {"config": "/d/a.yaml"}}, "dataset.config", ".json"),
    plan({"dataset": {"config": "/a.json", "prompt_column": "q"}}, "prompt_column", "into the"),
    plan({"dataset": {"path": "a.txt", "sha256": "abc"}}, "dataset.sha256", "Follow"),
    plan({"dataset": HUB}, "dataset.image_column", "Remove it"),
    plan({**IMAGES}, "dataset", "Name a hub dataset"),
    plan({**IMAGES, "dataset": {"path": "a.txt"}}, "dataset.path", "hub dataset"),
    plan(
        {**IMAGES, "dataset": {"path": "org/x", "prompt_column": "q"}},
        "dataset.image_column",
        "Name the column",
    ),
    plan({"prefix": {}}, "prefix.length", "Give length in tokens"),
    plan({"prefix": {"length": 1, "ratio": 0.5}}, "prefix.length", "Give length in tokens"),
    plan({"prefix": {"length": 101}}, "prefix.length", "at most 100"),
    plan(
        {"prefix": {"ratio": 0.5}, "scenarios": ["U(9,9)"]},
        "prefix.ratio",
        "Use D scenarios",
    ),
    plan(
        {"prefix": {"length": 9}, "scenarios": ["dataset"], "dataset": {"path": "a.txt"}},
        "prefix",
        "Remove prefix",
    ),
    plan({**EMBEDDINGS, "prefix": {"length": 9}}, "prefix", "Remove prefix"),
    plan({"tokenizer": ""}, "tokenizer", "Give a value"),
    plan({"tokenizer": "https://hub/org/model"}, "tokenizer", "absolute path"),
    plan({"tokenizer": "~/tokenizer"}, "tokenizer", "absolute path"),
    plan({"tokenizer": "./tokenizer"}, "tokenizer", "absolute path"),
    plan({"tokenizer": "org/model/extra"}, "tokenizer", "org/model"),
    plan({"tokenizer": 5}, "tokenizer", "in quotes"),
]

STORE = "spec.outputLocation"
MANIFESTS = [
    manifest({"kind": "InferenceService"}, "kind", "BenchmarkJob"),
    manifest({"apiVersion": "ome.io/v1"}, "apiVersion", "Write ome.io/v1beta1"),
    manifest({"apiVersion": GONE}, "apiVersion", "Write ome.io/v1beta1"),
    manifest({"spec.tasks": "x"}, "spec.tasks", "Did you mean task?"),
    manifest({"specs": {}}, "specs", "Did you mean spec?"),
    manifest({"metadata.nam": "x"}, "metadata.nam", "Did you mean name?"),
    manifest({"spec.task": GONE}, "spec.task", "Add task"),
    manifest({"spec.task": "image-to-embeddings"}, "spec.task", "Choose one of", "Cohere"),
    manifest({"spec.endpoint": GONE}, "spec.endpoint", "Add endpoint"),
    manifest({"spec.endpoint": {}}, "spec.endpoint", "Add endpoint with url"),
    manifest(
        {"spec.endpoint.inferenceService": {"name": "a", "namespace": "b"}},
        "spec.endpoint",
        "Keep one of the two",
    ),
    manifest(
        {"spec.endpoint": {"inferenceService": {"name": "a"}}},
        "spec.endpoint.inferenceService.namespace",
        "Add namespace",
    ),
    manifest({"spec.endpoint.endpoint.url": GONE}, "spec.endpoint.endpoint.url", "Add url"),
    manifest({"spec.endpoint.endpoint.url": "h:1"}, "spec.endpoint.endpoint.url", "Write scheme"),
    manifest({"spec.endpoint.endpoint.apiFormat": "oci-cohere"}, "apiFormat", "OpenAI-compatible"),
    manifest({"spec.endpoint.endpoint.apiFormat": "open-ai"}, "apiFormat", "Did you mean openai?"),
    manifest({"spec.trafficScenarios": ["D(1, 2)"]}, "spec.trafficScenarios[0]", "Write D(1,2)"),
    manifest({"spec.trafficScenarios": ["D(1,2)"] * 2}, "trafficScenarios[1]", "List each"),
    manifest(
        {"spec.task": "text-to-embeddings", "spec.trafficScenarios": ["E(64,128)"]},
        "spec.trafficScenarios[0]",
        "E(64)",
    ),
    manifest({"spec.trafficScenarios": "D(1,2)"}, "spec.trafficScenarios", "one entry per line"),
    manifest({"spec.numConcurrency": [4, 4]}, "spec.numConcurrency[1]", "List each entry once"),
    manifest({"spec.numConcurrency": ["4"]}, "spec.numConcurrency[0]", "Write a whole number"),
    manifest({"spec.numConcurrency": [0]}, "spec.numConcurrency[0]", "Give 1 or more"),
    manifest({"spec.maxTimePerIteration": 0}, "spec.maxTimePerIteration", "Write at least 1"),
    manifest({"spec.maxTimePerIteration": GONE}, "spec.maxTimePerIteration", "minutes"),
    manifest({"spec.maxTimePerIteration": 1.5}, "spec.maxTimePerIteration", "whole minutes"),
    manifest({"spec.maxRequestsPerIteration": GONE}, "maxRequestsPerIteration", "Add a number"),
    manifest(
        {"spec.additionalRequestParams": {"ignore_eos": "false"}},
        "spec.additionalRequestParams.ignore_eos",
        "Remove it",
    ),
    manifest(
        {"spec.additionalRequestParams": {"temperature": "hot"}},
        "spec.additionalRequestParams.temperature",
        "from 0 to 2",
    ),
    manifest({"spec.dataset": {"storageUri": "s3://b/d"}}, "spec.dataset.storageUri", "hf://"),
    manifest(
        {"spec.dataset": {"storageUri": "local:///a.txt", "parameters": {"prompt": "q"}}},
        "spec.dataset.parameters.prompt",
        "prompt_column",
    ),
    manifest(
        {"spec.dataset": {"storageUri": "local:///d/a.txt", "path": "/x"}},
        "spec.dataset.path",
        "Remove it",
    ),
    manifest({"spec.task": "image-to-text", "spec.trafficScenarios": GONE}, "dataset", "hub"),
    manifest({STORE: GONE}, STORE, "Add outputLocation"),
    manifest({STORE: {}}, f"{STORE}.storageUri", "Add storageUri"),
    manifest({f"{STORE}.storageUri": "hf://org/x"}, f"{STORE}.storageUri", "s3://"),
    manifest({f"{STORE}.storageUri": "s33://b"}, f"{STORE}.storageUri", "Did you mean s3?"),
    manifest({f"{STORE}.storageUri": "bucket/x"}, f"{STORE}.storageUri", "Begin with one of"),
    manifest({f"{STORE}.storageUri": "s3://"}, f"{STORE}.storageUri", "place after s3://"),
    manifest(
        {f"{STORE}.storageUri": f"az://a/b?sig={CANARY}"}, f"{STORE}.storageUri", "references"
    ),
    *(
        manifest(
            {f"{STORE}.parameters.{name}": CANARY},
            f"{STORE}.parameters.{name}",
            f"{name}: env:{name.upper()}",
            "credential",
        )
        for name in (
            "aws_secret_access_key",
            "github_token",
            "azure_account_key",
            "azure_connection_string",
            "azure_sas_token",
            "security_token",
        )
    ),
    manifest({f"{STORE}.parameters.aws_regoin": "x"}, "aws_regoin", "Did you mean aws_region?"),
    manifest({f"{STORE}.parameters.aws_region": 5}, "aws_region", "in quotes"),
    manifest({f"{STORE}.key": "x"}, f"{STORE}.key", "Remove it", "no effect"),
    manifest({"spec.serviceMetadata": {"gpu": "H100"}}, "serviceMetadata.gpu", "Did you mean gpu"),
    manifest({"spec.serviceMetadata": {"gpuCount": "8"}}, "gpuCount", "whole GPUs"),
    manifest(
        {"spec.podOverride": {"serviceAccountName": "x"}},
        "spec.podOverride.serviceAccountName",
        "Known: image",
    ),
    manifest(
        {"spec.podOverride": {"env": [{"name": "HF_TOKEN", "value": CANARY}]}},
        "spec.podOverride.env[0].value",
        "secretKeyRef",
    ),
    manifest({"spec.huggingFaceSecretReference": "x"}, "huggingFaceSecretReference", "name: value"),
]

ALL = [*SCENARIOS, *ENDPOINTS, *PLANS, *REQUESTS, *DATASETS, *MANIFESTS]


def test_the_table_covers_every_kind_of_input() -> None:
    assert len(ALL) >= 70
    assert min(map(len, (SCENARIOS, ENDPOINTS, PLANS, REQUESTS, DATASETS, MANIFESTS))) >= 10


@pytest.mark.parametrize(
    "case",
    ALL,
    # By a name, as an object's address differs between processes that share the tests out.
    ids=lambda case: f"{case.where} {json.dumps(case.changes, default=lambda _: 'GONE')[:60]}",
)
def test_refused_with_the_field_and_the_remedy(case: Refused) -> None:
    # JSON is YAML, but for what is not finite: YAML writes .nan and .inf.
    text = json.dumps(changed(case.base, case.changes))
    text = text.replace("NaN", ".nan").replace("Infinity", ".inf")
    with pytest.raises(PlanError) as caught:
        load_plan(text, "plan.yaml")
    error = caught.value
    assert case.where in (error.where or "")
    assert (error.where or "").startswith("plan.yaml: ")
    assert case.remedy in (error.remedy or "")
    assert case.says in error.what
    assert CANARY not in str(error)
    assert CANARY[7:] not in str(error)
    # A sentence ends where the next begins.
    assert ".." not in str(error).replace("without ..", "").replace("{..", "")
