"""Random draws that depend on what is drawn for, never on who draws: not on workers, processes or interruptions."""

from __future__ import annotations

import numpy as np
import torch


def seed_of(*numbers: int) -> int:
    """A seed (0 ... 2^63 - 1) for a run's seed, an epoch, a sample's index, ...: other numbers, unrelated draws."""
    mixed = np.random.SeedSequence([number & 0xFFFFFFFF for number in numbers]).generate_state(1, np.uint64)[0]
    return int(mixed) >> 1


def generator_of(*numbers: int) -> torch.Generator:
    """A generator on the CPU, seeded by `seed_of`."""
    return torch.Generator().manual_seed(seed_of(*numbers))
