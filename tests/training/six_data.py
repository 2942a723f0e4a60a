"""What a user may bring for each task, in the core's own layouts: a few small files, drawn with known rules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import rasterio
import xarray
from PIL import Image
from six_toys import COLOURS, THINGS

SPLITS = {"train": 18, "val": 9, "test": 9}


def write_labels(folder: Path) -> None:
    """Photographs whose class is their strongest colour."""
    draw = np.random.default_rng(0)
    for split, num in SPLITS.items():
        for index in range(num):
            place = index % 3
            pixels = draw.integers(0, 160, (8, 8, 3))
            pixels[..., 2 - place] += 40
            _photo(folder / split / ("blue", "green", "red")[place] / f"{split}-{index}.png", pixels)


def write_maps(folder: Path) -> None:
    """Scenes whose pixels are of their brightest band, a corner not labelled."""
    draw = np.random.default_rng(1)
    for split, num in (("train", 3), ("val", 2), ("test", 2)):
        for index in range(num):
            pixels = draw.integers(500, 2500, (3, 32, 32)).astype(np.uint16)
            label = pixels.argmax(0).astype(np.uint8)[None]
            label[:, :8, :8] = 255
            _raster(folder / "images" / split / f"{split}{index}.tif", pixels, ("B02", "B03", "B04"))
            _raster(folder / "labels" / split / f"{split}{index}.tif", label, None, nodata=255)


def write_points(folder: Path) -> None:
    """Dark photographs with up to three bright squares, red (gull) or blue (tern), none by another."""
    draw, rows = np.random.default_rng(2), []
    for split, num in SPLITS.items():
        for index in range(num):
            pixels = draw.integers(0, 60, (16, 16, 3))
            for cell in draw.choice(16, index % 4, replace=False).tolist():
                kind = int(draw.integers(2))
                top, left = 4 * (cell // 4) + int(draw.integers(3)), 4 * (cell % 4) + int(draw.integers(3))
                pixels[top : top + 2, left : left + 2, 2 * kind] = 250
                rows.append(f"{split}/{index}.png,{left + 1},{top + 1},{THINGS[kind]}")
            _photo(folder / "images" / split / f"{index}.png", pixels)
    (folder / "points.csv").write_text("\n".join(["image,x,y,class", *rows]))


def write_series(folder: Path) -> None:
    """Days that tend to be what the day before was not: z' = -z / 2 and a draw; frost where z is below 0."""
    draw, z = np.random.default_rng(3), [np.zeros((6, 6))]
    for _ in range(59):
        z.append(-0.5 * z[-1] + draw.normal(0, 0.5, (6, 6)))
    dims = ("time", "y", "x")
    made = xarray.Dataset(
        {
            "t2m": (dims, 280 + 10 * np.stack(z), {"units": "K"}),
            "frost": (dims, (np.stack(z) < 0).astype(float), {"units": "1"}),
        },
        coords={
            "time": np.datetime64("2020-01-01", "ns") + np.arange(60) * np.timedelta64(24, "h"),
            "y": np.arange(6)[::-1] * 10.0,
            "x": np.arange(6) * 10.0,
        },
    )
    folder.mkdir()
    made.to_netcdf(folder / "weather.nc", engine="h5netcdf")


def write_sites(folder: Path) -> None:
    """Firs in the cold and olives in the warmth, as Darwin Core lists them."""
    draw = np.random.default_rng(4)
    lines = ["site,scientificName,occurrenceStatus,decimalLongitude,decimalLatitude,bio_1,bio_12,split"]
    for split, num in (("train", 60), ("val", 30), ("test", 30)):
        for index in range(num):
            warm, wet, where = (
                draw.normal(10, 5),
                draw.normal(800, 200),
                f"{6 + index * 0.01:.2f},{46 + draw.random():.4f}",
            )
            for name, sign in (("Abies alba", -1), ("Olea europaea", 1)):
                there = "present" if draw.random() < 1 / (1 + np.exp(-sign * (warm - 10))) else "absent"
                lines.append(f"{split}{index},{name},{there},{where},{warm:.3f},{wet:.1f},{split}")
    folder.mkdir()
    (folder / "sites.csv").write_text("\n".join(lines))


def write_captions(folder: Path) -> None:
    """Dark and bright photographs of five colours, each with two sentences."""
    draw, rows = np.random.default_rng(5), []
    for split, times in (("train", 3), ("val", 1), ("test", 1)):
        for name, colour in COLOURS.items():
            for light, level in (("dark", 90), ("bright", 230)):
                for number in range(times):
                    file = f"{split}-{light}-{name}-{number}.png"
                    _photo(folder / "pictures" / file, np.array(colour) * level + draw.integers(0, 25, (8, 8, 3)))
                    said = [f"a {light} {name} field", f"the field is {name} and {light}"]
                    rows.append({"filename": file, "split": split, "sentences": [{"raw": one} for one in said]})
    (folder / "captions.json").write_text(json.dumps({"images": rows}))


def _photo(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)


def _raster(path: Path, pixels: np.ndarray, names: tuple[str, ...] | None, nodata: float | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2], "dtype": pixels.dtype.name}
    place = rasterio.Affine(10, 0, 500000, 0, -10, 5000000)
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32632", transform=place, nodata=nodata, **profile) as sink:
        sink.write(pixels)
        if names:
            sink.descriptions = names
