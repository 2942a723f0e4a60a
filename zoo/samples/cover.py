"""What grows on the ground and what is built on it: land cover, fields, and the shares of materials in each pixel.

`COVERS` are the classes of the label raster: the use of the land, so that a garden in a town is urban and a hedge
between fields cropland. `Place.materials` says what a sensor sees there: shares of the materials of
`zoo.samples.spectra`, mixed linearly where a pixel is larger than what stands in it.

All thresholds are ours, chosen by eye.
"""

# H W pixels, M materials

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zoo.samples.noise import Floats, domes, smooth, uniform
from zoo.samples.settlements import Settled, settle, stripe
from zoo.samples.spectra import MATERIALS, row
from zoo.samples.world import Place

COVERS = (
    "water",
    "broadleaved forest",
    "coniferous forest",
    "grassland",
    "cropland",
    "bare ground",
    "urban",
    "wetland",
    "snow",
)
WATER, BROADLEAVED, CONIFEROUS, GRASSLAND, CROPLAND, BARE, URBAN, WETLAND, SNOW = range(len(COVERS))
COVER_NODATA = 255

TREELINE_C = 0.8  # ours: mean annual temperature, degC
SNOWLINE_C = -2.6  # ours
STRIP_M = 260.0  # ours: depth of a row of fields
CROWN_M = 8.0  # ours: spacing of trees
FINE_M = 2.5  # pixels up to this size show single trees, rows of crops and shadows

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """The pattern of fields, drawn over the whole frame and used where there is farming.

    `parcel` numbers them; `edge_m` is the distance to the field's border; `draw` two random numbers per field;
    `along_m` runs across the rows of the crop.
    """

    parcel: NDArray[np.int64]
    edge_m: Floats
    draw: tuple[Floats, Floats]
    along_m: Floats


