"""Runs genai-bench under its own interpreter, and writes down what its files leave out.

This file is executed by the engine's environment, never imported by ours: it may use the
standard library and what genai-bench brings, nothing of tidemark. It reads one JSON job from
standard input (so that nothing secret stands in argv or in a file), imports the engine, and
calls genai-bench's own command line. What it adds around the engine's own code:

- start, first token, end, status, token counts and their source, for each request, also for
  those that failed or were cut off (the engine's rows carry no time);
- a cell ends by issuing no new request and letting those in flight finish, instead of killing
  them; the limits are exact in requests and in seconds;
- users start spread over one service time, and prompts are made before the clock starts;
- a read time-out per request, since the engine has none and a silent server would hang it;
- how late its own event loop wakes, and its CPU use, so that a client at its limit shows;
- the API key and headers are given to the users directly and never reach the engine's options,
  which it writes to its metadata, its log and its output.

Events go to the job's `events` file, one JSON document a line; times are CLOCK_MONOTONIC
seconds. A run that is not wanted is skipped in no time, so one process can serve any selection
of a grid of scenarios and levels, in the order of that grid.
"""

import functools
import json
import os
import random
import sys
import time
import traceback

# Told by the parent: one that died before this line is not mistaken for whoever came after it.
PARENT_PROCESS = int(os.environ.pop("TIDEMARK_PARENT_PID", os.getppid()))
FLUSH_INTERVAL_S = 0.2
HEARTBEAT_S = 0.02
PRESAMPLE_BUDGET_S = 5.0
POLL_S = 0.02
MESSAGE_LIMIT = 2000
ERROR_LINE_LIMIT = 20_000
IN_STREAM_ERROR = (b'data: {"error"', b'data:{"error"', b'{"error"')


class Events:
    """The event file: lines are collected and written together, to keep the disk out of the way."""

    def __init__(self, path):
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.lines = []

    def add(self, event, **fields):
        self.lines.append(json.dumps({"event": event, "t": time.monotonic(), **fields}))

    def flush(self):
        if self.lines:
            block = ("\n".join(self.lines) + "\n").encode()
            self.lines = []
            while block:
                block = block[os.write(self.descriptor, block) :]


class Run:
    """One pass of the engine over one scenario and level: its limits, and what is in flight."""

    def __init__(self, spec, previous_e2e_s):
        self.spec = spec
        self.issued = 0
        self.sent = 0
        self.finished = 0
        self.users = 0
        self.closed = False
        self.close_time = None
        self.start_time = None
        self.full_time = None
        self.in_flight = {}
        self.e2e_sum_s = 0.0
        self.e2e_count = 0
        self.prompts = []
        self.lags = []
        self.cpu_samples = []
        expected = previous_e2e_s or spec.get("expected_e2e_s") or 0.0
        # Users that start together stay together when answers have one length, and then all
        # ask in the same instant: spread over one service time they stay spread.
        self.spread_s = min(expected, 0.25 * spec["max_time_s"], 30.0)

    def close(self):
        if not self.closed:
            self.closed = True
            self.close_time = time.monotonic()


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


