"""A small synthetic world: valleys with rivers and lakes between mountains, and a climate, all from one seed.

`build_world(seed)` draws a few numbers; everything else is a function of position, so that any `Frame` (window and pixel
size) of the unbounded world can be drawn alone, quickly, and agrees with every other frame of the same place:

    place = build_world(0).at(Frame.centred(512, pixel_m=10.0))
    place.elevation_m, place.temperature_c, place.cover, place.materials

A new layer (a reef, a fire, a species) is a function of a `Place`; a new sensor is a function of `Place.materials`
(`zoo.samples.sensors`). Positions are metres east and north of the world's origin, which stands at a bend of the main
river beside a town and has coordinates in a real UTM zone. The place is invented: nothing is there on any map.

Shapes and amplitudes are ours, chosen until scenes of 5 km held every kind of cover; physical constants name a source.
"""

# H W pixels

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rasterio import Affine

from zoo.errors import ConfigError
from zoo.samples.noise import Floats, curve, smooth, uniform
from zoo.samples.rivers import VALLEY_SPACING_M, half_water_m, river_course_m, river_level_m

if TYPE_CHECKING:
    from zoo.samples.cover import Growth

LAPSE_K_PER_M = 0.0065  # ICAO standard atmosphere (Doc 7488), troposphere
STREAM_SPACING_M = 3_200.0  # ours
FLOODPLAIN_SLOPE = 0.004  # ours: 4 m per km away from the river

