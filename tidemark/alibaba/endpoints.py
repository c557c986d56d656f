"""Where Alibaba Cloud's services are reached: hosts by product, region and network.

A table of our own, since the endpoint maps inside the official SDKs send regions to central hosts
that serve others, to a VPC host, or to names that do not exist. Source of regions and hosts: the
endpoint lists that Alibaba Cloud publishes for each product and version, as of 2026. An address
given by hand (`override`) goes before the table and may be in any region.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Literal
from urllib.parse import urlsplit

from tidemark.errors import ConfigError

__all__ = ["Network", "Override", "Product", "endpoint_for"]

Network = Literal["public", "vpc"]
Override = str | Mapping[str, str] | None


class Product(StrEnum):
    """A service and the version of its API that is spoken here.

    The value is the name by which an override addresses it.
    """

    DLC = "dlc"
    EAS = "eas"
    AIWORKSPACE = "aiworkspace"
    PAISTUDIO = "paistudio"
    ECS = "ecs"
    # Known from one document only, at no published address: mostly reached by an override.
    WORKLOAD = "workload"
    # EAS operations behind the developer portal, with a bearer key in place of a signature.
    GATEWAY = "gateway"

    @property
    def label(self) -> str:
        """What people call it."""
        return _LABELS[self]

    @property
    def version(self) -> str:
        """The API version, as the header `x-acs-version` has it."""
        return _VERSIONS[self]

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions where it is known to be offered, sorted."""
        return tuple(sorted(_REGIONS[self]))

    def host(self, region: str, network: Network = "public") -> str:
        """The host for a region, whether the product is offered there or not.

        Raises ConfigError for a product without an address inside VPCs.
        """
        if network == "public":
            pattern = _PUBLIC[self]
            if self is Product.ECS:
                pattern = _ECS_BY_REGION.get(region, pattern)
            elif self is Product.GATEWAY and not region.startswith("cn-"):
                pattern = "api.alibabacloud.com"
        else:
            pattern = _VPC.get(self, "")
            if not pattern:
                raise ConfigError(
                    f"{self.label} has no address inside VPCs",
                    "network",
                    "Use the network public, or give its address as endpoint",
                )
        return pattern.format(region=region)


_LABELS = {
    Product.DLC: "PAI-DLC",
    Product.EAS: "EAS",
    Product.AIWORKSPACE: "AIWorkSpace",
    Product.PAISTUDIO: "PaiStudio",
    Product.ECS: "ECS",
    Product.WORKLOAD: "PAI Workload",
    Product.GATEWAY: "the EAS gateway",
}
_VERSIONS = {
    Product.DLC: "2020-12-03",
    Product.EAS: "2021-07-01",
    Product.AIWORKSPACE: "2021-02-04",
    Product.PAISTUDIO: "2022-01-12",
    Product.ECS: "2014-05-26",
    Product.WORKLOAD: "2024-01-01",
    Product.GATEWAY: "2021-07-01",
}
_PUBLIC = {
    Product.DLC: "pai-dlc.{region}.aliyuncs.com",
    Product.EAS: "pai-eas.{region}.aliyuncs.com",
    Product.AIWORKSPACE: "aiworkspace.{region}.aliyuncs.com",
    Product.PAISTUDIO: "pai.{region}.aliyuncs.com",
    Product.ECS: "ecs.{region}.aliyuncs.com",
    Product.WORKLOAD: "pai-workload.{region}.aliyuncs.com",
    Product.GATEWAY: "api.aliyun.com",
}
_VPC = {
    Product.DLC: "pai-dlc-vpc.{region}.aliyuncs.com",
    Product.EAS: "pai-eas-manage-vpc.{region}.aliyuncs.com",  # not pai-eas-vpc
    Product.AIWORKSPACE: "aiworkspace-vpc.{region}.aliyuncs.com",
    Product.PAISTUDIO: "pai-vpc.{region}.aliyuncs.com",
    Product.ECS: "ecs-vpc.{region}.aliyuncs.com",
}

# The finance regions have no public ECS host of their own; Hangzhou's is published for them.
_ECS_BY_REGION = dict.fromkeys(
    ("cn-shanghai-finance-1", "cn-shenzhen-finance-1"), "ecs-cn-hangzhou.aliyuncs.com"
)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DLC_REGIONS = _names(
    """
    ap-northeast-1 ap-southeast-1 ap-southeast-3 ap-southeast-5 ap-southeast-7 cn-beijing
    cn-guangzhou cn-hangzhou cn-hongkong cn-shanghai cn-shanghai-finance-1 cn-shenzhen
    cn-wulanchabu eu-central-1 me-east-1 us-east-1 us-southeast-1 us-west-1
    """
)
_EAS_REGIONS = _DLC_REGIONS | {"ap-northeast-2", "cn-chengdu", "cn-heyuan", "cn-zhangjiakou"}
_AIWORKSPACE_REGIONS = _DLC_REGIONS | {"ap-northeast-2", "ap-south-1", "cn-heyuan", "na-south-1"}
_PAISTUDIO_REGIONS = _DLC_REGIONS | {"ap-northeast-2"}
_ECS_REGIONS = (_EAS_REGIONS | _AIWORKSPACE_REGIONS) | _names(
    """
    ap-southeast-2 ap-southeast-6 cn-beijing-finance-1 cn-fuzhou cn-huhehaote cn-nanjing
    cn-qingdao cn-shenzhen-finance-1 cn-wuhan-lr cn-zhengzhou-jva eu-west-1 me-central-1
    """
)
_REGIONS = {
    Product.DLC: _DLC_REGIONS,
    Product.EAS: _EAS_REGIONS,
    Product.AIWORKSPACE: _AIWORKSPACE_REGIONS,
    Product.PAISTUDIO: _PAISTUDIO_REGIONS,
    Product.ECS: _ECS_REGIONS,
    Product.WORKLOAD: _DLC_REGIONS,
    Product.GATEWAY: _EAS_REGIONS,
}

