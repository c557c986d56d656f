"""Official help pages that explanations point to."""

from __future__ import annotations

from typing import Final

__all__ = [
    "CREATE_JOB",
    "DESCRIBE_PRICE",
    "DLC_BILLING",
    "DOCKER",
    "EAS_BILLING",
    "EAS_FAQ",
    "EAS_STATUS_CODES",
    "ECS",
    "ENDPOINTS",
    "GET_JOB",
    "IDEMPOTENCE",
    "INSTANCE_TYPES",
    "KUBERNETES",
    "KUBERNETES_IMAGES",
    "LIST_IMAGES",
    "LIST_JOBS",
    "LIST_SERVICES",
    "LIST_WORKSPACES",
    "MEMBERS",
    "OVERDUE",
    "PAI",
    "POD_LIFECYCLE",
    "QUOTAS",
    "RAM",
    "ROLES",
    "SERVICE_INSTANCES",
    "SERVICE_PARAMETERS",
    "STRESS_TESTS",
]

_DETAIL = "https://help.aliyun.com/document_detail"
_PAI = "https://www.alibabacloud.com/help/en/pai"

CREATE_JOB: Final = f"{_DETAIL}/459672.html"
LIST_JOBS: Final = f"{_DETAIL}/459676.html"
GET_JOB: Final = f"{_DETAIL}/459677.html"
DLC_BILLING: Final = f"{_DETAIL}/171758.html"
QUOTAS: Final = f"{_DETAIL}/2651299.html"
LIST_IMAGES: Final = f"{_DETAIL}/449118.html"
LIST_WORKSPACES: Final = f"{_DETAIL}/449124.html"
MEMBERS: Final = f"{_DETAIL}/449135.html"
ROLES: Final = f"{_DETAIL}/2840449.html"
ENDPOINTS: Final = f"{_DETAIL}/31837.html"
LIST_SERVICES: Final = f"{_DETAIL}/412109.html"
SERVICE_INSTANCES: Final = f"{_DETAIL}/412108.html"
SERVICE_PARAMETERS: Final = f"{_DETAIL}/450525.html"
EAS_BILLING: Final = f"{_DETAIL}/144261.html"
DESCRIBE_PRICE: Final = f"{_DETAIL}/107829.html"
INSTANCE_TYPES: Final = f"{_DETAIL}/25378.html"
IDEMPOTENCE: Final = f"{_DETAIL}/25693.html"

PAI: Final = f"{_PAI}/"
EAS_STATUS_CODES: Final = f"{_PAI}/user-guide/status-codes"
EAS_FAQ: Final = f"{_PAI}/faq-about-eas"
STRESS_TESTS: Final = f"{_PAI}/user-guide/automatic-service-stress-testing"
OVERDUE: Final = f"{_PAI}/overdue-payments"
ECS: Final = "https://www.alibabacloud.com/help/en/ecs/"
RAM: Final = "https://www.alibabacloud.com/help/en/ram/"

KUBERNETES: Final = "https://kubernetes.io/docs/home/"
KUBERNETES_IMAGES: Final = "https://kubernetes.io/docs/concepts/containers/images/"
POD_LIFECYCLE: Final = "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/"
DOCKER: Final = "https://docs.docker.com/"
