"""What a file's numbers mean: scale, offset and the Sentinel-2 processing baseline, and whether they can be what it says.

Sentinel-2 products of processing baseline 04.00 and later (from 25 January 2022, and all of Collection 1) hold reflectance
as DN = 10000 x reflectance + 1000, older ones without the 1000; 0 stays "no data". Products say so by RADIO_ADD_OFFSET (L1C) or
BOA_ADD_OFFSET (L2A) = -1000. Source: ESA, Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD, issue 14.9).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from zoo.errors import InputError
from zoo.spec import InputSpec

S2_ADD_OFFSET = -1000.0  # DN; see above
S2_OFFSET_SINCE = 4.0  # processing baseline
S2_QUANTIFICATION = 1e-4  # reflectance per DN; QUANTIFICATION_VALUE = 10000, same source

Numbers = float | tuple[float, ...]


class LinearMap(NamedTuple):
    """x * factor + offset, then at least `floor`: from a file's numbers to those of the training data.

    Each holds for all bands, or gives one value per band; a floor of -inf is none.
    """

    factor: Numbers = 1.0
    offset: Numbers = 0.0
    floor: Numbers = -math.inf


@dataclass(frozen=True, kw_only=True, slots=True)
class Radiometry:
    """What a file, or the user, says of the numbers.

    Attributes:
        scale: physical = number * scale + offset, one per band; `None` = not said: as in the training data.
        offset: see `scale`; `None` = 0 where the scale is said, otherwise as in the training data.
        baseline_offset: DN to add to Sentinel-2 bands before scaling (-1000, or 0).
        by_user: whether options said so, not the file.
        says_baseline: whether file or user said anything of the processing baseline or of its offset.
    """

    scale: tuple[float, ...] | None = None
    offset: tuple[float, ...] | None = None
    baseline_offset: float = 0.0
    by_user: bool = False
    says_baseline: bool = False

    def to_declared(self, spec: InputSpec, where: str = "") -> LinearMap:
        """The map from the file's numbers to those that the input's first step expects.

        Sentinel-2 bands whose offset is removed are at least 0 afterwards, as products without the offset are.

        Args:
            spec: the input, narrowed to the file's bands in their order (`zoo.inputs.match.match`).
            where: the file, for messages.

        Raises:
            InputError: the scale that is said cannot go with the input's convention.
        """
        factors, offsets, floors = zip(
            *(self.of_band(spec, index, where) for index in range(len(spec.bands))), strict=True
        )
        return LinearMap(factors, offsets, floors)

    def of_band(self, spec: InputSpec, index: int, where: str) -> tuple[float, float, float]:
        """Factor, offset and floor of one band; arguments and errors as in `to_declared`."""
        units = list(dict.fromkeys(band.unit for band in spec.bands))
        if self.by_user and (self.scale or self.offset) and len(units) > 1:
            raise InputError(
                f"{_at(where)}--scale and --offset hold for all bands, but {spec.label or spec.name} has bands in"
                f" {' and '.join(units)}; declare them per band in the file (gdal_edit.py -scale ... -offset ...)"
            )
        band = spec.bands[index]
        sentinel_2 = band.id.startswith("S2:")
        if spec.scale is not None:
            unit_scale, unit_offset = spec.scale, spec.offset
        else:
            unit_scale, unit_offset = (S2_QUANTIFICATION if sentinel_2 and band.unit == "DN" else 1.0), 0.0
        scale = unit_scale if self.scale is None else self.scale[index]
        offset = (unit_offset if self.scale is None else 0.0) if self.offset is None else self.offset[index]
        if band.unit == "DN" and unit_scale == 1 and self.scale and not self.by_user:
            raise InputError(
                f"{_at(where)}declares scale {scale:g} and offset {offset:g} for {band.id}, but the input"
                f" {spec.label or spec.name} takes digital numbers; say --scale 1 if they are stored as it takes them,"
                " or the --scale and --offset that bring them there"
            )
        if sentinel_2:
            offset += self.baseline_offset * scale
        added = (offset - unit_offset) / unit_scale
        return scale / unit_scale, added, 0.0 if sentinel_2 and added < 0 else -math.inf


def radiometry(
    tags: Mapping[str, str],
    scales: Sequence[float],
    offsets: Sequence[float],
    *,
    scale: float | None = None,
    offset: float | None = None,
    baseline: str | None = None,
    where: str = "",
) -> Radiometry:
    """What file and user say of the numbers; the user's word counts before the file's.

    Args:
        tags: of the file; PROCESSING_BASELINE, BOA_ADD_OFFSET, RADIO_ADD_OFFSET and BOA_OFFSET_APPLIED are read, under
            any prefix and in any case (`s2:processing_baseline`).
        scales: GDAL scale of each band that is used; 1 with offset 0 says nothing.
        offsets: GDAL offset of each.
        scale: the user's --scale.
        offset: the user's --offset.
        baseline: the user's --baseline, `"04.00"`.
        where: the file, for messages.

    Raises:
        InputError: options or tags contradict each other, or cannot be read.
    """
    if baseline is not None and offset is not None:
        raise InputError(
            f"{_at(where)}got --baseline {baseline} and --offset {offset:g}, which both say the offset; give one of them"
        )
    if scale is not None and (scale == 0 or not math.isfinite(scale)):
        raise InputError(f"{_at(where)}got --scale {scale:g}; expected a number other than 0")
    if scale is None and offset is None and baseline is None:
        return _from_file(tags, tuple(scales), tuple(offsets), where)
    if offset is None and baseline is None and (in_tags := _baseline_in(tags, where)[1]):
        raise InputError(
            f"{_at(where)}got --scale {scale:g}, and the file's tags say that an offset of {in_tags:g} DN is to be added;"
            " say the offset too: --offset in physical units (0 if it is done already), or --baseline 04.00"
        )
    return Radiometry(
        scale=None if scale is None else (scale,) * len(scales),
        offset=None if offset is None else (offset,) * len(scales),
        baseline_offset=0.0 if baseline is None else _offset_of(baseline, where),
        by_user=True,
        says_baseline=baseline is not None or offset is not None,
    )


def product_level(tags: Mapping[str, str]) -> str | None:
    """`"L1C"` or `"L2A"`, where the tags of a Sentinel-2 file say so."""
    for key in ("PROCESSING_LEVEL", "PRODUCT_TYPE", "PRODUCT_URI", "PRODUCT_NAME", "LEVEL"):
        if found := re.search(r"L(1C|2A)|S2MSI(1C|2A)|LEVEL-?(1C|2A)", _tag(tags, key).upper()):
            return "L" + next(part for part in found.groups() if part)
    return None


def _from_file(
    tags: Mapping[str, str], scales: tuple[float, ...], offsets: tuple[float, ...], where: str
) -> Radiometry:
    told, baseline_offset = _baseline_in(tags, where)
    if all(one == 1 for one in scales) and not any(offsets):
        return Radiometry(baseline_offset=baseline_offset, says_baseline=told)
    if any(factor == 1 and abs(added) >= 1 for factor, added in zip(scales, offsets, strict=True)):
        raise InputError(
            f"{_at(where)}declares scale 1 and offset {min(offsets):g}: physical values or digital numbers? Say which with"
            f" --scale and --offset (Sentinel-2 with the offset of baseline 04.00: --baseline 04.00)"
        )
    if baseline_offset and not any(offsets):
        raise InputError(
            f"{_at(where)}declares scale {scales[0]:g} with offset 0, but its tags say that {-baseline_offset:g} is to"
            " be subtracted; say --baseline 04.00 if the numbers still have that offset, --baseline 03.01 if not"
        )
    return Radiometry(scale=scales, offset=offsets, says_baseline=told or any(offsets))


def _baseline_in(tags: Mapping[str, str], where: str) -> tuple[bool, float]:
    """Whether the tags say anything of the offset, and how many DN it adds."""
    if _tag(tags, "BOA_OFFSET_APPLIED").lower() in ("true", "1", "yes"):
        return True, 0.0  # "applied" by the distributor: subtracted already (Element 84, earth-search)
    for key in ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET"):
        found = {
            float(value)
            for name, text in tags.items()
            if re.fullmatch(rf"(?:.*:)?{key}(_?[0-9A-Z]+)?", name.upper())
            for value in re.findall(r"-?\d+(?:\.\d+)?", text)
        }
        if len(found) > 1:
            raise InputError(
                f"{_at(where)}{key} differs by band ({min(found):g} to {max(found):g}); bring the bands to one offset"
                " and say --offset"
            )
        if found:
            return True, found.pop()
    baseline = _tag(tags, "PROCESSING_BASELINE")
    return bool(baseline), _offset_of(baseline, where) if baseline else 0.0


def _offset_of(baseline: str, where: str) -> float:
    found = re.fullmatch(r"N?(\d{1,2})\.?(\d{2})?", str(baseline).strip().upper())
    if not found:
        raise InputError(
            f"{_at(where)}processing baseline {baseline!r}; expected one like 03.01 or 05.09 (--baseline 05.09)"
        )
    number = float(f"{found[1]}.{found[2] or '00'}")
    return S2_ADD_OFFSET if number >= S2_OFFSET_SINCE else 0.0


def _tag(tags: Mapping[str, str], key: str) -> str:
    for name, value in tags.items():
        if name.upper().rpartition(":")[2] == key:
            return str(value)
    return ""


def _at(where: str) -> str:
    return f"{where}: " if where else ""
