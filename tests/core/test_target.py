"""Rule 7.3: which suspension a resumer means is never a guess."""

from __future__ import annotations

import pytest

from outlast.core.target import TargetUnclearError, choose_suspensions
from simulated import SimulatedRun, a_foreach, a_graph, a_loop, a_parallel, a_step, a_wait, a_workflow


def chosen(run: SimulatedRun, **target: object) -> list[str]:
    return [each.path for each in choose_suspensions(run.state, **target)]  # type: ignore[arg-type]


def refusal(run: SimulatedRun, **target: object) -> str:
    with pytest.raises(TargetUnclearError) as caught:
        chosen(run, **target)
    return str(caught.value)


def one() -> SimulatedRun:
    run = SimulatedRun(a_graph(a_workflow("child", a_wait())))
    run.start()
    return run


def two() -> SimulatedRun:
    """`a` has the label `boss`; `ab` has none."""
    run = SimulatedRun(a_graph(a_parallel(a_step("a"), a_step("ab"))))
    run.start()
    run.suspend("a", label="boss")
    run.suspend("ab")
    return run


def items(count: int = 3) -> SimulatedRun:
    run = SimulatedRun(a_graph(a_foreach(a_step("each"), concurrency=count)), list(range(count)))
    run.start()
    for index in range(count):
        run.suspend(f"each[{index}]", label=f"item {index % 2}")
    return run


def items_of_two_steps() -> SimulatedRun:
    """Of both items `a` and `b` are suspended."""
    body = a_workflow("each", a_parallel(a_step("a"), a_step("b")))
    run = SimulatedRun(a_graph(a_foreach(body, concurrency=2)), [0, 1])
    run.start()
    for path in list(run.open_paths):
        run.suspend(path)
    return run


def grid() -> SimulatedRun:
    """A foreach in each of two items, with two items each."""
    body = a_workflow("row", a_foreach(a_step("cell"), concurrency=2))
    run = SimulatedRun(a_graph(a_foreach(body, concurrency=2)), [[0, 1], [0, 1]])
    run.start()
    for path in list(run.open_paths):
        run.suspend(path)
    return run


def test_only_suspension_needs_no_name():
    assert chosen(one()) == ["child.approve"]


@pytest.mark.parametrize("path", ["child.approve", "child"])
def test_path_names_the_node_or_what_it_stands_in(path):
    assert chosen(one(), path=path) == ["child.approve"]


@pytest.mark.parametrize("path", ["approve", "child.app", "chil", "child.approve.x", "", "child[0]"])
def test_unknown_path_is_an_error(path):
    assert refusal(one(), path=path) == (f"nothing that is suspended has the path '{path}'; suspended: 'child.approve'")


def test_several_without_a_name_are_an_error_that_lists_them():
    assert refusal(two()) == (
        "more than one suspension is meant; name one with step=, label= or index=: suspended: 'a' (label 'boss'), 'ab'"
    )


def test_path_tells_several_apart():
    assert chosen(two(), path="a") == ["a"]


def test_label_tells_several_apart():
    assert chosen(two(), label="boss") == ["a"]


def test_unknown_label_is_an_error_that_lists_what_is_suspended():
    assert refusal(two(), label="chief") == (
        "nothing that is suspended has the label 'chief'; suspended: 'a' (label 'boss'), 'ab'"
    )


def test_used_label_is_an_error():
    run = two()
    run.resume("a")

    assert refusal(run, label="boss") == "nothing that is suspended has the label 'boss'; suspended: 'ab'"


def test_label_and_path_that_contradict_are_an_error():
    assert refusal(two(), label="boss", path="ab") == (
        "nothing that is suspended has the path 'ab' and the label 'boss'; suspended: 'a' (label 'boss'), 'ab'"
    )


@pytest.mark.parametrize("target", [{}, {"path": "each"}])
def test_suspended_items_of_one_foreach_count_as_one(target):
    """7.6."""
    assert chosen(items(), **target) == ["each[0]", "each[1]", "each[2]"]


@pytest.mark.parametrize("target", [{"index": 1}, {"path": "each", "index": 1}, {"path": "each[1]"}])
def test_index_means_only_that_item(target):
    assert chosen(items(), **target) == ["each[1]"]


def test_index_is_not_a_part_of_a_larger_one():
    assert chosen(items(12), index=1) == ["each[1]"]


def test_index_that_is_not_suspended_is_an_error():
    run = items(2)
    run.resume("each[1]")

    assert refusal(run, path="each", index=1) == (
        "nothing that is suspended has the path 'each' and the index 1; suspended: 'each[0]' (label 'item 0')"
    )


def test_index_of_what_is_no_item_is_an_error():
    assert refusal(one(), index=0) == "nothing that is suspended has the index 0; suspended: 'child.approve'"


def test_label_that_several_items_have_means_all_of_them():
    assert chosen(items(), label="item 0") == ["each[0]", "each[2]"]


def test_two_steps_of_the_items_are_an_error():
    assert refusal(items_of_two_steps()).startswith("more than one suspension is meant")


def test_two_steps_of_one_item_are_an_error():
    assert refusal(items_of_two_steps(), index=0).startswith("more than one suspension is meant")


def test_path_without_items_means_the_step_of_all_items():
    assert chosen(items_of_two_steps(), path="each.a") == ["each[0].a", "each[1].a"]


@pytest.mark.parametrize("target", [{"path": "each.a", "index": 1}, {"path": "each[1].a"}])
def test_step_of_one_item_is_named_by_its_index(target):
    assert chosen(items_of_two_steps(), **target) == ["each[1].a"]


def test_index_that_fits_two_levels_is_an_error():
    assert refusal(grid(), index=0).startswith("more than one suspension is meant")


def test_index_counts_below_what_the_path_says():
    assert chosen(grid(), path="row[1].cell", index=0) == ["row[1].cell[0]"]


def test_pass_of_a_loop_may_be_left_out():
    run = SimulatedRun(a_graph(a_loop(a_workflow("poll", a_wait()))))
    run.start()

    assert chosen(run, path="poll.approve") == chosen(run, path="poll#1.approve") == ["poll#1.approve"]


def test_path_with_characters_of_patterns_is_taken_literally():
    assert refusal(two(), path="a*").startswith("nothing that is suspended has the path 'a*'")


def test_run_without_suspensions_says_so():
    run = SimulatedRun(a_graph(a_step("a")))
    run.start()

    assert refusal(run) == "nothing that is suspended has any path; nothing is suspended"
