"""Layouts that zoo itself reads, beside the published datasets that plugins read; see `zoo.datasets.opening`."""

from __future__ import annotations

from zoo.spec import DatasetSpec, Task

DISTRIBUTION = "lasig-zoo"
SITES = "sites"  # labelled tables of the user's own

OWN = (
    DatasetSpec(
        name="class-folders",
        summary="images of your own in a folder per class",
        reader="zoo.datasets.layouts.class_folders:class_folders",
        task=Task.PRETRAIN,
        license=None,
        source="your own: <split>/<Class>/<file>, or <Class>/<file>",
    ),
    DatasetSpec(
        name="masks",
        summary="images of your own with maps of classes",
        reader="zoo.datasets.layouts.masks:masks",
        task=Task.SEGMENT,
        license=None,
        source="your own: images/<file> and labels/<file of the same stem>, also in <split>/ below each",
    ),
    DatasetSpec(
        name="points",
        summary="images of your own with a table of points on them",
        reader="zoo.datasets.layouts.points:points",
        task=Task.DETECT,
        license=None,
        source="your own: images/<file> and points.csv (.parquet, .geojson) with image, x, y, class and, maybe, radius",
    ),
    DatasetSpec(
        name="series",
        summary="maps in time of your own: inputs up to a day, and what came after",
        reader="zoo.datasets.layouts.series:series",
        task=Task.FORECAST,
        license=None,
        source="your own: <split>.nc or <split>.zarr, or one file whose times are divided among the splits",
    ),
    DatasetSpec(
        name=SITES,
        summary="a table of your own: sites, predictors (or rasters around them), and which species were found",
        reader="zoo.datasets.layouts.sites:sites",
        task=Task.SDM,
        license=None,
        source="your own: a CSV or Parquet file, long (Darwin Core) or with a column per species",
    ),
    DatasetSpec(
        name="captions",
        summary="images of your own with sentences about them",
        reader="zoo.datasets.layouts.captions:captions",
        task=Task.RETRIEVE,
        license=None,
        source="the JSON file of RSICD, UCM-Captions and Sydney-Captions, and a folder of images",
    ),
    DatasetSpec(
        name="world",
        summary="chips of an invented world with their land cover, drawn on the spot: needs no folder",
        reader="zoo.datasets.layouts.world:world",
        task=Task.PRETRAIN,
        license="Apache-2.0",
        source="zoo.samples",
    ),
)
