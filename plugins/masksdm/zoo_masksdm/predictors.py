"""The predictors, by name, with units, in the networks' order; and the groups in which they are explained.

Source: zbirobin/MaskSDM-MEE@bfdc9487, data preparation and training. The authors' files are in this order, and hold no
names: predictors are matched by name, never by position.
"""

from __future__ import annotations

from zoo.spec import Band, InputSpec, Kind, Step

# WorldClim 2.1 (https://www.worldclim.org/data/bioclim.html): temperatures, then precipitation.
_BIO_UNITS = {3: "%", 4: "degC x100", 15: "%"} | dict.fromkeys((12, 13, 14, 16, 17, 18, 19), "mm")
WORLDCLIM = tuple(Band(id=f"bio_{number}", unit=_BIO_UNITS.get(number, "degC")) for number in range(1, 20))
# SoilGrids 250 m, names of 2017.
SOILGRIDS = (
    Band(id="ORCDRC", unit="g/kg"),
    Band(id="PHIHOX", unit="pH x10"),
    Band(id="CECSOL", unit="cmol/kg"),
    Band(id="BDTICM", unit="cm"),
    Band(id="CLYPPT", unit="%"),
    Band(id="SLTPPT", unit="%"),
    Band(id="SNDPPT", unit="%"),
    Band(id="BLDFIE", unit="kg/m3"),
)
LOCATION = (Band(id="Longitude", unit="degree"), Band(id="Latitude", unit="degree"))
# SRTM 90 m V4; aspect is a plain number.
TOPOGRAPHY = (Band(id="Elevation", unit="m"), Band(id="Slope", unit="degree"), Band(id="Aspect", unit="degree"))
# Columns of sPlotOpen's header (doi 10.25829/idiv.3474-bb7k72).
METADATA = (Band(id="Location_uncertainty", unit="m"), Band(id="Releve_area", unit="m2"))
COVER = tuple(
    Band(id=f"Cover_{name}", unit="%")
    for name in (
        *("total", "tree_layer", "shrub_layer", "herb_layer", "moss_layer", "lichen_layer", "algae_layer"),
        *("litter_layer", "bare_rocks", "cryptogams", "bare_soil"),
    )
)
HEIGHT = (
    *(
        Band(id=f"Height_{name}", unit="m")
        for name in ("trees_highest", "trees_lowest", "shrubs_highest", "shrubs_lowest")
    ),
    *(Band(id=f"Height_{name}", unit="cm") for name in ("herbs_average", "herbs_lowest", "herbs_highest")),
)
# Venter et al. 2016, 1 km: the footprint (0-50) and its parts, scores of pressure (0-10).
HUMAN = tuple(
    Band(id=name, unit="score")
    for name in (
        *("HFP2009", "Built2009", "Croplands2005", "Lights2009", "Navwater2009", "Pasture2009"),
        *("Popdensity2010", "Railways", "Roads"),
    )
)
SPLOT = (*WORLDCLIM, *SOILGRIDS, *LOCATION, *TOPOGRAPHY, *METADATA, *COVER, *HEIGHT, *HUMAN)

# What is explained together: "metadata+" is all that is noted with a plot.
GROUPS = {
    "WorldClim": tuple(one.id for one in WORLDCLIM),
    "SoilGrids": tuple(one.id for one in SOILGRIDS),
    "Topography": tuple(one.id for one in TOPOGRAPHY),
    "Location": tuple(one.id for one in LOCATION),
    "Metadata+": tuple(one.id for one in (*METADATA, *COVER, *HEIGHT)),
    "Human": tuple(one.id for one in HUMAN),
}
# A table of the authors calls these "temperature"; the last is the year's precipitation.
TEMPERATURE = tuple(f"bio_{number}" for number in range(1, 13))

# GeoPlant: CHELSA's climate (units not stated by the authors), SoilGrids 2.0, ASTER's elevation, the same footprint. The
# authors' repository speaks of 8 soil variables where the files have 9; with 9 there are the 42 of the released networks.
GEOPLANT_SOIL = tuple(
    Band(id=f"Soilgrid-{name}", unit=unit)
    for name, unit in (
        *(("bdod", "cg/cm3"), ("cec", "mmol/kg"), ("cfvo", "cm3/dm3"), ("clay", "g/kg"), ("nitrogen", "cg/kg")),
        *(("phh2o", "pH x10"), ("sand", "g/kg"), ("silt", "g/kg"), ("soc", "dg/kg")),
    )
)
GEOPLANT_HUMAN = tuple(
    Band(id=f"HumanFootprint-{name}", unit="score")
    for name in (
        *("Built2009", "croplands2005", "HFP2009", "Lights2009", "NavWater2009", "Pasture2009"),
        *("Popdensity2010", "Railways", "Roads"),
    )
)
GEOPLANT = (
    *(Band(id=f"Bio{number}", unit="") for number in range(1, 20)),
    *GEOPLANT_SOIL,
    *(Band(id="lon", unit="degree"), Band(id="lat", unit="degree"), Band(id="Elevation", unit="m")),
    *(Band(id="geoUncertaintyInM", unit="m"), Band(id="areaInM2", unit="m2")),
    *GEOPLANT_HUMAN,
)

GEOPLANT_GROUPS = {
    "Climate": tuple(f"Bio{number}" for number in range(1, 20)),
    "SoilGrids": tuple(one.id for one in GEOPLANT_SOIL),
    "Topography": ("Elevation",),
    "Location": ("lon", "lat"),
    "Metadata": ("geoUncertaintyInM", "areaInM2"),
    "Human": tuple(one.id for one in GEOPLANT_HUMAN),
}

# Of the demo: what the synthetic world has of them, and its species (niches: `zoo_masksdm.world`).
_DEMO = ("bio_1", "bio_12", "Longitude", "Latitude", "Elevation", "Slope", "Aspect", "Cover_tree_layer")
DEMO_BANDS = tuple(one for one in SPLOT if one.id in _DEMO)
DEMO_SPECIES = tuple(
    f"Virtualis {name}"
    for name in (
        *("frigida", "calida", "temperata", "arida", "pluvialis", "media", "clivosa", "plana", "silvatica", "aprica"),
        *("montana", "rara"),
    )
)

# The location encoder of satclip-vit16-l40 on (longitude, latitude); no image is seen.
SATCLIP = InputSpec(
    name="satclip",
    kind=Kind.TABLE,
    label="SatCLIP",
    bands=tuple(Band(id=f"satclip_{number}", unit="1") for number in range(256)),
    optional=True,
)


def predictors(bands: tuple[Band, ...], label: str, *steps: Step) -> InputSpec:
    """The table of predictors, of which any will do."""
    return InputSpec(name="predictors", kind=Kind.TABLE, label=label, bands=bands, any_subset=True, steps=steps)
