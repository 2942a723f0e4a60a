"""One phase of a run: what is trained in it, its steps, and what is logged, measured, kept and saved between them."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from zoo.datasets.loading import loader
from zoo.datasets.sample import Batch, Reader
from zoo.datasets.seeds import generator_of, seed_of
from zoo.errors import OutputError, ZooError, ZooWarning
from zoo.io.whole import whole
from zoo.model import Model
from zoo.tasks.objective import Moment
from zoo.training import checkpoints
from zoo.training.adapters import merged, with_adapters
from zoo.training.averages import average_of
from zoo.training.bad_batch import bad_batch
from zoo.training.checkpoints import Held, State
from zoo.training.config import Phase, TrainConfig
from zoo.training.events import Happened, TrainEvent
from zoo.training.folder import RunFolder
from zoo.training.interruption import Interruption
from zoo.training.judging import flattened, judged
from zoo.training.learner import Learner
from zoo.training.measuring import Validating, measured
from zoo.training.optimisers import averaged, optimiser, set_rates, settle
from zoo.training.order import Order
from zoo.training.parameters import chosen, groups, set_modes
from zoo.training.reporting import Reporter
from zoo.training.schedules import Rates
from zoo.training.starting import objective_of, reader_of, same_samples
from zoo.training.steps import NotFinite, Stepper, seed_step

logger = logging.getLogger(__name__)


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
    reader = run.reader if phase.data is None else reader_of(run.config, run.model.variant, phase)
    state = replace(state, samples=same_samples(reader, state.samples))
    objective = objective_of(run.model, phase)
    torch.manual_seed(seed)  # of what is new: adapters, heads of the objective, networks around the model's
    network = objective.network(run.model)
    adapters = with_adapters(network, phase.lora) if phase.lora else None
    objective.begin(network, reader, checkpoints.shapes_of(checkpoint) if checkpoint else None)
    learner = Learner(network, objective).to(accelerator.device)
    order = Order(
        num=len(reader.ids),
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
        steps = _Steps(
            run=run,
            name=name,
            phase=phase,
            seed=seed,
            reader=reader,
            order=order,
            held=held,
            wrapped=wrapped,
            number=state.phase,
        )
        steps.take(state)
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
    reader: Reader
    order: Order
    held: Held
    wrapped: nn.Module
    number: int
    began: float = 0.0  # when the first step that is not logged yet began

    def __post_init__(self) -> None:
        per_epoch, epochs = self.order.per_epoch, self.phase.epochs
        self.unit = 1 if epochs is None else per_epoch  # steps in what the phase is counted in
        self.steps = self.phase.steps if self.phase.steps is not None else max(1, round((epochs or 0) * per_epoch))
        self.rates = Rates(schedule=self.phase.schedule, steps=self.steps, unit=self.unit, per_epoch=per_epoch)
        self.learner: Learner = self.held.learner  # type: ignore[assignment]
        self.best = self.run.folder.checkpoints / f"best-{self.number:02d}.safetensors"

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
        # They are added over the processes: one of them has what all had.
        main = run.accelerator.is_main_process
        stepper.totals |= {name: one if main else 0.0 for name, one in state.totals.items()}
        set_modes(self.learner, self.phase)
        batches = self._batches(state.step)
        self.began = time.perf_counter()
        while state.step < self.steps and not self._exhausted(state):
            rate = set_rates(self.held.optimizer, self.rates, state.step, state.factor)
            asked = self._step(stepper, batches, state.step)
            state = replace(state, step=state.step + 1, unlogged=state.unlogged + 1)
            last = state.step == self.steps
            if last or state.step % config.log_every == 0:
                state = self._log(stepper, state, rate)
            if run.validating and (last or self._due(state.step, run.validating.told.every)):
                state = self._measure(state)
            if asked or last or self._exhausted(state) or self._due(state.step, config.save_every):
                state = replace(state, totals=stepper.all_totals())
                checkpoints.save(run.folder.checkpoints, state, self.held, keep=config.keep)
                self._tell(Happened.SAVED, state.step)
            if asked:
                raise self._stopped(state.step, asked)
        if state.step < self.steps:
            assert self.phase.best is not None
            logger.warning(
                "phase %s ended at step %d of %d: %s was no better for %d measurements (best.patience); what is kept is its best, %.4g",
                self.name, state.step, self.steps, self.phase.best.metric, state.stale, state.best or math.nan,
            )  # fmt: skip
        self._settle(state)

    def _step(self, stepper: Stepper, batches: Iterator[Batch], step: int) -> int:
        rank = self.run.accelerator.process_index
        seed_step(self.run.accelerator, self.seed, step)
        try:
            asked = stepper.take(self.order.parts(step), batches, self._moment(step))
        except NotFinite as err:
            raise bad_batch(err, self.run.folder.path, f"step {step} of phase {self.name}", rank) from err
        if self.held.average is not None and not stepper.skipped:
            self.held.average.update_parameters(self.learner.network)  # type: ignore[operator]
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
                self.reader,
                self.order.keys(first, self.steps),
                seed=self.seed,
                workers=self.run.config.workers,
                training=True,
                pin=self.run.accelerator.device.type == "cuda",
            )
        )

    def _settle(self, state: State) -> None:
        """Leave in the network the weights that are meant: the best that were measured, or the average.

        Raises:
            OutputError: the best were measured, and their file is gone.
        """
        settle(self.held.optimizer)
        self._agree()
        self.run.accelerator.wait_for_everyone()  # the best may be being written
        if self.phase.best is not None and state.best is not None:
            if not self.best.is_file():
                raise OutputError(
                    f"the best weights of phase {self.name} were in {self.best}, which is gone; start a new run"
                )
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

    def _due(self, step: int, every: float | None) -> bool:
        """Whether a multiple of `every` has been passed with this step; `None` = an epoch, or only the end."""
        if every is None:
            return self.phase.epochs is not None and step % self.order.per_epoch == 0
        length = max(every * self.unit, 1.0)
        return math.floor(step / length) > math.floor((step - 1) / length)

    def _exhausted(self, state: State) -> bool:
        """Whether the metric has not improved for as long as patience lasts."""
        best = self.phase.best
        return best is not None and best.patience is not None and state.stale >= best.patience

    def _log(self, stepper: Stepper, state: State, rate: float) -> State:
        now, taken = time.perf_counter(), state.unlogged
        values = {name: total / taken for name, total in stepper.all_totals().items()}
        stepper.totals.clear()
        state = replace(state, unlogged=0)
        if self.phase.schedule.name == "plateau" and self.phase.schedule.on == "loss":
            state = flattened(state, values["loss"], "min", self.phase.schedule)
        values |= {"lr": rate, "samples_per_s": taken * self.phase.batch / max(now - self.began, 1e-9)}
        if stepper.norm is not None:
            values["grad_norm"] = float(stepper.norm)
        self.began = now
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
            state, better = judged(found, state, self.phase)
            self._doubt_best(found, state)
            if better:
                self._keep_best(network)
        set_modes(self.learner, self.phase)
        run.figures |= {f"val_{name}" if name == "loss" else name: value for name, value in found.items()}
        self._tell(Happened.EVALUATED, state.step, found)
        self.began += time.perf_counter() - paused  # measuring is not training
        return state

    def _doubt_best(self, found: Mapping[str, float], state: State) -> None:
        """Warn where what chooses the best weights cannot be measured."""
        best = self.phase.best
        if best is None or state.best is not None or not math.isnan(found.get(best.metric, math.nan)):
            return
        if self.run.accelerator.is_main_process:
            warnings.warn(
                f"{best.metric} cannot be measured on the validation data (do they hold each class, presences and absences?):"
                " unless that changes, the last weights are kept, not the best",
                ZooWarning,
                stacklevel=2,
            )

    def _keep_best(self, network: nn.Module) -> None:
        """Save weights as the best so far."""
        if self.run.accelerator.is_main_process:
            kept = {key: one.detach().cpu().clone() for key, one in network.state_dict().items()}
            with whole(self.best) as part:
                save_file(kept, part)

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
