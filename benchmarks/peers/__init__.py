"""Other durable engines for Python, doing the same work, in an environment of their own: see `make bench-peers`."""

from __future__ import annotations

from benchmarks.peers.dbos import DBOS_SYSTEMS
from benchmarks.peers.langgraph_sqlite import LANGGRAPH_SYSTEMS
from benchmarks.peers.temporal_server import TEMPORAL_SYSTEMS
from benchmarks.subject import Open, System

__all__ = ["PEERS"]

PEERS: dict[System, Open] = {**DBOS_SYSTEMS, **LANGGRAPH_SYSTEMS, **TEMPORAL_SYSTEMS}
