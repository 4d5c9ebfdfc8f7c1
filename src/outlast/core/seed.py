"""What an execution begins with that is not the first: results that are kept, and where it goes on (rule 12.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field

from outlast.core.commands import Resumption
from outlast.core.ref import Ref
from outlast.immutable import immutable, new_dict

__all__ = ["Seed", "is_retained", "prefixes_of"]


@immutable
class Seed:
    """Facts that hold from the first moment of an execution. All keys are paths.

    It names only what the execution meets on its way: the results of the nodes before the place where it goes on, in
    each workflow around that place, and the finished parts of blocks that are not finished.
    """

    kept: Mapping[str, Ref] = field(default_factory=new_dict)
    """Outputs of nodes that are not run again."""
    given: Sequence[str] = ()
    """Those among them whose output was given, not recorded by the node: nothing inside such a node is known."""
    bailed: Sequence[str] = ()
    """Those among them that ended with a bail."""
    skipped: Sequence[str] = ()
    """Nodes before the place where it goes on that have no output."""
    positions: Mapping[str, int] = field(default_factory=new_dict)
    """For a workflow (the root: the empty path), the index of the node with which it begins."""
    passes: Mapping[str, int] = field(default_factory=new_dict)
    """For a loop, how many passes are done."""
    answers: Mapping[str, int] = field(default_factory=new_dict)
    """For a condition or a concurrency function, what it answered: it is not asked again."""
    inputs: Mapping[str, Ref] = field(default_factory=new_dict)
    """For a node, what it receives instead of the output before it."""
    resumptions: Mapping[str, Resumption] = field(default_factory=new_dict)
    """For a step, why it is called as after a suspension."""
    unchecked: Sequence[str] = ()
    """Nested workflows that are entered in the middle although nothing says what they received."""


def is_retained(path: str, seed: Seed) -> bool:
    """Say whether what was recorded of a path before this seed still holds after it."""
    for prefix in prefixes_of(path):
        if prefix in seed.kept:
            return prefix not in seed.given
        loop, separator, number = prefix.rpartition("#")
        if separator and number.isdigit() and int(number) <= seed.passes.get(loop, 0):
            return True
    return False


def prefixes_of(path: str) -> Iterator[str]:
    """Yield the nodes that a path leads through, outermost first: `each`, `each[3]`, `each[3].resize`."""
    for index, character in enumerate(path):
        if character in ".[#?":
            yield path[:index]
    yield path
