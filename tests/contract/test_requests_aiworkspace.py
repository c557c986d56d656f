"""AIWorkSpace: our requests are those of the official SDK."""

from __future__ import annotations

from typing import Any

import pytest
from alibabacloud_aiworkspace20210204 import models
from alike import AWKWARD, LEAVE, Both, Pair, assert_alike

from tidemark.alibaba import aiworkspace
from tidemark.alibaba.aiworkspace import AiWorkspace

LABELS = {"system.supported.dlc": "true", "system.framework": "PyTorch 1.12 潮"}


def _of_text(text: str) -> list[Pair]:
    """Every operation that takes an id or a text, of one that has to be encoded."""
    described: dict[str, Any] = {"description": text, "display_name": text}
    return [
        Pair(
            aiworkspace.GET_IMAGE,
            text,
            lambda sdk: sdk.aiworkspace.get_image(text, models.GetImageRequest(verbose=True)),
            lambda account: AiWorkspace(account).get_image(text),
        ),
        Pair(
            aiworkspace.GET_WORKSPACE,
            text,
            lambda sdk: sdk.aiworkspace.get_workspace(
                text, models.GetWorkspaceRequest(verbose=True)
            ),
            lambda account: AiWorkspace(account).get_workspace(text),
        ),
        Pair(
            aiworkspace.LIST_WORKSPACES,
            text,
            lambda sdk: sdk.aiworkspace.list_workspaces(
                models.ListWorkspacesRequest(
                    workspace_name=text, status="", verbose=True, page_number=1, page_size=100
                )
            ),
            lambda account: AiWorkspace(account).list_workspaces(name=text, status=""),
        ),
        Pair(
            aiworkspace.CREATE_WORKSPACE,
            text,
            lambda sdk: sdk.aiworkspace.create_workspace(
                models.CreateWorkspaceRequest(
                    workspace_name="bench_1", env_types=["dev", "prod"], **described
                )
            ),
            lambda account: AiWorkspace(account).create_workspace(
                "bench_1", env_types=["dev", "prod"], authorization=LEAVE, **described
            ),
        ),
        Pair(
            aiworkspace.LIST_IMAGES,
            text,
            lambda sdk: sdk.aiworkspace.list_images(
                models.ListImagesRequest(
                    labels=",".join(f"{key}={value}" for key, value in LABELS.items()),
                    name=text,
                    options="ExactMatchName",
                    verbose=False,
                    workspace_id="0",
                    accessibility="PUBLIC",
                    page_number=1,
                    page_size=50,
                )
            ),
            lambda account: AiWorkspace(account).list_images(
                labels=LABELS,
                name=text,
                exact=True,
                verbose=False,
                workspace_id="0",
                accessibility="PUBLIC",
                page_size=50,
            ),
        ),
    ]


DEFAULT = Pair(
    aiworkspace.GET_DEFAULT_WORKSPACE,
    "the account's own",
    lambda sdk: sdk.aiworkspace.get_default_workspace(
        models.GetDefaultWorkspaceRequest(verbose=True)
    ),
    lambda account: AiWorkspace(account).get_default_workspace(),
)
PAIRS = [DEFAULT, *(pair for text in AWKWARD for pair in _of_text(text))]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_requests_are_alike(pair: Pair, both: Both) -> None:
    await assert_alike(pair, both)
