"""Losses of species distribution models, and the default objective: presences weigh more the rarer the species.

A cell (a species at a site) whose presence is NaN is not known, and counts nowhere.
"""

# B batch, S species

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.datasets.sample import Batch, Reader
from zoo.errors import ConfigError
from zoo.processes import processes
from zoo.tasks.across import num_processes, process_index, summed
from zoo.tasks.objective import Moment, Objective, Term, answer
from zoo.tasks.sdm import SdmOutput

# Both papers' code: MaskSDM, and ninavantiel/multi_scale_SDMs@22ac42f1.
EPSILON = 1e-5


def species_weights(present: Tensor, known: Tensor | float, *, epsilon: float = EPSILON) -> Tensor:
    """Sites per presence of each species, (S,).

    Args:
        present: (S,) number of each species' presences in the training data.
        known: number of sites, or of those where the species is known, (S,).
        epsilon: added to the presences (MaskSDM); 0 = as in the multi-scale model, where all have some.
    """
    return known / (present + epsilon)


def weighted(
    probs: Tensor, presence: Tensor, weights: Tensor, *, absences: float = 1.0, epsilon: float = EPSILON
) -> tuple[Tensor, Tensor]:
    """-log of the probability of what was seen, a presence times w, an absence times w / (w - 1).

    A species of weight w = sites / presences so has presences and absences of equal weight on the whole. One that is
    present everywhere (w <= 1) has no absences to weigh; theirs count 0.

    Args:
        probs: (B, S), 0 ... 1: the sigmoid of logits.
        presence: (B, S), 1, 0 or NaN.
        weights: (S,); in float64, the loss is too.
        absences: factor on what absences give (lambda).
        epsilon: added to probabilities inside the logarithm.

    Returns:
        The sum, and the number of known cells.

    Source: MaskSDM's weighted loss (absences = 1) and that of ninavantiel/multi_scale_SDMs@22ac42f1.
    """
    known = presence.isfinite()
    seen, unseen = known & (presence > 0), known & (presence <= 0)
    has_absences = weights > 1
    of_absences = torch.where(has_absences, weights / torch.where(has_absences, weights - 1, 1), 0)
    present = -torch.log(probs + epsilon) * seen * weights
    absent = -torch.log(1 - probs + epsilon) * unseen * of_absences
    return present.sum() + absences * absent.sum(), known.sum()


def background(probs: Tensor, *, epsilon: float = EPSILON) -> tuple[Tensor, float]:
    """-log of the probability of absence at background points (pseudo-absences) (B, S); the sum and its cells."""
    return -torch.log(1 - probs + epsilon).sum(), float(probs.numel())


