"""A BenchmarkJob says where results go and how that place is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

JOB = """
apiVersion: ome.io/v1beta1
kind: BenchmarkJob
metadata: {{name: nightly, namespace: default}}
spec:
  endpoint: {{endpoint: {{url: "http://127.0.0.1:9", apiFormat: openai, modelName: m}}}}
  task: text-to-text
  maxTimePerIteration: 1
  maxRequestsPerIteration: 100
  outputLocation:
    storageUri: "{uri}"
    parameters: {parameters}
"""


@pytest.mark.parametrize(
    ("uri", "parameters", "configured", "says"),
    [
        ("s3://bucket/x", "{aws_profile: nowhere}", "", "there is no such profile"),
        # What the manifest says goes before what is configured, by whichever name.
        ("s3://bucket/x", "{aws_profile: nowhere}", "profile=elsewhere", "no such profile"),
        ("s3://bucket/x", "{aws_access_key_id: A}", "", "secret_access_key is missing"),
        ("s3://bucket/x", "{aws_access_key_id: A, aws_secret_access_key: 'env:NOT_SET'}", "",
         "NOT_SET is not set"),
        ("s3://bucket/x", "{aws_access_key_id: A}", "secret_access_key=env:NOT_SET",
         "NOT_SET is not set"),
        ("pvc://claim/x", "{}", "", "claim"),
    ],
)  # fmt: skip
def test_the_store_of_a_manifest_is_opened_as_it_says(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uri: str,
    parameters: str,
    configured: str,
    says: str,
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    if configured:
        monkeypatch.setenv(
            "TIDEMARK_STORE_OPTIONS", ",".join(f"s3.{each}" for each in configured.split(","))
        )
    (tmp_path / "job.yaml").write_text(JOB.format(uri=uri, parameters=parameters))
    shown = command("plan", "job.yaml", "--tokenizer", str(tmp_path))
    assert says in shown.out
    # A store named on the command line replaces it, and what it says.
    shown = command("plan", "job.yaml", "--tokenizer", str(tmp_path), "--store", "here")
    assert says not in shown.out
