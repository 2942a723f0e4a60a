"""Scores of points: how well they are found at distances down to a tenth of a radius, and how well they are counted.

What is kept are counts, and for the ranking a row per answer; never maps or scores of candidates.
"""

# K classes, R replicates

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import ConfigError, InputError
from zoo.spec import Variant
from zoo.tasks.detect import MAX_POINTS, MIN_SCORE, Array, Candidates, DetectOutput, decode, dor_of, radii_of
from zoo.tasks.metrics.points import THRESHOLDS, at_confidences, average_precision, best_of, confusion, matches
from zoo.tasks.metrics.sums import Sums, keys_of, poisson_weights, ratio
from zoo.tasks.suppression import suppress

LEAST_SCORE = 0.001  # of answers that are ranked (gigumay/POLO@b2f995e1)
FITNESS = np.array([0.1, 0.9])  # weights of map100 and map100-10 (gigumay/POLO@b2f995e1)
COUNTED = ("images", "error", "absolute", "squared", "true", "true_squared")  # summed over images


class DetectMetrics(Sums):
    """Average precision of points, precision and recall, counting errors, confusion of classes.

    Figures: `map100` (DoR 1), `map100-10` (mean over DoR 1, .9, ..., .1), `ap100/<class>`, `ap100-10/<class>`;
    `fitness` (.1 of the first and .9 of the second), by which POLO keeps its best weights;
    `precision`, `recall`, `f1` at the confidence of best F1; `count_mae`, `count_rmse`, `count_bias` (answers less
    things) and `count_r2` of the number of answers above `min_score` per image, for all classes together and, with
    `/<class>`, for each. Classes of which there is nothing are left out of means.

    The radius of a thing is that of the target's `radii_px`, or else its class's in the variant.

    Attributes:
        confusion: (K + 1, K + 1) float64 counts of all images by what is there (rows) and what was answered (columns),
            the last of each being nothing; see `zoo.tasks.metrics.points.confusion` for POLO's rules.

    Args:
        variant: says the classes, their radii, and the DoR of suppression.
        bootstrap: see `Sums`; images are drawn.
        min_score: what is counted, and what enters `confusion`.
        least_score: what is ranked.
        dor: of suppression; `None` = the variant's.
        max_answers: most that an image may have, the best of them, where answers are ranked (300 in POLO's validation).
        multi_label: whether a candidate is ranked once for each class, as in POLO's validation, or for its best.

    Source: the validation of POLO (gigumay/POLO@b2f995e1).
    """

    def __init__(
        self,
        *,
        variant: Variant,
        bootstrap: int = 0,
        min_score: float = MIN_SCORE,
        least_score: float = LEAST_SCORE,
        dor: float | None = None,
        max_answers: int = MAX_POINTS,
        multi_label: bool = True,
    ) -> None:
        super().__init__(bootstrap=bootstrap)
        if not 0 <= least_score <= min_score <= 1:
            raise ConfigError(
                f"least_score is {least_score} and min_score {min_score}; expected 0 <= least_score <= min_score <= 1"
            )
        self.variant, self.radii, self.dor = variant, radii_of(variant), dor_of(variant, dor)
        self.min_score, self.least_score = min_score, least_score
        self.max_answers, self.multi_label = max_answers, multi_label
        size = len(variant.classes)
        self.add_sum("things", size)
        self.add_sum("counted", len(COUNTED), size + 1)
        self.add_state("confusion", torch.zeros(size + 1, size + 1, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_rows("answers", 2 + len(THRESHOLDS), dtype=torch.float32)  # score, class, whether right at each
        self.add_rows("images", dtype=torch.int64)  # key of each answer's image

    def update(self, output: DetectOutput, target: Mapping[str, Any], ids: Sequence[str]) -> None:
        """Count the images of a batch.

        Raises:
            InputError: a thing's class is none of the variant's, or its radius is not known.
        """
        output = DetectOutput(output.points_px.detach().cpu(), output.scores.detach().cpu())
        ranked = decode(output, min_score=self.least_score, max_points=MAX_POINTS, multi_label=self.multi_label)
        counted = decode(output, min_score=self.min_score, max_points=MAX_POINTS, multi_label=self.variant.multi_label)
        summands: dict[str, list[Tensor]] = {"things": [], "counted": []}
        for index, name in enumerate(ids):
            places, classes, radii = self._things(target, index, name)
            answers = _taken(ranked[index], self._kept(ranked[index])[: self.max_answers])
            self._rank(answers, places, classes, radii, name)
            size = len(self.variant.classes)
            true = np.bincount(classes, minlength=size)
            said = np.bincount(counted[index].classes[self._kept(counted[index])], minlength=size)
            summands["things"].append(torch.from_numpy(true))
            summands["counted"].append(_errors(true, said))
            sure = _taken(answers, answers.scores > self.min_score)
            matrix = confusion(sure.xy_px, sure.classes, places, classes, radii, dor=self.dor, num_classes=size)
            self.confusion += torch.from_numpy(matrix.T).to(self.confusion)
        if ids:
            self.accumulate(ids, {name: torch.stack(values) for name, values in summands.items()})

    def scores(self) -> dict[str, Tensor]:
        """See the class."""
        return self._found() | self._counting()

    def _things(self, target: Mapping[str, Any], index: int, name: str) -> tuple[Array, Array, Array]:
        places = target["points_px"][index].detach().cpu().double().numpy().reshape(-1, 2)
        classes = target["point_classes"][index].detach().cpu().long().numpy()
        size = len(self.variant.classes)
        if len(classes) and (classes.min() < 0 or classes.max() >= size):
            raise InputError(
                f"{name} has things of class {classes.min()} ... {classes.max()}; {self.variant.tag} has {size} classes,"
                f" 0 ... {size - 1}: {', '.join(self.variant.classes[:5])}"
            )
        if "radii_px" in target:
            return places, classes, target["radii_px"][index].detach().cpu().double().numpy()
        if self.radii is None:
            raise InputError(
                f"neither the data say the radii of things ({name} has no radii_px) nor the variant {self.variant.tag}"
                " (config['radii_px']): without them no answer is near; add a column of radii to the data"
            )
        return places, classes, self.radii[classes]

    def _kept(self, found: Candidates) -> Array:
        """Indices of candidates that suppression leaves, best first."""
        if self.radii is None or self.dor == 0:
            return np.argsort(-found.scores, kind="stable")
        return suppress(found.xy_px, found.scores, found.classes, self.radii, self.dor)

    def _rank(self, answers: Candidates, places: Array, classes: Array, radii: Array, name: str) -> None:
        right = matches(answers.xy_px, answers.classes, places, classes, radii)
        rows = np.column_stack([answers.scores, answers.classes, right]).astype(np.float32)
        self.answers.append(torch.from_numpy(rows).to(self.device))
        self.images.append(keys_of([name]).expand(len(rows)).to(self.device))

    def _found(self) -> dict[str, Tensor]:
        """What the ranking gives, for all images and for each replicate."""
        rows, images = self.rows("answers").cpu().numpy(), self.rows("images").cpu()
        # By confidence; equal ones by image, and in an image as they were (lexsort is stable): in no one's order.
        order = np.lexsort((images.numpy(), -rows[:, 0]))
        rows, images = rows[order], images[torch.from_numpy(order)]
        things: Array = self.things.cpu().numpy()
        drawn = []
        for replicate in range(1 + self.bootstrap):
            weights = np.ones(len(rows))
            if replicate:
                weights = poisson_weights(images, [replicate - 1])[0].numpy()
            drawn.append(self._ranked(rows, weights, things[replicate]))
        names = [f"{kind}/{one}" for kind in ("ap100", "ap100-10") for one in self.variant.classes]
        names = ["map100", "map100-10", "fitness", "precision", "recall", "f1", *names]
        return {name: torch.tensor(values) for name, values in zip(names, zip(*drawn, strict=True), strict=True)}

    def _ranked(self, rows: Array, weights: Array, things: Array) -> list[float]:
        taken = weights > 0
        rows, weights = rows[taken], weights[taken]
        size = len(self.variant.classes)
        precisions = np.full((size, len(THRESHOLDS)), np.nan)
        curves = []
        for index in np.flatnonzero(things > 0):
            mine = rows[:, 1] == index
            right, scores = rows[mine, 2:].astype(np.float64), rows[mine, 0].astype(np.float64)
            precisions[index] = average_precision(right, things[index], weights[mine])
            curves.append(at_confidences(scores, right[:, 0], things[index], weights[mine]))
        if not curves:
            return [np.nan] * (6 + 2 * size)
        best = best_of(np.array(curves)) if rows[:, 2:].any() else (0.0, 0.0, 0.0)
        first, mean = precisions[:, 0], precisions.mean(axis=1)
        means = np.array([np.nanmean(first), np.nanmean(mean)])
        return [*means.tolist(), float(FITNESS @ means), *best, *first.tolist(), *mean.tolist()]

    def _counting(self) -> dict[str, Tensor]:
        images, error, absolute, squared, true, true_squared = self.counted.unbind(dim=1)
        spread = true_squared - ratio(true.square(), images)
        figures = {
            "count_mae": ratio(absolute, images),
            "count_rmse": ratio(squared, images).sqrt(),
            "count_bias": ratio(error, images),
            "count_r2": 1 - ratio(squared, spread),
        }
        named = list(enumerate(self.variant.classes))
        return {name: values[:, -1] for name, values in figures.items()} | {
            f"{name}/{one}": values[:, index] for name, values in figures.items() for index, one in named
        }


def _taken(found: Candidates, rows: Array) -> Candidates:
    return Candidates(xy_px=found.xy_px[rows], scores=found.scores[rows], classes=found.classes[rows])


def _errors(true: Array, said: Array) -> Tensor:
    """(6, K + 1): `COUNTED` of one image, of each class and of all together."""
    true, said = np.append(true, true.sum()), np.append(said, said.sum())
    error = said - true
    return torch.from_numpy(np.stack([np.ones_like(error), error, abs(error), error**2, true, true**2]))
