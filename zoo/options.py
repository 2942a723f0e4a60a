"""Options of a prediction, the same from Python and from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from zoo.errors import ConfigError

Blend = Literal["none", "mean", "cosine"]
Precision = Literal["fp32", "bf16"]
Format = Literal["tif", "png"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How data are read and computed.

    Attributes:
        bands: preset (`"S2"`) or band names in the file's order; `None` = what the file says.
        sensor: label of the input (`"S2-L2A"`), where the bands leave a choice.
        scale: physical = number * scale + offset, where the file does not say.
        offset: see `scale`.
        baseline: Sentinel-2 processing baseline (`"05.09"`), where the file does not say.
        nodata: value of missing pixels, where the file does not say.
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

    bands: str | tuple[str, ...] | None = None
    sensor: str | None = None
    scale: float | None = None
    offset: float | None = None
    baseline: str | None = None
    nodata: float | None = None
    crs: str | None = None
    window: int | None = None
    halo: int | None = None
    blend: Blend = "none"
    batch_size: int = 8
    precision: Precision = "fp32"
    classes: tuple[str, ...] | None = None
    templates: tuple[str, ...] | None = None
    species: tuple[str, ...] | None = None
    top: int | None = None
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
        closed = {"blend": get_args(Blend), "precision": get_args(Precision), "format": get_args(Format)}
        for name, allowed in closed.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(allowed)}")
        for name, least in (
            ("batch_size", 1),
            ("workers", 1),
            ("halo", 0),
            ("window", 1),
            ("top", 1),
            ("max_points", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value}; expected at least {least}")
        for name in ("min_score", "dor"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name} is {value}; expected a number from 0 to 1")

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
            item.name: str(value)
            for item in fields(self)
            if item.name not in silent and (value := getattr(self, item.name)) is not None and value is not False
        }
