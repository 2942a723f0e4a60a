"""One phase of a run: what is trained in it, its steps, and what is logged, measured, kept and saved between them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from zoo.datasets.loading import loader
from zoo.datasets.sample import Batch, Reader
from zoo.datasets.seeds import generator_of, seed_of
from zoo.errors import ConfigError, InputError, ZooError
from zoo.io.whole import whole
from zoo.model import Model
from zoo.tasks.objective import Moment
from zoo.training import checkpoints
from zoo.training.adapters import merged, with_adapters
from zoo.training.averages import average_of
from zoo.training.checkpoints import Held, State
from zoo.training.config import Phase, TrainConfig
from zoo.training.events import Happened, TrainEvent
from zoo.training.folder import RunFolder
from zoo.training.interruption import Interruption
from zoo.training.learner import Learner
from zoo.training.measuring import Validating, measured
from zoo.training.optimisers import averaged, optimiser, set_rates, settle
from zoo.training.order import Order
from zoo.training.parameters import chosen, groups, set_modes
from zoo.training.reporting import Reporter
from zoo.training.schedules import Rates
from zoo.training.starting import objective_of
from zoo.training.steps import NotFinite, Stepper, seed_step

BEST = "best.safetensors"


class Stopped(ZooError):
    """A run was asked to stop, has saved, and can go on; `signal` is the number of the signal."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


@dataclass(kw_only=True, slots=True)
class Run:
    """What the phases of a run share; `figures` are its last measurements."""

    config: TrainConfig
    model: Model
    reader: Reader
    validating: Validating | None
    accelerator: Any
    folder: RunFolder
    reporter: Reporter
    interruption: Interruption
    figures: dict[str, float] = field(default_factory=dict)

    last: TrainEvent | None = None

    def tell(self, kind: Happened) -> None:
        """Tell of the run as a whole."""
        last = self.last or TrainEvent(kind=kind, run=self.folder.path, phase="", step=0, steps=0, epoch=0.0)
        self.reporter(replace(last, kind=kind, values={}))


def run_phase(run: Run, name: str, state: State, checkpoint: Path | None) -> None:
    """Take all steps of a phase, from `state`, whose weights are in `checkpoint`; the model's own network has learnt
    when it ends.
    """
    phase, accelerator, seed = run.config.phases[name], run.accelerator, seed_of(run.config.seed, state.phase)
    objective = objective_of(run.model, phase)
    torch.manual_seed(seed)  # of what is new: adapters, heads of the objective, networks around the model's
    network = objective.network(run.model)
    adapters = with_adapters(network, phase.lora) if phase.lora else None
    objective.begin(network, run.reader, checkpoints.shapes_of(checkpoint) if checkpoint else None)
    learner = Learner(network, objective).to(accelerator.device)
    order = Order(
        num=len(run.reader.ids),
        batch=phase.batch,
        micro_batch=phase.micro_batch,
        process=accelerator.process_index,
        processes=accelerator.num_processes,
        seed=seed,
        drop_last=run.config.drop_last,
    )
    with chosen(learner, phase):
        lr = phase.optimizer.lr * (phase.batch / phase.optimizer.lr_for if phase.optimizer.lr_for else 1.0)
        wrapped, optimizer = accelerator.prepare(learner, optimiser(phase, groups(learner, phase, lr)))
        average = average_of(network, phase.ema).to(accelerator.device) if phase.ema else None
        held = Held(accelerator=accelerator, learner=learner, optimizer=optimizer, average=average)
        if checkpoint:
            checkpoints.restore(checkpoint, held)
        _Steps(run=run, name=name, phase=phase, seed=seed, order=order, held=held, wrapped=wrapped).take(state)
        accelerator.free_memory()
    if adapters is not None:
        merged(adapters)
    objective.finish(network, run.model)


