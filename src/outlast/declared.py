"""The declared types of what callers hand over, as far as this process knows the workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outlast.core.history import History
from outlast.errors import ConfigurationError
from outlast.graph.compose import WorkflowTypes
from outlast.graph.function import Function
from outlast.graph.nodes import LoopNode, MapNode, Node, StepNode, WaitNode, WorkflowNode
from outlast.graph.schema import JSON, Schema
from outlast.immutable import immutable
from outlast.sealing import has_seals

__all__ = ["Declared"]


@immutable
class Declared:
    """Functions and types by the references that graphs use. What is not known here may be any JSON."""

    functions: Mapping[str, Function]
    """Functions by reference."""
    workflows: Mapping[str, WorkflowTypes]
    """Types of workflows, nested ones included, by id."""

    def check_keys(self, history: History) -> None:
        """Refuse to record values for a run that holds sensitive ones, where nobody knows which of these would be.

        Raises:
            ConfigurationError: The workflow is not known here, and values of the run are sealed.
        """
        if history.workflow_id in self.workflows:
            return
        if any(has_seals(record.payload or b"") or has_seals(record.body or b"") for record in history.records):
            message = (
                f"run {history.run_id} holds sensitive values, and this process does not know which parts of its "
                f"workflow '{history.workflow_id}' are; do it in an app that has the workflow and its keys"
            )
            raise ConfigurationError(message)

    def input_of(self, node: Node) -> Schema[Any]:
        """Return the type of what a node receives."""
        match node:
            case StepNode(function=reference):
                function = self.functions.get(reference)
                return JSON if function is None else function.input
            case WorkflowNode(workflow=workflow):
                return self.workflows[workflow].input if workflow in self.workflows else JSON
            case LoopNode(body=body):
                return self.input_of(body)
            case _:
                return JSON

    def output_of(self, node: Node) -> Schema[Any]:
        """Return the type of what a node gives."""
        match node:
            case StepNode(function=reference) | MapNode(function=reference):
                function = self.functions.get(reference)
                return JSON if function is None else function.output
            case WorkflowNode(workflow=workflow):
                return self.workflows[workflow].output if workflow in self.workflows else JSON
            case LoopNode(body=body):
                return self.output_of(body)
            case WaitNode():
                return self.resume_of(node)
            case _:
                return JSON

    def resume_of(self, node: Node) -> Schema[Any]:
        """Return the type of what a node is resumed with."""
        function = self.functions.get(node.function) if isinstance(node, StepNode | WaitNode) else None
        return JSON if function is None else function.resume
