"""Response curves: how the probability of a species changes along one predictor.

Two ways, side by side. `alone`: only that predictor is shown, which is the answer to "what if nothing else is known" and
follows whatever went along with the predictor in the training data. `profile` (partial dependence, Friedman 2001, doi
10.1214/aos/1013203451, section 8.2): the predictor is set to each value at all sites while the others stay as they are
there, and the mean is taken; it answers "what if only this changed".
"""

# N sites that are drawn, F variables of an input, K values of a curve, S species

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from zoo.bands import normal_form
from zoo.errors import ConfigError, InputError, some
from zoo.explain.groups import single_predictors, unknown_predictor
from zoo.explain.local import species_to_explain
from zoo.explain.result import EXTENSIONS, PICTURES, save_figure
from zoo.io.tables import TableSource
from zoo.io.whole import check_extension
from zoo.model import Model
from zoo.options import Options
from zoo.predict import stream
from zoo.predict.species import check_places, null_for_nan
from zoo.predict.species_job import Read, SpeciesJob, open_job
from zoo.predict.work import Arrays, session
from zoo.results.rows import RowsResult
from zoo.spec import InputSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = 25  # ours: values along a predictor, evenly from the least to the greatest that the sites have
SITES = 250  # ours: drawn for the means; a profile of 61 predictors then costs 380,000 forward passes
BAND = (0.1, 0.9)  # ours: quantiles over the sites

