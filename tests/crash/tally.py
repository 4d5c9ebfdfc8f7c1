"""Side effects compared with those of a run that nobody disturbed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from crash.reference import effects_of
from outlast import RunResult

__all__ = ["EffectTally"]


class EffectTally:
    """Checks after each crash what the bodies did: as much as without it, and at most one call more per crash."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._undisturbed: Counter[tuple[str, int]] | None = None

    def check(self, result: RunResult[Any], crashes: int) -> None:
        effects = effects_of(self._file).get(result.run_id, Counter())
        self._file.unlink(missing_ok=True)
        if self._undisturbed is None:
            self._undisturbed = effects
            return
        assert effects.keys() == self._undisturbed.keys()
        for each, number in effects.items():
            wanted = self._undisturbed[each]
            assert wanted <= number <= wanted + crashes, f"{each} was called {number} times, and without crash {wanted}"
