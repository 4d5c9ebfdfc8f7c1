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

__all__ = ["Declared"]


@immutable
class Declared:
    """Functions and types by the references that graphs use. What is not known here may be any JSON."""

    functions: Mapping[str, Function]
    """Functions by reference."""
    workflows: Mapping[str, WorkflowTypes]
    """Types of workflows, nested ones included, by id."""

    def check_keys(self, history: History) -> None:
        """Refuse to record values for a run of a workflow with sensitive types, where nobody knows which of them are.

        Raises:
            ConfigurationError: The workflow is not known here, and declares sensitive types.
        """
        if history.graph.is_sensitive and history.workflow_id not in self.workflows:
            message = (
                f"workflow '{history.workflow_id}' of run {history.run_id} takes sensitive values, and this process "
                f"does not know which they are; do it in an app that has the workflow and its keys"
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
