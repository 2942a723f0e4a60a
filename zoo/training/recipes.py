"""Recipes: YAML that a plugin ships, with `key=value` on top, as a `TrainConfig`.

A recipe has the fields of `TrainConfig`. Those of `Phase` may stand beside them: they hold for all phases, and a recipe
without `phases` has one, called `train`. OmegaConf merges and checks; beyond this file there are only dataclasses.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.errors import ConfigError
from zoo.training.config import Phase, TrainConfig

FOLDER = "recipes"
ONLY = "train"  # name of the phase of a recipe that has one
ARGUMENTS = ("out", "resume")  # of `zoo.train`
_RUN = {item.name for item in dataclasses.fields(TrainConfig)}
_PHASE = {item.name for item in dataclasses.fields(Phase)} - _RUN  # `data` beside the phases is the run's


def recipes(model: str) -> dict[str, Path]:
    """Recipes that the plugin of a model ships, by name.

    Raises:
        UnknownModel: no plugin has the model.
    """
    entry, _ = registry.find(model)
    home = Path(entry.plugin.module.__file__ or "")
    folder = home.parent / FOLDER if home.name == "__init__.py" else None  # a plugin that is one file ships no recipes
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))} if folder else {}


def recipe(model: str, name: str | Path, *overrides: str) -> TrainConfig:
    """A recipe of a model with some settings changed.

    Args:
        model: what is trained, where the recipe does not say another variant: `smarties`, `smarties@vit-l`.
        name: of a recipe that the plugin ships (`zoo recipes MODEL`), or a YAML file of your own.
        overrides: `key=value`, with dots: `epochs=3`, `optimizer.lr=1e-4`, `data.folder=chips`, `phases.joint.batch=8`.

    Raises:
        ConfigError: no such recipe, a recipe of another model, an unknown key, or a value of the wrong type.
    """
    from omegaconf import OmegaConf

    entry, variant = registry.find(model)
    file = _file(model, name)
    written = _mapping(file)
    told = written.get("model")
    if told is not None and registry.find(str(told))[0].spec.name != entry.spec.name:
        raise ConfigError(f"{file.name} is a recipe of {told}, and {entry.spec.name} was asked for; see `zoo recipes`")
    if told is None or "@" in model:
        written["model"] = f"{entry.spec.name}@{variant.tag}"
    written["recipe"] = file.stem
    changes = _changes(overrides)
    _check_effect(written, changes)
    merged = OmegaConf.merge(OmegaConf.create(written), changes)
    return resolve(OmegaConf.to_container(merged))


def resolve(plain: Any) -> TrainConfig:
    """The configuration that a mapping, as YAML has it, says.

    Raises:
        ConfigError: an unknown key (with the nearest), a value of the wrong type, or one that is missing.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not isinstance(plain, Mapping):
        raise ConfigError(f"a recipe is a mapping of settings, found a {type(plain).__name__}")
    _refuse_interpolation(plain)
    given = dict(plain)
    shared = {key: given.pop(key) for key in [*given] if key in _PHASE}
    for key in given:
        if key not in _RUN:
            raise ConfigError(_unknown(str(key), _RUN | _PHASE))
    phases = given.pop("phases", None) or {ONLY: {}}
    if not isinstance(phases, Mapping) or not all(isinstance(one or {}, Mapping) for one in phases.values()):
        raise ConfigError(
            f"phases is {phases!r}; expected settings by the phase's name: phases: {{joint: {{epochs: 3}}}}"
        )
    try:
        base = OmegaConf.merge(OmegaConf.structured(Phase), shared)
        whole = {name: _merged(base, one or {}, f"phases.{name}") for name, one in phases.items()}
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TrainConfig), given))
        made = {name: OmegaConf.to_object(one) for name, one in whole.items()}
    except OmegaConfBaseException as err:
        raise ConfigError(_words(err)) from err
    return checked(dataclasses.replace(config, phases=made))


def _merged(base: Any, one: Any, where: str) -> Any:
    """The settings of a phase; what is wrong with them is told with the phase's name."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.merge(base, one)
    except OmegaConfBaseException as err:
        raise ConfigError(f"{where}: {_words(err)}") from err


def _refuse_interpolation(value: Any) -> None:
    """A recipe is data: it must not read the environment, from where it would go into cards."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            _refuse_interpolation(key)
            _refuse_interpolation(one)
    elif isinstance(value, list | tuple):
        for one in value:
            _refuse_interpolation(one)
    elif isinstance(value, str) and "${" in value:
        raise ConfigError(f"{value!r} refers to something outside the recipe; write the value itself")


def checked(config: TrainConfig) -> TrainConfig:
    """The configuration itself, if its numbers can be.

    Raises:
        ConfigError: a length is missing or told twice, or a number is out of range.
    """
    _at_least(
        "",
        (("log_every", config.log_every, 1), ("keep", config.keep, 1), ("workers", config.workers, 0)),
        (("save_every", config.save_every), ("validation.every", config.validation and config.validation.every)),
    )
    for name, phase in config.phases.items():
        if (phase.epochs is None) == (phase.steps is None):
            found = "neither" if phase.epochs is None else "both"
            raise ConfigError(f"phase {name!r} says {found} of epochs and steps; say one: epochs=10")
        _check_numbers(f"phase {name!r}: ", phase)
        if phase.schedule.name == "plateau" and phase.schedule.on == "best" and phase.best is None:
            raise ConfigError(f"phase {name!r}: a plateau needs a metric; say best.metric=loss, or schedule.on=loss")
        if phase.best is not None and config.validation is None:
            raise ConfigError("best.metric is chosen, and nothing is measured; say validation.split=val")
    return config


