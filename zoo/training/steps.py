"""One optimiser step: parts forward and backward, the loss divided by what counted in all parts of all processes."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from zoo.datasets.sample import Batch
from zoo.datasets.seeds import seed_of
from zoo.tasks.across import idle
from zoo.tasks.objective import Moment
from zoo.training.interruption import Interruption
from zoo.training.learner import Learner, Terms
from zoo.training.order import Part

Number = Tensor | float


class NotFinite(ArithmeticError):
    """The loss of a part is NaN or infinite; `batch` is that part, `terms` what its loss is made of."""

    def __init__(self, batch: Batch, terms: Mapping[str, float]) -> None:
        super().__init__(", ".join(f"{name} {value}" for name, value in terms.items()))
        self.batch, self.terms = batch, terms


@dataclass(kw_only=True, slots=True)
class Stepper:
    """Takes steps.

    Attributes:
        accelerator: of the run.
        learner: without the wrapper for several processes.
        wrapped: with it.
        clip: largest norm of the gradient; `None` = any.
        interruption: whether this process was asked to stop.
        totals: this process's share of the loss and of its terms, added up since they were last taken.
        norm: of the gradient at the last step, where it was clipped.
    """

    accelerator: Any
    learner: Learner
    wrapped: Any
    optimizer: Any
    clip: float | None
    interruption: Interruption
    totals: dict[str, float] = field(default_factory=dict)
    norm: Tensor | None = None

    def take(self, parts: Sequence[Part], batches: Iterator[Batch], moment: Moment) -> int:
        """One step.

        Args:
            parts: of this process.
            batches: theirs, to be taken in turn.
            moment: when.

        Returns:
            Number of the signal by which a process was asked to stop, the same in all of them, or 0.
        """
        taken = [next(batches).to(self.accelerator.device) for _ in parts]
        counts, asked = self._known_counts(parts, taken)
        for number, (part, batch) in enumerate(zip(parts, taken, strict=True)):
            last = number == len(parts) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.wrapped):
                loss = self._loss(self._terms(part, batch, moment), counts, part, batch, len(parts))
                self.accelerator.backward(loss)
        if self.clip is not None:
            self.norm = self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if not self.skipped:
            with torch.no_grad():
                self.learner.objective.after_step(self.learner.network, _anew(moment))
        return asked if self.accelerator.num_processes > 1 else self.interruption.asked

    @property
    def skipped(self) -> bool:
        """Whether the last step moved nothing: in half precision the gradient was too large, and will be scaled anew."""
        return self.accelerator.scaler is not None and bool(self.accelerator.optimizer_step_was_skipped)

    def all_totals(self) -> dict[str, float]:
        """Loss and terms of all processes, added up since they were last taken; every process calls it."""
        names = sorted(self.totals)
        if not names:
            return {}
        if self.accelerator.num_processes == 1:
            return {name: self.totals[name] for name in names}
        own = [self.totals[name] for name in names]
        added = self._added(torch.tensor(own, dtype=torch.float64, device=self.accelerator.device))
        return dict(zip(names, added.tolist(), strict=True))

    def _terms(self, part: Part, batch: Batch, moment: Moment) -> Terms:
        """What the objective gives; an idle part changes no running statistics and adds nothing to what is gathered."""
        if not part.idle:
            return self.wrapped(batch, _anew(moment))  # type: ignore[no-any-return]
        modes = {module: module.training for module in self.learner.modules()}
        self.learner.eval()
        try:
            with idle():
                return self.wrapped(batch, _anew(moment))  # type: ignore[no-any-return]
        finally:
            for module, training in modes.items():
                module.training = training

    def _known_counts(self, parts: Sequence[Part], batches: Sequence[Batch]) -> tuple[dict[str, Number], int]:
        """Counts that batches alone decide, over all parts and processes; and the signal that any process got."""
        counts: dict[str, Number] = {}
        for part, batch in zip(parts, batches, strict=True):
            for name, count in self.learner.counts(batch).items():
                counts[name] = counts.get(name, 0.0) + (0.0 if part.idle else count)
        if self.accelerator.num_processes == 1:
            return counts, 0
        # One message for all: the counts, and the signals, a place for each number.
        signals = torch.zeros(signal.NSIG, dtype=torch.float64)
        signals[self.interruption.asked] = 1
        own = torch.stack([torch.as_tensor(one, dtype=torch.float64) for one in counts.values()] or [signals[0]]).cpu()
        added = self._added(torch.cat([own, signals]).to(self.accelerator.device))
        asked = added[len(own) + 1 :].nonzero()
        return dict(zip(counts, added, strict=False)), int(asked[-1]) + 1 if len(asked) else 0

    def _loss(
        self,
        terms: Terms,
        counts: Mapping[str, Number],
        part: Part,
        batch: Batch,
        num_parts: int,
    ) -> Tensor:
        """The part's share of the loss, times the number of processes, over which gradients are averaged."""
        processes = self.accelerator.num_processes
        shares: dict[str, Tensor] = {}
        found = counts
        device = self.accelerator.device
        if processes > 1 and (unknown := [name for name in terms if name not in counts]):
            own = torch.stack([torch.as_tensor(terms[name][1], dtype=torch.float64, device=device) for name in unknown])
            found = {**counts, **dict(zip(unknown, self._added(own * (not part.idle)), strict=True))}
        for name, (total, count, weight, least) in terms.items():
            whole = divisor(found.get(name, count), least)
            if name not in counts:
                whole = whole * num_parts
            shares[name] = total * (0.0 if part.idle else weight) / whole
        loss = torch.stack([one.float() for one in shares.values()]).sum()
        value = loss.item()
        if not math.isfinite(value):
            raise NotFinite(batch, {name: one.item() for name, one in shares.items()})
        self.totals["loss"] = self.totals.get("loss", 0.0) + value
        for name, share in shares.items() if len(shares) > 1 else ():
            self.totals[name] = self.totals.get(name, 0.0) + share.item()
        return loss * processes if processes > 1 else loss

    def _added(self, tensor: Tensor) -> Tensor:
        if self.accelerator.num_processes > 1:
            torch.distributed.all_reduce(tensor)
        return tensor


def seed_step(accelerator: Any, seed: int, step: int) -> None:
    """Seed torch's own generators (dropout) for a step: a resumed run draws what it would have drawn."""
    number = seed_of(seed, step, accelerator.process_index)
    torch.default_generator.manual_seed(number)
    if accelerator.device.type == "cuda":
        torch.cuda.manual_seed(number)


def _anew(moment: Moment) -> Moment:
    """The moment with a generator of its own: each part of a step draws what the others draw."""
    return replace(moment, generator=moment.generator.clone_state())


def divisor(count: Number, least: float) -> Number:
    """A count to divide by: 1 where nothing counted, since the total is 0 then."""
    if isinstance(count, Tensor):
        count = torch.where(count > 0, count, torch.ones_like(count))
        return count.clamp(min=least) if least else count
    return max(count or 1.0, least)
