"""The graph as a document: what is stored once is readable for ever (rules 1.5 and 12.5)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.graph.document import UnknownGraphError, fingerprint_of, graph_from_json, graph_to_json
from outlast.graph.nodes import Graph, NodeInfo, StepNode, WorkflowNode
from outlast.graph.retry import RetryRule
from outlast.values import decode, encode
from property.graphs import graphs
from simulated import a_foreach, a_graph, a_map, a_parallel, a_step, a_workflow

TEXTS = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
INFOS = st.builds(
    NodeInfo,
    description=TEXTS,
    metadata=st.dictionaries(TEXTS, JSON, max_size=2),
    input=st.none() | st.dictionaries(TEXTS, JSON, min_size=1, max_size=2),
    output=st.none() | st.dictionaries(TEXTS, JSON, min_size=1, max_size=2),
    code=TEXTS,
)


def through_the_store(graph: Graph) -> Graph:
    return graph_from_json(decode(encode(graph_to_json(graph))))


@given(graphs())
def test_any_graph_comes_back_as_it_was(graph):
    assert through_the_store(graph) == graph


@given(INFOS)
def test_what_people_want_to_know_comes_back_as_it_was(info):
    root = WorkflowNode(id="w", workflow="w", nodes=(replace(a_step("a"), info=info),), info=info)
    graph = Graph(root=root, codes={"w/way?a": info.code}, is_sensitive=True)

    assert through_the_store(graph) == graph


@given(graphs())
def test_equal_graphs_have_equal_fingerprints(graph):
    document = encode(graph_to_json(graph))

    assert fingerprint_of(encode(graph_to_json(through_the_store(graph)))) == fingerprint_of(document)


def test_other_graphs_have_other_fingerprints():
    found = {
        fingerprint_of(encode(graph_to_json(graph)))
        for graph in (
            a_graph(a_step("a")),
            a_graph(a_step("b")),
            a_graph(a_step("a", limit=1)),
            a_graph(a_step("a", delay_ms=1)),
            a_graph(a_map("a")),
            a_graph(a_foreach(a_step("a"))),
            a_graph(a_foreach(a_step("a"), concurrency=2)),
            a_graph(a_parallel(a_step("a"))),
            a_graph(a_workflow("a", a_step("a"))),
        )
    }

    assert len(found) == 9


def test_document_of_a_graph():
    """In stores already: what changes here needs a default where it is read."""
    graph = a_graph(a_step("a", limit=2, delay_ms=50), a_foreach(a_workflow("each", a_map("m")), concurrency=3))

    assert graph_to_json(graph) == {
        "version": 1,
        "root": {
            "kind": "workflow",
            "id": "w",
            "workflow": "w",
            "nodes": [
                {"kind": "step", "id": "a", "function": "w/a", "retry": {"limit": 2, "delay_ms": 50}},
                {
                    "kind": "foreach",
                    "id": "each",
                    "concurrency": 3,
                    "body": {
                        "kind": "workflow",
                        "id": "each",
                        "workflow": "each-workflow",
                        "nodes": [{"kind": "map", "id": "m", "function": "w/m?map"}],
                    },
                },
            ],
        },
    }


def test_unknown_fields_of_a_node_are_ignored():
    node = {"kind": "step", "id": "a", "function": "w/a", "retry": {"limit": 0, "delay_ms": 0}, "color": "red"}
    document = {"version": 1, "root": {"kind": "workflow", "id": "w", "workflow": "w", "nodes": [node]}}

    assert graph_from_json(document).root.nodes == (StepNode(id="a", function="w/a", retry=RetryRule()),)


STEP = {"kind": "step", "id": "a", "function": "w/a", "retry": {"limit": 0, "delay_ms": 0}}
MAP = {"kind": "map", "id": "m", "function": "w/m?map"}
NEWER = {
    "version": (
        {"version": 2, "root": {}},
        "graph document version 2 is newer than 1; upgrade this worker",
    ),
    "kind": (
        {
            "version": 1,
            "root": {"kind": "workflow", "id": "w", "workflow": "w", "nodes": [{"kind": "jump", "id": "j"}]},
        },
        "node 'j' is of kind 'jump', which this version of outlast does not know; upgrade it",
    ),
    "body": (
        {
            "version": 1,
            "root": {
                "kind": "workflow",
                "id": "w",
                "workflow": "w",
                "nodes": [{"kind": "foreach", "id": "m", "body": MAP, "concurrency": 1}],
            },
        },
        "node 'm' stands in another node, where this version of outlast knows only steps and workflows",
    ),
    "root": ({"version": 1, "root": STEP}, "the root of a graph is a workflow, not a StepNode"),
}


@pytest.mark.parametrize(("document", "message"), NEWER.values(), ids=NEWER.keys())
def test_document_of_a_newer_version_is_left_to_those_who_know_it(document, message):
    """9.8."""
    with pytest.raises(UnknownGraphError) as caught:
        graph_from_json(document)

    assert str(caught.value) == message
