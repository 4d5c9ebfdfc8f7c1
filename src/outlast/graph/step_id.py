"""How a caller names a step: by itself, or by its id."""

from __future__ import annotations

from outlast.errors import InputError, Problem

__all__ = ["find_step_id", "step_id_of"]


def find_step_id(step: object) -> str | None:
    """Return the id of what names a step; None if it names none."""
    step_id = step if isinstance(step, str) else getattr(step, "id", None)
    return step_id if isinstance(step_id, str) else None


def step_id_of(step: object) -> str:
    """Return the id of what names a step.

    Raises:
        InputError: It names none.
    """
    step_id = find_step_id(step)
    if step_id is None:
        raise InputError("step", (Problem("", f"name a step by itself or by its id, not {step!r:.60}"),))
    return step_id
