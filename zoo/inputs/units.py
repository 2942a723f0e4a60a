"""Whether two spellings are of one unit.

Source: UDUNITS-2 (names and symbols); CF conventions 1.11, 3.1 (precipitation as kg m-2: a kilogram of water on a square
metre is a millimetre high).
"""

from __future__ import annotations

import re

# The first is how the others are read; as `_plain` writes them.
SAME = (
    ("degc", "c", "celsius", "degreecelsius", "degreescelsius", "degreec", "degreesc"),
    ("k", "kelvin", "degk", "degreek", "degreeskelvin"),
    ("degf", "f", "fahrenheit", "degreefahrenheit", "degreesfahrenheit"),
    ("mm", "millimetre", "millimetres", "millimeter", "millimeters", "kg/m2"),
    ("cm", "centimetre", "centimetres", "centimeter", "centimeters"),
    ("m", "metre", "metres", "meter", "meters"),
    ("km", "kilometre", "kilometres", "kilometer", "kilometers"),
    ("ft", "foot", "feet", "internationalfoot"),
    ("deg", "degree", "degrees", "arcdegree", "degreeeast", "degreeseast", "degreenorth", "degreesnorth"),
    ("rad", "radian", "radians"),
    ("%", "percent"),
)
KNOWN = {spelling: group[0] for group in SAME for spelling in group}
UNSAID = ("", "1", "-", "none", "unknown", "unitless", "dimensionless", "n/a")
PER = re.compile(r"[\s.]*\b([a-z]+)(?:\*\*|\^)?-(\d)")  # kg m-2, kg.m-2, kg m**-2


def same_unit(one: str, other: str) -> bool | None:
    """Whether the units are the same, or one of them says nothing; `None` where zoo does not know one of them."""
    first, second = (_plain(unit) for unit in (one, other))
    if first == second or first in UNSAID or second in UNSAID:
        return True
    return False if {first, second} <= set(KNOWN.values()) else None


def _plain(unit: str) -> str:
    text = PER.sub(lambda per: f"/{per[1]}{per[2].removeprefix('1')}", unit.casefold().replace("°", "deg"))
    text = re.sub(r"[\s_]", "", text)
    return KNOWN.get(text, text)
