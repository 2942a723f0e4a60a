"""Variants and files that the tests of datasets share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import rasterio

from zoo.spec import Band, Fill, InputSpec, Kind, Normalise, Resize, Scale, Variant

S2 = InputSpec(
    name="image",
    kind=Kind.RASTER,
    label="S2",
    bands=tuple(Band(id=f"S2:{band}", unit="DN") for band in ("B02", "B03", "B04")),
    window=32,
    multiple=4,
    steps=(Normalise(mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 5.0), source="ours"), Fill(value=0.0, source="ours")),
)
WIDE = replace(
    S2,
    steps=(
        Normalise(mean=(800.0,) * 3, std=(400.0,) * 3, source="ours: scenes whose pixels are counted"),
        Fill(source="ours"),
    ),
)
RGB = InputSpec(
    name="image",
    kind=Kind.IMAGE,
    label="RGB",
    bands=tuple(Band(id=f"RGB:{name}", unit="1") for name in ("R", "G", "B")),
    steps=(Scale(factor=1 / 255, source="ours"), Resize(size=(8, 8), source="ours")),
)


def variant_of(*inputs: InputSpec, **more: Any) -> Variant:
    return Variant(tag="toy", builder="toy:build", inputs=inputs or (S2,), **more)


def write_tif(path, pixels, names=("B02", "B03", "B04"), *, nodata=None, crs="EPSG:32632", transform=None):
    """A GeoTIFF of pixels (C, H, W), in a folder that is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.asarray(pixels)
    place = transform or rasterio.Affine(10, 0, 500000, 0, -10, 5000000)
    profile = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2], "dtype": pixels.dtype.name}
    with rasterio.open(path, "w", driver="GTiff", nodata=nodata, crs=crs, transform=place, **profile) as sink:
        sink.write(pixels)
        if names:
            sink.descriptions = names
    return path