class Growth:
    """All that stands on the ground of a place; `Place` hands the layers out under the same names."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._town = settle(place)
        self._farmed = _farmed(place)
        self._fields = draw_fields(place) if self._farmed.any() else _no_fields(place)
        self.cover = _cover(place, self._fields, self._farmed, self._town)

    @property
    def parcels(self) -> NDArray[np.int64]:
        """Number of the field, -1 outside of cropland."""
        return np.where(self.cover == CROPLAND, self._fields.parcel, -1)

    @cached_property
    def dressed(self) -> tuple[Floats, Floats]:
        """Shares of the materials (M, H, W), height of trees and buildings (H, W)."""
        place, soft = self._place, _Mixture(self._place)
        _add_ground(soft, place, self.cover, self._fields)
        _add_stream_and_roads(soft, place, self.cover, self._town)
        height = _add_trees(soft, place, _tree_density(place, self.cover, self._fields, self._farmed, self._town.roads))
        for material, share, building_m in self._town.buildings:
            soft.over(material, share)
            if place.frame.pixel_m <= FINE_M:
                height = np.where(share > 0.5, building_m, height)
        return soft.shares, height


def draw_fields(place: Place) -> Fields:
    """Rows of fields, `STRIP_M` deep, cut into parcels of random width, bent a little with the land."""
    seed, frame, angle = place.world.seed, place.frame, place.world.field_angle
    x, y = frame.x_m[None, :], frame.y_m[:, None]
    along = x * np.cos(angle) + y * np.sin(angle) + 45 * place.field("warp_u")
    across = y * np.cos(angle) - x * np.sin(angle) + 45 * place.field("warp_v")
    strip = np.floor(across / STRIP_M).astype(np.int64)
    first = strip.min()
    table = uniform(seed, 51, np.arange(first, strip.max() + 1), np.arange(2)[:, None])
    width = (110 + 260 * table[0])[strip - first]
    shifted = along / width + 10 * table[1][strip - first]
    column = np.floor(shifted).astype(np.int64)
    inside_along, inside_across = (shifted - column) * width, across - strip * STRIP_M
    # a third of the parcels are cut once more, across
    least = column.min()
    lots = (np.arange(first, strip.max() + 1)[:, None], np.arange(least, column.max() + 1))
    cut_at = uniform(seed, 52, *lots)[strip - first, column - least]
    cut_m = np.where(cut_at < 0.35, STRIP_M * (0.35 + cut_at), STRIP_M)
    upper = inside_across >= cut_m
    edge = np.minimum(np.minimum(inside_along, width - inside_along), np.abs(inside_across - cut_m))
    edge = np.minimum(edge, np.minimum(inside_across, STRIP_M - inside_across)).astype(np.float32)
    draws = uniform(seed, 53, np.arange(2)[:, None, None, None], np.arange(2)[:, None, None], *lots)
    first_draw, second_draw = draws.astype(np.float32)[:, upper.astype(np.int64), strip - first, column - least]
    parcel = ((strip + 2**19) * 2**20 + (column + 2**19)) * 2 + upper
    turned = second_draw * 7 % 1 < 0.4
    rows = np.where(turned, along, across).astype(np.float32)
    return Fields(parcel=parcel, edge_m=edge, draw=(first_draw, second_draw), along_m=rows)


def _no_fields(place: Place) -> Fields:
    """The pattern of fields where nobody looks at it."""
    shape = place.frame.height, place.frame.width
    nothing = np.zeros(shape, np.float32)
    return Fields(parcel=np.full(shape, -1, np.int64), edge_m=nothing, draw=(nothing, nothing), along_m=nothing)


def _farmed(place: Place) -> Bools:
    """Where the land is flat, warm and dry enough for fields."""
    edge = place.world.floodplain_m * (1.25 + 0.35 * place.field("moisture"))
    farmed: Bools = (
        (place.shore_m > 45)
        & (place.shore_m < edge)
        & (place.slope < 0.12)
        & (place.temperature_c > 3.0)
        & (place.field("forest") < 1.15)
    )
    return farmed


def _cover(place: Place, fields: Fields, farmed: Bools, town: Settled) -> NDArray[np.uint8]:
    temperature, slope, shore = place.temperature_c, place.slope, place.shore_m
    jitter = 0.5 * place.field("speckled")
    wooded = place.field("forest") + np.minimum(4 * slope, 1.6) + np.clip((shore - 900) / 1500, -0.6, 0.8)
    cold = temperature + 1.3 * place.field("conifer")
    first, second = fields.draw
    cover = np.full(shore.shape, GRASSLAND, np.uint8)
    forest = (wooded > 0.75) & (temperature + 0.6 * jitter > TREELINE_C)
    cover[forest] = BROADLEAVED
    cover[forest & (cold < 6.2)] = CONIFEROUS
    alpine = temperature + jitter < TREELINE_C - 2.0
    cover[alpine | ((slope + 0.1 * jitter > 0.95) & (temperature < 6))] = BARE
    cover[(temperature + jitter < SNOWLINE_C) & (slope < 0.9)] = SNOW
    cover[farmed] = CROPLAND
    cover[farmed & (first > 0.84)] = GRASSLAND
    cover[farmed & (first > 0.96)] = np.where(second > 0.5, BROADLEAVED, CONIFEROUS)[farmed & (first > 0.96)]
    wet = place.field("moisture") + place.field("vigour") * 0.3
    cover[(shore < 190) & (wet - shore / 140 > 0.45) & (slope < 0.08)] = WETLAND
    cover[(shore < 22) & (cover == GRASSLAND) & (place.field("vigour") > 0.9)] = BARE
    cover[town.urban & (slope < 0.25)] = URBAN
    cover[shore < 0] = WATER
    return cover


# ------------------------------------------------------------------------------------------------------------ materials


class _Mixture:
    """Shares of materials per pixel, laid one over another."""

    def __init__(self, place: Place) -> None:
        self.shares = np.zeros((len(MATERIALS), place.frame.height, place.frame.width), np.float32)

    def put(self, material: str, share: NDArray[np.floating] | Bools) -> None:
        """Add a share of a pixel that nothing fills yet."""
        self.shares[row(material)] += share

    def over(self, material: str, share: Floats) -> None:
        """Cover a share (0..1) of each pixel, whatever is there."""
        if not share.any():
            return
        self.shares *= 1 - share
        self.shares[row(material)] += share


def _add_ground(soft: _Mixture, place: Place, cover: NDArray[np.uint8], fields: Fields) -> None:
    vigour = place.field("vigour")
    lush = np.clip(0.6 + 0.2 * vigour, 0, 1)
    shallow = np.clip(1 + place.shore_m / 14 + 0.2 * vigour, 0, 1)
    water = cover == WATER
    soft.put("water", water * (1 - shallow))
    soft.put("shallows", water * shallow)
    forest = (cover == BROADLEAVED) | (cover == CONIFEROUS)  # the crowns come later; this is what they stand on
    alpine = np.clip((3.5 - place.temperature_c) / 3, 0, 1)
    meadow = (cover == GRASSLAND) | forest
    soft.put("grass", meadow * (1 - alpine))
    soft.put("alpine_grass", meadow * alpine)
    gravel = (cover == BARE) & (place.shore_m < 60)
    bare = (cover == BARE) & ~gravel
    tufts = np.clip(0.25 + 0.3 * vigour, 0, 0.6)
    soft.put("gravel", gravel)
    soft.put("rock", bare * (1 - tufts))
    soft.put("alpine_grass", bare * tufts)
    wetland, urban = cover == WETLAND, cover == URBAN
    soft.put("reeds", wetland * lush)
    soft.put("shallows", wetland * (1 - lush))
    soft.put("grass", urban)
    snow = cover == SNOW
    patches = np.clip(0.9 + 0.15 * place.field("speckled"), 0, 1)
    soft.put("snow", snow * patches)
    soft.put("rock", snow * (1 - patches))
    _add_crops(soft, place, cover == CROPLAND, fields, vigour)


def _add_crops(soft: _Mixture, place: Place, crops: Bools, fields: Fields, vigour: Floats) -> None:
    """One crop per field, more or less dense; bare soil between the plants, and rows where pixels are fine."""
    if not crops.any():
        return
    first, second = fields.draw
    kind = first / 0.84
    green = np.clip(0.62 + 0.36 * second + 0.06 * vigour, 0, 1)
    if place.frame.pixel_m <= FINE_M:
        spacing = np.where(kind < 0.3, 3.0, 6.0)
        tramlines = (fields.along_m % 24 < 1.2) | ((fields.along_m + 1.9) % 24 < 1.2)
        green = np.clip(green + 0.12 * np.sin(2 * np.pi * fields.along_m / spacing) - 0.3 * tramlines, 0, 1)
    soil = 0.06 + 0.12 * second  # weeds and stubble on bare fields
    for low, high, material in (
        (0, 0.28, "cereal"),
        (0.28, 0.52, "maize"),
        (0.52, 0.60, "rapeseed"),
        (0.60, 0.80, "ripe"),
    ):
        here = crops & (kind >= low) & (kind < high)
        soft.put(material, here * green)
        soft.put("loam", here * (1 - green))
    fallow = crops & (kind >= 0.80)
    soft.put("loam", fallow * (1 - soil))
    soft.put("grass", fallow * soil)
    track = crops * stripe(fields.edge_m, 2.2, place.frame.pixel_m)
    soft.over("grass", track.astype(np.float32))


def _tree_density(place: Place, cover: NDArray[np.uint8], fields: Fields, farmed: Bools, roads: Floats) -> Floats:
    """Share of the ground under crowns: forests, hedges, the banks of streams, gardens, single trees."""
    forest = (cover == BROADLEAVED) | (cover == CONIFEROUS)
    thin = np.clip((place.temperature_c - TREELINE_C) / 1.5 + 0.35, 0.25, 1)
    density = np.where(forest, 0.97 * thin, 0.0)
    density[cover == GRASSLAND] = 0.02
    density[cover == URBAN] = 0.16
    hedged = farmed & (fields.draw[1] > 0.72) & ((cover == CROPLAND) | (cover == GRASSLAND))
    density = np.maximum(density, hedged * 0.8 * stripe(fields.edge_m, 3.5, place.frame.pixel_m))
    banks = (place.stream_m < 16) & (place.temperature_c > 3) & (cover != URBAN)
    banks |= (place.shore_m < 26) & (place.field("moisture") > -0.3) & (cover != URBAN)
    density = np.where(banks, np.maximum(density, 0.6), density)
    density[(cover == WATER) | (cover == SNOW)] = 0
    return np.asarray(density * (1 - roads), np.float32)


def _add_trees(soft: _Mixture, place: Place, density: Floats) -> Floats:
    """Lay crowns over the ground; return their height where the pixels show them."""
    conifers = np.clip(0.5 + (6.2 - place.temperature_c - 1.3 * place.field("conifer")) / 0.5, 0, 1)
    frame = place.frame
    height = np.zeros_like(density)
    if frame.pixel_m <= FINE_M:
        dome, ticket = domes(place.world.seed + 1, frame.x_m, frame.y_m, CROWN_M)
        stands = (ticket * 0.999 < density) & (dome > 0.05)
        density = stands.astype(np.float32)
        size = 9 + 9 * (ticket * 13 % 1)
        height = np.where(stands, size * (0.55 + 0.45 * dome), 0).astype(np.float32)
        conifers = (ticket * 29 % 1 < conifers).astype(np.float32)
    soft.shares *= 1 - density
    soft.put("conifer", density * conifers)
    soft.put("broadleaf", density * (1 - conifers))
    return height


def _add_stream_and_roads(soft: _Mixture, place: Place, cover: NDArray[np.uint8], town: Settled) -> None:
    pixel, dry = place.frame.pixel_m, cover != WATER
    below = np.clip(1 - place.shore_m / 4500, 0, 1)  # streams begin some way up the valley's side
    soft.over("shallows", (dry * (below > 0) * stripe(place.stream_m, 0.8 + 2.2 * below, pixel)).astype(np.float32))
    soft.over("asphalt", town.roads)


def brightness(place: Place) -> Floats:
    """Relative brightness of the ground from place to place, variance 1: finer octaves where the pixels show them."""
    frame, total, norm = place.frame, place.field("speckled"), 1.0
    for wavelength, weight in ((15.0, 0.8), (5.0, 0.7), (1.6, 0.6)):
        if wavelength >= 1.5 * frame.pixel_m:
            total = total + weight * smooth(place.world.seed + 2, [0], frame.x_m, frame.y_m, wavelength)[0]
            norm += weight**2
    even: Floats = (total / np.sqrt(norm)).astype(np.float32)
    return even
