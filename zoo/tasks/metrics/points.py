"""Which points are right, and the scores of their ranking: the rules of POLO (gigumay/POLO@b2f995e1).

A point is right where it lies within a share of the thing's radius (distance over radius, DoR) and has its class.
"""

# n answers, m things, K classes, T = 10 thresholds

from __future__ import annotations

import numpy as np

from zoo.tasks.detect import Array
from zoo.tasks.suppression import EPSILON

# All of gigumay/POLO@b2f995e1.
THRESHOLDS = np.linspace(1.0, 0.1, 10, dtype=np.float32)  # of distance over radius: mAP100 is the first, mAP10 the last
GRID = np.linspace(0, 1, 101)  # recalls at which precision is read
CONFIDENCES = np.linspace(0, 1, 1000)  # at which precision, recall and F1 are read
SMOOTHED = 0.1  # share of the curve over which F1 is smoothed before its best confidence is sought
TINY = 1e-16

CHUNK = 4096  # ours: answers whose distances to all things of an image are held at a time


def matches(xy_px: Array, classes: Array, places_px: Array, place_classes: Array, radii_px: Array) -> Array:
    """Which answers are right at each of `THRESHOLDS`, (n, T) bool.

    At a threshold, an answer goes for the thing of its class that is nearest by DoR, if that is within the threshold;
    of the answers that go for one thing, the first is right.

    Args:
        xy_px: (n, 2) answers of one image, best first.
        classes: (n,).
        places_px: (m, 2) its things.
        place_classes: (m,).
        radii_px: (m,), of the things.
    """
    nearest, dor = _nearest(xy_px, places_px, radii_px, classes, place_classes)
    right = np.zeros((len(xy_px), len(THRESHOLDS)), np.bool_)
    for column, threshold in enumerate(THRESHOLDS):
        within = np.flatnonzero(dor <= threshold)
        _, first = np.unique(nearest[within], return_index=True)
        right[within[first], column] = True
    return right


def confusion(
    xy_px: Array,
    classes: Array,
    places_px: Array,
    place_classes: Array,
    radii_px: Array,
    *,
    dor: float,
    num_classes: int,
    empty_images: bool = False,
) -> Array:
    """(K + 1, K + 1) counts of one image: rows answered, columns true, the last of each nothing.

    Whatever its class, each answer goes for its nearest thing, if closer than `dor` radii, and each thing takes the
    nearest of these answers; an answer that is not taken is not offered another. Answers that stand for nothing are
    counted only if some answer of the image was taken. An image without things counts only with `empty_images`.

    Args:
        xy_px: (n, 2) answers that are sure enough.
        classes: (n,).
        places_px: (m, 2) things.
        place_classes: (m,).
        radii_px: (m,), of the things.
        dor: distance over radius below which an answer may stand for a thing.
        num_classes: K.
        empty_images: POLO's example of whole images; its validation leaves them out.

    Source: POLO's confusion matrix (gigumay/POLO@b2f995e1), with its rules for what is not matched.
    """
    if not len(places_px):
        nothing = np.full(len(classes) if empty_images else 0, num_classes)
        return _table(classes[: len(nothing)], nothing, num_classes)
    nearest, distance = _nearest(xy_px, places_px, radii_px)
    close = np.flatnonzero(distance < dor)
    close = close[np.argsort(distance[close], kind="stable")]
    _, first = np.unique(nearest[close], return_index=True)
    taken = close[first]
    missed, false = np.delete(place_classes, nearest[taken]), np.delete(classes, taken) if len(taken) else classes[:0]
    said = np.concatenate([classes[taken], np.full(len(missed), num_classes), false])
    true = np.concatenate([place_classes[nearest[taken]], missed, np.full(len(false), num_classes)])
    return _table(said, true, num_classes)


def average_precision(right: Array, num_things: float, weights: Array) -> Array:
    """(T,) area below the envelope of precision over recall, by 101 trapezoids; 0 of no answers.

    Args:
        right: (n, T) 0 or 1, of the answers of one class, best first.
        num_things: of that class.
        weights: (n,), above 0: how often each answer counts.
    """
    if not len(right):
        return np.zeros(right.shape[1])
    hits = np.cumsum(right * weights[:, None], axis=0)
    recall, precision = hits / (num_things + TINY), hits / np.cumsum(weights)[:, None]
    ends = np.zeros((1, right.shape[1]))
    recall, precision = np.vstack([ends, recall, ends + 1]), np.vstack([ends + 1, precision, ends])
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    return np.array(
        [np.trapezoid(np.interp(GRID, recall[:, one], envelope[:, one]), GRID) for one in range(right.shape[1])]
    )


def at_confidences(scores: Array, right: Array, num_things: float, weights: Array) -> Array:
    """(2, 1000) precision and recall of one class at each of `CONFIDENCES`; zeros where it has no answer.

    Args:
        scores: (n,), best first.
        right: (n,) 0 or 1.
        num_things: of that class.
        weights: (n,).
    """
    if not len(scores):
        return np.zeros((2, len(CONFIDENCES)))
    hits = np.cumsum(right * weights)
    precision, recall = hits / np.cumsum(weights), hits / (num_things + TINY)
    return np.stack(
        [
            np.interp(-CONFIDENCES, -scores, precision, left=1),
            np.interp(-CONFIDENCES, -scores, recall, left=0),
        ]
    )


def best_of(curves: Array) -> tuple[float, float, float]:
    """Class means of precision, recall and F1, at the confidence at which the smoothed mean of F1 is highest.

    Args:
        curves: (K, 2, 1000), as `at_confidences` gives them.
    """
    precision, recall = curves[:, 0], curves[:, 1]
    f1 = 2 * precision * recall / (precision + recall + TINY)
    mean = f1.mean(axis=0)
    width = round(len(mean) * SMOOTHED * 2) // 2 + 1
    smooth = np.convolve(np.pad(mean, width // 2, mode="edge"), np.full(width, 1 / width), mode="valid")
    best = int(smooth.argmax())
    return float(precision[:, best].mean()), float(recall[:, best].mean()), float(mean[best])


def _nearest(
    xy_px: Array,
    places_px: Array,
    radii_px: Array,
    classes: Array | None = None,
    place_classes: Array | None = None,
) -> tuple[Array, Array]:
    """For each answer, the thing (of its class) that is nearest by DoR, (n,), and that DoR (infinite where none is)."""
    nearest, dor = np.zeros(len(xy_px), np.int64), np.full(len(xy_px), np.inf)
    if not len(places_px):
        return nearest, dor
    for start in range(0, len(xy_px), CHUNK):
        here = slice(start, start + CHUNK)
        offset = xy_px[here, None] - places_px[None]
        ratios = np.hypot(offset[..., 0], offset[..., 1]) / radii_px + EPSILON
        if classes is not None and place_classes is not None:
            ratios[classes[here, None] != place_classes] = np.inf
        nearest[here] = ratios.argmin(axis=1)
        dor[here] = ratios.min(axis=1)
    return nearest, dor


def _table(said: Array, true: Array, num_classes: int) -> Array:
    size = num_classes + 1
    return np.bincount(said * size + true, minlength=size * size).reshape(size, size)
