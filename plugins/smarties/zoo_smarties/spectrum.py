"""Which learned projection a band goes through: SMARTIES' spectral ranges, and the rule for bands in between.

Source: gsumbul/SMARTIES@fc0df04, its published configuration of the electromagnetic spectrum (Apache-2.0). Ranges are
listed by projection number: 0..16 have parameters, 17 and 18 are blends of learned ones, and the cirrus range has none.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from zoo.bands import VOCABULARY, wavelength_nm
from zoo.errors import InputError

NUM_LEARNED = 17
PROJECTION_SCALE = 12.0  # tokens are 12 times the mean over bands, however many bands there are


class Blend(StrEnum):
    """How a band without a layer of its own is mixed from its neighbours.

    NEAREST: linear interpolation between the neighbouring ranges; the closer one weighs more. The default.
    ORIGINAL: the authors' rule, for their two blended ranges only. Its weights grow with the distance, so that the
        thermal range is all but the VV layer; kept to reproduce their numbers.
    """

    NEAREST = "nearest"
    ORIGINAL = "original"


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """One spectral range; `number` is the authors' projection number, `None` where a range is not supported."""

    name: str
    band: str
    low_nm: float
    high_nm: float
    number: int | None
    blend_of: tuple[int, ...] = ()

    @property
    def centre_nm(self) -> float:
        return (self.low_nm + self.high_nm) / 2


def _ranges(rows: str) -> tuple[Range, ...]:
    found = []
    for number, row in enumerate(rows.strip().splitlines()):
        name, band, low, high, *blend_of = row.split()
        found.append(
            Range(
                name=name,
                band=band,
                low_nm=float(low),
                high_nm=float(high),
                number=number,
                blend_of=tuple(map(int, blend_of)),
            )
        )
    return tuple(found)


# range, band of zoo's vocabulary, nm from, nm to, and for blends the numbers of their sources
RANGES = (
    *_ranges(
        """
        aerosol               S2:B01  422   463
        blue_1                S2:B02  427   558
        blue_3                RGB:B   430   545
        green_1               RGB:G   466   620
        green_2               S2:B03  524   595
        red_1                 RGB:R   590   710
        red_2                 S2:B04  634   696
        red_edge_1            S2:B05  689   719
        red_edge_2            S2:B06  726   755
        near_infrared_1       S2:B08  728   938
        near_infrared_2       S2:B07  761   802
        near_infrared_3       S2:B8A  843   886
        short_wave_infrared_1 S2:B09  923   964
        short_wave_infrared_3 S2:B11  1516  1704
        short_wave_infrared_4 S2:B12  2002  2376
        microwave_1           S1:VV   55e6  56e6
        microwave_2           S1:VH   55e6  56e6
        thermal_infrared_1    L8:B10  10600 11190 14 15
        blue_2                L8:B2   452   512   0 1
        """
    ),
    Range(name="short_wave_infrared_2", band="S2:B10", low_nm=1345, high_nm=1406, number=None),
)
BY_NAME = {one.name: one for one in RANGES}
BY_BAND = {one.band: one for one in RANGES}
# What a wavelength is interpolated between: the calibrated optical ranges. RGB's were learned on photographs.
OPTICAL = sorted((one for one in RANGES[:NUM_LEARNED] if one.band.startswith("S2:")), key=lambda one: one.centre_nm)

Mixture = tuple[tuple[int, float], ...]  # (learned layer, weight), weights sum to 1


@functools.lru_cache(maxsize=4096)
def mixture(band: str, blend: Blend = Blend.NEAREST) -> Mixture:
    """The learned layers that `band` goes through.

    Args:
        band: id of zoo's vocabulary (`"S2:B04"`), range name (`"red_2"`) or wavelength (`"665nm"`, `"650-680nm"`).
        blend: what becomes of a band without a layer of its own.

    Raises:
        InputError: an unknown name, the cirrus range, radar that was not learned, or a wavelength out of reach.
    """
    found = BY_NAME.get(band) or BY_BAND.get(band)
    if found is not None:
        if found.number is None:
            raise InputError(_cirrus(band))
        if found.number < NUM_LEARNED:
            return ((found.number, 1.0),)
        if blend is Blend.ORIGINAL:
            return _grows_with_distance(found)
        return _interpolated(band, found.low_nm, found.high_nm)
    extent_nm = wavelength_nm(band)
    if extent_nm is None:
        raise InputError(_unknown(band))
    return _interpolated(band, *extent_nm)


def mixture_of_number(number: int) -> Mixture:
    """The learned layers of a projection number of the authors, 0..18, by their rule."""
    return mixture(RANGES[number].name, Blend.ORIGINAL)


def numbers(bands: Sequence[str]) -> tuple[int, ...]:
    """The authors' projection numbers of `bands`, each a vocabulary id or a range name."""
    found = []
    for band in bands:
        one = BY_NAME.get(band) or BY_BAND.get(band)
        if one is None or one.number is None:
            raise InputError(_cirrus(band) if one else _unknown(band))
        found.append(one.number)
    return tuple(found)


def _grows_with_distance(blended: Range) -> Mixture:
    away = [abs(blended.centre_nm - RANGES[source].centre_nm) for source in blended.blend_of]
    return tuple((source, one / sum(away)) for source, one in zip(blended.blend_of, away, strict=True))


def _interpolated(band: str, low_nm: float, high_nm: float) -> Mixture:
    centre_nm = (low_nm + high_nm) / 2
    cirrus = BY_BAND["S2:B10"]
    if cirrus.low_nm <= centre_nm <= cirrus.high_nm:
        raise InputError(_cirrus(band))
    first, last = OPTICAL[0], OPTICAL[-1]
    if not first.low_nm <= centre_nm <= last.high_nm:
        raise InputError(
            f"band {band!r} is centred on {centre_nm:g} nm, and SMARTIES has learned {first.low_nm:g} to"
            f" {last.high_nm:g} nm and C-band radar; leave it out, name S1:VV or S1:VH if it is radar,"
            " or build the variant with blend='original' for the authors' own thermal rule"
        )
    below = [one for one in OPTICAL if one.centre_nm <= centre_nm]
    above = [one for one in OPTICAL if one.centre_nm >= centre_nm]
    if not below or not above or below[-1] is above[0]:
        return ((_number(below[-1] if below else above[0]), 1.0),)
    span = above[0].centre_nm - below[-1].centre_nm
    share = (centre_nm - below[-1].centre_nm) / span
    return ((_number(below[-1]), 1.0 - share), (_number(above[0]), share))


def _number(learned: Range) -> int:
    assert learned.number is not None
    return learned.number


def _cirrus(band: str) -> str:
    return (
        f"band {band!r} lies in the cirrus range (1345 to 1406 nm), for which SMARTIES has no projection; leave it out:"
        " `--bands` takes '-' for channels that are not used"
    )


def _unknown(band: str) -> str:
    known = list(dict.fromkeys((*BY_BAND, *BY_NAME, *VOCABULARY)))
    near = difflib.get_close_matches(band, known, n=3)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    return (
        f"SMARTIES does not know a band {band!r}; {hint}it takes names such as S2:B04, S1:VV, RGB:R or L8:B5, its own"
        f" ranges ({', '.join(list(BY_NAME)[:3])}, ...), or a wavelength such as 665nm or 650-680nm"
    )
