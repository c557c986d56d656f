"""Pasted events, errors, logs and answers: what they are about is found in them."""

from __future__ import annotations

import time

import pytest

from tidemark.alibaba.explanations import LONGEST_TEXT, explain, nearest_names, prefix_hint


def names(text: str) -> list[str]:
    return [entry.name for entry in explain(text)]


def kinds(text: str) -> list[str]:
    return [entry.kind for entry in explain(text)]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (
            'Failed to pull image "registry.cn-hangzhou.aliyuncs.com/me/engine:1": rpc error: code '
            "= Unknown desc = failed to resolve reference: unexpected status from HEAD request to "
            "https://registry.cn-hangzhou.aliyuncs.com/v2/: 401 Unauthorized",
            "unauthorized",
        ),
        (
            'Failed to pull image "engine": Error response from daemon: pull access denied for '
            "engine, repository does not exist or may require 'docker login': denied",
            "pull access denied",
        ),
        (
            'Failed to pull image "a/b:1.2": manifest for a/b:1.2 not found: manifest unknown: '
            "manifest unknown",
            "manifest unknown",
        ),
        ('Failed to pull image "a/b:1": docker.io/a/b:1: not found', "manifest unknown"),
        (
            'Failed to pull image "r-vpc.cn-beijing.aliyuncs.com/a": dial tcp: lookup '
            "r-vpc.cn-beijing.aliyuncs.com: no such host",
            "no such host",
        ),
        (
            'Failed to pull image "a": Get "https://registry-1.docker.io/v2/": net/http: request '
            "canceled while waiting for connection (Client.Timeout exceeded while awaiting header)",
            "registry not reachable",
        ),
        (
            'Failed to pull image "a": failed to do request: Head "https://registry-1.docker.io/": '
            "dial tcp 1.2.3.4:443: i/o timeout",
            "registry not reachable",
        ),
        (
            'Failed to pull image "a": toomanyrequests: You have reached your pull rate limit',
            "toomanyrequests",
        ),
        (
            'Failed to pull image "a": tls: failed to verify certificate: x509: certificate signed '
            "by unknown authority",
            "image signed by an unknown authority",
        ),
        (
            'Failed to pull image "a": no matching manifest for linux/amd64 in the manifest list',
            "no matching manifest",
        ),
        (
            'Failed to pull image "a": write /var/lib/x: no space left on device',
            "no space left for the image",
        ),
        ('Failed to pull image "a": unexpected EOF', "pull cut short"),
        (
            'Failed to apply default image tag "Https://A": couldn\'t parse image reference: '
            "invalid reference format",
            "InvalidImageName",
        ),
        ('Back-off pulling image "registry.example/a:1"', "ImagePullBackOff"),
        ('2026-01-28 14:07:24 Failed to pull image "a": reason unheard of', "Failed to pull image"),
        ("Error: ErrImagePull, pod dlc1-worker-0", "ErrImagePull"),
        ("State: Waiting  Reason: ImageInspectError", "ImageInspectError"),
        (
            "2021-01-28 14:07:24 Created pod: dlc-20210126170216-mtl37ge7gkvdz-worker-0",
            "Created pod",
        ),
        ("2021-01-28 14:07:45 Successfully pulled image.", "Successfully pulled image"),
        ("Last State: Terminated\n  Reason: OOMKilled\n  Exit Code: 137", "OOMKilled"),
        ("worker-0 exited with code 137", "exit code 137"),
        ("process finished: exit status 127", "exit code 127"),
        ('{"containerStatuses": [{"state": {"terminated": {"exitCode": 143}}}]}', "exit code 143"),
        ("subprocess returned code: -9", "exit code 137"),
        ("the engine ended with exit code 77", "exit code of the program"),
        ("the engine ended with exit code 159", "exit code 128+N"),
        ("Memory cgroup out of memory: Killed process 4711 (python3)", "OOMKilled"),
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20 GiB",
            "CUDA out of memory",
        ),
        ("Back-off restarting failed container engine in pod x", "CrashLoopBackOff"),
        ("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "FailedScheduling"),
        ("Warning  Unhealthy  12s  kubelet  Readiness probe failed: HTTP probe", "Unhealthy"),
        ("Warning  Evicted  2s  kubelet  The node was low on resource: memory.", "Evicted"),
        ("Spot instance i-1 will be released: preempted by the system", "spot instance reclaimed"),
        (
            "Error: Throttling.User code: 400, Request was denied due to user flow control. "
            "request id: 3D5B8F0A Data: {'statusCode': 400}",
            "Throttling.User",
        ),
        ("<Error><Code>Throttling</Code><Message>slow down</Message></Error>", "Throttling"),
        (
            '{"code":"InvalidParameter.JobSpecs","message":"bad","requestId":"1"}',
            "InvalidParameter",
        ),
        (
            "SDKError: Specified signature is not matched with our calculation.",
            "SignatureDoesNotMatch",
        ),
        (
            "The requested resource is sold out in the specified zone; try other types",
            "OperationDenied.NoStock",
        ),
        ("ReasonMessage: Job is stopped by user.", "JobStoppedByUser"),
        ("SpotStockStatus: NoStock", "NoStock"),
        ("requests.exceptions.ReadTimeout: HTTPSConnectionPool: Read timed out.", "read timed out"),
        ("[Errno 104] Connection reset by peer", "connection reset"),
        (
            "dial tcp: lookup pai-dlc.cn-nowhere.aliyuncs.com: no such host",
            "host name not resolved",
        ),
        (
            "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n</html>",
            "answer is not JSON",
        ),
        ("HTTP/1.1 429 Too Many Requests", "HTTP 429"),
        ("status_code=418 for url", "HTTP 4xx"),
        (
            "Instance <engine-5ff76448fd-h9dsn> not healthy: Instance crashed, please inspect "
            "instance log.",
            "Instance crashed",
        ),
        ("bash: genai-bench: command not found", "exit code 127"),
    ],
)
def test_a_pasted_text_begins_with_its_likeliest_cause(text: str, first: str) -> None:
    assert names(text)[0] == first


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (
            "127.0.0.1:9: GetJob could not be sent: Cannot connect to host 127.0.0.1:9 ssl:default "
            "[Connect call failed ('127.0.0.1', 9)]",
            "connection refused",
        ),
        ("ListJobs got no answer: Response payload is not completed: <x>", "answer cut short"),
        ("ListJobs got no answer: no answer in time", "read timed out"),
        ("ListJobs got no answer", "no answer"),
        (
            "GetJob could not be sent: Cannot connect to host 127.0.0.1:8080 ssl:default "
            "[[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1000)]",
            "TLS asked of plain HTTP",
        ),
        (
            "GetJob could not be sent: Cannot connect to host nowhere.invalid:443 ssl:default "
            "[Name or service not known]",
            "host name not resolved",
        ),
        (
            "UpdateBenchmarkTask was answered with InvalidTask.Status: Benchmark task [a] is "
            "Deleting (HTTP 400, request 1-2-3)",
            "InvalidTask.Status",
        ),
        ("answered with BenchmarkTask.NotFound: gone (HTTP 404)", "BenchmarkTask.NotFound"),
        ("BenchmarkTaskReport.NotFound", "BenchmarkTaskReport.NotFound"),
        ("InvalidService.NotFound", "InvalidService.NotFound"),
        ("InvalidService.Status", "InvalidService.Status"),
        ("InvalidParameter.TaskAlreadyExists", "InvalidParameter.TaskAlreadyExists"),
    ],
)
def test_this_tools_own_errors_can_be_pasted(text: str, first: str) -> None:
    assert [entry.name for entry in explain(text)][:1] == [first]


