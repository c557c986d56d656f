"""Prices, stock, spot instances and quotas: what there is to be had, and at what price."""

from __future__ import annotations

from typing import Final

from tidemark.alibaba.explained import pages
from tidemark.alibaba.explained.entry import Explanation

__all__ = ["ENTRIES"]

_NO_PRICE = "Treat the price as not known, never as 0"
_OTHER_DISK = (
    "Ask once more with another disk category: cloud_essd, then cloud_efficiency, then cloud_auto"
)

_PRICES = (
    Explanation(
        "PriceNotFound",
        "price error",
        "There is no price for this combination in this region",
        (
            "The instance type is not sold by the hour here, as is common for bare metal (ebm)",
            "The disk category is not sold with this instance type",
        ),
        (
            f"{_NO_PRICE}, and look the type's price up in the console",
            "Ask in another region, or for another type with the same accelerator",
        ),
        "never",
        links=(pages.DESCRIBE_PRICE, pages.DLC_BILLING),
    ),
    Explanation(
        "InvalidInstanceType.ValueNotSupported",
        "price error",
        "ECS does not sell this instance type here, so it names no price",
        (
            "The type is one of PAI alone: ml.… or a Lingjun name",
            "The type is mistyped, or not offered in this region",
        ),
        (
            f"{_NO_PRICE}, and look the type's price up in the PAI console",
            "Check the spelling against ListEcsSpecs",
        ),
        "never",
        links=(pages.INSTANCE_TYPES, pages.DLC_BILLING),
        also=("InvalidInstanceType.NotSupported", "InvalidInstanceType"),
        family=r"invalidinstancetype(?:\..+)?",
    ),
    Explanation(
        "InvalidInstanceType.ValueUnauthorized",
        "price error",
        "This account may not buy this instance type, so it gets no price",
        ("The type is open to invited accounts only", "The type is one of PAI alone"),
        (f"{_NO_PRICE}, or choose a type that the account may buy",),
        "never",
        links=(pages.INSTANCE_TYPES,),
    ),
    Explanation(
        "InvalidInstanceType.Missing",
        "price error",
        "The question names no instance type",
        ("InstanceType was left out or is empty",),
        ("Send InstanceType whenever ResourceType is instance",),
        "never",
        links=(pages.DESCRIBE_PRICE,),
    ),
    Explanation(
        "InvalidInstanceType.NotSupportDiskCategory",
        "price error",
        "This instance type cannot have a disk of this category",
        ("New types take only cloud_essd or cloud_auto, old ones only cloud_efficiency",),
        (_OTHER_DISK,),
        "at once",
        links=(pages.DESCRIBE_PRICE, pages.INSTANCE_TYPES),
    ),
    Explanation(
        "InvalidSystemDiskCategory.ValueNotSupported",
        "price error",
        "The system disk's category is not to be had here, or not with this instance type",
        (
            "The instance type does not take this category",
            "The category is sold out or not offered in this region",
        ),
        (_OTHER_DISK,),
        "at once",
        links=(pages.DESCRIBE_PRICE,),
        also=("InvalidSystemDiskCategory",),
        family=r"invalidsystemdiskcategory.*",
    ),
    Explanation(
        "InvalidDiskCategory.NotSupported",
        "price error",
        "A disk's category is not to be had here, or not with this instance type",
        (
            "The instance type does not take this category",
            "The category is not offered in this region",
        ),
        (_OTHER_DISK,),
        "at once",
        links=(pages.DESCRIBE_PRICE,),
        family=r"invalid(?:data)?diskcategory.*",
    ),
    Explanation(
        "InstanceType.Offline",
        "price error",
        "This instance type is no longer sold",
        ("It was retired in this region",),
        ("Choose its successor, or another type with the same accelerator",),
        "never",
        links=(pages.INSTANCE_TYPES,),
    ),
    Explanation(
        "RegionUnauthorized",
        "price error",
        "This account may not use this region",
        ("The region is open to invited or to enterprise accounts only",),
        ("Use another region, or ask Alibaba Cloud to open this one for the account",),
        "never",
        links=(pages.ECS,),
    ),
)

