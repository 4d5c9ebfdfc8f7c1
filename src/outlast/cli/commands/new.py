"""`outlast new`: a project to start from."""

from __future__ import annotations

import keyword
import re
import sys
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from shlex import quote
from string import Template
from typing import Annotated, Final

import typer

from outlast.cli.complaint import Complaint
from outlast.cli.exits import Exit
from outlast.cli.screen import Screen

__all__ = ["new"]

_FILES: Final = {
    "README.md": "README.md",
    "pyproject.toml": "pyproject.toml",
    ".gitignore": "gitignore",
    "order.json": "order.json",
    "{package}/__init__.py": None,
    "{package}/app.py": "app.py",
    "{package}/workflows.py": "workflows.py",
    "tests/test_workflows.py": "test_workflows.py",
}
"""The files of a project, and the template of each; None for an empty one."""


def new(
    screen: Screen,
    directory: Annotated[
        str, typer.Argument(metavar="DIRECTORY", help="Where to put it; its name is the project's.", show_default=False)
    ],
) -> None:
    """Make a project to start from: workflows, an app and tests that pass."""
    root = Path(directory)
    package = _package_of(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        hint = "choose another directory, or an empty one"
        raise Complaint(f"{root} is there already", hint=hint, exit=Exit.REFUSED, code="file-exists")
    values = {"name": package.replace("_", "-"), "package": package, "version": version("outlast")}
    written: list[str] = []
    try:
        for name, template in _FILES.items():
            path = root / name.format(package=package)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("" if template is None else _fill(template, values), encoding="utf-8")
            written.append(str(path.relative_to(root)))
    except OSError as error:
        raise Complaint(
            f"{root} cannot be written: {error.strerror}", exit=Exit.UNAVAILABLE, code="not-writable"
        ) from None
    if screen.is_json:
        screen.json({"path": str(root), "package": package, "files": [*written]})
        return
    screen.say(str(root))
    screen.note(f"next: cd {quote(str(root))}, then: outlast dev {package}.app; README.md tells more")


def _package_of(root: Path) -> str:
    package = re.sub(r"[-. ]", "_", root.resolve().name).lower()
    if not package.isidentifier() or not package.isascii() or keyword.iskeyword(package):
        raise Complaint(f"'{root.name}' cannot be the name of a package", hint="use letters, digits and underscores")
    if package in sys.stdlib_module_names or package in ("outlast", "tests"):
        raise Complaint(f"'{package}' is the name of another package", hint="choose another name")
    return package


def _fill(template: str, values: dict[str, str]) -> str:
    text = resources.files("outlast.cli").joinpath("template", f"{template}.tmpl").read_text(encoding="utf-8")
    return Template(text).substitute(values)