# Channels of the lattices, so that no two fields share their random numbers.
FIELDS = {"relief": 0, "forest": 1, "conifer": 2, "moisture": 3, "warp_u": 4, "warp_v": 5, "vigour": 6, "speckled": 7}
# Which fields are needed at which wavelength (m); one pass draws all fields of a wavelength.
OCTAVES: dict[float, tuple[str, ...]] = {
    3200.0: ("relief", "forest", "conifer", "moisture", "warp_u", "warp_v"),
    1300.0: ("relief", "forest", "conifer", "moisture", "vigour"),
    520.0: ("relief", "forest", "conifer", "moisture", "warp_u", "warp_v"),
    210.0: ("relief", "forest", "moisture", "vigour"),
    85.0: ("relief", "forest", "speckled"),
    34.0: ("speckled",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A window on the world: north-up pixels of `pixel_m`, its north-west corner at (west_m, north_m)."""

    west_m: float
    north_m: float
    pixel_m: float
    height: int
    width: int

    @classmethod
    def centred(
        cls, size: int | tuple[int, int], *, pixel_m: float, centre_m: tuple[float, float] = (0.0, 0.0)
    ) -> Frame:
        """Frame of `size` pixels (height, width) about a point (east, north), snapped to whole pixels."""
        height, width = (size, size) if isinstance(size, int) else size
        if min(height, width) < 1 or pixel_m <= 0:
            raise ConfigError(f"a frame of {height} x {width} pixels of {pixel_m} m is empty; give sizes above 0")
        west = round(centre_m[0] / pixel_m - width / 2) * pixel_m
        north = round(centre_m[1] / pixel_m + height / 2) * pixel_m
        return cls(west_m=west, north_m=north, pixel_m=pixel_m, height=height, width=width)

    @property
    def x_m(self) -> NDArray[np.float64]:
        """East coordinate of the columns' centres, (W,)."""
        east: NDArray[np.float64] = self.west_m + (np.arange(self.width, dtype=np.float64) + 0.5) * self.pixel_m
        return east

    @property
    def y_m(self) -> NDArray[np.float64]:
        """North coordinate of the rows' centres, (H,), falling."""
        north: NDArray[np.float64] = self.north_m - (np.arange(self.height, dtype=np.float64) + 0.5) * self.pixel_m
        return north

    def grown(self, *, top: int = 0, left: int = 0, bottom: int = 0, right: int = 0) -> Frame:
        """The frame with so many more pixels at each side."""
        return replace(
            self,
            west_m=self.west_m - left * self.pixel_m,
            north_m=self.north_m + top * self.pixel_m,
            height=self.height + top + bottom,
            width=self.width + left + right,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """The few numbers from which everything follows.

    Attributes:
        epsg: UTM zone (WGS 84) in which the world's origin has the coordinates `origin_m` (easting, northing).
        base_m: elevation of the river at the origin.
        relief_m: how far the mountains rise above the valley floor.
        fall_m_per_km: how fast the river falls, southwards.
        floodplain_m: width of the flat land on each side of a river.
        slope_m: distance over which the valley's sides rise.
        sea_level_c: mean annual temperature at sea level.
        rain_mm: annual precipitation at sea level.
        field_angle: direction of the fields (radians from east).
    """

    seed: int
    epsg: int
    origin_m: tuple[float, float]
    base_m: float
    relief_m: float
    fall_m_per_km: float
    floodplain_m: float
    slope_m: float
    sea_level_c: float
    rain_mm: float
    field_angle: float

    def at(self, frame: Frame) -> Place:
        """The part of the world inside a frame."""
        return Place(self, frame)

    def transform(self, frame: Frame) -> Affine:
        """Pixel (column, row) to UTM (easting, northing)."""
        east, north = self.origin_m
        return Affine(frame.pixel_m, 0.0, east + frame.west_m, 0.0, -frame.pixel_m, north + frame.north_m)


@lru_cache(maxsize=256)
def build_world(seed: int) -> World:
    """The world of a seed (>= 0)."""
    if seed < 0:
        raise ConfigError(f"the world's seed is {seed}; expected 0 or a positive whole number")
    draw = [float(number) for number in uniform(seed, 1014, np.arange(9))]  # 1014: world 0 has all covers
    latitude = 43.0 + 17.0 * draw[0]  # ours: temperate Europe
    zone = 31 + int(4 * draw[1])
    # 111.1 km per degree along a meridian, times UTM's scale of 0.9996; whole multiples of 60 m, as Sentinel-2's grid.
    northing = 60.0 * round(111_132.0 * 0.9996 * latitude / 60)
    easting = 60.0 * round((500_000.0 + 240_000.0 * (draw[2] - 0.5)) / 60)
    return World(
        seed=seed,
        epsg=32600 + zone,
        origin_m=(easting, northing),
        base_m=100.0 + 500.0 * draw[3] ** 2,
        relief_m=250.0 + 950.0 * draw[4],
        fall_m_per_km=0.8 + 1.2 * draw[5],
        floodplain_m=600.0 + 500.0 * draw[6],
        slope_m=1000.0 + 1300.0 * draw[7],
        sea_level_c=14.0 - 0.45 * (latitude - 43.0),  # ours: roughly 14 degC at 43 N and 6 degC at 60 N
        rain_mm=550.0 + 500.0 * draw[8],
        field_angle=np.pi * draw[2],
    )


class Place:
    """The part of a world inside a frame; layers are drawn when first asked for and kept.

    All layers are (H, W) of the frame and float32 unless they say otherwise. `zoo.samples.cover` adds what grows and
    what is built (`cover`, `materials`).
    """

    def __init__(self, world: World, frame: Frame) -> None:
        self.world = world
        self.frame = frame
        # one more pixel on each side, so that slopes at the rim are the same as in the middle
        self._x_m = frame.grown(left=1, right=1).x_m
        self._y_m = frame.grown(top=1, bottom=1).y_m
        self._fields: dict[tuple[str, float], Floats] = {}

    @cached_property
    def _octaves(self) -> dict[tuple[str, float], Floats]:
        octaves = {}
        for wavelength, names in OCTAVES.items():
            if wavelength < 2 * self.frame.pixel_m:
                continue  # finer than the pixels can show
            drawn = smooth(self.world.seed, [FIELDS[name] for name in names], self._x_m, self._y_m, wavelength)
            octaves.update({(name, wavelength): field for name, field in zip(names, drawn, strict=True)})
        return octaves

    def field(self, name: str, persistence: float = 0.6) -> Floats:
        """Fractal field of `FIELDS`, variance about 1: its octaves, each `persistence` times as strong as the last."""
        return self._rimmed_field(name, persistence)[1:-1, 1:-1]

    def _rimmed_field(self, name: str, persistence: float) -> Floats:
        if (name, persistence) in self._fields:
            return self._fields[name, persistence]
        layers = [field for (owner, _), field in self._octaves.items() if owner == name]
        weights = persistence ** np.arange(len(layers), dtype=np.float32)
        weights /= np.sqrt(np.sum(weights**2))
        total = np.zeros((self._y_m.size, self._x_m.size), np.float32)
        for weight, layer in zip(weights, layers, strict=True):
            total += weight * layer
        self._fields[name, persistence] = total
        return total

    # ------------------------------------------------------------------------------------------------ rivers, terrain

    @cached_property
    def _course(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Of each row: the main river's east coordinate (m), its tilt (m per m) and half the width of its water (m)."""
        y = self._y_m
        before, course, after = np.split(river_course_m(self.world.seed, np.concatenate([y - 10, y, y + 10])), 3)
        return course, (after - before) / 20, half_water_m(self.world.seed, y)

    @property
    def course_m(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of each row: the main river's east coordinate and half the width of its water, (H,) each."""
        course, _, half_water = self._course
        return course[1:-1], half_water[1:-1]

    @cached_property
    def _shore_m(self) -> Floats:
        course, tilt, half = self._course
        offset = (self._x_m - course[:, None] + VALLEY_SPACING_M / 2) % VALLEY_SPACING_M - VALLEY_SPACING_M / 2
        distance = np.abs(offset / np.sqrt(1 + tilt[:, None] ** 2)).astype(np.float32)
        half_water = half[:, None].astype(np.float32)
        wobble = 6 * self._octaves.get(("moisture", 210.0), np.float32(0)) * (1 + half_water / 60)
        return distance - half_water + np.clip(wobble, -0.4 * half_water, 0.8 * half_water)

    @cached_property
    def _stream_m(self) -> Floats:
        """Distance to the middle of the nearest side stream (m)."""
        cells = np.floor(self._y_m / STREAM_SPACING_M).astype(np.int64)
        numbers, which = np.unique(cells, return_inverse=True)
        middle = STREAM_SPACING_M * (numbers + 0.35 + 0.3 * uniform(self.world.seed, 31, numbers))
        east = np.concatenate([self._x_m - 5, self._x_m, self._x_m + 5])
        bends = 170 * curve(self.world.seed, 3200 + 2 * numbers, east, 1500.0)
        bends += 30 * curve(self.world.seed, 3201 + 2 * numbers, east, 400.0)
        before, here, after = np.split(bends, 3, axis=1)
        stretch = np.sqrt(1 + ((after - before) / 10) ** 2).astype(np.float32)[which]
        away = np.abs((self._y_m - middle[which])[:, None] - here[which]).astype(np.float32)
        return away / stretch

    @cached_property
    def _elevation_m(self) -> Floats:
        world, shore = self.world, np.maximum(self._shore_m, 0)
        level = world.base_m + river_level_m(world.seed, world.fall_m_per_km, self._y_m)[:, None].astype(np.float32)
        floor = np.maximum(world.floodplain_m * (1 + 0.3 * self._octaves.get(("moisture", 3200.0), np.float32(0))), 250)
        beyond = np.maximum(shore - floor, 0)
        side = 1 - np.exp(-((beyond / world.slope_m) ** 2))
        rough = 1 - np.exp(-((beyond / 600) ** 2))
        crests = np.zeros_like(shore)
        for (owner, wavelength), octave in self._octaves.items():
            if owner == "relief":
                crests += 0.6 * (1.2 - np.abs(octave)) * (wavelength / 3200) ** 0.9
        bed = level + FLOODPLAIN_SLOPE * shore + 0.45 * world.relief_m * side
        ground = bed + world.relief_m * (0.55 * side + 0.55 * rough * np.maximum(crests, 0))
        ground += 2.5 * np.clip(shore / 150, 0, 1) * (1 + np.clip(self._rimmed_field("relief", 0.5), -1, 3))
        gorge = np.exp(-((self._stream_m / 330) ** 2)) * np.clip(shore / 100, 0, 1)
        elevation: Floats = (ground - gorge * (ground - bed)).astype(np.float32)
        return elevation

    @property
    def elevation_m(self) -> Floats:
        """Height of the ground, or of the water's surface."""
        return self._elevation_m[1:-1, 1:-1]

    @cached_property
    def gradient(self) -> tuple[Floats, Floats]:
        """Rise of the ground towards east and towards north (m per m)."""
        high, twice = self._elevation_m, 2 * self.frame.pixel_m
        return (high[1:-1, 2:] - high[1:-1, :-2]) / twice, (high[:-2, 1:-1] - high[2:, 1:-1]) / twice

    @cached_property
    def slope(self) -> Floats:
        """Steepness of the ground (m per m)."""
        east, north = self.gradient
        return np.hypot(east, north)

    @property
    def shore_m(self) -> Floats:
        """Distance to the shore of the nearest river or lake: negative in the water."""
        return self._shore_m[1:-1, 1:-1]

    @property
    def stream_m(self) -> Floats:
        """Distance to the middle of the nearest side stream."""
        return self._stream_m[1:-1, 1:-1]

    # -------------------------------------------------------------------------------------------------------- climate

    @cached_property
    def temperature_c(self) -> Floats:
        """Mean annual temperature of the air: falls with height by the lapse rate."""
        cooled = self.world.sea_level_c - LAPSE_K_PER_M * self.elevation_m
        return cooled.astype(np.float32)

    @cached_property
    def precipitation_mm(self) -> Floats:
        """Annual precipitation: rises by half per km of height (ours), more where the ground faces the west wind."""
        uplift = 1 + 0.0005 * self.elevation_m + 0.25 * np.tanh(2 * self.gradient[0])
        return (self.world.rain_mm * uplift).astype(np.float32)

    # ---------------------------------------------------------------------------------------------------------- cover

    @cached_property
    def _growth(self) -> Growth:
        from zoo.samples.cover import Growth  # which builds on this module

        return Growth(self)

    @property
    def cover(self) -> NDArray[np.uint8]:
        """Number of the land cover in `zoo.samples.cover.COVERS`, uint8."""
        return self._growth.cover

    @property
    def parcels(self) -> NDArray[np.int64]:
        """Number of the field that a pixel belongs to; -1 where there are no fields."""
        return self._growth.parcels

    @property
    def materials(self) -> Floats:
        """Share of each of `zoo.samples.spectra.MATERIALS` in the pixel, (M, H, W), adding up to 1."""
        return self._growth.dressed[0]

    @property
    def height_m(self) -> Floats:
        """Height of trees and buildings above the ground; 0 where the pixels are too coarse to show them."""
        return self._growth.dressed[1]
