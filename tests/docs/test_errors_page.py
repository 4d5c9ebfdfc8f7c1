"""The errors page shows the tree of `errors.py`, and both show the classes that there are."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from outlast import errors
from outlast.errors import OutlastError

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "errors.md").read_text()
LINE = re.compile(r"^(?P<indent>[│├└─ ]*)(?P<name>[A-Z]\w+Error)\b", re.MULTILINE)


def parse_tree(drawing: str) -> dict[str, str]:
    """Read a drawing of a tree: each name with the name of its parent."""
    names: list[str] = []
    tree: dict[str, str] = {}
    for line in LINE.finditer(drawing):
        depth = len(line["indent"]) // 4
        tree[line["name"]] = names[depth - 1] if depth else ""
        names[depth:] = [line["name"]]
    return tree


def drawing_on_the_page() -> str:
    begin = PAGE.index("OutlastError\n├")
    return PAGE[begin : PAGE.index("```", begin)]


def drawing_in_the_module() -> str:
    return textwrap.dedent(str(errors.__doc__).partition("::")[2].partition("\n\nAttributes")[0])


def tree_of_classes() -> dict[str, str]:
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, OutlastError)]
    public = [each for each in classes if not each.__name__.startswith("_")]
    return {each.__name__: next((base.__name__ for base in each.__mro__[1:] if base in public), "") for each in public}


def test_tree_on_the_page_is_that_of_the_classes():
    assert parse_tree(drawing_on_the_page()) == tree_of_classes()


def test_tree_on_the_page_is_that_of_the_module():
    assert parse_tree(drawing_on_the_page()) == parse_tree(drawing_in_the_module())


def test_every_error_says_when_it_is_raised_and_what_to_do():
    after_the_tree = PAGE[PAGE.index("## The author changes code") :]

    missing = [name for name in tree_of_classes() if f"`{name}`" not in after_the_tree]

    assert missing == []
