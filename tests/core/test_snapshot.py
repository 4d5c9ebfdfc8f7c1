"""A run that goes on from a snapshot does what it would have done without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.history import FILES, read_history
from outlast.core.advance import apply, decide, reissue
from outlast.core.codec import decode_event
from outlast.core.ref import seqs_of
from outlast.core.snapshot import seqs_in, state_from_json, state_to_json
from outlast.core.state import RunState


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_run_that_goes_on_from_a_snapshot_does_the_same(file: Path):
    """At each place of each journal: the same commands are open, and what follows gives the same commands."""
    graph, records = read_history(file)
    state = RunState(graph)
    for position, record in enumerate(records):
        apply(state, record.seq, decode_event(record))
        decide(state)
        if state.root is None or state.finished is not None:
            continue
        copy = state_from_json(graph, json.loads(json.dumps(state_to_json(state))))
        assert reissue(copy) == reissue(state)
        assert (copy.status(), copy.next_due(), copy.data) == (state.status(), state.next_due(), state.data)
        needed = {seq for command in reissue(copy) for ref in _refs_of(command) for seq in seqs_of(ref)}
        assert needed <= set(seqs_in(copy))
        _go_on_alike(graph, records[: position + 1], copy, records[position + 1 :])


def _go_on_alike(graph, before, copy, after):
    state = RunState(graph)
    for record in before:
        apply(state, record.seq, decode_event(record))
        decide(state)
    for record in after:
        event = decode_event(record)
        apply(state, record.seq, event)
        apply(copy, record.seq, event)
        assert decide(copy) == decide(state)
    assert (copy.status(), copy.result, copy.data) == (state.status(), state.result, state.data)


def _refs_of(command):
    return [ref for ref in (getattr(command, "input", None), getattr(command, "output", None)) if ref is not None]
