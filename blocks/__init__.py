"""Saved configuration shown in the Prefect UI."""

from blocks.alibaba_cloud_credentials import AlibabaCloudCredentials
from blocks.dlc_job import DlcJob
from blocks.endpoint import InferenceEndpoint
from blocks.pai_workspace import PaiWorkspace
from blocks.result_store import ResultStore
from blocks.spending_policy import SpendingPolicy

__all__ = [
    "AlibabaCloudCredentials",
    "DlcJob",
    "InferenceEndpoint",
    "PaiWorkspace",
    "ResultStore",
    "SpendingPolicy",
]
