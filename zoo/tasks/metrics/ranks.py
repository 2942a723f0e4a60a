"""Where presences stand among absences, and the scores of species that follow from it: exact, ties included.

AUC, average precision and the true skill statistic of a species need, of each presence, only how many absences score
below it and how many the same. These are counts: each process counts its own absences, and counts are added.
"""

# S species, P presences of all species, W windows

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

# Continuous Boyce index: Hirzel et al. 2006 (doi 10.1016/j.ecolmodel.2006.05.017), with the defaults of their
# implementation, `ecospat.boyce` 4: a window of a tenth of the range of suitability, moved in 100 steps.
WIDTH = 0.1
STEPS = 100
SAME_RATIO = 10  # decimals to which neighbouring ratios are compared, as there


class Ranked(NamedTuple):
    """Presences, by species and then by score, among the absences of their species.

    species: (P,) number of the species, ascending.
    scores: (P,), ascending in each species.
    below: (P,) absences of the species that score less.
    equal: (P,) absences of the species that score the same.
    absences: (S,) of each species.
    """

    species: Array
    scores: Array
    below: Array
    equal: Array
    absences: Array


def ordered(species: Array, scores: Array) -> tuple[Array, Array]:
    """Presences (P,) by species, and then by score."""
    order = np.lexsort((scores, species))
    return species[order], scores[order]


def stand(presences: Array, absences: Array) -> tuple[Array, Array]:
    """How many of the scores `absences` (sorted) lie below each of `presences`, and how many equal it."""
    below = np.searchsorted(absences, presences, side="left")
    return below, np.searchsorted(absences, presences, side="right") - below


def auc(presences: Array, absences: Array) -> float:
    """Area under the ROC curve of scores, ties counted half; 0.5 where there is no presence or no absence."""
    pairs = len(presences) * len(absences)
    if not pairs:
        return 0.5
    below, equal = stand(presences, np.sort(absences))
    return float((2 * below + equal).sum() / (2 * pairs))


def auc_of_columns(scores: Array, present: Array) -> Array:
    """(S,) float64 `auc` of each column of scores (N, S), where `present` (N, S) bool is true against where it is false."""
    columns = np.ascontiguousarray(scores.T)
    return np.array([auc(one[there], one[~there]) for one, there in zip(columns, present.T, strict=True)])


def auc_of_rows(scores: Array, present: tuple[Array, ...], absent: Array) -> Array:
    """(S,) float64 `auc` of each row of scores (S, N), all sorted at once.

    Args:
        scores: finite.
        present: row and column of each presence, by row, as `numpy.nonzero` gives them.
        absent: (S, N) bool.
    """
    ranked = np.where(absent, scores, np.inf).astype(scores.dtype, copy=False)
    ranked.sort(axis=1)  # absences first
    found = scores[present]
    ends = np.searchsorted(present[0], np.arange(len(scores) + 1))
    num, absences = np.diff(ends), absent.sum(axis=1)
    twice = np.zeros(len(found), np.int64)  # of each presence: absences below, and those not above
    for row in np.flatnonzero(num * absences):
        mine, others = slice(ends[row], ends[row + 1]), ranked[row, : absences[row]]
        twice[mine] = others.searchsorted(found[mine], "left") + others.searchsorted(found[mine], "right")
    wins = np.bincount(present[0], weights=twice, minlength=len(scores))
    return np.where(num * absences > 0, wins / np.maximum(2 * num * absences, 1), 0.5)


def species_scores(ranked: Ranked) -> dict[str, Array]:
    """Scores of each species, (S,) float64, NaN where it has no presence or no absence.

    `auc`; `average_precision` (scikit-learn's); `tss`, the true skill statistic (sensitivity + specificity - 1) at its
    best threshold, and `tss_threshold`, the lowest such score: a species is present from there on.
    """
    size = len(ranked.absences)
    num = np.bincount(ranked.species, minlength=size).astype(np.float64)
    good = (num > 0) & (ranked.absences > 0)
    pairs = np.where(good, num * ranked.absences, np.nan)
    wins = np.bincount(ranked.species, weights=2 * ranked.below + ranked.equal, minlength=size)

    # Of each presence: presences and absences of its species that score as high or higher.
    rows = np.arange(len(ranked.species))
    new = np.ones(len(rows), np.bool_)
    new[1:] = (ranked.species[1:] != ranked.species[:-1]) | (ranked.scores[1:] != ranked.scores[:-1])
    first = np.maximum.accumulate(np.where(new, rows, 0))
    high = np.cumsum(num)[ranked.species] - first
    false = ranked.absences[ranked.species] - ranked.below
    precision = np.bincount(ranked.species, weights=high / (high + false), minlength=size)

    found = {
        "auc": wins / (2 * pairs),
        "average_precision": np.where(good, precision / np.maximum(num, 1), np.nan),
        "tss": np.full(size, np.nan),
        "tss_threshold": np.full(size, np.nan),
    }
    with np.errstate(invalid="ignore", divide="ignore"):
        skill = high / num[ranked.species] - false / ranked.absences[ranked.species]
    usable = np.flatnonzero(good[ranked.species])
    order = usable[np.lexsort((ranked.scores[usable], -skill[usable], ranked.species[usable]))]
    kinds, best = np.unique(ranked.species[order], return_index=True)
    found["tss"][kinds], found["tss_threshold"][kinds] = skill[order[best]], ranked.scores[order[best]]
    return found


def windows(low: float, high: float) -> tuple[Array, Array]:
    """Lower and upper ends (W,) of the windows of the Boyce index over suitabilities from low to high."""
    width = WIDTH * (high - low)
    lower = np.linspace(low, high - width, STEPS + 1)
    upper = lower + width
    upper[-1] = high  # whatever the rounding
    return lower, upper


def within(suitability: Array, lower: Array, upper: Array) -> Array:
    """(W,) how many of the suitabilities (sorted) lie in each window, its ends included."""
    return np.asarray(
        np.searchsorted(suitability, upper, side="right") - np.searchsorted(suitability, lower, side="left")
    )


def boyce(presences: Array, background: Array) -> float:
    """Continuous Boyce index, -1 ... 1: whether presences are the more frequent, the higher the suitability.

    The rank correlation of a window's suitability with its ratio of the share of presences to the share of the
    background, of windows with different ratios (of equal ones in a row the last stands for all). 0 where all ratios
    are equal, NaN where there is no presence or no background.

    Args:
        presences: (W,) presences in each window.
        background: (W,) background sites in each window.
    """
    from scipy.stats import rankdata

    if not presences.sum() or not background.sum():
        return float("nan")
    some = (presences > 0) | (background > 0)
    with np.errstate(divide="ignore"):
        ratios = (presences[some] / background[some]).astype(np.float64)
    ratios = np.round(ratios / (presences.sum() / background.sum()), SAME_RATIO)
    ratios = ratios[np.append(ratios[1:] != ratios[:-1], True)]
    if len(ratios) < 2:
        return 0.0
    return float(np.corrcoef(np.arange(len(ratios)), rankdata(ratios))[0, 1])
