"""What must hold of a store after crashes, whatever was running when they happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from crash.reference import CHUNKS, Reference, effects_of
from outlast.core.record import Record
from outlast.storage.base import Store

__all__ = ["check_effects", "check_journal", "check_run"]

_OUTCOMES = {"step-succeeded", "step-failed", "block-succeeded", "block-failed", "timer-fired"}


def check_journal(records: Sequence[Record]) -> None:
    """Nothing is recorded twice, nothing without a start, and nothing after the end."""
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    kinds = Counter(record.type for record in records)
    assert kinds["run-started"] == kinds["run-finished"] == 1
    begun = [record.type for record in records if record.type != "run-created"]  # recorded first, if at all
    assert (begun[0], begun[-1]) == ("run-started", "run-finished")
    outcomes = Counter((record.path, record.attempt, record.type) for record in records if record.type in _OUTCOMES)
    timers = Counter(record.path for record in records if record.type == "timer-fired")
    delays = Counter(record.path for record in records if record.type == "step-failed")
    for (path, _, kind), count in outcomes.items():
        assert count == 1 or (kind == "timer-fired" and timers[path] <= delays[path]), f"{kind} of {path} {count} times"
    started: set[tuple[str, int]] = set()
    for record in records:
        if record.type in ("step-started", "block-opened"):
            started.add((record.path, record.attempt))
        elif record.type in ("step-succeeded", "step-failed", "block-succeeded"):
            assert (record.path, record.attempt) in started, f"{record.path} has an outcome and no start"
    check_chunks(records)
    ends = Counter(record.path for record in records if record.type == "step-succeeded")
    assert set(ends.values()) <= {1}


def check_chunks(records: Sequence[Record]) -> None:
    """All that the call of a body said stands before its outcome, and nothing of it after that (rule 14.1)."""
    said: Counter[str] = Counter()
    for record in records:
        if record.type == "step-started":
            said[record.path] = 0
        elif record.type == "chunk-written":
            said[record.path] += 1
        elif record.type == "step-succeeded" and record.path.startswith("talk"):
            assert said.pop(record.path) == CHUNKS


def check_effects(reference: Reference, file: Path, run_id: str, *, crashes: int) -> None:
    """Every body was called at least once, and at most once more for each crash."""
    effects = effects_of(file).get(run_id, Counter())
    assert effects.keys() == reference.effects.keys()
    extra = {each: count for each, count in effects.items() if not 1 <= count <= 1 + crashes}
    assert not extra, f"with {crashes} crashes these bodies were called more often: {extra}"


async def check_run(store: Store, run_id: str) -> None:
    """It ended, nobody owns it, no timer is left, and its journal is sound."""
    row = await store.find_run(run_id)
    assert row is not None
    assert row.status.is_terminal
    assert (row.owner, row.ready_at_ms) == (None, None), row
    records = await store.load_records(row.key)
    assert row.head == len(records)
    check_journal(records)
