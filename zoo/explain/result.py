"""What each group of predictors adds, as a table (a row per site, species and group) or as a map (a band per group)."""

# P groups

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zoo.explain.shapley import Numbers
from zoo.results.maps import RasterResult
from zoo.results.provenance import Provenance
from zoo.results.rows import EXTENSIONS as TABLES
from zoo.results.rows import RowsResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BASE, WHOLE = "base", "probability"  # bands of a map behind those of the groups
PICTURES = (".png",)
EXTENSIONS = (*TABLES, *PICTURES)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The bars of one species.

    Attributes:
        title: the species, or of what the values are a mean.
        up: (P,) what each group adds, mean over sites of what is above 0.
        down: (P,) the same of what is below 0.
        errors: (P,) standard errors of both together; `None` where values are exact.
        base: the value without any group, mean over sites.
        whole: the value with all of them.
    """

    title: str
    up: Numbers
    down: Numbers
    errors: Numbers | None
    base: float
    whole: float


@dataclass(frozen=True, kw_only=True)
class Bars:
    """What a bar plot shows.

    Attributes:
        groups: names, (P).
        value: of what the bars are parts: `"probability of presence"`, `"AUC"`.
        over: of what they are means (`"17 sites"`); empty for a single value.
        panels: one per species.
        provenance: how the numbers were made.
    """

    groups: tuple[str, ...]
    value: str
    over: str
    panels: tuple[Panel, ...]
    provenance: Provenance

    def plot(self) -> Figure:
        """See `Explanation.plot`."""
        from zoo.explain.pictures import draw_bars

        return draw_bars(self)

    def save(self, path: Path) -> Path:
        """Write the plot to a `.png`.

        Raises:
            OutputError: the place cannot be written.
        """
        return save_figure(self.plot(), path, self.provenance)


def save_figure(figure: Figure, path: Path, provenance: Provenance) -> Path:
    """Write a figure to a `.png` that says how it was made."""
    from zoo.io.whole import whole

    with whole(path) as temporary:
        tags = {"Software": None, **provenance.tags()}
        figure.savefig(temporary, format="png", bbox_inches="tight", metadata=tags)
    return path


@dataclass(frozen=True, kw_only=True, repr=False)
class Explanation(RowsResult):
    """What each group of predictors adds: a row per site, species and group, or per species and group of a score.

    Attributes:
        bars: what `plot` shows.
    """

    bars: Bars

    def save(self, path: str | Path) -> Path:
        """Write the table (`.parquet`, `.geojson`, `.csv`), or the plot (`.png`); see `RowsResult.save`."""
        path = Path(path)
        return self.bars.save(path) if path.suffix.lower() in PICTURES else super().save(path)

    def plot(self) -> Figure:
        """Bars of what each group adds, longest first: to the right what raises the value, to the left what lowers it.

        Over many sites these are the means of what raises and of what lowers, so that a group that does both shows both.
        Needs matplotlib.
        """
        return self.bars.plot()


@dataclass(frozen=True, kw_only=True, repr=False)
class ExplanationMap(RasterResult):
    """A band per group with what it adds in each cell, then `base` and `probability`."""

    def plot(self, band: str | None = None) -> Figure:
        """A map per group, all on one scale (what raises the probability in red, what lowers it in blue), and the
        probability; or the one band. Needs matplotlib.
        """
        from zoo.explain.pictures import draw_maps

        return super().plot(band) if band is not None else draw_maps(self)


def panel(title: str, values: Numbers, *, base: float, whole: float, errors: Numbers | None = None) -> Panel:
    """The bars of values (P,) that are no means."""
    zero = np.zeros_like(values)
    return Panel(
        title=title, up=np.maximum(values, zero), down=np.minimum(values, zero), errors=errors, base=base, whole=whole
    )


@dataclass(kw_only=True)
class Totals:
    """Sums over sites, from which the bars of many come; sites without an answer are NaN and left out.

    Attributes:
        up: (S, P), as `down` and `errors`.
        ends: (2, S) of base and whole.
    """

    up: Numbers
    down: Numbers
    errors: Numbers
    ends: Numbers
    sites: int = 0

    @classmethod
    def zeros(cls, species: int, groups: int) -> Totals:
        shape = (species, groups)
        return cls(up=np.zeros(shape), down=np.zeros(shape), errors=np.zeros(shape), ends=np.zeros((2, species)))

    def add(
        self,
        values: NDArray[np.float32],
        errors: NDArray[np.float32] | None,
        base: NDArray[np.float32],
        whole: NDArray[np.float32],
    ) -> None:
        """Take values (N, S, P), their standard errors, and base and whole (N, S)."""
        known = np.isfinite(whole).all(axis=1)
        values = values[known].astype(np.float64)
        self.up += np.maximum(values, 0).sum(axis=0)
        self.down += np.minimum(values, 0).sum(axis=0)
        self.ends += np.stack([one[known].astype(np.float64).sum(axis=0) for one in (base, whole)])
        self.sites += int(known.sum())
        if errors is not None:
            self.errors += errors[known].astype(np.float64).sum(axis=0)

    def panels(self, species: tuple[str, ...], *, drawn: bool) -> tuple[Panel, ...]:
        """Means over the sites. All sites share their orders, so errors do not cancel: theirs is the mean of them."""
        sites = max(self.sites, 1)
        return tuple(
            Panel(
                title=name,
                up=self.up[index] / sites,
                down=self.down[index] / sites,
                errors=self.errors[index] / sites if drawn else None,
                base=float(self.ends[0, index] / sites),
                whole=float(self.ends[1, index] / sites),
            )
            for index, name in enumerate(species)
        )
