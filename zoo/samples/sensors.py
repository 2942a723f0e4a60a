"""How Sentinel-2, Sentinel-1 and an aerial camera see a place of the synthetic world.

Each sensor is a function `(world, frame, ...) -> Scene` on the shares of materials in `Place.materials`. All of them
look at the same ground, so that what one sees as water the others see as water.

Sources:
    Signal-to-noise ratios at the reference radiance: ESA, Sentinel-2 User Handbook (2015), table of spectral bands.
    Solar irradiance: `Solar_Irradiance` in the metadata of Sentinel-2A products.
    Molecular optical depth: Hansen and Travis 1974, Space Science Reviews 16, eq. 2.29.
    Looks of Sentinel-1 IW GRDH: ESA, Sentinel-1 Product Definition, equivalent number of looks 4.4, pixel 10 m.
    Quantification value 10000, offset -1000 from processing baseline 04.00, nodata 0: Sentinel-2 products' metadata.
"""

# C channels, M materials, H W pixels

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from zoo.errors import ConfigError
from zoo.samples.cover import COVER_NODATA, COVERS, FINE_M, brightness
from zoo.samples.noise import Floats, smooth
from zoo.samples.scenes import Scene
from zoo.samples.spectra import BACKSCATTER, BANDS, REFLECTANCE, VARIATION
from zoo.samples.world import Frame, Place, World

SUN_ZENITH_DEG, SUN_AZIMUTH_DEG = 38.0, 155.0  # ours: mid-latitude summer, half past ten
QUANTIFICATION = 10_000.0

#             grid_m  centre_um  Lref    SNR  irradiance  path reflectance of haze, transmittance of gases (both ours)
_SENTINEL2 = """
B01   60     0.4427   129.00   129   1884.69   0.022  0.99
B02   10     0.4924   128.00   154   1959.72   0.018  0.98
B03   10     0.5598   128.00   168   1823.24   0.014  0.93
B04   10     0.6646   108.00   142   1512.06   0.010  0.96
B05   20     0.7041    74.50   117   1424.64   0.009  0.96
B06   20     0.7405    68.00    89   1287.61   0.008  0.96
B07   20     0.7828    67.00   105   1162.08   0.007  0.98
B08   10     0.8328   103.00   174   1041.63   0.006  0.95
B8A   20     0.8647    52.50    72    955.32   0.005  0.99
B09   60     0.9451     9.00   114    812.92   0.002  0.32
B10   60     1.3735     6.00    50    367.15   0.0012 0.00
B11   20     1.6137     4.00   100    245.59   0.002  0.96
B12   20     2.2024     1.50   100     85.25   0.001  0.92
"""
_ROWS = {line.split()[0]: [float(text) for text in line.split()[1:]] for line in _SENTINEL2.strip().splitlines()}

LOOKS = 4.4
SHADE = 0.75  # ours: share of the light that comes from the sun rather than from the sky
BLUR_PX = 0.45  # ours: standard deviation of the optics' blur in the 10 m bands


def sentinel2(
    world: World, frame: Frame, *, level: str = "L2A", baseline: str = "02.14", collar_px: int = 0, gap: float = 0.0
) -> Scene:
    """Sentinel-2 digital numbers, uint16: 12 bands of surface reflectance (L2A) or 13 at the top of atmosphere (L1C).

    Bands of 20 and 60 m are averaged on their own grid, which is that of the UTM zone, and repeated to 10 m.

    Args:
        world: see `build_world`.
        frame: window to look at; its pixels must be 10 m.
        level: `"L2A"` or `"L1C"` (which has B10).
        baseline: processing baseline; from `"04.00"` on, 1000 is added to the numbers and the tags say so.
        collar_px: width of the rim that was not seen.
        gap: share of the frame masked away (where clouds stood).
    """
    if frame.pixel_m != 10.0:
        raise ConfigError(f"Sentinel-2 scenes have pixels of 10 m, not {frame.pixel_m}; give Frame(pixel_m=10.0)")
    if level not in ("L2A", "L1C"):
        raise ConfigError(f"Sentinel-2 has no level {level!r} here; choose L2A or L1C")
    names = BANDS if level == "L2A" else tuple(_ROWS)
    wide, inner = _on_coarse_grid(frame)
    place = world.at(wide)
    reflectance = optical(place)
    rng = _noise(world, frame, 2)
    offset = 1000 if baseline >= "04.00" else 0
    pixels = np.empty((len(names), frame.height, frame.width), np.uint16)
    for channel, name in enumerate(names):
        rows = _ROWS[name]
        band = reflectance[BANDS.index(name)] if name in BANDS else np.zeros_like(reflectance[0])
        band = _to_grid(band, round(rows[0] / 10))
        if level == "L1C":
            band = top_of_atmosphere(name, band)
        band = band + rng.standard_normal(band.shape, np.float32) * np.float32(noise_reflectance(name))
        number = np.clip(np.rint(band * QUANTIFICATION), 1, 20_000) + offset
        pixels[channel] = _repeat(number, round(rows[0] / 10))[inner]
    tags = {
        "SENSOR": f"S2-{level}",
        "PROCESSING_LEVEL": level,
        "PROCESSING_BASELINE": baseline,
        "QUANTIFICATION_VALUE": "10000",
        "UNIT": "DN",
    }
    if offset:
        tags["BOA_ADD_OFFSET" if level == "L2A" else "RADIO_ADD_OFFSET"] = "-1000"
    seen = seen_part(world, frame, collar_px, gap)
    return scene_of(world, frame, pixels=pixels, names=names, nodata=0, seen=seen, cover=place.cover[inner], tags=tags)


