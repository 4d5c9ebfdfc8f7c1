"""What is loaded: the SDK of Temporal only by those who use it."""

from __future__ import annotations

import subprocess
import sys


def test_importing_outlast_does_not_import_temporalio() -> None:
    """`import outlast` loads no optional dependency."""
    code = "import sys, outlast; assert not [name for name in sys.modules if name.startswith('temporalio')]"

    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
