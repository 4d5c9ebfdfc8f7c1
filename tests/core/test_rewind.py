"""Rules 12.3 and 12.4: what a next execution keeps, and where it goes on."""

from __future__ import annotations

import pytest

from outlast.core.commands import AwaitResume, Command, Resumption, RunStep
from outlast.core.ref import Constant
from outlast.core.rewind import RewindRefusedError
from outlast.core.status import RunStatus, StepStatus
from outlast.core.view import fold_state
from outlast.graph.nodes import Node
from outlast.graph.patch import Operation, PatchVerb
from simulated import (
    SimulatedRun,
    a_branch,
    a_foreach,
    a_graph,
    a_loop,
    a_map,
    a_parallel,
    a_step,
    a_wait,
    a_workflow,
    paths,
)


def begun(*nodes: Node, input: object = 1, per_step: bool = False) -> SimulatedRun:
    run = SimulatedRun(a_graph(*nodes), input)
    run.start(per_step=per_step)
    return run


def chain() -> SimulatedRun:
    return begun(a_step("a"), a_step("b"), a_step("c"))


def failed_chain() -> SimulatedRun:
    run = chain()
    run.succeed("a", "A")
    run.fail("b")
    return run


def input_of(run: SimulatedRun, path: str) -> object:
    command = run.state.open[path]
    assert isinstance(command, RunStep)
    return run.value(command.input)


# ---- Restart


def test_restart_begins_with_the_node_that_failed_and_its_recorded_input():
    run = failed_chain()

    commands = run.restart()

    assert paths(commands) == ["b"]
    assert (input_of(run, "b"), run.state.status()) == ("A", RunStatus.RUNNING)


def test_restarted_run_ends_with_kept_and_new_results():
    run = failed_chain()
    run.restart()

    run.succeed("b", "B")
    run.succeed("c", "C")

    assert (run.state.status(), run.result) == (RunStatus.SUCCESS, "C")
    assert {path: step.status for path, step in run.view.steps.items()} == dict.fromkeys("abc", StepStatus.SUCCESS)


def test_restart_of_a_canceled_run_runs_the_canceled_body_again():
    run = chain()
    run.succeed("a", "A")
    run.begin("b")
    run.cancel()
    run.give_up("b")

    commands = run.restart()

    assert paths(commands) == ["b"]
    assert not run.state.is_canceling


def test_restart_gives_all_attempts_again():
    run = begun(a_step("a", limit=1))
    run.fail("a")
    run.fail("a")
    assert run.state.status() is RunStatus.FAILED

    (command,) = run.restart()

    assert isinstance(command, RunStep)
    assert command.attempt == 0


def test_restart_goes_on_inside_a_nested_workflow():
    run = begun(a_step("before"), a_workflow("child", a_step("x"), a_step("y")), a_step("after"))
    run.succeed("before", "B")
    run.succeed("child.x", "X")
    run.fail("child.y")

    commands = run.restart()

    assert paths(commands) == ["child.y"]
    assert input_of(run, "child.y") == "X"
    assert run.value(run.state.scope_of("child.y").input) == "B"


def test_restart_keeps_the_items_that_ended_well():
    run = begun(a_foreach(a_step("each"), concurrency=2), input=[1, 2, 3, 4])
    run.succeed("each[1]", "one")
    run.fail("each[0]")
    run.succeed("each[2]", "two")
    assert run.state.status() is RunStatus.FAILED

    commands = run.restart()

    assert paths(commands) == ["each[0]", "each[3]"]
    run.succeed("each[3]", "three")
    run.succeed("each[0]", "zero")
    assert run.result == ["zero", "one", "two", "three"]


def test_restart_keeps_the_children_that_ended_well():
    run = begun(a_parallel(a_step("x"), a_step("y"), a_workflow("z", a_step("p"), a_step("q"))), a_step("after"))
    run.succeed("x", "X")
    run.succeed("z.p", "P")
    run.fail("y")
    run.fail("z.q")

    commands = run.restart()

    assert paths(commands) == ["y", "z.q"]
    run.succeed("y", "Y")
    run.succeed("z.q", "Q")
    assert input_of(run, "after") == {"x": "X", "y": "Y", "z": "Q"}


