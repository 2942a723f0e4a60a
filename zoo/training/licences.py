"""What may be said of the licence of published weights: never less than what they were made of asks for.

This is arithmetic on SPDX expressions, and no advice: it refuses what would misstate a licence, and says why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.errors import ConfigError

# Ask for no more than credit, which a card gives; SPDX ids, in small. Creative Commons' BY licences are known by form.
# fmt: off
_FREE = frozenset(("apache-2.0", "mit", "mit-0", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "isc", "zlib",
                   "ecl-2.0", "etalab-2.0", "ogl-uk-3.0", "odc-by-1.0", "dl-de-by-2.0"))
_WAIVED = frozenset(("cc0-1.0", "unlicense", "0bsd", "pddl-1.0", "dl-de-zero-2.0"))  # ask for nothing at all
# fmt: on
_BY = re.compile(r"cc-by-\d\.\d(-\w+)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedOn:
    """Data that weights were trained on.

    Attributes:
        name: of the dataset.
        license: SPDX; `None` = its description does not say.
        source: where it is found.
    """

    name: str
    license: str | None
    source: str

    @classmethod
    def read(cls, rows: Any) -> tuple[TrainedOn, ...]:
        """What a file says, which anybody may have written: words without marks that a table would take for its own."""
        found = [one for one in rows if isinstance(one, Mapping)] if isinstance(rows, Sequence) else []
        words = [{name: _plain(one.get(name)) for name in ("name", "license", "source")} for one in found]
        return tuple(
            cls(name=one["name"], license=one["license"] or None, source=one["source"]) for one in words if one["name"]
        )


def spdx(expression: str, what: str) -> str:
    """The expression in its usual spelling.

    Raises:
        ConfigError: it is none.
    """
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        return str(canonicalize_license_expression(expression))
    except InvalidLicenseExpression as err:
        raise ConfigError(
            f"{what} is {expression!r}, which is no SPDX licence expression; expected such as Apache-2.0, CC-BY-4.0,"
            " CC-BY-NC-SA-4.0, or LicenseRef-NAME for one without an SPDX name (https://spdx.org/licenses)"
        ) from err


def contradiction(asked: str, base: str) -> str | None:
    """Why what was made of something under `base` cannot be published under `asked`; `None` where it can.

    Who publishes may take one of the alternatives of `base`; who receives may take any of `asked`, so that each must keep
    what `base` asks for.

    Raises:
        ConfigError: one of them is no SPDX expression.
    """
    asked, base = spdx(asked, "the licence asked for"), spdx(base, "the licence of what it was made of")
    if "(" in asked and asked != base:
        return f"{asked} has parentheses, and is too involved to be compared with {base}"
    for offered in _alternatives(asked):
        whys = [_kept(offered, one) for one in _alternatives(base)]
        if None not in whys:
            return whys[0]
    return None


def _kept(asked: str, base: str) -> str | None:
    """Why `asked`, one alternative, drops what `base`, one alternative, asks for."""
    ids = _ids(base)
    if any(re.search(r"-nd\b", one) for one in ids):
        return f"{base} lets nobody share what is made of it (NoDerivatives)"
    if asked == base:
        return None
    if all(one in _WAIVED for one in ids):
        return None
    if any(one in _WAIVED for one in _ids(asked)):
        return f"{base} asks for credit, which {asked} waives"
    if all(one in _FREE | _WAIVED or _BY.fullmatch(one) for one in ids):
        return None
    if len(ids) == 1 and re.match(r"cc-by-nc-\d", ids[0]):
        if any(one.startswith("cc-by-nc-") for one in _ids(asked)):
            return None
        return f"{base} forbids commercial use, and {asked} does not (NonCommercial)"
    if any("-sa-" in one for one in ids):
        return f"{base} asks that what is made of it has the same licence (ShareAlike), not {asked}"
    return f"{base} is not known to allow another licence, such as {asked}"


def redistribution(licence: str | None) -> str | None:
    """Why unchanged weights under `licence` cannot be published in another file format; `None` where they can."""
    if licence is None:
        return "the licence is not stated by the authors"
    try:
        ids = _ids(spdx(licence, "the licence of the weights"))
    except ConfigError as err:
        return str(err)
    if any(re.search(r"-nd\b", one) for one in ids):
        return "NoDerivatives: whether another file format is one is for the authors to say"
    if any(one.startswith("licenseref-") for one in ids):
        return "terms of its own, which a person must read first"
    return None


def _ids(expression: str) -> list[str]:
    """Licences that an expression names, in small."""
    words = re.split(r"[()\s]+", re.sub(r"\bwith\s+[^()\s]+", "", expression.lower()))  # an exception asks for less
    return [one.removesuffix("+") for one in words if one and one not in ("and", "or")]


def _alternatives(expression: str) -> list[str]:
    """The licences between which an expression leaves the choice; of one with parentheses itself, as if all held."""
    return [expression] if "(" in expression else re.split(r"\s+or\s+", expression, flags=re.IGNORECASE)


def _plain(text: Any) -> str:
    return " ".join(re.sub(r"[|`<>\[\]]", " ", text).split()) if isinstance(text, str) else ""
