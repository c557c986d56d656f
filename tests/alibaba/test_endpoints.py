"""Where services are reached: published hosts, quirks of regions, and addresses given by hand."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemark.alibaba.endpoints import Override, Product, endpoint_for
from tidemark.errors import ConfigError

CANARY = "canary-9f2c77d1"


@pytest.mark.parametrize(
    ("product", "region", "public", "vpc"),
    [
        (Product.DLC, "cn-hangzhou", "pai-dlc.cn-hangzhou", "pai-dlc-vpc.cn-hangzhou"),
        # Sent to a central host or a VPC host by maps in circulation.
        (Product.DLC, "me-east-1", "pai-dlc.me-east-1", "pai-dlc-vpc.me-east-1"),
        (Product.EAS, "cn-wulanchabu", "pai-eas.cn-wulanchabu", "pai-eas-manage-vpc.cn-wulanchabu"),
        (
            Product.AIWORKSPACE,
            "ap-southeast-5",
            "aiworkspace.ap-southeast-5",
            "aiworkspace-vpc.ap-southeast-5",
        ),
        (
            Product.AIWORKSPACE,
            "cn-guangzhou",
            "aiworkspace.cn-guangzhou",
            "aiworkspace-vpc.cn-guangzhou",
        ),
        (Product.PAISTUDIO, "cn-hangzhou", "pai.cn-hangzhou", "pai-vpc.cn-hangzhou"),
        (Product.ECS, "cn-hangzhou", "ecs.cn-hangzhou", "ecs-vpc.cn-hangzhou"),
        (Product.ECS, "us-west-1", "ecs.us-west-1", "ecs-vpc.us-west-1"),
        (
            Product.ECS,
            "cn-shanghai-finance-1",
            "ecs-cn-hangzhou",
            "ecs-vpc.cn-shanghai-finance-1",
        ),
    ],
)
def test_each_product_has_its_host_on_both_networks(
    product: Product, region: str, public: str, vpc: str
) -> None:
    assert endpoint_for(product, region) == f"https://{public}.aliyuncs.com"
    assert endpoint_for(product, region, "vpc") == f"https://{vpc}.aliyuncs.com"


def test_every_known_region_gives_a_clean_regional_host() -> None:
    for product in Product:
        assert product.regions
        for region in product.regions:
            url = endpoint_for(product, region)
            assert re.fullmatch(r"https://[a-z0-9.-]+\.(aliyuncs|aliyun|alibabacloud)\.com", url)
            central = product is Product.GATEWAY or (
                product is Product.ECS and region.endswith("finance-1")
            )
            assert central or f".{region}.aliyuncs.com" in url, url
            assert "vpc" not in url


def test_whatever_runs_can_be_priced() -> None:
    priced = set(Product.ECS.regions)
    for product in (Product.DLC, Product.EAS, Product.AIWORKSPACE, Product.PAISTUDIO):
        assert set(product.regions) <= priced


def test_versions_are_those_of_the_services() -> None:
    assert {str(product): product.version for product in Product} == {
        "dlc": "2020-12-03",
        "eas": "2021-07-01",
        "aiworkspace": "2021-02-04",
        "paistudio": "2022-01-12",
        "ecs": "2014-05-26",
        "workload": "2024-01-01",
        "gateway": "2021-07-01",
    }


def test_the_gateway_is_chosen_by_the_site_of_the_region() -> None:
    assert endpoint_for(Product.GATEWAY, "cn-shanghai") == "https://api.aliyun.com"
    assert endpoint_for(Product.GATEWAY, "ap-southeast-1") == "https://api.alibabacloud.com"
    assert endpoint_for(Product.GATEWAY, "eu-central-1") == "https://api.alibabacloud.com"


@pytest.mark.parametrize("product", [Product.WORKLOAD, Product.GATEWAY])
def test_what_has_no_address_inside_vpcs_says_so(product: Product) -> None:
    with pytest.raises(ConfigError, match="no address inside VPCs"):
        endpoint_for(product, "cn-hangzhou", "vpc")


@pytest.mark.parametrize(
    ("region", "meant"),
    [
        ("cn-hangzho", "cn-hangzhou"),
        ("cn-hangzhou-h", "cn-hangzhou"),
        ("Hangzhou", "cn-hangzhou"),
        ("cn_shanghai", "cn-shanghai"),
        ("ap-southeast1", "ap-southeast-1"),
    ],
)
def test_a_mistyped_region_is_answered_with_the_one_meant(region: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"Did you mean {meant}\?"):
        endpoint_for(Product.DLC, region)


def test_a_region_of_another_product_names_those_that_are_there() -> None:
    with pytest.raises(ConfigError) as caught:
        endpoint_for(Product.DLC, "cn-chengdu")
    assert caught.value.what == "PAI-DLC is not known in cn-chengdu, only EAS and ECS"
    assert "cn-beijing, cn-guangzhou" in str(caught.value.remedy)
    assert "Did you mean" not in str(caught.value.remedy)


def test_what_is_no_region_is_not_repeated() -> None:
    for text in (CANARY.upper(), f"cn-hangzhou {CANARY}", "", "a/../b", "x" * 500):
        with pytest.raises(ConfigError) as caught:
            endpoint_for(Product.DLC, text, override="https://a.example")
        assert CANARY not in str(caught.value).lower()


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="Use public or vpc"):
        endpoint_for(Product.DLC, "cn-hangzhou", "private")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://dlc.example", "https://dlc.example"),
        ("https://dlc.example/", "https://dlc.example"),
        ("HTTPS://DLC.Example:8443", "https://dlc.example:8443"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://localhost:1", "http://localhost:1"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://dlc.simulator", "http://dlc.simulator"),
        ("http://simulator:8080", "http://simulator:8080"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]"),
    ],
)
def test_an_address_given_by_hand_is_taken_in_any_region(text: str, url: str) -> None:
    for product in Product:
        assert endpoint_for(product, "xx-future-9", override=text) == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("dlc.example", "has no scheme"),
        ("localhost:8000", "has no scheme"),
        ("127.0.0.1:8000", "has no scheme"),
        ("ftp://dlc.example", "neither https:// nor http://"),
        (f"https://user:{CANARY}@dlc.example", "user name or password"),
        (f"http://{CANARY}@127.0.0.1", "user name or password"),
        (f"https://dlc.example/{CANARY}", "has a path"),
        (f"https://dlc.example?key={CANARY}", "has a query"),
        (f"https://dlc.example#{CANARY}", "has a query or fragment"),
        ("https://dlc.example?", "has a query"),
        ("https://", "no usable host"),
        ("https://:443", "no usable host"),
        ("https://-a-.example:0", "no usable host"),
        ("https://dlc.example:0", "no usable host or port"),
        ("https://dlc.example:99999", "is not a URL"),
        (f"https://dlc.example:{CANARY}", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://[fe80::1%eth0]", "no usable host"),
        ("https://dlc.example\t", "space, control"),
        ("https://dlc\n.example", "space, control"),
        (" https://dlc.example", "space, control"),
        ("https://dlc.exämple", "non-ASCII"),
        ("https://dlc.example\\a", "no usable host"),
    ],
)
def test_an_address_that_is_no_bare_one_is_refused(text: str, said: str) -> None:
    overrides: list[tuple[Override, str]] = [(text, "endpoint"), ({"dlc": text}, "endpoint of dlc")]
    for override, where in overrides:
        with pytest.raises(ConfigError) as caught:
            endpoint_for(Product.DLC, "cn-hangzhou", override=override)
        assert said in caught.value.what
        assert caught.value.where == where
        assert CANARY not in str(caught.value)
        assert CANARY not in repr(caught.value.__cause__)


@pytest.mark.parametrize(
    "text",
    [
        "http://dlc.example",
        "http://10.0.0.1",
        "http://0.0.0.0:8000",
        "http://127.0.0.1.example",
        "http://localhost.example",
        "http://notsimulator",
        "http://simulator.example",
        "http://127.1",
        "http://2130706433",
        "http://[2001:db8::1]",
    ],
)
def test_plain_http_does_not_leave_this_machine(text: str) -> None:
    with pytest.raises(ConfigError, match="plain http"):
        endpoint_for(Product.DLC, "cn-hangzhou", override=text)


def test_one_product_can_be_given_an_address_and_the_others_stay() -> None:
    override = {"dlc": "http://127.0.0.1:8000", Product.ECS: "https://ecs.example"}
    assert endpoint_for(Product.DLC, "cn-hangzhou", override=override) == "http://127.0.0.1:8000"
    assert endpoint_for(Product.ECS, "cn-hangzhou", override=override) == "https://ecs.example"
    assert (
        endpoint_for(Product.EAS, "cn-hangzhou", override=override)
        == "https://pai-eas.cn-hangzhou.aliyuncs.com"
    )
    # What keeps its own address still has to be in a region that is known.
    with pytest.raises(ConfigError, match="no region"):
        endpoint_for(Product.EAS, "xx-future-9", override=override)


def test_an_address_for_a_product_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean dlc\?"):
        endpoint_for(Product.EAS, "cn-hangzhou", override={"DLC": "https://dlc.example"})
    with pytest.raises(ConfigError, match="There are: dlc, eas"):
        endpoint_for(Product.EAS, "cn-hangzhou", override={"": "https://dlc.example"})


@given(st.text(max_size=60), st.sampled_from(["", "https://", "http://", "http://127.0.0.1"]))
def test_no_text_gives_anything_but_a_bare_address_or_a_clear_error(text: str, begin: str) -> None:
    try:
        url = endpoint_for(Product.DLC, "cn-hangzhou", override=begin + text)
    except ConfigError:
        return
    assert re.fullmatch(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9]\d*)?", url)
    assert url.startswith("https://") or re.match(
        r"http://(127\.|\[::1\]|localhost|simulator|[^:]+\.(localhost|simulator)(:|$))", url
    )


def test_an_override_takes_new_regions_and_refuses_misspelled_ones() -> None:
    here = "http://127.0.0.1:8090"
    for region in ("cn-hangzhou", "ap-southeast-99", "mars-north-1"):
        assert endpoint_for(Product.DLC, region, override=here) == here
    for region in ("cn-hangzou", "cn-shanhai", "us-wset-1"):
        with pytest.raises(ConfigError, match="Did you mean"):
            endpoint_for(Product.DLC, region, override=here)
