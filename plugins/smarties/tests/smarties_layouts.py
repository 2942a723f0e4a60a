"""Tiny copies of the published layouts of SMARTIES' datasets."""

import json

import numpy as np
import rasterio
import torch
from zoo_smarties.bigearthnet import S1_BANDS, S2_BANDS


def write_raster(path, pixels, driver="GTiff"):
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    with rasterio.open(path, "w", driver=driver, count=count, height=height, width=width, dtype=pixels.dtype) as file:
        file.write(pixels)


def numbers(*shape, seed=0, high=4000):
    return np.random.default_rng(seed).integers(0, high, shape)


def write_patch(root, sensor, name, *, labels=("Sea and ocean",), seed=0, **metadata):
    """A patch of BigEarthNet, one file per band."""
    folder = root / sensor / name
    for place, band in enumerate(S2_BANDS if sensor == "S2" else S1_BANDS):
        side = {"B01": 20, "B09": 20}.get(band, 120 if band in {"B02", "B03", "B04", "B08", *S1_BANDS} else 60)
        pixels = numbers(1, side, side, seed=seed + place)
        pixels = pixels.astype("uint16") if sensor == "S2" else (pixels / 200 - 25).astype("float32")
        write_raster(folder / f"{name}_{band}.tif", pixels)
    (folder / f"{name}_labels_metadata.json").write_text(json.dumps({"labels": [*labels], **metadata}))


def write_dfc2020(root):
    """Its one file: two chips to train on, two to validate."""
    generator = torch.Generator().manual_seed(0)
    tables = {}
    for kind in ("train", "validation"):
        tables[f"{kind}_images"] = torch.randint(0, 256, (2, 14, 96, 96), generator=generator)
        tables[f"{kind}_labels"] = torch.randint(-1, 8, (2, 96, 96), generator=generator)
    torch.save(tables, root / "DFC_preprocessed.pt")
    return tables
