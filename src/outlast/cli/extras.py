"""Optional parts of Outlast: whether they are installed, and what to say if not."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

from outlast.cli.complaint import Complaint
from outlast.cli.exits import Exit

__all__ = ["require_extra"]

_PACKAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "server": ("fastapi", "prometheus_client", "uvicorn"),
    "client": ("httpx",),
    "prometheus": ("prometheus_client",),
}


def require_extra(extra: str, *, purpose: str) -> None:
    """Return if everything of an extra is installed.

    Raises:
        Complaint: It is not; the hint says what to install.
    """
    if missing := [package for package in _PACKAGES[extra] if find_spec(package) is None]:
        raise Complaint(
            f"{purpose} needs {' and '.join(missing)}",
            hint=f"install it with: pip install 'outlast[{extra}]'",
            exit=Exit.NOT_INSTALLED,
            code="not-installed",
        )
