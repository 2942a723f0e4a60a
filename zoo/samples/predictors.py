"""What species distribution models are told of a place: climate, terrain, location and tree cover of the synthetic world."""

# H W pixels

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rasterio.warp import transform

from zoo.samples.cover import BROADLEAVED, CONIFEROUS
from zoo.samples.scenes import Scene
from zoo.samples.sensors import scene_of, seen_part
from zoo.samples.world import Frame, World

#: Variables by the names that WorldClim, SRTM and sPlotOpen give them, with their units.
UNITS = {
    "bio_1": "degC",
    "bio_12": "mm",
    "Longitude": "degree",
    "Latitude": "degree",
    "Elevation": "m",
    "Slope": "degree",
    "Aspect": "degree",
    "Cover_tree_layer": "%",
}


def predictors(world: World, frame: Frame) -> dict[str, NDArray[np.float64]]:
    """Every variable of `UNITS` at the pixels of a frame, (H, W).

    The aspect is where the ground falls to, clockwise from north; the cover of trees is counted over 3 x 3 pixels.
    """
    place = world.at(frame)
    east, north = (one.astype(np.float64) for one in place.gradient)
    trees = np.isin(place.cover, (BROADLEAVED, CONIFEROUS)).astype(np.float64)
    padded = np.pad(trees, 1, mode="edge")
    shares = [
        padded[down : down + frame.height, right : right + frame.width] for down in range(3) for right in range(3)
    ]
    lon, lat = _lon_lat(world, frame)
    found = {
        "bio_1": place.temperature_c,
        "bio_12": place.precipitation_mm,
        "Longitude": lon,
        "Latitude": lat,
        "Elevation": place.elevation_m,
        "Slope": np.degrees(np.arctan(np.hypot(east, north))),
        "Aspect": np.degrees(np.arctan2(-east, -north)) % 360,
        "Cover_tree_layer": 100 * (np.sum(shares, axis=0) / 9),
    }
    return {name: np.asarray(one, np.float64) for name, one in found.items()}


def predictor_layers(world: World, frame: Frame, *, collar_px: int = 0, gap: float = 0.0) -> Scene:
    """The variables as float32 bands, but for the location, which a map has itself; NaN where there is a gap."""
    found = predictors(world, frame)
    names = tuple(name for name in UNITS if name not in ("Longitude", "Latitude"))
    return scene_of(
        world,
        frame,
        pixels=np.stack([found[name] for name in names]).astype(np.float32),
        names=names,
        nodata=np.nan,
        seen=seen_part(world, frame, collar_px, gap),
        cover=world.at(frame).cover,
        tags={},
        units=tuple(UNITS[name] for name in names),
    )


def _lon_lat(world: World, frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    cols, rows = np.meshgrid(np.arange(frame.width) + 0.5, np.arange(frame.height) + 0.5)
    x, y = world.transform(frame) * (cols.ravel(), rows.ravel())
    lon, lat = transform(f"EPSG:{world.epsg}", "EPSG:4326", x, y)
    return np.reshape(lon, cols.shape), np.reshape(lat, cols.shape)
