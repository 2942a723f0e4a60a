"""Scores of species distribution models: of species over sites, of sites over species, and of the probabilities.

For 12,738 species at 14,000 sites: each process keeps the scores of its own sites (float32), and only those of presences
are gathered; each process counts its own absences among them, and counts are added. The result is exact, and the same
for any number of processes.
"""

# B sites of a batch, S species, T thresholds, W windows, R replicates

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from zoo.errors import InputError
from zoo.spec import Variant
from zoo.tasks.across import gathered, summed
from zoo.tasks.metrics.ranks import (
    STEPS,
    Array,
    Ranked,
    auc,
    boyce,
    ordered,
    species_scores,
    stand,
    windows,
    within,
)
from zoo.tasks.metrics.sums import Sums, Table, figure, keys_of, poisson_weights, ratio
from zoo.tasks.sdm import MANY_SPECIES, SdmOutput, species_of

# ninavantiel/multi_scale_SDMs@22ac42f1 looks among these for the threshold of best site-wise F1; 0.5 is reported beside.
THRESHOLDS = tuple(np.arange(0.2, 0.8, 0.025).tolist())
EVEN = 0.5

BINS = 10  # ours, of equal width: bins of the calibration curve
BLOCK = 256  # ours: species that are looked at together; at 14,000 sites 14 MB
ABSENT, PRESENT, UNKNOWN = 0, 1, 2


