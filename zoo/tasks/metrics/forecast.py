"""How well forecasts fit, per quantity and lead time, over the cells whose target is known."""

# B samples, L lead times, V variables, H W cells, M masks (all cells, then each stratum), S strata's maps, R replicates

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from zoo.errors import InputError
from zoo.spec import Variant
from zoo.tasks.forecast import physical
from zoo.tasks.losses.forecast import same_size, with_lead_times
from zoo.tasks.metrics.counts import class_scores
from zoo.tasks.metrics.pairs import UNKNOWN, add_pairs, average_precisions, keep_pairs
from zoo.tasks.metrics.sums import Sums, ratio

THRESHOLD = 0.5  # an event is predicted above it: the argmax of two classes, ties to "no"
CELLS, ERROR, ABSOLUTE, SQUARE, SQUARE_PAIRED, PERSISTENCE = range(6)  # sums of physical quantities
_, HIT, TRUE, PREDICTED, BRIER = range(5)  # sums of probabilities, after CELLS


class ForecastMetrics(Sums):
    """Scores `<score>/<quantity>`, or `<score>/<quantity>_<hours>h` where there are several lead times.

    Of physical quantities, in their units: `mae`, `rmse`, `mbe` (mean of output - target: above 0, the forecast is too
    high) and `skill` = 1 - MSE / MSE of persistence, where targets hold `persistence`.

    Of probabilities: `f1`, `precision`, `recall`, `iou` of the event, predicted above 0.5; `accuracy`; `brier`;
    `f1_over_chance` = (F1 - F) / (1 - F), F = 2 r / (1 + r) the F1 of always predicting it where a share r is true
    (canadafiresat's normalised F1); and `pr_auc`, the step-wise average precision, exact (`zoo.tasks.metrics.pairs` says
    in how much memory).

    All but `pr_auc` also `/<stratum> <low> to <high>`, over the cells with low <= value < high.

    Args:
        variant: its quantities and lead times.
        bootstrap: replicates of samples for intervals.
        strata: edges of bins by name, ascending, in the order of the maps of the targets' `strata`.
    """

    def __init__(
        self, *, variant: Variant, bootstrap: int = 0, strata: Mapping[str, Sequence[float]] | None = None
    ) -> None:
        super().__init__(bootstrap=bootstrap)
        self.variant = variant
        self.strata = dict(strata or {})
        self.masks = ["", *(f"/{name} {low:g} to {high:g}" for name, low, high in self._bins())]
        self.answers = [
            (lead, index) for lead in range(len(variant.lead_times_h)) for index in range(len(variant.quantities))
        ]
        self.chances = [index for index, one in enumerate(variant.quantities) if one.probability]
        self.add_sum("sums", len(self.masks), len(variant.lead_times_h), len(variant.quantities), 6)
        if self.chances:
            add_pairs(self, len(variant.lead_times_h) * len(self.chances))

    def update(self, output: Any, target: Mapping[str, Any], ids: Sequence[str]) -> None:
        """Count a batch.

        Args:
            output: has `values`, (B, V, H, W) or (B, L, V, H, W), in the network's units.
            target: `values`, of the same size, in physical units, NaN where unknown; `persistence`, alike, if it is
                known; `strata`, (B, S, H, W) or (B, L, S, H, W), where the metric has strata.
            ids: of the B samples.

        Raises:
            InputError: the target has another size than the answer; strata are asked for that it does not hold.
        """
        values, truth = same_size(output.values, target["values"], self.variant)
        values = values.double()  # a float32 sigmoid differs with a cell's place in the batch, in its last bit
        quantities = self.variant.quantities
        answers = torch.stack([physical(one, values[:, :, index]) for index, one in enumerate(quantities)], dim=2)
        persistence = target.get("persistence")
        before = torch.full_like(truth, torch.nan) if persistence is None else with_lead_times(persistence)
        summands = torch.stack(
            [
                _chances_of(answers[:, :, index], truth[:, :, index])
                if one.probability
                else _errors_of(answers[:, :, index], truth[:, :, index], before[:, :, index])
                for index, one in enumerate(quantities)
            ],
            dim=2,
        )  # (B, L, V, 6, H, W)
        sums = [(summands * mask).sum(dim=(-2, -1)) for mask in self._masks_of(target, truth)]
        self.accumulate(ids, {"sums": torch.stack(sums, dim=1)})
        if self.chances:
            scores, events = answers[:, :, self.chances], truth[:, :, self.chances]
            events = torch.where(events.isnan(), UNKNOWN, (events > THRESHOLD).to(torch.uint8))
            keep_pairs(self, ids, *(one.flatten(1, 2).flatten(2).transpose(1, 2) for one in (scores, events)))

    def scores(self) -> Mapping[str, Tensor]:
        figures: dict[str, Tensor] = {}
        precisions = average_precisions(self) if self.chances else None
        column = 0
        for lead, index in self.answers:
            quantity = self.variant.quantities[index]
            name = quantity.name
            if len(self.variant.lead_times_h) > 1:
                name += f"_{self.variant.lead_times_h[lead]:g}h"
            for mask, suffix in enumerate(self.masks):
                sums = self.sums[:, mask, lead, index]
                found = _scores_of_chances(sums) if quantity.probability else _scores_of_errors(sums)
                figures |= {f"{score}/{name}{suffix}": value for score, value in found.items()}
            if quantity.probability and precisions is not None:
                figures[f"pr_auc/{name}"] = precisions[:, column]
                column += 1
        return figures

    def _bins(self) -> Iterator[tuple[str, float, float]]:
        for name, edges in self.strata.items():
            for low, high in pairwise(edges):
                yield name, low, high

    def _masks_of(self, target: Mapping[str, Any], truth: Tensor) -> Iterator[Tensor]:
        """M masks that fit (B, L, V, 6, H, W)."""
        yield torch.ones((), dtype=torch.float64, device=truth.device)
        if not self.strata:
            return
        maps = target.get("strata")
        if maps is None or with_lead_times(maps).shape[2] != len(self.strata):
            found = "none" if maps is None else tuple(maps.shape)
            raise InputError(
                f"scores are asked for by {', '.join(self.strata)}, and the targets' `strata` are {found}; expected"
                f" (samples, {len(self.strata)}, height, width), a map of each in that order: choose a dataset that gives"
                " them, or leave `strata` out"
            )
        maps = with_lead_times(maps)
        for index, (_, edges) in enumerate(self.strata.items()):
            for low, high in pairwise(edges):
                inside = (maps[:, :, index] >= low) & (maps[:, :, index] < high)
                yield inside[:, :, None, None].double()


