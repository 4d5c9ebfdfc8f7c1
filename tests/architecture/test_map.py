"""Whoever opens a package of many modules is told what they are."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from outlast.engines import temporal


def test_page_of_the_temporal_engine_names_each_of_its_modules_once() -> None:
    text = temporal.__doc__ or ""
    folder = Path(str(temporal.__file__)).parent

    named = Counter(re.findall(r"`(\w+)`", text))

    assert named == Counter(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
