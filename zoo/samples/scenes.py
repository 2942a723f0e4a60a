"""Scenes: what one sensor recorded of one place, as arrays with their geography, and as GeoTIFF."""

# C channels, H W pixels

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.errors import RasterioError

from zoo.errors import OutputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Pixels with all that a file would say of them.

    Attributes:
        pixels: (C, H, W), in the sensor's usual numbers and dtype.
        names: name of each channel as the sensor's users write it (`"B04"`, `"VV"`).
        nodata: number that stands for "not seen", NaN for floats.
        crs: `"EPSG:326.."`.
        transform: pixel (column, row) to (easting, northing) in metres.
        cover: the truth on the same pixels: number of the land cover in `samples.COVERS`, 255 where not seen, (H, W).
        tags: what else a product says of itself (sensor, level, unit, classes).
        units: of each channel, where they differ; empty where the tags say the one.
    """

    pixels: NDArray[np.generic]
    names: tuple[str, ...]
    nodata: float
    crs: str
    transform: Affine
    cover: NDArray[np.uint8]
    tags: Mapping[str, str] = field(default_factory=dict)
    units: tuple[str, ...] = ()

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Pixels that were seen, (H, W)."""
        missing = np.isnan(self.pixels) if np.isnan(self.nodata) else self.pixels == self.nodata
        valid: NDArray[np.bool_] = ~missing.all(axis=0)
        return valid


def write(scene: Scene, path: str | os.PathLike[str]) -> Path:
    """Write a scene as tiled, compressed GeoTIFF; the file appears whole or not at all.

    Raises:
        OutputError: the folder is missing or cannot be written, or the name does not end in .tif or .tiff.
    """
    target = Path(path)
    if target.suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"cannot write a scene as {target.name!r}: scenes are GeoTIFF; name it {target.stem}.tif")
    count, height, width = scene.pixels.shape
    profile = {
        "driver": "GTiff", "count": count, "height": height, "width": width, "dtype": scene.pixels.dtype.name,
        "crs": scene.crs, "transform": scene.transform, "nodata": scene.nodata, "compress": "deflate",
    }  # fmt: skip
    if min(height, width) >= 256:
        profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256}
    if scene.names == ("R", "G", "B"):
        profile["photometric"] = "RGB"
    try:
        handle, name = tempfile.mkstemp(suffix=".tif", prefix=f".{target.stem}-", dir=target.parent)
    except OSError as err:
        raise OutputError(f"cannot write {target}: {err.strerror}; choose a folder that exists and is yours") from err
    os.close(handle)
    part = Path(name)
    try:
        with rasterio.open(part, "w", **profile) as sink:
            sink.write(scene.pixels)
            sink.descriptions = scene.names
            sink.update_tags(**scene.tags)
            if scene.units:
                sink.units = scene.units
        part.chmod(0o666 & ~_umask())
        os.replace(part, target)
    except (OSError, RasterioError) as err:
        raise OutputError(f"cannot write {target}: {err}; is the disk full or the file in use?") from err
    finally:
        part.unlink(missing_ok=True)
    return target


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
