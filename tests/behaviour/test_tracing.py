"""Tracing: rule 15. Spans are a projection of the journal, each exported once, by the process that recorded its end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from behaviour.bench import Bench, begin
from outlast import (
    CommittedWorkflow,
    ConfigurationError,
    InputError,
    Retry,
    StepContext,
    TracingOptions,
    Workflow,
    step,
)
from outlast.core.spans import SpanFold
from outlast.engines.capability import Capability


class Traces:
    """A provider, and what it was given."""

    def __init__(self, **options: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**options)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> ReadableSpan:
        (span,) = [each for each in self.spans if each.name == name]
        return span

    def tree(self) -> dict[str, str]:
        """Return for each path and kind of span the name of the span around it."""
        names = {format_span_id(each.context.span_id): each.name for each in self.spans}
        return {
            f"{attributes(each)['outlast.span_type']} {attributes(each).get('outlast.path', '')}".strip(): names.get(
                "" if each.parent is None else format_span_id(each.parent.span_id), ""
            )
            for each in self.spans
        }


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def id_of(span: ReadableSpan) -> str:
    return format_span_id(span.context.span_id)


@step
async def add_one(n: int) -> int:
    return n + 1


@step
async def double(n: int) -> int:
    return n * 2


@step(resume=bool)
async def approve(n: int, ctx: StepContext) -> int:
    if not ctx.resumed:
        ctx.suspend("please")
    return n


@step(retries=Retry(limit=1))
async def fail_once(n: int, ctx: StepContext) -> int:
    if ctx.attempt == 0:
        raise ValueError("not yet")
    return n


@step
async def fail(n: int) -> int:
    raise ValueError("no such luck")


CHILD = Workflow("child", input=int, output=int).then(double).commit()
PAIR = Workflow("pair", input=int, output=int).then(add_one).then(double).commit()
APPROVAL = Workflow("approval", input=int, output=int).then(add_one).then(approve).commit()
FLAKY = Workflow("flaky", input=int, output=int).then(fail_once).commit()
FAILING = Workflow("failing", input=int, output=int).then(fail).commit()
EVERYTHING = (
    Workflow("everything", input=int)
    .then(CHILD)
    .parallel([add_one, double.clone(id="twice")])
    .map(lambda ctx: ctx.input["add_one"], id="pick")
    .branch([(lambda ctx: ctx.input > 0, double), (lambda ctx: ctx.input < 0, add_one.clone(id="never"))], id="sign")
    .map(lambda ctx: ctx.input["double"], id="unpack")
    .dountil(add_one.clone(id="grow"), lambda ctx: ctx.iteration_count == 2)
    .sleep(0.001)
    .map(lambda ctx: [1, 2], id="list")
    .foreach(double.clone(id="each"))
    .wait_for("boss")
    .commit()
)


async def run(bench: Bench, workflow: CommittedWorkflow[Any, Any], **options: Any) -> tuple[Traces, Any]:
    traces = Traces()
    async with bench.app(workflow, tracing=traces.provider) as app:
        result = await (await app.create_run(workflow)).start(input_data=1, **options)
    return traces, result


async def test_each_part_of_a_run_is_a_span_below_the_one_around_it(bench: Bench):
    """15.1: run, step, attempt, parallel, conditional, loop, foreach, sleep, suspension; a map is none."""
    traces = Traces()
    async with bench.app(EVERYTHING, tracing=traces.provider) as app:
        started = await begin(app, EVERYTHING, 1)
        await started.result()
        await started.resume(None)

    run, passes = "workflow run: 'everything'", "loop: 'dountil'"
    assert traces.tree() == {
        "run": "",
        "step child": run,
        "step child.double": "workflow step: 'child'",
        "attempt child.double": "workflow step: 'double'",
        "parallel parallel": run,
        "step add_one": "parallel: '2 branches'",
        "attempt add_one": "workflow step: 'add_one'",
        "step twice": "parallel: '2 branches'",
        "attempt twice": "workflow step: 'twice'",
        "conditional sign": run,
        "step double": "conditional: 'sign'",
        "attempt double": "workflow step: 'double'",
        "loop grow": run,
        "step grow#1": passes,
        "attempt grow#1": "workflow step: 'grow'",
        "step grow#2": passes,
        "attempt grow#2": "workflow step: 'grow'",
        "sleep sleep": run,
        "foreach each": run,
        "step each[0]": "loop: 'foreach'",
        "attempt each[0]": "workflow step: 'each'",
        "step each[1]": "loop: 'foreach'",
        "attempt each[1]": "workflow step: 'each'",
        "suspension boss": run,
    }
    assert len({id_of(each) for each in traces.spans}) == len(traces.spans)
    conditional = attributes(traces.named("conditional: 'sign'"))
    assert conditional["outlast.selected_steps"] == ("double",)
    assert conditional["outlast.truthy_indexes"] == (0,)
    assert attributes(traces.named("parallel: '2 branches'"))["outlast.parallel_steps"] == ("add_one", "twice")
    assert attributes(traces.named(passes))["outlast.total_iterations"] == 2
    assert attributes(traces.named("sleep: 1ms"))["outlast.sleep_type"] == "fixed"
    assert all(each.end_time >= each.start_time for each in traces.spans if each.start_time and each.end_time)


async def test_run_joins_the_given_trace_and_its_span_shows_what_was_asked(bench: Bench):
    """15.2: the trace id is padded; the root span has the metadata, tags, name and places of the request context."""
    options = TracingOptions(
        trace_id="ABC",
        parent_span_id="7",
        metadata={"tenant": "acme", "plan": {"size": 3}},
        tags=["night"],
        root_span_name="nightly",
        request_context_keys=["user.id", "absent"],
    )

    traces, result = await run(bench, PAIR, tracing_options=options, request_context={"user": {"id": "u7"}})

    root = traces.named("nightly")
    assert {format_trace_id(each.context.trace_id) for each in traces.spans} == {f"{0xABC:032x}"}
    assert (root.parent and root.parent.span_id) == 7
    assert (result.trace_id, result.span_id) == (f"{0xABC:032x}", id_of(root))
    shown = attributes(root)
    assert (shown["tenant"], shown["plan"], shown["user.id"]) == ("acme", '{"size":3}', "u7")
    assert (shown["outlast.tags"], shown["outlast.run_id"], "absent" in shown) == (("night",), result.run_id, False)
    assert (shown["outlast.input"], shown["outlast.output"], shown["outlast.status"]) == ("1", "4", "success")


async def test_span_of_a_run_shows_the_request_context_that_a_resume_brought(bench: Bench):
    """15.2, 21: the caller's entries win, the stored ones fill the gaps; on the span as in the steps."""
    traces = Traces()
    async with bench.app(APPROVAL, tracing=traces.provider) as app:
        options = TracingOptions(request_context_keys=["user", "tenant"])
        context = {"user": "ada", "tenant": "acme"}
        started = await begin(app, APPROVAL, 1, tracing_options=options, request_context=context)
        await started.result()
        await started.resume(True, request_context={"user": "grace"})

    shown = attributes(traces.named("workflow run: 'approval'"))
    assert (shown["user"], shown["tenant"]) == ("grace", "acme")


