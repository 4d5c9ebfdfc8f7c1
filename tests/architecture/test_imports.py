from __future__ import annotations

import functools
import subprocess
import sys

ALLOWED = {
    "outlast",
    "pydantic",
    "pydantic_core",
    "annotated_types",
    "typing_extensions",
    "typing_inspection",
}

LIST_NEW_MODULES = """
import sys
before = set(sys.modules)
import outlast
print(*(set(sys.modules) - before))
"""


@functools.cache
def loaded_by_import() -> frozenset[str]:
    run = subprocess.run([sys.executable, "-I", "-c", LIST_NEW_MODULES], check=True, capture_output=True, text=True)
    return frozenset(run.stdout.split())


def test_import_outlast_loads_nothing_beyond_its_core_dependencies():
    """Those who do not run on Temporal, serve or type commands need not have installed what that takes."""
    # The interpreter's build settings are the one stdlib module whose name depends on the machine.
    loaded = {name.partition(".")[0] for name in loaded_by_import() if not name.startswith("_sysconfigdata")}

    assert loaded - sys.stdlib_module_names <= ALLOWED


def test_import_outlast_loads_no_engine_and_no_store():
    """A program loads the ones that it chooses."""
    parts = ("outlast.engines.local", "outlast.engines.temporal", "outlast.storage.sqlite", "outlast.storage.memory")

    assert [name for name in loaded_by_import() if name.startswith(parts)] == []
