"""Where and with what a next execution begins: the plan of a restart, a time travel or a fork (rules 12.3 and 12.4).

The plan is made once, from the journal, and recorded as a `Seed`: the fold follows what is recorded and never plans.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from typing import assert_never

from outlast.core.commands import Resumption
from outlast.core.past import Past
from outlast.core.ref import Constant, DictOf, Item, Recorded, Ref, item_of
from outlast.core.seed import Seed, prefixes_of
from outlast.graph.nodes import (
    BranchNode,
    ForeachNode,
    LoopNode,
    MapNode,
    Node,
    ParallelNode,
    SleepNode,
    StepNode,
    WaitNode,
    WorkflowNode,
)
from outlast.immutable import immutable, new_dict
from outlast.shown import listed, shown

__all__ = ["RewindRefusedError", "RewindRequest", "detach", "plan_rewind"]

_NOTHING = Constant(b"null")


class RewindRefusedError(Exception):
    """The next execution cannot begin as asked."""

    def __init__(self, subject: str, reason: str, *, path: str = "") -> None:
        super().__init__(reason)
        self.subject = subject
        """Which part of the request is at fault: `step`, `input_data`, `resume_data` or `context`."""
        self.reason = reason
        """What is wrong, and what to do."""
        self.path = path
        """With `context`: the key that is at fault."""


@immutable
class RewindRequest:
    """From where the next execution goes on, and with what."""

    to: str = ""
    """Path of the node; empty for all nodes that are not finished."""
    input: Ref | None = None
    """What that node receives; None for what flows to it."""
    resume: Ref | None = None
    """What it is resumed with; None if it is not."""
    context: Mapping[str, Ref] = field(default_factory=new_dict)
    """Outputs of nodes before it, by path; they win over recorded ones."""
    is_unstarted: bool = False
    """Whether the run never ran: then nobody has given it an input."""


def plan_rewind(past: Past, request: RewindRequest, *, measure: Callable[[Ref], int | None]) -> Seed:
    """Return what the next execution begins with.

    Results are kept of the nodes before the target, and of the finished children, items and passes beside it. Without
    a target everything that ended well is kept. What nobody needs on the way is not named.

    Args:
        past: What the journal remembers.
        request: Where to go on, and with what.
        measure: Says how many items a value has; None if it is no list. Asked only for lists whose items are named.

    Raises:
        RewindRefusedError: There is no such node, its input is not known, or a given output belongs nowhere.
    """
    planner = _Planner(past, request, measure)
    planner.plan()
    return planner.seed


def detach(seed: Seed, *, seq: int) -> tuple[Seed, list[Ref]]:
    """Return a seed that needs no other journal: all its values belong to the event `seq`, as a list of these."""
    places: dict[Ref, int] = {}

    def moved(ref: Ref) -> Ref:
        return ref if isinstance(ref, Constant) else Item(Recorded(seq), places.setdefault(ref, len(places)))

    detached = replace(
        seed,
        kept={path: moved(ref) for path, ref in seed.kept.items()},
        given=tuple(seed.kept),
        inputs={path: moved(ref) for path, ref in seed.inputs.items()},
        resumptions={
            path: Resumption(moved(each.suspend_payload), None if each.resume_data is None else moved(each.resume_data))
            for path, each in seed.resumptions.items()
        },
    )
    return detached, list(places)


class _Planner:
    """Walks from the root to the target, or to all that is not finished."""

    def __init__(self, past: Past, request: RewindRequest, measure: Callable[[Ref], int | None]) -> None:
        self._past = past
        self._request = request
        self._measure = measure
        self._way = dict.fromkeys(prefixes_of(request.to), True) if request.to else {}
        self._is_found = False
        self._kept: dict[str, Ref] = {}
        self._given: dict[str, bool] = {}
        self._bailed: list[str] = []
        self._skipped: list[str] = []
        self._positions: dict[str, int] = {}
        self._passes: dict[str, int] = {}
        self._answers: dict[str, int] = {}
        self._inputs: dict[str, Ref] = {}
        self._resumptions: dict[str, Resumption] = {}
        self._unchecked: list[str] = []

    def plan(self) -> None:
        root = self._past.state.root
        assert root is not None  # noqa: S101 - a journal begins with the start of its run
        self._enter(self._past.state.graph.root, "", None if self._request.is_unstarted else root.input)
        if self._request.to and not self._is_found:
            raise self._unknown_target()
        unused = next((path for path in self._request.context if path not in self._given), None)
        if unused is not None:
            reason = "no node before the target has this path, or one around it is kept as a whole"
            raise RewindRefusedError("context", reason, path=unused)

    @property
    def seed(self) -> Seed:
        return Seed(
            kept=self._kept,
            given=tuple(self._given),
            bailed=tuple(self._bailed),
            skipped=tuple(self._skipped),
            positions=self._positions,
            passes=self._passes,
            answers=self._answers,
            inputs=self._inputs,
            resumptions=self._resumptions,
            unchecked=tuple(self._unchecked),
        )

    # ---- What is kept

    def _output_of(self, node: Node, path: str) -> Ref | None:
        """Return the output that a node is known to have: given, recorded, or put together from given ones."""
        given = self._request.context.get(path)
        if given is not None:
            return given
        if isinstance(node, ParallelNode | BranchNode):
            children = _children_of(node, path)
            if any(each in self._request.context for _, each in children):
                outputs = [(child.id, self._output_of(child, each)) for child, each in children]
                known = tuple((name, ref) for name, ref in outputs if ref is not None)
                return DictOf(known) if isinstance(node, BranchNode) or len(known) == len(children) else None
        return self._past.outputs.get(path)

    def _keep(self, node: Node, path: str) -> Ref | None:
        """Keep a node with its known output, and the children of a block with theirs; None if it has none."""
        output = self._output_of(node, path)
        if isinstance(node, ParallelNode | BranchNode):
            for child, each in _children_of(node, path):
                self._keep(child, each)
        if output is None:
            return None
        self._kept[path] = output
        if path in self._request.context:
            self._given[path] = True
        elif path in self._past.bailed:
            self._bailed.append(path)
        return output

    def _keep_answer(self, path: str) -> None:
        answer = self._past.answers.get(path)
        if answer is not None:
            self._answers[path] = answer

    # ---- The way to where it goes on

    def _enter(self, node: Node, path: str, value: Ref | None) -> None:
        """Let a node begin in the next execution, unless its output is known. `value` is what flows to it, if known."""
        is_target = path != "" and path == self._request.to
        if not is_target and path and not self._leads_to_target(node, path) and self._keep(node, path) is not None:
            return
        changed = self._past.inputs.get(path)
        if changed is not None and changed != _NOTHING:
            value = self._inputs[path] = changed
        if is_target:
            self._aim(node, path, value)
            return
        match node:
            case WorkflowNode():
                self._enter_workflow(node, path, value)
            case ParallelNode() | BranchNode():
                self._enter_group(node, path, value)
            case ForeachNode():
                self._enter_foreach(node, path, value)
            case LoopNode():
                self._enter_loop(node, path, value)
            case StepNode() | MapNode() | SleepNode() | WaitNode():
                self._enter_leaf(node, path, value)
            case _:
                assert_never(node)

    def _aim(self, node: Node, path: str, value: Ref | None) -> None:
        self._is_found = True
        request = self._request
        if request.input is not None:
            self._inputs[path] = request.input
        elif value is None and request.resume is None:
            raise _unknown_input(path)
        if request.resume is None:
            return
        if isinstance(node, WaitNode):
            self._kept[path] = request.resume
            self._given[path] = True
        elif isinstance(node, StepNode):
            payload = self._past.suspend_payloads.get(path, _NOTHING)
            self._resumptions[path] = Resumption(payload, request.resume)
        else:
            reason = f"'{path}' is neither a step nor a wait; only these can be resumed"
            raise RewindRefusedError("resume_data", reason)
        if value is None and request.input is None:
            self._inputs[path] = _NOTHING

    def _enter_leaf(self, node: StepNode | MapNode | SleepNode | WaitNode, path: str, value: Ref | None) -> None:
        if value is None:
            raise _unknown_input(path)
        resumption = self._past.resumptions.get(path)
        if resumption is not None and isinstance(node, StepNode):
            self._resumptions[path] = resumption

    def _enter_workflow(self, node: WorkflowNode, path: str, value: Ref | None) -> None:
        if self._request.input is not None and self._begins_with_target(node, path):
            value = self._inputs[path] = self._request.input
        if value is None and path:
            self._unchecked.append(path)
            self._inputs[path] = _NOTHING
        position = self._position_in(node, path)
        if position:
            self._positions[path] = position
        before = value
        for each in node.nodes[:position]:
            before = self._keep(each, _under(path, each.id))
            if before is None:
                self._skip(each, _under(path, each.id))
        following = node.nodes[position]
        self._enter(following, _under(path, following.id), before)

    def _position_in(self, node: WorkflowNode, path: str) -> int:
        """Return the index of the node with which a workflow begins: the last one if all of them are known."""
        paths = [_under(path, each.id) for each in node.nodes]
        if path in self._way or (path == "" and self._way):
            for index, child in enumerate(paths):
                if self._leads_to_target(node.nodes[index], child):
                    return index
            raise self._unknown_target()
        for index in range(self._past.positions.get(path, 0), len(paths)):
            if self._output_of(node.nodes[index], paths[index]) is None or self._is_bail(paths[index]):
                return index
        return len(paths) - 1

    def _enter_group(self, node: ParallelNode | BranchNode, path: str, value: Ref | None) -> None:
        children = _children_of(node, path)
        if value is None and self._request.input is not None and self._request.to in [each for _, each in children]:
            value = self._inputs[path] = self._request.input
        if isinstance(node, BranchNode):
            self._answer_branch(node, path)
        for child, each in children:
            is_taken = isinstance(node, ParallelNode) or self._answers.get(f"{path}?{child.id}") == 1
            if is_taken or self._leads_to_target(child, each):
                self._enter(child, each, value)

    def _answer_branch(self, node: BranchNode, path: str) -> None:
        """Keep what the conditions said; a branch that leads to the target is taken whatever they say."""
        questions = [(child, f"{path}?{child.id}") for child in node.children]
        for _, question in questions:
            self._keep_answer(question)
        taken = [slot for slot, child in enumerate(_children_of(node, path)) if self._leads_to_target(*child)]
        if not taken:
            return
        for slot, (child, question) in enumerate(questions):
            if slot in taken:
                self._answers[question] = 1
            elif node.is_first_only or question not in self._answers:
                given = f"{path.rpartition('.')[0]}.{child.id}".removeprefix(".") in self._request.context
                self._answers[question] = int(given and not node.is_first_only)

    def _enter_foreach(self, node: ForeachNode, path: str, value: Ref | None) -> None:
        if value is None:
            raise _unknown_input(path)
        self._keep_answer(f"{path}?concurrency")
        wanted = dict.fromkeys(range(self._past.lengths.get(path, 0)), True)
        named = self._items_named(path)
        if named:
            self._check_items(path, named, self._measure(value))
        for index in (*wanted, *(each for each in named if each not in wanted)):
            self._enter(node.body, f"{path}[{index}]", item_of(value, index))

    def _items_named(self, path: str) -> dict[int, str]:
        """Return the items of a foreach that the caller names, each with a path of the context; empty: the target's."""
        pattern = re.compile(re.escape(path) + r"\[(\d+)\]")
        named: dict[int, str] = {}
        for each in self._request.context:
            if (matched := pattern.match(each)) is not None:
                named.setdefault(int(matched[1]), each)
        target = self._number_on_way(path, r"\[(\d+)\]")
        if target is not None:
            named[target] = ""
        return named

    def _check_items(self, path: str, named: Mapping[int, str], length: int | None) -> None:
        """Refuse items that the list does not have: what was given for them would be lost without a word."""
        for index, given in named.items():
            if length is None or index >= length:
                has = "receives no list" if length is None else f"has {length} items"
                reason = f"'{path}' {has}; there is none with index {index}"
                raise RewindRefusedError("context" if given else "step", reason, path=given)

    def _enter_loop(self, node: LoopNode, path: str, value: Ref | None) -> None:
        number = self._number_on_way(path, r"#(\d+)")
        if number is None:
            self._go_on_with_loop(node, path, value)
            return
        if number < 1 or (node.max_iterations is not None and number > node.max_iterations):
            raise RewindRefusedError("step", f"'{path}' has no pass {number}")
        if number > 1:
            self._passes[path] = number - 1
            value = self._keep(node.body, f"{path}#{number - 1}")
            self._answers[f"{path}#{number - 1}?condition"] = 0 if node.is_until else 1
        self._enter(node.body, f"{path}#{number}", value)

    def _go_on_with_loop(self, node: LoopNode, path: str, value: Ref | None) -> None:
        done = self._past.passes.get(path, 0)
        if done:
            self._passes[path] = done
            value = self._keep(node.body, f"{path}#{done}")
            self._keep_answer(f"{path}#{done}?condition")
        if not done or self._answers.get(f"{path}#{done}?condition") == int(not node.is_until):
            self._enter(node.body, f"{path}#{done + 1}", value)

    def _skip(self, node: Node, path: str) -> None:
        if not isinstance(node, ParallelNode | BranchNode):
            self._skipped.append(path)
            return
        self._skipped += [each for _, each in _children_of(node, path) if each not in self._kept]

    # ---- Questions

    def _leads_to_target(self, node: Node, path: str) -> bool:
        if isinstance(node, ParallelNode | BranchNode):
            return path == self._request.to or any(each in self._way for _, each in _children_of(node, path))
        return path in self._way

    def _is_bail(self, path: str) -> bool:
        return path in self._past.bailed and path not in self._request.context

    def _begins_with_target(self, node: WorkflowNode, path: str) -> bool:
        """Say whether the target receives what this workflow receives (rule 5.1)."""
        first = node.nodes[0]
        child = _under(path, first.id)
        if child == self._request.to:
            return True
        return isinstance(first, WorkflowNode) and child in self._way and self._begins_with_target(first, child)

    def _number_on_way(self, path: str, suffix: str) -> int | None:
        pattern = re.compile(re.escape(path) + suffix)
        found = [matched for matched in map(pattern.fullmatch, self._way) if matched is not None]
        return int(found[0][1]) if found else None

    def _unknown_target(self) -> RewindRefusedError:
        known = listed([f"'{path}'" for path in _nodes_of(self._past.state.graph.root)])
        reason = f"no node of this run has the path '{shown(self._request.to)}'; there are {known}"
        return RewindRefusedError("step", reason)


def _unknown_input(path: str) -> RewindRefusedError:
    reason = f"nothing says what '{path}' receives: give it, or the outputs of the nodes before it with context="
    return RewindRefusedError("input_data", reason)


def _under(scope: str, id: str) -> str:
    return f"{scope}.{id}" if scope else id


def _children_of(node: ParallelNode | BranchNode, path: str) -> list[tuple[Node, str]]:
    """Return the children of a block with their paths: they are addressed without the block."""
    scope = path.rpartition(".")[0]
    return [(child, _under(scope, child.id)) for child in node.children]


def _nodes_of(root: WorkflowNode) -> Iterator[str]:
    """Yield the paths of the nodes of the root, for people."""
    for node in root.nodes:
        yield node.id
        if isinstance(node, ParallelNode | BranchNode):
            yield from (child.id for child in node.children)
