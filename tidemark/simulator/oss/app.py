"""The simulated object store as one ASGI application, that the SDKs of Alibaba Cloud OSS accept.

Calls are made by `http://127.0.0.1:PORT/bucket/key`, or with the bucket in the host: below
`.oss.simulator`, and below the domains of OSS where a test's resolver leads them here. What goes
wrong is told by the rules for calls of a scenario of the PAI simulator, with the names of OSS's
operations; a lost answer that has a body is broken off in its middle. `/_simulator/…` is for
whoever runs it.
"""

from __future__ import annotations

import base64
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tidemark.clock import Clock, SystemClock
from tidemark.simulator.oss.bucket_operations import BucketOperations
from tidemark.simulator.oss.buckets import Bucket, Buckets
from tidemark.simulator.oss.call import OPERATIONS, OssCall, operation_of, read_call
from tidemark.simulator.oss.errors import OssError, refuse
from tidemark.simulator.oss.objects import ObjectOperations
from tidemark.simulator.oss.signatures import OssSignatures
from tidemark.simulator.oss.xml_text import write_xml
from tidemark.simulator.pai.accounts import Account, Accounts
from tidemark.simulator.pai.admin import PREFIX, Admin
from tidemark.simulator.pai.asgi import Application
from tidemark.simulator.pai.asked import Answer, Asked
from tidemark.simulator.pai.callers import check_caller
from tidemark.simulator.pai.rules import Rules, check_actions
from tidemark.simulator.pai.scenario import CallEffect, Scenario
from tidemark.simulator.pai.seen import Seen
from tidemark.simulator.pai.wire import WireError

__all__ = ["DEFAULT_REGION", "OssSimulator"]

DEFAULT_REGION = "cn-hangzhou"


class OssSimulator:
    """An object store of its own: its buckets, its access keys, its clock, its counts.

    `region` is where new buckets are, unless the host of the call names another. `app` is the ASGI
    application.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        accounts: Sequence[Account] | None = None,
        region: str = DEFAULT_REGION,
        scenario: Scenario | None = None,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.accounts = Accounts() if accounts is None else Accounts(accounts)
        self.buckets = Buckets()
        self._region = region
        self._signatures = OssSignatures(self.accounts, self.clock)
        self._objects = ObjectOperations(self.buckets)
        self._bucket_operations = BucketOperations(self.buckets, self._objects)
        check_actions(scenario or Scenario(), OPERATIONS)
        self._rules = Rules(scenario or Scenario())
        self._seen = Seen()
        self._counts: Counter[str] = Counter()
        self._received_bytes = self._sent_bytes = 0
        self._admin = Admin(self)
        self.app = Application(self)

    def create_bucket(
        self, name: str, *, region: str | None = None, account: Account | None = None
    ) -> Bucket:
        """A bucket, as PutBucket makes it; of the published account unless another is given."""
        owner = (account or Account("", "")).account_id
        return self.buckets.create(name, region or self._region, owner, self.clock.time())

    @property
    def scenario(self) -> Scenario:
        """The rules in force."""
        return self._rules.scenario

    def play(self, scenario: Scenario) -> None:
        """Put other rules in force, with fresh counts. Those for calls have a meaning here.

        Raises ConfigError for a rule that no operation can match.
        """
        check_actions(scenario, OPERATIONS)
        self._rules = Rules(scenario)

    def state(self) -> dict[str, Any]:
        """Every bucket and what is known of its objects, as JSON, without their bytes."""
        return {
            "buckets": {
                bucket.name: {
                    "region": bucket.region,
                    "versioning": bucket.versioning,
                    "uploads": len(bucket.uploads),
                    "objects": {
                        key: {
                            "size_bytes": len(stored.data),
                            "kind": stored.kind,
                            "etag": stored.etag,
                            "headers": dict(stored.headers),
                        }
                        for key, stored in sorted(bucket.objects.items())
                    },
                }
                for bucket in self.buckets
            }
        }

    def bill(self) -> dict[str, Any]:
        """What OSS bills by, as JSON: requests by operation, bytes of bodies that came and went,
        and bytes that are kept."""
        kept = (stored for bucket in self.buckets for stored in bucket.objects.values())
        return {
            "requests": dict(self._counts),
            "received_bytes": self._received_bytes,
            "sent_bytes": self._sent_bytes,
            "stored_bytes": sum(len(stored.data) for stored in kept),
        }

    def requests(self) -> list[dict[str, Any]]:
        """The calls that came, without secrets."""
        return self._seen.as_list()

    def look(self) -> None:
        """Nothing goes on between calls."""

    def close(self) -> None:
        """Nothing has to be ended."""

    def answer(self, asked: Asked) -> Answer:
        """Do what is asked, or refuse it."""
        request_id = uuid.uuid4().hex[:24].upper()
        action, effect, signed = "", None, False
        try:
            try:
                check_caller(asked, any_host=False)
            except WireError as error:
                refuse(error.status, error.code, error.message)
            if asked.raw_path.startswith(PREFIX):
                return self._admin.answer(asked)
            call = read_call(asked)
            action = operation_of(call)
            effect = self._rules.effect(action, asked.method)
            if effect is not None and effect.lost == "request":
                answer = Answer(200, b"", {"content-length": "1"}, lost=True, reached=False)
            else:
                account = self._signatures.check(call, self._signed_region(call))
                signed = True
                answer = _instead(effect) or self._carry(call, action, account)
        except OssError as error:
            answer = _refusal(error, asked, request_id)
        answer = _affected(answer, effect)
        answer = replace(answer, headers={**answer.headers, "x-oss-request-id": request_id})
        self._count(asked, answer, action, signed=signed)
        return answer

    def _signed_region(self, call: OssCall) -> str:
        """The region that a signature has to name: the bucket's, where there is one."""
        bucket = self.buckets.find(call.bucket) if call.bucket else None
        return bucket.region if bucket else call.region or self._region

    def _carry(self, call: OssCall, action: str, account: Account) -> Answer:
        now_s = self.clock.time()
        region = call.region or self._region
        if call.bucket is None:
            return self._bucket_operations.list_buckets(account.account_id)
        if action == "PutBucket":
            self.buckets.create(call.bucket, region, account.account_id, now_s)
            return Answer(200, b"", {"location": f"/{call.bucket}"})
        bucket = self.buckets.find(call.bucket)
        if bucket is None:
            refuse(
                404,
                "NoSuchBucket",
                "The specified bucket does not exist.",
                BucketName=call.bucket,
            )
        if bucket.owner != account.account_id:
            refuse(
                403,
                "AccessDenied",
                "You have no right to access this object because of bucket acl.",
                EC="0003-00000001",
            )
        if call.region is not None and call.region != bucket.region:
            refuse(
                403,
                "AccessDenied",
                "The bucket you are attempting to access must be addressed using the specified "
                "endpoint. Please send all future requests to this endpoint.",
                Bucket=bucket.name,
                Endpoint=f"oss-{bucket.region}.aliyuncs.com",
            )
        if call.key is None:
            return self._bucket_operations.actions[action](call, bucket)
        return self._objects.actions[action](call, bucket, call.key, now_s)

    def _count(self, asked: Asked, answer: Answer, action: str, *, signed: bool) -> None:
        self._counts[action or "refused"] += 1
        self._received_bytes += len(asked.body)
        self._sent_bytes += len(answer.body)
        self._seen.add(
            asked,
            answer,
            at_s=self.clock.time(),
            action=action,
            region=self._region,
            signed=signed,
        )