def test_restart_does_not_ask_conditions_again():
    run = begun(a_branch(a_step("x"), a_step("y"), a_step("z")))
    run.evaluate("route?x", 1)
    run.evaluate("route?y", 0)
    run.evaluate("route?z", 1)
    run.succeed("x", "X")
    run.fail("z")

    commands = run.restart()

    assert paths(commands) == ["z"]
    run.succeed("z", "Z")
    assert run.result == {"x": "X", "z": "Z"}


def test_restart_asks_the_condition_that_failed_and_no_other():
    run = begun(a_branch(a_step("x"), a_step("y")))
    run.evaluate("route?x", 1)
    run.fail_evaluation("route?y")

    commands = run.restart()

    assert paths(commands) == ["route?y"]


def test_restart_goes_on_with_the_pass_that_failed():
    run = begun(a_loop(a_step("poll")))
    for number in (1, 2):
        run.succeed(f"poll#{number}", number)
        run.evaluate(f"poll#{number}?condition", 0)
    run.fail("poll#3")

    commands = run.restart()

    assert paths(commands) == ["poll#3"]
    assert input_of(run, "poll#3") == 2
    assert {"poll#1", "poll#2"} <= run.view.steps.keys()


def test_restart_asks_again_whether_a_loop_goes_on_if_that_failed():
    run = begun(a_loop(a_step("poll")))
    run.succeed("poll#1", "one")
    run.fail_evaluation("poll#1?condition")

    commands = run.restart()

    assert paths(commands) == ["poll#1?condition"]
    run.evaluate("poll#1?condition", 1)
    assert run.result == "one"


def test_restart_calls_a_step_that_failed_after_a_resumption_with_the_same_data():
    run = begun(a_step("approve"), a_step("after"))
    run.suspend("approve", "please")
    run.resume("approve", "yes")
    run.fail("approve")

    (command,) = run.restart()

    assert isinstance(command, RunStep)
    assert command.resumption is not None
    assert run.value(command.resumption.resume_data) == "yes"
    assert run.value(command.resumption.suspend_payload) == "please"


def test_second_restart_keeps_what_both_executions_gave():
    run = failed_chain()
    run.restart()
    run.succeed("b", "B")
    run.fail("c")

    commands = run.restart()

    assert paths(commands) == ["c"]
    assert input_of(run, "c") == "B"
    assert [record.execution for record in run.records if record.type == "run-rewound"] == [1, 2]


def test_execution_with_nothing_left_to_do_ends_at_once():
    run = begun(a_step("a"))
    run.succeed("a", "A")

    run.restart()

    assert (run.state.status(), run.result) == (RunStatus.SUCCESS, "A")


# ---- Time travel


def test_time_travel_runs_the_target_and_what_follows_again():
    run = chain()
    for path in "abc":
        run.succeed(path, path.upper())

    commands = run.rewind("b")

    assert paths(commands) == ["b"]
    assert input_of(run, "b") == "A"
    assert list(run.view.steps) == ["a"]


def test_changed_input_goes_to_the_target():
    run = failed_chain()

    run.rewind("b", "changed")

    assert input_of(run, "b") == "changed"


def test_restart_after_a_time_travel_keeps_the_changed_input():
    run = failed_chain()
    run.rewind("b", "changed")
    run.fail("b")

    run.restart()

    assert input_of(run, "b") == "changed"


def test_changed_input_of_the_first_node_is_that_of_the_workflow():
    """5.1: the first node receives the input of the workflow."""
    run = begun(a_workflow("child", a_step("x")))
    run.fail("child.x")

    run.rewind("child.x", "changed")

    assert run.value(run.state.scope_of("child.x").input) == "changed"
    assert run.value(run.state.scope_of("child").input) == "changed"


