"""Rasters written as Cloud Optimized GeoTIFFs, block by block, in bounded memory.

Blocks go to an uncompressed temporary GeoTIFF beside the target, GDAL's COG driver copies it, and the copy is renamed
when whole. The same pixels and facts give the same bytes, whatever the number of threads.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.shutil
from rasterio._err import CPLE_BaseError  # what rasterio.shutil lets through as it is
from rasterio.dtypes import dtype_rev
from rasterio.errors import RasterioError

from zoo.errors import OutputError
from zoo.io.grid import Grid
from zoo.io.rasters import gdal, open_dataset
from zoo.io.source import Pixels
from zoo.io.whole import check_extension, whole
from zoo.tiling import Window

Colours = tuple[tuple[int, int, int], ...]
EXTENSIONS = (".tif", ".tiff")
# Ours: a tile holds all bands, and several copies of one live in GDAL's cache, codec and threads. At 8 MB writing 768
# bands peaks at 60-100 MB; the driver's default of 512 x 512 needs 805 MB for one tile of them.
TILE_BYTES = 8 << 20
MAX_TILE = 512  # the COG driver's default
BLOCK_BYTES = 32 << 20  # ours: what `blocks` hands over at a time
MAX_BANDS_WITH_OVERVIEWS = 16  # ours: nobody looks at 768 bands at a glance, and they would add a third to the file
MAX_THREADS = 4  # ours: each holds tiles
CACHE_BYTES = 16 << 20  # ours: writing is as fast as with 64 MB, and peaks 50 MB lower
TEMPORARY_TILE = (16, 256)  # rows, columns: rows of tiles that are filled in parts stay in GDAL's cache
CLASS_TAG = "ZOO_CLASSES"  # a JSON list; the names of an integer raster's values 0, 1, ...
COLOUR_TAG = "ZOO_COLOURS"  # a JSON list of [red, green, blue] for the same values; absent where they are zoo's own


@dataclass(frozen=True, kw_only=True, slots=True)
class RasterFile:
    """A GeoTIFF to be: where its pixels lie, and what they mean.

    Attributes:
        grid: size, CRS and transform.
        names: band descriptions, in order.
        dtype: NumPy's name; `float16` is rounded to half precision, kept as float32 (see `stored`).
        nodata: value of missing pixels, `None` if there are none.
        unit: of all bands.
        classes: names of the values 0, 1, ... of an integer raster.
        colours: red, green and blue (0-255) of the same; empty = zoo's own.
        tags: further facts, such as provenance.
    """

    grid: Grid
    names: tuple[str, ...]
    dtype: str
    nodata: float | None = None
    unit: str = ""
    classes: tuple[str, ...] = ()
    colours: Colours = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def stored(self) -> str:
        """The type in the file.

        GDAL 3.10 has no float16 of its own, and its 16-bit floats (NBITS=16) fill the edges of tiles with whatever lies
        in memory; the zeros at the end of rounded float32 numbers compress to less than those take.
        """
        return "float32" if self.dtype == "float16" else self.dtype

    @property
    def pixel_bytes(self) -> int:
        """Of all bands, in GDAL's memory."""
        return len(self.names) * np.dtype(self.stored).itemsize

    @property
    def raw_bytes(self) -> int:
        return self.grid.height * self.grid.width * self.pixel_bytes

    @property
    def categories(self) -> bool:
        """Whether the numbers are names: colours suit them, averages do not."""
        return bool(self.classes) and np.dtype(self.dtype).kind in "ui"


class RasterWriter:
    """Takes the pixels of a `RasterFile`; `write_raster` gives one."""

    def __init__(self, dataset: Any, file: RasterFile, path: Path) -> None:
        self._dataset = dataset
        self.path, self.file = path, file

    def blocks(self) -> Iterator[Window]:
        """Windows that cover the grid, row by row, each of at most 32 MB (or 16 rows and columns)."""
        return blocks(self.file)

    def write(self, window: Window, pixels: Pixels) -> None:
        """Write the bands (C, h, w) of a window; blocks may come in any order, rows in order are fastest."""
        expected = (len(self.file.names), window.height, window.width)
        assert pixels.shape == expected, f"a block has shape {pixels.shape}, expected {expected}"
        rows, cols = window.slices
        place = ((rows.start, rows.stop), (cols.start, cols.stop))
        with _explained(self.path):
            stored = fitted(pixels, self.file.dtype, str(self.path)).astype(self.file.stored, copy=False)
            self._dataset.write(stored, window=place)


def fitted(pixels: Pixels, dtype: str, what: str) -> Pixels:
    """Pixels rounded to `dtype`.

    Raises:
        OutputError: half precision does not reach that far.
    """
    with np.errstate(over="ignore"):
        rounded: Pixels = np.asarray(pixels).astype(dtype, copy=False)
    if dtype == "float16" and (np.isinf(rounded) & np.isfinite(pixels)).any():
        largest = np.abs(pixels[np.isfinite(pixels)]).max()
        raise OutputError(f"{what}: float16 reaches 65504, and the numbers {largest:g}; write float32")
    return rounded


