"""A table of sites, with predictors and with the species that were found: long (Darwin Core) or a column per species."""

# N rows or sites, F variables, S species

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.datasets.layouts.background import background_of_split, check_background, open_background
from zoo.datasets.layouts.patches import Patches, patches_of
from zoo.datasets.layouts.presences import Found, Unlisted, presences
from zoo.datasets.layouts.site_rows import Dealing, Places, Rows, all_sites, find_table, located, sites_of_split
from zoo.datasets.layouts.site_values import Predictors, Sources, without_a_number
from zoo.datasets.pictures import need_variant
from zoo.datasets.sample import Sample
from zoo.errors import InputError, ZooWarning, some
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
    `occurrenceStatus`); rows of one site share its id, or else its coordinates. A wide one has a row per site and a column
    of 1, 0 or nothing per species. Relative paths begin at the table.

    Args:
        folder: the table, or the folder that holds it: `<split>.csv` (.tsv, .parquet), or a single one.
        split: by a column `split` of a single table; without one, by blocks or drawn by the sites' ids.
        variant: whose inputs are fed from the columns, from rasters, and (longitude and latitude) from the places.
        table: name of the file, where the folder holds several.
        species: in the order of the answers; `None` = the variant's classes, or those of a long table by name.
        unlisted: what a species is at a site where a long table does not list it; must be said where the table lists
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
            data. In `train` their target has `background`; in other splits they are left out, unless the table knows no
            absences: there they count as such. See `zoo.datasets.layouts.background` for how they are divided.

    Raises:
        InputError: the table cannot be read, or does not fit the variant.
        ConfigError: an option is wrong.
    """
    variant = need_variant(variant, "sites")
    path, divided = find_table(folder, split, table)
    opened = open_table(path, crs=crs)
    dealing = Dealing(shares=shares, seed=seed, block_km=block_km, folds=folds, fold=fold)
    every = all_sites(opened, own=path.name if divided else "")
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
    )
    sources.check()
    check_background(background, sources, around)
    own = _sites(chosen, found, sources, around, unlisted)
    judged = not found.listed_absences and unlisted != "absent"
    if background is None or not (judged or split == "train"):
        return own
    points = open_background(background, every, path.parent, sources, around, seed=seed, crs=crs)
    mine = background_of_split(points, every, split, dealing, judged=judged)
    return _beside(own, mine, sources, training=split == "train")


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
        warnings.warn(
            f"{name}: {int((~known.seen).sum())} of {len(known.seen)} sites lack predictors and are left out",
            ZooWarning,
            stacklevel=3,
        )
    kept = chosen.kept(known.seen)
    told = unlisted == "absent" and not found.listed_absences
    return SiteTable(
        ids=kept.ids,
        classes=found.species,
        inputs={name: one[known.seen] for name, one in known.inputs.items()},
        valid={name: one[known.seen] for name, one in known.valid.items()},
        presence=torch.from_numpy(found.presence[known.seen]),
        places=kept.lon_lat,
        patches=around,
        notes=(AGAINST_LISTS,) if told else (),
    )


def _beside(own: SiteTable, points: Rows, sources: Sources, *, training: bool) -> SiteTable:
    """The sites, and after them background points: unknown, or where presences alone are judged, absences."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ZooWarning
        )  # what points lack sites lack too, and told so, or see `_check_alike`
        known = sources.of(points)
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
    value = torch.nan if training else 0.0
    return replace(
        own,
        ids=(*own.ids, *ids),
        inputs={name: torch.cat([one, known.inputs[name][seen]]) for name, one in own.inputs.items()},
        valid={name: torch.cat([one, known.valid[name][seen]]) for name, one in own.valid.items()},
        presence=torch.cat([own.presence, torch.full((len(ids), len(own.classes)), value)]),
        places=None if own.places is None or places is None else np.concatenate([own.places, places[seen]]),
        background=torch.arange(len(own.ids) + len(ids)) >= len(own.ids) if training else None,
        notes=() if training else (AGAINST_BACKGROUND,),
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
