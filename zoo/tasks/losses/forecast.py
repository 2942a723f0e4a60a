"""Losses of forecasts, over the cells whose target is known; on the network's own, normalised numbers."""

# B samples, L lead times, V variables, H W cells, N known cells

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from zoo.datasets.sample import Batch
from zoo.errors import ConfigError, InputError
from zoo.spec import Quantity, Variant
from zoo.tasks.losses.segment import binary_dice, tversky
from zoo.tasks.objective import Moment, Objective, Term, answer


def squared_error(values: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of squared errors where the target is known (not NaN), and the number of such cells; of one shape."""
    known = ~target.isnan()
    return (values.float()[known] - target[known]).square().sum(), known.sum()


def absolute_error(values: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of absolute errors where the target is known (not NaN), and the number of such cells; of one shape."""
    known = ~target.isnan()
    return (values.float()[known] - target[known]).abs().sum(), known.sum()


def binary_cross_entropy(
    logit: Tensor, truth: Tensor, *, pos_weight: float = 1.0, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Sum of weighted binary cross entropies where the truth is known, and the sum of the weights.

    Equals `torch.nn.CrossEntropyLoss` with two classes, whose logits differ by `logit`, of the weights (1, pos_weight).

    Args:
        logit: any shape.
        truth: same shape, 0 to 1, NaN where unknown.
        pos_weight: weight of what is true; canadafiresat has 6.7.
        smoothing: share of the truth that is spread evenly over true and false.
    """
    known = ~truth.isnan()
    logit, truth = logit.float()[known], truth[known]
    true, false = pos_weight * functional.softplus(-logit), functional.softplus(logit)
    cells = (1 - smoothing) * (truth * true + (1 - truth) * false) + smoothing / 2 * (true + false)
    return cells.sum(), _weight_of(truth, pos_weight)


class Forecast(Objective):
    """Squared error of physical quantities, cross entropy of probabilities; others where they have a weight.

    Physical targets are compared as the network has them, minus `Quantity.offset` over `Quantity.scale`, so that
    quantities of other units weigh alike. All known cells of all lead times and quantities of a kind are one mean.

    Args:
        variant: says what the network's numbers mean.
        mse: weight of the squared error of physical quantities; 0 leaves a loss out.
        mae: weight of their absolute error.
        bce: weight of the cross entropy of probabilities.
        dice: weight of Dice of probabilities, whose sums run over the batch (of a process, and of a part of a step).
        tversky: weight of the Tversky loss of probabilities, likewise.
        pos_weight: of the cross entropy; see `binary_cross_entropy`.
        smoothing: of the cross entropy; see `binary_cross_entropy`.
        dice_smoothing: see `zoo.tasks.losses.segment.binary_dice`.
        tversky_alpha: see `zoo.tasks.losses.segment.tversky`, as for the next two.
        tversky_beta: see there.
        tversky_gamma: see there.
    """

    def __init__(
        self,
        *,
        variant: Variant | None = None,
        mse: float = 1.0,
        mae: float = 0.0,
        bce: float = 1.0,
        dice: float = 0.0,
        tversky: float = 0.0,
        pos_weight: float = 1.0,
        smoothing: float = 0.0,
        dice_smoothing: float = 0.0,
        tversky_alpha: float = 0.3,
        tversky_beta: float = 0.7,
        tversky_gamma: float = 1.0,
    ) -> None:
        super().__init__()
        if variant is None:
            raise ConfigError("the objective of forecasts needs the variant whose `quantities` say what is forecast")
        self.variant = variant
        self.chances = [index for index, one in enumerate(variant.quantities) if one.probability]
        self.measures = [index for index, one in enumerate(variant.quantities) if not one.probability]
        weights = {"mse": mse, "mae": mae} if self.measures else {}
        weights |= {"bce": bce, "dice": dice, "tversky": tversky} if self.chances else {}
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.pos_weight, self.smoothing, self.dice_smoothing = pos_weight, smoothing, dice_smoothing
        self.tversky = {"alpha": tversky_alpha, "beta": tversky_beta, "gamma": tversky_gamma}
        if not self.weights:
            raise ConfigError(f"all losses that {variant.tag!r} could be trained with have the weight 0")

    def counts(self, batch: Batch) -> Mapping[str, Tensor | float]:
        values = with_lead_times(batch.target["values"])
        known = (~values[:, :, self.measures].isnan()).sum()
        truth = values[:, :, self.chances]
        weight = _weight_of(truth[~truth.isnan()], self.pos_weight)
        counts = {"mse": known, "mae": known, "bce": weight}
        return {name: count for name, count in counts.items() if name in self.weights}

    def forward(self, network: nn.Module, batch: Batch, moment: Moment) -> Mapping[str, Term]:  # noqa: ARG002
        """The terms with a weight.

        Raises:
            InputError: the targets have another size than the network's answer.
        """
        values, target = same_size(answer(network, batch).values, batch.target["values"], self.variant)
        measures = values[:, :, self.measures], normalised(target, self.variant.quantities)[:, :, self.measures]
        logit, truth = values[:, :, self.chances], target[:, :, self.chances]
        known = ~truth.isnan()
        found: dict[str, Term] = {}
        for name, weight in self.weights.items():
            match name:
                case "mse":
                    found[name] = Term(*squared_error(*measures), weight)
                case "mae":
                    found[name] = Term(*absolute_error(*measures), weight)
                case "bce":
                    sums = binary_cross_entropy(logit, truth, pos_weight=self.pos_weight, smoothing=self.smoothing)
                    found[name] = Term(*sums, weight)
                case "dice":
                    value = binary_dice(logit[known].sigmoid(), truth[known], smoothing=self.dice_smoothing)
                    found[name] = Term.whole(value, weight)
                case _:
                    found[name] = Term.whole(tversky(logit[known].sigmoid(), truth[known], **self.tversky), weight)
        return found


def normalised(target: Tensor, quantities: tuple[Quantity, ...]) -> Tensor:
    """Physical values (B, L, V, H, W) as a network has them; probabilities stay."""
    offset = target.new_tensor([one.offset for one in quantities])[:, None, None]
    scale = target.new_tensor([one.scale for one in quantities])[:, None, None]
    return (target - offset) / scale


def with_lead_times(values: Tensor) -> Tensor:
    """(B, V, H, W) or (B, L, V, H, W) as the latter."""
    return values[:, None] if values.ndim == 4 else values


def same_size(values: Tensor, target: Tensor, variant: Variant) -> tuple[Tensor, Tensor]:
    """The network's answer and its target, both (B, L, V, H, W).

    Raises:
        InputError: they have other sizes, or not as many lead times and quantities as the variant.
    """
    values, target = with_lead_times(values), with_lead_times(target)
    asked = (len(variant.lead_times_h), len(variant.quantities))
    if values.shape != target.shape or values.shape[1:3] != asked:
        raise InputError(
            f"the network answers {tuple(values.shape)} and the target is {tuple(target.shape)}; expected both to be"
            f" (samples, {asked[0]} lead times, {asked[1]} quantities, height, width) as {variant.tag!r} says:"
            " choose a dataset of these quantities, with one target per pixel of the answer"
        )
    return values, target


def _weight_of(truth: Tensor, pos_weight: float) -> Tensor:
    """Sum of the weights of known truths."""
    return (truth * pos_weight + (1 - truth)).sum()
