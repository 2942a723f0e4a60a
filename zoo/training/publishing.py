"""A run on the Hub: its model with a card that says what it was made of, how, and how good it is.

The licence of what is published is the user's to choose, within what the weights that it began with and its data ask
for (`zoo.training.licences`). What is not known is not published.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from zoo import registry
from zoo.cards import empty_sections
from zoo.checkpoints.folders import CARD
from zoo.checkpoints.saved import CONFIG
from zoo.errors import ConfigError
from zoo.hub.push import Pushed, push
from zoo.training.config import TrainConfig
from zoo.training.folder import RunFolder
from zoo.training.licences import TrainedOn, contradiction, spdx
from zoo.training.run_cards import Licensed, card_of, described

RANDOM = "random"  # `TrainConfig.start` of a run that began with no weights


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """What was sent, or would be.

    Attributes:
        pushed: files, and the commit unless it was a dry run.
        card: its text.
        doubts: what a person should look at before the card is public.
    """

    pushed: Pushed
    card: str
    doubts: tuple[str, ...]


def publish(
    run: RunFolder,
    repo: str,
    *,
    licence: str | None = None,
    data_licence: str | None = None,
    dry_run: bool = False,
    private: bool = False,
    message: str = "Publish with zoo push",
) -> Published:
    """Publish the model of a run with a card of its own; the run's folder stays as it is.

    Args:
        run: that has a `model/`.
        repo: `org/name`.
        licence: of what is published; `None` = that of the weights it began with.
        data_licence: of the training data, where their description does not say.
        dry_run: check everything, send nothing and open no connection.
        private: whether a repository that is created now is private.
        message: of the commit.

    Raises:
        ConfigError: the run has no model yet, or a licence is unknown or would be misstated.
        HubError: the Hub refuses or cannot be reached.
    """
    repo = repo.removeprefix("hf://")
    config = run.read_config()
    if not (run.model / CONFIG).is_file():
        raise ConfigError(
            f"{run.path} has no model yet, it is {run.summary().state}; let it end, or go on with it:"
            f" zoo train {config.model} {config.recipe or 'RECIPE'} --resume {run.path}"
        )
    licensed = licences_of(
        run, config, licence=licence, data_licence=data_licence, retry=_retried(run, repo, licence, dry_run=dry_run)
    )
    card = card_of(run, repo, licensed)
    with _staged(run, card, licensed) as folder:
        pushed = push(folder, repo, dry_run=dry_run, private=private, message=message)
    return Published(pushed=pushed, card=card, doubts=tuple(_doubts(run, card, licensed)))


def licences_of(
    run: RunFolder, config: TrainConfig, *, licence: str | None, data_licence: str | None, retry: str
) -> Licensed:
    """The licences that the card will state.

    Args:
        run: that is published.
        config: of the run.
        licence: asked for.
        data_licence: as the user says, of data whose description does not.
        retry: the command that a message completes.

    Raises:
        ConfigError: one is unknown, or they contradict each other; says what to type.
    """
    base = None if config.start == RANDOM else _base_licence(run, config)
    if licence is None and base is None:
        raise ConfigError(
            f"{run.path} began with random weights, and the licence of its own is yours to choose:"
            f" {retry} --license Apache-2.0"
        )
    asked = spdx(licence or base or "", "--license")
    if base is not None and (why := contradiction(asked, base)):
        raise ConfigError(f"{run.path} began with weights of another licence: {why}; try {retry} --license {base}")
    return Licensed(model=asked, base=base, data=_data_licences(run, config, data_licence, retry))


# ------------------------------------------------------------------------------------------------------------ licences


def _base_licence(run: RunFolder, config: TrainConfig) -> str | None:
    start = run.read_environment().get("start")
    if start is not None and start.get("own"):
        return None
    if start is None:
        raise ConfigError(
            f"{run.environment} does not say which weights the run began with, so that their licence is unknown;"
            f" train again with this zoo: zoo train {config.model} {config.recipe or 'RECIPE'}"
        )
    if start.get("license") is None:
        authors = registry.find(config.model)[0].spec.repository or "their repository"
        raise ConfigError(
            f"{run.path} began with {start.get('name')}, whose licence its authors do not state, so that nobody may publish"
            f" what was made of it; ask them ({authors}), or train from random weights: start=random"
        )
    return spdx(start["license"], f"the licence of {start.get('name')}")


def _retried(run: RunFolder, repo: str, licence: str | None, *, dry_run: bool) -> str:
    """The command that was typed, to be completed."""
    return (
        f"zoo push {run.path} {repo}" + (f" --license {licence}" if licence else "") + (" --dry-run" if dry_run else "")
    )


def _data_licences(run: RunFolder, config: TrainConfig, told: str | None, retry: str) -> tuple[TrainedOn, ...]:
    """The data of the run and of those before it, each with its licence; `told` is that of those that do not say."""
    data = TrainedOn.read(run.read_environment().get("data"))
    if not data:
        raise ConfigError(
            f"{run.environment} does not say what the run was trained on, so that its licence is unknown; train again"
            f" with this zoo: zoo train {config.model} {config.recipe or 'RECIPE'}"
        )
    unknown = [one for one in data if one.license is None]
    if unknown and told is None:
        raise ConfigError(
            f"the licence of the training data ({', '.join(one.name for one in unknown)}) is not known; see"
            f" {' and '.join(one.source if '://' in one.source else 'where they come from' for one in unknown)}"
            f" and say it: {retry} --data-license SPDX"
        )
    said = spdx(told, "--data-license") if told else None
    known = [
        replace(one, license=said if one.license is None else spdx(one.license, f"the licence of {one.name}"))
        for one in data
    ]
    if said and not unknown and said not in {one.license for one in known}:
        stated = " and ".join(f"{one.name} is under {one.license}" for one in known)
        raise ConfigError(f"--data-license is {said}, and {stated}; leave the option out")
    return tuple(known)


def _doubts(run: RunFolder, card: str, licensed: Licensed) -> Iterator[str]:
    for title in empty_sections(card):
        yield f"the card's section {title!r} is empty; write it in {run.model / CARD} and push again"
    for one in licensed.data:
        if why := contradiction(licensed.model or "", one.license or ""):
            yield f"the model was trained on {one.name}: {why}; make sure that the data's terms allow it"
    if not run.read_metrics():
        yield "the card has no measurements: the run has no metrics.json"


# ------------------------------------------------------------------------------------------------------------- staging


@contextlib.contextmanager
def _staged(run: RunFolder, card: str, licensed: Licensed) -> Iterator[Path]:
    """A folder with the model's files, the card, and the licences that hold; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix=".push-", dir=run.path))
    try:
        for file in run.model.glob("*.safetensors"):
            try:
                os.link(file, folder / file.name)
            except OSError:  # a file system without links
                shutil.copyfile(file, folder / file.name)
        (folder / CONFIG).write_text(described(run, licensed), encoding="utf-8")
        (folder / CARD).write_text(card, encoding="utf-8")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
