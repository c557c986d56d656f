"""Credentials and signatures of the official SDKs, before the simulated services."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from alibabacloud_aiworkspace20210204 import models as aiworkspace_models
from alibabacloud_eas20210701 import models as eas_models
from alibabacloud_ecs20140526 import models as ecs_models
from alibabacloud_pai_dlc20201203 import models as dlc_models
from alibabacloud_paistudio20220112 import models as paistudio_models
from alibabacloud_tea_openapi.exceptions import ClientException
from contract_cloud import ENDED, KEY, REGION, TEMPORARY, Cloud
from official import Official
from understood import understood

from tidemark.simulator.pai.accounts import Account

IMAGE = "registry.example.com/bench:1"
AWKWARD = "a b/c~*潮&x=1+2"


def every_product(sdk: Official) -> list[Any]:
    """Calls of all products and methods, their answers in the order of the calls."""
    spec = dlc_models.JobSpec(type="Worker", image=IMAGE, pod_count=1, ecs_spec="ecs.g6.large")
    job = dlc_models.CreateJobRequest(
        display_name="bench-1", job_type="PyTorchJob", user_command="echo 潮", job_specs=[spec]
    )
    made = sdk.dlc.create_job(job)
    listing = dlc_models.ListJobsRequest(display_name=AWKWARD, tags={"k": AWKWARD, "e": ""})
    task = '{"base": {"name": "bench_1"}, "service": {"serviceName": "test_service"}, '
    task += '"data": {"path": "https://example.com/潮"}}'
    price = ecs_models.DescribePriceRequest(
        region_id=REGION,
        instance_type="ecs.c6.large",
        zone_id=AWKWARD,
        image_id="",
        data_disk=[ecs_models.DescribePriceRequestDataDisk(category="cloud_essd", size=40)],
    )
    return [
        made,
        sdk.dlc.list_jobs(listing),
        sdk.dlc.get_job(made.body.job_id, dlc_models.GetJobRequest(need_detail=True)),
        sdk.dlc.stop_job(made.body.job_id),
        sdk.eas.create_benchmark_task(eas_models.CreateBenchmarkTaskRequest(body=task)),
        sdk.eas.stop_benchmark_task(REGION, "bench_1"),
        sdk.eas.delete_benchmark_task(REGION, "bench_1"),
        sdk.aiworkspace.list_images(aiworkspace_models.ListImagesRequest(name=AWKWARD)),
        sdk.paistudio.list_quotas(paistudio_models.ListQuotasRequest(quota_name=AWKWARD)),
        sdk.ecs.describe_price(price),
    ]


@pytest.mark.parametrize("keys", [KEY, TEMPORARY], ids=["lasting", "temporary"])
@pytest.mark.parametrize("signature", [None, "v2"], ids=["v3", "v2"])
def test_every_product_accepts_the_signature(
    cloud: Cloud, keys: Account, signature: str | None
) -> None:
    answers = every_product(Official(cloud.port, keys, signature=signature))
    assert [one.status for one in cloud.requests] == [200] * len(answers)
    understood(cloud, answers[-1])
    roa, rpc = cloud.requests[0], cloud.requests[-1]
    scheme = "ACS3-HMAC-SHA256 " if signature is None else "acs "
    assert roa.headers["authorization"].startswith(scheme)
    assert ("Signature" in rpc.query) is (signature == "v2")
    sent_token = roa.headers.get("x-acs-security-token")
    assert sent_token == keys.security_token
    assert rpc.action == "DescribePrice"


def refusal(sdk: Official, product: str) -> tuple[int, str]:
    calls = {
        "dlc": lambda: sdk.dlc.list_jobs(dlc_models.ListJobsRequest()),
        "ecs": lambda: sdk.ecs.describe_price(ecs_models.DescribePriceRequest(region_id=REGION)),
    }
    with pytest.raises(ClientException) as refused:
        calls[product]()
    assert refused.value.request_id
    return refused.value.status_code, refused.value.code


@pytest.mark.parametrize("product", ["dlc", "ecs"])
@pytest.mark.parametrize("signature", [None, "v2"], ids=["v3", "v2"])
@pytest.mark.parametrize(
    ("keys", "status", "code"),
    [
        (replace(KEY, access_key_secret="another"), 400, "SignatureDoesNotMatch"),
        (replace(KEY, access_key_id="LTAInobody"), 404, "InvalidAccessKeyId.NotFound"),
        (
            replace(TEMPORARY, security_token="another"),
            400,
            "InvalidSecurityToken.MismatchWithAccessKey",
        ),
        (ENDED, 400, "InvalidSecurityToken.Expired"),
    ],
    ids=["secret", "id", "token", "ended"],
)
def test_wrong_keys_are_refused_by_a_code(
    cloud: Cloud, keys: Account, status: int, code: str, signature: str | None, product: str
) -> None:
    sdk = Official(cloud.port, keys, signature=signature)
    assert refusal(sdk, product) == (status, code)


async def test_asynchronous_calls_are_accepted_too(cloud: Cloud) -> None:
    sdk = Official(cloud.port, TEMPORARY)
    spec = dlc_models.JobSpec(type="Worker", image=IMAGE, pod_count=1, ecs_spec="ecs.g6.large")
    job = dlc_models.CreateJobRequest(
        display_name="bench-1", job_type="PyTorchJob", user_command="echo 潮", job_specs=[spec]
    )
    made = understood(cloud, await sdk.dlc.create_job_async(job))
    listing = dlc_models.ListJobsRequest(tags={"a": "b 潮"}, display_name=AWKWARD, show_own=True)
    assert understood(cloud, await sdk.dlc.list_jobs_async(listing)).total_count == 0
    seen = await sdk.dlc.get_job_async(made.job_id, dlc_models.GetJobRequest())
    assert understood(cloud, seen).display_name == "bench-1"
    service = await sdk.eas.describe_service_async(REGION, "test_service")
    assert understood(cloud, service).status == "Running"
    price = await sdk.ecs.describe_price_async(
        ecs_models.DescribePriceRequest(region_id=REGION, instance_type="ecs.c6.large")
    )
    assert understood(cloud, price).price_info.price.currency == "CNY"
    with pytest.raises(ClientException) as missing:
        await sdk.dlc.stop_job_async("dlc潮 none")
    assert missing.value.status_code == 404
