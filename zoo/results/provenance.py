"""What every result says of how it was made, and who writes formats that zoo does not know."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

UNKNOWN = "not pinned"


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Model, weights and options behind a result; nothing of time, host or number of processes.

    Attributes:
        model: name of the model.
        variant: tag of the variant.
        weights: where they come from (`"hf://org/repo/file"`), `"random"` for none.
        revision: commit of the repository; `None` = not pinned.
        sha256: of the weights file, or of the numbers themselves where they are random; `None` = not known.
        zoo_version: of zoo.
        options: what of the user's options decides the numbers.
    """

    model: str
    variant: str
    weights: str
    revision: str | None
    sha256: str | None
    zoo_version: str
    options: Mapping[str, str] = field(default_factory=dict)

    def tags(self) -> dict[str, str]:
        """As plain strings, `ZOO_MODEL` and so on: what files keep. `from_tags` reads them back."""
        return {
            "ZOO_MODEL": self.model,
            "ZOO_VARIANT": self.variant,
            "ZOO_WEIGHTS": self.weights,
            "ZOO_REVISION": self.revision or UNKNOWN,
            "ZOO_SHA256": self.sha256 or UNKNOWN,
            "ZOO_VERSION": self.zoo_version,
            "ZOO_OPTIONS": json.dumps(dict(self.options), sort_keys=True, ensure_ascii=False),
        }

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self | None:
        """What `tags` wrote; `None` where a file has no such tags."""
        if not {"ZOO_MODEL", "ZOO_VARIANT", "ZOO_WEIGHTS", "ZOO_VERSION"} <= set(tags):
            return None
        revision, sha256 = (tags.get(key, UNKNOWN) for key in ("ZOO_REVISION", "ZOO_SHA256"))
        return cls(
            model=tags["ZOO_MODEL"],
            variant=tags["ZOO_VARIANT"],
            weights=tags["ZOO_WEIGHTS"],
            revision=None if revision == UNKNOWN else revision,
            sha256=None if sha256 == UNKNOWN else sha256,
            zoo_version=tags["ZOO_VERSION"],
            options=json.loads(tags.get("ZOO_OPTIONS", "{}")),
        )


def save_by_plugin(result: Any, path: Path, known: Sequence[str], what: str) -> bool:
    """Whether a plugin wrote `result`, in a format that zoo does not know; `False` where zoo knows it.

    Raises:
        OutputError: nobody knows it.
    """
    from zoo.io.whole import check_extension
    from zoo.plugins import plugins

    if path.suffix.lower() in known:
        return False
    if plugins().first("zoo_save_result", result=result, path=str(path)):
        return True
    check_extension(path, known, what)
    return False
