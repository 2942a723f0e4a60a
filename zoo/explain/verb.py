"""`Model.explain`: which of the four questions is asked, by what is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.datasets.catalogue import SITES
from zoo.datasets.opening import open_dataset
from zoo.datasets.sample import Reader
from zoo.errors import ConfigError, InputError
from zoo.explain.groups import Told, groups_of
from zoo.explain.local import explain_places
from zoo.explain.method import Method
from zoo.explain.question import Question
from zoo.explain.result import PICTURES
from zoo.io.sources import check_kept
from zoo.io.whole import check_extension, check_writable
from zoo.model import Model
from zoo.options import Options
from zoo.spec import Task

OF_PLACES = ("covariates", "sampling", "grid")  # options that labelled sites have in their reader's


def explain(
    model: Model,
    source: Any,
    out: Path | None,
    options: Options,
    *,
    labels: str | Reader | None,
    split: str,
    reader_options: Mapping[str, Any],
    groups: Told | None,
    method: Method,
    plot: Path | None,
    curves: bool,
    predictors: Sequence[str] | None,
) -> Any:
    """See `Model.explain`."""
    if model.task is not Task.SDM:
        raise ConfigError(f"{model.name}: `explain` does not know the task {model.task.value!r} yet")
    if options.top is not None:
        raise ConfigError("top is of `predict`; an explanation is of the species that are named: leave it out")
    for path in (out, plot):
        if path is not None:
            check_writable(path)
        check_kept([source, options.covariates, options.grid, reader_options], path)
    if plot is not None:
        check_extension(plot, PICTURES, "a plot")
    if curves:
        _check_curves(labels, reader_options, groups, method)
        from zoo.explain.curves import explain_curves

        return explain_curves(model, source, out, options, predictors=predictors, seed=method.seed, plot=plot)
    if predictors is not None:
        raise ConfigError("predictors are those of response curves; add --curves, or name groups: --group NAME=A,B")
    players = groups_of(model, groups, exact=method.is_exact)
    question = Question(groups=players, method=method, options=options, plot=plot)
    if labels is None:
        if reader_options:
            raise ConfigError(
                f"{', '.join(reader_options)} are options of labelled sites; expected --labels with them, to explain the AUC"
            )
        return explain_places(model, source, out, question)
    if told := [name for name in OF_PLACES if getattr(options, name) is not None]:
        raise ConfigError(
            f"{told[0]} is of places; with labels give the options of the dataset, such as covariates=rasters/ behind --labels"
            " (in Python reader_options)"
        )
    from zoo.explain.scores import explain_scores

    if isinstance(labels, str):
        labels = _opened(model, labels, source, split=split, given=reader_options, species=options.species)
    return explain_scores(model, labels, out, question)


def _check_curves(labels: Any, reader_options: Mapping[str, Any], groups: Told | None, method: Method) -> None:
    """Raise where something is asked that response curves do not have."""
    if groups is not None:
        raise ConfigError("a response curve is of one predictor, not of a group; say which with --predictors A,B")
    if labels is not None or reader_options:
        raise ConfigError("response curves need sites, not what was found there; leave --labels and its options out")
    if method != Method(seed=method.seed):
        raise ConfigError("response curves draw sites alone, by --seed; leave --method and --rounds out")


def _opened(
    model: Model, name: str, source: Any, *, split: str, given: Mapping[str, Any], species: tuple[str, ...] | None
) -> Reader:
    """The labelled sites that lie at `source`, a path; `None` for a dataset that needs none."""
    if source is not None and not isinstance(source, str | Path):
        raise InputError(
            f"found a {type(source).__name__}, expected the table or folder of the dataset {name!r}; or give a reader as"
            " `labels`"
        )
    told = dict(given)
    if name == SITES and species is not None:
        told.setdefault("species", list(species))  # the table need not tell of the others
    return open_dataset(name, source, split=split, options=told, variant=model.variant)