class SdmMetrics(Sums):
    """AUC, average precision, true skill and Boyce index of species; F1 and AUC of sites; calibration.

    Figures, over species with a presence (at a known site): `auc_mean`, `auc_median`, `average_precision` (mean),
    `tss` (mean, each at its best threshold), `boyce` (mean), `species` (how many). Over sites: `site_f1` at the one
    threshold of `THRESHOLDS` that is best for all, `site_f1_threshold`, `site_f1_50` at 0.5; `site_auc_mean` and
    `site_auc_median` over sites with a presence; of one species none of these, as it alone is no list of a site.
    `calibration_error`: mean difference of probability and frequency over ten equal bins, weighted by their cells. Of few
    species also `auc/<species>`.

    A cell whose presence is NaN is not known, and counts nowhere. After `compute`, `by_species` has the scores of each, and
    `tables` the same as `species` (`threshold`: the probability from which on presence is said, at the best true skill)
    and `calibration`: of ten equal bins of probability `from` and `to`, the `cells` in them, their mean `probability`, and
    the `frequency` of presences with the `low` and `high` end of its bootstrap interval.

    Args:
        variant: says the species.
        bootstrap: see `Sums`. Scores of species draw species (how would others do?), scores of sites draw sites.
        species: names of those that are scored; `None` = all. MaskSDM scores those with a presence in each of
            training, validation and test data.
        median: of an even number of species, the `mean` of the two in the middle, or the `lower` of them, as in the
            multi-scale model's published scores. Of sites it is the mean.
        no_absence: a species that is present at every site, and a site at which every species is, has an AUC of 0.5
            (`half`), as in both papers, or is left out of the means (`left out`).
        background: of the Boyce index. `sites`: all sites at which the species is known, presences too, as in
            `ecospat.boyce` and biomod2 where no raster of the study area is given (biomod2#285); `absences` alone. Both
            are the background of the evaluation's sites; only if these are spread over the study area as its cells are,
            the index is that of Hirzel et al. 2006.
    """

    def __init__(
        self,
        *,
        variant: Variant,
        bootstrap: int = 0,
        species: Sequence[str] | None = None,
        median: Literal["mean", "lower"] = "mean",
        no_absence: Literal["half", "left out"] = "half",
        background: Literal["sites", "absences"] = "sites",
    ) -> None:
        super().__init__(bootstrap=bootstrap)
        self.variant, self.chosen = variant, np.array(species_of(variant, species))
        self.median, self.no_absence, self.background = median, no_absence, background
        self.by_species: dict[str, Array] = {}
        self.thresholds = np.sort([*THRESHOLDS, EVEN])
        self.add_sum("sites")
        self.add_sum("site_f1", len(self.thresholds))
        self.add_sum("calibrated", 3, BINS)  # cells, sum of probabilities, presences
        self.add_rows("site_auc", dtype=torch.float64)
        self.add_rows("site_keys", dtype=torch.int64)
        self._forget()

    def reset(self) -> None:
        super().reset()
        self._forget()

    def _forget(self) -> None:
        """These are no states: they stay with their process."""
        self._scores: list[Array] = []
        self._cells: list[Array] = []
        self._range = np.stack([np.full(len(self.chosen), np.inf), np.full(len(self.chosen), -np.inf)])

    def update(self, output: SdmOutput, target: Mapping[str, Any], ids: Sequence[str]) -> None:
        """Count the sites of a batch.

        Raises:
            InputError: the network's species are not the variant's, or a score is not finite.
        """
        logits, presence = output.logits.detach().float().cpu(), target["presence"].detach().cpu()
        if logits.shape != presence.shape or logits.shape[1] != len(self.variant.classes):
            raise InputError(
                f"found scores of {logits.shape[1]} species and presences of {presence.shape[1]};"
                f" {self.variant.tag} has {len(self.variant.classes)}: do the data name the same species?"
            )
        if not logits.isfinite().all():
            where = ids[int(logits.isfinite().all(dim=1).logical_not().nonzero()[0])]
            raise InputError(f"the network's scores of {where} are not finite; `zoo data check` says if its inputs are")
        scores = logits[:, self.chosen]
        values = presence[:, self.chosen]
        cells = torch.where(values.isfinite(), (values > 0).to(torch.int8), torch.tensor(UNKNOWN, dtype=torch.int8))
        self._scores.append(scores.numpy())
        self._cells.append(cells.numpy())
        known = np.where(self._cells[-1] == UNKNOWN, np.nan, self._scores[-1])
        self._range[0] = np.fmin(self._range[0], np.fmin.reduce(known, axis=0))
        self._range[1] = np.fmax(self._range[1], np.fmax.reduce(known, axis=0))
        self._update_sites(scores, cells, ids)

    def _update_sites(self, scores: Tensor, cells: Tensor, ids: Sequence[str]) -> None:
        probs, known, present = scores.sigmoid().double(), cells != UNKNOWN, cells == PRESENT
        self.accumulate(
            ids,
            {
                "sites": known.any(dim=1),
                "site_f1": site_f1(probs, known, present, self.thresholds),
                "calibrated": _calibration(probs, known, present),
            },
        )
        scored = present.any(dim=1)
        if self.no_absence == "left out":
            scored &= (known & ~present).any(dim=1)
        rows = scored.nonzero()[:, 0].tolist()
        # As arrays: numpy takes a tensor of one cell for a number.
        here, absent = present.numpy(), (known & ~present).numpy()
        areas = [auc(self._scores[-1][row][here[row]], self._scores[-1][row][absent[row]]) for row in rows]
        self.site_auc.append(torch.tensor(areas, dtype=torch.float64, device=self.device))
        self.site_keys.append(keys_of([ids[row] for row in rows]).to(self.device))

    def scores(self) -> dict[str, Tensor]:
        """See the class. All processes must call it together."""
        ranked, inside = self._counted()
        self.by_species = self._of_species(ranked, inside)
        names = [self.variant.classes[index] for index in self.chosen]
        scored = self.by_species["presences"] > 0
        keys = keys_of(names)

        def over(name: str, statistic: Callable[[Array], float]) -> Tensor:
            values = self.by_species[name]
            good = scored & ~np.isnan(values)
            return self._drawn(values[good], keys[torch.from_numpy(good)], statistic)

        middle = lower_median if self.median == "lower" else np.median
        self.tables = {"calibration": self._calibration_table(), "species": self._species_table(names)}
        figures = {
            "auc_mean": over("auc", np.mean),
            "auc_median": over("auc", middle),
            "average_precision": over("average_precision", np.mean),
            "tss": over("tss", np.mean),
            "boyce": over("boyce", np.mean),
            "species": torch.tensor([float(scored.sum())]),
        }
        if len(names) <= MANY_SPECIES:
            figures |= {
                f"auc/{name}": torch.tensor([value], dtype=torch.float64)
                for name, value in zip(names, self.by_species["auc"].tolist(), strict=True)
            }
        return figures | (self._of_sites() if len(names) > 1 else {}) | {"calibration_error": self._calibration_error()}

    def calibration(self) -> Tensor:
        """(3, 10): of each bin of probability, its cells, their mean probability, and the share of presences."""
        cells, probs, presences = self.calibrated[0].unbind()
        return torch.stack([cells, ratio(probs, cells), ratio(presences, cells)])

    def _calibration_table(self) -> Table:
        cells, probs, frequency = self.calibration().tolist()
        replicates = ratio(self.calibrated[:, 2], self.calibrated[:, 0])
        found = [figure(one) for one in replicates.unbind(dim=1)]
        edges = np.arange(BINS + 1) / BINS
        return {
            "from": edges[:-1].tolist(),
            "to": edges[1:].tolist(),
            "cells": cells,
            "probability": probs,
            "frequency": frequency,
            "low": [math.nan if one.low is None else one.low for one in found],
            "high": [math.nan if one.high is None else one.high for one in found],
        }

    def _species_table(self, names: Sequence[str]) -> Table:
        of = dict(self.by_species)
        # In float32, as maps have probabilities: the presence at the threshold is at it there, too.
        of["threshold"] = torch.from_numpy(of["tss_threshold"]).float().sigmoid().numpy()
        columns = ("presences", "absences", "auc", "average_precision", "boyce", "tss", "threshold")
        return {"species": list(names), **{name: of[name].tolist() for name in columns}}

    def _of_sites(self) -> dict[str, Tensor]:
        f1 = ratio(self.site_f1, self.sites[:, None])
        among = torch.from_numpy(np.isin(self.thresholds, THRESHOLDS))
        best = int(torch.where(among.to(f1.device), f1[0].nan_to_num(), -1).argmax())
        areas, keys = self.rows("site_auc").cpu().numpy(), self.rows("site_keys").cpu()
        return {
            "site_f1": f1[:, best],
            "site_f1_threshold": torch.from_numpy(self.thresholds[[best]]),
            "site_f1_50": f1[:, int(np.flatnonzero(self.thresholds == EVEN)[0])],
            "site_auc_mean": self._drawn(areas, keys, np.mean),
            "site_auc_median": self._drawn(areas, keys, np.median),
        }

    def _calibration_error(self) -> Tensor:
        cells, probs, presences = self.calibrated.unbind(dim=1)
        return ratio((probs - presences).abs().sum(dim=1), cells.sum(dim=1))

    def _drawn(self, values: Array, keys: Tensor, statistic: Callable[[Array], float]) -> Tensor:
        """The statistic of all values, and of each replicate's; NaN of none. One value alone says nothing of its spread."""
        order = np.argsort(keys.numpy(), kind="stable")  # sums do not depend on who came first
        values, keys = values[order], keys[torch.from_numpy(order)]
        drawn = [values]
        for replicate in range(self.bootstrap if len(values) > 1 else 0):
            times = poisson_weights(keys, [replicate])[0].numpy().astype(np.int64)
            drawn.append(np.repeat(values, times))
        return torch.tensor([float(statistic(one)) if len(one) else np.nan for one in drawn], dtype=torch.float64)

    def _of_species(self, ranked: Ranked, inside: Array) -> dict[str, Array]:
        found = species_scores(ranked)
        presences = np.bincount(ranked.species, minlength=len(self.chosen))
        if self.no_absence == "half":
            found["auc"] = np.where((presences > 0) & (ranked.absences == 0), 0.5, found["auc"])
        present, absent = inside
        behind = absent + present if self.background == "sites" else absent
        found["boyce"] = np.array([boyce(*both) for both in zip(present, behind, strict=True)])
        if self.no_absence == "left out":
            found["boyce"] = np.where(ranked.absences > 0, found["boyce"], np.nan)
        return found | {"presences": presences, "absences": ranked.absences}

    def _counted(self) -> tuple[Ranked, Array]:
        """Presences among absences, and (2, S, W) presences and absences in the windows of the Boyce index."""
        species, scores = self._presences()
        starts = np.searchsorted(species, np.arange(len(self.chosen) + 1))
        ranges = self._everywhere(torch.from_numpy(self._range)[None])
        low, high = ranges[:, 0].amin(dim=0).numpy(), ranges[:, 1].amax(dim=0).numpy()
        below, equal = np.zeros((2, len(species)), np.int64)
        absences = np.zeros(len(self.chosen), np.int64)
        inside = np.zeros((2, len(self.chosen), STEPS + 1), np.int64)
        for index, absent in enumerate(self._absences()):
            mine = slice(starts[index], starts[index + 1])
            absences[index] = len(absent)
            below[mine], equal[mine] = stand(scores[mine], absent)
            if np.isfinite(low[index]):
                ends = windows(*_suitability(np.array([low[index], high[index]])))
                inside[0, index] = within(_suitability(scores[mine]), *ends)
                inside[1, index] = within(_suitability(absent), *ends)
        below, equal, absences, inside[1] = (self._added(one) for one in (below, equal, absences, inside[1]))
        return Ranked(species, scores, below, equal, absences), inside

    def _presences(self) -> tuple[Array, Array]:
        """Species and score of the presences of all processes."""
        mine = [np.nonzero(cells == PRESENT) for cells in self._cells]
        species = np.concatenate([columns for _, columns in mine] or [np.zeros(0, np.int64)])
        scores = [part[where] for part, where in zip(self._scores, mine, strict=True)]
        score = np.concatenate(scores or [np.zeros(0, np.float32)])
        everywhere = [self._everywhere(torch.from_numpy(one)).numpy() for one in (species, score)]
        return ordered(*everywhere)

    def _absences(self) -> Any:
        """For each species, the sorted scores of its absences at this process's sites."""
        for start in range(0, len(self.chosen), BLOCK):
            here = slice(start, start + BLOCK)
            size = len(self.chosen[here])
            scores = np.concatenate([part[:, here] for part in self._scores] or [np.zeros((0, size), np.float32)])
            cells = np.concatenate([part[:, here] for part in self._cells] or [np.zeros((0, size), np.int8)])
            for column, known in zip(np.ascontiguousarray(scores.T), np.ascontiguousarray(cells.T), strict=True):
                yield np.sort(column[known == ABSENT])

    def _everywhere(self, rows: Tensor) -> Tensor:
        return gathered(rows.to(self.device)).cpu()

    def _added(self, counts: Array) -> Array:
        return summed(torch.from_numpy(counts).to(self.device)).cpu().numpy()


