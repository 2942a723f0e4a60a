"""`zoo data stats` against a bare read of the same windows by as many threads, in the same process.

Two files of 4 bands, tiled 512 x 512, compressed by deflate: uint16 as Sentinel-2 looks (correlated ground, some noise) and
float32 as a reflectance product looks. The bare read is rasterio's alone, one handle per thread, and counts nothing.
Both are measured in turn, the best of several rounds counts. Target: at least 0.8 times the speed of the bare read.
"""

from __future__ import annotations

import argparse
import os
import queue
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

from zoo.datasets.countable import windows_of
from zoo.datasets.statistics import statistics
from zoo.io.rasters import gdal, open_raster

SIDE, BANDS = 4096, 4


def write(path: Path, dtype: str) -> None:
    """Rolling ground of metres to kilometres with the noise of a sensor."""
    rng = np.random.default_rng(0)
    coarse = sum(
        np.kron(rng.normal(size=(SIDE // size, SIDE // size)), np.ones((size, size), "f4")) for size in (8, 64, 512)
    )
    profile = {
        "driver": "GTiff", "height": SIDE, "width": SIDE, "count": BANDS, "dtype": dtype, "nodata": 0, "tiled": True,
        "blockxsize": 512, "blockysize": 512, "compress": "deflate", "interleave": "band",
        "predictor": 2 if dtype == "uint16" else 3, "transform": from_origin(5e5, 5.2e6, 10, 10), "crs": "EPSG:32632",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        for band in range(1, BANDS + 1):
            ground = 1200 + 250 * band + 200 * coarse + rng.normal(scale=20, size=(SIDE, SIDE)).astype("f4")
            numbers = np.clip(ground, 1, 10_000)
            file.write((numbers if dtype == "uint16" else numbers / 10_000).astype(dtype), band)


def bare(path: Path, workers: int) -> float:
    """Seconds to read all windows and keep nothing."""
    source = open_raster(path)
    windows = windows_of(source, source.count)
    start = time.perf_counter()
    with gdal(), ThreadPoolExecutor(workers) as pool:
        handles: queue.SimpleQueue[rasterio.DatasetReader] = queue.SimpleQueue()
        for _ in range(workers):
            handles.put(rasterio.open(path))

        def read(window) -> None:
            handle = handles.get()
            handle.read(window=Window(window.col, window.row, window.width, window.height))
            handles.put(handle)

        for _ in pool.map(read, windows):
            pass
        for _ in range(workers):
            handles.get().close()
    return time.perf_counter() - start


def counted(path: Path, workers: int) -> float:
    """Seconds to count all windows."""
    start = time.perf_counter()
    statistics([path], workers=workers)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    megapixels = SIDE * SIDE / 1e6
    print(f"{SIDE} x {SIDE} x {BANDS}, {len(os.sched_getaffinity(0))} processors, best of {rounds}")
    print("file     threads  bare read Mpx/s  zoo data stats Mpx/s  ratio")
    with tempfile.TemporaryDirectory() as folder:
        for dtype in ("uint16", "float32"):
            path = Path(folder) / f"{dtype}.tif"
            write(path, dtype)
            for workers in (1, 2):
                times = np.array([(bare(path, workers), counted(path, workers)) for _ in range(rounds)])
                read, count = times.min(axis=0)
                print(
                    f"{dtype:8} {workers:7}  {megapixels / read:15.1f}  {megapixels / count:20.1f}  {read / count:5.2f}"
                )


if __name__ == "__main__":
    main()
