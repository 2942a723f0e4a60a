"""Class maps as PNG: pixel values are class ids, as training labels are kept, and a palette colours them to the eye.

The legend (names and colours) and the provenance are in the file's text chunks. PNG holds no CRS: for maps on the
ground write a GeoTIFF.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zoo.errors import OutputError
from zoo.io.cog import COLOUR_TAG, RasterFile, class_tags, palette
from zoo.io.source import Pixels

LARGEST_PX = 100_000_000  # ours: a larger picture opens nowhere, and PNG is written from memory


def check_label_png(path: Path, height: int, width: int) -> None:
    """Raise unless a class map of that size can be a PNG; said before any work is done.

    Raises:
        OutputError: it is too large.
    """
    if height * width > LARGEST_PX:
        raise OutputError(
            f"{path.name}: a map of {height} x {width} px is too large for a PNG (at most {LARGEST_PX:,} px);"
            f" write {path.stem}.tif, which is read by windows"
        )


def write_label_png(path: Path, ids: Pixels, file: RasterFile) -> None:
    """Write class ids (H, W), uint8, with the palette of `file.classes`; nodata is transparent."""
    check_label_png(path, *ids.shape)
    colours = palette(file.classes, file.colours)
    picture = Image.fromarray(ids, mode="P")
    flat = [channel for colour in colours for channel in colour[:3]]
    picture.putpalette(flat + [0] * (768 - len(flat)))
    text = PngInfo()
    legend = class_tags(file.classes, file.colours) | {COLOUR_TAG: json.dumps([colour[:3] for colour in colours])}
    for key, value in (legend | dict(file.tags)).items():
        text.add_itxt(key, value)
    transparent: Mapping[str, int] = {} if file.nodata is None else {"transparency": int(file.nodata)}
    picture.save(path, format="PNG", pnginfo=text, **transparent)
