"""The training loop: one for all models and tasks, on one process or many.

A run is a folder. Its phases follow one another; each builds its objective, chooses what is trained, and takes steps
(`zoo.training.phase`). All that a step does is a function of the configuration and the step's number, so that a run that
was stopped goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.checkpoints.folders import read_folder
from zoo.model import Model, Origin
from zoo.processes import quiet_where_another_failed, wait_for_all
from zoo.training import checkpoints
from zoo.training.checkpoints import State
from zoo.training.config import TrainConfig
from zoo.training.events import Happened
from zoo.training.interruption import Interruption
from zoo.training.measuring import evaluated
from zoo.training.phase import Run, run_phase
from zoo.training.place import place
from zoo.training.reporting import Reporter
from zoo.training.run_cards import describe_model
from zoo.training.starting import accelerator_of, begin, data_of

if TYPE_CHECKING:
    from zoo.evaluation.result import Evaluation


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What a run left.

    Attributes:
        folder: of the run; `folder / "model"` is what `zoo.load` takes.
        figures: `loss` of training, and the scores of the weights that are kept.
        model: trained, in memory.
    """

    folder: Path
    figures: Mapping[str, float]
    model: Model


def train(config: TrainConfig, *, out: str | Path | None = None, resume: str | Path | None = None) -> Trained:
    """Train a model.

    Args:
        config: see `zoo.recipe`.
        out: folder of the run, new or empty; `None` = the next `runs/<model>-<recipe>-001`.
        resume: `"auto"` = go on with `out`, or with the latest run of this model and recipe, where one is unfinished, and
            begin where none is; or the folder of a run.

    Raises:
        ConfigError: a setting is wrong, or a run to resume had others.
        InputError: the data do not fit, or the loss is not finite (the batch is then saved, and named).
        OutputError: the run cannot be written.
        Stopped: by SIGTERM or Ctrl-C, after a checkpoint.
    """
    accelerator = accelerator_of(config)
    reader, validating, variant = data_of(config)
    model = begin(config, variant, accelerator.device)
    folder, checkpoint = place(config, accelerator, out, resume)
    state = checkpoints.state_of(checkpoint) if checkpoint else State()
    told = [line for one in (reader, validating and validating.reader) for line in getattr(one, "told", ())]
    if accelerator.is_main_process:
        folder.write_config(config)
        folder.write_environment(config, model, processes=accelerator.num_processes, told=told)
        if checkpoint:
            folder.truncate_after([*config.phases][state.phase], state.step)
    with ExitStack() as opened:
        run = Run(
            config=config,
            model=model,
            reader=reader,
            validating=validating,
            accelerator=accelerator,
            folder=folder,
            reporter=opened.enter_context(Reporter(folder, accelerator, config.trackers)),
            interruption=opened.enter_context(Interruption()),
        )
        run.reporter.say(told)
        run.tell(Happened.BEGAN)
        with quiet_where_another_failed(accelerator):
            for number, name in enumerate(config.phases):
                if number == state.phase:
                    run_phase(run, name, state, checkpoint)
                elif number > state.phase:
                    run_phase(run, name, State(phase=number), None)
            judged = _judged(run)
        model.module.eval()
        trained = None  # only the first process is sure to see the folder
        if accelerator.is_main_process:
            trained = read_folder(model.save(folder.model)).sha256
            folder.write_metrics(evaluation=judged)
            describe_model(folder)
        run.tell(Happened.ENDED)
        wait_for_all(accelerator)
    figures = {**run.figures, **(judged.values if judged else {})}
    called = folder.path.resolve().name
    origin = Origin(name=f"{model.name} (local)", revision=None, sha256=trained, called=called) if trained else None
    return Trained(folder=folder.path, figures=figures, model=replace(model, origin=origin))


def _judged(run: Run) -> Evaluation | None:
    """Scores, with intervals, of the weights that are kept; `None` where no metric was asked for."""
    held = run.validating
    if held is None or held.told.protocol == "loss":
        return None
    return evaluated(held, run.model, run.config, bootstrap=held.told.bootstrap)