def test_given_output_wins_over_the_recorded_one():
    run = failed_chain()

    run.rewind("b", context={"a": "given"})

    assert input_of(run, "b") == "given"
    assert run.value(run.view.steps["a"].output) == "given"


def test_input_without_results_of_earlier_nodes_skips_them():
    run = SimulatedRun(a_graph(a_step("a"), a_parallel(a_step("x"), a_step("y")), a_step("b")))
    run.start()

    commands = run.rewind("b", "changed")

    assert paths(commands) == ["b"]
    assert {path: step.status for path, step in run.view.steps.items()} == dict.fromkeys(
        ("a", "x", "y"), StepStatus.SKIPPED
    )
    assert run.state.scope_of("b").outputs == {}


def test_restart_does_not_run_what_a_time_travel_skipped():
    run = SimulatedRun(a_graph(a_step("a"), a_step("b"), a_step("c")))
    run.start()
    run.rewind("b", "changed")
    run.succeed("b", "B")
    run.fail("c")

    commands = run.restart()

    assert paths(commands) == ["c"]


def test_target_without_known_input_is_refused():
    run = SimulatedRun(a_graph(a_step("a"), a_step("b")))
    run.start()

    with pytest.raises(RewindRefusedError, match="nothing says what 'b' receives") as refused:
        run.rewind("b")

    assert refused.value.subject == "input_data"


@pytest.mark.parametrize("target", ["nothing", "child.nothing", "a.b", "each[9]", "each[x]", "poll#0", "child."])
def test_unknown_target_is_refused(target: str):
    run = begun(
        a_step("a"), a_workflow("child", a_step("x")), a_map("m"), a_foreach(a_step("each")), a_loop(a_step("poll"))
    )
    run.succeed("a")
    run.succeed("child.x")
    run.succeed("m", [1])
    run.succeed("each[0]", 0)

    with pytest.raises(RewindRefusedError) as refused:
        run.rewind(target)

    assert refused.value.subject == "step"


@pytest.mark.parametrize("path", ["b", "c", "nothing", "a.x"])
def test_given_output_that_belongs_nowhere_is_refused(path: str):
    run = failed_chain()

    with pytest.raises(RewindRefusedError) as refused:
        run.rewind("b", context={path: 1})

    assert (refused.value.subject, refused.value.path) == ("context", path)


def test_target_inside_a_nested_workflow_keeps_the_nodes_before_it():
    run = begun(a_step("before"), a_workflow("child", a_step("x"), a_step("y")), a_step("after"))
    for path in ("before", "child.x", "child.y", "after"):
        run.succeed(path, path)

    commands = run.rewind("child.y")

    assert paths(commands) == ["child.y"]
    assert input_of(run, "child.y") == "child.x"
    assert list(run.view.steps) == ["before", "child.x", "child"]


def test_nested_workflow_whose_input_nobody_knows_is_entered_all_the_same():
    run = SimulatedRun(a_graph(a_step("a"), a_workflow("child", a_step("x"), a_step("y")), a_step("after")))
    run.start()

    commands = run.rewind("child.y", "given")

    assert paths(commands) == ["child.y"]
    run.succeed("child.y", "Y")
    assert input_of(run, "after") == "Y"


def test_target_item_keeps_the_other_items():
    run = begun(a_foreach(a_workflow("each", a_step("x"), a_step("y")), concurrency=3), input=[1, 2, 3])
    for index in range(3):
        run.succeed(f"each[{index}].x", f"x{index}")
        run.succeed(f"each[{index}].y", f"y{index}")

    commands = run.rewind("each[1].y")

    assert paths(commands) == ["each[1].y"]
    run.succeed("each[1].y", "new")
    assert run.result == ["y0", "new", "y2"]


