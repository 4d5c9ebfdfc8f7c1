"""Blocks and workflows: what is recorded when one begins or ends."""

from __future__ import annotations

from typing import assert_never

from outlast.core.commands import CloseBlock, FinishRun, OpenBlock
from outlast.core.events import Fact
from outlast.engines.answers import Answering, close_block, finish, open_block
from outlast.engines.outcomes import collected

__all__ = ["closed"]


def closed(run: Answering, command: OpenBlock | CloseBlock | FinishRun, now_ms: int) -> Fact:
    """Return what is recorded for a command that needs no function."""
    match command:
        case OpenBlock():
            return open_block(run, command, now_ms), None
        case CloseBlock():
            event = close_block(run, command, now_ms)
            return event, collected(run, command.path, getattr(event, "failure", None), command)
        case FinishRun():
            return finish(run, command, now_ms), None
        case _:
            assert_never(command)
