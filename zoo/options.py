"""Options of a prediction, the same from Python and from the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Literal, get_args

from zoo.errors import ConfigError

Blend = Literal["none", "mean", "cosine"]
Precision = Literal["fp32", "bf16"]
Format = Literal["tif", "png"]
Sampling = Literal["cell", "nearest", "bilinear"]
PER_INPUT = ("bands", "sensor", "scale", "offset", "baseline", "nodata", "crs", "covariates")
PLACES = ("covariates", "grid")  # may be paths or opened, of which provenance keeps the name alone
LEAST = {"batch_size": 1, "workers": 1, "halo": 0, "window": 1, "top": 1, "max_points": 1}
SHARES = ("min_score", "dor")
KINDS: Mapping[Any, tuple[tuple[str, ...], str]] = {
    Integral: (tuple(LEAST), "a whole number"),
    Real: (("scale", "offset", "nodata", *SHARES), "a number"),
    str: (("sensor", "baseline", "at"), "a text"),
    Sequence: (("bands", "classes", "templates", "species", "predictors"), "a list of texts"),
    bool: (("float16", "resume", "scores"), "True or False"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How data are read and computed.

    Where inputs come from sources of their own, `bands`, `sensor`, `scale`, `offset`, `baseline`, `nodata`, `crs`
    and `covariates` may be mappings of input names: `{"s1": "S1", "s2": "S2"}`; a plain value holds for all inputs.

    Attributes:
        bands: preset (`"S2"`) or band names in the file's order, as a sequence or joined by commas; `None` = what the
            file says.
        sensor: label of the input (`"S2-L2A"`), where the bands leave a choice.
        scale: physical = number * scale + offset, where the file does not say.
        offset: see `scale`.
        baseline: Sentinel-2 processing baseline (`"05.09"`), where the file does not say.
        nodata: value of missing pixels, besides those that the file says.
        crs: CRS of the source, where the file does not say (`"EPSG:32632"`).
        window: side of the windows in pixels; `None` = the model's.
        halo: input pixels by which a window reaches beyond what it decides; `None` = 0, or a quarter of the window
            when blending.
        blend: how overlapping windows are joined: `none` (each pixel is decided by one window), `mean`, `cosine`.
        batch_size: windows, chips, or packets of 128 rows of a table, per forward pass.
        precision: `fp32`, or `bf16` (autocast; results stay float32).
        classes: named in words, for models that compare images with words; `None` = the variant's.
        templates: sentences into which their names are put, at `{}`; `None` = the variant's, or the name alone.
        species: names of those asked for; `None` = all of the model's.
        top: instead of all species, that many of the most probable ones of each site, in a row each.
        predictors: names of variables, of groups of them, or of inputs that are shown; all others count as missing. `None` =
            all that there are.
        covariates: rasters (a file, a folder, a glob, a list of files) that give a table of sites what its columns lack.
        sampling: of rasters at sites, see `zoo.io.around.values_at`; `None` = `cell`.
        grid: of a map of species: a text `W,S,E,N,STEP` in degrees, or with `,EPSG:2056` behind it in that CRS, the same as a
            tuple, a raster file that has it, or a `Grid`; `None` = that of the first raster.
        times: of the steps of a series, UTC, where the source does not say (an array).
        at: last input of the forecasts wanted: a time (`"2019-06-01T12:00"`), or first and last (`"2019-06/2019-07"`);
            `None` = all for which there are inputs.
        float16: write floating-point results as float16.
        resume: go on with the parts that an interrupted run left.
        workers: threads that read.
        format: of the files in an output folder, `tif` or `png`.
        scores: of a class map: the probability of every class instead.
        min_score: least score of a detection; `None` = 0.25.
        max_points: most points that a window may answer, the best-scored; `None` = 30000.
        dor: distance over radius: of two points of a class that are closer than this share of its radius, the better
            one stays; 0 keeps both; `None` = the variant's, or 0.3.
    """

    bands: Any = None
    sensor: Any = None
    scale: Any = None
    offset: Any = None
    baseline: Any = None
    nodata: Any = None
    crs: Any = None
    window: int | None = None
    halo: int | None = None
    blend: Blend = "none"
    batch_size: int = 8
    precision: Precision = "fp32"
    classes: tuple[str, ...] | None = None
    templates: tuple[str, ...] | None = None
    species: tuple[str, ...] | None = None
    top: int | None = None
    predictors: tuple[str, ...] | None = None
    covariates: Any = None
    sampling: Sampling | None = None
    grid: Any = None
    times: tuple[str, ...] | None = None
    at: str | None = None
    float16: bool = False
    resume: bool = False
    workers: int = 2
    format: Format = "tif"
    scores: bool = False
    min_score: float | None = None
    max_points: int | None = None
    dor: float | None = None

    def __post_init__(self) -> None:
        for name, value in ((item.name, getattr(self, item.name)) for item in fields(self)):
            if name in PER_INPUT and isinstance(value, Mapping):
                by_input = {key: _plain(name, part) for key, part in value.items() if part is not None}
                object.__setattr__(self, name, by_input)
            elif value is not None:
                object.__setattr__(self, name, _plain(name, value))
        closed = {"blend": Blend, "precision": Precision, "format": Format, "sampling": Sampling}
        for name, allowed in ((name, get_args(kind)) for name, kind in closed.items()):
            if getattr(self, name) not in (allowed if name != "sampling" else (*allowed, None)):
                raise ConfigError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(allowed)}")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value}; expected at least {least}")
        for name in SHARES:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name} is {value}; expected a number from 0 to 1")

    def of_input(self, name: str) -> Options:
        """The options that hold for the input of that name: of mappings, its own value."""
        told = {key: getattr(self, key) for key in PER_INPUT}
        own: dict[str, Any] = {key: one.get(name) for key, one in told.items() if isinstance(one, Mapping)}
        return replace(self, **own)

    def check_inputs(self, names: Sequence[str]) -> None:
        """Raise `ConfigError` if a mapping tells of an input that is none of `names`."""
        for key in PER_INPUT:
            value = getattr(self, key)
            if isinstance(value, Mapping) and (unknown := [name for name in value if name not in names]):
                raise ConfigError(f"{key} is given for {', '.join(unknown)}; the inputs are {', '.join(names)}")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """Options from keywords; an unknown one raises with the nearest name."""
        import difflib

        known = {item.name for item in fields(cls)}
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                raise ConfigError(
                    f"unknown option {name!r}"
                    + (f"; did you mean {near[0]!r}?" if near else f"; known: {sorted(known)}")
                )
        return cls(**given)

    def recorded(self) -> dict[str, str]:
        """What of the options decides the numbers, for provenance."""
        silent = {"resume", "workers", "format"}
        return {
            item.name: _recorded(value, places=item.name in PLACES)
            for item in fields(self)
            if item.name not in silent and (value := getattr(self, item.name)) is not None and value is not False
        }


def _plain(name: str, value: Any) -> Any:
    """The value in the form that is the same however it was written.

    Raises:
        ConfigError: it is of another type than the option.
    """
    if name == "bands" and not isinstance(value, str) and isinstance(value, Sequence) and len(value) == 1:
        (value,) = value
    if name == "bands" and isinstance(value, str):
        return tuple(part.strip() for part in value.split(",")) if "," in value else value
    for kind, (names, expected) in KINDS.items():
        if name not in names:
            continue
        if kind is Sequence and isinstance(value, str):
            return (value,)  # a list of one
        strange = isinstance(value, bool) and kind in (Integral, Real)
        if strange or not isinstance(value, kind):
            raise ConfigError(f"{name} is {value!r}, a {type(value).__name__}; expected {expected}")
        return {Integral: int, Real: float, Sequence: tuple}.get(kind, kind)(value)
    return value


def _recorded(value: Any, *, places: bool = False) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}={_recorded(part, places=places)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ",".join(_recorded(part, places=places) for part in value)
    if places and not isinstance(value, Real):
        from zoo.io.grid import Grid
        from zoo.io.sources import label

        return str(value) if isinstance(value, Grid) else label(value)
    return str(value)