def _instead(effect: CallEffect | None) -> Answer | None:
    """What a scenario answers in the service's stead, None if it leaves the call to the service."""
    if effect is None:
        return None
    if effect.html is not None:
        page = f"<html><head><title>{effect.html}</title></head><body>Bad gateway</body></html>"
        return Answer(effect.html, page.encode(), {"content-type": "text/html"}, reached=False)
    if effect.throttle is not None:
        throttle = effect.throttle
        refuse(throttle.status, throttle.code, "Please reduce your request rate.")
    if effect.error is not None:
        refuse(effect.error.status, effect.error.code, effect.error.message)
    return None


def _refusal(error: OssError, asked: Asked, request_id: str) -> Answer:
    document = write_xml(
        "Error",
        [
            ("Code", error.code),
            ("Message", error.message),
            ("RequestId", request_id),
            ("HostId", asked.header("host")),
            *error.fields.items(),
        ],
    )
    headers = {"content-type": "application/xml"}
    if error.fields.get("EC"):
        headers["x-oss-ec"] = error.fields["EC"]
    if asked.method == "HEAD":
        # Such an answer has no body: what it would have been is in a header.
        headers["x-oss-err"] = base64.b64encode(document).decode()
        return Answer(error.status, b"", headers, reached=False)
    return Answer(error.status, document, headers, reached=False)


def _affected(answer: Answer, effect: CallEffect | None) -> Answer:
    """What becomes of an answer on its way back."""
    if effect is None:
        return answer
    if effect.lost == "answer":
        if len(answer.body) > 1:
            headers = {**answer.headers, "content-length": str(len(answer.body))}
            answer = replace(answer, body=answer.body[: len(answer.body) // 2], headers=headers)
        else:
            answer = Answer(200, b"", {"content-length": "1"}, lost=True, reached=answer.reached)
    return replace(answer, late_s=effect.slow_s or 0.0)
