"""Vocabulary of sensors and bands, and how the names in a user's file meet it.

A band's id is `SENSOR:BAND` (`"S2:B04"`). A file's name is read in any case and with any separators, as

    the id or the sensor's own name     S2:B04, B04, B4, Band 4, B4, central wavelength 665 nm
    either with sensor or resolution    sentinel2_B04, S2A_B04, B04_10m, T32TMS_20200622T102031_B04_10m
    a common name                       red, swir16, rededge1; "rededge" alone is three bands of Sentinel-2
    Sentinel-1's polarisation           VV, VV_dB, Sigma0_VV_db, gamma0-vh

`meanings` gives all bands that a name may be: what is more than one is for the user to decide.

Sources of wavelengths (nm):
    S2: ESA, Sentinel-2 Spectral Response Functions (COPE-GSEG-EOPG-TN-15-0007), Sentinel-2A, centre -/+ half bandwidth.
    L8: USGS, Landsat 8 Data Users Handbook (LSDS-1574), table 2-1.
    S1: carrier 5.405 GHz (ESA, Sentinel-1 Product Definition), c / f.
Common names: STAC extension eo, table "Common Band Names"; those of version 1 ("rededge", Landsat's "nir") and the
numbered ones of catalogues ("rededge1", "swir1") are listed in `_ALSO`.
"""

from __future__ import annotations

import functools
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

# Further names, not all of them of one band alone.
_ALSO: dict[str, tuple[str, ...]] = {
    "S2:B01": ("aerosol", "coastal aerosol"),
    "S2:B05": ("rededge", "rededge1"),
    "S2:B06": ("rededge", "rededge2"),
    "S2:B07": ("rededge", "rededge3"),
    "S2:B8A": ("nir narrow",),
    "S2:B11": ("swir1",),
    "S2:B12": ("swir2",),
    "L8:B1": ("aerosol", "coastal aerosol"),
    "L8:B5": ("nir",),
    "L8:B6": ("swir1",),
    "L8:B7": ("swir2",),
}

# How files spell a sensor before the band's name, in normal form.
_SENSORS = {
    "S2": r"S2[ABC]?|SENTINEL2[ABC]?|MSI",
    "S1": r"S1[ABC]?|SENTINEL1[ABC]?|(?:S1|SENTINEL1)?(?:SIGMA|GAMMA|BETA)0",
    "L8": r"L8|LC8|LANDSAT8|OLI",
}


def _bands(sensor: str, names: str) -> tuple[str, ...]:
    return tuple(f"{sensor}:{name}" for name in names.split())


# What `--bands PRESET` stands for: the band of each channel, in the file's order.
PRESETS: dict[str, tuple[str, ...]] = {
    "S2": _bands("S2", "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B11 B12"),
    "S2-L1C": _bands("S2", "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B10 B11 B12"),
    # order of the files of EuroSAT (Zenodo 7711810) and fMoW-Sentinel, as gsumbul/SMARTIES@fc0df04 reads them
    "EuroSAT": _bands("S2", "B01 B02 B03 B04 B05 B06 B07 B08 B09 B10 B11 B12 B8A"),
    "fMoW-Sentinel": _bands("S2", "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B10 B11 B12"),
    "S1": ("S1:VV", "S1:VH"),
    "RGB": ("RGB:R", "RGB:G", "RGB:B"),
    "L8": tuple(f"L8:B{number}" for number in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11)),
}


def normal_form(name: str) -> str:
    """A name as it is compared: upper case, no separators, no leading zeros (`"b-04"` and `"B4"` are the same)."""
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", re.sub(r"[\s_.-]", "", name.upper()))


def spellings(band_id: str) -> frozenset[str]:
    """All names, in normal form, under which a file may hold the band `band_id`."""
    names = {band_id, *_ALSO.get(band_id, ())}
    if facts := VOCABULARY.get(band_id):
        names |= {facts.own_name} | ({facts.common_name} if facts.common_name else set())
    return frozenset(normal_form(name) for name in names)


def meanings(name: str) -> frozenset[str]:
    """Ids of all bands of the vocabulary that `name` may be; several where it is ambiguous, none where it is unknown.

    >>> sorted(meanings("sentinel2_B04")), sorted(meanings("B4"))
    (['S2:B04'], ['L8:B4', 'S2:B04'])
    """
    # what GDAL, SAFE file names and people put around a band's name
    bare = re.sub(r",? *central wavelength.*$| *\([^)]*\)$|[_ -](10|20|60)m$", "", name.strip(), flags=re.IGNORECASE)
    bare = normal_form(re.sub(r"^T\d{2}[A-Z]{3}_\d{8}T\d{6}_", "S2_", bare))
    bare = re.sub(r"BAND(?=\d)", "B", bare)
    ids, by_sensor = _spelled()
    found = set(ids.get(bare, ()))
    for sensor, pattern in by_sensor.items():
        if split := pattern.fullmatch(bare):
            found |= {band_id for band_id in ids[split["band"]] if band_id.startswith(sensor)}
    return frozenset(found)


@functools.cache
def _spelled() -> tuple[dict[str, tuple[str, ...]], dict[str, re.Pattern[str]]]:
    """Ids by spelling, and per sensor (`"S2:"`) the pattern of names that say the sensor or the quantity too."""
    ids: dict[str, tuple[str, ...]] = {}
    patterns = {}
    for sensor, words in _SENSORS.items():
        own = {word for band_id in VOCABULARY if band_id.startswith(f"{sensor}:") for word in spellings(band_id)}
        names = "|".join(sorted(map(re.escape, own)))
        prefix, suffix = (f"(?:{words})?", "(?:DB)?") if sensor == "S1" else (f"(?:{words})", "")
        patterns[f"{sensor}:"] = re.compile(f"{prefix}:?(?P<band>{names}){suffix}")
    for band_id in VOCABULARY:
        for spelling in spellings(band_id):
            ids[spelling] = (*ids.get(spelling, ()), band_id)
    return ids, patterns


def wavelength_nm(band_id: str) -> tuple[float, float] | None:
    """(low, high) of a band of the vocabulary, or of a wavelength written out: `"665nm"`, `"650-680nm"`."""
    if facts := VOCABULARY.get(band_id):
        return facts.wavelength_nm
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?nm", band_id):
        low = float(found[1])
        return low, float(found[2] or low)
    return None
