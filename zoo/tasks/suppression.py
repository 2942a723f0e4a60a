"""Of points that stand for the same thing, the best-scored stays."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

Array = np.ndarray[Any, np.dtype[Any]]

CHUNK = 4096  # ours: points that are compared with each other at a time; all in one place make 8 million pairs
EPSILON = 1e-7  # POLO adds it to the ratio (gigumay/POLO@b2f995e1)


def suppress(xy: Array, scores: Array, classes: Array, radii: Array, dor: float, *, agnostic: bool = False) -> Array:
    """Greedy suppression by distance over radius, within each class.

    From the best score down, a point that stays removes every later one for which distance / radius + 1e-7 is below
    `dor`, the radius being that of the point that stays. Equal scores keep the order of the input. Exact, without the
    matrix of all distances: neighbours come from a k-d tree, so n points of bounded density cost n log n time, and
    memory in proportion to n.

    Args:
        xy: (n, 2), in the unit of the radii.
        scores: (n,).
        classes: (n,) ids.
        radii: (K,), of each class.
        dor: 0 removes nothing.
        agnostic: whether points of different classes remove each other too.

    Returns:
        Indices of the points that stay, best score first.

    Source: "DoR NMS" of POLO (gigumay/POLO@b2f995e1), differs: the radius is always that of the point's own class
    (the original misaligns radii after sorting), classes are separated exactly, ties are stable.
    """
    order = np.argsort(-scores, kind="stable")
    stays = np.ones(len(order), np.bool_)
    groups = np.zeros_like(classes) if agnostic else classes
    for one in np.unique(groups):
        mine = np.flatnonzero(groups[order] == one)
        stays[mine] = _best(xy[order[mine]], radii[classes[order[mine]]], dor)
    return np.asarray(order[stays])


def _best(xy: Array, radii: Array, dor: float) -> Array:
    """(n,) which points stay, of points and their radii in the order of their scores."""
    stays = np.zeros(len(xy), np.bool_)
    for start in range(0, len(xy), CHUNK):
        here = slice(start, start + CHUNK)
        free = np.ones(len(xy[here]), np.bool_)
        for radius in np.unique(radii[stays]):  # as many as classes
            tree = cKDTree(xy[stays & (radii == radius)])
            distance, _ = tree.query(xy[here], distance_upper_bound=(dor + EPSILON) * radius)
            free &= ~_close(distance, radius, dor)
        stays[np.flatnonzero(free) + start] = _best_of_chunk(xy[here][free], radii[here][free], dor)
    return stays


def _best_of_chunk(xy: Array, radii: Array, dor: float) -> Array:
    """The same for few points. In rounds, which are as many as the longest chain of points that depend on each other:
    a point whose better neighbours are all gone stays, and its worse neighbours go.
    """
    if not len(xy):
        return np.zeros(0, np.bool_)
    pairs = cKDTree(xy).query_pairs((dor + EPSILON) * radii.max(), output_type="ndarray")
    pairs = np.sort(pairs, axis=1)  # better, worse
    distance = np.hypot(*(xy[pairs[:, 0]] - xy[pairs[:, 1]]).T)
    better, worse = pairs[_close(distance, radii[pairs[:, 0]], dor)].T
    stays, undecided = np.zeros(len(xy), np.bool_), np.ones(len(xy), np.bool_)
    while undecided.any():
        waits = np.zeros(len(xy), np.bool_)
        waits[worse[undecided[better]]] = True
        winners = undecided & ~waits
        stays |= winners
        undecided &= ~winners
        undecided[worse[winners[better]]] = False
    return stays


def _close(distance: Array, radius: Array | float, dor: float) -> Array:
    return np.asarray(distance / radius + EPSILON < dor)
