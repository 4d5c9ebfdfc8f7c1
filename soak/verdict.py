"""What a soak has to show, read from the notes of its processes and from the store, without the engine's help."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soak.crew import Member
from soak.gauge import Gauge
from soak.notes import read_notes
from soak.work import expected_tokens

__all__ = ["Check", "judge", "render", "suspended", "unfinished"]

_MOST_MEMORY_MB = 16
_MOST_DESCRIPTORS = 4
_LONGEST_LOG_MB = 64
_SOON_AFTER_MS = 5_000
_ERROR = re.compile(r"locked|Traceback|StoreUnavailable|a fault in the engine|ERROR")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, and whether it held."""

    promise: str
    found: str
    holds: bool
    examples: Sequence[str] = ()


def unfinished(database: Path) -> dict[str, int]:
    """Return how many runs have not ended, by status."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT status, count(*) FROM runs WHERE status NOT IN ('success', 'failed', 'canceled') GROUP BY status"
        )
        return dict(rows.fetchall())


def suspended(database: Path) -> list[str]:
    """Return the runs that wait to be resumed."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [run_id for (run_id,) in connection.execute("SELECT run_id FROM runs WHERE status = 'suspended'")]


def judge(directory: Path, members: Sequence[Member], gauge: Gauge, *, ended_well: bool) -> list[Check]:
    """Compare what was answered, called and recorded."""
    starts = {note["run"]: note["workflow"] for note in read_notes(directory, "starts")}
    calls = list(read_notes(directory, "calls"))
    with closing(sqlite3.connect(f"file:{directory / 'soak.db'}?mode=ro", uri=True)) as connection:
        status = dict(connection.execute("SELECT run_id, status FROM runs").fetchall())
        repeated = connection.execute(_REPEATED).fetchall()
        outcomes = {(run, path): at_ms for run, path, at_ms in connection.execute(_OUTCOMES)}
        tokens = {run: _tokens(payload) for run, payload in connection.execute(_RESULTS)}
        damage = connection.execute("PRAGMA integrity_check").fetchone()[0]
    lost = [run for run in starts if status.get(run) != "success"]
    wrong = list(_wrong(starts, calls, tokens))
    late = [call for call in calls if _is_late(call, outcomes, members)]
    errors = [line for each in directory.glob("*.stderr") for line in _errors(each)]
    return [
        Check("answered starts that did not end with success", str(len(lost)), not lost, lost),
        Check("outcomes recorded twice", str(len(repeated)), not repeated, [str(row) for row in repeated]),
        Check("results that no calls explain", str(len(wrong)), not wrong, wrong),
        Check("calls after the outcome was recorded", str(len(late)), not late, [str(each) for each in late]),
        Check("lock errors and faults in the logs", str(len(errors)), not errors, errors),
        Check("processes that ended in good order", "all" if ended_well else "not all", ended_well),
        Check("integrity of the file", damage, damage == "ok"),
        _limited("growth of memory", gauge.memory_growth_mb, _MOST_MEMORY_MB, "MB"),
        _limited("growth of file descriptors", gauge.descriptor_growth, _MOST_DESCRIPTORS, ""),
        _limited("longest write-ahead log", gauge.longest_log_mb, _LONGEST_LOG_MB, "MB"),
    ]


_REPEATED = """
SELECT runs.run_id, events.execution, events.path, count(*)
FROM events JOIN runs ON runs.key = events.run_key
WHERE events.type IN ('step-succeeded', 'block-succeeded', 'run-finished')
GROUP BY runs.run_id, events.execution, events.path
HAVING count(*) > 1
"""
_OUTCOMES = """
SELECT runs.run_id, events.path, events.at_ms
FROM events JOIN runs ON runs.key = events.run_key
WHERE events.type = 'step-succeeded'
"""
# The result of each of these workflows is the outcome of its last step.
_RESULTS = """
SELECT runs.run_id, (
  SELECT events.payload FROM events
  WHERE events.run_key = runs.key AND events.type = 'step-succeeded' ORDER BY events.seq DESC LIMIT 1
)
FROM runs WHERE runs.status = 'success'
"""


def _tokens(payload: bytes | None) -> list[str]:

    return [] if payload is None else json.loads(payload[1:])["tokens"]  # the first byte names the encoding


def _wrong(
    starts: Mapping[str, str], calls: Sequence[dict[str, Any]], tokens: Mapping[str, list[str]]
) -> Iterator[str]:
    noted = {(call["run"], call["token"]) for call in calls}
    for run, found in tokens.items():
        workflow = starts.get(run)  # a starter may be killed between the commit and its note
        if workflow is not None and len(found) != expected_tokens(workflow):
            yield f"{run}: {len(found)} tokens, not {expected_tokens(workflow)}"
        if len(set(found)) != len(found):
            yield f"{run}: a token twice"
        for token in found:
            if token != "yes" and (run, token) not in noted:
                yield f"{run}: token {token} that no call noted"


def _is_late(call: dict[str, Any], outcomes: Mapping[tuple[str, str], int], members: Sequence[Member]) -> bool:
    """Say whether a body was called although its outcome was recorded, and not by a process that had been stopped.

    A process that is stopped between the commit of a start and the call makes the call when it goes on: what it says
    then is refused, but nothing can keep it from calling.
    """
    recorded_at = outcomes.get((call["run"], call["path"]))
    if recorded_at is None or call["at_ms"] <= recorded_at + 1:
        return False
    stops = [stop for member in members for stop in member.stops if stop[0] == call["pid"]]
    return not any(since <= call["at_ms"] <= (until or since) + _SOON_AFTER_MS for _, since, until in stops)


def _errors(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if _ERROR.search(line)]


def _limited(what: str, value: float, most: float, unit: str) -> Check:
    return Check(f"{what} (at most {most:g} {unit})".replace(" )", ")"), f"{value:.1f} {unit}".strip(), value <= most)


def render(checks: Sequence[Check]) -> Iterator[str]:
    """Give the table, in 80 columns."""
    for check in checks:
        yield f"  {check.promise:<56} {check.found:>12}  {'holds' if check.holds else 'FAILS'}"
        if not check.holds:
            yield from (f"      {example[:72]}" for example in check.examples[:_SHOWN])
