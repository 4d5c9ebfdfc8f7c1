"""Sources of a map: what they take, what is refused before a run, and what fails in one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.errors import DefinitionError
from outlast.graph.mapping import MISSING, MissingPathError, TemplateValueError, evaluate
from outlast.graph.source import (
    Source,
    from_context,
    from_init,
    from_input,
    from_state,
    from_step,
    source_from_json,
    source_to_json,
    steps_of,
    template,
    value,
)
from outlast.graph.source_check import check_sources
from outlast.graph.step import step


@dataclass
class Scope:
    """What a map reads."""

    input: Any = field(default_factory=lambda: {"name": "Ada", "items": [{"sku": "a"}, {"sku": "b"}], "none": None})
    init: Any = field(default_factory=lambda: {"id": 7})
    state: Any = field(default_factory=lambda: {"count": 2, "10": "ten"})
    request_context: Any = field(default_factory=lambda: {"user": "u1", "app.tier": "gold"})
    results: dict[str, Any] = field(default_factory=lambda: {"fetch": {"total": 9.5, "ok": True}, "empty": None})

    def step(self, step_id: str) -> Any:
        return self.results.get(step_id, MISSING)


@step
def fetch(order: int) -> float:
    return 1.0


def taken(source: Source) -> Any:
    return evaluate({"key": source}, Scope())["key"]


def problem(source: object) -> str:
    (found,) = check_sources({"key": source}, ["fetch", "empty"])
    return found


@pytest.mark.parametrize(
    ("source", "result"),
    [
        (value({"a": [1, None]}), {"a": [1, None]}),
        (from_input("name"), "Ada"),
        (from_input("items.1.sku"), "b"),
        (from_input("none"), None),
        (from_init("id"), 7),
        (from_init(), {"id": 7}),
        (from_state("count"), 2),
        (from_state("10"), "ten"),
        (from_step("fetch", "total"), 9.5),
        (from_step(fetch, "ok"), True),
        (from_step("empty"), None),
        (from_step(["absent", "empty", fetch]), None),
        (from_context("user"), "u1"),
        (from_context("app.tier"), "gold"),
    ],
    ids=str,
)
def test_source_takes_the_value_at_its_place(source, result):
    assert taken(source) == result


def test_map_has_a_key_for_each_source_in_order():
    made = evaluate({"b": from_init("id"), "a": value(1)}, Scope())

    assert list(made.items()) == [("b", 7), ("a", 1)]


def test_constant_is_copied_when_declared_and_when_taken():
    constant = [1]
    source = value(constant)
    constant.append(2)

    taken(source).append(3)

    assert taken(source) == [1]


def test_constant_that_is_not_json_is_refused():
    with pytest.raises(DefinitionError, match=r"value\(\.\.\.\) of a map must be JSON: a set is not JSON"):
        value({1})


def test_source_that_is_no_step_is_refused():
    with pytest.raises(DefinitionError, match="from_step takes steps or their ids, not 3"):
        from_step(3)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("", ""),
        ("Dear ${inputData.name}!", "Dear Ada!"),
        ("${inputData.items.0.sku}${inputData.items.1.sku}", "ab"),
        ("${input.name}", "Ada"),
        ("${initData.id}/${init.id}", "7/7"),
        ("${stepResults.fetch.total} ${steps.fetch.total}", "9.5 9.5"),
        ("${stepResults.fetch.ok}", "true"),
        ("${state.count}", "2"),
        ("${requestContext.user} ${context.app.tier}", "u1 gold"),
        ("[${inputData.none}]", "[]"),
        ("[${steps.empty}]", "[]"),
        ("$5, $, $$, $name", "$5, $, $$, $name"),
        ("$${state.count}", "$2"),
        ("{} ${state.count}}", "{} 2}"),
    ],
    ids=repr,
)
def test_template_puts_values_into_text(text, result):
    assert check_sources({"key": template(text)}, ["fetch", "empty"]) == []
    assert taken(template(text)) == result


@given(st.text().filter(lambda text: "${" not in text))
def test_template_without_braces_is_literal(text):
    assert taken(template(text)) == text


@pytest.mark.parametrize(("path", "kind"), [("items", "a list"), ("items.0", "an object")], ids=repr)
def test_template_that_names_an_object_or_list_fails(path, kind):
    with pytest.raises(TemplateValueError) as failed:
        taken(template(f"${{inputData.{path}}}"))

    assert str(failed.value) == (
        f"map key 'key': '${{inputData.{path}}}' resolved to {kind}, which a template cannot hold; "
        f"name one of its values, or take it with a source of its own"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            from_input("nam"),
            (
                "nothing at path 'nam' of from_input('nam'): "
                "the value is an object with the keys 'name', 'items', 'none'; did you mean 'name'?"
            ),
        ),
        (
            from_input("items.2.sku"),
            "nothing at path 'items.2.sku' of from_input('items.2.sku'): 'items' is a list of 2 items, at 0 to 1",
        ),
        (
            from_input("items.first"),
            "nothing at path 'items.first' of from_input('items.first'): 'items' is a list of 2 items, at 0 to 1",
        ),
        (
            from_input("items.-1"),
            "nothing at path 'items.-1' of from_input('items.-1'): 'items' is a list of 2 items, at 0 to 1",
        ),
        (from_input("name.x"), "nothing at path 'name.x' of from_input('name.x'): 'name' is a string"),
        (from_input("none.x"), "nothing at path 'none.x' of from_input('none.x'): 'none' is null"),
        (from_step("absent"), "from_step('absent') has no value: step 'absent' has no result"),
        (
            from_step(["absent", "gone"], "a"),
            (
                "nothing at path 'a' of from_step(['absent', 'gone'], 'a'): "
                "none of the steps 'absent', 'gone' has a result"
            ),
        ),
        (
            from_context("role"),
            (
                "nothing at path 'role' of from_context('role'): "
                "the request context is an object with the keys 'user', 'app.tier'"
            ),
        ),
        (
            template("${steps.fetch.sum}"),
            (
                "nothing at path 'sum' of template('${steps.fetch.sum}'): "
                "the value is an object with the keys 'total', 'ok'"
            ),
        ),
    ],
    ids=str,
)
def test_missing_path_fails_and_says_what_is_there_instead(source, message):
    with pytest.raises(MissingPathError) as failed:
        taken(source)

    assert str(failed.value) == f"map key 'key': {message}"


@pytest.mark.parametrize("segment", ["9" * 5000, "\u0661", "1.", "²"], ids=["huge", "arabic", "empty", "superscript"])
def test_what_is_no_index_is_not_in_a_list(segment):
    with pytest.raises(MissingPathError):
        taken(from_input(f"items.{segment}"))


@pytest.mark.parametrize(
    ("there", "description"),
    [({}, "an empty object"), ([], "an empty list"), ([1], "a list of 1 item, at 0")],
    ids=repr,
)
def test_small_containers_are_described(there, description):
    with pytest.raises(MissingPathError, match=f"the value is {description}"):
        evaluate({"key": from_input("x")}, Scope(input=there))


@pytest.mark.parametrize(
    "source",
    [
        from_input(),
        from_init("a.0"),
        from_state("x y"),
        from_step([fetch, "empty"], "a"),
        from_context("a.b"),
        value([]),
    ],
    ids=str,
)
def test_good_sources_have_no_problem(source):
    assert check_sources({"key": source}, ["fetch", "empty"]) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (from_step("fetsh"), "from_step('fetsh'): no step 'fetsh' comes before this map, did you mean 'fetch'?"),
        (from_step([]), "from_step([]): it names no step"),
        (from_input("a..b"), "from_input('a..b'): path 'a..b' has an empty part; write keys joined by single dots"),
        (from_input(" a"), "from_input(' a'): path ' a' is padded with whitespace"),
        (from_input("a[0].b"), "from_input('a[0].b'): path 'a[0].b' has an index in brackets; write 'a.0.b'"),
        (from_input("[0]"), "from_input('[0]'): path '[0]' has an index in brackets; write '0'"),
        (from_input(3), "from_input(3): a path is text, this is an int"),
        (from_context(""), "from_context(): it names no entry of the request context"),
        (from_context("a "), "from_context('a '): key 'a ' is padded with whitespace"),
        ("Ada", "a str is not a source; wrap a constant in value(...)"),
        (template(3), "a template is text, this is an int"),
        (template("${}"), "'${}' is empty; name a value, as in ${inputData.name}"),
        (template("${  }"), "'${  }' is empty; name a value, as in ${inputData.name}"),
        (template("${ state.a }"), "'${ state.a }' is padded with whitespace; write ${state.a}"),
        (template("a ${state.a"), "'${state.a' is never closed; add a '}'"),
        (template("${state.${a}}"), "'${state.${a}' holds another '${'; close the first one with a '}'"),
        (
            template("${inputDta.a}"),
            (
                "'${inputDta.a}': unknown namespace 'inputDta', did you mean 'inputData'?; "
                "there are input, init, steps, state and context"
            ),
        ),
        (template("${stepResults.}"), "'${stepResults.}': stepResults needs a step id, as in stepResults.fetch.total"),
        (template("${steps}"), "'${steps}': steps needs a step id, as in steps.fetch.total"),
        (template("${steps.nope}"), "'${steps.nope}': no step 'nope' comes before this map"),
        (template("${steps.fetch.}"), "'${steps.fetch.}': it ends with a dot"),
        (template("${state.}"), "'${state.}': it ends with a dot"),
        (template("${state..a}"), "'${state..a}': path '.a' has an empty part; write keys joined by single dots"),
        (template("${context}"), "'${context}': it names no entry of the request context"),
    ],
    ids=str,
)
def test_source_that_cannot_work_is_refused_with_advice(source, message):
    assert problem(source) == f"map key 'key': {message}"


def test_map_of_no_keys_is_refused():
    assert check_sources({}, []) == ["a map of no keys makes nothing; name at least one"]


def test_map_key_that_is_not_text_is_refused():
    assert check_sources({1: value(1)}, []) == ["map key 1 is an int; keys are strings in JSON"]


def test_all_problems_are_named():
    found = check_sources({"a": template("${x.a} ${steps.b}"), "b": from_step("c")}, [])

    assert [each[:11] for each in found] == ["map key 'a'", "map key 'a'", "map key 'b'"]


def test_steps_that_a_map_reads_are_known_before_it_runs():
    sources = {"a": from_step(["x", "y"]), "b": template("${steps.z.q} ${steps.x}"), "c": from_input("w")}

    assert steps_of(sources) == ("x", "y", "z")


@pytest.mark.parametrize(
    "source",
    [
        value({"kind": "step", "n": None}),
        value(None),
        from_input("a.b"),
        from_init(),
        from_state("x"),
        from_step(["a", "b"], "c"),
        from_context("k"),
        template("a ${state.b}"),
    ],
    ids=str,
)
def test_source_survives_json(source):
    assert source_from_json(json.loads(json.dumps(source_to_json(source)))) == source


def test_source_of_a_newer_version_is_refused():
    with pytest.raises(ValueError, match="dream"):
        source_from_json({"kind": "dream"})
