"""Codes with which any of the services refuses a call, whoever makes it."""

from __future__ import annotations

from typing import Final

from tidemark.alibaba.explained import pages
from tidemark.alibaba.explained.entry import Explanation

__all__ = ["ENTRIES", "LOOK_FIRST"]

LOOK_FIRST = (
    "If the call creates, starts or stops something, look first whether it was done: a second "
    "create makes a second resource"
)
_QUOTE_REQUEST_ID = "If it stays, give the RequestId of the answer to Alibaba Cloud support"
_THROTTLED_REMEDIES = (
    "Wait as long as the answer says (x-acs-retry-after in milliseconds, else Retry-After in "
    "seconds), else a second and twice as long each time, and ask again",
    "Poll less often, page with the largest page size, and let fewer clients ask at a time",
)

_THROTTLING = (
    Explanation(
        "Throttling",
        "API error",
        "Too many calls in a short time: this one was not carried out. It usually comes with "
        "HTTP 400, also with 403, 429 or 503",
        (
            "A loop that polls many jobs, or every page, without a pause",
            "Several clients that share one account and its limit",
        ),
        _THROTTLED_REMEDIES,
        "later",
        links=(pages.PAI,),
        also=("ServiceThrottling", "FlowControl"),
        signs=(r"request was denied due to (?:request |service )?(?:throttling|flow control)",),
        family=r"(?:service)?throttling(?:\..+)?|flowcontrol.*|.+\.throttling",
    ),
    Explanation(
        "Throttling.User",
        "API error",
        "This account or user made more calls in a short time than it may: this one was not "
        "carried out",
        (
            "A loop that polls many jobs, or every page, without a pause",
            "Other programs of the same account, which count against the same limit",
        ),
        _THROTTLED_REMEDIES,
        "later",
        links=(pages.PAI,),
        signs=(r"denied due to user flow control",),
    ),
    Explanation(
        "Throttling.Api",
        "API error",
        "This one operation was called more often than is allowed: the call was not carried out",
        (
            "The same operation in a loop without a pause",
            "Several clients that call the same operation",
        ),
        _THROTTLED_REMEDIES,
        "later",
        links=(pages.PAI,),
        signs=(r"denied due to api flow control",),
    ),
)

_SERVER = (
    Explanation(
        "ServiceUnavailable",
        "API error",
        "The service could not answer for the moment",
        ("A short disturbance of the service", "Maintenance in this region"),
        (
            "Ask again after a few seconds, waiting longer each time",
            LOOK_FIRST,
            _QUOTE_REQUEST_ID,
        ),
        "later",
        links=(pages.PAI,),
        also=("ServiceUnavailableTemporary",),
        family=r"serviceunavailable.*",
    ),
    Explanation(
        "InternalError",
        "API error",
        "The service failed while it handled the call; whether the call took effect is not known",
        ("A fault of the service", "A request of a form that the service did not expect"),
        (
            "Ask again after a few seconds, at most a few times",
            LOOK_FIRST,
            _QUOTE_REQUEST_ID,
        ),
        "later",
        links=(pages.PAI,),
        also=("InternalFailure", "UnknownError", "InternalServerError", "SystemError"),
        family=r"internal(?:error|failure).*",
    ),
    Explanation(
        "OperationTimeout",
        "API error",
        "The service did not finish the call in time; whether it took effect is not known",
        ("The service is slow at present", "A question about very many things at once"),
        (
            "Ask again after a few seconds, with a smaller page or time range",
            LOOK_FIRST,
            _QUOTE_REQUEST_ID,
        ),
        "later",
        links=(pages.PAI,),
        also=("ReadTimeOut", "RequestTimeout"),
    ),
)

_REQUEST = (
    Explanation(
        "InvalidParameter",
        "API error",
        "A parameter has a value that the service does not take; what follows the first dot, or "
        "the message, names it",
        (
            "A value of the wrong type or outside its bounds: resources in JobSpecs are strings",
            "Two fields that exclude each other: EcsSpec and ResourceConfig, Uri and DataSourceId",
            "A name with characters that are not allowed, or too long",
            "An id of another region or workspace",
        ),
        (
            "Read in the message which parameter it is, and correct it",
            "Compare the body with the operation's page; types and spelling count, also upper "
            "and lower case",
        ),
        "never",
        links=(pages.CREATE_JOB, pages.SERVICE_PARAMETERS),
        family=r"(?:invalid|illegal)parameter.*|.+\.(?:malformed|invalidparameter)",
    ),
    Explanation(
        "MissingParameter",
        "API error",
        "A parameter that the operation needs was not sent",
        (
            "A required field is absent or empty",
            "The field is spelt with lower case where PascalCase is meant",
            "The body was not sent as JSON",
        ),
        ("Add the parameter that the message names",),
        "never",
        links=(pages.CREATE_JOB,),
        family=r"missing.+",
    ),
    Explanation(
        "BadRequest",
        "API error",
        "The service understood the call and will not do it in the present state",
        (
            "StopJob on a job that has ended already",
            "A body that is no JSON object, or lacks a required part",
        ),
        (
            "Ask for the job's status: if it is Succeeded, Failed or Stopped, there is nothing "
            "left to stop",
            "Otherwise read the message, and correct the body",
        ),
        "never",
        links=(pages.GET_JOB,),
    ),
    Explanation(
        "InvalidAction.NotFound",
        "API error",
        "There is no such operation at this address",
        (
            "The HTTP method or the path does not belong to the action",
            "The version of the API is wrong for the product",
            "The host belongs to another product",
        ),
        (
            "Check action, version, method and path against the operation's page",
            "Check the endpoint: pai-dlc, pai-eas, aiworkspace, pai and ecs are different hosts",
        ),
        "never",
        links=(pages.ENDPOINTS, pages.PAI),
        also=("InvalidAction", "InvalidApi.NotFound", "InvalidVersion", "InvalidProduct.NotFound"),
        signs=(r"specified api is not found",),
    ),
    Explanation(
        "NotFound",
        "API error",
        "What the call names does not exist, here and for this user",
        (
            "It was deleted: jobs by somebody, ended stress tests after 48 hours, failed ones "
            "after 10 minutes",
            "The id belongs to another region: ask the region's own endpoint",
            "The id is mistyped, or belongs to another account",
        ),
        (
            "List what there is in this region and compare the ids",
            "Fetch reports and messages of a stress test as soon as it ends",
        ),
        "never",
        links=(pages.LIST_JOBS, pages.STRESS_TESTS),
        family=r".*\.notfound|.+notfound|.+\.notexists?|.+notexists?",
    ),
    Explanation(
        "InvalidRegionId.NotFound",
        "API error",
        "The service knows no region of this name",
        ("The region id is mistyped", "The product is not offered in this region"),
        ("Use a region id such as cn-hangzhou or ap-southeast-1, in which the product exists",),
        "never",
        links=(pages.ENDPOINTS,),
        also=("InvalidRegionId", "InvalidRegion"),
    ),
    Explanation(
        "IdempotentParameterMismatch",
        "API error",
        "The client token was used before with other parameters",
        ("A retry that changed the request and kept its token",),
        ("Look whether the first call was carried out; for another request use a new token",),
        "never",
        links=(pages.IDEMPOTENCE,),
    ),
)

ENTRIES: Final = (*_THROTTLING, *_SERVER, *_REQUEST)
