"""A table of sites, with predictors and with the species that were found: long (Darwin Core) or a column per species."""

# N rows or sites, F variables, S species

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.datasets.layouts.background import background_of_split, check_background, open_background
from zoo.datasets.layouts.patches import Patches, patches_of
from zoo.datasets.layouts.presences import Found, Unlisted, presences
from zoo.datasets.layouts.site_rows import Mask, Places, Rows, all_sites, find_table, located, named, tell_left_out
from zoo.datasets.layouts.site_splits import Dealing, sites_of_split
from zoo.datasets.layouts.site_told import parts_of, told_of
from zoo.datasets.layouts.site_values import Predictors, Sources, without_a_number
from zoo.datasets.pictures import need_variant
from zoo.datasets.sample import Sample
from zoo.errors import ConfigError, InputError, ZooWarning, some
from zoo.inputs.variables import SHOWN
from zoo.io.tables import open_table
from zoo.options import Sampling
from zoo.spec import Variant

# What must be said beside scores of data without absences that somebody has looked for.
AGAINST_BACKGROUND = (
    "absences are background points, where the species may well be: scores tell presences from the background, and"
    " frequencies are not prevalence"
)
AGAINST_LISTS = "absences are sites where the species is not listed: frequencies are those of the lists, not prevalence"


def sites(
    folder: str | Path,
    *,
    split: str,
    variant: Variant | None,
    table: str | None = None,
    species: Sequence[str] | None = None,
    unlisted: Unlisted = None,
    shares: Mapping[str, float] | None = None,
    seed: int = 0,
    block_km: float | None = None,
    folds: int | None = None,
    fold: int | None = None,
    bands: Any = None,
    nodata: float | None = None,
    crs: Any = None,
    covariates: str | None = None,
    sampling: Sampling = "cell",
    rasters: Mapping[str, str] | None = None,
    background: str | int | None = None,
) -> SiteTable:
    """Sites with predictors and species.

    A long table has a row per site and species (`species` or `scientificName`, and maybe `presence` or
    `occurrenceStatus`); rows of one site share its id (`site`, `eventID`, ...; ids of finds are none), or else its
    coordinates. A wide one has a row per site and a column
    of 1, 0 or nothing per species. Relative paths begin at the table.

    Args:
        folder: the table, or the folder that holds it: `<split>.csv` (.tsv, .parquet), or a single one.
        split: by a column `split` of a single table; without one, by blocks or drawn by the sites' places, else ids.
        variant: whose inputs are fed from the columns, from rasters, and (longitude and latitude) from the places.
        table: name of the file, where the folder holds several.
        species: in the order of the answers; `None` = the variant's classes, or those of a long table by name.
            Rows that name none are left out, and are told; with `unlisted="absent"` they are sites with an empty list.
        unlisted: what a species is at a site where a long table does not list it, or a wide one is empty; must be said where the table lists
            presences alone and there is no background; otherwise `None` = unknown.
        shares: see `zoo.datasets.dividing.Dividing`.
        seed: of the draws of splits and of background points.
        block_km: side of blocks of the ground (`zoo.datasets.blocks`), each of which goes to one split as a whole.
        folds: the blocks are dealt to so many folds of about as many sites, instead of to shares ...
        fold: ... of which this one (from 1) is the test, the next (after the last the first) val, the others train.
        bands: names of the table's columns in its order, where they are not the variables' own.
        nodata: number that marks missing values in the table.
        crs: of coordinates named x and y.
        covariates: rasters (a file, folder or pattern) in which variables are looked up that the table has not, or not
            at a site.
        sampling: `cell`, `nearest` or `bilinear`; see `zoo.io.around.values_at`.
        rasters: by input, for models that see patches around sites: a file, or a folder with a file per variable.
        background: a table of further places, or how many to draw, at which it is not known what occurs, only what they
            are like. They are drawn in the box of all sites of the table, uniform on the ground, where all rasters have
            data. In `train` their target has `background`; in other splits they count as absences of the species of
            which the table knows none, and are left out where there is no such species. Where points are drawn, the
            table's columns tell no predictors, for the points have none: rasters do. See `zoo.datasets.layouts.background` for how they are divided.

    Raises:
        InputError: the table cannot be read, or does not fit the variant.
        ConfigError: an option is wrong.
    """
    variant = need_variant(variant, "sites")
    species = [species] if isinstance(species, str) else species
    _check_types(table=table, species=species, covariates=covariates, rasters=rasters)
    path, divided = find_table(folder, split, table)
    opened = open_table(path, crs=crs)
    dealing = Dealing(shares=shares, seed=seed, block_km=block_km, folds=folds, fold=fold)
    every = all_sites(opened, own=path.name if divided else "")
    every = every if unlisted == "absent" else named(every)  # of complete lists some are empty
    if divided:
        dealing.check(f"{path.parent}", told="a table per split")
    around = patches_of(variant, rasters or {}, path.parent)
    if around or block_km is not None or isinstance(background, int):
        every = located(every)
    chosen = every if divided else sites_of_split(every, split, dealing)
    found = presences(chosen, species, variant, unlisted, background=background is not None)
    sources = Sources(
        variant=variant,
        bands=bands,
        nodata=nodata,
        covariates=None if covariates is None else path.parent / Path(covariates).expanduser(),
        sampling=sampling,
        drawn=isinstance(background, int),
    )
    sources.check()
    check_background(background, sources, around)
    own = _sites(chosen, found, sources, around, unlisted)
    parts = {split: every} if divided else parts_of(every, dealing) if split == "train" else {}
    pending = np.zeros_like(found.listed_absences) if unlisted == "absent" else ~found.listed_absences
    judged = bool(pending.any())
    taken: dict[str, Rows] = {}
    if background is not None and (judged or split == "train"):
        points = open_background(background, every, path.parent, sources, around, seed=seed, crs=crs)
        with_points = [one for one in parts if judged and one in dealing.splits()]
        taken = {
            one: background_of_split(points, every, one, dealing, judged=judged)
            for one in dict.fromkeys([split, *with_points])
        }
        own = _beside(own, taken[split], sources, None if split == "train" else pending)
    own = own if split == "train" else own.without_absences()
    told = told_of(found.species, parts, {one: len(rows.ids) for one, rows in taken.items()}) if parts else ()
    return replace(own, told=told)