def test_a_failed_pull_says_both_the_cause_and_what_failed() -> None:
    assert names('Failed to pull image "a": 401 Unauthorized') == [
        "unauthorized",
        "Failed to pull image",
    ]


def test_a_later_successful_pull_clears_the_failures_before_it() -> None:
    failed = '2026-01-28 14:07:24 Failed to pull image "a": manifest unknown\n'
    pulled = "2026-01-28 14:09:45 Successfully pulled image.\n"
    assert names(failed + pulled)[0] == "Successfully pulled image"
    assert names(failed + pulled + "exited with code 1")[0] == "exit code 1"
    assert names(pulled + failed)[0] == "manifest unknown"


def test_the_http_status_of_an_error_with_a_code_adds_nothing() -> None:
    # It would say that asking again is no use, and for throttling it is.
    assert "HTTP status" not in kinds('{"Code":"Throttling","statusCode":400}')


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ('{"JobId":"dlc1","Status":"Running"}', "DLC job status"),
        ('{"TaskName":"t","DesiredAgent":1,"Status":"Running"}', "EAS stress test status"),
        ('{"ServiceName":"s","ServiceUid":"1","Status":"Running"}', "EAS service status"),
        ('{"WorkloadId":"dlc1","WorkloadStatus":"Running"}', "workload status"),
    ],
)
def test_the_fields_of_an_answer_tell_which_kind_of_status_it_has(answer: str, kind: str) -> None:
    found = kinds(answer)
    assert found[0] == kind
    assert all(one.split()[0] == kind.split()[0] for one in found)


