"""Every operation of our clients is driven by an official SDK, and compared with its request."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from official import CLIENTS

import tidemark.alibaba
from tidemark.alibaba.endpoints import Product
from tidemark.alibaba.operations import Operation

# Operations that no SDK has, and why they are there.
NOT_IN_AN_SDK = {
    (Product.PAISTUDIO, "GetQuotaWorkloadDiagnosis"): "called by the provider's own tools, and "
    "in no published SDK",
}
NO_SDK = {
    Product.WORKLOAD: "described in one document only: no package of it exists",
    Product.GATEWAY: "takes a key in place of a signature: SDKs know the service's own API",
}


def our_operations() -> dict[tuple[Product, str], Operation]:
    """The operations that are constants of the clients' modules."""
    found = {}
    for info in pkgutil.walk_packages(tidemark.alibaba.__path__, "tidemark.alibaba."):
        for value in vars(importlib.import_module(info.name)).values():
            if isinstance(value, Operation):
                found[value.product, value.action] = value
    return found


def contract_modules() -> Iterator[ModuleType]:
    """The tests beside this one."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path.stem != Path(__file__).stem:
            yield importlib.import_module(path.stem)


def test_every_operation_is_driven_and_compared() -> None:
    driven, compared = set(), set()
    for module in contract_modules():
        for value in vars(module).values():
            marks = getattr(value, "pytestmark", []) if callable(value) else []
            for mark in marks:
                if mark.name == "drives":
                    driven |= {(one.product, one.action) for one in mark.args}
        for pair in getattr(module, "PAIRS", ()):
            compared.add((pair.operation.product, pair.operation.action))
    operations = our_operations()
    assert len(operations) >= 34
    wanted = {name for name in operations if name not in NOT_IN_AN_SDK and name[0] not in NO_SDK}
    assert wanted - driven == set()
    assert wanted - compared == set()


def test_what_is_said_to_be_in_no_sdk_is_in_none() -> None:
    for product, action in NOT_IN_AN_SDK:
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", action).lower()
        assert not hasattr(CLIENTS[product], method)
    assert set(NO_SDK) == set(Product) - set(CLIENTS)
