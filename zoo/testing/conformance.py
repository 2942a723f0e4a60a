"""Running the checks on a model, and excusing some: for `zoo check`, for pytest, for anybody's script.

A plugin excuses a check of its model with a reason, and the excuse fails when it is no longer needed:

    ZOO_EXCUSES = {"kelp": {"check_seams": "positions are absolute, see README"}}     # in the module of its hooks

A key `"kelp@tiny"` excuses one variant alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from zoo.errors import PluginError

if TYPE_CHECKING:
    import pytest

    from zoo.testing.subject import Subject

Check = Callable[["Subject"], str | None]  # returns a remark; raises CheckFailed (or anything) or NotApplicable
EXCUSES = "ZOO_EXCUSES"


class Verdict(StrEnum):
    """How a check went; FAIL and OUTDATED fail the model."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    EXCUSED = "excused"
    OUTDATED = "outdated"  # excused, but passes
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One check on one model."""

    check: str
    verdict: Verdict
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.verdict not in (Verdict.FAIL, Verdict.OUTDATED)


def checks_of(subject: Subject) -> tuple[Check, ...]:
    """The core's checks, and those that plugins add for this model (`zoo_extra_checks`)."""
    from zoo.plugins import plugins
    from zoo.testing.checks import CHECKS

    extra = [check for _, checks in plugins().call("zoo_extra_checks", spec=subject.spec) for check in checks]
    return (*CHECKS, *extra)


def excuses_of(subject: Subject, further: Mapping[str, str] | None = None) -> dict[str, str]:
    """Reason by name of check: what the plugin says of the model, then of the variant, and `further`.

    Raises:
        PluginError: an excuse names no check, or no variant.
    """
    told = getattr(subject.plugin.module, EXCUSES, {})
    name, tags = subject.spec.name, [variant.tag for variant in subject.spec.variants]
    if strays := sorted(key for key in told if key.startswith(f"{name}@") and key.partition("@")[2] not in tags):
        raise PluginError(f"{EXCUSES} has {', '.join(strays)}; expected variants of {name}: {', '.join(tags)}")
    excuses = {**told.get(name, {}), **told.get(str(subject), {}), **(further or {})}
    names = [check.__name__ for check in checks_of(subject)]
    if unknown := sorted(set(excuses) - set(names)):
        raise PluginError(f"{subject}: excuses {', '.join(unknown)}; expected names of checks: {', '.join(names)}")
    return excuses


def run_checks(subject: Subject, expected_failures: Mapping[str, str] | None = None) -> list[Outcome]:
    """Run all checks on a model; nothing is raised for a check that fails."""
    excuses = excuses_of(subject, expected_failures)
    return [_outcome(check, subject, excuses.get(check.__name__)) for check in checks_of(subject)]


def parametrize_with_checks(
    models: Iterable[str], *, expected_failures: Mapping[str, str] | None = None
) -> pytest.MarkDecorator:
    """Decorate a test with arguments `model` and `check`: one case for each, under their names.

    Args:
        models: references, as `zoo.load` takes them.
        expected_failures: reason by name of check, beside the plugin's own `ZOO_EXCUSES`; a case that passes all the
            same fails the test, so that no excuse outlives its reason.
    """
    import pytest

    from zoo.testing.subject import subject_of

    cases = []
    for subject in map(subject_of, models):
        excuses = excuses_of(subject, expected_failures)
        for check in checks_of(subject):
            reason = excuses.get(check.__name__)
            marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
            cases.append(pytest.param(subject, check, id=f"{subject}-{check.__name__}", marks=marks))
    return pytest.mark.parametrize(("model", "check"), cases)


def failures(outcomes: Sequence[Outcome]) -> str:
    """The checks that failed, a line each."""
    return "\n".join(f"{one.check}: {one.verdict}: {one.reason}" for one in outcomes if not one.ok)


def _outcome(check: Check, subject: Subject, excuse: str | None) -> Outcome:
    from zoo.testing.subject import CheckFailed, NotApplicable

    verdict, reason = Verdict.PASS, ""
    try:
        reason = check(subject) or ""
    except NotApplicable as why:
        verdict, reason = Verdict.SKIPPED, str(why)
    except CheckFailed as err:
        verdict, reason = Verdict.FAIL, str(err)
    except (Exception, SystemExit) as err:
        verdict, reason = Verdict.FAIL, f"{type(err).__name__}: {' '.join(str(err).split())}"
    if excuse and verdict is Verdict.FAIL:
        verdict, reason = Verdict.EXCUSED, excuse
    elif excuse and verdict is Verdict.PASS:
        verdict, reason = Verdict.OUTDATED, f"it passes; delete the excuse {excuse!r}"
    return Outcome(check=check.__name__, verdict=verdict, reason=reason)
