"""Rule 1.1: what a function must be to be a step, and what becomes of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from outlast import DefinitionError, Retry, StepContext, StepSignatureError, Workflow, step
from outlast.graph.schema import JSON

if TYPE_CHECKING:
    from decimal import Decimal


def double(number: int) -> int:
    """Twice the number."""
    return number * 2


async def wait(number: int, context: StepContext) -> str:
    return f"{number} {context}"


@dataclass
class Adder:
    """Adds."""

    more: str | int

    def __call__(self, number: int) -> int:
        return number + self.more


class AsyncAdder:
    number: str

    async def __call__(self, number: int) -> int:
        return number + 1


def test_sync_step_stays_callable_as_the_plain_function():
    assert step(double)(4) == 8


def test_async_step_stays_callable_as_the_plain_function():
    assert asyncio.run(step(wait)(4, "context")) == "4 context"


def test_step_looks_like_its_function():
    wrapped = step(double)

    assert (wrapped.__name__, wrapped.__doc__, wrapped.__module__) == ("double", "Twice the number.", __name__)


def test_id_is_that_of_the_function_unless_given():
    assert step(double).id == "double"
    assert step(id="twice")(double).id == "twice"


def test_description_is_the_docstring_unless_given():
    assert step(double).description == "Twice the number."
    assert step(description="")(double).description == ""


def test_types_come_from_the_annotations():
    wrapped = step(wait)

    assert (wrapped.input.name, wrapped.output.name) == ("int", "str")
    assert repr(wrapped) == "Step('wait': int -> str)"


def test_no_annotation_means_json():
    @step
    def anything(value):
        return value

    assert anything.input is JSON
    assert anything.output is JSON


def test_type_that_is_defined_in_a_function_is_found():
    LocalPair = tuple[str, str]  # noqa: N806

    @step
    def local(value: LocalPair) -> LocalPair:
        return value

    assert local.input.name == "tuple[str, str]"


def test_type_that_is_defined_in_a_function_is_found_for_maps_too():
    LocalPair = tuple[str, str]  # noqa: N806

    def pair(context) -> LocalPair:
        return context.input

    workflow = Workflow("w").map(pair).commit()

    assert workflow.functions["w/map?map"].output.name == "tuple[str, str]"


def no_parameter() -> int:
    return 1


def context_only(context: StepContext) -> int:
    return context.attempt


def context_as_keyword(number: int, *, context: StepContext) -> int:
    return number + context.attempt


def context_by_place(number: int, context: StepContext, /) -> int:
    return number + context.attempt


def optional_context(number: int, context: StepContext | None = None) -> int:
    return number


def with_default(number: int, factor: int = 2) -> int:
    return number * factor


@pytest.mark.parametrize(
    ("function", "takes_input", "context_keyword"),
    [
        (double, True, None),
        (wait, True, "context"),
        (no_parameter, False, None),
        (context_only, False, "context"),
        (context_as_keyword, True, "context"),
        (context_by_place, True, ""),
        (optional_context, True, "context"),
        (with_default, True, None),
    ],
)
def test_signature_says_what_a_body_is_given(function, takes_input, context_keyword):
    found = step(function).function

    assert (found.takes_input, found.context_keyword) == (takes_input, context_keyword)


@pytest.mark.parametrize(
    ("function", "is_async"),
    [(double, False), (wait, True), (Adder(1), False), (AsyncAdder(), True), (partial(wait, 1), True)],
)
def test_async_functions_and_objects_are_told_from_sync_ones(function, is_async):
    assert step(id="it")(function).function.is_async is is_async


def test_async_object_in_a_partial_is_async():
    assert step(id="it")(partial(AsyncAdder())).function.is_async


def test_attributes_of_a_callable_object_do_not_become_those_of_its_step():
    class Fetch:
        """Fetches."""

        def __init__(self) -> None:
            self.id = self.description = "of the object"

        def __call__(self, number: int) -> int:
            return number

    fetch = step(id="fetch")(Fetch())

    assert (fetch.id, fetch.description) == ("fetch", "Fetches.")


def test_method_of_a_builtin_type_is_a_step():
    workflow = Workflow("w").then(step(id="up")(str.upper)).commit()

    assert workflow.functions["w/up"].code == "builtins:method_descriptor"


def test_partial_is_described_as_its_function():
    assert step(partial(wait)).id == "wait"


def test_callable_object_is_a_step_with_the_types_of_its_call():
    adder = step(id="adder")(Adder(3))

    assert adder(1) == 4
    assert (adder.input.name, adder.output.name) == ("int", "int")


def test_clone_keeps_everything_but_the_id():
    """1.6."""
    original = step(retries=2, description="d", metadata={"a": 1})(double)

    clone = original.clone(id="again")

    assert (clone.id, original.id) == ("again", "double")
    for name in ("function", "description", "retries", "metadata"):
        assert getattr(clone, name) == getattr(original, name)
    assert clone(4) == 8


def test_number_of_retries_is_a_policy_without_delay():
    assert step(retries=3)(double).retries == Retry(limit=3)


def generator():
    yield 1


async def async_generator():
    yield 1


def two_inputs(a: int, b: int) -> int:
    return a + b


def keyword_input(*, a: int) -> int:
    return a


def context_first(context: StepContext, number: int) -> int:
    return number


def unresolvable(amount: Decimal) -> int:
    return int(amount)


class Generating:
    def __call__(self, number: int):
        yield number


def any_number(*numbers: int) -> int:
    return sum(numbers)


def gap_before_context(number: int, factor: int = 2, context: StepContext | None = None, /) -> int:
    return number * factor


def broken_annotation(number: datetime.nope) -> int:
    return number


GENERATOR = "is a generator; a step returns one value. Collect the values into a list"
NOBODY = (
    "that nobody fills: a step takes one input and, annotated StepContext, the context. "
    "Put several values into one model or TypedDict"
)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (generator, f"step 'generator' {GENERATOR}"),
        (async_generator, f"step 'async_generator' {GENERATOR}"),
        (Generating(), f"step 'Generating' {GENERATOR}"),
        (partial(generator), f"step 'generator' {GENERATOR}"),
        (
            any_number,
            (
                "step 'any_number' takes *numbers, which does not say what it needs; name one parameter. "
                "A decorator shows the parameters of what it wraps if it uses functools.wraps"
            ),
        ),
        (
            gap_before_context,
            "step 'gap_before_context' has 'factor' before its context, which only its place can fill; swap them",
        ),
        (max, "'max' is built into Python and does not say what it takes; call it in a function of your own"),
        (
            broken_annotation,
            (
                "'broken_annotation' has an annotation that is no type: AttributeError: "
                "type object 'datetime.datetime' has no attribute 'nope'. Write one that is"
            ),
        ),
        (two_inputs, f"step 'two_inputs' has a parameter 'b' {NOBODY}"),
        (keyword_input, f"step 'keyword_input' has a parameter 'a' {NOBODY}"),
        (
            context_first,
            (
                "step 'context_first' has its context before its input; "
                "swap them: context_first(number, context: StepContext)"
            ),
        ),
        (
            unresolvable,
            (
                "'unresolvable' has an annotation that cannot be resolved: name 'Decimal' is not defined. "
                "Define or import that type before the function, and not under TYPE_CHECKING"
            ),
        ),
    ],
)
def test_function_that_cannot_be_a_step_is_refused(function, message):
    with pytest.raises(StepSignatureError) as caught:
        step(function)

    assert str(caught.value) == message


IDS = (
    "use letters, digits, '_' and '-', beginning with a letter or '_' "
    "(paths such as child.fetch or each[3] are made of ids); give one with id=..."
)


@pytest.mark.parametrize("id", ["", "a.b", "each[3]", "poll#2", "1st", "-a", "with space", "ü", "a\n", 5])
def test_id_that_a_path_cannot_have_is_refused(id):
    with pytest.raises(DefinitionError) as caught:
        step(id=id)(double)

    assert str(caught.value) == f"step id {id!r}: {IDS}"


def test_lambda_needs_an_id():
    with pytest.raises(DefinitionError) as caught:
        step(lambda value: value)

    assert str(caught.value) == f"step id '<lambda>': {IDS}"


def test_step_of_a_step_is_refused():
    with pytest.raises(DefinitionError) as caught:
        step(step(double))

    assert str(caught.value) == "Step('double': int -> int) is a step already; use .clone(id=...) for a second one"


def test_step_of_what_is_no_function_is_refused():
    with pytest.raises(DefinitionError) as caught:
        step("fetch")

    assert str(caught.value) == "@step needs a function, not 'fetch'; options are given by name, as @step(retries=3)"


@pytest.mark.parametrize("retries", ["3", True, 1.5])
def test_retries_that_are_no_number_and_no_policy_are_refused(retries):
    with pytest.raises(DefinitionError) as caught:
        step(id="a", retries=retries)

    assert str(caught.value) == (
        f"step 'a' has retries={retries!r}; give how often to try again, or Retry(limit=..., delay=...)"
    )


def test_retries_below_zero_are_refused():
    with pytest.raises(DefinitionError, match="limit is how many attempts follow the first one, 0 or more, not -1"):
        step(retries=-1)


def test_delay_below_zero_is_refused():
    with pytest.raises(DefinitionError, match="delay must be between 0 and ten years"):
        Retry(limit=1, delay=timedelta(seconds=-1))


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"a": {1, 2}}, "must be JSON: a: a set is not JSON; annotate the type so that it is converted"),
        ({"a": float("nan")}, "must be JSON: a: nan is not JSON; use None or a string for it"),
        ({1: "a"}, "must be JSON: the key 1 is an int; keys are strings in JSON"),
        ([1], "must be a JSON object, not [1]"),
    ],
)
def test_metadata_that_is_no_json_object_is_refused(metadata, reason):
    with pytest.raises(DefinitionError) as caught:
        step(metadata=metadata)(double)

    assert str(caught.value) == f"metadata of step 'double' {reason}"


def test_description_that_is_no_text_is_refused():
    with pytest.raises(DefinitionError) as caught:
        step(description=b"doubles")(double)

    assert str(caught.value) == "description of step 'double' must be a text, not b'doubles'"


def test_type_that_cannot_be_recorded_is_refused():
    class Opaque:
        pass

    def opaque(value: int) -> Opaque:
        raise NotImplementedError

    with pytest.raises(DefinitionError, match=r"Opaque cannot be used: .*declare a type that pydantic knows"):
        step(opaque)


def test_unknown_option_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'retry'"):
        step(retry=3)


def test_method_of_no_object_is_no_step():
    """1.1: its `self` would be taken for the input; the method of an object is a function of one argument."""

    class Shop:
        async def price(self, order: int) -> int:
            return order

    with pytest.raises(StepSignatureError, match=r"step 'price' is a method.*step\(shop\.price\)"):
        step(Shop.price)

    assert step(Shop().price).input.name == "int"
