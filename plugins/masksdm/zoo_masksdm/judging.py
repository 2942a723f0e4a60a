"""How well the demo knows the virtual species: AUC beside baselines, and its response curves beside the truth."""

# N sites, F predictors, S species, K bins

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.inputs.preprocess import Preprocess
from zoo.model import Model
from zoo.tasks.metrics.ranks import auc_of_columns
from zoo_masksdm.world import NAMES, SPECIES, Drawn, draw

Numbers = NDArray[Any]

TRAIN, TEST = 1, 3  # seeds of the worlds
SITES = 4000
SHOWN = {
    "all eight": NAMES,
    "climate (bio_1, bio_12)": ("bio_1", "bio_12"),
    "terrain (Elevation, Slope, Aspect)": ("Elevation", "Slope", "Aspect"),
    "bio_1 alone": ("bio_1",),
}
BINS = 20  # of a response curve, with as many sites each


def table(model: Model) -> Iterator[str]:
    """Rows of the card's table: mean AUC by what is shown."""
    yield "| predictors shown | the demo | linear model of all, the rest at their mean | forest of all, likewise |"
    yield "|---|---|---|---|"
    for name, row in scores(model).items():
        yield f"| {name} | " + " | ".join(f"{one:.3f}" for one in row) + " |"


def scores(model: Model) -> dict[str, tuple[float, float, float]]:
    """By what is shown: mean AUC of the demo, of a logistic regression, and of a random forest.

    The baselines learn from as many sites of the training worlds as the test has, with all predictors; what is not shown is
    then filled with the mean, as in the paper's imputation. AUC 0.5 is chance.
    """
    train, test = draw(TRAIN, SITES), draw(TEST, SITES)
    fitted = [_linear(train), _forest(train)]
    found = {}
    for name, shown in SHOWN.items():
        keep = np.isin(NAMES, shown)
        filled = np.where(keep, test.table(), train.table().mean(axis=0))
        answers = [answer(model, test.table(), keep), *(one(filled) for one in fitted)]
        both = [float(auc_of_columns(one, test.presence).mean()) for one in answers]
        found[name] = (both[0], both[1], both[2])
    return found


def answer(model: Model, x: Numbers, shown: Numbers) -> Numbers:
    """(N, S) logits at sites (N, F) of which some predictors (F,) are shown."""
    known = torch.from_numpy(np.broadcast_to(shown, x.shape).copy())
    numbers = torch.from_numpy(x.astype(np.float32))
    prepared = Preprocess(model.variant.inputs[0])(numbers[:, :, None, None])[:, :, 0, 0]
    found: Numbers = model.forward({"predictors": prepared}, valid={"predictors": known}).logits.numpy()
    return found


def responses(model: Model) -> dict[tuple[str, str], tuple[Numbers, Numbers]]:
    """For each species and predictor of its niche: probability by the demo, and the truth, (K,) each.

    The predictor alone is shown, in bins of as many test sites each; the truth is the mean probability in the bin.
    """
    from scipy.special import expit

    test = draw(TEST, SITES)
    x, found = test.table(), {}
    for number, (species, niche) in enumerate(SPECIES.items()):
        for predictor in niche.likes:
            place = NAMES.index(predictor)
            order = np.argsort(x[:, place], kind="stable")
            bins = np.array_split(order, BINS)
            said = expit(answer(model, x, np.arange(len(NAMES)) == place)[:, number])
            means = [np.array([one[rows].mean() for rows in bins]) for one in (said, test.truth[:, number])]
            found[species, predictor] = (means[0], means[1])
    return found


def _linear(train: Drawn) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def fit(present: Numbers) -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression()).fit(train.table(), present)

    return _answering([fit(one) for one in train.presence.T])


def _forest(train: Drawn) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    def fit(present: Numbers) -> Any:
        forest = RandomForestClassifier(60, min_samples_leaf=10, random_state=0)
        return forest.fit(train.table(), present)

    return _answering([fit(one) for one in train.presence.T])


def _answering(models: Sequence[Any]) -> Any:
    return lambda x: np.stack([one.predict_proba(x)[:, 1] for one in models], axis=1)
