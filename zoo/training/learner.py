"""Network and objective as one module: what is wrapped for several processes, so that all that an objective does with
the network happens within one `forward`.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from zoo.datasets.sample import Batch
from zoo.tasks.objective import Moment, Objective

# total, count, weight, least count: plain, so that wrappers find the tensors
Terms = dict[str, tuple[Tensor, Tensor | float, float, float]]


class Learner(nn.Module):
    """A network and what it is trained for."""

    def __init__(self, network: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.network = network
        self.objective = objective

    def forward(self, batch: Batch, moment: Moment) -> Terms:
        return {
            name: (term.total, term.count, term.weight, term.least)
            for name, term in self.objective(self.network, batch, moment).items()
        }

    def counts(self, batch: Batch) -> Mapping[str, Tensor | float]:
        return self.objective.counts(batch)
