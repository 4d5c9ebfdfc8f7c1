"""Where every random suite begins: one number, which repeats what was drawn."""

from __future__ import annotations

import os
import random


def first_seed() -> int:
    """Return the number of `OUTLAST_SEED`, which `make` sets, or any; and print it for whoever has to repeat a test."""
    seed = int(os.environ.get("OUTLAST_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
    print(f"seed {seed}; repeat with OUTLAST_SEED={seed}")  # noqa: T201 - shown with what fails
    return seed
