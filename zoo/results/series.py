"""Forecasts as results: maps over times and lead times, in memory or in a file."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from zoo.errors import InputError, MissingDependency
from zoo.io.cf import ORDER_TAG, SeriesFile, SeriesWriter, write_series
from zoo.io.grid import Grid
from zoo.io.series import Times, open_series
from zoo.results.provenance import Provenance
from zoo.spec import Quantity
from zoo.tiling import Window

if TYPE_CHECKING:
    import xarray

BLOCK = 512  # px; a multiple of the chunks of the files


@dataclass(frozen=True, kw_only=True)
class SeriesResult:
    """Maps of quantities for each time and lead time.

    Attributes:
        data: (T, L, V, H, W) float32, or the `.zarr` or `.nc` that holds them.
        grid: size, CRS and transform.
        times: of the last input, UTC.
        lead_times_h: hours after it.
        quantities: names and units.
        provenance: how they were made; `None` for a file that does not say.
    """

    data: NDArray[np.float32] | Path
    grid: Grid
    times: Times
    lead_times_h: tuple[float, ...]
    quantities: tuple[Quantity, ...]
    provenance: Provenance | None

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The result that a file written by zoo holds; numbers stay in the file."""
        path = Path(path)
        with _dataset(path) as dataset:
            if ORDER_TAG not in dataset.attrs:
                raise InputError(f"{path} is no forecast that zoo wrote; open it with xarray")
            names = json.loads(dataset.attrs[ORDER_TAG])
            quantities = tuple(
                Quantity(name=name, unit=dataset[name].attrs["units"], long_name=dataset[name].attrs["long_name"])
                for name in names
            )
            leads = tuple(float(hours) for hours in dataset["lead_time"].values)
            source = open_series(dataset.isel(lead_time=0, drop=True))
            provenance = Provenance.from_tags({key: str(value) for key, value in dataset.attrs.items()})
        return cls(
            data=path,
            grid=source.grid,
            times=source.times,
            lead_times_h=leads,
            quantities=quantities,
            provenance=provenance,
        )

    @property
    def values(self) -> NDArray[np.float32]:
        """All maps (T, L, V, H, W), read from the file if they lie there."""
        if not isinstance(self.data, Path):
            return self.data
        with _dataset(self.data) as dataset:
            return np.stack([dataset[one.name].values for one in self.quantities], axis=2)

    def save(self, path: str | Path) -> Path:
        """Write `.zarr` or `.nc`.

        Raises:
            OutputError: another extension, or the place cannot be written.
        """
        path = Path(path)
        with write_series(path, self._file()) as writer:
            values = self.values
            for time in range(len(self.times)):
                writer.write(time, Window(0, 0, self.grid.height, self.grid.width), values[time])
        return path

    def to_xarray(self) -> xarray.Dataset:
        """The maps as a Dataset over time, lead_time, y and x, with a CRS as rioxarray keeps it; needs xarray."""
        import xarray

        file = self._file()
        y, x = file.axes
        dims = ("time", "lead_time", y, x)
        transform = self.grid.transform
        coords: dict[str, Any] = {"time": self.times, "lead_time": list(self.lead_times_h)}
        if transform.is_rectilinear:
            coords[y] = transform.f + transform.e * (np.arange(self.grid.height) + 0.5)
            coords[x] = transform.c + transform.a * (np.arange(self.grid.width) + 0.5)
        values = self.values
        variables = {
            one.name: (dims, values[:, :, index], {"units": one.unit, "grid_mapping": "spatial_ref"})
            for index, one in enumerate(self.quantities)
        }
        wkt = {} if self.grid.crs is None else {"crs_wkt": self.grid.crs.to_wkt()}
        dataset = xarray.Dataset(variables, coords=coords, attrs=dict(file.tags))
        return dataset.assign_coords(spatial_ref=xarray.Variable((), 0, wkt))

    def _file(self) -> SeriesFile:
        return SeriesFile(
            grid=self.grid,
            times=self.times,
            lead_times_h=self.lead_times_h,
            quantities=self.quantities,
            tags=self.provenance.tags() if self.provenance else {},
        )


@contextlib.contextmanager
def _dataset(path: Path) -> Iterator[Any]:
    try:
        import xarray
    except ImportError as err:
        raise MissingDependency("series need xarray: pip install 'lasig-zoo[series]'") from err
    engine = "zarr" if path.is_dir() else "h5netcdf"
    opened = xarray.open_dataset(path, engine=engine, decode_timedelta=False)
    with opened as dataset:
        yield dataset


class SeriesSink:
    """Takes forecasts block by block, into a file or into memory; `open_series_sink` gives one."""

    def __init__(self, file: SeriesFile, target: SeriesWriter | NDArray[np.float32], out: Path | None = None) -> None:
        self._file, self._target, self._out = file, target, out

    def blocks(self) -> Iterator[Window]:
        """Windows that cover a map, row by row."""
        height, width = self._file.grid.height, self._file.grid.width
        for row in range(0, height, BLOCK):
            for col in range(0, width, BLOCK):
                yield Window(row, col, min(BLOCK, height - row), min(BLOCK, width - col))

    def write(self, time: int, window: Window, maps: NDArray[Any]) -> None:
        """Take the maps (L x V, h, w) of one time in a window."""
        shape = (len(self._file.lead_times_h), len(self._file.quantities), window.height, window.width)
        if isinstance(self._target, SeriesWriter):
            self._target.write(time, window, maps.reshape(shape))
        else:
            rows, cols = window.slices
            self._target[time, :, :, rows, cols] = maps.reshape(shape)

    def result(self) -> SeriesResult:
        """The forecasts, once the `with` block has ended."""
        if isinstance(self._target, SeriesWriter):
            return SeriesResult.open(str(self._out))
        file = self._file
        return SeriesResult(
            data=self._target,
            grid=file.grid,
            times=file.times,
            lead_times_h=file.lead_times_h,
            quantities=file.quantities,
            provenance=Provenance.from_tags(file.tags),
        )


@contextlib.contextmanager
def open_series_sink(
    out: Path | None,
    *,
    grid: Grid,
    times: Times,
    lead_times_h: tuple[float, ...],
    quantities: tuple[Quantity, ...],
    provenance: Provenance,
) -> Iterator[SeriesSink]:
    """A sink for forecasts; at the end of the block `sink.result()` gives them, in `out` or in memory.

    Raises:
        OutputError: `out` is no `.zarr` or `.nc`, or cannot be written; nothing is left behind.
    """
    file = SeriesFile(grid=grid, times=times, lead_times_h=lead_times_h, quantities=quantities, tags=provenance.tags())
    if out is None:
        count, leads, height, width = file.shape
        yield SeriesSink(file, np.full((count, leads, len(quantities), height, width), np.nan, np.float32))
        return
    with write_series(out, file) as writer:
        yield SeriesSink(file, writer, out)