_CAPACITY = (
    Explanation(
        "ResourceAllocateFailed",
        "DLC reason code",
        "The machines that the job asks for could not be had",
        (
            "The instance type is sold out in the region",
            "The quota has no room for the job, or no single node that is large enough",
            "The spot price rose above the limit",
        ),
        (
            "Choose another instance type or region, or fewer pods: the same request in a loop "
            "does not help",
            "Look with ListEcsSpecs for a type with IsAvailable, or SpotStockStatus WithStock",
        ),
        "later",
        links=(pages.CREATE_JOB, pages.QUOTAS),
    ),
    Explanation(
        "OperationDenied.NoStock",
        "API error",
        "The instance type is sold out where it was asked for",
        ("Much demand for this type in this region or zone",),
        (
            "Choose another instance type, zone or region",
            "Come back in some hours: stock changes through the day",
        ),
        "later",
        links=(pages.INSTANCE_TYPES,),
        also=("Zone.NotOnSale", "OutOfStock", "SoldOut"),
        family=r".+\.nostock",
        signs=(
            r"\bsold out\b|\bout of stock\b|insufficient stock|inventory (?:is )?insufficient"
            r"|no stock\b",
        ),
    ),
    Explanation(
        "QuotaExceeded",
        "API error",
        "The request goes beyond what the account, or the quota, may use",
        (
            "Other jobs hold the rest",
            "The account's limit for this instance family or for vCPUs is small, as for new "
            "accounts",
        ),
        (
            "Stop what is not needed, or ask for less",
            "Have the limit raised in the Quota Center",
        ),
        "later",
        links=(pages.QUOTAS,),
        also=("QuotaExceed", "QuotaExceed.ElasticQuota", "LimitExceeded"),
        family=r"quotaexceed.*|.*limitexceed(?:ed)?|.+\.quotaexceed(?:ed)?|exceed.*quota",
        signs=(r"\bexceed(?:s|ed)? (?:the )?(?:\w+ ){0,3}quota\b|insufficient quota\b",),
    ),
    Explanation(
        "OperationDenied",
        "API error",
        "The service does not do this for this resource in its present state",
        (
            "The resource is not in a state that allows it",
            "The account is not allowed this operation",
        ),
        ("Read the message: it names the state or the limit that stands in the way",),
        "never",
        links=(pages.PAI,),
        family=r"operationdenied(?:\..+)?",
    ),
    Explanation(
        "WithStock",
        "stock and spot",
        "The instance type is to be had now; that is no reservation",
        ("Enough machines are free in the region",),
        ("Create the job or service soon, and be ready for a refusal all the same",),
        "later",
        links=(pages.INSTANCE_TYPES,),
        also=("IsAvailable",),
    ),
    Explanation(
        "ClosedWithStock",
        "stock and spot",
        "Machines of this type exist and are not sold at present",
        ("The type is being retired, or is held back for reservations",),
        ("Choose another instance type",),
        "later",
        links=(pages.INSTANCE_TYPES,),
    ),
    Explanation(
        "NoStock",
        "stock and spot",
        "The instance type is sold out in the region",
        ("Much demand for this type", "No spot instances are offered for it just now"),
        (
            "Choose another instance type or region",
            "If it was spot: ask for the type at its full price",
        ),
        "later",
        links=(pages.INSTANCE_TYPES,),
    ),
    Explanation(
        "spot instance reclaimed",
        "stock and spot",
        "A spot instance was taken back: what ran on it is lost, and the job may start again",
        (
            "Somebody needs the machines at their full price",
            "The market price rose above the price or discount limit",
            "The hour of protection is over",
        ),
        (
            "Measure on instances at their full price: a figure of an interrupted cell counts "
            "for nothing",
            "Else raise the limit, or allow several instance types (ElasticSpotSpecs)",
        ),
        "later",
        "Until it was taken back, at the spot price of that time",
        links=(pages.DLC_BILLING,),
        also=("preempted", "preemption", "pre-emption", "eviction", "spot eviction"),
        signs=(
            r"\b(?:spot|preemptible) instances?\b[^\n]{0,80}"
            r"\b(?:reclaim|releas|recycl|interrupt|evict|preempt)",
            r"\bpre-?empted\b",
        ),
    ),
    Explanation(
        "spot price above the limit",
        "stock and spot",
        "The market asks more for a spot instance than the limit allows",
        (
            "SpotDiscountLimit or SpotPriceLimit is low for the present market",
            "The limit was given in the wrong unit: a discount of 0.3 is 30 % of the full price",
        ),
        ("Raise the limit, wait, or ask for the type at its full price",),
        "later",
        links=(pages.CREATE_JOB, pages.DLC_BILLING),
        also=("SpotPriceLimit", "SpotDiscountLimit"),
        signs=(
            r"\bspot ?price\b[^\n]{0,60}\b(?:exceed|above|higher|greater|over)"
            r"|\b(?:price|discount) ?limit\b[^\n]{0,60}\b(?:below|lower|less) than",
        ),
    ),
)

ENTRIES: Final = (*_PRICES, *_CAPACITY)
