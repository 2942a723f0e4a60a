"""Vocabulary of sensors and bands, and how the names in a user's file meet it.

A band's id is `SENSOR:BAND` (`"S2:B04"`). It is recognised by its id, by the sensor's own name (`B04`, `B4`) and by its
STAC common name (`red`), in any case, as long as only one band of the input in question answers to the name.

Sources of wavelengths (nm):
    S2: ESA, Sentinel-2 Spectral Response Functions (COPE-GSEG-EOPG-TN-15-0007), Sentinel-2A, centre -/+ half bandwidth.
    L8: USGS, Landsat 8 Data Users Handbook (LSDS-1574), table 2-1.
    S1: carrier 5.405 GHz (ESA, Sentinel-1 Product Definition), c / f.
Common names: STAC extension eo, table "Common Band Names".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

C_BAND_NM = 299_792_458e9 / 5.405e9


@dataclass(frozen=True, kw_only=True, slots=True)
class BandFacts:
    """What is known of a band: `wavelength_nm` is (low, high), `None` where the sensor does not fix it."""

    id: str
    common_name: str | None
    wavelength_nm: tuple[float, float] | None
    quantity: str

    @property
    def own_name(self) -> str:
        """The sensor's own name of the band: `"B04"` of `"S2:B04"`."""
        return self.id.partition(":")[2]


def _optical(sensor: str, rows: str) -> dict[str, BandFacts]:
    facts = {}
    for row in rows.strip().splitlines():
        name, common_name, low, high = row.split()
        facts[f"{sensor}:{name}"] = BandFacts(
            id=f"{sensor}:{name}",
            common_name=None if common_name == "-" else common_name,
            wavelength_nm=(float(low), float(high)),
            quantity="temperature" if common_name.startswith("lwir") else "reflectance",
        )
    return facts


VOCABULARY: dict[str, BandFacts] = {
    **_optical(
        "S2",
        """
        B01 coastal 432.2 453.2
        B02 blue 459.4 525.4
        B03 green 541.8 577.8
        B04 red 649.1 680.1
        B05 rededge071 696.6 711.6
        B06 rededge075 733.0 748.0
        B07 rededge078 772.8 792.8
        B08 nir 779.8 885.8
        B8A nir08 854.2 875.2
        B09 nir09 935.1 955.1
        B10 cirrus 1358.0 1389.0
        B11 swir16 1568.2 1659.2
        B12 swir22 2114.9 2289.9
        """,
    ),
    **_optical(
        "L8",
        """
        B1 coastal 435 451
        B2 blue 452 512
        B3 green 533 590
        B4 red 636 673
        B5 nir08 851 879
        B6 swir16 1566 1651
        B7 swir22 2107 2294
        B8 pan 503 676
        B9 cirrus 1363 1384
        B10 lwir11 10600 11190
        B11 lwir12 11500 12510
        """,
    ),
    **{
        f"S1:{name}": BandFacts(
            id=f"S1:{name}", common_name=None, wavelength_nm=(C_BAND_NM, C_BAND_NM), quantity="backscatter"
        )
        for name in ("VV", "VH", "HH", "HV")
    },
    **{
        f"RGB:{name}": BandFacts(id=f"RGB:{name}", common_name=common_name, wavelength_nm=None, quantity="intensity")
        for name, common_name in (("R", "red"), ("G", "green"), ("B", "blue"))
    },
}

# What `--bands PRESET` stands for: the band of each channel, in the file's order.
PRESETS: dict[str, tuple[str, ...]] = {
    "S2": tuple(f"S2:{name}" for name in "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B11 B12".split()),
    "S2-L1C": tuple(f"S2:{name}" for name in "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B10 B11 B12".split()),
    "S1": ("S1:VV", "S1:VH"),
    "RGB": ("RGB:R", "RGB:G", "RGB:B"),
    "L8": tuple(f"L8:B{number}" for number in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11)),
}


def normal_form(name: str) -> str:
    """A name as it is compared: upper case, no separators, no leading zeros (`"b-04"` and `"B4"` are the same)."""
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", re.sub(r"[\s_.-]", "", name.upper()))


def spellings(band_id: str) -> frozenset[str]:
    """All names, in normal form, under which a file may hold the band `band_id`."""
    names = {band_id}
    if facts := VOCABULARY.get(band_id):
        names |= {facts.own_name} | ({facts.common_name} if facts.common_name else set())
    return frozenset(normal_form(name) for name in names)


def wavelength_nm(band_id: str) -> tuple[float, float] | None:
    """(low, high) of a band of the vocabulary, or of a wavelength written out: `"665nm"`, `"650-680nm"`."""
    if facts := VOCABULARY.get(band_id):
        return facts.wavelength_nm
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?nm", band_id):
        low = float(found[1])
        return low, float(found[2] or low)
    return None
