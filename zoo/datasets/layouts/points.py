"""Images with points of things on them: `images/` and a table of image, x, y, class and, maybe, radius."""

# n things, H W pixels

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.crs import CRS

from zoo.datasets.augment import cut, turned
from zoo.datasets.dividing import SHOWN, SUFFIXES, Dividing, files_of_split, need_folder
from zoo.datasets.pictures import Picture, Pictures, Reading, Spot, spots_of, whole_number
from zoo.datasets.sample import Sample
from zoo.errors import ConfigError, InputError, some
from zoo.io import point_features, tables
from zoo.io.tables import open_table
from zoo.io.vectors import reproject
from zoo.spec import Variant
from zoo.tiling import Window

TABLES = (*tables.SUFFIXES, *point_features.SUFFIXES)
NAMES: Mapping[str, tuple[str, ...]] = {
    "image": ("image", "file", "filename"),
    "x": ("x", "x_px", "col"),
    "y": ("y", "y_px", "row"),
    "class": ("class", "label", "species"),
    "radius": ("radius", "radius_px"),
}


class _Options(Reading, Dividing, total=False):
    pass


@dataclass(frozen=True, kw_only=True, slots=True)
class Things:
    """Points of one image: x, y (n, 2) in its pixels, or in `crs`; classes (n,); radii (n,) in pixels, or `None`."""

    xy: NDArray[np.float64]
    classes: NDArray[np.int64]
    radii: NDArray[np.float64] | None
    crs: CRS | None = None


def points(
    folder: str | Path,
    *,
    split: str,
    variant: Variant | None,
    images: str = "images",
    table: str | None = None,
    classes: Sequence[str] | None = None,
    window: int | None = None,
    turn: bool = False,
    **options: Unpack[_Options],
) -> Points:
    """Images and points on them. Images without points are samples too.

    Images are seen whole or in windows as those of `zoo.datasets.layouts.masks.masks`; a point belongs to the windows that
    it lies in. In training a window is drawn anywhere on its image.

    Args:
        folder: holds `images/`, in a folder per split or not (then see `zoo.datasets.dividing.Dividing`), and the table.
        split: which part.
        variant: whose inputs see the images.
        images: name of the folder of images.
        table: name of the table, where there are several: CSV, Parquet, GeoParquet or GeoJSON with a row per point:
            `image` (below the folder of images), `class` (a name, or a number of the classes), `x` and `y` in pixels (the
            centre of the first is 0.5, 0.5), maybe `radius` in pixels. Where the table has a geometry and no x and y, it
            says where the points lie on the ground.
        classes: names in the order of their numbers; `None` = the variant's.
        window: side in pixels; `None` = the variant's.
        turn: whether samples are turned in training.
        options: see `zoo.datasets.pictures.Reading` and `zoo.datasets.dividing.Dividing`.

    Raises:
        InputError: files are missing, or do not fit.
        ConfigError: an option is wrong.
    """
    root = need_folder(folder, "points", f"{images}/ and a table of points")
    dividing = {name: options.pop(name) for name in Dividing.__annotations__ if name in options}  # type: ignore[misc]
    pictures = Pictures(variant, options, "points")
    names = tuple(classes or pictures.variant.classes)
    if not names:
        raise ConfigError("the model names no classes; say those of the points: the option classes=[gull, tern, ...]")
    if window is not None:
        whole_number("window", window, least=1)
    files = files_of_split(root, images, split, **dividing)
    things = _things(_table(root, table), root, images, names)
    return Points(root, spots_of(pictures, root, files, window), things, names, pictures=pictures, turn=turn)


class Points:
    """See `points`; a `zoo.datasets.sample.Reader`."""

    def __init__(
        self,
        root: Path,
        spots: Sequence[Spot],
        things: Mapping[str, Things],
        classes: tuple[str, ...],
        *,
        pictures: Pictures,
        turn: bool,
    ) -> None:
        self.ids: Sequence[str] = tuple(spot.id for spot in spots)
        self.classes = classes
        self._root, self._spots, self._things, self._pictures, self._turn = root, spots, dict(things), pictures, turn
        self._has_radii = any(one.radii is not None for one in things.values())
        if spots:
            pictures.open(root / spots[0].file, spots[0].file, doubting=True)

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:
        spot = self._spots[index]
        picture = self._pictures.open(self._root / spot.file, spot.file)
        window = spot.window or Window(0, 0, *picture.size)
        if not spot.whole and generator is not None:
            window = cut(picture.size, window.height, generator)
        seen = picture.see(window, resize=spot.whole, empty=not spot.whole)
        sample = Sample(
            id=spot.id,
            inputs=seen.inputs,
            bands=seen.bands,
            valid=seen.valid,
            target=self._target(spot, picture, window, seen.size),
            place=seen.place,
        )
        return turned(sample, generator) if self._turn and generator is not None else sample

    def _target(self, spot: Spot, picture: Picture, window: Window, size: tuple[int, int]) -> dict[str, Any]:
        """Points of a window in the pixels of what the network sees, `size` (H, W)."""
        nothing = Things(xy=np.zeros((0, 2)), classes=np.zeros(0, np.int64), radii=None)
        things = self._things.get(spot.file, nothing)
        xy = _on_image(things, picture) - (window.col, window.row)
        scale = 1.0
        if spot.whole and picture.resizes:
            xy, scale = _resized(xy, picture)
        inside = ((xy >= 0) & (xy < (size[1], size[0]))).all(axis=1)
        target: dict[str, Any] = {
            "points_px": torch.from_numpy(xy[inside]),
            "point_classes": torch.from_numpy(things.classes[inside]),
        }
        if self._has_radii:
            radii = np.full(len(xy), np.nan) if things.radii is None else things.radii * scale
            target["radii_px"] = torch.from_numpy(radii[inside])
        return target


