"""Georeferenced results: maps in memory or in a file, tables of rows. Each can be saved, shown and handed on."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from zoo.errors import MissingDependency, OutputError
from zoo.io.cog import CLASS_TAG, Colours, RasterFile, RasterWriter, blocks, fitted, legend_of, write_raster
from zoo.io.grid import Grid
from zoo.io.label_png import write_label_png
from zoo.io.rasters import open_raster
from zoo.io.source import Pixels
from zoo.io.whole import whole
from zoo.results.provenance import Provenance, save_by_plugin
from zoo.tiling import Window

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

EXTENSIONS = (".tif", ".tiff", ".png")


@dataclass(frozen=True, kw_only=True, slots=True)
class MapBands:
    """Bands of a map: names, dtype, value where there are no data, unit, and names of classes if it holds any.

    `colours` are those of the classes (red, green, blue; 0-255), empty for zoo's own.
    """

    names: tuple[str, ...]
    dtype: str
    nodata: float
    unit: str
    classes: tuple[str, ...] = ()
    colours: Colours = ()


@dataclass(frozen=True, kw_only=True, repr=False)
class RasterResult:
    """A map: bands over a grid.

    Attributes:
        data: (bands, H, W), or the GeoTIFF that holds them.
        grid: size, CRS and transform.
        names: of the bands.
        dtype: of the numbers as they are kept.
        nodata: value where there are no data, `None` if there is none.
        unit: of all bands; `"1"` for none.
        classes: names of the values 0, 1, ... of an integer map.
        colours: red, green and blue (0-255) of the same; empty = zoo's own.
        provenance: how it was made; `None` for a file that does not say.
    """

    data: Pixels | Path
    grid: Grid
    names: tuple[str, ...]
    dtype: str
    nodata: float | None
    unit: str = ""
    classes: tuple[str, ...] = ()
    colours: Colours = ()
    provenance: Provenance | None

    def __repr__(self) -> str:
        where = "no CRS" if self.grid.crs is None else self.grid.crs.to_string()[:40]
        home = self.data if isinstance(self.data, Path) else "in memory"
        size = f"{len(self.names)} x {self.grid.height} x {self.grid.width}"
        return f"{type(self).__name__}({size} {self.dtype}, {where}, {home})"

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The result that a file written by zoo holds; pixels stay in the file.

        Raises:
            InputError: the file cannot be read.
        """
        source = open_raster(path)
        classes, colours = legend_of(source.tags)
        return cls(
            data=Path(path),
            grid=source.grid,
            names=tuple(name or f"band_{index}" for index, name in enumerate(source.names)),
            dtype=source.dtype,
            nodata=source.nodata,
            unit=source.units[0] or "",
            classes=classes,
            colours=colours,
            provenance=Provenance.from_tags(source.tags),
        )

    @classmethod
    def nothing(cls) -> Self:
        """What processes other than the main one have of a result that is kept in memory."""
        empty = np.zeros((0, 0, 0), np.float32)
        return cls(data=empty, grid=Grid(height=0, width=0), names=(), dtype="float32", nodata=None, provenance=None)

    @property
    def values(self) -> Pixels:
        """All bands (bands, H, W), read from the file if they lie there."""
        return self.read(Window(0, 0, self.grid.height, self.grid.width))

    def read(self, window: Window) -> Pixels:
        """Bands (bands, h, w) of a window inside the grid."""
        if isinstance(self.data, Path):
            return open_raster(self.data).read(window)[0]
        rows, cols = window.slices
        return self.data[:, rows, cols]

    def valid(self, pixels: Pixels) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Where the pixels (bands, h, w) of this result have data: (h, w)."""
        if self.nodata is None:
            return np.ones(pixels.shape[1:], np.bool_)
        missing = np.isnan(pixels) if np.isnan(self.nodata) else pixels == self.nodata
        return np.asarray(~missing.any(axis=0))

    def save(self, path: str | Path, *, dtype: str | None = None) -> Path:
        """Write a Cloud Optimized GeoTIFF (`.tif`) or a picture (`.png`).

        The picture is as `plot` draws it; of class ids, pixel by pixel: see `zoo.io.label_png`.

        Args:
            path: the extension decides.
            dtype: of the file, `"float16"` to halve it; `None` = as it is.

        Raises:
            OutputError: unknown extension, or the place cannot be written.
        """
        path = Path(path)
        if save_by_plugin(self, path, EXTENSIONS, "a map"):
            return path
        if path.suffix.lower() == ".png":
            with whole(path) as temporary:
                self._save_picture(temporary)
        elif isinstance(self.data, Path) and dtype in (None, self.dtype):
            if self.data.resolve() != path.resolve():
                with whole(path) as temporary:
                    shutil.copyfile(self.data, temporary)
        else:
            with write_raster(path, self._file(dtype or self.dtype)) as writer:
                for window in writer.blocks():
                    writer.write(window, self.read(window))
        return path

    def plot(self, band: str | None = None) -> Figure:
        """A picture of the map: colours of classes with a legend, one band with a colour bar, or, of many bands, the
        first three principal components as red, green and blue. Nodata is transparent. Needs matplotlib.

        Args:
            band: name of the one band to show.
        """
        from zoo.results.pictures import draw

        return draw(self, band)

    def to_xarray(self) -> xarray.DataArray:
        """The map as a DataArray (band, y, x) with pixel centres as coordinates and CRS as rioxarray keeps it; needs xarray."""
        try:
            import xarray
        except ImportError as err:
            raise MissingDependency("to_xarray() needs xarray: pip install 'lasig-zoo[xarray]'") from err
        transform = self.grid.transform
        coords: dict[str, Any] = {"band": list(self.names)}
        if transform.is_rectilinear:
            coords["x"] = transform.c + transform.a * (np.arange(self.grid.width) + 0.5)
            coords["y"] = transform.f + transform.e * (np.arange(self.grid.height) + 0.5)
        array = xarray.DataArray(self.values, dims=("band", "y", "x"), coords=coords, attrs=self._attributes())
        wkt = {} if self.grid.crs is None else {"crs_wkt": self.grid.crs.to_wkt()}
        place = wkt | {"GeoTransform": " ".join(repr(number) for number in transform.to_gdal())}
        return array.assign_coords(spatial_ref=xarray.Variable((), 0, place))

    def _attributes(self) -> dict[str, Any]:
        told: dict[str, Any] = {"grid_mapping": "spatial_ref", "units": self.unit}
        if self.nodata is not None:
            told["_FillValue"] = self.nodata
        if self.classes:
            told[CLASS_TAG] = list(self.classes)
        return told | (self.provenance.tags() if self.provenance else {})

    def blocks(self) -> Iterator[Window]:
        """Windows that cover the map, row by row, each of at most 32 MB."""
        return blocks(self._file(self.dtype))

    def _file(self, dtype: str) -> RasterFile:
        if dtype == "float16" and np.dtype(self.dtype).kind != "f":
            raise OutputError(f"float16 was asked for a map of {self.dtype}; it suits floating-point maps only")
        return _file(self.grid, self, dtype, self.provenance)

    def _save_picture(self, path: Path) -> None:
        tags = self.provenance.tags() if self.provenance else {}
        if self.classes and self.dtype == "uint8" and len(self.names) == 1:
            write_label_png(path, self.values[0], self._file(self.dtype))
            return
        self.plot().savefig(path, format="png", bbox_inches="tight", metadata={"Software": None, **tags})


def _file(grid: Grid, bands: MapBands | RasterResult, dtype: str, provenance: Provenance | None) -> RasterFile:
    return RasterFile(
        grid=grid,
        names=bands.names,
        dtype=dtype,
        nodata=bands.nodata,
        unit=bands.unit,
        classes=bands.classes,
        colours=bands.colours,
        tags=provenance.tags() if provenance else {},
    )


class MapSink:
    """Takes a map block by block, into a file or into memory; `open_sink` gives one."""

    def __init__(self, file: RasterFile, target: RasterWriter | Pixels) -> None:
        self._file, self._target = file, target

    def blocks(self) -> Iterator[Window]:
        """Windows in which the map is best handed over: row by row, each of at most 32 MB."""
        return blocks(self._file)

    def write(self, window: Window, pixels: Pixels) -> None:
        """Take the bands (bands, h, w) of a window."""
        if isinstance(self._target, RasterWriter):
            self._target.write(window, pixels)
            return
        rows, cols = window.slices
        self._target[:, rows, cols] = fitted(pixels, self._file.dtype, "the map")

    def result(self) -> RasterResult:
        """The map, once the `with` block has ended.

        Raises:
            InputError: it has not, and the file is not there yet.
        """
        if isinstance(self._target, RasterWriter):
            return RasterResult.open(self._target.path)
        file = self._file
        return RasterResult(
            data=self._target,
            grid=file.grid,
            names=file.names,
            dtype=file.dtype,
            nodata=file.nodata,
            unit=file.unit,
            classes=file.classes,
            colours=file.colours,
            provenance=Provenance.from_tags(file.tags),
        )


@contextlib.contextmanager
def open_sink(
    out: Path | None, grid: Grid, bands: MapBands, *, dtype: str, provenance: Provenance | None
) -> Iterator[MapSink]:
    """A sink for a map; after the block `sink.result()` is the map, in `out` or in memory.

    Raises:
        OutputError: `out` is no `.tif`, or cannot be written; nothing is left behind.
    """
    file = _file(grid, bands, dtype, provenance)
    if out is None:
        yield MapSink(file, np.full((len(file.names), grid.height, grid.width), file.nodata or 0, dtype=dtype))
        return
    with write_raster(out, file) as writer:
        yield MapSink(file, writer)
