from __future__ import annotations

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

LIST_NEW_PACKAGES = """
import sys
before = set(sys.modules)
import outlast
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
"""


def test_import_outlast_loads_nothing_beyond_its_core_dependencies():
    run = subprocess.run([sys.executable, "-I", "-c", LIST_NEW_PACKAGES], check=True, capture_output=True, text=True)

    # The interpreter's build settings are the one stdlib module whose name depends on the machine.
    loaded = {name for name in run.stdout.split() if not name.startswith("_sysconfigdata")}

    assert loaded - sys.stdlib_module_names <= ALLOWED
