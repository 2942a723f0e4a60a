"""The card of a run's model: from what, how, and on what it was trained, and how good it is."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from zoo import registry
from zoo.cards import PIPELINES, filled_card, licence_fields, render_card, sensors, without_fields
from zoo.checkpoints.folders import CARD, GOLDEN, read_folder, read_golden
from zoo.checkpoints.saved import CONFIG, Saved
from zoo.describe import describe
from zoo.errors import SpecError
from zoo.io.whole import whole
from zoo.spec import ModelSpec
from zoo.training.config import TrainConfig, Validation
from zoo.training.environment import made_from
from zoo.training.folder import RunFolder
from zoo.training.licences import TrainedOn

OURS = ("license", "license_name", "base_model", "base_model_relation")  # header fields of which none may be left over
INTERVAL = 0.95  # of a metric's interval, as `zoo.tasks.metrics.sums` makes it


@dataclass(frozen=True, kw_only=True, slots=True)
class Licensed:
    """Licences of a published run, SPDX.

    Attributes:
        model: of what is published; `None` = not chosen yet.
        base: of the weights that it began with; `None` where it began with random ones.
        data: what it and the runs before it were trained on.
    """

    model: str | None
    base: str | None
    data: tuple[TrainedOn, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Told:
    """All that a card is made of."""

    run: RunFolder
    repo: str | None
    config: TrainConfig
    environment: Mapping[str, Any]
    metrics: Mapping[str, Any]
    spec: ModelSpec
    saved: Saved
    licensed: Licensed


def describe_model(run: RunFolder) -> None:
    """Put into `model/` what `Model.save` cannot know: the run's card, what it was made of, and under which licence."""
    environment = run.read_environment()
    base = (environment.get("start") or {}).get("license")
    licensed = Licensed(model=base, base=base, data=TrainedOn.read(environment.get("data")))
    for name, text in ((CONFIG, described(run, licensed)), (CARD, card_of(run, None, licensed))):
        with whole(run.model / name) as part:
            part.write_text(text, encoding="utf-8")


def described(run: RunFolder, licensed: Licensed) -> str:
    """The `config.json` of a run's model, with what it was made of, and under which licence."""
    config = json.loads((run.model / CONFIG).read_text(encoding="utf-8"))
    config["license"] = config["variant"]["weights"]["license"] = licensed.model
    config["made_from"] = made_from(run.read_environment()) | {
        "data": [dataclasses.asdict(one) for one in licensed.data]
    }
    return json.dumps(config, indent=1, ensure_ascii=False) + "\n"


def card_of(run: RunFolder, repo: str | None, licensed: Licensed) -> str:
    """Header and facts are the run's; prose is that of `model/README.md`.

    Args:
        run: that has a `model/`.
        repo: `org/name`, from where it will be loaded; `None` = from the run.
        licensed: what the card states.
    """
    saved = read_folder(run.model)
    told = _Told(
        run=run,
        repo=repo,
        config=run.read_config(),
        environment=run.read_environment(),
        metrics=run.read_metrics(),
        spec=registry.find(saved.model)[0].spec,
        saved=saved,
        licensed=licensed,
    )
    new, written = render_card(told.spec, saved.variant), run.model / CARD
    text = written.read_text(encoding="utf-8") if written.is_file() else new
    try:
        card = _filled(text, told)
    except SpecError:  # a card without markers is not one of ours to keep
        card = _filled(new, told)
    title = repo.partition("/")[2] if repo else run.path.resolve().name
    return re.sub(r"(?m)^# .*$", lambda _: f"# {title}", card, count=1)


def _filled(text: str, told: _Told) -> str:
    header = _header(told)
    card = filled_card(without_fields(text, OURS), header, "\n\n".join(_facts(told)))
    return card.replace(f"model-index: {json.dumps(_index(told, []))}\n", "")  # nothing measured


def _header(told: _Told) -> dict[str, str]:
    spec, saved = told.spec, told.saved
    task = spec.task_of(saved.variant)
    fields: dict[str, Any] = {
        **licence_fields(told.licensed.model),
        "library_name": "zoo",
        "pipeline_tag": PIPELINES[task],
        "tags": list(dict.fromkeys(["zoo", "earth-observation", task.value, spec.name, *sensors(spec, saved.variant)])),
    }
    start = told.environment.get("start") or {}
    if found := re.match(r"hf://([\w.-]+/[\w.-]+)", str(start.get("name"))):
        fields |= {"base_model": found[1], "base_model_relation": "finetune"}
    metrics = [
        {
            "type": re.sub(r"\W+", "_", name.lower()).strip("_"),
            "name": name,
            "value": one["value"],
            **({"args": {"low": one["low"], "high": one["high"], "level": INTERVAL}} if one["low"] is not None else {}),
        }
        for name, one in _measured(told).items()
        if one["value"] is not None
    ]
    dataset, split, protocol = _measured_on(told)
    slug = re.sub(r"[^a-z0-9]+", "-", dataset.lower()).strip("-")
    result = {
        "task": {"type": PIPELINES[task], "name": task.value},
        "dataset": {"name": dataset, "type": slug, "split": split, "args": {"protocol": protocol}},
        "metrics": metrics,
    }
    fields["model-index"] = _index(told, [result] if metrics else [])  # never the authors' scores, of other weights
    return {key: json.dumps(value, ensure_ascii=False) for key, value in fields.items()}