def _on_image(things: Things, picture: Picture) -> NDArray[np.float64]:
    """Points in the image's pixels.

    Raises:
        InputError: they lie on the ground, and the image does not say where it lies.
    """
    if things.crs is None:
        return things.xy
    grid = picture.feeds[0].source.grid
    if grid.crs is None:
        raise InputError(
            f"{picture.where} has no CRS, and its points lie in {things.crs}; give the points in pixels (x, y), or say the"
            " image's CRS with the option crs"
        )
    x, y = reproject(things.xy[:, None], things.crs, grid.crs)[:, 0].T
    inverse = ~grid.transform
    return np.stack(inverse * (x, y), axis=1)


def _resized(xy: NDArray[np.float64], picture: Picture) -> tuple[NDArray[np.float64], float]:
    """Points where a whole image was resized (and cut), and how much longer lengths are there."""
    rows, cols = picture.places_of(picture.size)
    height, width = rows.shape
    middle = height // 2, width // 2  # the ramps are straight away from the edge, where splines mirror
    step_y = float(rows[middle] - rows[middle[0] - 1, middle[1]]) if height > 1 else float(picture.size[0])
    step_x = float(cols[middle] - cols[middle[0], middle[1] - 1]) if width > 1 else float(picture.size[1])
    x = (xy[:, 0] - 0.5 - float(cols[middle])) / step_x + middle[1] + 0.5
    y = (xy[:, 1] - 0.5 - float(rows[middle])) / step_y + middle[0] + 0.5
    return np.stack([x, y], axis=1), (step_x * step_y) ** -0.5


# ---------------------------------------------------------------------------------------------------------- the table


def _table(root: Path, name: str | None) -> Path:
    if name is not None:
        return root / name
    found = sorted(one for one in root.iterdir() if one.is_file() and one.name.lower().endswith(TABLES))
    if len(found) != 1:
        told = ", ".join(one.name for one in found[:SHOWN]) or "no tables"
        raise InputError(
            f"{root} holds {told}; expected one table of points ({', '.join(TABLES)}) with image, x, y and class"
            + (": say which with the option table=NAME" if found else "")
        )
    return found[0]


def _things(path: Path, root: Path, images: str, names: Sequence[str]) -> dict[str, Things]:
    """Points of each image, by its path below `root`.

    Raises:
        InputError: columns are missing, or values are no classes, images or numbers.
    """
    opened = open_table(path)
    spelled = {one.casefold(): one for one in reversed(opened.columns)}
    column = {key: next((spelled[one] for one in few if one in spelled), None) for key, few in NAMES.items()}
    on_ground = opened.places is not None and (column["x"] is None or column["y"] is None)
    needed = ("image", "class") if on_ground else ("image", "x", "y", "class")
    if absent := [key for key in needed if column[key] is None]:
        raise InputError(
            f"{path} has no column {', '.join(absent)}; found {', '.join(opened.columns)}, expected image, x, y (or a"
            " geometry), class and, maybe, radius"
        )
    if on_ground and opened.places is not None:
        xy, crs = opened.places[:, 0], opened.crs
    else:
        xy, crs = np.stack([opened.numbers_exact(str(column[key])) for key in "xy"], axis=1), None
    if not np.isfinite(xy).all():
        row = int(np.argmin(np.isfinite(xy).all(axis=1))) + 1
        raise InputError(f"{path}: the point of row {row} has no place; correct it, or delete the row")
    radii = None if column["radius"] is None else opened.numbers_exact(str(column["radius"]))
    classes = _classes(opened.data[str(column["class"])].to_pylist(), names, path)
    rows: dict[str, list[int]] = defaultdict(list)
    for row, image in enumerate(opened.data[str(column["image"])].to_pylist()):
        rows[f"{images}/{str(image).removeprefix('./').removeprefix(f'{images}/')}"].append(row)
    if absent := [image for image in rows if not (root / image).is_file()]:
        raise InputError(
            f"{path} has points on {len(rows)} images, and {len(absent)} of them are not there, such as {root / absent[0]};"
            f" expected paths below {images}/, with the extension ({', '.join(SUFFIXES)})"
        )
    return {
        image: Things(xy=xy[few], classes=classes[few], radii=None if radii is None else radii[few], crs=crs)
        for image, few in rows.items()
    }


def _classes(values: Sequence[Any], names: Sequence[str], path: Path) -> NDArray[np.int64]:
    """Numbers of the classes that a column names or numbers."""
    meant: dict[Any, int] = {name: number for number, name in enumerate(names)} | {n: n for n in range(len(names))}
    if strange := sorted({str(one) for one in values if one not in meant}):
        raise InputError(
            f"{path} has points of the classes {some(strange, SHOWN)}, which are none of {', '.join(names)}; rename"
            " them, or say all classes with the option classes=[...]"
        )
    return np.array([meant[one] for one in values], np.int64)
