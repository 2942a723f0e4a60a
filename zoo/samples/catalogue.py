"""Ready scenes and labelled chips of the synthetic world, by the sensor's name."""

# N chips, C channels, H W pixels

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ConfigError
from zoo.samples.cover import COVERS
from zoo.samples.noise import uniform
from zoo.samples.predictors import predictor_layers
from zoo.samples.scenes import Scene
from zoo.samples.sensors import aerial, cover_map, sentinel1, sentinel2, sentinel2_l1c
from zoo.samples.world import Frame, World, build_world

CHIPS_PER_WORLD = 12
SEARCH_PX, SEARCH_M = 40, 350.0  # ours: grid on which places for chips are looked for


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """One way to look at the world: `render(world, frame, **options) -> Scene`, and its usual pixel."""

    render: Callable[..., Scene]
    pixel_m: float


#: Every view by name. A new sensor is one more row.
VIEWS: dict[str, View] = {
    "sentinel2": View(render=sentinel2, pixel_m=10.0),
    "sentinel2-l1c": View(render=sentinel2_l1c, pixel_m=10.0),
    "sentinel1": View(render=sentinel1, pixel_m=10.0),
    "aerial": View(render=aerial, pixel_m=0.5),
    "cover": View(render=cover_map, pixel_m=10.0),
    "predictors": View(render=predictor_layers, pixel_m=90.0),  # as SRTM's
}


def scene(
    sensor: str,
    *,
    seed: int = 0,
    size: int | tuple[int, int] = 512,
    pixel_m: float | None = None,
    centre_m: tuple[float, float] = (0.0, 0.0),
    **options: Any,
) -> Scene:
    """One scene of the world of a seed.

    Twelve bands take about 0.6 GB of memory and 1.5 s per million pixels while they are drawn; what is larger than a few
    million pixels is better drawn window by window (`Frame`, `View.render`): the ground agrees where they meet.

    Args:
        sensor: a name of `VIEWS`: `"sentinel2"`, `"sentinel2-l1c"`, `"sentinel1"`, `"aerial"`, `"cover"` (the truth),
            `"predictors"` (climate, terrain, tree cover).
        seed: which world.
        size: pixels, (height, width) or one side.
        pixel_m: size of a pixel where it is not the sensor's usual one (aerial 0.5 m, predictors 90 m, the others 10 m).
        centre_m: middle of the scene, metres east and north of the world's origin.
        options: the sensor's own (`collar_px`, `gap`; `level`, `baseline` of Sentinel-2).

    Raises:
        ConfigError: unknown sensor, empty frame, or an option out of range.
    """
    view = _view(sensor)
    frame = Frame.centred(size, pixel_m=pixel_m or view.pixel_m, centre_m=centre_m)
    return view.render(build_world(seed), frame, **options)


def chips(
    seed: int, sensor: str, n: int, size: int = 64, pixel_m: float | None = None
) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """Labelled chips from many worlds, about as many of each cover as there are places for it.

    Returns:
        pixels: (n, C, size, size) in the sensor's numbers and dtype.
        labels: (n,) number in `COVERS` of the cover that fills most of the chip.

    Chips of another seed are other places of other worlds: train on one, evaluate on another.
    """
    found = [chip(seed, sensor, index, size, pixel_m) for index in range(n)]
    labels = [int(np.bincount(seen.cover.ravel(), minlength=len(COVERS))[: len(COVERS)].argmax()) for seen in found]
    return np.stack([seen.pixels for seen in found]), np.array(labels, np.int64)


def chip(seed: int, sensor: str, index: int, size: int = 64, pixel_m: float | None = None) -> Scene:
    """One of the places of `chips`, with its truth: `chips` are the first n of them."""
    view = _view(sensor)
    number, place = divmod(index, CHIPS_PER_WORLD)
    world = build_world(int(uniform(seed, 61, number)[0] * 2**31))
    frame = Frame.centred(size, pixel_m=pixel_m or view.pixel_m, centre_m=_places(world)[place])
    return view.render(world, frame)


@lru_cache(maxsize=256)
def _places(world: World) -> tuple[tuple[float, float], ...]:
    """Places whose surroundings are one cover: each cover that the world has in turn."""
    frame = Frame.centred(SEARCH_PX, pixel_m=SEARCH_M)
    cover = world.at(frame).cover
    padded = np.pad(cover, 1, mode="edge")
    alike = sum(
        (padded[1 + down : 1 + down + SEARCH_PX, 1 + right : 1 + right + SEARCH_PX] == cover).astype(np.float64)
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0))
    )
    order = alike + uniform(world.seed, 62, np.arange(cover.size)).reshape(cover.shape)
    ranked = np.argsort(-order, axis=None, kind="stable")
    of_cover = [ranked[cover.ravel()[ranked] == number] for number in range(len(COVERS))]
    present = [places for places in of_cover if places.size]
    turn = int(uniform(world.seed, 63, 0)[0] * len(present))
    picked = [present[(turn + k) % len(present)] for k in range(CHIPS_PER_WORLD)]
    x, y = frame.x_m, frame.y_m
    chosen = []
    for k, places in enumerate(picked):
        index = places[min(k // len(present), places.size - 1)]
        chosen.append((float(x[index % SEARCH_PX]), float(y[index // SEARCH_PX])))
    return tuple(chosen)


def _view(sensor: str) -> View:
    if sensor not in VIEWS:
        raise ConfigError(f"the synthetic world has no sensor {sensor!r}; choose one of {', '.join(VIEWS)}")
    return VIEWS[sensor]