def sentinel2_l1c(world: World, frame: Frame, *, collar_px: int = 0, gap: float = 0.0) -> Scene:
    """Sentinel-2 at the top of the atmosphere: 13 bands, see `sentinel2`."""
    return sentinel2(world, frame, level="L1C", collar_px=collar_px, gap=gap)


def sentinel1(world: World, frame: Frame, *, collar_px: int = 0, gap: float = 0.0) -> Scene:
    """Sentinel-1 IW GRD: backscatter in dB, VV and VH, float32 with NaN where nothing was seen.

    Speckle has the product's number of looks and is correlated over neighbouring pixels, as a resolution of 20 m on a
    grid of 10 m makes it. Slopes that face the sensor (looking west) are brighter; there is no layover or shadow.
    """
    place = world.at(frame)
    power = np.tensordot(BACKSCATTER.T, place.materials, axes=1).astype(np.float32)
    power *= 10 ** np.clip(0.08 * brightness(place), -0.3, 0.3)
    power *= 10 ** np.clip(-0.5 * place.gradient[0], -0.3, 0.3)  # ours: 5 dB per unit of slope
    rng = _noise(world, frame, 1)
    taps = np.array([0.2, 0.6, 0.2], np.float32)
    shape = LOOKS * float(np.sum(taps**2)) ** 2  # so that the looks are LOOKS after the filter
    speckle = rng.standard_gamma(shape, power.shape, np.float32) / np.float32(shape)
    for axis in (1, 2):
        speckle = ndimage.correlate1d(speckle, taps, axis=axis, mode="reflect")
    pixels = (10 * np.log10(np.maximum(power * speckle, 1e-5))).astype(np.float32)
    seen = seen_part(world, frame, collar_px, gap)
    tags = {"SENSOR": "S1-GRD", "UNIT": "dB", "MODE": "IW"}
    return scene_of(
        world, frame, pixels=pixels, names=("VV", "VH"), nodata=np.nan, seen=seen, cover=place.cover, tags=tags
    )


def aerial(world: World, frame: Frame, *, collar_px: int = 0, gap: float = 0.0) -> Scene:
    """An ortho-photograph: red, green, blue, uint8; 0 where nothing was seen. Pixels of 0.25-2.5 m show single trees."""
    # the tallest trees and houses are 18 m high, so no shadow is longer than 15 m
    reach = int(15.0 / frame.pixel_m) + 1 if frame.pixel_m <= FINE_M else 0
    place = world.at(frame.grown(top=reach, left=reach, bottom=reach, right=reach))
    bands = [BANDS.index(name) for name in ("B04", "B03", "B02")]
    reflectance = optical(place, bands)
    inner = slice(reach, reach + frame.height), slice(reach, reach + frame.width)
    reflectance = reflectance[(slice(None), *inner)]
    rng = _noise(world, frame, 3)
    # ours: a camera's exposure (reflectance 0.32 is white) and gamma (1/2.2), on light that is bluer in the shade
    seen = np.clip((reflectance + 0.004) / 0.32, 0, 1) ** np.float32(1 / 2.2)
    numbers = 255 * seen + rng.standard_normal(seen.shape, np.float32) * np.float32(2.0)
    pixels = np.clip(np.rint(numbers), 1, 255).astype(np.uint8)
    seen = seen_part(world, frame, collar_px, gap)
    tags = {"SENSOR": "RGB", "UNIT": "DN"}
    return scene_of(
        world, frame, pixels=pixels, names=("R", "G", "B"), nodata=0, seen=seen, cover=place.cover[inner], tags=tags
    )