async def test_hidden_values_are_on_no_span(bench: Bench):
    """15.2: `hide_input` and `hide_output`, also on the spans of steps."""
    traces, _ = await run(bench, PAIR, tracing_options=TracingOptions(hide_input=True, hide_output=True))

    assert len(traces.spans) == 5
    assert not any({"outlast.input", "outlast.output"} & set(attributes(each)) for each in traces.spans)


async def test_numbers_that_attributes_cannot_hold_are_texts(bench: Bench):
    """15.2: whole numbers beyond 64 bits are JSON, and exporters drop what does not fit."""
    given: dict[str, Any] = {"most": 2**63 - 1, "more": 2**63, "list": [1, -(2**70)], "small": [1, 2]}
    traces, result = await run(bench, PAIR, tracing_options=TracingOptions(metadata=given))

    shown = attributes(next(each for each in traces.spans if id_of(each) == result.span_id))
    wanted = {"most": 2**63 - 1, "more": str(2**63), "list": f"[1,{-(2**70)}]", "small": (1, 2)}
    assert {name: shown[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("options", "place"),
    [
        (TracingOptions(trace_id=""), "trace_id"),
        (TracingOptions(trace_id="0"), "trace_id"),
        (TracingOptions(trace_id="a" * 33), "trace_id"),
        (TracingOptions(trace_id="xyz"), "trace_id"),
        (TracingOptions(trace_id="a", parent_span_id=""), "parent_span_id"),
        (TracingOptions(trace_id="a", parent_span_id="b" * 17), "parent_span_id"),
        (TracingOptions(parent_span_id="b"), "parent_span_id"),
        (TracingOptions(root_span_name=""), "root_span_name"),
        (TracingOptions(tags="night"), "tags"),
        (TracingOptions(request_context_keys=["a", 7]), "request_context_keys[1]"),  # type: ignore[list-item]
        (TracingOptions(metadata={"x": float("nan")}), "metadata.x"),
        (TracingOptions(hide_input="no"), "hide_input"),  # type: ignore[arg-type]
        ({"trace_id": "a"}, ""),
    ],
    ids=repr,
)
async def test_malformed_option_is_refused_and_nothing_is_recorded(bench: Bench, options: Any, place: str):
    """15.2: a malformed id raises `InputError`; an empty one, and a parent without a trace, too (21)."""
    async with bench.app(PAIR) as app:
        run = await app.create_run(PAIR)
        with pytest.raises(InputError) as refused:
            await run.start_async(input_data=1, tracing_options=options)

    assert [each.path for each in refused.value.problems] == [place]
    assert await bench.journal(run.run_id) == []


async def test_plain_run_records_nothing_of_its_trace(bench: Bench):
    """15.3: ids follow from the run id, so a run that was started without options does not grow."""
    traces, result = await run(bench, PAIR)

    (start, *_) = await bench.journal(result.run_id)
    assert start.body is None
    assert {format_trace_id(each.context.trace_id) for each in traces.spans} == {result.trace_id}


async def test_app_without_provider_does_no_tracing_work(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    """15.4: with no exporter nothing is folded into spans, also if the run was given a trace."""
    made: list[str] = []
    monkeypatch.setattr(SpanFold, "__init__", lambda self, run_id, *_, **__: made.append(run_id))
    async with bench.app(PAIR) as app:
        started = await begin(app, PAIR, 1, tracing_options=TracingOptions(trace_id="a"))
        result = await started.result()

    assert (made, result.trace_id) == ([], f"{0xA:032x}")


async def test_attempts_of_a_step_are_spans_below_it(bench: Bench):
    """15.1: a failed attempt carries the exception; the step that came through in the end does not."""
    traces, _ = await run(bench, FLAKY)

    first, second, whole = (traces.named(each) for each in ("attempt 0", "attempt 1", "workflow step: 'fail_once'"))
    assert first.status.status_code is StatusCode.ERROR
    assert dict(first.events[0].attributes or {})["exception.type"] == "ValueError"
    assert (second.status.status_code, whole.status.status_code) == (StatusCode.UNSET, StatusCode.UNSET)
    assert attributes(whole)["outlast.attempts"] == 2


async def test_failure_is_on_the_attempt_the_step_and_the_run(bench: Bench):
    traces, _ = await run(bench, FAILING)

    assert [each.status.description for each in traces.spans] == ["ValueError: no such luck"] * 3
    assert {attributes(each)["outlast.status"] for each in traces.spans} == {"failed"}


async def test_run_that_another_process_resumes_stays_in_one_trace_and_no_span_comes_twice(bench: Bench):
    """15.3: the context is kept with the run."""
    first, second = Traces(), Traces()
    async with bench.app(APPROVAL, tracing=first.provider) as app:
        started = await begin(app, APPROVAL, 1, tracing_options=TracingOptions(trace_id="a1", tags=["kept"]))
        await started.result()
    async with bench.app(APPROVAL, tracing=second.provider) as app:
        result = await app.run(started.run_id).resume(resume_data=True)

    spans = [*first.spans, *second.spans]
    assert {format_trace_id(each.context.trace_id) for each in spans} == {result.trace_id} == {f"{0xA1:032x}"}
    assert len({id_of(each) for each in spans}) == len(spans)
    assert [each.name for each in second.spans] == [
        "suspension: 'approve'",
        "attempt 0",
        "workflow step: 'approve'",
        "workflow run: 'approval'",
    ]
    assert attributes(second.named("workflow run: 'approval'"))["outlast.tags"] == ("kept",)
    assert attributes(first.spans[-1])["outlast.status"] == "suspended"


@pytest.mark.requires(Capability.ENDING_WITHOUT_WORKER)
async def test_run_that_ends_without_a_worker_is_exported_by_who_ended_it(bench: Bench):
    traces = Traces()
    async with bench.app(APPROVAL, tracing=False) as app:
        started = await begin(app, APPROVAL, 1)
        await started.result()
    async with bench.app(APPROVAL, tracing=traces.provider, worker=False) as app:
        await app.run(started.run_id).cancel()

    assert [attributes(each)["outlast.status"] for each in traces.spans] == ["canceled"] * 3
    assert traces.spans[-1].name == "workflow run: 'approval'"


@pytest.mark.requires(Capability.REWINDING)
async def test_next_execution_has_a_span_of_its_own_in_the_same_trace(bench: Bench):
    traces = Traces()
    async with bench.app(APPROVAL, tracing=traces.provider) as app:
        started = await begin(app, APPROVAL, 1)
        await started.result()
        result = await app.run(started.run_id).time_travel("add_one")
        forked = await (await app.run(started.run_id).fork_async("add_one")).result()
        await app.run(started.run_id).resume(resume_data=True)
        await app.run(forked.run_id).cancel()

    mine = [each for each in traces.spans if attributes(each)["outlast.run_id"] == started.run_id]
    roots = [each for each in traces.spans if attributes(each)["outlast.span_type"] == "run"]
    assert {format_trace_id(each.context.trace_id) for each in mine} == {result.trace_id}
    assert [attributes(each)["outlast.status"] for each in roots] == ["superseded", "success", "canceled"]
    assert id_of(roots[1]) == result.span_id != id_of(roots[0])
    assert len({id_of(each) for each in traces.spans}) == len(traces.spans)
    assert forked.trace_id != result.trace_id


async def test_spans_of_a_body_stand_below_its_attempt(bench: Bench):
    """6, 15: `ctx.trace` is the attempt, and the attempt is current in sync and async bodies."""
    traces = Traces()
    mine = traces.provider.get_tracer("mine")

    @step
    async def in_loop(n: int, ctx: StepContext) -> str:
        with mine.start_as_current_span("own in loop"):
            await asyncio.to_thread(mine.start_span("own in a thread of its own").end)
        return ctx.trace.traceparent

    @step
    def in_thread(before: str, ctx: StepContext) -> list[str]:
        mine.start_span("own in thread").end()
        return [before, ctx.trace.traceparent]

    workflow = Workflow("own", input=int).then(in_loop).then(in_thread).commit()
    async with bench.app(workflow, tracing=traces.provider) as app:
        result = await (await app.create_run(workflow)).start(input_data=1)

    attempts = {attributes(each).get("outlast.path"): each for each in traces.spans if each.name == "attempt 0"}
    assert result.result == [f"00-{result.trace_id}-{id_of(attempts[path])}-01" for path in ("in_loop", "in_thread")]
    for name, path in (("own in loop", "in_loop"), ("own in thread", "in_thread")):
        parent = traces.named(name).parent
        assert parent is not None
        assert format_span_id(parent.span_id) == id_of(attempts[path])
    assert not otel.get_current_span().get_span_context().is_valid, "nothing leaks out of the bodies"


async def test_run_that_is_started_in_a_span_stands_below_it(bench: Bench):
    traces = Traces()
    async with bench.app(PAIR, tracing=traces.provider) as app:
        with traces.provider.get_tracer("web").start_as_current_span("request") as around:
            started = await begin(app, PAIR, 1)
            other = await begin(app, PAIR, 1, tracing_options=TracingOptions(trace_id="b"))
        result, unrelated = await started.result(), await other.result()

    root = next(each for each in traces.spans if id_of(each) == result.span_id)
    assert root.parent is not None
    assert root.parent.span_id == around.get_span_context().span_id
    assert result.trace_id == format_trace_id(around.get_span_context().trace_id)
    assert unrelated.trace_id == f"{0xB:032x}", "a trace that the caller names wins"


async def test_run_of_a_trace_that_is_not_sampled_is_not_exported(bench: Bench):
    traces = Traces()
    silent = Traces(sampler=ALWAYS_OFF)
    async with bench.app(PAIR, tracing=traces.provider) as app:
        await (await begin(app, PAIR, 1, tracing_options=TracingOptions(trace_id="a", is_sampled=False))).result()
    async with bench.app(PAIR, tracing=silent.provider) as app:
        await (await begin(app, PAIR, 1)).result()

    assert (traces.spans, silent.spans) == ([], [])


async def test_processor_that_raises_does_not_touch_the_run(bench: Bench, caplog: pytest.LogCaptureFixture):
    class Broken(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            raise RuntimeError("broken exporter")

    provider = TracerProvider()
    provider.add_span_processor(Broken())
    async with bench.app(PAIR, tracing=provider) as app:
        result = await (await begin(app, PAIR, 1)).result()

    assert result.unwrap() == 4
    assert "could not be exported" in caplog.text


async def test_records_of_the_logger_carry_run_path_and_trace(bench: Bench, caplog: pytest.LogCaptureFixture):
    @step
    async def tell(n: int, ctx: StepContext) -> str:
        ctx.logger.warning("here")
        return ctx.trace.span_id

    workflow = Workflow("telling", input=int).then(tell).commit()
    with caplog.at_level(logging.WARNING):
        async with bench.app(workflow) as app:
            result = await (await begin(app, workflow, 1)).result()

    (record,) = [each.__dict__ for each in caplog.records if each.getMessage() == "here"]
    assert (record["run_id"], record["path"]) == (result.run_id, "tell")
    assert (record["trace_id"], record["span_id"]) == (result.trace_id, result.result)


@pytest.mark.parametrize(("tracing", "words"), [(True, "set_tracer_provider"), ("jaeger", "TracerProvider")])
async def test_tracing_that_cannot_be_done_is_refused(bench: Bench, tracing: Any, words: str):
    """15.4: no global provider is configured here, and none is made."""
    with pytest.raises(ConfigurationError, match=words):
        async with bench.app(PAIR, tracing=tracing):
            pass
