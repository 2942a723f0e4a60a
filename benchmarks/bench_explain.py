"""Shapley values of MaskSDM's released configuration on one core, beside as many full forward passes as there are coalitions.

    python benchmarks/bench_explain.py [--plots 400] [--places 1000] [--slice 64] [--precision fp32] [--full]

Global: 6 groups, gain in mean AUC over plots x 12,738 species, 64 coalitions. Local: 5 groups (`Metadata+` stays hidden, as in the
paper), gain in the probability of one species at places, 32 coalitions. Ours is the public verb from end to end: `model.explain`
on a reader of plots or on a table of places, AUC and all. Weights are random, from a seed.

Baselines are forward passes and nothing else, of all species: `expanded` of bench_masksdm_forward (the spec's formulas, whose cost
does not depend on what is shown), and our own forward with everything visible. Both are timed on a slice of sites, between the
parts of ours, and extrapolated linearly to all sites and coalitions. Seconds are the processor's, of one thread, so that others on the
machine count less. Targets (issue 4): 8 times and 30 times the first.

Plots have what sPlotOpen's have: climate, soil, place and human pressure everywhere, terrain at 92 %, the plot's area at 3 of 4, total
cover at 1 of 5, cover by layer and heights at 1 of 20 (ours, rounded and, of area and heights, assumed); `--complete` gives them all.
SatCLIP is hidden throughout, as in the paper; the baselines compute its token like any other.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from bench_masksdm_forward import FEATURES, SPECIES, expanded

import zoo
from zoo.datasets.sample import Sample
from zoo.model import Model

PLOTS, PLACES = 2_000, 10_000
TARGETS = {"global": 8.0, "local": 30.0}
SPECIES_PER_PLOT = 30.0  # ours: sPlotOpen has 20 to 30
KNOWN = {
    "Elevation": 0.92,
    "Slope": 0.92,
    "Aspect": 0.92,
    "Releve_area": 0.75,
    "Cover_": 0.05,
    "Cover_total": 0.2,
    "Height_": 0.05,
}
LOCAL = ("WorldClim", "SoilGrids", "Topography", "Location", "Human")


class Plots:
    """Labelled plots with random predictors and species; a `zoo.datasets.sample.Reader`."""

    def __init__(self, model: Model, count: int, *, complete: bool) -> None:
        rng = np.random.default_rng(0)
        (spec,) = (one for one in model.variant.inputs if one.name == "predictors")
        self.classes = model.variant.classes
        self.ids = tuple(map(str, range(count)))
        self.x = torch.from_numpy(rng.standard_normal((count, len(spec.bands)), np.float32))
        rates = [_rate(name) for name in spec.band_ids]
        self.valid = torch.from_numpy(rng.random(self.x.shape) < (1.0 if complete else np.array(rates)))
        commonness = rng.lognormal(0, 1.5, len(self.classes))
        chance = np.minimum(commonness / commonness.sum() * SPECIES_PER_PLOT, 0.5)
        self.present = rng.random((count, len(self.classes)), np.float32) < chance
        self.present[rng.integers(0, count, len(self.classes)), np.arange(len(self.classes))] = True  # each somewhere

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:  # noqa: ARG002
        presence = torch.from_numpy(self.present[index].astype(np.float32))
        return Sample(
            id=self.ids[index],
            inputs={"predictors": self.x[index]},
            valid={"predictors": self.valid[index]},
            target={"presence": presence},
        )


def _rate(name: str) -> float:
    """Of the plots that know a predictor; the longest name that fits says."""
    return max(((len(one), rate) for one, rate in KNOWN.items() if name.startswith(one)), default=(0, 1.0))[1]


def places(model: Model, count: int) -> pd.DataFrame:
    """All predictors, standardised: without its bundle the network has no statistics."""
    names = next(one.band_ids for one in model.variant.inputs if one.name == "predictors")
    return pd.DataFrame(np.random.default_rng(1).standard_normal((count, len(names))), columns=list(names))


class Clock:
    """Seconds per site of both baselines, taken in turn with ours."""

    def __init__(self, model: Model, rows: int) -> None:
        self.model = model
        self.x = torch.randn(rows, FEATURES, generator=torch.Generator().manual_seed(2))
        self.keep = torch.ones_like(self.x, dtype=torch.bool)
        self.seconds: dict[str, list[float]] = {"spec's formulas": [], "our forward, all visible": []}

    def tick(self) -> None:
        module = self.model.module
        with torch.inference_mode():
            for seconds, call in zip(
                self.seconds.values(),
                (lambda: expanded(module, self.x, self.keep), lambda: module(self.x, self.keep)),
                strict=True,
            ):
                began = time.process_time()
                call()
                seconds.append((time.process_time() - began) / len(self.x))

    def compare(self, what: str, ours: float, sites: int, coalitions: int) -> None:
        print(f"{what}: {ours:.1f} s, {1e3 * ours / sites:.2f} ms per site")
        for number, (name, seconds) in enumerate(self.seconds.items()):
            one = statistics.median(seconds)
            told = f" (target {TARGETS[what.split(',', maxsplit=1)[0]]:g})" if number == 0 else ""
            print(
                f"  {name}: {1e3 * one:.2f} ms per site x {sites:,} x {coalitions} = {one * sites * coalitions:,.0f} s,"
                f" {one * sites * coalitions / ours:.1f} times ours{told}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plots", type=int, default=400)
    parser.add_argument("--places", type=int, default=1_000)
    parser.add_argument("--slice", type=int, default=64, help="sites of which the baselines are timed")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of ours")
    parser.add_argument("--complete", action="store_true", help="plots with all 61 predictors")
    parser.add_argument("--full", action="store_true", help=f"{PLOTS:,} plots and {PLACES:,} places")
    given = parser.parse_args()
    if given.full:
        given.plots, given.places = PLOTS, PLACES
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    built = zoo.build("masksdm@splot", seed=0, device="cpu")
    names = tuple(f"species {number}" for number in range(SPECIES))  # the bundle's
    model = replace(built, variant=replace(built.variant, classes=names))
    clock = Clock(model, given.slice)
    clock.tick()
    for seconds in clock.seconds.values():
        seconds.clear()  # the first pays for warming up
    told = "all predictors" if given.complete else "the predictors that sPlotOpen has"
    print(
        f"{given.plots:,} plots with {told}, {given.places:,} places, {given.precision}; baselines extrapolated from {given.slice} sites"
    )
    reader, table = Plots(model, max(given.plots, 1), complete=given.complete), places(model, given.places)
    groups = {name: model.variant.groups[name] for name in LOCAL}

    def scores() -> None:
        if given.plots:
            model.explain(None, labels=reader, precision=given.precision)

    def probabilities() -> None:
        if given.places:
            model.explain(table, groups=groups, species=(model.variant.classes[0],), precision=given.precision)

    taken = []
    for call in (scores, probabilities):
        clock.tick()
        clock.tick()
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
        clock.tick()
        clock.tick()
    if given.plots:
        clock.compare(f"global, 6 groups, {len(model.variant.classes):,} species", taken[0], given.plots, 64)
    if given.places:
        clock.compare("local, 5 groups, 1 species", taken[1], given.places, 32)


if __name__ == "__main__":
    main()
