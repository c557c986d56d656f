"""Codes with which the services refuse a signature, a key, or what its owner may do."""

from __future__ import annotations

from typing import Final

from tidemark.alibaba.explained import pages
from tidemark.alibaba.explained.calls import LOOK_FIRST
from tidemark.alibaba.explained.entry import Explanation

__all__ = ["ENTRIES"]

_SIGNATURE = (
    Explanation(
        "InvalidTimeStamp.Expired",
        "API error",
        "The time in the signed request is more than 15 minutes from the time of the service",
        (
            "The clock of this machine is wrong",
            "The time was sent in local time where UTC is meant",
            "A signed request was kept and sent later",
        ),
        (
            "Correct this machine's clock (NTP), then sign the call anew and send it",
            "Sign every attempt anew instead of sending a signed request again",
        ),
        "at once",
        links=(pages.PAI,),
        also=("InvalidTimeStamp", "InvalidTimeStamp.Format"),
        family=r"invalidtimestamp.*",
        signs=(r"specified time stamp or date value is (?:expired|not well formatted)",),
    ),
    Explanation(
        "SignatureNonceUsed",
        "API error",
        "The service has seen this request already: each attempt needs a nonce of its own",
        (
            "A retry that sent the same signed request again",
            "A proxy that repeated the request",
            "The first attempt arrived, and its answer was lost",
        ),
        (
            "Sign the call anew, with a new nonce, and send it",
            LOOK_FIRST,
        ),
        "at once",
        links=(pages.PAI,),
        signs=(r"specified signature nonce was used already",),
    ),
    Explanation(
        "SignatureDoesNotMatch",
        "API error",
        "The signature is not the one that the service computes for this request and key",
        (
            "The access key secret belongs to another access key id, or was pasted incompletely",
            "A proxy changed the path, the query or a signed header",
            "The host that was signed is not the host that was asked",
            "Wrong signing: encoding of the query, a missing signed header, the body's hash",
        ),
        (
            "Set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET again, as one "
            "pair and without blanks around them",
            "Compare the string to sign in the answer's message with the one you signed",
            "Call without the proxy, to see whether it changes the request",
        ),
        "never",
        links=(pages.RAM,),
        signs=(r"specified signature is not matched with our calculation",),
    ),
    Explanation(
        "IncompleteSignature",
        "API error",
        "The request is not signed as the service expects: a part of the signature is missing",
        (
            "A header that has to be signed is not among the signed headers",
            "A proxy removed the Authorization header or an x-acs- header",
            "An older signature form than the service takes",
        ),
        (
            "Sign with ACS3-HMAC-SHA256 over host and every x-acs- header",
            "Call without the proxy, to see whether it removes headers",
        ),
        "never",
        links=(pages.RAM,),
    ),
)

_IDENTITY = (
    Explanation(
        "InvalidAccessKeyId.NotFound",
        "API error",
        "The service knows no access key of this id",
        (
            "The access key id was mistyped or was deleted",
            "The key belongs to the international site and the endpoint to the Chinese one, or "
            "the other way round",
            "A temporary key (STS) was sent without its security token",
        ),
        (
            "Check ALIBABA_CLOUD_ACCESS_KEY_ID against the list of access keys in the RAM console",
            "With a temporary key set ALIBABA_CLOUD_SECURITY_TOKEN too",
        ),
        "never",
        links=(pages.RAM,),
        also=("InvalidAccessKeyId",),
        signs=(r"specified access key is not found",),
    ),
    Explanation(
        "InvalidAccessKeyId.Inactive",
        "API error",
        "The access key exists and is switched off",
        ("It was disabled by its owner or an administrator", "It was reported as leaked"),
        ("Use another access key, or have this one enabled in the RAM console",),
        "never",
        links=(pages.RAM,),
        signs=(r"specified access key is disabled",),
    ),
    Explanation(
        "InvalidSecurityToken.Expired",
        "API error",
        "The temporary credentials (STS) have run out",
        (
            "They were taken over from the environment and not renewed",
            "The clock of this machine is wrong",
        ),
        (
            "Get new temporary credentials and send the call again",
            "For long runs use a source that renews them (a RAM role, or a credentials URI)",
        ),
        "at once",
        links=(pages.RAM,),
        signs=(r"security ?token (?:you provided )?(?:has|is) expired",),
    ),
    Explanation(
        "InvalidSecurityToken",
        "API error",
        "The security token does not belong to the access key, or is damaged",
        (
            "Access key and token come from two different sets of temporary credentials",
            "The token was cut when it was copied",
        ),
        ("Set access key id, secret and token together, from one set of temporary credentials",),
        "never",
        links=(pages.RAM,),
        also=("InvalidSecurityToken.Malformed", "InvalidSecurityToken.MismatchWithAccessKey"),
        family=r"invalidsecuritytoken.*",
    ),
    Explanation(
        "Forbidden.RAM",
        "API error",
        "The key is valid, but its RAM policy does not allow this operation on this resource",
        (
            "No policy with this action is attached to the user or role",
            "The policy is limited to other resources, regions or addresses",
            "The wrong user or role was used",
        ),
        (
            "Ask the account's administrator for the action that the message or "
            "AccessDeniedDetail names, such as pai:CreateJob or eas:CreateBenchmarkTask",
            "Check which user or role the credentials belong to",
        ),
        "never",
        links=(pages.RAM, pages.ROLES),
        also=("Forbidden", "Forbidden.AccessDenied", "AccessDenied", "Unauthorized.RAM"),
        family=r"forbidden(?:\..+)?|.+\.forbidden|accessdenied.*",
        signs=(r"user not authorized to operate on the specified resource",),
    ),
    Explanation(
        "NoPermission",
        "API error",
        "This user may not do this in this workspace, or with this resource",
        (
            "The user is no member of the workspace, or has a role without this right",
            "The resource is private and belongs to somebody else",
            "No RAM policy allows the action",
        ),
        (
            "Have an administrator of the workspace add the user in a role that may do it",
            "Check that the workspace id is the one you mean",
        ),
        "never",
        links=(pages.ROLES, pages.MEMBERS, pages.RAM),
        family=r"nopermission.*|.+\.nopermission",
    ),
    Explanation(
        "OperationForbidden",
        "API error",
        "The service refuses the operation for this workspace or account",
        (
            "No WorkspaceId was sent, and the account has no usable default workspace",
            "The user is no member of the workspace",
            "PAI was never opened in this region, or its service role is missing",
        ),
        (
            "Send the WorkspaceId of a workspace in the same region that you are a member of",
            "Open the PAI console once in this region and grant what it asks for",
        ),
        "never",
        links=(pages.LIST_WORKSPACES, pages.MEMBERS),
    ),
    Explanation(
        "InsufficientBalance",
        "API error",
        "The account cannot pay for what was asked",
        ("Bills are overdue", "The balance is below what pay-as-you-go resources require"),
        ("Settle the bills or top the account up, then ask again",),
        "later",
        "What is held already may be stopped when the grace period ends",
        links=(pages.OVERDUE,),
        also=("InvalidAccountStatus.NotEnoughBalance", "Account.Arrearage", "NotEnoughBalance"),
        family=r"invalidaccountstatus.*|.*arrearage.*|.*overdue.*",
        signs=(r"insufficient (?:account )?balance|overdue (?:payment|bill)s?|in arrears",),
    ),
)

ENTRIES: Final = (*_SIGNATURE, *_IDENTITY)