def _errors_of(answer: Tensor, truth: Tensor, before: Tensor) -> Tensor:
    """(B, L, 6, H, W) of quantities (B, L, H, W); persistence is compared where it is known."""
    known = ~truth.isnan()
    error = torch.where(known, answer.double() - truth.double(), 0.0)
    paired = known & ~before.isnan()
    past = torch.where(paired, before.double() - truth.double(), 0.0)
    return torch.stack([known, error, error.abs(), error.square(), error.square() * paired, past.square()], dim=2)


def _chances_of(chance: Tensor, truth: Tensor) -> Tensor:
    """(B, L, 6, H, W) of probabilities (B, L, H, W)."""
    known = ~truth.isnan()
    event, said = (truth > THRESHOLD) & known, (chance > THRESHOLD) & known
    brier = (chance.double() - truth.double()).square().nan_to_num(0.0)
    return torch.stack([known, event & said, event, said, brier, torch.zeros_like(brier)], dim=2)


def _scores_of_errors(sums: Tensor) -> dict[str, Tensor]:
    """By name (1 + R,), of sums (1 + R, 6)."""
    cells = sums[:, CELLS]
    return {
        "mae": ratio(sums[:, ABSOLUTE], cells),
        "rmse": ratio(sums[:, SQUARE], cells).sqrt(),
        "mbe": ratio(sums[:, ERROR], cells),
        "skill": 1 - ratio(sums[:, SQUARE_PAIRED], sums[:, PERSISTENCE]),
    }


def _scores_of_chances(sums: Tensor) -> dict[str, Tensor]:
    """By name (1 + R,), of sums (1 + R, 6)."""
    cells, hit, true, predicted = (sums[:, index] for index in (CELLS, HIT, TRUE, PREDICTED))
    event = {
        name: value[:, 0] for name, value in class_scores(torch.stack([hit, true, predicted], dim=1)[..., None]).items()
    }
    share = ratio(true, cells)
    chance = 2 * share / (1 + share)
    return event | {
        "accuracy": ratio(cells - true - predicted + 2 * hit, cells),
        "f1_over_chance": ratio(event["f1"] - chance, 1 - chance),
        "brier": ratio(sums[:, BRIER], cells),
    }