def site_f1(probs: Tensor, known: Tensor, present: Tensor, thresholds: Array) -> Tensor:
    """(B, T) F1 of the set of species that is said to be at a site (probability above the threshold) and that which is.

    0 where both are empty.

    Args:
        probs: (B, S) float64: thresholds are compared as they are.
        known: (B, S) bool; other cells are in no set.
        present: (B, S) bool.
        thresholds: (T,) ascending.
    """
    exceeded = torch.bucketize(probs, torch.from_numpy(thresholds))  # how many thresholds each is above
    said, right = (_above(exceeded, cells, len(thresholds)) for cells in (known, known & present))
    both = said + (known & present).sum(dim=1, keepdim=True)
    return torch.where(both > 0, 2 * right / both.clamp(min=1), 0.0)


def lower_median(values: Array) -> float:
    """The value in the middle, of an even number the lower of the two."""
    return float(np.sort(values)[(len(values) - 1) // 2])


def _above(exceeded: Tensor, cells: Tensor, num: int) -> Tensor:
    """(B, T): for each threshold, how many of a site's cells are above it."""
    counts = _histograms(exceeded, cells.double(), num + 1)
    return counts[:, 1:].flip(dims=[1]).cumsum(dim=1).flip(dims=[1])


def _calibration(probs: Tensor, known: Tensor, present: Tensor) -> Tensor:
    """(B, 3, 10) cells, sum of probabilities and presences of each site's bins of probability."""
    bins = (probs * BINS).long().clamp(max=BINS - 1)
    cells = known.double()
    return torch.stack([_histograms(bins, one, BINS) for one in (cells, probs * cells, present.double())], dim=1)


def _histograms(bins: Tensor, weights: Tensor, num: int) -> Tensor:
    """(B, num): the weight, float64, of each row's cells in each bin."""
    places = (torch.arange(len(bins))[:, None] * num + bins).flatten()
    return torch.bincount(places, weights.flatten(), minlength=len(bins) * num).reshape(len(bins), num)


def _suitability(scores: Array) -> Array:
    """Probabilities of logits, in float64."""
    from scipy.special import expit

    return np.asarray(expit(scores.astype(np.float64)))
