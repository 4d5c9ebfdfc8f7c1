"""The garbage collector is left as the program has it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from outlast.engines.local.memory import collector_paused


@pytest.fixture(autouse=True)
def collector_as_before() -> Iterator[None]:
    was_enabled = gc.isenabled()
    yield
    (gc.enable if was_enabled else gc.disable)()


def test_the_collector_pauses_for_the_block_and_goes_on_after_it() -> None:
    gc.enable()

    with collector_paused():
        assert not gc.isenabled()

    assert gc.isenabled()


def test_the_collector_goes_on_after_a_block_that_raises() -> None:
    gc.enable()

    with pytest.raises(ValueError, match="broken"), collector_paused():
        raise ValueError("broken")

    assert gc.isenabled()


def test_a_collector_that_the_program_switched_off_stays_off() -> None:
    gc.disable()

    with collector_paused():
        pass

    assert not gc.isenabled()
