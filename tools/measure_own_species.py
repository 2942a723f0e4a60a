"""What the recipe `own` reaches on virtual species that the weights have not seen: the table of docs/own_species.md.

    python tools/measure_own_species.py [--species 4]

Each species lives in a landscape of its own of the synthetic world. Of the cells where it is, 200 are found; what is trained on
them, beside 2,000 points at random, is asked of 3,000 cells drawn at random, whose truth is known. All numbers are ours.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from zoo_masksdm.world import Niche

import zoo
from zoo.errors import ZooWarning
from zoo.samples.catalogue import VIEWS
from zoo.samples.predictors import predictor_layers, predictors
from zoo.samples.scenes import write
from zoo.samples.world import Frame, build_world

SIDE, FINDS, POINTS, PLACES = 256, 200, 2000, 3000  # cells of a landscape (23 km), finds, background, test
NAME = "Ignota ficta"
NICHES = (
    Niche(0.9, {"bio_1": (5.0, 1.2), "Slope": (12.0, 8.0)}),
    Niche(0.9, {"bio_12": (1050.0, 120.0), "Cover_tree_layer": (80.0, 40.0)}),
    Niche(0.8, {"bio_1": (7.5, 1.5), "bio_12": (900.0, 150.0)}),
    Niche(0.9, {"Elevation": (700.0, 200.0), "Slope": (25.0, 12.0)}),
)
USED = ("bio_1", "bio_12", "Elevation", "Slope", "Aspect", "Cover_tree_layer")

Numbers = NDArray[np.float64]
Scores = tuple[float, float]  # AUC, rank correlation with the true probability


def measured(number: int, niche: Niche, folder: Path) -> dict[str, Scores]:
    world, frame = build_world(40 + number), Frame.centred(SIDE, pixel_m=VIEWS["predictors"].pixel_m)
    write(predictor_layers(world, frame), folder / "layers.tif")
    x = {name: one.ravel() for name, one in predictors(world, frame).items()}
    truth = niche.probability(x)
    draw = np.random.default_rng(number)
    there = draw.random(truth.size) < truth
    finds = draw.choice(np.flatnonzero(there), FINDS, replace=False)
    places = draw.choice(truth.size, PLACES, replace=False)
    csv.write_csv(_table(x, finds, {"species": [NAME] * FINDS}), folder / "finds.csv")
    csv.write_csv(_table(x, places, {}), folder / "places.csv")

    table = np.stack([x[name] for name in USED], axis=1)
    known = np.concatenate([table[finds], table[draw.choice(truth.size, POINTS, replace=False)]])
    label = np.repeat([1, 0], [FINDS, POINTS])
    simple = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    squares = make_pipeline(
        StandardScaler(), PolynomialFeatures(2), StandardScaler(), LogisticRegression(max_iter=5000)
    )
    said = {
        "this recipe": _trained(folder, "own"),
        "the same network, begun at random": _trained(folder, "fresh", "start=random", "fresh=[]"),
        "logistic regression": _said(simple.fit(known, label), table[places]),
        "logistic regression with squares and products": _said(squares.fit(known, label), table[places]),
        "the niche itself": truth[places],
    }
    return {
        name: (roc_auc_score(there[places], one), spearmanr(one, truth[places]).statistic) for name, one in said.items()
    }


def _trained(folder: Path, name: str, *settings: str) -> Numbers:
    """Probabilities at the places, by the recipe."""
    told = (f"data.folder={folder / 'finds.csv'}", "data.options.covariates=layers.tif", "trackers=[]")
    options = (f"data.options.background={POINTS}", "data.options.block_km=3")
    done = zoo.train(zoo.recipe("masksdm@demo", "own", *told, *options, *settings), out=folder / name)
    found = done.model.predict(folder / "places.csv", covariates=folder / "layers.tif")
    answer: Numbers = found.table[NAME].to_numpy().astype(np.float64)
    return answer


def _said(model: Pipeline, x: Numbers) -> Numbers:
    answer: Numbers = model.predict_proba(x)[:, 1]
    return answer


def _table(x: Mapping[str, Numbers], rows: NDArray[Any], more: Mapping[str, Any]) -> pa.Table:
    return pa.table({"decimalLongitude": x["Longitude"][rows], "decimalLatitude": x["Latitude"][rows], **more})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--species", type=int, default=len(NICHES), choices=range(1, len(NICHES) + 1))
    count: int = parser.parse_args().species
    warnings.simplefilter("ignore", ZooWarning)
    found: list[dict[str, Scores]] = []
    for number, niche in enumerate(NICHES[:count]):
        with tempfile.TemporaryDirectory() as folder:
            found.append(measured(number, niche, Path(folder)))
    print("| | AUC | rank correlation with the true probability |\n|---|---|---|")
    for name in found[0]:
        auc, rank = np.mean([one[name] for one in found], axis=0)
        print(f"| {name} | {auc:.3f} | {rank:.2f} |")


if __name__ == "__main__":
    main()