@dataclass(frozen=True, kw_only=True)
class SiteTable:
    """See `sites`; a `zoo.datasets.sample.Reader`.

    Attributes:
        inputs: (N, F) of each input, prepared.
        valid: (N, F), which values there were.
        presence: (N, S).
        places: (N, 2) longitude and latitude, where the table has them.
        patches: inputs that are read around the places.
        background: (N,) which sites are background points of training; `None` where the data have none.
        notes: what must be said beside scores.
        judged_by: options of the metric: of own data, species without absences say nothing of a model.
        told: what was read, of all splits where `train` is read.
    """

    ids: Sequence[str]
    classes: tuple[str, ...]
    inputs: Mapping[str, Tensor]
    valid: Mapping[str, Tensor]
    presence: Tensor
    places: Places | None
    patches: tuple[Patches, ...] = ()
    background: Tensor | None = None
    notes: tuple[str, ...] = ()
    judged_by: Mapping[str, Any] = field(default_factory=lambda: {"no_absence": "left out"})
    told: tuple[str, ...] = ()

    def without_absences(self) -> SiteTable:
        """With a note of the species of which there are presences and no absence, that nobody wonders about their scores."""
        few = [
            name
            for name, present, absent in zip(
                self.classes, (self.presence == 1).any(dim=0), (self.presence == 0).any(dim=0), strict=True
            )
            if present and not absent
        ]
        note = f"no absence is known of {some(few, SHOWN)} in this split: left out of the means of AUC, TSS, ..."
        return replace(self, notes=(*self.notes, note)) if few else self

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:  # noqa: ARG002  (the protocol's)
        place = None if self.places is None else self.places[index].tolist()
        around = {one.spec.name: one.at((place[0], place[1])) for one in self.patches if place is not None}
        return Sample(
            id=self.ids[index],
            inputs={name: one[index] for name, one in self.inputs.items()}
            | {name: one for name, (one, _) in around.items()},
            valid={name: one[index] for name, one in self.valid.items()}
            | {name: one for name, (_, one) in around.items()},
            target={"presence": self.presence[index]}
            | ({} if self.background is None else {"background": self.background[index]}),
            place=None if place is None or not np.isfinite(place).all() else (place[0], place[1]),
        )


