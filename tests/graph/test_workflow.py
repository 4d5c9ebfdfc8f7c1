"""The builder: what it makes, what never changes, and what it is called (rules 1.2 to 1.6)."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from outlast import DefinitionError, Retry, StepContext, Workflow, step
from outlast.graph.document import fingerprint_of, graph_from_json
from outlast.graph.nodes import ForeachNode, MapNode, ParallelNode, StepNode, WorkflowNode
from outlast.graph.retry import RetryRule
from outlast.values import decode, encode


@step
async def fetch(order_id: int) -> list[str]:
    """Get the lines
    of an order.
    """
    return [str(order_id)]


@step(id="resize-image", retries=Retry(limit=2, delay=timedelta(milliseconds=1500)), metadata={"team": "media"})
def resize(line: str, context: StepContext) -> str:
    return line + str(context.attempt)


@step
def shout(line: str) -> str:
    return line.upper()


def join(context) -> str:
    return ", ".join(context.input)


CHILD = Workflow("child", input=str, output=str, retries=3).then(shout).map(lambda context: context.input).commit()
ORDER = (
    Workflow("order", input=int, output=str, retries=1, description="Prints an order.", metadata={"tier": 1})
    .then(fetch)
    .foreach(resize, concurrency=4)
    .map(join)
    .then(CHILD)
    .parallel([shout, CHILD.clone(id="twin")], id="both")
    .map(lambda context: context.input["shout"], id="pick")
    .commit()
)


def test_chain_of_calls_makes_the_nodes_in_order():
    assert [(type(node), node.id) for node in ORDER.graph.root.nodes] == [
        (StepNode, "fetch"),
        (ForeachNode, "resize-image"),
        (MapNode, "map"),
        (WorkflowNode, "child"),
        (ParallelNode, "both"),
        (MapNode, "pick"),
    ]


def test_functions_are_referred_to_by_workflow_and_node():
    """1.4: `order/fetch`, `order/map?map`."""
    assert sorted(ORDER.functions) == [
        "child/map?map",
        "child/shout",
        "order/fetch",
        "order/map?map",
        "order/pick?map",
        "order/resize-image",
        "order/shout",
        "twin/map?map",
        "twin/shout",
    ]


def test_reference_is_that_of_the_node_and_not_of_the_step():
    workflow = Workflow("w").then(shout, id="first").then(shout, id="second").commit()

    assert sorted(workflow.functions) == ["w/first", "w/second"]


def test_nested_workflow_keeps_its_own_references():
    """A workflow is the same wherever it stands."""
    (node,) = (node for node in ORDER.graph.root.nodes if isinstance(node, WorkflowNode))

    assert node.nodes == CHILD.graph.root.nodes


@pytest.mark.parametrize("add", ["then", "map", "parallel", "sleep", "foreach", "branch"])
def test_empty_id_of_a_node_is_refused(add: str):
    arguments: dict[str, Any] = {
        "then": shout,
        "map": lambda ctx: 1,
        "parallel": [shout],
        "sleep": 1,
        "foreach": shout,
        "branch": [(lambda ctx: True, shout)],
    }

    with pytest.raises(DefinitionError, match="node id '': use letters"):
        getattr(Workflow("w"), add)(arguments[add], id="").commit()


def test_nested_workflow_may_stand_twice_under_two_ids():
    workflow = Workflow("w", input=str).then(CHILD).then(CHILD, id="again").commit()

    assert [node.id for node in workflow.graph.root.nodes] == ["child", "again"]
    assert {node.workflow for node in workflow.graph.root.nodes if isinstance(node, WorkflowNode)} == {"child"}


def test_same_builder_committed_twice_is_the_same_workflow():
    builder = Workflow("child", input=str, output=str).then(shout)

    workflow = Workflow("w", input=str).then(builder.commit()).then(builder.commit(), id="again").commit()

    assert len(workflow.graph.root.nodes) == 2


def test_step_retries_stand_above_the_default_of_the_workflow():
    """9.1."""
    first, each = ORDER.graph.root.nodes[:2]

    assert isinstance(first, StepNode)
    assert first.retry == RetryRule(limit=1)
    assert isinstance(each, ForeachNode)
    assert isinstance(each.body, StepNode)
    assert each.body.retry == RetryRule(limit=2, delay_ms=1500)


def test_retries_of_the_parent_are_not_those_of_a_nested_workflow():
    """21: a workflow's default retries apply to its own steps only."""
    parent = Workflow("w", input=str, retries=9).then(CHILD).commit()
    (child,) = parent.graph.root.nodes

    assert isinstance(child, WorkflowNode)
    assert isinstance(child.nodes[0], StepNode)
    assert child.nodes[0].retry == RetryRule(limit=3)


def test_how_often_processes_may_die_of_a_run_stands_in_the_graph():
    """21: `max_recoveries` on the workflow; nothing where it is used as a step, and no word where nothing was said."""
    inner = Workflow("inner", input=str, max_recoveries=2).then(CHILD).commit()
    outer = Workflow("outer", input=str).then(inner).commit()
    (nested,) = outer.graph.root.nodes

    assert inner.graph.root.max_recoveries == graph_from_json(inner.to_dict()).root.max_recoveries == 2
    assert isinstance(nested, WorkflowNode)
    assert nested.max_recoveries is None
    assert "max_recoveries" not in encode(outer.to_dict()).decode()
    assert inner.clone(id="twin").graph.root.max_recoveries == 2


