"""Rules 1.3 and 1.4: what cannot work is refused at commit or before, in words that say how to mend it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from typing_extensions import TypedDict

from outlast import DefinitionError, StepSignatureError, Workflow, step


class Order(TypedDict):
    id: int


class Priced(TypedDict):
    id: str
    price: float


@step
def fetch(order_id: int) -> Order:
    return {"id": order_id}


@step
def price(order: Order) -> Priced:
    return {"id": str(order["id"]), "price": 1.0}


@step
def lines(order: Order) -> list[str]:
    return [str(order["id"])]


@step
def shout(line: str) -> str:
    return line.upper()


@step
def anything(value):
    return value


def no_argument():
    pass


def two_arguments(a, b):
    pass


ORDERS = Workflow("orders", input=int, output=list[str]).then(fetch).then(lines).commit()


def refused(builder: Workflow) -> list[str]:
    """Commit and return the problems, each a line of the message."""
    with pytest.raises(DefinitionError) as caught:
        builder.commit()
    first, *problems = str(caught.value).split("\n  - ")
    assert first == f"workflow '{builder.id}' cannot be committed:"
    return problems


def test_empty_graph_is_refused():
    """1.3."""
    assert refused(Workflow("w", input=int, output=str)) == ["it has no nodes; add at least one, as .then(step)"]


def test_step_that_cannot_follow_names_both_steps_and_both_types():
    """1.3: neighbours of which no value can satisfy both types."""
    assert refused(Workflow("w", input=int).then(fetch).then(shout)) == [
        (
            "step 'shout' cannot follow: step 'fetch' gives Order but step 'shout' takes str, and no value is both "
            "(an object is given where a string is needed). Change one of the two types, or put .map(...) between them"
        )
    ]


def test_first_step_that_cannot_take_the_input_is_refused():
    assert refused(Workflow("w", input=str).then(fetch)) == [
        (
            "step 'fetch' cannot follow: the workflow's input is str but step 'fetch' takes int, and no value is both "
            "(a string is given where an integer is needed). Change one of the two types, or put .map(...) between them"
        )
    ]


def test_result_that_cannot_be_the_last_output_is_refused():
    assert refused(Workflow("w", input=int, output=int).then(fetch)) == [
        (
            "the workflow's result cannot follow: step 'fetch' gives Order but the workflow's result is int, "
            "and no value is both (an object is given where an integer is needed). "
            "Change one of the two types, or put .map(...) between them"
        )
    ]


def test_field_that_cannot_fit_is_named():
    assert refused(Workflow("w", input=Order).then(price).then(price, id="again")) == [
        (
            "step 'again' cannot follow: step 'price' gives Priced but step 'again' takes Order, and no value is both "
            "(id: a string is given where an integer is needed). "
            "Change one of the two types, or put .map(...) between them"
        )
    ]


def test_nested_workflow_that_cannot_follow_is_refused():
    assert refused(Workflow("w", input=str).then(ORDERS)) == [
        (
            "workflow 'orders' cannot follow: the workflow's input is str but workflow 'orders' takes int, "
            "and no value is both (a string is given where an integer is needed). "
            "Change one of the two types, or put .map(...) between them"
        )
    ]


def test_parallel_child_that_cannot_take_the_input_is_refused():
    assert refused(Workflow("w", input=int).parallel([fetch, shout])) == [
        (
            "step 'shout' cannot follow: the workflow's input is int but step 'shout' takes str, and no value is both "
            "(an integer is given where a string is needed). Change one of the two types, or put .map(...) between them"
        )
    ]


def test_list_that_cannot_be_what_a_parallel_gives_is_refused():
    assert refused(Workflow("w", input=int, output=list[int]).parallel([fetch])) == [
        (
            "the workflow's result cannot follow: parallel 'parallel' gives an object keyed by child id "
            "but the workflow's result is list[int], and no value is both (an object is given where a list is needed). "
            "Change one of the two types, or put .map(...) between them"
        )
    ]


def test_map_with_a_declared_type_is_a_neighbour_too():
    def to_text(context) -> str:
        return str(context.input)

    assert refused(Workflow("w").map(to_text).then(fetch)) == [
        (
            "step 'fetch' cannot follow: map 'map' gives str but step 'fetch' takes int, and no value is both "
            "(a string is given where an integer is needed). Change one of the two types, or put .map(...) between them"
        )
    ]


@pytest.mark.parametrize(
    "builder",
    [
        Workflow("w").then(fetch),
        Workflow("w", input=int | str).then(fetch),
        Workflow("w", input=float).then(fetch),
        Workflow("w", input=str).then(anything).then(fetch),
        Workflow("w", input=str).map(lambda context: 1).then(fetch),
    ],
    ids=["undeclared", "union", "number", "step without types", "map without types"],
)
def test_doubt_is_left_to_run_time(builder):
    assert builder.commit().id == "w"


def test_foreach_over_what_is_no_list_is_refused():
    """1.3."""
    assert refused(Workflow("w", input=int).then(fetch).foreach(shout)) == [
        "foreach 'shout' needs a list, but step 'fetch' gives Order; put a .map(...) before it that makes a list"
    ]


def test_foreach_over_text_is_refused():
    assert refused(Workflow("w", input=str).foreach(shout)) == [
        "foreach 'shout' needs a list, but the workflow's input is str; put a .map(...) before it that makes a list"
    ]


def test_item_that_a_body_cannot_take_is_refused():
    assert refused(Workflow("w", input=list[int]).foreach(shout)) == [
        (
            "step 'shout' cannot follow: the workflow's input is list[int], whose items are int, "
            "but step 'shout' takes str, and no value is both (an integer is given where a string is needed). "
            "Change one of the two types, or put .map(...) between them"
        )
    ]


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "2", None])
def test_concurrency_that_is_no_number_of_items_is_refused(concurrency):
    """21: below 1 a DefinitionError if constant."""
    assert refused(Workflow("w", input=list[str]).foreach(shout, concurrency=concurrency)) == [
        f"foreach 'shout' has concurrency={concurrency!r}; it must be a whole number of at least 1"
    ]


def test_parallel_without_children_is_refused():
    assert refused(Workflow("w").parallel([], id="both")) == ["parallel 'both' has no children; give at least one step"]


REPEATED: dict[str, tuple[Workflow, str]] = {
    "step twice": (
        Workflow("w").then(anything).then(anything),
        "node id 'anything' stands 2 times; give one another id with id=... or .clone(id=...)",
    ),
    "step thrice": (
        Workflow("w").then(anything).then(anything).then(anything),
        "node id 'anything' stands 3 times; give one another id with id=... or .clone(id=...)",
    ),
    "given id": (
        Workflow("w").then(anything, id="a").map(lambda context: 1, id="a"),
        "node id 'a' stands 2 times; give one another id with id=... or .clone(id=...)",
    ),
    "child of a parallel": (
        Workflow("w").then(anything).parallel([anything]),
        "node id 'anything' stands 2 times; give one another id with id=... or .clone(id=...)",
    ),
    "children of one parallel": (
        Workflow("w").parallel([anything, anything]),
        "node id 'anything' stands 2 times; give one another id with id=... or .clone(id=...)",
    ),
    "foreach and step": (
        Workflow("w").foreach(anything).then(anything),
        "node id 'anything' stands 2 times; give one another id with id=... or .clone(id=...)",
    ),
    "second unnamed map": (
        Workflow("w").map(lambda context: 1).map(lambda context: 2),
        "2 nodes of kind 'map' have no id of their own; give all but one an id with id=...",
    ),
    "third unnamed parallel": (
        Workflow("w").parallel([shout]).parallel([anything]).parallel([fetch]),
        "3 nodes of kind 'parallel' have no id of their own; give all but one an id with id=...",
    ),
    "step with the name of an unnamed map": (
        Workflow("w").map(lambda context: 1).then(anything, id="map"),
        "node id 'map' stands 2 times; give one another id with id=... or .clone(id=...)",
    ),
}


@pytest.mark.parametrize(("builder", "message"), REPEATED.values(), ids=REPEATED.keys())
def test_id_that_stands_twice_is_refused(builder, message):
    """1.4."""
    assert message in refused(builder)


def test_one_unnamed_map_beside_named_ones_is_fine():
    workflow = Workflow("w").map(lambda context: 1, id="a").map(lambda context: 2).map(lambda context: 3, id="b")

    assert [node.id for node in workflow.commit().graph.root.nodes] == ["a", "map", "b"]


def test_all_problems_are_listed():
    builder = Workflow("w", input=str).then(fetch).foreach(shout, concurrency=0).map(lambda context: 1, id="fetch")

    first, second, third = refused(builder)

    assert first.startswith("node id 'fetch' stands 2 times")
    assert second.startswith("step 'fetch' cannot follow: the workflow's input is str")
    assert third.startswith("foreach 'shout' has concurrency=0")


def test_node_that_is_refused_does_not_make_its_neighbours_wrong():
    builder = Workflow("w", input=int).then(fetch).foreach(shout, concurrency=0).then(price)

    assert len(refused(builder)) == 1


IDS = (
    "use letters, digits, '_' and '-', beginning with a letter or '_' "
    "(paths such as child.fetch or each[3] are made of ids); give one with id=..."
)
BAD_IDS: dict[str, Callable[[], Workflow]] = {
    "then": lambda: Workflow("w").then(anything, id="a.b"),
    "foreach": lambda: Workflow("w").foreach(anything, id="a.b"),
    "parallel": lambda: Workflow("w").parallel([anything], id="a.b"),
    "map": lambda: Workflow("w").map(lambda context: 1, id="a.b"),
}


@pytest.mark.parametrize("make", BAD_IDS.values(), ids=BAD_IDS.keys())
def test_node_id_that_a_path_cannot_have_is_refused(make):
    assert refused(make()) == [f"node id 'a.b': {IDS}"]


@pytest.mark.parametrize("id", ["", "a.b", "1", "a b", None])
def test_workflow_id_that_a_path_cannot_have_is_refused(id):
    with pytest.raises(DefinitionError) as caught:
        Workflow(id)

    assert str(caught.value) == f"workflow id {id!r}: {IDS}"


def test_clone_under_an_id_that_a_path_cannot_have_is_refused():
    with pytest.raises(DefinitionError, match=r"workflow id 'a\.b': use letters"):
        ORDERS.clone(id="a.b")


UNCOMMITTED = Workflow("child").then(anything)
NOT_STEPS: dict[str, tuple[Callable[[], object], str]] = {
    "uncommitted workflow": (
        lambda: Workflow("w").then(UNCOMMITTED),
        "workflow 'w': 'child' is not committed; call .commit() on it first",
    ),
    "uncommitted workflow in a foreach": (
        lambda: Workflow("w").foreach(UNCOMMITTED),
        "workflow 'w': 'child' is not committed; call .commit() on it first",
    ),
    "uncommitted workflow in a parallel": (
        lambda: Workflow("w").parallel([anything, UNCOMMITTED]),
        "workflow 'w': 'child' is not committed; call .commit() on it first",
    ),
    "plain function": (
        lambda: Workflow("w").then(len),
        "workflow 'w': <built-in function len> is neither a step nor a workflow; decorate it with @step",
    ),
    "nothing": (
        lambda: Workflow("w").then(None),
        "workflow 'w': None is neither a step nor a workflow; decorate it with @step",
    ),
    "parallel of one step": (
        lambda: Workflow("w").parallel(fetch),
        "workflow 'w': parallel takes a list of steps, as .parallel([a, b]), not Step('fetch': int -> Order)",
    ),
    "map of text": (
        lambda: Workflow("w").map("input"),
        "workflow 'w': map takes a function of one context, as lambda ctx: ..., not 'input'",
    ),
    "map of a step": (
        lambda: Workflow("w").map(fetch),
        "workflow 'w': map takes a function of one context, as lambda ctx: ..., not Step('fetch': int -> Order)",
    ),
}


@pytest.mark.parametrize(("make", "message"), NOT_STEPS.values(), ids=NOT_STEPS.keys())
def test_what_is_no_step_is_refused_where_it_is_added(make, message):
    with pytest.raises(DefinitionError) as caught:
        make()

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (no_argument, "'no_argument' cannot be called with one context: too many positional arguments"),
        (two_arguments, "'two_arguments' cannot be called with one context: missing a required argument: 'b'"),
    ],
)
def test_map_that_does_not_take_one_context_is_refused(function, reason):
    with pytest.raises(StepSignatureError) as caught:
        Workflow("w").map(function)

    assert str(caught.value) == f"{reason}. Write `lambda ctx: ...` or `def f(ctx): ...`"


def test_type_that_cannot_be_recorded_is_refused_at_commit():
    """1.3: unserialisable type."""
    with pytest.raises(DefinitionError, match=r"str\] cannot be recorded as JSON: a function is not data"):
        Workflow("w", input=Callable[[int], str]).then(anything).commit()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"metadata": {"at": object}},
            "metadata of workflow 'w' must be JSON: at: a type is not JSON; annotate the type so that it is converted",
        ),
        ({"metadata": "text"}, "metadata of workflow 'w' must be a JSON object, not 'text'"),
        ({"description": 5}, "description of workflow 'w' must be a text, not 5"),
        (
            {"retries": "3"},
            "workflow 'w' has retries='3'; give how often to try again, or Retry(limit=..., delay=...)",
        ),
    ],
    ids=["metadata", "metadata that is no object", "description", "retries"],
)
def test_option_that_cannot_work_is_refused(options, message):
    with pytest.raises(DefinitionError) as caught:
        Workflow("w", **options)

    assert str(caught.value) == message


def test_workflow_inside_itself_is_refused():
    inner = Workflow("w").then(anything).commit()

    assert refused(Workflow("w").then(inner)) == [
        "workflow 'w' stands in itself under the same id; clone one with .clone(id=...)"
    ]


CHILD = Workflow("child", input=str, output=str).then(shout).commit()
OTHERS = {
    "another step": Workflow("child").then(anything, id="shout").commit(),
    "another node": Workflow("child", input=str, output=str).then(shout, id="other").commit(),
    "other types": Workflow("child", input=str).then(shout).commit(),
    "other retries": Workflow("child", input=str, output=str, retries=2).then(shout).commit(),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_two_workflows_of_one_id_are_refused(other):
    """One id means one workflow: types and functions are found by it."""
    assert refused(Workflow("w").then(CHILD).then(other, id="again")) == [
        "two different workflows are called 'child'; give one another id with .clone(id=...)"
    ]


def test_two_workflows_of_one_id_are_refused_at_any_depth():
    outer = Workflow("outer").then(OTHERS["another node"]).commit()

    assert refused(Workflow("w").then(CHILD).then(outer)) == [
        "two different workflows are called 'child'; give one another id with .clone(id=...)"
    ]


def test_step_that_was_called_is_to_be_named():
    """1.3: `.then(fetch(1))` hands over what the body would give."""

    @step
    async def fetch(x: int) -> int:
        return x

    called = fetch(1)
    with pytest.raises(DefinitionError, match="is neither a step nor a workflow; name it without calling it"):
        Workflow("w").then(called)  # type: ignore[arg-type]
    called.close()
