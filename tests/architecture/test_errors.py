from __future__ import annotations

import inspect
import pickle
import re
import typing

import pytest

from outlast import errors

CLASSES = [
    value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, errors.OutlastError) and not name.startswith("_")
]

EXAMPLES = {
    str: "text",
    int: 7,
    bool: True,
    tuple[errors.Problem, ...]: (errors.Problem("items[2].price", "is missing"),),
}


def drawn_tree() -> dict[str, str | None]:
    """Parents by name, from the drawing in the module's docstring."""
    parents: dict[str, str | None] = {}
    branch: list[str] = []
    for indent, name in re.findall(
        r"^ {4}([ │├└─]*)(\w+Error)\b", inspect.cleandoc(errors.__doc__ or ""), re.MULTILINE
    ):
        branch = [*branch[: len(indent) // 4], name]
        parents[name] = branch[-2] if len(branch) > 1 else None
    return parents


def real_parent(error: type[errors.OutlastError]) -> str | None:
    """The nearest public base inside the tree."""
    return next((base.__name__ for base in error.__mro__[1:] if base in CLASSES), None)


def test_drawn_tree_is_the_real_one():
    assert drawn_tree() == {error.__name__: real_parent(error) for error in CLASSES}


def test_every_error_is_exported():
    assert {error.__name__ for error in CLASSES} <= set(errors.__all__)


def example_of(error: type[errors.OutlastError]) -> errors.OutlastError:
    hints = typing.get_type_hints(error.__init__)
    hints.pop("return", None)
    return error(**{name: EXAMPLES[hint] for name, hint in hints.items()}) if hints else error("what happened")


@pytest.mark.parametrize("error", CLASSES)
def test_error_reads_as_a_sentence(error: type[errors.OutlastError]):
    example = example_of(error)

    assert str(example)
    assert str(example) != str(example.args), "its message is the tuple of its arguments; it needs a __str__"


@pytest.mark.parametrize("error", CLASSES)
def test_error_survives_pickling(error: type[errors.OutlastError]):
    original = example_of(error)

    copy = pickle.loads(pickle.dumps(original))

    assert type(copy) is error
    assert (str(copy), copy.args, vars(copy)) == (str(original), original.args, vars(original))
