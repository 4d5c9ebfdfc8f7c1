"""What the documentation shows must work as printed: each ```python block runs as a script of its own.

A block that cannot stand alone says so in its fence: ```python no-run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(
    r"^(?P<indent> *)```python(?P<options>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Example:
    page: str
    line: int
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def find_examples(text: str, page: str) -> Iterator[Example]:
    for match in FENCE.finditer(text):
        if "no-run" not in match["options"].split():
            first_line = text.count("\n", 0, match.start("code")) + 1
            indent = len(match["indent"])
            yield Example(page, first_line, "".join(line[indent:] or "\n" for line in match["code"].splitlines(True)))


def all_examples() -> list[Example]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [each for page in pages for each in find_examples(page.read_text(), str(page.relative_to(ROOT)))]


def marked(example: Example) -> Any:
    """Each is a process of its own: the quick tests run the one that people meet first."""
    is_first = example.page == "README.md"
    return pytest.param(example, id=str(example), marks=() if is_first else pytest.mark.slow)


@pytest.mark.parametrize("example", [marked(each) for each in all_examples()])
def test_example_runs_as_printed(example: Example, tmp_path: Path):
    # Empty lines before it, so that the lines of a traceback are those of the page.
    script = tmp_path / Path(example.page).with_suffix(".py").name
    script.write_text("\n" * (example.line - 1) + example.code)

    done = subprocess.run(
        [sys.executable, "-W", "error", script], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False
    )

    if done.returncode != 0:
        pytest.fail(
            f"the example in {example} does not run as printed (lines below are those of the page); "
            f"mend it, or fence it as ```python no-run if it cannot stand alone\n{done.stdout}{done.stderr}",
            pytrace=False,
        )


def test_readme_begins_with_an_example_of_at_most_25_lines():
    first = next(find_examples((ROOT / "README.md").read_text(), "README.md"))

    assert len(first.code.splitlines()) <= 25


def test_examples_are_found_with_their_lines_and_without_their_indent():
    plain, in_a_list = "a\n```python\none\n```\n", "- b\n  ```python\n  if two:\n\n    three\n  ```\n"
    not_to_run, not_python = "```python no-run\n(\n```\n", "```sh\nx\n```\n"

    examples = list(find_examples(plain + in_a_list + not_to_run + not_python, "page.md"))

    assert examples == [Example("page.md", 3, "one\n"), Example("page.md", 7, "if two:\n\n  three\n")]
