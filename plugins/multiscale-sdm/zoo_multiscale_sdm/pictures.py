"""Satellite patches of GeoLifeCLEF 2023: JPEG files of 128 x 128 px, one of red, green and blue and one of near infrared.

The statistics, `SatelliteImages/<rgb|nir>_mean.csv` and `_std.csv`, are not in the authors' repository; where they lie
beside the images, they are used.

Source: ninavantiel/multi_scale_SDMs@22ac42f.
"""

# C bands, H W pixels

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
from numpy.typing import NDArray
from PIL import Image

from zoo.errors import InputError
from zoo.spec import InputSpec
from zoo_multiscale_sdm.rasters import Moments
from zoo_multiscale_sdm.variants import SIDE

# Red, green, blue, near infrared. The authors' loop runs over a set, so that a process may have had near infrared
# first, and a checkpoint does not say (`zoo convert --bands`); bands are known by name here.
BANDS = {"rgb": ("S2:B04", "S2:B03", "S2:B02"), "nir": ("S2:B08",)}
ORDER = (*BANDS["rgb"], *BANDS["nir"])
COLUMNS = {"mean": "mean", "std": "std_dev"}


def path_of(folder: Path, kind: str, patch_id: str) -> Path:
    """The file of `kind` (`rgb` or `nir`) of a patch, below `SatelliteImages`: 3018847 is in 47/88."""
    return folder / kind / patch_id[-2:] / patch_id[-4:-2] / f"{patch_id}.jpeg"


def patch_of(folder: Path, patch_id: str, bands: tuple[str, ...], side: int) -> NDArray[np.uint8]:
    """The middle `side` pixels of a patch, (C, side, side), in the order of `bands`.

    Raises:
        InputError: a file is missing or damaged, or has another size.
    """
    found: dict[str, NDArray[np.uint8]] = {}
    for kind, names in BANDS.items():
        if set(names) & set(bands):
            pixels = _decoded(path_of(folder, kind, patch_id), len(names))
            found.update(zip(names, pixels, strict=True))
    return centre(np.stack([found[band] for band in bands]), side)


def centre(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The middle of (C, H, W), an even number of pixels; the authors' own sizes are `variants.window_of` theirs."""
    first = (pixels.shape[-1] - side) // 2
    return pixels[..., first : first + side, first : first + side]


def statistics(folder: Path, bands: tuple[str, ...]) -> tuple[Moments, ...] | None:
    """Those beside the images, in the order of `bands`; `None` where there are none.

    Raises:
        InputError: a file of statistics has other columns or rows.
    """
    found: dict[str, Moments] = {}
    for kind, names in BANDS.items():
        if set(names) & set(bands):
            paths = {which: folder / f"{kind}_{which}.csv" for which in COLUMNS}
            if not all(path.is_file() for path in paths.values()):
                return None
            mean, std = (_column(path, COLUMNS[which], len(names)) for which, path in paths.items())
            found.update(zip(names, map(Moments, mean, std), strict=True))
    return tuple(found[band] for band in bands)


def accepts(spec: InputSpec) -> bool:
    """Whether the input is fed by these files."""
    return set(spec.band_ids) <= set(ORDER)


def _decoded(path: Path, num_bands: int) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB" if num_bands == 3 else "L"))
    except FileNotFoundError as err:
        raise InputError(f"{path} is not there; expected a patch of {SIDE} x {SIDE} px: fetch it from Kaggle") from err
    except (OSError, SyntaxError) as err:
        raise InputError(f"{path} is damaged ({err}); fetch it again from Kaggle") from err
    if pixels.shape[:2] != (SIDE, SIDE):
        raise InputError(
            f"{path} has {pixels.shape[0]} x {pixels.shape[1]} px; expected {SIDE} x {SIDE}, as GeoLifeCLEF 2023 has them"
        )
    return np.atleast_3d(pixels).transpose(2, 0, 1)


def _column(path: Path, name: str, rows: int) -> list[float]:
    table = pa_csv.read_csv(path)
    if name not in table.column_names or table.num_rows != rows:
        raise InputError(
            f"{path} has columns {', '.join(table.column_names)} and {table.num_rows} rows; expected a column {name}"
            f" of {rows} rows"
        )
    return [float(one) for one in table[name].to_pylist()]
