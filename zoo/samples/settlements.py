"""Towns, villages, roads and buildings of the synthetic world.

Settlements stand at intervals along a road that follows each river; a second road crosses the valley at each of them.
Inside, streets part blocks, blocks are cut into lots, and a lot may hold a house. All sizes are ours.
"""

# H W pixels

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zoo.samples.noise import Floats, curve, uniform
from zoo.samples.rivers import VALLEY_SPACING_M, half_water_m, river_course_m
from zoo.samples.world import Place

Lengths = NDArray[np.floating]
Half = float | NDArray[np.floating]

TOWN_SPACING_M = 2_600.0
BLOCK_M = (92.0, 66.0)
LOTS = (5, 2)  # per block


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """What people built.

    `urban`: inside a settlement. `roads`: share of the pixel under asphalt. `buildings`: material, share of the pixel
    under such roofs, height (m) of the building.
    """

    urban: NDArray[np.bool_]
    roads: Floats
    buildings: tuple[tuple[str, Floats, Floats], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Town:
    """One settlement: its middle (m), how far it reaches, how its streets lie (radians)."""

    number: int
    east_m: float
    north_m: float
    radius_m: float
    angle: float


def _beside_m(seed: int, y_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far east of the water's edge the main road runs."""
    return 330 + 70 * curve(seed, 41, y_m, 2300.0)


def towns(place: Place) -> list[Town]:
    """Settlements that may reach into the frame. The one at the world's origin is always a town."""
    seed, frame = place.world.seed, place.frame
    reach, east_end = 1500.0, frame.west_m + frame.width * frame.pixel_m
    south = frame.north_m - frame.height * frame.pixel_m
    rows = range(int((south - reach) // TOWN_SPACING_M), int((frame.north_m + reach) // TOWN_SPACING_M) + 1)
    first, last = round((frame.west_m - reach - 600) / VALLEY_SPACING_M), round((east_end + reach) / VALLEY_SPACING_M)
    found = (_town(seed, k, valley) for k in rows for valley in range(first, last + 1))
    return [town for town in found if town is not None]


@lru_cache(maxsize=4096)
def _town(seed: int, k: int, valley: int) -> Town | None:
    """The settlement number `k` along the road of a valley, or None."""
    draw = [float(number) for number in uniform(seed, 42, k, valley, np.arange(4))]
    home = k == 0 and valley == 0
    if draw[0] > 0.75 and not home:
        return None
    radius = 480 + 160 * draw[1] if home or draw[1] > 0.8 else 130 + 220 * draw[1]
    north = 0.0 if home else TOWN_SPACING_M * (k + 0.5 * (draw[2] - 0.5))
    here = np.array([north])
    road = river_course_m(seed, here) + half_water_m(seed, here) + _beside_m(seed, here)
    east = float(road[0]) + valley * VALLEY_SPACING_M + 0.3 * radius
    return Town(number=1000 * k + valley, east_m=east, north_m=north, radius_m=radius, angle=draw[3] - 0.5)


class _Site:
    """What has been built so far on a frame."""

    def __init__(self, height: int, width: int) -> None:
        self.urban = np.zeros((height, width), bool)
        self.roads = np.zeros((height, width), np.float32)
        self.shares = {name: np.zeros((height, width), np.float32) for name in ("tiles", "slate", "metal")}
        self.heights = {name: np.zeros((height, width), np.float32) for name in self.shares}

    def raise_roof(self, material: str, box: tuple[slice, slice], share: Floats, height_m: Floats | np.float32) -> None:
        """Add roofs inside the box (rows, columns)."""
        shares, heights = self.shares[material][box], self.heights[material][box]
        np.maximum(shares, share, out=shares)
        np.maximum(heights, np.where(share > 0.5, height_m, 0), out=heights)


def settle(place: Place) -> Settled:
    """Draw the settlements and roads of a place."""
    frame = place.frame
    x, y = frame.x_m, frame.y_m
    site = _Site(frame.height, frame.width)
    for town in towns(place):
        _cross_road(place, town, site.roads)
        columns = np.flatnonzero(np.abs(x - town.east_m) < 1.6 * town.radius_m)
        rows = np.flatnonzero(np.abs(y - town.north_m) < 1.6 * town.radius_m)
        if columns.size == 0 or rows.size == 0:
            continue
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        _build_up(place, town, box, site)
    course, half_water = place.course_m
    road = course + half_water + _beside_m(place.world.seed, y)
    main = (x - road[:, None] + VALLEY_SPACING_M / 2) % VALLEY_SPACING_M
    np.maximum(site.roads, stripe(main - VALLEY_SPACING_M / 2, 4.5, frame.pixel_m), out=site.roads)
    buildings = tuple((name, site.shares[name], site.heights[name]) for name in site.shares)
    return Settled(urban=site.urban, roads=site.roads, buildings=buildings)


def _cross_road(place: Place, town: Town, roads: Floats) -> None:
    """A road across the valley, through the town, up to where the floodplain ends."""
    frame, seed = place.frame, place.world.seed
    reach = place.world.floodplain_m * 1.3
    columns = np.flatnonzero(np.abs(frame.x_m - town.east_m + 300) < reach)
    if columns.size == 0 or np.abs(frame.y_m - town.north_m).min() > 300:
        return
    line = slice(columns[0], columns[-1] + 1)
    bend = town.north_m + 60 * curve(seed, 4300 + town.number, frame.x_m[line], 900.0)
    share = stripe(frame.y_m[:, None] - bend[None], 3.5, frame.pixel_m)
    np.maximum(roads[:, line], share, out=roads[:, line])


def _build_up(place: Place, town: Town, box: tuple[slice, slice], site: _Site) -> None:
    frame, seed = place.frame, place.world.seed
    east, north = frame.x_m[None, box[1]] - town.east_m, frame.y_m[box[0], None] - town.north_m
    out = np.hypot(east, north) / town.radius_m
    frayed = out + 0.12 * place.field("vigour")[box] + 0.08 * place.field("relief", 1.0)[box]
    inside = (frayed < 1) | ((frayed < 1.25) & (np.abs(north) < 70))  # a tongue along the road
    inside &= place.shore_m[box] > 20
    if not inside.any():
        return
    site.urban[box] |= inside
    if frame.pixel_m > 60:
        return  # nothing of what follows would be seen
    along = east * np.cos(town.angle) + north * np.sin(town.angle)
    across = north * np.cos(town.angle) - east * np.sin(town.angle)
    block = [np.floor(t / size).astype(np.int64) for t, size in zip((along, across), BLOCK_M, strict=True)]
    local = [t - n * size for t, n, size in zip((along, across), block, BLOCK_M, strict=True)]
    street = np.minimum(*(np.minimum(t, size - t) for t, size in zip(local, BLOCK_M, strict=True)))
    np.maximum(site.roads[box], inside * stripe(street, 3.6, frame.pixel_m), out=site.roads[box])

    low = [n.min() for n in block]
    blocks = uniform(
        seed, 44, town.number, np.arange(low[0], block[0].max() + 1)[:, None], np.arange(low[1], block[1].max() + 1)
    )
    use = blocks[block[0] - low[0], block[1] - low[1]]
    hall = (use > 0.86) & (use < 0.97)  # works and shops: one large roof; above that a park
    edge = _rectangle(local[0] - BLOCK_M[0] / 2, local[1] - BLOCK_M[1] / 2, 34.0, 22.0, frame.pixel_m)
    site.raise_roof("metal", box, edge * (hall & inside), np.float32(9.0))

    ticket, share = _houses(seed, town, local, block, frame.pixel_m)
    built = inside & (use <= 0.86) & (ticket[0] < 0.98 - 0.35 * out)
    storeys = np.where(out < 0.35, 12.0, 6.5).astype(np.float32) + (2 * ticket[1]).astype(np.float32)
    for name, low_draw, high_draw in (("tiles", 0.0, 0.62), ("slate", 0.62, 0.96), ("metal", 0.96, 1.0)):
        mine = built & (ticket[1] >= low_draw) & (ticket[1] < high_draw)
        site.raise_roof(name, box, share * mine, storeys)


def _houses(
    seed: int, town: Town, local: list[NDArray[np.float64]], block: list[NDArray[np.int64]], pixel_m: float
) -> tuple[NDArray[np.float64], Floats]:
    """Two random numbers of each pixel's lot (2, H, W), and the share of the pixel under a house there."""
    sides = [(size - 10) / count for size, count in zip(BLOCK_M, LOTS, strict=True)]
    lot = [np.clip((t - 5) // side, 0, count - 1) for t, side, count in zip(local, sides, LOTS, strict=True)]
    number = [(b * count + n).astype(np.int64) for b, count, n in zip(block, LOTS, lot, strict=True)]
    low = [n.min() for n in number]
    grid = (np.arange(low[0], number[0].max() + 1)[:, None], np.arange(low[1], number[1].max() + 1))
    draws = uniform(seed, 45, town.number, np.arange(6)[:, None, None], *grid)[
        :, number[0] - low[0], number[1] - low[1]
    ]
    from_middle = [t - 5 - (n + 0.5) * side for t, n, side in zip(local, lot, sides, strict=True)]
    half = (4.2 + 3.0 * draws[2], 5.0 + 4.5 * draws[3])
    offset = (from_middle[0] + 1.5 * (draws[4] - 0.5), from_middle[1] + 7 * (draws[5] - 0.5))
    return draws[:2], _rectangle(offset[0], offset[1], half[0], half[1], pixel_m)


def _rectangle(along_m: Lengths, across_m: Lengths, half_along_m: Half, half_across_m: Half, pixel_m: float) -> Floats:
    return stripe(along_m, half_along_m, pixel_m) * stripe(across_m, half_across_m, pixel_m)


def stripe(distance_m: Lengths, half_width_m: Half, pixel_m: float) -> Floats:
    """Share of a pixel under a stripe whose middle is `distance_m` away."""
    share = np.clip((half_width_m - np.abs(distance_m)) / pixel_m + 0.5, 0, 1)
    limited: Floats = np.minimum(share, 2 * np.asarray(half_width_m) / pixel_m).astype(np.float32)
    return limited
