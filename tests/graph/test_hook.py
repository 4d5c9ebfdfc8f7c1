"""Hooks in a definition: rules 1.2 and 13."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from outlast import DefinitionError, StepSignatureError, Workflow, step
from outlast.graph.document import graph_from_json
from outlast.graph.nodes import Hooks


@step
def work(x: Any) -> Any:
    return x


def note(value: Any) -> None: ...


class Notes:
    async def __call__(self, value: Any) -> None: ...


def test_hooks_stand_in_the_document_by_their_references():
    workflow = Workflow("w", on_start=note, on_error=note).then(work).commit()

    assert workflow.to_dict()["hooks"] == {"on_start": "w?on_start", "on_error": "w?on_error"}
    assert graph_from_json(workflow.to_dict()).hooks == Hooks(on_start="w?on_start", on_error="w?on_error")
    assert workflow.functions["w?on_start"].call is note


def test_document_without_hooks_does_not_mention_them():
    workflow = Workflow("w").then(work).commit()

    assert "hooks" not in workflow.to_dict()
    assert graph_from_json(workflow.to_dict()).hooks is None


def test_hooks_are_kept_by_the_builder_and_its_clones():
    workflow = Workflow("w", on_finish=note).then(work).commit().clone(id="x")

    assert workflow.graph.hooks == Hooks(on_finish="x?on_finish")


def test_hooks_of_a_nested_workflow_are_not_called():
    """5.7: it has no run of its own."""
    child = Workflow("child", on_finish=note).then(work).commit()

    parent = Workflow("parent").then(child).commit()

    assert parent.graph.hooks is None
    assert "child?on_finish" not in parent.functions


@pytest.mark.parametrize("hook", [note, Notes(), partial(note), lambda value: None, print, work])
def test_whatever_takes_one_value_can_be_a_hook(hook: Any):
    assert Workflow("w", on_finish=hook).then(work).commit().functions["w?on_finish"].call is hook


def test_async_callable_object_is_awaited():
    assert Workflow("w", on_finish=Notes()).then(work).commit().functions["w?on_finish"].is_async


@pytest.mark.parametrize("name", ["on_start", "on_finish", "on_error"])
def test_what_cannot_be_called_is_refused(name: str):
    with pytest.raises(DefinitionError, match=f"workflow 'w' has {name}='slack'"):
        Workflow("w", **{name: "slack"})  # type: ignore[arg-type]


def two(first: Any, second: Any) -> None: ...


def generator(value: Any) -> Iterator[Any]:
    yield value


@pytest.mark.parametrize("hook", [two, lambda: None, generator])
def test_function_that_cannot_take_one_value_is_refused(hook: Any):
    with pytest.raises(StepSignatureError, match="on_finish of workflow 'w'"):
        Workflow("w", on_finish=hook)