@dataclass(kw_only=True)
class _Steps:
    """The steps of one phase."""

    run: Run
    name: str
    phase: Phase
    seed: int
    order: Order
    held: Held
    wrapped: nn.Module
    began: float = 0.0  # when the first step that is not logged yet began
    unlogged: int = 0

    def __post_init__(self) -> None:
        per_epoch, epochs = self.order.per_epoch, self.phase.epochs
        self.unit = 1 if epochs is None else per_epoch  # steps in what the phase is counted in
        self.steps = self.phase.steps or max(1, round((epochs or 0) * per_epoch))
        self.rates = Rates(schedule=self.phase.schedule, steps=self.steps, unit=self.unit, per_epoch=per_epoch)
        self.learner: Learner = self.held.learner  # type: ignore[assignment]
        self.best = self.run.folder.checkpoints / BEST

    def take(self, state: State) -> None:
        """Those that are left; then the network has the weights that are meant."""
        run, config = self.run, self.run.config
        if state.step == 0:
            self.best.unlink(missing_ok=True)
        self._tell(Happened.PHASE, state.step)
        stepper = Stepper(
            accelerator=run.accelerator,
            learner=self.learner,
            wrapped=self.wrapped,
            optimizer=self.held.optimizer,
            clip=self.phase.clip,
            interruption=run.interruption,
        )
        set_modes(self.learner, self.phase)
        batches = self._batches(state.step)
        self.began = time.perf_counter()
        while state.step < self.steps and not self._exhausted(state):
            rate = set_rates(self.held.optimizer, self.rates, state.step, state.factor)
            asked = self._step(stepper, batches, state.step)
            state = replace(state, step=state.step + 1)
            last = state.step == self.steps
            if last or state.step % config.log_every == 0:
                state = self._log(stepper, state, rate)
            if run.validating and (last or self._due(state.step, run.validating.told.every)):
                state = self._measure(state)
            if asked or last or self._exhausted(state) or self._due(state.step, config.save_every):
                checkpoints.save(run.folder.checkpoints, state, self.held, keep=config.keep)
                self._tell(Happened.SAVED, state.step)
            if asked:
                raise self._stopped(state.step, asked)
        self._settle()

    def _step(self, stepper: Stepper, batches: Iterator[Batch], step: int) -> int:
        seed_step(self.run.accelerator, self.seed, step)
        try:
            asked = stepper.take(self.order.parts(step), batches, self._moment(step))
        except NotFinite as err:
            raise self._not_finite(err, step) from err
        if self.held.average is not None:
            self.held.average.update_parameters(self.learner.network)  # type: ignore[operator]
        self.unlogged += 1
        return asked

    def _moment(self, step: int) -> Moment:
        return Moment(
            phase=self.name,
            step=step,
            steps=self.steps,
            epoch=step / self.order.per_epoch,
            generator=generator_of(self.seed, step),
        )

    def _batches(self, first: int) -> Iterator[Batch]:
        return iter(
            loader(
                self.run.reader,
                self.order.keys(first, self.steps),
                seed=self.seed,
                workers=self.run.config.workers,
                training=True,
                pin=self.run.accelerator.device.type == "cuda",
            )
        )

    def _settle(self) -> None:
        """Leave in the network the weights that are meant: the best that were measured, or the average."""
        settle(self.held.optimizer)
        self._agree()
        self.run.accelerator.wait_for_everyone()  # the best may be being written
        if self.run.config.best and self.best.is_file():
            self.learner.network.load_state_dict(load_file(self.best, device=self.run.accelerator.device.type))
        elif self.held.average is not None:
            self.learner.network.load_state_dict(self.held.average.module.state_dict())  # type: ignore[union-attr]

    def _agree(self) -> None:
        """Give all processes the running statistics (of batch norms) of the first, which are what is saved."""
        if self.run.accelerator.num_processes > 1:
            for module in (self.learner, self.held.average):
                for buffer in module.buffers() if module is not None else ():
                    torch.distributed.broadcast(buffer, src=0)

    # ----------------------------------------------------------------------------------------------- between the steps

    def _due(self, step: int, every: float) -> bool:
        return step % max(1, round(every * self.unit)) == 0

    def _exhausted(self, state: State) -> bool:
        """Whether the metric has not improved for as long as patience lasts."""
        best = self.run.config.best
        return best is not None and best.patience is not None and state.stale >= best.patience

    def _log(self, stepper: Stepper, state: State, rate: float) -> State:
        now, taken = time.perf_counter(), self.unlogged
        values = {name: total / taken for name, total in stepper.take_totals().items()}
        if self.phase.schedule.name == "plateau" and self.phase.schedule.on == "loss":
            state = self._flattened(state, values["loss"], "min")
        values |= {"lr": rate, "samples_per_s": taken * self.phase.batch / max(now - self.began, 1e-9)}
        if stepper.norm is not None:
            values["grad_norm"] = float(stepper.norm)
        self.began, self.unlogged = now, 0
        self.run.figures["loss"] = values["loss"]
        self._tell(Happened.LOGGED, state.step, values)
        return state

    def _measure(self, state: State) -> State:
        """Measure, tell, and keep the weights if they are the best so far."""
        run, paused = self.run, time.perf_counter()
        assert run.validating is not None
        self._agree()
        average = self.held.average
        network: nn.Module = self.learner.network if average is None else average.module  # type: ignore[assignment]
        with averaged(self.held.optimizer):
            found = measured(
                run.validating,
                run.model,
                self.learner,
                network,
                config=run.config,
                moment=self._moment(state.step),
                accelerator=run.accelerator,
            )
            state = self._judged(found, state, network)
        set_modes(self.learner, self.phase)
        run.figures |= {f"val_{name}" if name == "loss" else name: value for name, value in found.items()}
        self._tell(Happened.EVALUATED, state.step, found)
        self.began += time.perf_counter() - paused  # measuring is not training
        return state

    def _judged(self, found: Mapping[str, float], state: State, network: nn.Module) -> State:
        best = self.run.config.best
        if best is None:
            return state
        if best.metric not in found and state.best is None:
            raise ConfigError(f"best.metric={best.metric} is not measured; there are {', '.join(found)}")
        value = found.get(best.metric, math.nan)  # some scores are not defined when a class was never answered
        if self.phase.schedule.name == "plateau" and self.phase.schedule.on == "best":
            state = self._flattened(state, value, best.direction)
        if math.isnan(value) or not (state.best is None or _better(value, state.best, best.direction)):
            return replace(state, stale=state.stale + 1)
        if self.run.accelerator.is_main_process:
            kept = {key: one.detach().cpu().clone() for key, one in network.state_dict().items()}
            with whole(self.best) as part:
                save_file(kept, part)
        return replace(state, best=value, stale=0)

    def _flattened(self, state: State, value: float, direction: str) -> State:
        """The plateau's state after a value: the rate falls where it has not improved for too long."""
        told, before = self.phase.schedule, state.plateau
        margin = 0.0 if before is None else abs(before) * told.threshold
        if before is None or _better(value, before + (margin if direction == "max" else -margin), direction):
            return replace(state, plateau=value, flat=0)
        if state.flat + 1 > told.patience:
            return replace(state, factor=state.factor * told.gamma, flat=0)
        return replace(state, flat=state.flat + 1)

    # ------------------------------------------------------------------------------------------------- what is told

    def _tell(self, kind: Happened, step: int, values: Mapping[str, float] | None = None) -> None:
        self.run.last = TrainEvent(
            kind=kind,
            run=self.run.folder.path,
            phase=self.name,
            step=step,
            steps=self.steps,
            epoch=step / self.order.per_epoch,
            values=values or {},
        )
        self.run.reporter(self.run.last)

    def _stopped(self, step: int, signal: int) -> Stopped:
        self._tell(Happened.STOPPED, step)
        where = f"step {step} of {self.steps} of phase {self.name}"
        return Stopped(f"stopped at {where}, saved in {self.run.folder.path}; go on with --resume auto", signal)

    def _not_finite(self, err: NotFinite, step: int) -> InputError:
        """Keep the batch with which the loss broke, and say which it was."""
        batch = err.batch
        named = {f"in.{name}": one for name, one in batch.inputs.items()}
        named |= {f"target.{name}": one for name, one in batch.target.items() if isinstance(one, torch.Tensor)}
        file = self.run.folder.path / f"bad-batch-{self.name}-{step:08d}.safetensors"
        with whole(file) as part:
            save_file(
                {name: one.detach().cpu().contiguous() for name, one in named.items()},
                part,
                {"ids": "\n".join(batch.ids)},
            )
        broken = [
            name
            for row, name in enumerate(batch.ids)
            if not all(bool(one[row].isfinite().all()) for one in batch.inputs.values() if one.is_floating_point())
        ]
        whose = (
            f"inputs of {_some(broken)} are not finite" if broken else f"of {_some(batch.ids)}, whose inputs are finite"
        )
        return InputError(
            f"the loss is not finite ({err}) at step {step} of phase {self.name}; its batch ({whose}) is saved as {file};"
            " mend the data (`zoo data check`), or try a lower optimizer.lr, clip=1 or precision=fp32"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _better(value: float, than: float, direction: str) -> bool:
    return value > than if direction == "max" else value < than
