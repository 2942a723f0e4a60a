"""Photographs: 8-bit pictures without a CRS, upright as their EXIF orientation says.

Their codecs cannot jump to a window, so they are decoded once, when first read; by Pillow, as the training pipelines of
vision models do (GDAL's JPEG decoder gives slightly other colours), which also refuses files that were cut short.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from zoo.errors import InputError
from zoo.io.grid import Grid
from zoo.io.source import Mask, Pixels, RasterSource
from zoo.tiling import Window

DRIVERS = ("JPEG", "PNG", "WEBP")  # GDAL's names
EXIF_ORIENTATION = 274
TURNED = (5, 6, 7, 8)  # EXIF 2.32, 4.6.4: stored on their side
MODES = {"RGB": "RGB", "RGBA": "RGBA", "L": "L", "LA": "LA", "CMYK": "RGB", "YCbCr": "RGB", "1": "L"}


@dataclass(frozen=True, kw_only=True)
class PhotoSource(RasterSource):
    """A photograph; see `RasterSource`."""

    path: str
    _picture: _Picture

    def _inside(self, window: Window, channels: tuple[int, ...]) -> tuple[Pixels, Mask | None]:
        pixels, mask = self._picture.decoded()
        rows, cols = window.slices
        return pixels[:, rows, cols][list(channels)], None if mask is None else mask[rows, cols].copy()


def open_photograph(path: str, tags: Mapping[str, str]) -> PhotoSource | None:
    """The photograph at `path`, 8 bits per channel, with the tags that GDAL found.

    Returns:
        `None` where it is better read by windows: larger than Pillow's own limit of 90 million pixels.

    Raises:
        InputError: the file is damaged.
    """
    try:
        with Image.open(path) as picture:
            mode, (width, height) = _mode(picture), picture.size
            turned = picture.getexif().get(EXIF_ORIENTATION) in TURNED
    except UnidentifiedImageError:
        return None
    except (OSError, SyntaxError) as err:
        raise _damaged(path, err) from err
    if mode is None or width * height > (Image.MAX_IMAGE_PIXELS or 0):
        return None
    names = ("red", "green", "blue") if mode.startswith("RGB") else (None,)
    return PhotoSource(
        name=Path(path).name,
        path=path,
        grid=Grid(height=width, width=height) if turned else Grid(height=height, width=width),
        dtype="uint8",
        names=names,
        nodata_by_band=(None,) * len(names),
        scales=(1.0,) * len(names),
        offsets=(0.0,) * len(names),
        units=(None,) * len(names),
        tags=tags,
        _picture=_Picture(path, mode),
    )


def _mode(picture: Image.Image) -> str | None:
    """The mode to decode to; palettes become the colours that they stand for."""
    if picture.mode == "P":
        return "RGBA" if "transparency" in picture.info else "RGB"
    return MODES.get(picture.mode)


class _Picture:
    """The pixels of one photograph, decoded when first asked for; again in each process."""

    def __init__(self, path: str, mode: str) -> None:
        self._path, self._mode = path, mode
        self._decoding = threading.Lock()
        self._decoded: tuple[Pixels, Mask | None] | None = None

    def __reduce__(self) -> tuple[type[_Picture], tuple[str, str]]:
        return _Picture, (self._path, self._mode)

    def decoded(self) -> tuple[Pixels, Mask | None]:
        with self._decoding:
            if self._decoded is None:
                self._decoded = self._decode()
            return self._decoded

    def _decode(self) -> tuple[Pixels, Mask | None]:
        try:
            with Image.open(self._path) as picture:
                upright = ImageOps.exif_transpose(picture).convert(self._mode)
        except (OSError, SyntaxError) as err:
            raise _damaged(self._path, err) from err
        pixels = np.atleast_3d(np.asarray(upright)).transpose(2, 0, 1)
        if self._mode in ("RGBA", "LA"):
            return np.ascontiguousarray(pixels[:-1]), pixels[-1] > 0
        return np.ascontiguousarray(pixels), None


def _damaged(path: str, err: Exception) -> InputError:
    """What Pillow's errors mean: OSError for what is cut short, SyntaxError for broken PNGs."""
    return InputError(
        f"{path}: cannot decode the picture: {err}; the file is damaged or cut short"
        f" ({Path(path).stat().st_size} bytes); copy or export it again"
    )
