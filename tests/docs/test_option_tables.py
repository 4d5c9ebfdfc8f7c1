"""The tables of options in the guide have each option of an app, a workflow and a step, and no others."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from outlast import Outlast, Workflow
from outlast.graph.step import StepDecorator

GUIDE = Path(__file__).parents[2] / "docs" / "guide"


def options_in(page: str, heading: str) -> list[str]:
    """Return what the first column of the first table below a heading names."""
    section = (GUIDE / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = section.partition("| Option |")[2].partition("\n\n")[0]
    return [name for row in re.findall(r"^\| (`[^|]*)\|", rows, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]


@pytest.mark.parametrize(
    ("page", "heading", "function"),
    [
        ("running.md", "The app", Outlast.__init__),
        ("flow.md", "Options of a workflow", Workflow.__init__),
        ("steps.md", "Options", StepDecorator.__init__),
    ],
)
def test_table_has_the_options_that_there_are(page: str, heading: str, function: Callable[..., object]):
    parameters = inspect.signature(function).parameters.values()

    options = [each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY]

    assert sorted(options_in(page, heading)) == sorted(options)