def test_statuses_that_are_past_are_not_explained() -> None:
    answer = '{"JobId":"dlc1","Status":"Failed","StatusHistory":[{"Status":"Queuing"}]}'
    assert "Queuing" not in names(answer)


@pytest.mark.parametrize(
    "text",
    [
        "everything is running and nothing failed",
        "a normal error was waiting",
        "see os.path.join and requests.get",
        "it took 404 seconds and 137 tries",
        "it raised errors.notfound somewhere",
        "HTTP/1.1 200 OK",
    ],
)
def test_everyday_words_and_numbers_in_a_text_are_not_taken_for_names(text: str) -> None:
    assert names(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mImagePull\x1b[1mBackOff\x1b[0m",
        "\x1b]0;title\x07ImagePullBackOff\r\n",
        "\ufeffImagePullBackOff\u200b",
        "reason:\x00ImagePullBackOff\x08",
        "line one\r\nline two: ImagePullBackOff\r\n",
        '{"events": "one\\nImagePullBackOff"}',
    ],
)
def test_what_steers_a_terminal_is_looked_through(text: str) -> None:
    assert names(text)[0] == "ImagePullBackOff"


@pytest.mark.parametrize("blank", ["\t", "\u00a0", "\x00", "\u200b", "\u202e"])
def test_a_blank_of_any_kind_is_a_blank(blank: str) -> None:
    assert names(f"{blank}manifest{blank}unknown{blank}") == ["manifest unknown"]


def test_of_a_very_long_text_the_beginning_and_the_end_are_read_in_bounded_time() -> None:
    filler = "2026-01-28 14:07:24 status code error a.b.c = pull x\n" * 40_000
    assert len(filler) > 5 * LONGEST_TEXT
    began = time.monotonic()
    found = names("Throttling.User\n" + filler + "PriceNotFound\n" + filler + "exit code 139")
    # Some hundred thousand characters: about a second on a slow machine, not minutes.
    assert time.monotonic() - began < 20
    assert found == ["Throttling.User", "exit code 139"]


def test_a_long_line_without_a_break_is_read_in_bounded_time() -> None:
    began = time.monotonic()
    for piece in ("a", "Failed to pull image ", "exit code ", "Status: ", '"Code":"', "\x1b[", "<"):
        explain(piece * (LONGEST_TEXT // len(piece)))
    assert time.monotonic() - began < 60


def test_nothing_that_was_given_comes_back() -> None:
    key = "c4naryKeyThatMustNotComeBack"
    found = explain(f'Failed to pull image "a": 401 Unauthorized, password={key} LTAI{key}')
    assert found
    assert key not in str([entry.document() for entry in found])
    assert key not in str((nearest_names(key), prefix_hint(f"Invalid{key}")))
