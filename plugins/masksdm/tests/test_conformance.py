"""zoo's own checks on each kind of network."""

from dataclasses import replace

import pytest
import zoo_masksdm
from zoo_masksdm.variants import VARIANTS

from zoo import registry

# One variant of each builder and of each table of predictors.
KINDS = {(one.builder, one.config.get("kinds"), one.inputs[0].label): one.tag for one in reversed(VARIANTS)}
SMALL = {"width": 24, "blocks": 2, "heads": 4, "layers": 2}


@pytest.fixture
def small(monkeypatch):
    """The variants with their descriptions as they are, on narrow networks of few species that have names."""
    made = tuple(
        replace(
            one,
            classes=tuple(f"species {number}" for number in range(12)),
            config={**{key: SMALL.get(key, value) for key, value in one.config.items()}, "num_classes": 12},
        )
        for one in VARIANTS
    )
    monkeypatch.setattr(zoo_masksdm, "SPEC", replace(zoo_masksdm.SPEC, variants=made))
    registry.entries.cache_clear()
    yield
    registry.entries.cache_clear()


@pytest.mark.parametrize("tag", sorted(KINDS.values()))
def test_released_variants_made_small_conform(tag, zoo_check, small):
    zoo_check(f"masksdm@{tag}")