def _check_numbers(where: str, phase: Phase) -> None:
    optimizer, schedule, best = phase.optimizer, phase.schedule, phase.best
    _at_least(
        where,
        (
            ("steps", phase.steps, 0),
            ("batch", phase.batch, 1),
            ("micro_batch", phase.micro_batch, 1),
            ("optimizer.weight_decay", optimizer.weight_decay, 0),
            ("optimizer.momentum", optimizer.momentum, 0),
            ("optimizer.warmup", optimizer.warmup, 0),
            ("optimizer.lr_for", optimizer.lr_for, 1),
            ("schedule.warmup", schedule.warmup, 0),
            ("schedule.patience", schedule.patience, 0),
            ("best.patience", best and best.patience, 1),
            ("lora.rank", phase.lora and phase.lora.rank, 1),
        ),
        (
            ("epochs", phase.epochs),
            ("optimizer.lr", optimizer.lr),
            ("schedule.interval", schedule.interval),
            ("layer_decay", phase.layer_decay),
            ("clip", phase.clip),
        ),
    )
    shares = {"optimizer.betas": optimizer.betas, "ema.decay": (phase.ema.decay,) if phase.ema else ()}
    for what, values in shares.items():
        if not all(0 <= one < 1 for one in values):
            told = values[0] if len(values) == 1 else [*values]
            raise ConfigError(f"{where}{what} is {told}; expected from 0 to below 1")


def _at_least(where: str, bounded: Sequence[tuple[str, Any, float]], positive: Sequence[tuple[str, Any]]) -> None:
    """Raise for a number below its least, or that is not above 0; `None` = not said."""
    for what, value, least in bounded:
        if value is not None and value < least:
            raise ConfigError(f"{where}{what} is {value}; expected at least {least}")
    for what, value in positive:
        if value is not None and not value > 0:
            raise ConfigError(f"{where}{what} is {value}; expected more than 0")


def written_out(config: TrainConfig) -> str:
    """The configuration as YAML: what `--print-config` shows, and what `resolve` reads."""
    from omegaconf import OmegaConf

    return str(OmegaConf.to_yaml(OmegaConf.create(dataclasses.asdict(config))))


def differences(before: TrainConfig, after: TrainConfig) -> list[str]:
    """What differs, a line each: `optimizer.lr: 0.001, was 0.0001`."""
    one, other = (_flat(dataclasses.asdict(config)) for config in (before, after))
    return [
        f"{key}: {other.get(key, 'absent')}, was {one.get(key, 'absent')}"
        for key in dict.fromkeys([*one, *other])
        if one.get(key) != other.get(key)
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {prefix: [*value] if isinstance(value, tuple) else value}
    found: dict[str, Any] = {}
    for key, one in value.items():
        found |= _flat(one, f"{prefix}.{key}" if prefix else str(key))
    return found


def _file(model: str, name: str | Path) -> Path:
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise ConfigError(f"found no recipe {path}; name a file, or one of `zoo recipes {model}`")
        return path
    known = recipes(model)
    if str(name) not in known:
        near = difflib.get_close_matches(str(name), known, n=1)
        raise ConfigError(
            f"{model} has no recipe {str(name)!r}"
            + (f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(known) or 'none'}")
            + " (a recipe of your own is a .yaml file)"
        )
    return known[str(name)]


def _mapping(file: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf
    from yaml import YAMLError

    try:
        found = OmegaConf.to_container(OmegaConf.load(file))
    except (OSError, YAMLError) as err:
        raise ConfigError(f"cannot read the recipe {file}: {err}") from err
    if not isinstance(found, dict):
        raise ConfigError(f"{file} is a {type(found).__name__}; a recipe is a mapping of settings")
    return {str(key): value for key, value in found.items()}


def _changes(overrides: Sequence[str]) -> Any:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    for one in overrides:
        if not re.match(r"[A-Za-z_][\w.\-]*=", one):
            raise ConfigError(f"{one!r} is no setting; expected key=value, such as optimizer.lr=1e-4")
    try:
        return OmegaConf.from_dotlist([*overrides])
    except (OmegaConfBaseException, YAMLError) as err:
        raise ConfigError(f"cannot read {' '.join(overrides)}: {' '.join(str(err).split())}") from err


def _check_effect(written: Mapping[str, Any], changes: Any) -> None:
    """Raise for settings of phases that the recipe has not, and for those that every phase has of its own."""
    phases = written.get("phases") or {ONLY: {}}
    for name in changes.get("phases") or ():
        if name not in phases:
            near = difflib.get_close_matches(str(name), phases, n=1)
            told = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(phases)}"
            raise ConfigError(f"the recipe has no phase {name!r}; {told}")
    own = [set(_flat(one or {})) for one in phases.values()]
    for key in _flat({key: value for key, value in changes.items() if key in _PHASE}):
        if all(key in one for one in own):
            names = ", ".join(f"phases.{name}.{key}" for name in phases)
            raise ConfigError(f"{key} would have no effect: each phase says its own; change {names}")


def _unknown(key: str, known: set[str]) -> str:
    if key in ARGUMENTS:
        return f"{key} is no setting of a recipe; say zoo.train(recipe, {key}=...), on the command line --{key}"
    near = difflib.get_close_matches(key, known, n=1)
    return f"unknown setting {key!r}" + (
        f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(known))}"
    )


def _words(err: Exception) -> str:
    """The first line of what OmegaConf says, and where."""
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    where = next((line.partition(":")[2].strip() for line in lines if line.startswith("full_key:")), "")
    return f"{lines[0]}" + (f" (setting {where})" if where else "")
