"""The datasets of the paper that the plugin reads, and the invented one of the demo. Licences are not stated by the authors.

Source: zbirobin/MaskSDM-MEE@bfdc9487.
"""

from __future__ import annotations

from zoo.spec import DatasetSpec, Task

DATASETS = (
    DatasetSpec(
        name="splotopen",
        summary="vegetation plots of the world, 61 predictors, species with more than 20 presences; spatial blocks",
        reader="zoo_masksdm.splot:splot",
        task=Task.SDM,
        license=None,
        source="the folder data/ of https://zenodo.org/records/16902598 (sPlotOpen, doi 10.25829/idiv.3474-bb7k72)",
    ),
    DatasetSpec(
        name="geoplant-pa",
        summary="presence-absence surveys of Europe, 42 predictors, species with more than 20 presences; spatial blocks",
        reader="zoo_masksdm.geoplant:geoplant",
        task=Task.SDM,
        license=None,
        source="GeoPlant's PA_metadata_train.csv and PA-train-{bioclimatic,soilgrids,elevation,human_footprint}.csv",
    ),
    DatasetSpec(
        name="virtual-species",
        summary="twelve invented species with known niches in the synthetic world, drawn on the spot: needs no folder",
        reader="zoo_masksdm.world:virtual_species",
        task=Task.SDM,
        license="Apache-2.0",
        source="zoo.samples",
    ),
)
