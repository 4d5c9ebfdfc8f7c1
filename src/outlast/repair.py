"""What callers ask of a next execution, checked and planned before anything is written (rules 12.3, 12.4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from outlast.addressing import outputs_of, plain_context
from outlast.core.codec import UnknownEventError
from outlast.core.events import Fact, RunRewound, RunStarted
from outlast.core.past import fold_past
from outlast.core.record import Record
from outlast.core.ref import Item, Recorded, Ref, Resolver
from outlast.core.rewind import RewindRefusedError, RewindRequest, detach, plan_rewind
from outlast.core.seed import Seed
from outlast.core.state import JournalMismatchError
from outlast.core.view import fold_view
from outlast.declared import Declared
from outlast.engines.base import History
from outlast.errors import InputError, PayloadTooLargeError, Problem, UnreadableRunError
from outlast.graph.locate import find_node
from outlast.graph.nodes import Graph
from outlast.graph.schema import JSON, Schema
from outlast.immutable import immutable
from outlast.starting import check_flag, check_state, encode_value
from outlast.values import InvalidValueError, JsonValue, join_list

__all__ = ["Draft", "Wish", "make_draft"]

_MOST_COPIED = 64 * 1024 * 1024
"""How many bytes of results a fork copies at most: they are one value of its journal."""


@immutable(kw_only=True)
class Wish:
    """From where a run is to go on, and with what; not checked yet."""

    to: str = ""
    """Path of the node; empty for all nodes that are not finished."""
    input_data: object = None
    """What that node receives; None for what flows to it."""
    resume_data: object = None
    """What it is resumed with; None if it is not."""
    initial_state: object = None
    """The state to begin with; None for the state as the kept nodes left it."""
    context: Mapping[str, object] | None = None
    """Outputs of nodes before it, by path."""
    request_context: object = None
    """Entries that win over those given before."""
    per_step: bool = False
    """Whether the run pauses after each node of the workflow."""


@immutable(kw_only=True)
class Draft:
    """A next execution, checked and planned: what is left is to record it."""

    graph: Graph
    """The graph of the run."""
    execution: int
    """Which execution of the run it is."""
    wish: Wish
    """What was asked for."""
    seed: Seed
    """What it begins with."""
    values: Sequence[bytes]
    """The values that its event carries, as JSON."""
    state: Mapping[str, JsonValue]
    """The state that it begins with."""
    request_context: Mapping[str, JsonValue]
    """What it tells all steps from now on."""
    records: Sequence[Record]
    """The facts of the journal that it was planned on."""
    seq: int
    """Place of its event in that journal."""

    def to_next(self, now_ms: int) -> list[Fact]:
        """Return the event that opens the execution in the same run."""
        return [(self._event(self.execution, now_ms, self.seed), _payload(self.values))]

    def to_fork(self, now_ms: int) -> list[Fact]:
        """Return the first events of a new run that begins with what this execution would begin with.

        Raises:
            PayloadTooLargeError: What it would have to copy is larger than a journal takes at once.
        """
        seed, refs = detach(self.seed, seq=2)
        resolver = self._resolver()
        view = fold_view(self.graph, self.records)
        values = [resolver.resolve(ref) for ref in refs]
        size = sum(map(len, values))
        if size > _MOST_COPIED:
            raise PayloadTooLargeError("results that the fork keeps", size, _MOST_COPIED)
        root = view.state.root
        value = self.seed.inputs.get("", root.input if root is not None else None)
        tracing = replace(view.tracing, trace_id=None, parent_span_id=None)  # another run has a trace of its own
        start = RunStarted(now_ms, view.request_context, self.state, view.include_state, tracing=tracing)
        raw = b"null" if value is None else resolver.resolve(value)
        return [(start, raw), (self._event(0, now_ms, seed), _payload(values))]

    def to_first(self, start: RunStarted) -> list[Fact]:
        """Return the events that begin a run that never ran."""
        value = self.seed.inputs.get("")
        raw = b"null" if value is None else self._resolver().resolve(value)
        return [(start, raw), *self.to_next(start.at_ms)]

    def _event(self, execution: int, now_ms: int, seed: Seed) -> RunRewound:
        timeout_ms = self.graph.root.timeout_ms
        return RunRewound(
            now_ms,
            execution,
            self.wish.to,
            seed,
            self.state,
            self.wish.initial_state is not None,
            self.request_context,
            None if timeout_ms is None else now_ms + timeout_ms,
            self.wish.per_step,
        )

    def _resolver(self) -> Resolver:
        return _resolver(self.records, self.seq, self.values)


def make_draft(
    history: History, wish: Wish, declared: Declared, *, unstored: Collection[str] = (), is_unstarted: bool = False
) -> Draft:
    """Check all that a caller wants and plan the next execution.

    Args:
        history: The run as it is recorded; the event that opens the execution follows its head.
        wish: What the caller wants.
        declared: The types of what may be handed over.
        unstored: Keys of the request context that are not recorded.
        is_unstarted: Whether the run never ran: then its recorded input was not given by anybody.

    Raises:
        InputError: There is no such node, its input is not known, or something handed over does not fit.
        UnreadableRunError: A newer version of Outlast wrote a part of the journal.
    """
    check_flag(wish.per_step, "per_step")
    try:
        past = fold_past(history.graph, history.records)
    except (UnknownEventError, JournalMismatchError) as error:
        raise UnreadableRunError(history.run_id, str(error)) from error
    if past.state.root is None:
        reason = "the run was recorded and never started, so there is nothing to go on from; start a new run"
        raise InputError("step", (Problem("", reason),))
    given = _Given(history, wish, declared)
    request = given.request(is_unstarted=is_unstarted)
    try:
        seed = plan_rewind(past, request, measure=given.measure)
    except RewindRefusedError as error:
        raise InputError(error.subject, (Problem(error.path, error.reason),)) from None
    types = declared.workflows.get(history.workflow_id)
    if types is not None and request.input is not None and seed.inputs.get("") == request.input:
        _check_value(types.input, given.values[0])  # it is the first node, so this is the input of the run, too
    is_sensitive = types is not None and types.request_context.is_sensitive
    state = past.state_after(seed)
    if wish.initial_state is not None:
        state = check_state(None if types is None else types.state, wish.initial_state)
    return Draft(
        graph=history.graph,
        execution=0 if is_unstarted else history.execution + 1,
        wish=wish,
        seed=seed,
        values=given.values,
        state=state,
        request_context=plain_context(wish.request_context, unstored, is_sensitive=is_sensitive),
        records=history.records,
        seq=history.head + 1,
    )


def _check_value(schema: Schema[Any], raw: bytes) -> None:
    try:
        schema.decode(raw)
    except InvalidValueError as error:
        raise InputError("input_data", error.problems) from None


class _Given:
    """The values that a caller gives, each checked against its declared type and put where it will be recorded."""

    def __init__(self, history: History, wish: Wish, declared: Declared) -> None:
        self._root = history.graph.root
        self._records = history.records
        self._wish = wish
        self._declared = declared
        self._event = Recorded(history.head + 1)
        self.values: list[bytes] = []

    def request(self, *, is_unstarted: bool) -> RewindRequest:
        wish, declared = self._wish, self._declared
        node = find_node(self._root, wish.to) if wish.to else None
        input = resume = None
        if wish.input_data is not None:
            input = self._put(JSON if node is None else declared.input_of(node), wish.input_data, "input_data")
        if wish.resume_data is not None:
            resume = self._put(JSON if node is None else declared.resume_of(node), wish.resume_data, "resume_data")
        return RewindRequest(wish.to, input, resume, self._context(), is_unstarted)

    def measure(self, ref: Ref) -> int | None:
        """Return how many items a recorded or given value has; None if it is no list."""
        try:
            return len(_resolver(self._records, self._event.seq, self.values).split(ref))
        except InvalidValueError:
            return None

    def _context(self) -> dict[str, Ref]:
        context: dict[str, Ref] = {}
        for path, value in outputs_of(self._wish.context).items():
            node = find_node(self._root, path)
            schema: Schema[Any] = JSON if node is None else self._declared.output_of(node)
            context[path] = self._put(schema, value, f"context of '{path}'")
        return context

    def _put(self, schema: Schema[Any], value: object, subject: str) -> Ref:
        self.values.append(encode_value(schema, value, subject))
        return Item(self._event, len(self.values) - 1)


def _payload(values: Sequence[bytes]) -> bytes | None:
    return join_list(values) if values else None


def _resolver(records: Sequence[Record], seq: int, values: Sequence[bytes]) -> Resolver:
    """Return what resolves values of a journal, and those that the event after it carries."""
    payloads = {record.seq: record.payload for record in records if record.payload is not None}
    return Resolver(payloads | {seq: join_list(values)})
