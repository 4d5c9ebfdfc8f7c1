"""Numbers over real OTLP: HTTP and protobuf, from two processes, the first of them killed."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from telemetry.receiver import Receiver

SCRIPT = Path(__file__).with_name("metered_process.py")


class Latest:
    """The latest export of each process: counters go on from the beginning of theirs."""

    def __init__(self) -> None:
        self.metrics: dict[str, dict[str, Metric]] = {}

    def take(self, body: bytes) -> None:
        for of_resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            (process,) = [each.value.string_value for each in of_resource.resource.attributes]
            for of_scope in of_resource.scope_metrics:
                self.metrics.setdefault(process, {}).update({each.name: each for each in of_scope.metrics})

    def values(self, process: str, name: str) -> Counter[tuple[str, ...]]:
        """Return values, or how many a histogram has, by attributes in the order of their names."""
        metric = self.metrics[process].get(name, Metric())
        points = [*metric.sum.data_points, *metric.histogram.data_points, *metric.gauge.data_points]
        return Counter(
            {
                tuple(each.value.string_value for each in sorted(point.attributes, key=lambda each: each.key)): (
                    point.count if hasattr(point, "count") else point.as_int or int(point.as_double)
                )
                for point in points
            }
        )


@pytest.fixture
def latest() -> Latest:
    return Latest()


@pytest.fixture
def receiver(latest: Latest) -> Iterator[Receiver]:
    receiver = Receiver(latest.take)
    yield receiver
    receiver.close()


async def live(path: Path, receiver: Receiver, verb: str) -> int:
    """Let a process live until it ends, and return its exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", str(SCRIPT), str(path), receiver.endpoint, "run-1", verb
    )
    return await process.wait()


@pytest.mark.slow
async def test_killed_and_recovered_run_counts_once_over_both_processes(
    receiver: Receiver, latest: Latest, tmp_path: Path
):
    """12.1: the run starts in one process and ends in another; the step that killed the first is one success."""
    codes = [await live(tmp_path / "store.db", receiver, verb) for verb in ("start", "recover")]

    assert codes == [-signal.SIGKILL, 0]
    assert latest.values("start", "outlast.runs.started") == {("order",): 1}
    assert latest.values("start", "outlast.step.duration") == {("success", "fetch", "order"): 1}
    assert latest.values("start", "outlast.worker.steps") == {(): 1}
    assert latest.values("recover", "outlast.takeovers") == {(): 1}
    assert latest.values("recover", "outlast.runs.started") == {}
    assert latest.values("recover", "outlast.runs.ended") == {("success", "order"): 1}
    assert latest.values("recover", "outlast.step.duration") == {("success", "kill_process", "order"): 1}
    assert latest.values("recover", "outlast.commit.duration")[()] >= 2
    assert latest.values("recover", "outlast.journal.bytes")[()] > 0
    unit = latest.metrics["recover"]["outlast.step.duration"].unit
    bounds = latest.metrics["recover"]["outlast.step.duration"].histogram.data_points[0].explicit_bounds
    assert (unit, bounds[0], bounds[-1]) == ("s", 0.001, 3600.0)
