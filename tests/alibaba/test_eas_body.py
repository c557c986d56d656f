"""Bodies of stress tests: what is sent, what is warned about, what is refused, what is hidden."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tidemark.alibaba.eas_requests import BenchmarkBody, BenchmarkUpdate
from tidemark.alibaba.eas_secrets import with_secrets
from tidemark.errors import ConfigError, SecretError

CANARY = "canary-9f2c77d1"
SIMPLE: dict[str, Any] = {
    "service": {"serviceName": "test_service"},
    "data": {"path": "oss://example-bucket/data.bin"},
}


def body(**sections: Any) -> BenchmarkBody:
    return BenchmarkBody.read({**SIMPLE, **sections})


def refused(**sections: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        body(**sections)
    assert CANARY not in str(caught.value)
    return str(caught.value)


def test_every_documented_field_is_sent_under_its_own_name() -> None:
    document = {
        "base": {
            "name": "tidemark-1",
            "duration": 600,
            "qps": 100,
            "concurrency": 8,
            "agentCount": 2,
            "requestCount": 5000,
        },
        "service": {"serviceUrl": "https://host.example/predict", "requestToken": "env:TOKEN"},
        "data": {"content": "eyJhIjoxfQ==", "dataType": "text", "multiLine": True},
        "http": {"headers": ["X-Route:canary"], "timeout": 20000},
        "optional": {
            "mode": "auto",
            "adjustInterval": 60,
            "minQPS": 100,
            "maxQPS": 200,
            "maxRT": 100,
            "qpsGrowthDelta": 50,
            "faultTolerate": 0.001,
            "faultAction": "stop",
        },
    }
    found = BenchmarkBody.read(document)
    assert found.body() == document
    assert found.warnings() == []
    assert BenchmarkBody.read(json.dumps(document)) == found


def test_names_of_python_are_sent_as_the_service_has_them() -> None:
    found = body(base={"duration_s": 600, "agent_count": 2}, optional={"max_rt_ms": 100})
    assert found.body()["base"] == {"duration": 600, "agentCount": 2}
    assert found.body()["optional"] == {"maxRT": 100}


def test_both_spellings_of_the_response_time_are_sent_as_the_guides_have_it() -> None:
    for optional in ({"maxRt": 100}, {"maxRT": 100}, {"maxRt": 100, "maxRT": 100}):
        found = body(optional=optional)
        assert found.body()["optional"] == {"maxRT": 100}
        assert found.warnings() == []
    assert "is given twice. Give maxRT only" in refused(optional={"maxRt": 100, "maxRT": 101})
    assert "Give duration only" in refused(base={"duration": 1, "duration_s": 2})


@pytest.mark.parametrize(
    ("sections", "warning"),
    [
        (
            {"base": {"durration": 5}},
            "base.durration: no such field is known, and it is sent as it",
        ),
        ({"base": {"durration": 5}}, "did you mean duration?"),
        ({"base": {"agentcount": 5}}, "did you mean agentCount?"),
        ({"base": {"agent-count": 5}}, "did you mean agentCount?"),
        ({"optional": {"maxrt": 5}}, "did you mean maxRT?"),
        ({"optional": {"minQps": 5}}, "did you mean minQPS?"),
        ({"base": {"maxRT": 5}}, "base.maxRT: no such field is known, and it is sent as it is"),
        ({"base": {"maxRT": 5}}, "did you mean optional.maxRT?"),
        ({"servce": {}}, "servce: no such section is known, and it is sent as it is"),
        ({"optionals": {"a": 1}}, "did you mean optional?"),
        ({"qps": 5}, "qps: no such section is known, and it is sent as it is; did you mean base."),
        ({"data": {**SIMPLE["data"], "dataType": "binry"}}, "did you mean binary?"),
        (
            {"base": {"duration": 5}, "optional": {"duration": 6}},
            "base.duration and optional.duration differ",
        ),
    ],
)
def test_what_looks_like_a_slip_is_sent_and_warned_about(
    sections: dict[str, Any], warning: str
) -> None:
    found = body(**sections)
    assert found.body() == {**SIMPLE, **sections}
    assert any(warning in one for one in found.warnings()), found.warnings()


def test_what_resembles_nothing_known_is_sent_without_a_word() -> None:
    found = body(base={"warmup": {"seconds": 5}}, llm={"tokenizer": "example", "maxTokens": 5})
    assert found.body() == {
        **SIMPLE,
        "base": {"warmup": {"seconds": 5}},
        "llm": {"tokenizer": "example", "maxTokens": 5},
    }
    assert found.warnings() == []


@given(
    st.dictionaries(
        st.from_regex(r"x[a-z]{1,8}", fullmatch=True),
        st.none() | st.integers() | st.booleans() | st.lists(st.integers(), max_size=3),
        max_size=4,
    )
)
def test_no_unknown_field_is_lost(unknown: dict[str, Any]) -> None:
    found = body(base={"qps": 1, **unknown}, **{f"x{name}": {name: 1} for name in unknown})
    sent = found.body()
    kept = {name: value for name, value in unknown.items() if value is not None}
    assert sent["base"] == {"qps": 1, **kept}
    assert all(sent[f"x{name}"] == {name: 1} for name in unknown)


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"service": {}}, "service: needs exactly one target"),
        (
            {"service": {"serviceName": "s", "serviceUrl": "http://h.example"}},
            "service: needs exactly one target",
        ),
        ({"data": {}}, "data: needs exactly one source"),
        ({"data": {"path": "oss://b/a", "content": "YQ=="}}, "data: needs exactly one source"),
        ({"data": {"content": "not base64!"}}, "data.content: is not base64"),
        ({"data": {"path": "/local/file"}}, "data.path: holds what is no http"),
        ({"data": {"path": "oss://b/a,ftp://b/c"}}, "data.path: holds what is no http"),
        ({"data": {"path": f"https://me:{CANARY}@h.example/a"}}, "holds a user or password"),
        ({"service": {"serviceUrl": f"https://me:{CANARY}@h.example"}}, "user or password"),
        ({"service": {"serviceUrl": f"https://h.example?token={CANARY}"}}, "secret in its query"),
        ({"service": {"serviceUrl": "h.example"}}, "is not an http"),
        ({"base": {"duration": 0}}, "base.duration: must be above 0"),
        ({"base": {"qps": -1}}, "base.qps: must be above 0"),
        ({"base": {"concurrency": "8"}}, "base.concurrency: is not a whole number"),
        ({"base": {"agentCount": True}}, "base.agentCount: is not a whole number"),
        ({"base": {"name": "a/b"}}, "base.name: does not have the right form"),
        ({"base": "fast"}, "base: is not a mapping"),
        ({"http": {"timeout": 0}}, "http.timeout: must be above 0"),
        ({"http": {"headers": ["no colon"]}}, "http.headers[0]: is not a header"),
        ({"http": {"headers": ["A:b\r\nC:d"]}}, "http.headers[0]: is not a header"),
        ({"optional": {"mode": "manul"}}, "optional.mode: is none of auto, scan, manual. Did you "),
        ({"optional": {"faultAction": "halt"}}, "is none of revise, stop"),
        ({"optional": {"faultTolerate": 1.5}}, "must be at most 1"),
        ({"optional": {"minQPS": 5, "maxQPS": 3}}, "optional.minQPS: is above maxQPS, 3"),
        (
            {"optional": {"mode": "manual", "duration": 1201}},
            "optional.duration: is more than the 1200 seconds of manual mode",
        ),
        (
            {"base": {"duration": 1201}, "optional": {"mode": "manual"}},
            "base.duration: is more than the 1200 seconds of manual mode",
        ),
    ],
)
def test_contradictions_and_impossible_values_are_refused(
    sections: dict[str, Any], said: str
) -> None:
    assert said in refused(**sections)


def test_long_tests_are_possible_outside_manual_mode() -> None:
    assert body(base={"duration": 7200}, optional={"mode": "auto"}).warnings() == []


def test_missing_sections_and_broken_text_are_said() -> None:
    for given_, said in (
        ({"data": SIMPLE["data"]}, "service: is missing"),
        ("{", "is not JSON"),
        ("[1]", "is not an object"),
    ):
        with pytest.raises(ConfigError, match=said):
            BenchmarkBody.read(given_)


@pytest.mark.parametrize(
    ("sections", "where"),
    [
        ({"service": {"serviceName": "s", "requestToken": CANARY}}, "service.requestToken"),
        ({"http": {"headers": [f"Authorization:{CANARY}"]}}, "http.headers[0]"),
        ({"http": {"headers": ["A:b", f"x-api-key: {CANARY}"]}}, "http.headers[1]"),
        ({"base": {"accessToken": CANARY}}, "base.accessToken"),
        ({"extra": {"deep": [{"password": CANARY}]}}, "extra.deep[0].password"),
        ({"extra": {"credential": {"id": CANARY}}}, "extra.credential.id"),
        ({"note": "sk-0123456789abcdef"}, "note"),
    ],
)
def test_secrets_are_references_wherever_they_stand(sections: dict[str, Any], where: str) -> None:
    said = refused(**sections)
    assert where in said
    assert "env:NAME" in said


def test_no_error_and_no_repr_shows_what_was_written() -> None:
    with pytest.raises(ValidationError) as caught:
        BenchmarkBody.model_validate(
            {**SIMPLE, "service": {"serviceName": "s", "requestToken": CANARY}}
        )
    assert CANARY not in str(caught.value)
    path = f"https://b.example/a.zip?Expires=9&OSSAccessKeyId=LTAI&Signature={CANARY}"
    found = body(data={"path": path}, note={"x": CANARY}, base={"remark": CANARY})
    assert CANARY not in repr(found)
    assert CANARY not in str(found)


def test_what_is_lent_gets_into_the_body_and_what_is_not_is_named() -> None:
    found = body(
        service={"serviceName": "s", "requestToken": "env:TOKEN"},
        http={"headers": ["X-Route:plain", "Authorization: env:HEADER"]},
        extra={"apiKey": "file:/run/secrets/key"},
    )
    assert found.secrets == ("env:TOKEN", "env:HEADER", "file:/run/secrets/key")
    lent = {"env:TOKEN": "one", "env:HEADER": "two", "file:/run/secrets/key": "three"}
    sent, secrets = with_secrets(found.body(), lent)
    assert sent["service"]["requestToken"] == "one"  # type: ignore[index,call-overload]
    assert sent["http"] == {"headers": ["X-Route:plain", "Authorization:two"]}
    assert sent["extra"] == {"apiKey": "three"}
    assert secrets == ["one", "two", "three"]
    assert "one" not in json.dumps(found.body())
    with pytest.raises(SecretError, match=r"env:HEADER: is needed for the stress test"):
        with_secrets(found.body(), {"env:TOKEN": "one", "file:/run/secrets/key": "three"})


def test_an_update_changes_something_but_the_name() -> None:
    assert BenchmarkUpdate.read({"base": {"qps": 200}}).body() == {"base": {"qps": 200}}
    changes = {"optional": {"concurrency": 4, "agentCount": 2}}
    assert BenchmarkUpdate.read(changes).body() == changes
    assert BenchmarkUpdate.read({"base": {"qqps": 1}}).warnings()
    for given_, said in (
        ({}, "changes nothing"),
        ({"base": {}}, "changes nothing"),
        ({"base": {"name": "other"}}, "base.name: cannot be changed"),
        ({"base": {"qps": 0}}, "must be above 0"),
    ):
        with pytest.raises(ConfigError, match=said):
            BenchmarkUpdate.read(given_)