def _index(told: _Told, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": told.run.path.resolve().name, "results": results}]


def _measured(told: _Told) -> dict[str, dict[str, float | None]]:
    """`{metric: {value, low, high}}` of the model: as evaluated at the end, or as measured while training."""
    metrics = told.metrics
    if metrics.get("evaluation"):
        found: dict[str, dict[str, float | None]] = metrics["evaluation"]["metrics"]
        return found
    row = metrics.get(metrics.get("model", "last")) or {"values": {}}
    return {name: {"value": value, "low": None, "high": None} for name, value in row["values"].items()}


def _measured_on(told: _Told) -> tuple[str, str, str]:
    """Name of the dataset, its split, and the protocol."""
    if evaluation := told.metrics.get("evaluation"):
        return evaluation["dataset"], evaluation["split"], evaluation["protocol"]
    held, data = told.config.validation or Validation(), told.config.data
    return held.dataset or data.dataset, held.split, held.protocol


def _facts(told: _Told) -> Iterator[str]:
    config, spec, saved = told.config, told.spec, told.saved
    start = told.environment.get("start")
    begun = f"from {start['name']}" if start else "from random weights"
    yield (
        f"{spec.name} ({spec.summary}), trained {begun} on {config.data.dataset}"
        + (f" by the recipe `{config.recipe}`" if config.recipe else "")
        + "."
    )
    plugin = registry.find(saved.model)[0].plugin.distribution
    home = f"hf://{told.repo}" if told.repo else f"{told.run.path.resolve().name}/{told.run.model.name}"
    yield f'```python\nimport zoo  # pip install lasig-zoo {plugin}\n\nmodel = zoo.load("{home}")\n```'
    yield "\n".join(_licence_table(told))
    if measured := _measured(told):
        dataset, split, protocol = _measured_on(told)
        yield f"Measured on {dataset}, {split} (`{protocol}`):\n\n" + "\n".join(_metric_table(measured))
    yield f"How it was trained:\n\n```yaml\n{_settings(config)}```"
    yield "\n".join(_environment_list(told.environment))
    yield from _golden(told.run)
    yield f"```text\n{describe(spec, dataclasses.replace(saved.variant, scores=()), plugin=plugin)}\n```"
    yield f"The method is its authors':\n\n```bibtex\n{spec.paper.bibtex.strip()}\n```"


def _licence_table(told: _Told) -> Iterator[str]:
    start, licensed = told.environment.get("start"), told.licensed
    yield "| licence of | | |"
    yield "|---|---|---|"
    yield f"| this model | | {licensed.model or 'not chosen yet'} |"
    if start:
        base = licensed.base or ("one's own" if start.get("own") else "not stated")
        revision = f" at {start['revision']}" if start.get("revision") else ""
        yield f"| weights it began with | {start['name']}{revision} | {base} |"
    for one in licensed.data:
        yield f"| training data | {one.name}: {one.source} | {one.license or 'not known'} |"


def _metric_table(measured: Mapping[str, Mapping[str, float | None]]) -> Iterator[str]:
    yield f"| | value | {INTERVAL:.0%} interval |"
    yield "|---|---|---|"
    for name, one in measured.items():
        interval = f"{one['low']:.4g} to {one['high']:.4g}" if one["low"] is not None else "not computed"
        yield f"| {name} | {'undefined' if one['value'] is None else format(one['value'], '.4g')} | {interval} |"


def _settings(config: TrainConfig) -> str:
    """The configuration as YAML without what it does not change, and without places on the user's machine."""
    from omegaconf import OmegaConf

    return str(OmegaConf.to_yaml(OmegaConf.create(_public(dataclasses.asdict(config)))))


def _public(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        shown = {name: _public(one, name) for name, one in value.items()}
        return {name: one for name, one in shown.items() if one not in (None, {}, [], "")}
    if isinstance(value, list | tuple):
        return [_public(one, key) for one in value]
    if isinstance(value, str) and not value.startswith("hf://"):
        told = key in ("folder", "start") or PurePath(value).is_absolute() or value[:1] in ("~", ".")
        return PurePath(value).name if told else value
    return value


def _environment_list(environment: Mapping[str, Any]) -> Iterator[str]:
    if not environment:
        return
    packages = {**environment["plugins"], **environment["packages"]}
    yield "Made with:\n"
    yield f"- zoo {environment['zoo']}, Python {environment['python']}, {environment['platform']}"
    yield f"- {', '.join(f'{name} {version}' for name, version in packages.items())}"
    yield f"- {environment['processes']} process(es) on {', '.join(environment['devices'])}"
    if git := environment.get("git"):
        yield f"- the user's own repository at {git['commit'][:12]}{', with changes' if git['dirty'] else ''}"


def _golden(run: RunFolder) -> Iterator[str]:
    golden = read_golden(run.model)
    if golden is None:
        return
    rows = [
        f"| {kind} | {name} | {' x '.join(map(str, tensor.shape))} | {float(tensor.double().mean()):.6g} |"
        for kind, tensors in zip(("input", "output"), golden, strict=True)
        for name, tensor in tensors.items()
    ]
    yield (
        f"`{GOLDEN}` holds an input and the network's answer to it, to check a copy of the model by:\n\n"
        "| | name | size | mean |\n|---|---|---|---|\n" + "\n".join(rows)
    )