def test_item_past_the_end_of_a_list_that_was_given_is_refused():
    """12.3: on a run that never ran, too: nothing that was handed over is ignored."""
    run = SimulatedRun(a_graph(a_step("a"), a_foreach(a_step("each"))))
    run.start()

    with pytest.raises(RewindRefusedError, match="'each' has 2 items; there is none with index 2") as refused:
        run.rewind("each[2]", context={"a": [1, 2]})
    assert refused.value.subject == "step"


def test_output_of_an_item_past_the_end_is_refused():
    run = begun(a_foreach(a_step("each"), concurrency=2), a_step("after"), input=[1, 2])
    run.succeed("each[0]")
    run.fail("each[1]")

    with pytest.raises(RewindRefusedError, match="'each' has 2 items; there is none with index 5") as refused:
        run.rewind("each[1]", context={"each[5]": "lost"})
    assert (refused.value.subject, refused.value.path) == ("context", "each[5]")


def test_items_of_what_is_no_list_are_refused():
    run = SimulatedRun(a_graph(a_step("a"), a_foreach(a_step("each"))))
    run.start()

    with pytest.raises(RewindRefusedError, match="'each' receives no list"):
        run.rewind("each[0]", context={"a": "text"})


def test_item_that_only_a_given_list_has_can_be_the_target():
    run = begun(a_step("a"), a_foreach(a_step("each"), concurrency=2))
    run.succeed("a", [1])
    run.fail("each[0]")

    commands = run.rewind("each[1]", context={"a": [7, 8]})

    assert paths(commands) == ["each[0]", "each[1]"]


def test_target_foreach_runs_all_items_again():
    run = begun(a_foreach(a_step("each"), concurrency=3), input=[1, 2])
    run.succeed("each[0]")
    run.succeed("each[1]")

    commands = run.rewind("each", [7, 8, 9])

    assert paths(commands) == ["each[0]", "each[1]", "each[2]"]


def test_target_pass_keeps_the_passes_before_it():
    run = begun(a_loop(a_step("poll")))
    for number in (1, 2):
        run.succeed(f"poll#{number}", number)
        run.evaluate(f"poll#{number}?condition", 0)
    run.succeed("poll#3", 3)
    run.evaluate("poll#3?condition", 1)

    commands = run.rewind("poll#2")

    assert paths(commands) == ["poll#2"]
    assert input_of(run, "poll#2") == 1
    assert list(run.view.steps) == ["poll#1", "poll"]


def test_target_pass_that_never_ran_takes_its_input():
    run = SimulatedRun(a_graph(a_loop(a_step("poll"))))
    run.start()

    commands = run.rewind("poll#5", "five")

    assert paths(commands) == ["poll#5"]
    assert input_of(run, "poll#5") == "five"


def test_target_child_of_a_parallel_keeps_its_siblings():
    run = begun(a_parallel(a_step("x"), a_step("y"), a_step("z")))
    run.succeed("x", "X")
    run.succeed("y", "Y")
    run.fail("z")

    commands = run.rewind("y")

    assert paths(commands) == ["y", "z"], "a block is complete only when all its children ended well"
    assert list(run.view.steps) == ["x"]


def test_target_child_of_a_branch_is_taken_whatever_its_condition_said():
    run = begun(a_branch(a_step("x"), a_step("y")), a_step("after"))
    run.evaluate("route?x", 1)
    run.evaluate("route?y", 0)
    run.succeed("x", "X")

    commands = run.rewind("y")

    assert paths(commands) == ["y"]
    run.succeed("y", "Y")
    assert input_of(run, "after") == {"x": "X", "y": "Y"}


def test_branch_that_never_ran_takes_only_the_target():
    run = SimulatedRun(a_graph(a_step("a"), a_branch(a_step("x"), a_step("y")), a_step("after")))
    run.start()

    run.rewind("y", "given")
    run.succeed("y", "Y")

    assert input_of(run, "after") == {"y": "Y"}


def test_branch_that_takes_the_first_takes_the_target_instead():
    run = begun(a_branch(a_step("x"), a_step("y"), is_first_only=True))
    run.evaluate("route?x", 1)
    run.succeed("x", "X")

    run.rewind("y")
    run.succeed("y", "Y")

    assert run.result == {"y": "Y"}


