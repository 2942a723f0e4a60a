"""Layouts that zoo itself reads, beside the published datasets that plugins read; see `zoo.datasets.opening`."""

from __future__ import annotations

from zoo.spec import DatasetSpec, Task

DISTRIBUTION = "lasig-zoo"

OWN = (
    DatasetSpec(
        name="world",
        summary="chips of an invented world with their land cover, drawn on the spot: needs no folder",
        reader="zoo.datasets.layouts.world:world",
        task=Task.PRETRAIN,
        license="Apache-2.0",
        source="zoo.samples",
    ),
)
