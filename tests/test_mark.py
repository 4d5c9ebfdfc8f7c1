"""Marks survive a wire."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast import InputError
from outlast.mark import Mark


@given(
    st.integers(0, 2**62),
    st.frozensets(st.tuples(st.integers(0, 9), st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 99))),
)
def test_mark_comes_back_as_it_was(after: int, answered: frozenset[tuple[int, str, int]]):
    mark = Mark(after=after, answered=answered)

    assert Mark.from_text(mark.to_text()) == mark


@given(st.text())
def test_other_text_is_refused_or_read_as_the_mark_that_it_is(text: str):
    with suppress(InputError):
        mark = Mark.from_text(text)
        assert Mark.from_text(mark.to_text()) == mark


def test_mark_of_another_shape_is_refused():
    with pytest.raises(InputError):
        Mark.from_text("e30")
