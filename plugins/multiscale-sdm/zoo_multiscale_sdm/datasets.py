"""The datasets of the paper that the plugin reads."""

from __future__ import annotations

from zoo.spec import DatasetSpec, Task

DATASETS = (
    DatasetSpec(
        name="glc23",
        summary="plants of Europe: 5 million occurrences, surveys, bioclimatic rasters, RGB and NIR patches of 128 px",
        reader="zoo_multiscale_sdm.glc23:glc23",
        task=Task.SDM,
        license=None,
        source="https://www.kaggle.com/competitions/geolifeclef-2023-lifeclef-2023-x-fgvc10",
    ),
    DatasetSpec(
        name="multiscale-virtual",
        summary="8 virtual species with known niches in an invented world, drawn on the spot: needs no folder",
        reader="zoo_multiscale_sdm.world:virtual_species",
        task=Task.SDM,
        license="Apache-2.0",
        source="zoo.samples",
    ),
)
