"""Saved configuration shown in the Prefect UI."""

from blocks.endpoint import InferenceEndpoint
from blocks.result_store import ResultStore

__all__ = ["InferenceEndpoint", "ResultStore"]
