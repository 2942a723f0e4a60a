"""Scores in spatial folds: how much they differ from one part of the ground to the next."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from zoo.datasets.blocks import block_folds
from zoo.datasets.sample import Reader
from zoo.errors import InputError
from zoo.evaluation.measure import measure
from zoo.evaluation.result import Evaluation
from zoo.model import Model

Array = np.ndarray[Any, np.dtype[Any]]


def measure_folds(
    model: Model,
    reader: Reader,
    *,
    folds: int,
    block_km: float,
    seed: int = 42,
    bootstrap: int = 0,
    **options: Any,
) -> Evaluation:
    """Scores of all samples, and of each of `folds` parts of the ground that are made of whole blocks.

    Args:
        model: see `zoo.evaluation.measure.measure`, as for all other arguments.
        reader: its samples have a place.
        folds: how many parts; see `zoo.datasets.blocks.block_folds`.
        block_km: side of a block.
        seed: of the order in which blocks are dealt to the folds.
        bootstrap: replicates for the scores of all samples.
        **options: of `measure`, without `limit`.

    Raises:
        ConfigError: there are fewer blocks than folds.
        InputError: a sample has no place.
    """
    rows = block_folds(places_of(reader), folds=folds, block_km=block_km, seed=seed)
    whole = measure(model, reader, bootstrap=bootstrap, **options)
    parts = [measure(model, reader, rows=part.tolist(), **options).values for part in rows]
    told = {**whole.provenance.options, "folds": str(folds), "block_km": str(block_km), "folds_seed": str(seed)}
    return replace(
        whole,
        folds={name: tuple(part.get(name, math.nan) for part in parts) for name in whole.overall},
        provenance=replace(whole.provenance, options=told),
    )


def places_of(reader: Reader) -> Array:
    """(N, 2) longitude and latitude of all samples: the reader's `places` where it has them, else read one by one.

    Raises:
        InputError: a sample has no place.
    """
    known = getattr(reader, "places", None)
    if known is not None:
        return np.asarray(known, np.float64)
    places = []
    for index, name in enumerate(reader.ids):
        place = reader.sample(index).place
        if place is None:
            raise InputError(
                f"sample {name} has no place, and folds are parts of the ground; leave --folds out, or give coordinates"
                " in the data"
            )
        places.append(place)
    return np.array(places, np.float64)
