"""What each group of predictors adds to the AUC over labelled sites: for the mean over species, and for few, for each.

Of a coalition only the scores of some species are held at a time, and of those only their AUC is kept. Coalitions are cut into
parts before they are dealt to processes, so that a coalition's value has the same bits whatever their number.
"""

# N sites, C coalitions, S species, P groups, U distinct pairs of a site and what it shows

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.datasets.loading import loader
from zoo.datasets.sample import Reader
from zoo.errors import ConfigError, InputError, some
from zoo.explain.groups import Groups
from zoo.explain.method import Attribution
from zoo.explain.question import Question
from zoo.explain.result import BASE, EXTENSIONS, Bars, Explanation, panel
from zoo.explain.shapley import Coalitions, Numbers
from zoo.explain.subsets import NOTHING, Inputs, Subsets
from zoo.io.whole import check_extension
from zoo.model import Model
from zoo.predict import stream
from zoo.predict.species import null_for_nan
from zoo.predict.work import Arrays, Work, session
from zoo.processes import processes
from zoo.tasks.metrics.ranks import auc_of_rows
from zoo.tasks.sdm import MANY_SPECIES, species_of

COALITIONS = 16  # ours: that go through the network together, with one set of tokens per site
HELD_NUMBERS = 64_000_000  # ours: 256 MB of what the head takes of all sites and the coalitions that go together
BLOCK_NUMBERS = (
    2_000_000  # ours: scores that are held at a time, 8 MB, which the cache holds; at 2,000 sites 1,000 species
)
SITES = 256  # ours: sites of which the tokens are held at a time
READ = 256  # samples that are read together


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Sites with predictors and species.

    Attributes:
        inputs: of all N, on the CPU.
        species: numbers of those that are scored.
        present: (S, N), as `absent`; where neither holds, it is not known.
    """

    inputs: Inputs
    species: tuple[int, ...]
    present: NDArray[np.bool_]
    absent: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.inputs)

    def part(self, start: int, device: torch.device) -> Inputs:
        """Some sites from `start` on."""
        return self.inputs.rows(slice(start, start + SITES)).to(device)

    def fingerprint(self) -> str:
        """What tells these sites from others."""
        digest = hashlib.sha256(self.present.tobytes() + self.absent.tobytes())
        for kind in (self.inputs.tensors, self.inputs.valid):
            for name, one in sorted(kind.items()):
                digest.update(f"{name} {tuple(one.shape)};".encode())
                digest.update(one.contiguous().numpy().tobytes())
        return digest.hexdigest()


def explain_scores(model: Model, reader: Reader, out: Path | None, question: Question) -> Explanation | Path:
    """What each group adds to the mean AUC of the species over labelled sites.

    Args:
        model: of the task sdm, which can hide predictors.
        reader: labelled sites; species without a presence there are left out of the mean.
        out: `.parquet`, `.geojson`, `.csv` or `.png`; `None` keeps it in memory.
        question: what is asked; of few species that are named each is explained for itself too.

    Raises:
        InputError: the samples have no species, or none that is present somewhere.
        ConfigError: a species is none of the model's.
    """
    if out is not None:
        check_extension(out, EXTENSIONS, "an explanation of scores")
    options, groups = question.options, question.groups
    sites = read_labelled(model, reader, options.species)
    subsets = Subsets(model=model, groups=groups, species=sites.species, precision=options.precision)
    told = question.recorded(model.variant)
    provenance = model.provenance(told | {"sites": str(len(sites)), "species_scored": str(len(sites.species))})
    plan = {"sites": sites.fingerprint(), "provenance": provenance.tags(), "kind": "explain scores"}
    each = options.species is not None and 1 < len(sites.species) <= MANY_SPECIES
    crew = processes()
    with session(out, plan, resume=options.resume) as work:

        def value(shown: Coalitions) -> Numbers:
            return _computed(subsets, sites, shown, work, each=each, workers=options.workers)

        found = question.method.explain(value, len(groups))
        result = _result(found, sites, groups, model, provenance, each=each)
        if out is None or crew.is_main_process:
            for path in (out, question.plot):
                if path is not None:
                    result.save(path)
    return result if out is None else out


def read_labelled(model: Model, reader: Reader, asked: Sequence[str] | None) -> Labelled:
    """All samples of a reader, with the species that are present at one of them.

    Raises:
        InputError: there are none, or the samples have no labels.
    """
    names = reader.classes or model.variant.classes
    place = {number: column for column, number in enumerate(species_of(model.variant, names))}
    wanted = species_of(model.variant, asked) if asked is not None else tuple(place)
    if untold := [model.variant.classes[one] for one in wanted if one not in place]:
        raise ConfigError(f"the labelled sites do not tell of {some(untold)}; they tell of {some(names, 8)}")
    columns = np.array([place[one] for one in wanted])
    keys = [
        [(0, row) for row in range(start, min(start + READ, len(reader.ids)))]
        for start in range(0, len(reader.ids), READ)
    ]
    tensors: dict[str, list[Tensor]] = {}
    valid: dict[str, list[Tensor]] = {}
    present: list[NDArray[np.bool_]] = []
    absent: list[NDArray[np.bool_]] = []
    bands: Mapping[str, tuple[str, ...]] = {}
    for batch in loader(reader, keys, seed=0, workers=0, training=False, pin=False):
        presence = batch.target.get("presence")
        if not isinstance(presence, Tensor):
            raise InputError(
                "the samples of this dataset have no species, and a gain in AUC is one over labelled sites; expected a table"
                " with species (--labels sites), or leave --labels out to explain single places"
            )
        bands = batch.bands
        for name, one in batch.inputs.items():
            tensors.setdefault(name, []).append(one)
            valid.setdefault(name, []).append(batch.valid.get(name, one.isfinite()))
        cells = presence.numpy()[:, columns].T
        present.append(cells > 0)
        absent.append(cells == 0)
    found, missing = (np.concatenate(one, axis=1) for one in (present, absent))
    there = found.any(axis=1)
    if not there.any():
        raise InputError(
            f"not one of {len(wanted)} species is present at the {found.shape[1]} labelled sites; take others"
        )
    return Labelled(
        inputs=Inputs(
            tensors={name: torch.cat(parts) for name, parts in tensors.items()},
            bands=bands,
            valid={name: torch.cat(parts) for name, parts in valid.items()},
        ),
        species=tuple(np.array(wanted)[there].tolist()),
        present=found[there],
        absent=missing[there],
    )


# ------------------------------------------------------------------------------------------------------- coalitions


def _computed(subsets: Subsets, sites: Labelled, shown: Coalitions, work: Work, *, each: bool, workers: int) -> Numbers:
    """(C, 1) mean AUC of distinct coalitions, and with `each` behind it that of each species, shared by the processes."""
    step = _together(subsets, sites)
    order = np.argsort(shown.sum(axis=1), kind="stable")  # parts of like cost are dealt in turn
    units = [order[start : start + step] for start in range(0, len(order), step)]

    def compute(rows: NDArray[np.int64]) -> tuple[Arrays, dict[str, str]]:
        areas = areas_of(subsets, sites, shown[rows])
        mean = areas.mean(axis=1, keepdims=True)
        return {"auc": np.concatenate([mean, areas], axis=1) if each else mean}, {}

    stream.run(
        units,
        batch_size=1,
        load=lambda unit: unit[0],
        compute=compute,
        work=work,
        what=f"{subsets.model.name}: {len(shown)} coalitions in parts of {step}",
        workers=workers,
    )
    values = np.concatenate([work.load(index)[0]["auc"] for index in range(len(units))])
    found: Numbers = values[np.argsort(order, kind="stable")]
    return found


def _together(subsets: Subsets, sites: Labelled) -> int:
    """Coalitions that go through the network together."""
    width = len(sites.species)
    if subsets.in_steps:
        width = subsets.nothing(sites.part(0, subsets.model.device)).shape[1]
    return min(max(HELD_NUMBERS // (width * len(sites)), 1), COALITIONS)


def areas_of(subsets: Subsets, sites: Labelled, shown: Coalitions) -> Numbers:
    """(C, S) AUC of each species of each coalition; 0.5 where it is absent nowhere."""
    device = subsets.model.device
    pooled = [subsets.nothing(sites.part(0, device))]  # the first: all sites that show nothing are it
    index = np.zeros((len(shown), len(sites)), np.int64)
    size = 1
    for start in range(0, len(sites), SITES):
        inputs = sites.part(start, device)
        found, where = subsets.pooled(inputs, shown)
        index[:, start : start + len(inputs)] = np.where(where == NOTHING, 0, where + size)
        if len(found):
            pooled.append(found)
            size += len(found)
    of_all = torch.cat(pooled)
    areas = np.empty((len(shown), len(sites.species)))
    step = max(BLOCK_NUMBERS // len(sites), 1)
    for first in range(0, len(sites.species), step):
        block = slice(first, min(first + step, len(sites.species)))
        present, absent = np.nonzero(sites.present[block]), sites.absent[block]
        for number, rows in enumerate(index):
            kinds, place = np.unique(rows, return_inverse=True)
            some = len(kinds) < len(rows)  # what is the same is computed once, so that it is the same to the last bit
            mine = of_all[torch.from_numpy(kinds if some else rows).to(device)]
            scores = subsets.logits(mine, range(block.start, block.stop)).T.contiguous().cpu().numpy()
            areas[number, block] = auc_of_rows(scores[:, place] if some else scores, present, absent)
    return areas


# ----------------------------------------------------------------------------------------------------------- result


def _result(
    found: Attribution, sites: Labelled, groups: Groups, model: Model, provenance: Any, *, each: bool
) -> Explanation:
    names = [model.variant.classes[one] for one in sites.species]
    single = len(names) == 1
    titles = [names[0] if single else f"mean of {len(names):,} species", *(names if each else ())]
    species = [names[0] if single else None, *(names if each else ())]
    players, rows = len(groups), len(titles)
    columns: dict[str, Any] = {
        "species": pa.array(np.repeat(np.array(species, object), players).tolist(), pa.string()),
        "group": pa.array([*groups.names] * rows),
        "contribution": pa.array(found.values.T.ravel()),
    }
    if found.standard_errors is not None:
        columns["standard_error"] = null_for_nan(found.standard_errors.T)
    columns |= {BASE: pa.array(np.repeat(found.base, players)), "auc": pa.array(np.repeat(found.whole, players))}
    bars = Bars(
        groups=groups.names,
        value="AUC",
        over="",
        panels=tuple(
            panel(
                title,
                found.values[:, index],
                base=float(found.base[index]),
                whole=float(found.whole[index]),
                errors=None if found.standard_errors is None else found.standard_errors[:, index],
            )
            for index, title in enumerate(titles)
        ),
        provenance=provenance,
    )
    return Explanation(table=pa.table(columns), provenance=provenance, bars=bars)
