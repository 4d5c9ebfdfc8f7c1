"""Rules 1.2 to 1.4 for branches, loops, pauses and waits: what is built, and what is refused in which words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from outlast import DefinitionError, Workflow, from_step, step, value
from outlast.graph.nodes import BranchNode, ForeachNode, LoopNode, MapNode, Node, ParallelNode, SleepNode, WaitNode

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@step
def halve(number: int) -> int:
    return number // 2


@step
def double(number: int) -> int:
    return number * 2


@step
def ring() -> int:
    return 1


@step
def shout(text: str) -> str:
    return text.upper()


def is_big(context):
    return context.input > 100


def start() -> Workflow:
    return Workflow("w", input=int)


def node_of(builder: Workflow) -> Node:
    (node,) = builder.commit().graph.root.nodes
    return node


def test_branch_refers_to_its_conditions_by_node_and_child():
    """1.4: a function's reference is workflow/node/role."""
    workflow = start().branch([(is_big, double), (lambda ctx: True, halve)], id="route").commit()

    (node,) = workflow.graph.root.nodes
    assert isinstance(node, BranchNode)
    assert node.conditions == ("w/route?double", "w/route?halve")
    assert workflow.functions["w/route?double"].call is is_big


def test_branch_takes_the_mode_first():
    node = node_of(start().branch([(is_big, double)], mode="first"))

    assert isinstance(node, BranchNode)
    assert (node.id, node.is_first_only) == ("branch", True)


@pytest.mark.parametrize(("method", "is_until"), [("dountil", True), ("dowhile", False)])
def test_loop_has_its_body_its_condition_and_its_limit(method, is_until):
    node = node_of(getattr(start(), method)(halve, is_big, max_iterations=9))

    assert isinstance(node, LoopNode)
    assert (node.id, node.condition, node.is_until, node.max_iterations) == (
        "halve",
        "w/halve?condition",
        is_until,
        9,
    )


@pytest.mark.parametrize("duration", [1.5, timedelta(seconds=1.5)])
def test_sleep_takes_seconds_or_a_timedelta(duration):
    node = node_of(start().sleep(duration))

    assert isinstance(node, SleepNode)
    assert (node.id, node.duration_ms, node.until_ms, node.function) == ("sleep", 1_500, None, None)


def test_sleep_until_takes_an_instant():
    node = node_of(start().sleep_until(NOON, id="noon"))

    assert isinstance(node, SleepNode)
    assert (node.id, node.duration_ms, node.until_ms) == ("noon", None, 1_767_268_800_000)


@pytest.mark.parametrize(("method", "is_until"), [("sleep", False), ("sleep_until", True)])
def test_function_may_say_how_long_or_until_when(method, is_until):
    node = node_of(getattr(start(), method)(lambda ctx: 1, id="nap"))

    assert isinstance(node, SleepNode)
    assert (node.function is not None, node.is_until) == (True, is_until)


def test_wait_has_its_payload_its_timeout_and_its_default():
    node = node_of(start().wait_for("approve", resume=bool, payload={"ask": 1}, timeout=60, default=False))

    assert isinstance(node, WaitNode)
    assert (node.id, node.payload, node.timeout_ms, node.default) == ("approve", {"ask": 1}, 60_000, (False,))


@pytest.mark.parametrize("options", [{"payload": "x" * 5_000_000}, {"timeout": 60, "default": "x" * 5_000_000}])
def test_constant_of_a_wait_is_limited_like_every_recorded_value(options):
    """9.7: refused where it is written, before a run records it."""
    with pytest.raises(DefinitionError, match=r"'approve' has 5,000,002 bytes as JSON, over the limit of 4,194,304"):
        start().wait_for("approve", **options)


def test_default_of_null_is_a_default():
    node = node_of(start().wait_for("approve", timeout=60, default=None))

    assert isinstance(node, WaitNode)
    assert node.default == (None,)


def test_foreach_may_collect_and_ask_a_function():
    node = node_of(Workflow("w", input=list[int]).foreach(halve, concurrency=lambda ctx: 2, on_error="collect"))

    assert isinstance(node, ForeachNode)
    assert (node.concurrency, node.is_collecting) == ("w/halve?concurrency", True)


def test_parallel_takes_a_limit():
    node = node_of(start().parallel([halve, double], limit=1))

    assert isinstance(node, ParallelNode)
    assert node.limit == 1


def test_map_of_sources_is_described_by_the_graph():
    node = start().then(halve).map({"half": from_step(halve), "kind": value("order")}).commit().graph.root.nodes[1]

    assert isinstance(node, MapNode)
    assert [key for key, _ in node.sources] == ["half", "kind"]


