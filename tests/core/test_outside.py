"""Rule 10: a run that nobody drives is ended from outside with the facts that its owner would have recorded."""

from __future__ import annotations

from outlast.core.events import CancelRequested, RunFinished, StepCanceled
from outlast.core.outside import end_from_outside
from outlast.core.status import RunStatus
from simulated import T0, SimulatedRun, a_graph, a_parallel, a_sleep, a_step

CANCEL = (CancelRequested(T0 + 5, "enough"), None)


def test_what_had_begun_is_canceled_and_the_run_ends():
    """10: bodies that nobody drives any more are not waited for; what had not begun leaves no event."""
    run = SimulatedRun(a_graph(a_parallel(a_step("a"), a_step("b"), a_step("c"), limit=2)))
    run.start()
    run.begin("a")
    run.begin("b")
    run.succeed("b")

    recorded = end_from_outside(run.state, [CANCEL])

    assert recorded == [
        CANCEL,
        (StepCanceled(T0 + 5, "a", 0), None),
        (RunFinished(T0 + 5, RunStatus.CANCELED), None),
    ]
    assert (run.state.finished, run.state.open) == (RunStatus.CANCELED, {})


def test_facts_that_do_not_end_the_run_give_nothing():
    run = SimulatedRun(a_graph(a_sleep()))
    run.start()

    assert end_from_outside(run.state, []) is None
