"""The written contracts as tests, for the parts of Outlast and for those of others. Import it in test modules only."""

from __future__ import annotations

import pytest

# Bare asserts of these modules explain themselves like those of test modules.
_PARTS = ("scenario", "insertion", "journal", "reading", "release", "inbox", "claim", "life", "crash", "seam")
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))
