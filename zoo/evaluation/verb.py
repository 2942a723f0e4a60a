"""`zoo.evaluate`: a model, by name or loaded, on a dataset by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zoo.datasets.opening import open_dataset
from zoo.datasets.sample import Reader
from zoo.datasets.shown import shown
from zoo.errors import ConfigError
from zoo.evaluation.measure import measure
from zoo.evaluation.protocols import Judging
from zoo.evaluation.result import Evaluation
from zoo.evaluation.run_data import as_trained, doubt_training_data
from zoo.evaluation.spatial import measure_folds
from zoo.model import Model, load
from zoo.processes import processes
from zoo.progress import progress

NOTHING: Mapping[str, Any] = MappingProxyType({})


def evaluate(
    model: Model | str,
    dataset: str | Reader,
    folder: str | Path | None = None,
    *,
    split: str = "test",
    protocol: str = "head",
    gallery: str | Reader = "train",
    bootstrap: int = 1000,
    folds: int | None = None,
    block_km: float | None = None,
    limit: int | None = None,
    batch_size: int = 32,
    workers: int = 0,
    precision: str = "fp32",
    options: Mapping[str, Any] = NOTHING,
    gallery_options: Mapping[str, Any] = NOTHING,
    metric_options: Mapping[str, Any] = NOTHING,
    predictors: Sequence[str] | None = None,
    judging: Judging | None = None,
    device: str | None = None,
    offline: bool | None = None,
) -> Evaluation:
    """How good a model is on labelled data.

    Args:
        model: as loaded, or what `zoo.load` takes; also the folder of a training run.
        dataset: a name of `zoo data`, or a reader of your own.
        folder: where the dataset lies.
        split: which part of it is asked for.
        protocol: `head` (the model's own answers), `knn`, `probe` (embeddings, labels of images), `frozen`
            (embeddings of patches, labels of pixels).
        gallery: the split that embeddings are compared with or that a probe is fitted on, or a reader.
        bootstrap: replicates of the 95 % intervals; 0 = none.
        folds: also scores in so many spatial folds, of blocks of `block_km`.
        block_km: side of a block in kilometres.
        limit: most samples, evenly spread; `None` = all.
        batch_size: samples per forward pass.
        workers: processes that read.
        precision: `fp32`, or `bf16` (autocast).
        options: of the dataset's reader; those that are not said are a run's own, where it was trained on `sites`.
        gallery_options: what of them is otherwise for the gallery; `folder` among them.
        metric_options: keywords of the task's metric.
        predictors: names of variables, of groups of them, or of inputs that the model is told of; all others count as
            missing. `None` = all.
        judging: settings of the protocols of embeddings.
        device: see `zoo.load`, where the model is given by name.
        offline: see `zoo.load`.

    Raises:
        UnknownModel: no plugin has the model.
        InputError: the data do not fit the model.
        ConfigError: an option is wrong.
    """
    _check_folds(folds, block_km, limit)
    if not isinstance(model, Model):
        options = {**as_trained(Path(model), dataset, folder, options), **options}
        doubt_training_data(Path(model), dataset, folder, split, options)
        model = load(model, device=device, offline=offline)
    reader, named = _opened(model, dataset, folder, split, options)
    if predictors is not None:
        reader = shown(reader, model.variant, predictors)
    known: Reader | None = None
    if protocol != "head":
        theirs = {**options, **gallery_options}
        source = theirs.pop("folder", folder)
        known = _opened(model, dataset, source, gallery, theirs)[0] if isinstance(gallery, str) else gallery
    by_folds: dict[str, Any] = {} if folds is None else {"folds": folds, "block_km": block_km}
    total = sum(min(len(one.ids), limit or len(one.ids)) for one in (reader, known) if one is not None)
    total *= 2 if by_folds else 1  # of all samples, and once more by fold
    with progress(-(-total // processes().num_processes), f"{model.name} on {named or 'data'}") as advance:
        found = (measure_folds if by_folds else measure)(
            model,
            reader,
            protocol=protocol,
            gallery=known,
            batch_size=batch_size,
            workers=workers,
            limit=limit,
            bootstrap=bootstrap,
            precision=precision,
            metric_options=metric_options,
            judging=judging,
            dataset=named,
            split=split if named else "",
            advance=advance,
            **by_folds,
        )
    read: dict[str, Any] = {f"data.{name}": value for name, value in options.items()}
    read |= {} if predictors is None else {"predictors": ",".join(predictors)}
    if known is not None:
        read |= {f"gallery.{name}": value for name, value in gallery_options.items() if name != "folder"}
        read |= {"gallery": gallery} if isinstance(gallery, str) else {}
    told = {**found.provenance.options, **{name: _plain(value) for name, value in read.items()}}
    return replace(found, provenance=replace(found.provenance, options=told))


def _check_folds(folds: int | None, block_km: float | None, limit: int | None) -> None:
    if (folds is None) != (block_km is None):
        raise ConfigError("spatial folds need their number and the side of a block: --folds 5 --block-km 100")
    if folds is not None and limit is not None:
        raise ConfigError("folds are of all samples; leave --limit out")


def _plain(value: Any) -> str:
    """An option in words; of a path its last part alone: records hold no folder of this machine."""
    if isinstance(value, Mapping):
        return str({name: _plain(one) for name, one in value.items()})
    text = str(value)
    return Path(text).name if isinstance(value, str | Path) and "/" in text else text


def _opened(
    model: Model, dataset: str | Reader, folder: str | Path | None, split: str, options: Mapping[str, Any]
) -> tuple[Reader, str]:
    """The reader, and the name of its dataset."""
    if not isinstance(dataset, str):
        return dataset, ""
    return open_dataset(dataset, folder, split=split, options=options, variant=model.variant), dataset
