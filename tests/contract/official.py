"""Clients of the official SDKs, pointed at a port of this machine."""

from __future__ import annotations

from typing import Any

from alibabacloud_aiworkspace20210204.client import Client as AiWorkspaceClient
from alibabacloud_eas20210701.client import Client as EasClient
from alibabacloud_ecs20140526.client import Client as EcsClient
from alibabacloud_pai_dlc20201203.client import Client as DlcClient
from alibabacloud_paistudio20220112.client import Client as PaiStudioClient
from alibabacloud_tea_openapi.models import Config
from contract_cloud import KEY, REGION

from tidemark.alibaba.endpoints import Product
from tidemark.simulator.pai.accounts import Account

__all__ = ["CLIENTS", "Official"]

CLIENTS: dict[Product, Any] = {
    Product.DLC: DlcClient,
    Product.EAS: EasClient,
    Product.AIWORKSPACE: AiWorkspaceClient,
    Product.PAISTUDIO: PaiStudioClient,
    Product.ECS: EcsClient,
}


class Official:
    """One client for each product. `signature` "v2" stands for the older, HMAC-SHA1 ones."""

    def __init__(self, port: int, keys: Account = KEY, *, signature: str | None = None) -> None:
        self._port = port
        self._keys = keys
        self._signature = signature

    @property
    def dlc(self) -> Any:
        return self._client(Product.DLC)

    @property
    def eas(self) -> Any:
        return self._client(Product.EAS)

    @property
    def aiworkspace(self) -> Any:
        return self._client(Product.AIWORKSPACE)

    @property
    def paistudio(self) -> Any:
        return self._client(Product.PAISTUDIO)

    @property
    def ecs(self) -> Any:
        return self._client(Product.ECS)

    def _client(self, product: Product) -> Any:
        return CLIENTS[product](
            Config(
                endpoint=f"127.0.0.1:{self._port}",
                protocol="HTTP",
                region_id=REGION,
                access_key_id=self._keys.access_key_id,
                access_key_secret=self._keys.access_key_secret,
                security_token=self._keys.security_token,
                signature_algorithm=self._signature,
            )
        )
