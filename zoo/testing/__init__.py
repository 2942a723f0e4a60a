"""What a plugin's tests are made of: conformance checks, recorded cases of the authors' code, fixtures.

    @zoo.testing.parametrize_with_checks(["kelp"], expected_failures={"check_seams": "positions are absolute, see README"})
    def test_conformance(model, check):
        check(model)

pytest imports this package in every environment that has zoo, so names are bound when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.testing.conformance import Check, Outcome, Verdict, parametrize_with_checks, run_checks
    from zoo.testing.golden import record
    from zoo.testing.subject import CheckFailed, NotApplicable, Subject, subject_of

_HOMES = {
    "Check": "zoo.testing.conformance",
    "CheckFailed": "zoo.testing.subject",
    "NotApplicable": "zoo.testing.subject",
    "Outcome": "zoo.testing.conformance",
    "Subject": "zoo.testing.subject",
    "Verdict": "zoo.testing.conformance",
    "parametrize_with_checks": "zoo.testing.conformance",
    "record": "zoo.testing.golden",
    "run_checks": "zoo.testing.conformance",
    "subject_of": "zoo.testing.subject",
}
__all__ = [
    "Check", "CheckFailed", "NotApplicable", "Outcome", "Subject", "Verdict", "parametrize_with_checks", "record",
    "run_checks", "subject_of",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