Numbers = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One predictor.

    Attributes:
        predictor: its name.
        unit: of its values.
        values: (K,) along the predictor, in its unit.
        alone: (S, K) probability where nothing else is shown; `None` where the network needs more than this.
        profile: (3, S, K) mean probability over the sites, and the quantiles `BAND`.
        seen: (N,) values at the sites drawn, NaN where there is none.
    """

    predictor: str
    unit: str
    values: Numbers
    alone: Numbers | None
    profile: Numbers
    seen: Numbers


@dataclass(frozen=True, kw_only=True, repr=False)
class Curves(RowsResult):
    """A row per predictor, way (`alone`, `profile`), species and value.

    Attributes:
        species: names, (S).
        curves: one per predictor.
    """

    species: tuple[str, ...]
    curves: tuple[Curve, ...]

    def save(self, path: str | Path) -> Path:
        """Write the table (`.parquet`, `.geojson`, `.csv`), or the plot (`.png`); see `RowsResult.save`."""
        path = Path(path)
        if path.suffix.lower() in PICTURES:
            return save_figure(self.plot(), path, self.provenance)
        return super().save(path)

    def plot(self) -> Figure:
        """Small multiples: a row per species, the predictors that change its probability most; ticks are the sites.

        Needs matplotlib.
        """
        from zoo.explain.pictures import draw_curves

        return draw_curves(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Player:
    """A predictor: variable `index` of an input, with the least and greatest value at the sites."""

    spec: InputSpec
    index: int
    low: float
    high: float

    @property
    def name(self) -> str:
        return self.spec.bands[self.index].id

    @property
    def values(self) -> Numbers:
        return np.linspace(self.low, self.high, STEPS if self.high > self.low else 1)


def explain_curves(
    model: Model,
    source: Any,
    out: Path | None,
    options: Options,
    *,
    predictors: Sequence[str] | None,
    seed: int,
    plot: Path | None,
) -> Curves | Path:
    """Response curves of the species over the sites of a table.

    Args:
        model: of the task sdm, which can hide predictors.
        source: a table of sites; see `zoo.predict.opening.open_feeds`.
        out: `.parquet`, `.geojson`, `.csv` or `.png`; `None` keeps it in memory.
        options: how data are read and computed; `species` says which are explained.
        predictors: names; `None` = all that the sites have.
        seed: decides which sites are drawn.
        plot: also draw it to this `.png`.

    Raises:
        InputError: the source has no sites, or none of the predictors; nothing is written.
        ConfigError: a predictor or species is none of the model's.
    """
    if out is not None:
        check_extension(out, EXTENSIONS, "response curves")
    wanted = _wanted(model, predictors)
    chosen = species_to_explain(model, options)
    told = options.recorded() | {"explained": "response curves", "seed": str(seed)}
    told |= {} if predictors is None else {"predictors": ",".join(predictors)}
    table, job = open_job(model, source, options, chosen, model.provenance(told))
    if table is None:
        raise InputError(
            f"{job.what} has no sites, and a response curve is a mean over sites; expected a table of them, with the rasters"
            " beside it: --covariates RASTERS"
        )
    check_places(job, table)
    background, players = _background(job, table, wanted, seed, is_asked=predictors is not None)
    plan = job.plan("explain curves", table) | {"predictors": [one.name for one in players]}

    def compute(player: _Player) -> tuple[Arrays, dict[str, str]]:
        profile = _profile(job, background, player)
        alone = _alone(job, player)
        return {"profile": profile} | ({} if alone is None else {"alone": alone}), {}

    with session(out, plan, resume=options.resume) as work:
        is_main = stream.run(
            players,
            batch_size=1,
            load=lambda unit: unit[0],
            compute=compute,
            work=work,
            what=f"{job.what}: predictors",
            workers=options.workers,
        )
        parts = [work.load(index)[0] for index in range(len(players))] if is_main else []
        result = _result(job, background, players, parts)
        for path in (out, plot) if is_main else ():
            if path is not None:
                result.save(path)
    return result if out is None else out


def _wanted(model: Model, predictors: Sequence[str] | None) -> list[tuple[InputSpec, int]]:
    """Variables that can be set and hidden one by one."""
    known = {normal_form(spec.band_ids[index]): (spec, index) for spec, index in single_predictors(model)}
    if predictors is None:
        return list(known.values())
    names = [spec.band_ids[index] for spec, index in known.values()]
    for name in predictors:
        if normal_form(name) not in known:
            raise ConfigError(f"--predictors names {unknown_predictor(name, names)}")
    wanted = [known[normal_form(name)] for name in predictors]
    if len(set(map(normal_form, predictors))) < len(wanted):
        raise ConfigError(f"--predictors names one twice: {', '.join(predictors)}")
    return wanted


def _background(
    job: SpeciesJob, table: TableSource, wanted: Sequence[tuple[InputSpec, int]], seed: int, *, is_asked: bool
) -> tuple[Read, list[_Player]]:
    """What at most `SITES` sites have, and the range of each predictor over all sites."""
    drawn = np.random.default_rng(seed).permutation(len(table))[:SITES]
    picked: dict[str, list[tuple[Numbers, Numbers]]] = {}
    ends: dict[str, Numbers] = {}
    for rows in job.units(table):
        mine = np.sort(drawn[(drawn >= rows.start) & (drawn < rows.stop)]) - rows.start
        for name, (values, mask) in job.load(table, rows).items():
            picked.setdefault(name, []).append((values[mine], mask[mine]))
            if name in {spec.name for spec, _ in wanted}:
                shown = np.where(mask, values, np.nan).astype(np.float64)
                before = ends.get(name, np.full((2, shown.shape[1]), np.nan))
                ends[name] = np.stack(
                    [np.fmin(before[0], np.fmin.reduce(shown)), np.fmax(before[1], np.fmax.reduce(shown))]
                )
    background = {
        name: (np.concatenate([one for one, _ in parts]), np.concatenate([mask for _, mask in parts]))
        for name, parts in picked.items()
    }
    players, lacking = [], []
    for spec, index in wanted:
        low, high = ends.get(spec.name, np.full((2, len(spec.bands)), np.nan))[:, index]
        if np.isfinite(low):
            players.append(_Player(spec=spec, index=index, low=float(low), high=float(high)))
        else:
            lacking.append(spec.band_ids[index])
    if not players or (is_asked and lacking):
        raise InputError(
            f"no site of {table.name} has a value of {some(lacking, 8)}; expected it as a column, or as a raster:"
            " --covariates RASTERS"
        )
    return background, players


def _profile(job: SpeciesJob, background: Read, player: _Player) -> NDArray[np.float32]:
    """(3, S, K); see `Curve.profile`."""
    values = player.values
    name, index = player.spec.name, player.index
    numbers, known = background[name]
    parts = []
    for value in values:
        there = numbers.copy(), known.copy()
        there[0][:, index], there[1][:, index] = value, True
        probabilities, seen = job.probabilities({**background, name: there})
        if not seen.any():
            raise InputError(f"not one of {len(numbers)} sites that were drawn has what the model needs; give others")
        mine = probabilities[seen].astype(np.float64)
        parts.append(np.stack([mine.mean(axis=0), *np.quantile(mine, BAND, axis=0)]))
    found: NDArray[np.float32] = np.stack(parts, axis=2).astype(np.float32)
    return found


def _alone(job: SpeciesJob, player: _Player) -> NDArray[np.float32] | None:
    """(S, K); see `Curve.alone`."""
    if any(not feed.spec.optional for name, feed in job.feeds.items() if name != player.spec.name):
        return None
    values = np.full((len(player.values), len(player.spec.bands)), np.nan, np.float32)
    values[:, player.index] = player.values
    only = replace(job, feeds={player.spec.name: job.feeds[player.spec.name]})
    probabilities, _ = only.probabilities({player.spec.name: (values, np.isfinite(values))})
    found: NDArray[np.float32] = probabilities.T
    return found


def _result(
    job: SpeciesJob, background: Read, players: Sequence[_Player], parts: Sequence[Mapping[str, Numbers]]
) -> Curves:
    curves = []
    for player, part in zip(players, parts, strict=False):  # without parts, in other processes: none
        numbers, known = background[player.spec.name]
        curves.append(
            Curve(
                predictor=player.name,
                unit=player.spec.bands[player.index].unit,
                values=player.values,
                alone=part.get("alone"),
                profile=part["profile"],
                seen=np.where(known, numbers, np.nan)[:, player.index],
            )
        )
    rows = [table for curve in curves for table in _rows(curve, job.species)]
    return Curves(
        table=pa.concat_tables(rows) if rows else pa.table({}),
        provenance=job.provenance,
        species=job.species,
        curves=tuple(curves),
    )


def _rows(curve: Curve, species: Sequence[str]) -> list[pa.Table]:
    steps, count = len(curve.values), len(curve.values) * len(species)
    empty = np.full((len(species), steps), np.nan, np.float32)
    ways = {} if curve.alone is None else {"alone": (curve.alone, empty, empty)}
    ways["profile"] = tuple(curve.profile)
    return [
        pa.table(
            {
                "species": pa.array(np.repeat(np.array(species, object), steps).tolist(), pa.string()),
                "predictor": pa.array([curve.predictor] * count),
                "unit": pa.array([curve.unit] * count),
                "way": pa.array([way] * count),
                "value": pa.array(np.tile(curve.values, len(species))),
            }
            | {name: null_for_nan(one) for name, one in zip(("probability", "low", "high"), numbers, strict=True)}
        )
        for way, numbers in ways.items()
    ]
