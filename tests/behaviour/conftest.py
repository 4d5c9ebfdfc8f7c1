"""The engines that run the behaviour suite: the local one over both stores, and Temporal."""

from __future__ import annotations

from pathlib import Path

import pytest

from behaviour.bench import Bench
from behaviour.temporal_bench import TemporalBench


# Both stores keep one contract, which the conformance suite holds each of them to: quick tests need only one here.
@pytest.fixture(params=["memory", *(pytest.param(each, marks=pytest.mark.slow) for each in ("sqlite", "temporal"))])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "memory":
        return Bench("memory", Path())  # what has no file needs no directory
    if request.param == "sqlite":
        return Bench("sqlite", request.getfixturevalue("tmp_path"))
    bench = TemporalBench(request.getfixturevalue("temporal_server"))
    for marker in request.node.iter_markers("requires"):
        for capability in marker.args:
            if capability in bench.lacks:
                pytest.skip(f"{capability}: {bench.lacks[capability]}")
    return bench