def cover_map(world: World, frame: Frame, *, collar_px: int = 0, gap: float = 0.0) -> Scene:
    """The truth: number of the land cover in `COVERS`, uint8, 255 where the sensors with the same gaps saw nothing."""
    cover, seen = world.at(frame).cover, seen_part(world, frame, collar_px, gap)
    tags = {"CLASSES": ",".join(COVERS)}
    return scene_of(
        world,
        frame,
        pixels=cover[None].copy(),
        names=("cover",),
        nodata=COVER_NODATA,
        seen=seen,
        cover=cover,
        tags=tags,
    )


# ---------------------------------------------------------------------------------------------------------------- light


def optical(place: Place, bands: list[int] | None = None) -> Floats:
    """Surface reflectance under the sun, (C, H, W), in the order of `spectra.BANDS` (or those of its numbers)."""
    table = REFLECTANCE if bands is None else REFLECTANCE[:, bands]
    reflectance = np.tensordot(table.T, place.materials, axes=1).astype(np.float32)
    varied = np.tensordot(VARIATION, place.materials, axes=1)
    light = np.maximum(1 + varied * brightness(place), 0.3) * _light(place)
    reflectance *= light.astype(np.float32)
    return reflectance


def _light(place: Place) -> Floats:
    """Light on the ground relative to a flat, open place: slopes towards the sun are brighter, shadows darker."""
    zenith, azimuth = np.radians(SUN_ZENITH_DEG), np.radians(SUN_AZIMUTH_DEG)
    to_sun = np.sin(azimuth), np.cos(azimuth)  # east, north
    east, north = place.gradient
    sun = np.ones_like(east)
    if place.frame.pixel_m <= FINE_M:
        height, pixel = place.height_m, place.frame.pixel_m
        rounded = ndimage.uniform_filter(height, 3)
        east = east + 0.5 * np.gradient(rounded, pixel, axis=1)
        north = north - 0.5 * np.gradient(rounded, pixel, axis=0)
        sun = 1 - _shadow(height, pixel, to_sun, float(np.tan(np.pi / 2 - zenith)))
    facing = 1 - np.tan(zenith) * (east * to_sun[0] + north * to_sun[1])
    facing = facing / np.sqrt(1 + east**2 + north**2)
    light: Floats = (1 - SHADE + SHADE * sun * np.clip(facing, 0.1, 1.6)).astype(np.float32)
    return light


def _shadow(height_m: Floats, pixel_m: float, to_sun: tuple[float, float], rise: float) -> Floats:
    """1 where something between the pixel and the sun stands higher than the ray, (H, W)."""
    dark = np.zeros(height_m.shape, bool)
    reach = float(height_m.max()) / rise
    for away in np.arange(pixel_m, reach + pixel_m, max(1.5 * pixel_m, 1.0)):
        down, right = round(-away * to_sun[1] / pixel_m), round(away * to_sun[0] / pixel_m)
        dark |= _moved(height_m, down, right) > height_m + away * rise
    soft: Floats = ndimage.uniform_filter(dark.astype(np.float32), 3)
    return soft


def _moved(field: Floats, down: int, right: int) -> Floats:
    """What stands `down` rows below and `right` columns to the right of each pixel; 0 beyond the rim."""
    out = np.zeros_like(field)
    height, width = field.shape
    rows, columns = max(height - abs(down), 0), max(width - abs(right), 0)
    top, left = max(-down, 0), max(-right, 0)
    source = field[max(down, 0) : max(down, 0) + rows, max(right, 0) : max(right, 0) + columns]
    out[top : top + rows, left : left + columns] = source
    return out


# ----------------------------------------------------------------------------------------------------------- Sentinel-2


def _noise(world: World, frame: Frame, sensor: int) -> np.random.Generator:
    """The sensor's noise over a frame: another window, even one that overlaps, is another recording."""
    corner = [round(metres * 100) % 2**32 for metres in (frame.west_m, frame.north_m)]
    return np.random.default_rng([world.seed, sensor, *corner])