_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?")


def endpoint_for(
    product: Product, region: str, network: Network = "public", override: Override = None
) -> str:
    """The base URL of a product in a region, without a slash at its end: `https://HOST`.

    `override` is an address for all products, or one per product by its name; what it names is
    taken as it is, in any region. Raises ConfigError for a region that the product is not known
    to be offered in, for an unknown network, and for an override that is no bare `https://HOST`
    (`http://` for this machine and for names under `.simulator` only).
    """
    if not _REGION.fullmatch(region):
        # Not repeated: it may be anything that was pasted.
        near = _nearest(region, _ECS_REGIONS)
        hint = f"Did you mean {near[0]}?" if near else "Write it as cn-hangzhou is written"
        raise ConfigError("is not the name of a region", "region", hint)
    if network not in ("public", "vpc"):
        raise ConfigError("no such network", "network", "Use public or vpc")
    given = _given(product, override)
    if given is not None:
        _check_spelling(region)
        return given
    if region not in _REGIONS[product]:
        raise _not_offered(product, region)
    return f"https://{product.host(region, network)}"


def _check_spelling(region: str) -> None:
    """Refuse a slip of the pen where any region is taken. One that differs from a known region by
    its number alone is a new one."""

    def letters(name: str) -> str:
        return re.sub(r"[0-9]", "", name)

    near = difflib.get_close_matches(region, _ECS_REGIONS, n=1, cutoff=0.85)
    if near and region not in _ECS_REGIONS and letters(near[0]) != letters(region):
        raise ConfigError("is not the name of a region", "region", f"Did you mean {near[0]}?")


def _given(product: Product, override: Override) -> str | None:
    """The base URL that an override has for a product, None if it has none."""
    if override is None:
        return None
    if isinstance(override, str):
        return _base_url(override, "endpoint")
    for name in override:
        if name not in list(Product):
            near = difflib.get_close_matches(str(name).lower(), list(Product), n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(Product)}"
            raise ConfigError("is keyed by a product that does not exist", "endpoint", hint)
    found = override.get(product.value)
    return None if found is None else _base_url(found, f"endpoint of {product}")


def _base_url(text: str, where: str) -> str:
    """`text` as a base URL. The errors repeat its host at most: the rest may hold a secret."""
    form = "Write https://HOST or https://HOST:PORT, nothing after it"
    if not text:
        raise ConfigError("is empty", where, form)
    if not text.isascii() or any(c <= " " or c == "\x7f" for c in text):
        raise ConfigError("holds a space, control or non-ASCII character", where, form)
    if "://" not in text:
        raise ConfigError("has no scheme", where, form)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ConfigError("is not a URL", where, form) from None
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if scheme not in ("https", "http"):
        raise ConfigError("is neither https:// nor http://", where, form)
    if "@" in parts.netloc:
        raise ConfigError(
            "holds a user name or password", where, f"{form}; calls are signed with an access key"
        )
    if not (_HOST.fullmatch(host) or (":" in host and "%" not in host)) or port == 0:
        raise ConfigError("has no usable host or port", where, form)
    if parts.path not in ("", "/"):
        raise ConfigError("has a path", where, form)
    if "?" in text or "#" in text:
        raise ConfigError("has a query or fragment", where, form)
    if scheme == "http" and not _stays_here(host):
        raise ConfigError(
            f"is plain http to {host}: what jobs are given would travel readable",
            where,
            "Use https://; http:// is for this machine and for names under .simulator",
        )
    return f"{scheme}://{f'[{host}]' if ':' in host else host}" + (f":{port}" if port else "")


def _stays_here(host: str) -> bool:
    if host in ("localhost", "simulator") or host.endswith((".localhost", ".simulator")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _not_offered(product: Product, region: str) -> ConfigError:
    regions = product.regions
    others = [
        other.label
        for other in (Product.DLC, Product.EAS, Product.AIWORKSPACE, Product.PAISTUDIO, Product.ECS)
        if region in _REGIONS[other]
    ]
    if others:
        what = f"{product.label} is not known in {region}, only {_and(others)}"
        hint = ""
    else:
        what = f"no region {region} is known"
        near = _nearest(region, _REGIONS[product])
        hint = f"Did you mean {near[0]}? " if near else ""
    return ConfigError(
        what,
        "region",
        f"{hint}{product.label} is in: {', '.join(regions)}; elsewhere, give its address as "
        "endpoint",
    )


def _nearest(text: str, regions: frozenset[str]) -> list[str]:
    plain = re.sub(r"[\s_]+", "-", text.strip().lower())[:64]
    return difflib.get_close_matches(plain, sorted(regions), n=1, cutoff=0.7)


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