def test_outputs_of_children_make_up_that_of_their_block():
    run = SimulatedRun(a_graph(a_parallel(a_step("x"), a_step("y")), a_step("after")))
    run.start()

    run.rewind("after", context={"x": 1, "y": 2})

    assert input_of(run, "after") == {"x": 1, "y": 2}


def test_resume_data_is_handed_to_the_target_as_if_it_were_suspended():
    run = begun(a_step("a"), a_step("ask"))
    run.succeed("a", "A")
    run.suspend("ask", "please")

    (command,) = run.rewind("ask", resume="yes")

    assert isinstance(command, RunStep)
    assert command.resumption is not None
    assert run.value(command.resumption.resume_data) == "yes"
    assert run.value(command.resumption.suspend_payload) == "please"


def test_resume_data_ends_a_wait():
    run = begun(a_wait("approve"), a_step("after"))

    commands = run.rewind("approve", resume="yes")

    assert paths(commands) == ["after"]
    assert input_of(run, "after") == "yes"


def test_resume_data_for_a_step_that_never_ran_has_no_suspend_payload():
    run = SimulatedRun(a_graph(a_step("a"), a_step("ask")))
    run.start()

    (command,) = run.rewind("ask", resume="yes")

    assert isinstance(command, RunStep)
    assert isinstance(command.resumption, Resumption)
    assert command.resumption.suspend_payload == Constant(b"null")


def test_resume_data_for_what_cannot_be_resumed_is_refused():
    run = begun(a_map("m"))

    with pytest.raises(RewindRefusedError, match="only these can be resumed"):
        run.rewind("m", resume=1)


def test_rewinding_a_suspended_run_forgets_its_suspensions():
    run = begun(a_step("a"), a_step("ask"))
    run.succeed("a")
    run.suspend("ask")
    assert run.state.suspensions()

    commands: list[Command] = run.rewind("a")

    assert run.state.suspensions() == []
    assert paths(commands) == ["a"]
    assert run.state.status() is RunStatus.RUNNING


def test_suspended_siblings_of_a_target_begin_again():
    run = begun(a_parallel(a_step("x"), a_step("ask")))
    run.suspend("ask")
    run.succeed("x")

    commands = run.rewind("x")

    assert paths(commands) == ["x", "ask"]
    run.suspend("ask")
    run.succeed("x")
    (waiting,) = run.state.suspensions()
    assert (waiting.path, waiting.number) == ("ask", 0)
    assert isinstance(waiting, AwaitResume)


# ---- State


def patch(value: int) -> tuple[Operation, ...]:
    return (Operation("log", PatchVerb.APPEND, value),)


def test_state_is_as_the_kept_nodes_left_it():
    run = SimulatedRun(a_graph(a_step("a"), a_step("b"), a_step("c")))
    run.start(state={"log": [0]})
    run.succeed("a", patch=patch(1))
    run.succeed("b", patch=patch(2))
    run.fail("c")

    run.rewind("b")

    assert run.state.data == {"log": [0, 1]}


def test_given_state_takes_the_place_of_all_patches():
    run = SimulatedRun(a_graph(a_step("a"), a_step("b"), a_step("c")))
    run.start(state={"log": [0]})
    run.succeed("a", patch=patch(1))
    run.fail("b")

    run.rewind("b", state={"log": []})
    run.succeed("b", patch=patch(2))
    run.fail("c")
    run.restart()

    assert run.state.data == {"log": [2]}


# ---- Folding


def test_journal_with_several_executions_folds_to_the_live_state():
    run = failed_chain()
    run.restart()
    run.succeed("b", "B")
    run.rewind("a", 5)
    run.succeed("a", "A2")

    state = fold_state(run.state.graph, run.records)

    assert list(state.open.items()) == list(run.state.open.items())
    assert state.frames.keys() == run.state.frames.keys()
