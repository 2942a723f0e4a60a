"""What would go wrong if a model read a user's files: told in plain words, before hours are spent.

Every header is read, and of a sample of the files some windows: the first, the middle and the last, so that a file cut
short is found out. What prediction itself would refuse or doubt (`zoo.inputs.feed.open_input`) is told as it would be.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.datasets.countable import windows_of
from zoo.datasets.declared import compare
from zoo.datasets.findings import Finding, Report, Severity, gathered
from zoo.datasets.statistics import statistics
from zoo.errors import ZooError, ZooWarning, some
from zoo.inputs.feed import Feed, open_input
from zoo.io import series, tables
from zoo.io.photographs import PhotoSource
from zoo.options import Options
from zoo.spec import InputSpec, Kind

SAMPLE = 200  # files that are looked into; ours: a minute on a laptop
HASHED = 1 << 16  # bytes at a file's beginning and end that decide whether all of it is compared
# What is written where there are no data, by convention: ours, from products in use. 0 and 255 are ordinary in pictures.
FILLS = (0.0, -9999.0, -32768.0, -99999.0, -999.0, 65535.0)
MUCH_FILL = 0.05  # share of the pixels; ours: that many alike, and at the end of the range, are no measurement
MISSING = 0.5  # share of missing values of which one should know; ours
SAME_GSD = 0.01  # relative; ours: less is rounding of degrees to metres
SHOWN = 6  # names per message; ours
ROWS_READ = 64  # windows of a series that are read


@dataclass(frozen=True, kw_only=True, slots=True)
class _Header:
    """What one file says of itself."""

    where: str
    bands: tuple[str, ...]
    dtype: str
    crs: str
    gsd_m: float | None


def check(
    files: Sequence[Path], *, inputs: Sequence[InputSpec], options: Options | None = None, sample: int = SAMPLE
) -> Report:
    """Check files that feed one input of a model.

    Args:
        files: rasters, photographs, tables or series.
        inputs: alternatives of the input.
        options: what the files do not say themselves.
        sample: files whose contents are looked into, spread evenly over all.
    """
    options = options or Options()
    rasters = [file for file in files if not _is_counted(file)]
    counted = [file for file in files if _is_counted(file)]
    findings: list[Finding] = []
    with ThreadPoolExecutor(4) as pool, _told() as warned:
        read = [*pool.map(lambda file: _header(file, inputs, options), rasters)]
    headers = [one for one, _ in read if one is not None]
    findings += [finding for _, found in read for finding in found]
    findings += [_warning("", str(one.message)) for one in warned if issubclass(one.category, ZooWarning)]
    findings += _mixed(headers)
    readable = [file for file, (header, _) in zip(rasters, read, strict=True) if header is not None]
    chosen = _sampled(readable, sample)
    doubted: set[str] = set()
    for file in chosen:
        findings += _contents(file, inputs, options, doubted)
    for file in _sampled(counted, sample):
        findings += _numbers(file, inputs, options)
    findings += _duplicates(files)
    inside = len(chosen) + min(len(counted), sample)
    looked_at = (
        f"{len(files)} file{'s' if len(files) > 1 else ''}, {inside if inside < len(files) else 'all'} looked into"
    )
    return Report(findings=gathered(findings), looked_at=looked_at)


# --------------------------------------------------------------------------------------------------------------- headers


def _header(file: Path, inputs: Sequence[InputSpec], options: Options) -> tuple[_Header | None, list[Finding]]:
    try:
        feed = open_input(inputs, file, options, where=file.name, doubting=False)
    except ZooError as err:
        return None, [_error(file.name, str(err).replace(str(file), file.name))]
    source = feed.source
    header = _Header(
        where=file.name,
        bands=tuple(name or "" for name in source.names),
        dtype=source.dtype,
        crs="" if source.crs is None else source.crs.to_string(),
        gsd_m=source.gsd_m,
    )
    return header, [*_of_header(feed, file.name)]


def _of_header(feed: Feed, where: str) -> Iterator[Finding]:
    source, spec = feed.source, feed.spec
    unused = [name or f"channel {place + 1}" for place, name in enumerate(source.names) if place not in feed.channels]
    if unused:
        yield _note(where, f"the model does not use {some(unused, SHOWN)}")
    if spec.kind is Kind.RASTER and source.crs is None:
        yield _warning(
            where,
            "no CRS: numbers and tables can be made, maps cannot",
            "declare it: gdal_edit.py -a_srs EPSG:32632 FILE (with the right code), or --crs with `zoo predict`",
        )
    side = min(source.height, source.width)
    if spec.window is not None and side < spec.window:
        yield _note(
            where,
            f"smaller than the model's windows of {spec.window} px ({source.height} x {source.width} px): as a scene, the"
            " rest of its window is empty; as a chip, it is enlarged",
        )
    if source.nodata is None and spec.kind is Kind.RASTER and not np.issubdtype(np.dtype(source.dtype), np.floating):
        yield _note(
            where,
            "no nodata value is declared: every pixel counts as data, borders too",
            "gdal_edit.py -a_nodata 0 FILE, or --nodata 0 (the value of your borders), if there are any",
        )


def _mixed(headers: Sequence[_Header]) -> Iterator[Finding]:
    """Files that differ from most."""
    kinds: tuple[tuple[str, Callable[[_Header], Any], Severity, str], ...] = (
        ("other bands", lambda one: one.bands, Severity.WARNING, "keep files of one kind in one folder"),
        ("numbers of another type", lambda one: one.dtype, Severity.WARNING, "check that their units agree"),
        ("another CRS", lambda one: one.crs, Severity.NOTE, "fine for chips and single scenes; not for one mosaic"),
    )
    for what, of, severity, advice in kinds:
        groups: dict[Any, list[str]] = defaultdict(list)
        for one in headers:
            groups[of(one)].append(one.where)
        if len(groups) < 2:
            continue
        usual, *rest = sorted(groups, key=lambda key: (-len(groups[key]), groups[key][0]))
        odd = [where for key in rest for where in groups[key]]
        found = f"{what} than in most: {_worded(rest[0])} here, {_worded(usual)} in {len(groups[usual])} files"
        yield Finding(severity=severity, where=odd[0], others=len(odd) - 1, what=found, advice=advice)
    sizes = [(one.gsd_m, one.where) for one in headers if one.gsd_m is not None]
    if sizes and max(sizes)[0] > min(sizes)[0] * (1 + SAME_GSD):
        (fine, where), (coarse, other) = min(sizes), max(sizes)
        yield _warning(
            where,
            f"pixels of {fine:.3g} m, and of {coarse:.3g} m in {other}: a network sees things of another size there",
            "resample to one size: gdalwarp -tr",
        )


# -------------------------------------------------------------------------------------------------------------- contents


def _contents(file: Path, inputs: Sequence[InputSpec], options: Options, doubted: set[str]) -> list[Finding]:
    """Doubts of prediction, and what reading the first, the middle and the last window shows."""
    where = file.name
    try:
        with _told() as warned:
            feed = open_input(inputs, file, options, where=where, doubted=doubted)
        found = [
            _warning(
                where, str(one.message).removeprefix(f"{where}: ").removesuffix("; said once, other files may be alike")
            )
            for one in warned
            if issubclass(one.category, ZooWarning)
        ]
        windows = windows_of(feed.source, len(feed.channels))
        ends = [windows[place] for place in sorted({0, len(windows) // 2, len(windows) - 1})]
        pixels = [feed.read(window) for window in ends]
    except ZooError as err:
        return [_error(where, str(err).replace(str(file), where))]
    if not any(mask.any() for _, mask in pixels):
        part = "" if len(ends) == len(windows) else f" in the {len(ends)} of {len(windows)} windows looked at"
        return [
            *found,
            _warning(where, f"no data at all{part}: every pixel is nodata, NaN or masked", "leave the file out"),
        ]
    return [*found, *_undeclared(feed, [band[:, mask] for band, mask in pixels], where)]


def _undeclared(feed: Feed, pixels: Sequence[np.ndarray], where: str) -> Iterator[Finding]:
    """Values that look like no data, and count as data."""
    if isinstance(feed.source, PhotoSource) or feed.source.dtype == "uint8":
        return
    data = np.concatenate(pixels, axis=1)
    for value in FILLS:
        alike = (data == value).all(axis=0).mean()
        if alike > MUCH_FILL and value in (data.min(), data.max()) and data.min() < data.max():
            yield _warning(
                where,
                f"{alike * 100:.0f} % of the pixels are {value:g} in all bands, which counts as data",
                f"say --nodata {value:g}, or declare it: gdal_edit.py -a_nodata {value:g} FILE",
            )


def _numbers(file: Path, inputs: Sequence[InputSpec], options: Options) -> list[Finding]:
    """Tables and series: columns or variables that are missing or empty, and numbers that cannot be."""
    try:
        with _told() as warned:
            counted = statistics([file], inputs=inputs, options=options, sample=ROWS_READ)
            comparison = compare(counted)
    except ZooError as err:
        return [_error(file.name, str(err).replace(str(file), file.name))]
    texts = dict.fromkeys(str(one.message) for one in warned if issubclass(one.category, ZooWarning))
    found = [_warning(file.name, text.removeprefix(f"{file.name}: ")) for text in texts]
    found += [_warning(file.name, doubt) for doubt in comparison.doubts]
    for band, one in zip(counted.bands, comparison.bands, strict=True):
        if band.valid < MISSING:
            found.append(_warning(file.name, f"{band.name}: {(1 - band.valid) * 100:.0f} % of the values are missing"))
        elif not one.fits and not any(band.name in doubt for doubt in comparison.doubts):
            found.append(_warning(file.name, f"{band.name}: {one.verdict}", "see `zoo data stats` with --model"))
    return found


# ------------------------------------------------------------------------------------------------------------ duplicates


def _duplicates(files: Iterable[Path]) -> Iterator[Finding]:
    """Files of the same bytes: hashed as a whole only where size, beginning and end agree."""
    alike: dict[tuple[int, bytes], list[Path]] = defaultdict(list)
    sizes = Counter(file.stat().st_size for file in files if file.is_file())
    for file in files:
        if file.is_file() and sizes[size := file.stat().st_size] > 1 and size:
            alike[size, _ends(file, size)].append(file)
    for group in alike.values():
        whole: dict[bytes, list[Path]] = defaultdict(list)
        for file in group if len(group) > 1 else ():
            with file.open("rb") as opened:
                whole[hashlib.file_digest(opened, "sha256").digest()].append(file)
        for same in whole.values():
            if len(same) > 1:
                yield Finding(
                    severity=Severity.WARNING,
                    where=same[0].name,
                    what=f"the same bytes as {some([one.name for one in same[1:]], SHOWN)}",
                    advice="remove the copies: they count twice, and in two splits they flatter the score",
                )


def _ends(file: Path, size: int) -> bytes:
    with file.open("rb") as opened:
        first = opened.read(HASHED)
        opened.seek(max(size - HASHED, 0), os.SEEK_SET)
        return hashlib.sha256(first + opened.read(HASHED)).digest()


# ----------------------------------------------------------------------------------------------------------------- words


@contextlib.contextmanager
def _told() -> Iterator[list[warnings.WarningMessage]]:
    """Records doubts instead of printing them."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ZooWarning)
        yield told


def _sampled(files: Sequence[Path], sample: int) -> list[Path]:
    places = np.linspace(0, len(files) - 1, min(sample, len(files))).round().astype(int)
    return [files[place] for place in places]


def _is_counted(file: Path) -> bool:
    return tables.is_table(file) or file.suffix.lower() in series.SUFFIXES


def _worded(value: object) -> str:
    if isinstance(value, tuple):
        return some([one or "(no name)" for one in value], SHOWN)
    return str(value) or "none"


def _error(where: str, what: str, advice: str = "") -> Finding:
    return Finding(severity=Severity.ERROR, where=where, what=_without(where, what), advice=advice)


def _warning(where: str, what: str, advice: str = "") -> Finding:
    return Finding(severity=Severity.WARNING, where=where, what=_without(where, what), advice=advice)


def _note(where: str, what: str, advice: str = "") -> Finding:
    return Finding(severity=Severity.NOTE, where=where, what=what, advice=advice)


def _without(where: str, what: str) -> str:
    """The sentence without the file's name, which is told beside it."""
    return what.removeprefix(f"{where}: ").removeprefix(f"{where} ") if where else what
