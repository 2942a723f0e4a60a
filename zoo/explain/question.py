"""What is asked of an explanation, whether of places or of scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zoo.explain.groups import Groups
from zoo.explain.method import Method
from zoo.options import Options
from zoo.spec import Variant


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        groups: that are shown or hidden.
        method: how values of coalitions become contributions.
        options: how data are read and computed; `species` says which are explained.
        plot: also draw the answer to this `.png`; `None` = do not.
    """

    groups: Groups
    method: Method
    options: Options
    plot: Path | None = None

    def recorded(self, variant: Variant) -> dict[str, str]:
        """What decides the numbers, for provenance."""
        members = {f"group {name}": told for name, told in self.groups.recorded(variant).items()}
        return self.options.recorded() | self.method.recorded() | members