class Harness:
    """All that is wrapped around the engine; one object per process."""

    def __init__(self, job, events):
        self.job = job
        self.events = events
        self.next_run = 0
        self.run = None
        self.last_e2e_s = {}
        self.heart = None
        self.secrets = [value for value in (job.get("headers") or {}).values() if value]
        self.secrets += [job["api_key"]] if job.get("api_key") else []

    # -- the engine's outer loop ---------------------------------------------------------

    def begin(self, original_start, runner, level, **_ignored):
        spec = self.job["runs"][self.next_run]
        self.run = Run(spec, self.last_e2e_s.get(spec["scenario"]))
        self.next_run += 1
        if not spec["wanted"]:
            return
        if spec["level"] != level and self.job["iteration"] == "concurrency":
            raise SystemExit(f"the engine started level {level}, the job says {spec['level']}")
        random.seed(spec["seed"])
        self.numpy.random.seed(spec["seed"] % 2**32)
        self.presample(runner.environment)
        self.run.start_time = time.monotonic()
        self.events.add(
            "run_start",
            run=spec["run"],
            start=self.run.start_time,
            spread_s=self.run.spread_s,
            presampled=len(self.run.prompts),
        )
        self.events.flush()
        original_start(runner, level, spawn_rate=level)

    def presample(self, environment):
        """Make prompts before the clock starts: made in the loop they delay every stream."""
        deadline = time.monotonic() + PRESAMPLE_BUDGET_S
        for _ in range(self.run.spec["max_requests"]):
            if time.monotonic() > deadline:
                break
            self.run.prompts.append(environment.sampler.sample(environment.scenario))
        self.run.prompts.reverse()

    def manage(self, environment, **_ignored):
        run, spec = self.run, self.run.spec
        if not spec["wanted"]:
            return 0
        end_issuing = run.start_time + spec["max_time_s"]
        last_cpu, last_wall = time.process_time(), time.monotonic()
        while not run.closed:
            self.gevent.sleep(POLL_S)
            now = time.monotonic()
            if now >= end_issuing:
                run.close()
            if now - last_wall >= 0.5:
                cpu = time.process_time()
                run.cpu_samples.append((cpu - last_cpu) / (now - last_wall))
                last_cpu, last_wall = cpu, now
            if run.users and run.full_time and not environment.runner.user_count:
                run.close()  # every user has ended by itself: nothing more will come
        drain_end = run.close_time + spec["drain_s"]
        while run.in_flight and time.monotonic() < drain_end:
            self.gevent.sleep(POLL_S)
        return int(time.monotonic() - run.start_time)

    def end(self, original_stop, runner):
        if not self.run.spec["wanted"]:
            return
        run, now = self.run, time.monotonic()
        for index, started in sorted(run.in_flight.items()):
            state = started["state"]
            self.request(
                index,
                start=started["start"],
                first=state.get("first"),
                end=now,
                outcome="cut",
                status=None,
                message=None,
                silent_s=now - state.get("last", started["start"]),
                chunks=state.get("chunks", 0),
            )
        run.in_flight = {}
        original_stop(runner)
        if run.e2e_count:
            self.last_e2e_s[run.spec["scenario"]] = run.e2e_sum_s / run.e2e_count
        self.events.add(
            "run_end",
            run=run.spec["run"],
            start=run.start_time,
            full=run.full_time,
            closed=run.close_time,
            end=now,
            issued=run.issued,
            finished=run.finished,
            users=run.users,
            cpu_p95=percentile(run.cpu_samples, 0.95),
            lag_p50_s=percentile(run.lags, 0.5),
            lag_p99_s=percentile(run.lags, 0.99),
        )
        self.events.flush()

    def aggregate(self, original, collector, *args, **kwargs):
        """An engine that cannot sum up a run must not take the other runs with it."""
        if not self.run.spec["wanted"]:
            return
        try:
            original(collector, *args, **kwargs)
        except ValueError as error:
            self.events.add("engine_error", run=self.run.spec["run"], message=str(error))

    def save(self, original, collector, file_path, *args, **kwargs):
        if not self.run.spec["wanted"]:
            return
        original(collector, file_path, *args, **kwargs)
        kept = None
        if os.path.exists(file_path):
            # Two passes over one level would otherwise write to one name.
            kept = os.path.join(os.path.dirname(file_path), f"run-{self.run.spec['run']}.json")
            os.replace(file_path, kept)
        self.events.add(
            "run_saved",
            run=self.run.spec["run"],
            file=kept,
            engine_name=os.path.basename(file_path),
        )
        self.events.flush()
        if not any(spec["wanted"] for spec in self.job["runs"][self.next_run :]):
            self.finish(0)

    def finish(self, status):
        """Leave at once: what the engine still wants to do is a spreadsheet and plots."""
        self.events.add("done", status=status)
        self.events.flush()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    # -- one request ---------------------------------------------------------------------

    def on_start(self, original, user):
        original(user)
        run = self.run
        place, run.users = run.users, run.users + 1
        user.headers.pop("Authorization", None)
        user.headers.update(self.job.get("headers") or {})
        if self.job.get("api_key"):
            user.headers["Authorization"] = f"Bearer {self.job['api_key']}"
        level = run.spec["level"] if self.job["iteration"] == "concurrency" else 1
        if place and run.spread_s:
            self.gevent.sleep(
                max(0.0, run.start_time + run.spread_s * place / level - time.monotonic())
            )
        if run.users >= level and run.full_time is None:
            run.full_time = max(
                time.monotonic(), run.start_time + run.spread_s * (level - 1) / level
            )

    def sample(self, original, user):
        run = self.run
        if run.closed or run.issued >= run.spec["max_requests"]:
            run.close()
            raise self.StopUser()
        run.issued += 1
        if run.issued >= run.spec["max_requests"]:
            run.close()
        return run.prompts.pop() if run.prompts else original(user)

    def send(self, original, user, *args, **kwargs):
        run = self.run
        index, run.sent = run.sent, run.sent + 1
        greenlet = self.gevent.getcurrent()
        state = greenlet.tidemark = {}
        user.tidemark_index = index
        header = self.job.get("request_header")
        if header:
            user.headers = {**user.headers, header: f"{run.spec['run']}-{index}"}
        start = time.monotonic()
        run.in_flight[index] = {"start": start, "state": state}
        try:
            answer = original(user, *args, **kwargs)
        except Exception as error:
            self.request(
                index,
                start=start,
                first=state.get("first"),
                end=time.monotonic(),
                outcome="failed",
                status=None,
                kind=None if state.get("stream_error") else type(error).__name__,
                message=self.told(state.get("stream_error") or str(error)),
                http_status=200 if state.get("stream_error") else None,
                chunks=state.get("chunks", 0),
            )
            raise
        finally:
            run.in_flight.pop(index, None)
        end = answer.end_time or time.monotonic()
        if answer.status_code == 200 and answer.end_time is not None:
            usage = state.get("usage")
            run.finished += 1
            run.e2e_sum_s += end - answer.start_time
            run.e2e_count += 1
            output = getattr(answer, "tokens_received", None)
            from_usage = bool(usage) and (output is None or usage.get("completion_tokens"))
            self.request(
                index,
                start=answer.start_time,
                first=answer.time_at_first_token,
                end=end,
                outcome="ok",
                status=200,
                message=None,
                input_tokens=answer.num_prefill_tokens,
                output_tokens=output,
                reasoning_tokens=getattr(answer, "reasoning_tokens", None),
                usage=bool(from_usage or (usage is None and output is None)),
                max_tokens=state.get("max_tokens"),
                finished=state.get("finish"),
                chunks=state.get("chunks", 0),
            )
        else:
            self.request(
                index,
                start=start,
                first=state.get("first"),
                end=end,
                outcome="failed",
                status=answer.status_code,
                message=self.told(str(answer.error_message or "")),
                http_status=state.get("http_status"),
                chunks=state.get("chunks", 0),
            )
        return answer

    def told(self, text):
        """What a server said, without our secrets, and only then cut: none is left in half."""
        for secret in self.secrets:
            text = text.replace(secret, "[redacted]")
        return text[:MESSAGE_LIMIT]

    def request(self, index, **fields):
        self.events.add("request", run=self.run.spec["run"], i=index, **fields)

    def usage(self, original, data, prefill):
        self.gevent.getcurrent().tidemark["usage"] = data.get("usage") or {}
        return original(data, prefill)

    def post(self, original, *args, **kwargs):
        state = self.gevent.getcurrent().tidemark
        # A connection that stays silent for this long has failed; the engine would wait for ever.
        silence_s = self.run.spec["stall_timeout_s"]
        # Nor does it follow to another address: that would be measured, and be sent our headers.
        kwargs.update(timeout=(silence_s, silence_s), allow_redirects=False)
        response = original(*args, **kwargs)
        payload = kwargs.get("json") or {}
        state["max_tokens"] = payload.get("max_completion_tokens") or payload.get("max_tokens")
        state["http_status"] = response.status_code
        state["last"] = time.monotonic()
        inner = response.iter_lines

        def iter_lines(*line_args, **line_kwargs):
            chunks, before, last = 0, b"", b""
            try:
                for line in inner(*line_args, **line_kwargs):
                    if line:
                        chunks += 1
                        before, last = last, line
                        state["last"] = time.monotonic()
                        state["chunks"] = chunks
                        if line.startswith(IN_STREAM_ERROR):
                            state["stream_error"] = line[:ERROR_LINE_LIMIT].decode(
                                "utf-8", "replace"
                            )
                    yield line
            finally:
                # The engine takes a stream that was cut between two chunks for a whole one.
                state["finish"] = b"[DONE]" in last or any(
                    b"finish_reason" in line
                    and b'"finish_reason":null' not in line.replace(b" ", b"")
                    for line in (before, last)
                )

        response.iter_lines = iter_lines
        return response

    # -- what goes on beside the requests ------------------------------------------------

    def heartbeat(self):
        last_flush = time.monotonic()
        while True:
            asked = time.monotonic() + HEARTBEAT_S
            self.gevent.sleep(HEARTBEAT_S)
            now = time.monotonic()
            run = self.run
            if run is not None and run.start_time and run.close_time is None:
                run.lags.append(max(0.0, now - asked))
            if now - last_flush > FLUSH_INTERVAL_S:
                self.events.flush()
                last_flush = now
            if os.getppid() != PARENT_PROCESS:
                self.events.add("orphaned")
                self.events.flush()
                os._exit(3)

    def install(self):
        import gevent
        import numpy
        from genai_bench.cli import cli
        from genai_bench.metrics.aggregated_metrics_collector import AggregatedMetricsCollector
        from genai_bench.user import openai_user
        from genai_bench.user.base_user import BaseUser
        from locust.exception import StopUser
        from locust.runners import LocalRunner

        self.gevent, self.numpy, self.StopUser = gevent, numpy, StopUser

        def wrap(owner, name, hook):
            original = getattr(owner, name)

            @functools.wraps(original)
            def wrapped(*args, **kwargs):
                return hook(original, *args, **kwargs)

            setattr(owner, name, wrapped)

        user = openai_user.OpenAIUser
        wrap(
            LocalRunner,
            "start",
            lambda original, runner, level, **_: self.begin(original, runner, level),
        )
        wrap(LocalRunner, "stop", self.end)
        wrap(AggregatedMetricsCollector, "aggregate_metrics_data", self.aggregate)
        wrap(AggregatedMetricsCollector, "save", self.save)
        wrap(user, "on_start", self.on_start)
        wrap(BaseUser, "sample", self.sample)
        wrap(user, "send_request", self.send)
        original_usage = user._get_usage_info
        user._get_usage_info = staticmethod(functools.partial(self.usage, original_usage))

        class Requests:
            """genai-bench's `requests`, with a time-out on each post."""

            def __getattr__(self, name):
                return getattr(real_requests, name)

        real_requests = openai_user.requests
        shim = Requests()
        shim.post = functools.partial(self.post, real_requests.post)
        openai_user.requests = shim

        cli.manage_run_time = lambda environment, **_: self.manage(environment)
        # Nothing in flight is left to clear after a run, and plots are not wanted.
        cli.gevent = type("Gevent", (), {"sleep": staticmethod(lambda _seconds: gevent.sleep(0))})
        cli.plot_single_scenario_inference_speed_vs_throughput = lambda *_args, **_kwargs: None
        gevent.spawn(self.heartbeat)
        return cli.cli


def import_engine():
    import genai_bench.cli.cli
    import genai_bench.user.openai_user  # noqa: F401


def main():
    if "--import-first" in sys.argv[1:]:
        # Started ahead of time: the slow import is over when the job arrives.
        import_engine()
    job = json.loads(sys.stdin.buffer.read())
    os.environ.update(job.get("env") or {})
    events = Events(job["events"])
    events.add("process_start", pid=os.getpid(), python=sys.version.split()[0])
    events.flush()
    harness = Harness(job, events)
    command = harness.install()
    from genai_bench.version import __version__

    events.add("engine_ready", version=__version__)
    events.flush()
    sys.argv = ["genai-bench", *job["argv"]]
    status = 1
    try:
        command(standalone_mode=True)
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException as error:
        events.add("engine_error", run=None, message=f"{type(error).__name__}: {error}")
        traceback.print_exc()
    harness.finish(status)


if __name__ == "__main__":
    main()
