"""Random draws that depend on what is drawn for, never on who draws: not on workers, processes or interruptions."""

from __future__ import annotations

import torch

_MASK = (1 << 64) - 1


def seed_of(*numbers: int) -> int:
    """A seed (0 ... 2^63 - 1) for a run's seed, an epoch, a sample's index, ...: other numbers, unrelated draws.

    Each number goes through the finaliser of SplitMix64 (Steele, Lea, Flood 2014), in 2 microseconds: there is one seed
    per sample and epoch.
    """
    mixed = len(numbers)
    for number in numbers:
        mixed = (mixed + number + 0x9E3779B97F4A7C15) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        mixed ^= mixed >> 31
    return mixed >> 1


def generator_of(*numbers: int) -> torch.Generator:
    """A generator on the CPU, seeded by `seed_of`."""
    return torch.Generator().manual_seed(seed_of(*numbers))
