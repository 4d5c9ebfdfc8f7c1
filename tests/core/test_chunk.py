"""What bodies say while they run, as records and back."""

from __future__ import annotations

import pytest

from outlast.core.chunk import ChunkWritten, DataEmitted, ProgressMade, StreamEntry, decode_entry, encode_entry
from outlast.core.codec import EVENT_VERSIONS


@pytest.mark.parametrize(
    "entry",
    [
        ChunkWritten(5, "each[3].a", 2),
        ProgressMade(5, "a", 0, 1, 2, "half"),
        ProgressMade(5, "a", 0, 0.5, None, None),
        DataEmitted(5, "a", 1, "data-price"),
    ],
)
def test_entry_comes_back_as_it_was(entry: StreamEntry):
    """14.1: stream events carry path and attempt, and no fact has their names."""
    record = encode_entry(entry, seq=7, execution=3, payload=b"1")

    assert decode_entry(record) == entry
    assert (record.seq, record.execution, record.is_fact, record.payload) == (7, 3, False, b"1")
    assert record.type not in EVENT_VERSIONS
