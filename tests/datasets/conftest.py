"""A variant that sees three bands, and `own_data`, importable."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from zoo.spec import Variant

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def variant() -> Variant:
    from own_data import variant_of

    return variant_of()
