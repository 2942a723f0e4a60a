"""Raster files and photographs, opened for reading by windows.

What a file is, its contents decide: GDAL recognises it. Photographs are then read by `zoo.io.photographs`.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from zoo.errors import InputError, PluginError
from zoo.io import photographs
from zoo.io.arrays import ArraySource, open_array
from zoo.io.grid import Grid
from zoo.io.source import Mask, Pixels, RasterSource
from zoo.tiling import Window

if TYPE_CHECKING:
    from zoo.spec import InputSpec

__all__ = [
    "ArraySource",
    "FileSource",
    "RasterSource",
    "gdal",
    "open_array",
    "open_dataset",
    "open_raster",
    "open_source",
]

# Ours: GDAL's own default, 5 % of the memory, grows with the machine and lets the scene fill it. Reading windows along a
# row needs two rows of tiles: 147 MB for 6000 pixels of 12 bands, uint16, in tiles of 512; with less, each tile is decoded
# for each window (5 times slower). rasterio takes bytes here, whatever GDAL's own documentation says of megabytes.
CACHE_BYTES = 256 << 20
COLOURS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
# First bytes of what people take for rasters.
SIGNATURES = (
    *(
        (start, "a TIFF that is damaged or cut short; download or export it again")
        for start in (b"II*\0", b"MM\0*", b"II+\0")
    ),
    (b"PK\x03\x04", "a ZIP archive; unpack it"),
    (b"\x1f\x8b", "gzip-compressed; unpack it"),
    (b"%PDF", "a PDF; give a raster"),
    (b"SQLite format 3", "an SQLite database, perhaps a GeoPackage of vectors; give a raster"),
    (b"PAR1", "a Parquet table; give a raster"),
    (b"<", "HTML or XML, perhaps the error page of a download; download it again"),
    (b"version https://git-lfs", "a Git LFS pointer; type `git lfs pull`"),
)


@contextlib.contextmanager
def gdal(*, cache_bytes: int = CACHE_BYTES, **options: Any) -> Iterator[None]:
    """GDAL with a block cache of fixed size (unless the user set `GDAL_CACHEMAX`) and no patience for cut JPEGs."""
    cache = {} if "GDAL_CACHEMAX" in os.environ else {"GDAL_CACHEMAX": cache_bytes}
    with rasterio.Env(GDAL_ERROR_ON_LIBJPEG_WARNING=True, **cache, **options):
        yield


@dataclass(frozen=True, kw_only=True)
class FileSource(RasterSource):
    """A raster file; see `RasterSource`."""

    path: str
    _indexes: tuple[int, ...]  # GDAL's number, from 1, of each band
    _masked: bool  # whether the file keeps a mask beside nodata
    _file: _File

    def _inside(self, window: Window, channels: tuple[int, ...]) -> tuple[Pixels, Mask | None]:
        indexes = [self._indexes[channel] for channel in channels]
        try:
            return self._file.read(indexes, window, self.dtype, masked=self._masked)
        except (RasterioError, OSError) as err:
            reason = err.__cause__ or err
            raise InputError(
                f"{self.path}: cannot read {window}: {reason}; the file is damaged or cut short"
                f" ({_size(self.path)}); download or export it again"
            ) from err


def open_raster(path: str | os.PathLike[str], *, require_crs: bool = False) -> RasterSource:
    """Open a raster file or photograph; pixels are read later.

    Args:
        path: a file, or what else GDAL opens (`/vsicurl/...`, `s3://...`, a subdataset's name).
        require_crs: raise where the file has no CRS.

    Raises:
        InputError: the file is missing, empty, no raster, a picture under the name of a TIFF, of complex numbers, or
            has no CRS where one is required.
    """
    name = os.fspath(path)
    file = _File(name)
    source: RasterSource | None = None
    try:
        with file.handle() as handle:
            _check_kind(handle, name)
            if handle.driver in photographs.DRIVERS and set(handle.dtypes) == {"uint8"} and not handle.crs:
                source = photographs.open_photograph(name, handle.tags())
            source = source or _facts(handle, file, name)
    except (RasterioError, OSError) as err:
        raise InputError(_why_not(name, err)) from err
    if require_crs and source.crs is None:
        raise InputError(
            f"{name} has no CRS; expected a georeferenced raster. If you know it, say --crs EPSG:32632 (the right code)"
        )
    return source


def open_source(
    source: Any, inputs: Sequence[InputSpec] = (), *, crs: Any = None, nodata: float | None = None
) -> RasterSource:
    """Open what a user hands over: a path, an array (bands, H, W), an xarray DataArray, or what a plugin can open.

    Args:
        source: see above; a `RasterSource` is taken as it is.
        inputs: what the model wants, for plugins that choose by it.
        crs: of a source that does not say.
        nodata: marks missing pixels, besides the source's own.

    Raises:
        InputError: nobody can open it, or it says another CRS.
        PluginError: a plugin opened it as something else than a raster.
    """
    if isinstance(source, RasterSource):
        opened = source
    elif isinstance(source, str | os.PathLike):
        try:
            opened = open_raster(source)
        except InputError:
            found = _opened_by_plugin(os.fspath(source), inputs)
            if found is None:
                raise
            opened = found
    else:
        opened = open_array(source)
    return opened.declared(crs=crs, nodata=nodata)


def _opened_by_plugin(uri: str, inputs: Sequence[InputSpec]) -> RasterSource | None:
    """What the first plugin that knows the data makes of them.

    Raises:
        PluginError: it is no `RasterSource`.
    """
    from zoo.plugins import plugins

    for plugin, found in plugins().call("zoo_open_source", uri=uri, inputs=inputs):
        if found is not None and not isinstance(found, RasterSource):
            raise PluginError(
                f"plugin {plugin.name!r} ({plugin.distribution}) opened {uri} as a {type(found).__name__}; expected a"
                " zoo.io.source.RasterSource, such as zoo.open_array gives; report it to the plugin's authors"
            )
        if found is not None:
            return found
    return None


class _File:
    """Handles of one file.

    GDAL's handles must not be used by two threads at once: each read takes an idle one or opens another, so there are
    as many as threads that read at the same time. A process made by fork or pickle opens its own.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._idle: list[Any] = []
        self._process = os.getpid()

    def __reduce__(self) -> tuple[type[_File], tuple[str]]:
        return _File, (self.path,)

    @contextlib.contextmanager
    def handle(self) -> Iterator[Any]:
        """A dataset that nobody else uses meanwhile."""
        if self._process != os.getpid():
            self._idle, self._process = [], os.getpid()
        with gdal():
            try:
                handle = self._idle.pop()
            except IndexError:
                handle = open_dataset(self.path)
            try:
                yield handle
            finally:
                self._idle.append(handle)

    def read(self, indexes: Sequence[int], window: Window, dtype: str, *, masked: bool) -> tuple[Pixels, Mask | None]:
        """Pixels, and the file's own mask."""
        rows, cols = window.slices
        place = ((rows.start, rows.stop), (cols.start, cols.stop))
        with self.handle() as handle:
            if len(set(handle.dtypes)) == 1:
                pixels = handle.read(list(indexes), window=place)
            else:
                pixels = np.stack([handle.read(index, window=place).astype(dtype) for index in indexes])
            return pixels, _own_mask(handle, indexes, place) if masked else None


_filtering = threading.Lock()


def open_dataset(path: str | os.PathLike[str], mode: str = "r", **profile: Any) -> Any:
    """`rasterio.open` without its warning that a picture has no place on the ground.

    The filter stays: `catch_warnings` would put back the filters of all threads, those that another one just made too.
    """
    with _filtering:
        if not any(action == "ignore" and kind is NotGeoreferencedWarning for action, _, kind, *_ in warnings.filters):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
    return rasterio.open(path, mode, **profile)


def _own_mask(handle: Any, indexes: Sequence[int], place: Any) -> Mask:
    """What the file's mask, or alpha band, says of a window; nodata is compared elsewhere."""
    if ColorInterp.alpha in handle.colorinterp:
        alpha = handle.colorinterp.index(ColorInterp.alpha) + 1
        return np.asarray(handle.read(alpha, window=place) > 0)
    shared = all(MaskFlags.per_dataset in handle.mask_flag_enums[index - 1] for index in indexes)
    return np.asarray((handle.read_masks(indexes[:1] if shared else indexes, window=place) > 0).all(axis=0))


def _facts(handle: Any, file: _File, path: str) -> FileSource:
    bands = [place for place, meaning in enumerate(handle.colorinterp) if meaning is not ColorInterp.alpha]
    dtype = np.result_type(*(handle.dtypes[place] for place in bands))
    unmasked = {MaskFlags.all_valid, MaskFlags.nodata}
    return FileSource(
        name=Path(path).name,
        path=path,
        grid=Grid(height=handle.height, width=handle.width, crs=handle.crs or None, transform=handle.transform),
        dtype=str(dtype),
        names=tuple(handle.descriptions[place] or COLOURS.get(handle.colorinterp[place]) for place in bands),
        nodata_by_band=tuple(handle.nodatavals[place] for place in bands),
        scales=tuple(handle.scales[place] for place in bands),
        offsets=tuple(handle.offsets[place] for place in bands),
        units=tuple(handle.units[place] or None for place in bands),
        tags=handle.tags(),
        block=handle.block_shapes[bands[0]],
        _indexes=tuple(place + 1 for place in bands),
        _masked=len(bands) < handle.count or any(not unmasked & {*flags} for flags in handle.mask_flag_enums),
        _file=file,
    )


def _check_kind(handle: Any, path: str) -> None:
    if handle.count == 0:
        inner = "; ".join(handle.subdatasets[:5]) or "none"
        raise InputError(f"{path} holds no bands of its own; expected one raster. Rasters inside it: {inner}")
    if Path(path).suffix.lower() in (".tif", ".tiff") and handle.driver in (*photographs.DRIVERS, "GIF", "BMP"):
        raise InputError(
            f"{path} is a {handle.driver} picture by its contents, not a TIFF; expected a GeoTIFF."
            f" If the picture is what you mean, rename it to {Path(path).stem}.{handle.driver.lower()}"
        )
    if any(dtype.startswith("complex") for dtype in handle.dtypes):
        raise InputError(
            f"{path} holds complex numbers (single-look radar?); expected real ones:"
            " export intensity or amplitude, e.g. with ESA SNAP or gdal_calc"
        )


def _why_not(path: str, err: Exception) -> str:
    """What a file that GDAL does not open is, and what to do about it."""
    file = Path(path)
    if "://" in path or path.startswith("/vsi"):
        return f"cannot open {path}: {err}; check the address and your access to it"
    if not file.exists():
        there = os.listdir(file.parent) if file.parent.is_dir() else []
        near = difflib.get_close_matches(file.name, there, n=3)
        advice = f"did you mean {', '.join(near)}?" if near else "check the path"
        return f"{path} does not exist; {advice}"
    if file.is_dir():
        return f"{path} is a folder; expected one raster file"
    if not os.access(file, os.R_OK):
        return f"{path} may not be read by you; change its permissions"
    if file.stat().st_size == 0:
        return f"{path} is empty (0 bytes); expected a raster. Download or export it again"
    with file.open("rb") as start:
        first = start.read(32).lstrip()
    looks = next(
        (what for sign, what in SIGNATURES if first.startswith(sign)),
        f"unknown, beginning {first[:8]!r}; give a raster, or export it again",
    )
    return f"{path} ({_size(path)}) is no raster that GDAL {rasterio.__gdal_version__} reads; it looks {looks} ({err})"


def _size(path: str) -> str:
    return f"{os.path.getsize(path)} bytes" if os.path.isfile(path) else "not a local file"
