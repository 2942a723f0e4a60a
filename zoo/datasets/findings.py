"""What a check of data found, in words for people and as plain data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from zoo.spec import Json


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"  # the work would stop, or be worthless
    WARNING = "warning"  # it would go on, and the answer may be wrong
    NOTE = "note"  # good to know


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is, or may be, wrong.

    Attributes:
        where: the file, sample or split it was found in first; empty where it concerns all.
        what: in a sentence.
        advice: what to type or do; empty where the sentence says it.
        others: how many more files it was found in.
    """

    severity: Severity
    where: str
    what: str
    advice: str = ""
    others: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All that was found.

    Attributes:
        findings: errors first.
        looked_at: what was read, in words.
        balance: of labelled data: how often each class is there, in the classes' order.
        unit: what `balance` counts.
    """

    findings: tuple[Finding, ...]
    looked_at: str
    balance: tuple[tuple[str, int], ...] = ()
    unit: str = ""

    @property
    def has_errors(self) -> bool:
        return any(one.severity is Severity.ERROR for one in self.findings)

    def to_json(self) -> dict[str, Json]:
        """As plain data."""
        return {
            "looked_at": self.looked_at,
            "findings": [{**asdict(one), "severity": one.severity.value} for one in self.findings],
            "balance": {"unit": self.unit, "classes": dict(self.balance)},
        }


def gathered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding for each sentence, of the first file it was said of, with how many more there are; errors first."""
    kept: dict[tuple[Severity, str], Finding] = {}
    for one in findings:
        key = (one.severity, one.what.replace(one.where, "") if one.where else one.what)
        kept[key] = replace(kept[key], others=kept[key].others + 1 + one.others) if key in kept else one
    order = list(Severity)
    return tuple(sorted(kept.values(), key=lambda one: order.index(one.severity)))
