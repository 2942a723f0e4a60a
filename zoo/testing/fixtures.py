"""pytest fixtures for plugins' own tests; pytest finds them through the entry point `pytest11`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest


@pytest.fixture
def zoo_check() -> Callable[..., Any]:
    """`zoo_check("kelp", expected_failures={...})` runs all checks on a model, and fails with those that failed."""
    from zoo.testing.conformance import failures, run_checks
    from zoo.testing.subject import subject_of

    def check(reference: str, *, expected_failures: Mapping[str, str] | None = None) -> Any:
        outcomes = run_checks(subject_of(reference), expected_failures)
        if complaints := failures(outcomes):
            pytest.fail(f"{reference}:\n{complaints}", pytrace=False)
        return outcomes

    return check