def _sites(chosen: Rows, found: Found, sources: Sources, around: tuple[Patches, ...], unlisted: Unlisted) -> SiteTable:
    """The sites that have the predictors that the network needs."""
    name = chosen.table.name
    known = sources.of(chosen)
    if not known.seen.all():
        if not known.seen.any():
            raise InputError(
                f"{name}: not one of {len(known.seen)} sites has the predictors{without_a_number(known, sources.variant)}"
            )
        tell_left_out(chosen.table, known.seen, "sites lack predictors")
    kept = chosen.kept(known.seen)
    by_lists = ~found.listed_absences if unlisted == "absent" else np.zeros_like(found.listed_absences)
    return SiteTable(
        ids=kept.ids,
        classes=found.species,
        inputs={name: one[known.seen] for name, one in known.inputs.items()},
        valid={name: one[known.seen] for name, one in known.valid.items()},
        presence=torch.from_numpy(found.presence[known.seen]),
        places=kept.lon_lat,
        patches=around,
        notes=_noted(AGAINST_LISTS, found.species, by_lists),
    )


def _noted(note: str, species: Sequence[str], those: Mask) -> tuple[str, ...]:
    """A note on absences, which says of which species if not of all."""
    if not those.any():
        return ()
    names = [name for name, mine in zip(species, those.tolist(), strict=True) if mine]
    return (note if those.all() else note.replace("absences", f"absences of {some(names, SHOWN)}", 1),)


def _check_types(**options: Any) -> None:
    """Raise `ConfigError` for options of another kind than these have."""
    names = options["species"]
    if names is not None and not (isinstance(names, Sequence) and all(isinstance(one, str) for one in names)):
        raise ConfigError(f"the option species is {names!r}; expected names: species=[Abies alba, Fagus sylvatica]")
    kinds: dict[str, tuple[type, str]] = {
        "table": (str, "the name of a file: table=sites.csv"),
        "covariates": (str, "a file, folder or pattern: covariates=climate"),
        "rasters": (Mapping, "a file or folder per input: rasters.env=climate"),
    }
    for name, (kind, expected) in kinds.items():
        if options[name] is not None and not isinstance(options[name], kind):
            raise ConfigError(f"the option {name} is {options[name]!r}; expected {expected}")


def _beside(own: SiteTable, points: Rows, sources: Sources, absent: Mask | None) -> SiteTable:
    """The sites, and after them background points: `absent` (S,) says of which species, and `None` that they train."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ZooWarning
        )  # what points lack sites lack too, and told so, or see `_check_alike`
        known = (replace(sources, bands=None) if sources.drawn else sources).of(points)
    seen, places = known.seen, points.lon_lat
    if own.patches:
        seen = seen & (False if places is None else np.isfinite(places).all(axis=1))
    if not seen.any() or known.inputs.keys() != own.inputs.keys():
        raise InputError(
            f"{points.table.name}: not one background point of this split has what {sources.variant.tag} takes; expected"
            f" coordinates, and the predictors of the sites ({', '.join(own.inputs) or 'none'})"
        )
    _check_alike(own, known, points.table.name, sources.variant)
    if own.places is not None and places is None:
        places = np.full((len(seen), 2), np.nan)
    ids = [one for one, there in zip(points.ids, seen.tolist(), strict=True) if there]
    training = absent is None
    values = torch.full((len(own.classes),), torch.nan)
    if absent is not None:
        values[torch.from_numpy(absent)] = 0.0
    return replace(
        own,
        ids=(*own.ids, *ids),
        inputs={name: torch.cat([one, known.inputs[name][seen]]) for name, one in own.inputs.items()},
        valid={name: torch.cat([one, known.valid[name][seen]]) for name, one in own.valid.items()},
        presence=torch.cat([own.presence, values.expand(len(ids), -1)]),
        places=None if own.places is None or places is None else np.concatenate([own.places, places[seen]]),
        background=torch.arange(len(own.ids) + len(ids)) >= len(own.ids) if training else None,
        notes=own.notes if absent is None else (*own.notes, *_noted(AGAINST_BACKGROUND, own.classes, absent)),
    )


def _check_alike(own: SiteTable, known: Predictors, where: str, variant: Variant) -> None:
    """Raise where only sites or only background points have a variable: whether it is there would tell them apart."""
    unlike = [
        band
        for spec in variant.inputs
        if spec.name in own.valid
        for band, one, other in zip(
            spec.band_ids, own.valid[spec.name].any(dim=0), known.valid[spec.name].any(dim=0), strict=True
        )
        if bool(one) != bool(other)
    ]
    if unlike:
        raise InputError(
            f"{where}: {some(unlike, SHOWN)} {'is' if len(unlike) == 1 else 'are'} known either of sites or of background"
            " points alone, and would tell them apart; give all of both, as columns or with covariates=FOLDER"
        )
