"""OME BenchmarkJobs: the documented examples as they stand, and every field accounted for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from plan_builders import GONE, MANIFEST, OME, changed

from tidemark.errors import PlanError
from tidemark.plan.load import load_document, load_plan
from tidemark.plan.manifest import FIELDS, PlanDocument
from tidemark.plan.scenario import DEFAULT_SCENARIOS
from tidemark.plan.secrets import SecretRef
from tidemark.plan.sweep import check_runnable, plan_hash, with_tokenizer, with_url

# Every field of the CustomResourceDefinition benchmarkjobs.ome.io v1beta1.
STORAGE = [
    "path",
    "schemaPath",
    "parameters",
    "key",
    "storageUri",
    "nodeSelector",
    "nodeAffinity",
    "downloadPolicy",
]
POD_OVERRIDE = [
    "image",
    "env",
    "envFrom",
    "volumeMounts",
    "resources",
    "tolerations",
    "nodeSelector",
    "affinity",
    "volumes",
]
CRD_FIELDS = {
    "spec.endpoint.inferenceService.name",
    "spec.endpoint.inferenceService.namespace",
    "spec.endpoint.endpoint.url",
    "spec.endpoint.endpoint.apiFormat",
    "spec.endpoint.endpoint.modelName",
    "spec.task",
    "spec.trafficScenarios",
    "spec.numConcurrency",
    "spec.maxTimePerIteration",
    "spec.maxRequestsPerIteration",
    "spec.additionalRequestParams",
    *(f"spec.dataset.{name}" for name in STORAGE),
    *(f"spec.outputLocation.{name}" for name in STORAGE),
    "spec.resultFolderName",
    "spec.huggingFaceSecretReference.name",
    *(f"spec.serviceMetadata.{name}" for name in ["engine", "version", "gpuType", "gpuCount"]),
    *(f"spec.podOverride.{name}" for name in POD_OVERRIDE),
}


def load(changes: dict[str, Any]) -> PlanDocument:
    return load_document(json.dumps(changed(MANIFEST, changes)), "job.yaml")


def test_the_documented_example_with_an_inference_service() -> None:
    document = load_document((OME / "benchmark-oci.yaml").read_text(), "benchmark-oci.yaml")
    plan = document.plan
    assert plan.name == "llama-3-1-70b-benchmark"
    assert plan.endpoint.url is None
    service = plan.endpoint.inference_service
    assert service is not None
    assert (service.name, service.namespace) == ("llama-3-1-70b-instruct",) * 2
    assert plan.task == "text-to-text"
    assert plan.scenarios == (
        "N(480,240)/(300,150)",
        "D(100,100)",
        "D(100,1000)",
        "D(2000,200)",
        "D(7800,200)",
    )
    assert plan.concurrency == (1, 2, 4, 8, 16, 32, 64, 128, 256)
    assert plan.limits.max_time_s == 15 * 60
    assert plan.limits.max_requests == 100
    assert plan.request == {"temperature": 0.0}
    assert document.store_uri == (
        "oci://n/idqj093njucb/b/ome-benchmark-results/o/llama-3-1-70b-benchmark"
    )
    assert document.store_options == {"auth": "instance_principal"}
    assert document.namespace == "llama-3-1-70b"
    assert document.pod_override == {
        "image": "ghcr.io/sgl-project/genai-bench:0.1.127",
        "resources": {
            "requests": {"cpu": "4", "memory": "16Gi"},
            "limits": {"cpu": "4", "memory": "16Gi"},
        },
    }
    warnings = "\n".join(document.warnings)
    assert "spec.podOverride: has no effect on load sent from here" in warnings
    assert "100 requests at concurrency 256" in warnings
    assert "endpoint.url: the address of InferenceService" in warnings


def test_an_inference_service_runs_once_its_url_is_given() -> None:
    plan = load_plan((OME / "benchmark-oci.yaml").read_text())
    with pytest.raises(PlanError) as caught:
        check_runnable(plan)
    assert "endpoint.url" in str(caught.value)
    assert "tokenizer" in str(caught.value)
    ready = with_tokenizer(with_url(plan, "http://llama.models.svc:8080/v1"), "/models/llama")
    check_runnable(ready)
    assert ready.endpoint.url == "http://llama.models.svc:8080"


def test_the_documented_example_with_a_url() -> None:
    document = load_document((OME / "benchmark-s3.yaml").read_text(), "benchmark-s3.yaml")
    plan = document.plan
    assert plan.endpoint.url == "http://my-model-service:8080"
    assert plan.endpoint.model == "llama-3"
    assert plan.endpoint.dialect == "openai"
    assert plan.scenarios == DEFAULT_SCENARIOS["text-to-text"]
    assert plan.concurrency == (1, 4, 8, 16)
    assert plan.limits.max_time_s == 600
    assert document.store_uri == "s3://my-benchmarks@us-east-1/experiments/2024"
    assert document.store_options == {"aws_profile": "production"}
    (warning,) = [each for each in document.warnings if "cut off" in each]
    assert "/v1/completions" in warning
    assert "http://my-model-service:8080/v1/chat/completions" in warning
    assert "chat completions will be measured" in warning


def test_the_table_accounts_for_every_field_of_the_resource() -> None:
    in_spec = {path for path in FIELDS if path.startswith("spec.")}
    assert in_spec == CRD_FIELDS
    for path, entry in FIELDS.items():
        assert entry.reason, path


@pytest.mark.parametrize(
    "path", [path for path, entry in FIELDS.items() if entry.treatment == "refused"]
)
def test_refused_fields_are_refused_by_name_with_the_reason(path: str) -> None:
    changes: dict[str, Any] = {path: "x"}
    if path.startswith("spec.dataset"):
        changes["spec.dataset.storageUri"] = "local:///data/prompts.txt"
    with pytest.raises(PlanError) as caught:
        load(changes)
    assert path in (caught.value.where or "")
    assert FIELDS[path].reason in caught.value.what


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.resultFolderName", "run-1"),
        ("spec.huggingFaceSecretReference", {"name": "hf"}),
        ("status", {"state": "Running"}),
        ("metadata.generateName", "job-"),
    ],
)
def test_noted_fields_change_no_plan_and_are_told(path: str, value: Any) -> None:
    document = load({path: value})
    assert plan_hash(document.plan) == plan_hash(load({}).plan)
    assert any(note.startswith(path) for note in document.notes)


def test_a_manifest_as_the_cluster_gives_it_back_is_read() -> None:
    document = load(
        {
            "metadata.uid": "123e4567-e89b-12d3-a456-426614174000",
            "metadata.resourceVersion": "4711",
            "metadata.managedFields": [{"manager": "kubectl"}],
            "metadata.annotations": {"a/b": "c"},
            "metadata.finalizers": ["benchmarkjob.finalizers"],
            "status": {"state": "Completed", "startTime": "2023-12-27T02:30:00Z"},
        }
    )
    assert plan_hash(document.plan) == plan_hash(load({}).plan)


@pytest.mark.parametrize(
    ("engine", "dialect"),
    [("vLLM", "vllm"), ("SGLang", "sglang"), ("TGI", "openai"), (None, "openai")],
)
def test_the_serving_engine_tells_the_dialect(engine: str | None, dialect: str) -> None:
    changes = {} if engine is None else {"spec.serviceMetadata.engine": engine}
    assert load(changes).plan.endpoint.dialect == dialect


def test_service_metadata_becomes_the_system_and_any_gpu_is_kept() -> None:
    system = load(
        {
            "spec.serviceMetadata": {
                "engine": "vLLM",
                "version": "v0.9.0",
                "gpuType": "A100",
                "gpuCount": 8,
            }
        }
    ).plan.system
    assert system.serving_engine == "vLLM"
    assert system.serving_version == "v0.9.0"
    assert system.gpu_type == "A100"
    assert system.gpu_count == 8


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.0", 0.0),
        ("1", 1),
        ("true", True),
        ("null", None),
        ("fast", "fast"),
        ('{"a": [1]}', {"a": [1]}),
        ('"1"', "1"),
        ("NaN", "NaN"),
        ("01", "01"),
        ("", ""),
    ],
)
def test_request_parameters_get_the_type_they_were_meant_to_have(text: str, value: Any) -> None:
    request = load({"spec.additionalRequestParams": {"top_p": text}}).plan.request
    assert request == {"top_p": value}
    assert type(request["top_p"]) is type(value)


def test_an_image_task_gets_its_engine_name_and_its_dataset() -> None:
    plan = load(
        {
            "spec.task": "image-to-text",
            "spec.trafficScenarios": ["I(512,512)"],
            "spec.dataset": {
                "storageUri": "hf://org/images",
                "parameters": {"image_column": "image", "prompt_column": "question"},
            },
        }
    ).plan
    assert plan.task == "image-text-to-text"
    assert plan.dataset is not None
    assert plan.dataset.path == "org/images"
    assert plan.dataset.image_column == "image"


def test_embeddings_ignore_concurrency_as_the_engine_does_and_say_so() -> None:
    document = load({"spec.task": "text-to-embeddings", "spec.trafficScenarios": GONE})
    assert document.plan.scenarios == DEFAULT_SCENARIOS["text-to-embeddings"]
    assert document.plan.concurrency == (1,)
    assert len(document.plan.batch_sizes) == 7
    assert any(each.startswith("spec.numConcurrency: has no effect") for each in document.warnings)


def test_left_out_lists_are_the_engines_defaults() -> None:
    plan = load({"spec.trafficScenarios": GONE, "spec.numConcurrency": GONE}).plan
    assert plan.scenarios == DEFAULT_SCENARIOS["text-to-text"]
    assert plan.concurrency == (1, 2, 4, 8, 16, 32, 64, 128, 256)


@pytest.mark.parametrize(
    ("uri", "parameters"),
    [
        ("oci://n/ns/b/bucket/o/path", {"auth": "user_principal", "region": "us-phoenix-1"}),
        ("s3://bucket/x", {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_region": "r"}),
        ("az://account.blob.core.windows.net/container/x", {"azure_account_name": "account"}),
        ("gs://bucket/x", {"gcp_project_id": "p", "gcp_credentials_path": "/sa.json"}),
        ("github://owner/repo@v1.0.0", {}),
        ("pvc://default:my-pvc/results", {}),
        ("oss://bucket/x", {}),
        ("file:///results", {}),
    ],
)
def test_stores_and_their_options_are_kept(uri: str, parameters: dict[str, str]) -> None:
    document = load({"spec.outputLocation": {"storageUri": uri, "parameters": parameters}})
    assert document.store_uri == uri
    assert document.store_options == parameters


def test_credentials_are_kept_as_references() -> None:
    options = load(
        {
            "spec.outputLocation": {
                "storageUri": "github://owner/repo",
                "parameters": {"github_token": "env:GITHUB_TOKEN"},
            }
        }
    ).store_options
    assert options == {"github_token": "env:GITHUB_TOKEN"}
    assert isinstance(options["github_token"], SecretRef)


def test_an_option_of_another_provider_is_dropped_with_a_warning() -> None:
    document = load({"spec.outputLocation.parameters": {"auth": "instance_principal"}})
    assert document.store_options == {}
    assert any("no effect on a store at s3://" in each for each in document.warnings)


def test_a_release_without_a_token_is_warned_of() -> None:
    document = load({"spec.outputLocation.storageUri": "github://owner/repo"})
    assert any("github_token" in each for each in document.warnings)


@pytest.mark.parametrize(
    "scenario", ["N(1,2)/(3,4)junk", "xxU(1,2)yy", "junkD(1,2)", "D(1,2)x", "D(100, 100)"]
)
def test_what_the_clusters_own_check_lets_through_is_refused_here(scenario: str) -> None:
    with pytest.raises(PlanError, match=r"spec\.trafficScenarios\[0\]"):
        load({"spec.trafficScenarios": [scenario]})


def test_all_mistakes_are_listed_by_the_manifests_own_names_and_lines() -> None:
    text = (OME / "benchmark-s3.yaml").read_text()
    text = text.replace("task: text-to-text", "task: text-to-txt")
    text = text.replace("maxTimePerIteration: 10", "maxTimePerIteration: 0")
    text = text.replace("[1, 4, 8, 16]", "[1, 0]")
    with pytest.raises(PlanError) as caught:
        load_plan(text, "job.yaml")
    message = str(caught.value)
    assert "spec.task (line 12): unknown task. Did you mean text-to-text?" in message
    assert "spec.maxTimePerIteration (line 14): is not from 1 to 1440 minutes" in message
    assert "spec.numConcurrency[1] (line 13): must be at least 1" in message


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "BenchmarkJob", "apiVersion": "ome.io/v1beta1"},
        {"kind": "BenchmarkJob", "apiVersion": "ome.io/v1beta1", "spec": []},
        {"kind": "BenchmarkJob", "apiVersion": "ome.io/v1beta1", "spec": {"endpoint": 5}},
        {"kind": "BenchmarkJob", "apiVersion": "ome.io/v1beta1", "metadata": 1, "spec": None},
        {"kind": ["BenchmarkJob"], "apiVersion": 5},
    ],
)
def test_a_manifest_of_the_wrong_shape_is_an_error_not_a_crash(document: Any) -> None:
    with pytest.raises(PlanError) as caught:
        load_plan(json.dumps(document))
    assert "Add" in str(caught.value) or "Give" in str(caught.value) or "Write" in str(caught.value)