@contextlib.contextmanager
def write_raster(path: str | os.PathLike[str], file: RasterFile) -> Iterator[RasterWriter]:
    """A writer; when the block ends the file is there, when it ends with an exception nothing is.

    Raises:
        OutputError: the extension is not `.tif` or `.tiff`, the place cannot be written or is too small, GeoTIFF has no
            such type, or the disk fills up.
    """
    path = Path(path)
    check_extension(path, EXTENSIONS, "a raster")
    if file.stored not in dtype_rev:
        raise OutputError(f"{path}: GeoTIFF holds no {file.dtype}; write uint8, uint16, int16, float32 or float16")
    with whole(path) as copy, gdal(cache_bytes=CACHE_BYTES):
        _check_space(path, file)
        temporary = copy.with_name("blocks.tif")
        with _explained(path), _create(temporary, file) as dataset:
            yield RasterWriter(dataset, file, path)
        if temporary.stat().st_size < file.raw_bytes:  # GDAL closes what the disk could not take without an error
            raise OutputError(f"cannot write {path}: the disk filled up; free some space there and run it again")
        # Without this GDAL logs a doubt about tiles below 128 x 128, which many bands need.
        with _explained(path), gdal(cache_bytes=CACHE_BYTES, GDAL_VALIDATE_CREATION_OPTIONS=False):
            rasterio.shutil.copy(str(temporary), str(copy), driver="COG", **_options(file))


def _create(path: Path, file: RasterFile) -> Any:
    rows, cols = TEMPORARY_TILE
    dataset = open_dataset(
        path,
        "w",
        driver="GTiff",
        height=file.grid.height,
        width=file.grid.width,
        count=len(file.names),
        dtype=file.stored,
        crs=file.grid.crs,
        transform=file.grid.transform,
        nodata=file.nodata,
        tiled=True,
        blockysize=rows,
        blockxsize=cols,
        interleave="band",
        BIGTIFF="IF_SAFER",
    )
    dataset.descriptions = file.names
    dataset.update_tags(**file.tags)
    if file.unit:
        dataset.units = (file.unit,) * len(file.names)
    if file.classes:
        dataset.update_tags(**class_tags(file.classes, file.colours))
    if file.categories and file.dtype == "uint8" and len(file.names) == 1:
        dataset.write_colormap(1, dict(enumerate(palette(file.classes, file.colours))))
    return dataset


def _options(file: RasterFile) -> dict[str, Any]:
    """Creation options of GDAL's COG driver."""
    floats = np.dtype(file.dtype).kind == "f"
    return {
        "BLOCKSIZE": tile_side(file),
        "COMPRESS": "DEFLATE",  # zstd writes three times as fast, but not every reader has it
        "PREDICTOR": "FLOATING_POINT" if floats else "NO" if file.categories else "STANDARD",
        "BIGTIFF": "IF_SAFER",
        "OVERVIEWS": "NONE" if len(file.names) > MAX_BANDS_WITH_OVERVIEWS else "AUTO",
        "RESAMPLING": "NEAREST" if file.categories else "AVERAGE",
        "NUM_THREADS": min(MAX_THREADS, os.cpu_count() or 1),
    }


def _check_space(path: Path, file: RasterFile) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < file.raw_bytes:
        raise OutputError(
            f"{path} needs {file.raw_bytes / 1e9:.2f} GB while it is written, and {path.parent} has {free / 1e9:.2f} GB"
            " left; free some space or choose another place"
        )


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (RasterioError, CPLE_BaseError) as err:
        raise OutputError(f"cannot write {path}: {err.__cause__ or err}; is the disk full? Nothing was left") from err


def tile_side(file: RasterFile) -> int:
    """Side of a COG's tiles: the largest multiple of 16 for which a tile of all bands stays within 8 MB."""
    fitting = math.isqrt(TILE_BYTES // file.pixel_bytes) // 16 * 16
    needed = -(-max(file.grid.height, file.grid.width) // 16) * 16
    return max(16, min(fitting, needed, MAX_TILE))


def blocks(file: RasterFile) -> Iterator[Window]:
    """Windows that cover the grid, row by row, each of at most 32 MB (or 16 rows and columns)."""
    grid = file.grid
    pixels = BLOCK_BYTES // file.pixel_bytes
    width = min(grid.width, max(pixels // 16, 16))
    height = max(pixels // width // 16 * 16, 16)
    for row in range(0, grid.height, height):
        for col in range(0, grid.width, width):
            yield Window(row, col, min(height, grid.height - row), min(width, grid.width - col))


def class_colours(num_classes: int) -> list[tuple[int, int, int, int]]:
    """Distinct colours (red, green, blue, alpha; 0-255) for class ids: hues a golden angle apart, in two lightnesses."""
    import colorsys

    colours = []
    for index in range(num_classes):
        red, green, blue = colorsys.hls_to_rgb(index * 0.381966 % 1.0, 0.62 if index % 2 else 0.45, 0.6)
        colours.append((round(red * 255), round(green * 255), round(blue * 255), 255))
    return colours


def palette(classes: Sequence[str], colours: Colours) -> list[tuple[int, int, int, int]]:
    """Colours (red, green, blue, alpha; 0-255) of class ids: those that are given, or zoo's own."""
    return [(*colour, 255) for colour in colours] or class_colours(len(classes))


def class_tags(classes: Sequence[str], colours: Colours) -> dict[str, str]:
    """The legend as a file keeps it."""
    told = {CLASS_TAG: json.dumps(classes, ensure_ascii=False)}
    return told | ({COLOUR_TAG: json.dumps(colours)} if colours else {})


def legend_of(tags: Mapping[str, str]) -> tuple[tuple[str, ...], Colours]:
    """Classes and colours that `class_tags` wrote; empty where a file has none."""
    colours = json.loads(tags.get(COLOUR_TAG, "[]"))
    return tuple(json.loads(tags.get(CLASS_TAG, "[]"))), tuple((red, green, blue) for red, green, blue in colours)
