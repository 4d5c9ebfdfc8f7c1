"""Graphs as workflows are started with them."""

from __future__ import annotations

from functools import lru_cache

from outlast.graph.document import graph_from_json
from outlast.graph.nodes import Graph
from outlast.values import decode

__all__ = ["graph_of"]


@lru_cache(maxsize=64)  # many runs share one, and to make it costs as much as to drive a run through some of its steps
def graph_of(document: bytes) -> Graph:
    """Return the graph of a document; it is immutable, so all runs on it have the same one.

    Raises:
        UnknownGraphError: A newer version of Outlast wrote it.
    """
    return graph_from_json(decode(document))