REFUSED_WHERE_ADDED: dict[str, tuple[Callable[[], object], str]] = {
    "unknown mode": (lambda: start().branch([], mode="last"), "branch has mode='last'; use 'all' or 'first'"),
    "no pair": (
        lambda: start().branch([halve]),
        "branch takes pairs of a condition and a step, not Step('halve': int -> int)",
    ),
    "pair of three": (
        lambda: start().branch([(is_big, halve, 1)]),
        "branch takes pairs of a condition and a step, not (",
    ),
    "no list of pairs": (
        lambda: start().branch(3),
        "branch takes a list of pairs, as .branch([(condition, step)]), not 3",
    ),
    "condition that is no function": (
        lambda: start().branch([(True, halve)]),
        "a condition of branch takes a function of one context, as lambda ctx: ..., not True",
    ),
    "loop condition that is a step": (
        lambda: start().dowhile(halve, double),
        "the condition of a loop takes a function of one context, as lambda ctx: ..., not Step('double': int -> int)",
    ),
    "no pass": (
        lambda: start().dountil(halve, is_big, max_iterations=0),
        "a loop has max_iterations=0; it must be a whole number of at least 1",
    ),
    "no child at a time": (
        lambda: start().parallel([halve], limit=True),
        "parallel has limit=True; it must be a whole number of at least 1",
    ),
    "sleep of no time": (
        lambda: start().sleep(0),
        "sleep has a duration=0; give seconds or a timedelta above zero",
    ),
    "sleep until a naive time": (
        lambda: start().sleep_until(datetime(2026, 1, 1)),  # noqa: DTZ001 - the mistake that is refused
        "sleep_until takes a datetime with a time zone, not datetime.datetime(2026, 1, 1, 0, 0)",
    ),
    "default without a timeout": (
        lambda: start().wait_for("approve", default=1),
        "the default of wait_for 'approve' would never count; give timeout= as well",
    ),
    "default of another type": (
        lambda: start().wait_for("approve", resume=bool, timeout=1, default={"a": 1}),
        "the default of wait_for 'approve' does not fit resume=bool: ",
    ),
    "payload that is no JSON": (
        lambda: start().wait_for("approve", payload={1, 2}),
        "payload of wait_for 'approve' must be JSON: ",
    ),
    "unknown way with errors": (
        lambda: start().foreach(halve, on_error="ignore"),
        "foreach has on_error='ignore'; use 'fail' or 'collect'",
    ),
}


@pytest.mark.parametrize(("make", "message"), REFUSED_WHERE_ADDED.values(), ids=[*REFUSED_WHERE_ADDED])
def test_what_cannot_work_is_refused_where_it_is_added(make, message):
    with pytest.raises(DefinitionError) as caught:
        make()

    assert str(caught.value).startswith(f"workflow 'w': {message}")


def problem(builder: Workflow) -> str:
    with pytest.raises(DefinitionError) as caught:
        builder.commit()
    (found,) = str(caught.value).split("\n  - ")[1:]
    return found


def test_branch_without_children_is_refused():
    assert problem(start().branch([])) == (
        "branch 'branch' has no children; give at least one, as .branch([(condition, step)])"
    )


@pytest.mark.parametrize("kind", ["branch", "sleep", "map"])
def test_second_unnamed_node_of_a_kind_is_refused(kind):
    """1.4."""
    add = {
        "branch": lambda builder, child: builder.branch([(is_big, child)]),
        "sleep": lambda builder, child: builder.sleep(1),
        "map": lambda builder, child: builder.map(lambda ctx: 1),
    }[kind]

    found = problem(add(add(start(), ring), ring.clone(id="again")))

    assert found.startswith(f"2 nodes of kind '{kind}' have no id of their own")


def test_child_of_a_branch_that_cannot_take_the_input_is_refused():
    assert problem(start().branch([(is_big, shout)])).startswith(
        "step 'shout' cannot follow: the workflow's input is int"
    )


def test_loop_whose_body_cannot_take_its_own_output_is_refused():
    @step
    def describe(number: int) -> str:
        return str(number)

    assert "describe" in problem(start().dowhile(describe, is_big))


def test_type_passes_through_a_sleep():
    assert problem(start().sleep(1).then(shout)).startswith("step 'shout' cannot follow")


def test_type_after_a_wait_is_that_of_the_resume_data():
    assert problem(start().wait_for("approve", resume=int).then(shout)).startswith("step 'shout' cannot follow")


def test_source_of_an_unknown_step_is_refused():
    assert "nowhere" in problem(start().then(halve).map({"x": from_step("nowhere")}))


@pytest.mark.parametrize("id", ["start", "finish", "end", "subgraph", "default-one", "end-of-day", "both__double"])
def test_mermaid_draws_each_node_under_a_name_of_its_own(id: str):
    """1.5: no id is taken for a word of Mermaid's, for the circles at both ends, or for a node of a block."""
    workflow = Workflow("w").then(ring).then(halve.clone(id=id)).parallel([double, halve], id="both").commit()

    drawn = workflow.to_mermaid().splitlines()
    labels = [line.strip() for line in drawn if line.endswith('"]') and not line.strip().startswith("subgraph ")]
    names = [label.partition("[")[0] for label in labels]
    assert [label.partition("[")[2] for label in labels] == ['"ring"]', f'"{id}"]', '"double"]', '"halve"]']
    assert len({*names, "start", "finish", "both"}) == len(names) + 3
    assert not [name for name in names if name in ("end", "subgraph") or "-" in name]
    assert f"  ring --> {names[1]}" in drawn


def test_mermaid_shows_every_kind_of_node():
    """1.5."""
    workflow = (
        start()
        .branch([(is_big, double)], mode="first", id="route")
        .map(lambda ctx: 1, id="number")
        .dountil(halve, is_big)
        .sleep(1)
        .wait_for("approve", resume=int)
        .commit()
    )

    drawn = [line.strip() for line in workflow.to_mermaid().splitlines()]

    assert any(line.endswith('["route: the first true one"]') for line in drawn)
    assert any(line.endswith('["halve: again until"]') for line in drawn)
    assert any(line.endswith('(["sleep"])') for line in drawn)
    assert any(line.endswith('{{"approve: waits"}}') for line in drawn)