def cross_entropy(logits: Tensor, presence: Tensor, pos_weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy of logits (B, S), presences times `pos_weight` (scalar or (S,)); the sum and known cells."""
    known = presence.isfinite()
    cells = functional.binary_cross_entropy_with_logits(
        logits, torch.where(known, presence, 0).to(logits.dtype), pos_weight=pos_weight, reduction="none"
    )
    return (cells * known).sum(), known.sum()


class Presence(Objective):
    """Presence or absence of each species at each site.

    Where a batch's target has `background`, (B,) bool, its true rows are background points: what is known of presences
    there does not matter, and they add their term, times 1 - absences.

    Args:
        loss: `weighted` by how rare a species is in the training data, or plain cross-entropy (`bce`).
        absences: see `weighted`; where a batch has no background points it is 1, whatever is said here.
        pos_weight: factor on presences, of `bce`.
        epsilon: see `species_weights`.

    Raises:
        ConfigError: an option is out of range, the training data have no presence at all, or background points weigh
            nothing.
    """

    species_weights: Tensor

    def __init__(
        self,
        *,
        loss: Literal["weighted", "bce"] = "weighted",
        absences: float = 1.0,
        pos_weight: float = 1.0,
        epsilon: float = EPSILON,
    ) -> None:
        super().__init__()
        if loss not in ("weighted", "bce"):
            raise ConfigError(f"the loss is {loss!r}; expected weighted or bce: objective_options.loss=weighted")
        if not 0 <= absences <= 1:
            raise ConfigError(f"absences is {absences}; expected 0 to 1: objective_options.absences=1")
        self.loss, self.absences, self.pos_weight, self.epsilon = loss, absences, pos_weight, epsilon
        self.register_buffer("species_weights", torch.zeros(0))

    def begin(self, network: nn.Module, reader: Reader, shapes: Mapping[str, torch.Size] | None) -> None:  # noqa: ARG002
        """Count presences: by the reader's `presences()`, (S,) counts and (S,) known sites, if it has one, else by
        reading each sample once, each process its share.
        """
        device = self.species_weights.device
        if shapes is not None:
            self.species_weights = torch.zeros(shapes["objective.species_weights"], device=device)
        elif self.loss == "weighted":
            present, known = presences_of(reader)
            self.species_weights = species_weights(present, known, epsilon=self.epsilon).float().to(device)

    def forward(self, network: nn.Module, batch: Batch, moment: Moment) -> Mapping[str, Term]:  # noqa: ARG002
        """`presence`, and `background` where the batch has such points."""
        output: SdmOutput = answer(network, batch)
        logits, presence = output.logits.float(), batch.target["presence"]
        if logits.shape[1:] != presence.shape[1:]:
            raise ConfigError(
                f"the network answers for {logits.shape[1]} species, and the data have {presence.shape[1]}; for a head of"
                " the data's own species say classes=data fresh=[head*], or name the model's species in the data's options"
            )
        drawn: Tensor | None = batch.target.get("background")
        if drawn is not None:
            presence = presence.masked_fill(drawn[:, None], torch.nan)
            if self.absences == 1:
                raise ConfigError(
                    "the data have background points, and with absences=1 they weigh nothing (1 - absences); say"
                    " objective_options.absences=0.5, or leave the option background of the data out"
                )
        if self.loss == "bce":
            terms = {"presence": Term(*cross_entropy(logits, presence, logits.new_tensor(self.pos_weight)))}
        else:
            share = 1.0 if drawn is None else self.absences
            cells = weighted(logits.sigmoid(), presence, self.species_weights, absences=share)
            terms = {"presence": Term(*cells)}
        if drawn is not None:
            terms["background"] = Term(*background(logits[drawn].sigmoid()), weight=1 - self.absences)
        return terms

    def counts(self, batch: Batch) -> Mapping[str, Tensor | float]:
        """Known cells, and those of background points."""
        presence: Tensor = batch.target["presence"]
        drawn: Tensor | None = batch.target.get("background")
        if drawn is None:
            return {"presence": presence.isfinite().sum()}
        known = (presence.isfinite() & ~drawn[:, None]).sum()
        return {"presence": known, "background": drawn.sum() * presence.shape[1]}


def presences_of(reader: Reader) -> tuple[Tensor, Tensor]:
    """Presences and known sites of each species, (S,) each, of all samples of a reader.

    Raises:
        ConfigError: there is not one presence.
    """
    told = getattr(reader, "presences", None)
    if told is not None:
        present, known = (torch.as_tensor(one) for one in told())
    else:
        present, known = _counted(reader)
    if not present.sum() > 0:
        raise ConfigError(
            f"found no presence in the {len(reader.ids)} samples of the training data; expected 1 where a species was"
            " seen: `zoo data check` says what the data hold"
        )
    return present, known


def _counted(reader: Reader) -> tuple[Tensor, Tensor]:
    both = torch.zeros(2, len(reader.sample(0).target["presence"]), dtype=torch.int64)
    for index in range(process_index(), len(reader.ids), num_processes()):
        presence = reader.sample(index).target["presence"]
        both += torch.stack([presence > 0, presence.isfinite()])
    present, known = summed(both.to(processes().device)).cpu()  # NCCL adds on GPUs alone
    return present, known
