"""Pictures of what sensors record and networks answer, small enough to lie inside a page."""

# C channels, H W pixels, D width

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from zoo.results.pictures import Components, fit_components
from zoo.samples import Scene

Numbers = np.ndarray[Any, np.dtype[Any]]

SHOWN_PX = 640  # ours: more than a column of the page has, on a screen of twice the usual density
SAMPLE = 20_000  # vectors that colours are fitted on
WHITE = 2300.0  # ours: Sentinel-2 number (reflectance 0.23) that is shown as white
DB = ((-20.0, 0.0), (-26.0, -5.0), (-1.0, 15.0))  # ours: VV, VH, VV - VH from black to full colour


def photo_uri(rgb: Numbers, side: int = SHOWN_PX) -> str:
    """(H, W, 3) uint8 as a JPEG of at most `side` pixels."""
    image = Image.fromarray(rgb)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _uri(image, "jpeg", quality=88)


def map_uri(rgb: Numbers) -> str:
    """(H, W, 3) or, with transparency, (H, W, 4) uint8 as a PNG, every pixel kept."""
    return _uri(Image.fromarray(rgb), "png", optimize=True)


def _uri(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def seen_by_eye(scene: Scene) -> Numbers:
    """(H, W, 3) uint8: photographs as they are, Sentinel-2 in true colour, Sentinel-1 as VV, VH and their ratio."""
    place = {name: index for index, name in enumerate(scene.names)}
    if {"B04", "B03", "B02"} <= place.keys():
        reflected = scene.pixels[[place["B04"], place["B03"], place["B02"]]].astype(np.float32)
        return _eight_bits(np.clip(reflected / WHITE, 0, 1) ** (1 / 2.2))
    if {"VV", "VH"} <= place.keys():
        co, cross = (scene.pixels[place[name]].astype(np.float32) for name in ("VV", "VH"))
        low, high = np.array(DB, np.float32).T[..., None, None]
        return _eight_bits((np.stack([co, cross, co - cross]) - low) / (high - low))
    return np.moveaxis(np.asarray(scene.pixels[:3]), 0, -1)


def _eight_bits(shares: Numbers) -> Numbers:
    """(3, H, W) of 0 ... 1 as (H, W, 3) uint8, black where there are no data."""
    return np.moveaxis(np.rint(np.clip(np.nan_to_num(shares), 0, 1) * 255).astype(np.uint8), 0, -1)


def ramp(shares: Numbers, colours: Sequence[str]) -> Numbers:
    """(H, W, 4) uint8 of numbers from 0 to 1 (H, W), evenly along `colours` (`"#rrggbb"`); transparent where NaN."""
    stops = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in colours], np.float64)
    known = np.isfinite(shares)
    place = np.clip(np.where(known, shares, 0.0), 0, 1)
    at = np.linspace(0, 1, len(stops))
    rgb = np.stack([np.interp(place, at, channel) for channel in stops.T], axis=-1)
    return np.concatenate([np.rint(rgb), 255.0 * known[..., None]], axis=-1).astype(np.uint8)


def directions(maps: Numbers) -> Numbers:
    """(D, H, W) to (H * W, D) of unit length: nearness of embeddings is that of their directions."""
    rows = maps.reshape(len(maps), -1).T.astype(np.float64)
    unit: Numbers = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit


def shared_colours(maps: Sequence[Numbers]) -> list[Numbers]:
    """(H, W, 4) uint8 per map (D, H, W): three principal components of all maps together as red, green and blue.

    The same colour means a similar embedding in each of them; cells without data are transparent.
    """
    rows = [directions(one) for one in maps]
    known = [np.asarray(np.isfinite(one).all(axis=1)) for one in rows]
    share = SAMPLE // len(maps)
    sample = [one[good][:: max(int(good.sum()) // share, 1)] for one, good in zip(rows, known, strict=True)]
    fitted = fit_components(np.concatenate(sample))
    return [
        _coloured(fitted, one, good).reshape(*each.shape[1:], 4)
        for one, good, each in zip(rows, known, maps, strict=True)
    ]


def _coloured(fitted: Components, rows: Numbers, known: Numbers) -> Numbers:
    rgba = np.zeros((len(rows), 4), np.uint8)
    rgba[known, :3] = np.rint(fitted.colours(rows[known]) * 255)
    rgba[known, 3] = 255
    return rgba