def noise_reflectance(band: str) -> float:
    """Standard deviation of the noise of a Sentinel-2 band, as reflectance, at its reference radiance."""
    _, _, radiance, ratio, irradiance, _, _ = _ROWS[band]
    return float(np.pi * radiance / (ratio * irradiance * np.cos(np.radians(SUN_ZENITH_DEG))))


def top_of_atmosphere(band: str, reflectance: Floats) -> Floats:
    """What reaches Sentinel-2 of a surface reflectance: single scattering by molecules, thin haze, absorbing gases."""
    _, centre, _, _, _, haze, gases = _ROWS[band]
    cosine = np.cos(np.radians(SUN_ZENITH_DEG))
    depth = 0.008569 * centre**-4 * (1 + 0.0113 * centre**-2 + 0.00013 * centre**-4)
    phase = 0.75 * (1 + cosine**2)  # Rayleigh, looking straight down
    path = depth * phase / (4 * cosine) + haze
    through = np.exp(-0.5 * (depth + haze) * (1 + 1 / cosine))  # half of what is scattered goes on forwards
    if band == "B10":  # the water vapour below hides the ground; only thin high cloud would show
        return np.full_like(reflectance, haze)
    seen: Floats = (gases * (path + through * reflectance)).astype(np.float32)
    return seen


def _on_coarse_grid(frame: Frame) -> tuple[Frame, tuple[slice, slice]]:
    """The frame grown to whole cells of 60 m (and a pixel for the blur), and where the frame is in it."""
    west, north = round(frame.west_m / 10), round(frame.north_m / 10)
    left, top = west % 6 or 6, -north % 6 or 6
    right, bottom = -(frame.width + left) % 6 or 6, -(frame.height + top) % 6 or 6
    inner = slice(top, top + frame.height), slice(left, left + frame.width)
    return frame.grown(top=top, left=left, bottom=bottom, right=right), inner


def _to_grid(band: Floats, pixels: int) -> Floats:
    if pixels == 1:
        return np.asarray(ndimage.gaussian_filter(band, BLUR_PX, truncate=3))
    height, width = band.shape
    return np.asarray(
        band.reshape(height // pixels, pixels, width // pixels, pixels).mean(axis=(1, 3), dtype=np.float32)
    )


def _repeat(band: Floats, pixels: int) -> Floats:
    return band if pixels == 1 else band.repeat(pixels, axis=0).repeat(pixels, axis=1)


# ----------------------------------------------------------------------------------------------------------------- gaps


def seen_part(world: World, frame: Frame, collar_px: int, gap: float) -> NDArray[np.bool_]:
    """Pixels inside the collar and outside the clouds; the clouds of a world stand at the same place for all sensors."""
    if not 0 <= gap <= 1 or collar_px < 0:
        raise ConfigError(f"collar_px={collar_px}, gap={gap}: expected a collar of 0 pixels or more and a gap of 0..1")
    seen = np.zeros((frame.height, frame.width), bool)
    seen[collar_px : max(frame.height - collar_px, 0), collar_px : max(frame.width - collar_px, 0)] = True
    if gap > 0:
        size = max(frame.height, frame.width) * frame.pixel_m / 4
        clouds = smooth(world.seed + 3, [0], frame.x_m, frame.y_m, size)[0]
        clouds += 0.4 * smooth(world.seed + 3, [1], frame.x_m, frame.y_m, size / 4)[0]
        seen &= clouds <= np.quantile(clouds, 1 - gap)
    return seen


def scene_of(
    world: World,
    frame: Frame,
    *,
    pixels: NDArray[np.generic],
    names: tuple[str, ...],
    nodata: float,
    seen: NDArray[np.bool_],
    cover: NDArray[np.uint8],
    tags: dict[str, str],
    units: tuple[str, ...] = (),
) -> Scene:
    """A scene of the frame, nothing where `seen` is false."""
    pixels[:, ~seen] = nodata
    return Scene(
        pixels=pixels,
        names=names,
        nodata=nodata,
        crs=f"EPSG:{world.epsg}",
        transform=world.transform(frame),
        cover=np.where(seen, cover, np.uint8(COVER_NODATA)),
        tags={**tags, "SYNTHETIC": f"zoo.samples, seed {world.seed}"},
        units=units,
    )