@pytest.mark.parametrize("most", [0, -1, 1.5, True, "many"])
def test_number_of_recoveries_that_is_none_is_refused(most):
    """1.3: the message names the option and what it may be."""
    with pytest.raises(DefinitionError, match=r"workflow 'w' has max_recoveries=.*; it must be a whole number of at"):
        Workflow("w", max_recoveries=most)


def test_author_s_words_stand_in_the_graph():
    info = ORDER.graph.root.info
    node = ORDER.graph.root.nodes[0]

    assert (info.description, info.metadata) == ("Prints an order.", {"tier": 1})
    assert node.info.description == "Get the lines\nof an order."


def test_declared_types_stand_in_the_graph_as_json_schema():
    node = ORDER.graph.root.nodes[0]

    assert (node.info.input, node.info.output) == (
        {"type": "integer"},
        {"items": {"type": "string"}, "type": "array"},
    )


def test_builder_methods_return_new_builders():
    empty = Workflow("w", input=int)

    one = empty.then(fetch)
    two = one.map(join)

    assert [len(builder.placements) for builder in (empty, one, two)] == [0, 1, 2]


def test_one_builder_may_be_the_beginning_of_two_workflows():
    common = Workflow("w", input=int).then(fetch)

    left, right = common.map(join).commit(), common.foreach(shout).commit()

    assert [node.id for node in left.graph.root.nodes] == ["fetch", "map"]
    assert [node.id for node in right.graph.root.nodes] == ["fetch", "shout"]


def test_builder_used_after_its_commit_changes_nothing():
    builder = Workflow("w", input=int).then(fetch)
    workflow = builder.commit()
    before = workflow.fingerprint

    builder.then(shout, id="late")

    assert workflow.fingerprint == before


@pytest.mark.parametrize("name", ["id", "retries", "placements"])
def test_builder_cannot_be_changed_in_place(name):
    with pytest.raises(AttributeError):
        setattr(Workflow("w"), name, None)


def test_committed_workflow_cannot_be_changed_in_place():
    with pytest.raises(AttributeError):
        ORDER.composition = CHILD.composition  # type: ignore[misc]


def test_metadata_changed_later_does_not_change_the_graph():
    metadata = {"tags": ["a"]}
    labelled = step(metadata=metadata)(shout.function.call)
    workflow = Workflow("w", metadata=metadata).then(labelled).commit()
    before = workflow.fingerprint

    metadata["tags"].append("b")

    assert workflow.fingerprint == before


def test_dict_of_a_workflow_is_the_caller_s_own():
    before = ORDER.fingerprint

    ORDER.to_dict()["root"]["nodes"].clear()

    assert ORDER.fingerprint == before


def test_clone_of_a_workflow_keeps_everything_but_the_id():
    """1.6."""
    clone = ORDER.clone(id="copy")

    before, after = ORDER.to_dict()["root"], clone.to_dict()["root"]
    renamed = {"id": "copy", "workflow": "copy", "nodes": after["nodes"]}
    assert after == {**before, **renamed}
    assert [node["id"] for node in after["nodes"]] == [node["id"] for node in before["nodes"]]
    assert clone.input is ORDER.input
    assert clone.output is ORDER.output


def test_clone_of_a_workflow_refers_to_the_same_functions_under_its_own_id():
    clone = ORDER.clone(id="copy")

    assert clone.functions["copy/fetch"].call is ORDER.functions["order/fetch"].call


def test_document_is_the_dict_as_json():
    assert decode(ORDER.document) == ORDER.to_dict()
    assert fingerprint_of(ORDER.document) == ORDER.fingerprint


def test_workflow_shows_its_id_and_types():
    assert repr(ORDER) == "CommittedWorkflow('order': int -> str)"
    assert repr(Workflow("w").then(shout).commit()) == "CommittedWorkflow('w': JSON -> JSON)"


def test_picture_of_a_workflow():
    """1.5."""
    assert (
        ORDER.to_mermaid()
        == """\
flowchart TD
  start((start))
  finish((end))
  fetch["fetch"]
  start --> fetch
  subgraph resize_image["resize-image: each item, 4 at a time"]
    resize_image__item["resize-image"]
  end
  fetch --> resize_image
  map[/"map"/]
  resize_image --> map
  subgraph child["child"]
    child__shout["shout"]
    child__map[/"map"/]
    child__shout --> child__map
  end
  map --> child
  subgraph both["both: all at once"]
    both__shout["shout"]
    subgraph both__twin["twin"]
      both__twin__shout["shout"]
      both__twin__map[/"map"/]
      both__twin__shout --> both__twin__map
    end
  end
  child --> both
  pick[/"pick"/]
  both --> pick
  pick --> finish
"""
    )


SCRIPT = """
from outlast import Workflow, step

@step
def known(text: str) -> bool:
    inner = lambda x: x in {"a", "b", "c", "d", "e"}
    return inner(text) or text in {"f", "g", "h", "i"}

print(Workflow("w", input=str, metadata={"b": 1, "a": 2}).then(known).map(lambda context: 1).commit().fingerprint)
"""


@pytest.mark.slow
def test_fingerprint_is_the_same_in_every_process():
    """12.5: a graph is stored once per fingerprint."""
    prints = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(prints) == 1
