"""Layouts that zoo itself reads, beside the published datasets that plugins read; see `zoo.datasets.opening`."""

from __future__ import annotations

from zoo.spec import DatasetSpec, Task

DISTRIBUTION = "lasig-zoo"

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
        name="sites",
        summary="a table of your own: sites, predictors, and which species were found",
        reader="zoo.datasets.layouts.sites:sites",
        task=Task.SDM,
        license=None,
        source="your own: a CSV or Parquet file, long (Darwin Core) or with a column per species",
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
