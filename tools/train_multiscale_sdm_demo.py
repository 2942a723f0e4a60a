"""Train the demo weights of the multi-scale SDM: `python tools/train_multiscale_sdm_demo.py [--out FILE] [--measure] [--plot FILE]`.

The weights are those of `zoo train multiscale-sdm demo`, on virtual species of the synthetic world, whose niches are known.
This saves them where the plugin ships them, and measures them on worlds that were never seen: the AUC of each species,
beside what the distance to its best temperature alone gives and what its true probability gives; and how its response to
temperature ranks beside the true one. `--plot docs/images/multiscale_sdm_responses.png` draws the responses beside the
true ones. It takes a minute on one core; the same machine and number of threads give the same
file. The row of `zoo_multiscale_sdm.variants` wants the size and the hash that are printed.
"""

# N places, S species

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from torch import nn
from zoo_multiscale_sdm.network.multiscale import build
from zoo_multiscale_sdm.variants import DEMO
from zoo_multiscale_sdm.world import NICHES, SPECIES, virtual_species

import zoo

OUT = Path(__file__).parents[1] / "plugins/multiscale-sdm/zoo_multiscale_sdm/demo.safetensors"
PLACES = 1500
BIN_C, BIN_MM = 1.25, 100.0  # widths of the bins of temperature and rain
FEWEST = 15  # places below which a bin is left out
TRUE, TOLD, FAINT = "#333333", "#d1495b", "#9a9a9a"

Values = NDArray[np.float64]


def main() -> None:
    """Train, write, measure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=OUT)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--measure", action="store_true", help="measure what is there, and train nothing")
    options.add_argument("--plot", type=Path, help="draw the responses into this file")
    options.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="changes of the recipe")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    if not given.measure:
        with tempfile.TemporaryDirectory() as folder:
            trained = zoo.train(zoo.recipe("multiscale-sdm", "demo", *given.settings), out=folder)
            save_file(trained.model.module.state_dict(), given.out)
        data = given.out.read_bytes()
        print(f"wrote {given.out}: size={len(data)}, sha256={hashlib.sha256(data).hexdigest()}")
    network = build(**DEMO.config)
    network.load_state_dict(load_file(given.out))
    found = measure(network, PLACES)
    for line in table(found):
        print(line)
    if given.plot:
        plot(found, given.plot)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """AUC of each species (S,), by what gives it; and the rank correlation of its response to temperature.

    Beside them what they come from: temperature and rain (N, 2), true and answered probabilities (N, S).
    """

    both: Values
    climate: Values
    image: Values
    temperature: Values
    truth: Values
    response: Values
    weather: Values
    true: Values
    told: Values


def measure(network: nn.Module, num: int, *, seed: int | None = None) -> Measured:
    """Figures of a network on places of the test's worlds."""
    reader = virtual_species(split="test", variant=DEMO, n=num, seed=seed)
    samples = [reader.sample(index) for index in range(num)]
    inputs = {name: torch.stack([one.inputs[name] for one in samples]) for name in ("env", "sat")}
    seen = torch.stack([one.target["presence"] for one in samples]).numpy()
    truth = reader.truth()
    network = network.eval()

    def answer(*names: str) -> Values:
        with torch.inference_mode():
            return np.asarray(network(**{name: inputs[name] for name in names}).logits.sigmoid().double())

    def areas(scores: Any) -> Values:
        return np.array([roc_auc_score(seen[:, one], scores[:, one]) for one in range(len(SPECIES))])

    both = answer("env", "sat")
    best = np.array([niche.temperature_c[0] for niche in NICHES.values()])
    return Measured(
        both=areas(both),
        climate=areas(answer("env")),
        image=areas(answer("sat")),
        temperature=areas(-np.abs(truth[:, :1] - best)),
        truth=areas(truth[:, 2:]),
        response=responses(truth[:, 0], both, truth[:, 2:]),
        weather=truth[:, :2],
        true=truth[:, 2:],
        told=both,
    )


def responses(along: Values, told: Values, true: Values, width: float = BIN_C) -> Values:
    """Rank correlation (S,) of mean answers and mean true probabilities along bins of temperature, or of rain."""
    curves = [curve(along, values, width)[1] for values in (told, true)]
    return np.array([spearmanr(curves[0][:, one], curves[1][:, one])[0] for one in range(told.shape[1])])


def curve(along: Values, values: Values, width: float) -> tuple[Values, Values]:
    """Middles of the bins (K,) and means (K, S) of values (N, S) in them."""
    bins = np.floor(along / width)
    kept = np.array([one for one in np.unique(bins) if (bins == one).sum() >= FEWEST])
    return (kept + 0.5) * width, np.stack([values[bins == one].mean(axis=0) for one in kept])


def plot(found: Measured, path: Path) -> None:
    """Each species along temperature, and those that ask for rain along it: the truth, the demo, and the best place."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    panels = figure.subplots(2, 5)
    wet = [(name, niche.rain_mm) for name, niche in NICHES.items() if niche.rain_mm]
    drawn = [(name, niche.temperature_c, 0) for name, niche in NICHES.items()]
    drawn = [*drawn[:4], (*wet[0], 1), *drawn[4:], (*wet[1], 1)]
    for panel, (name, (best, _), axis) in zip(panels.flat, drawn, strict=True):
        number, width = SPECIES.index(name), (BIN_C, BIN_MM)[axis]
        for values, colour, said in ((found.true, TRUE, "true probability"), (found.told, TOLD, "the demo's answer")):
            middles, means = curve(found.weather[:, axis], values, width)
            panel.plot(middles, means[:, number], color=colour, marker="o", markersize=3, label=said)
        panel.axvline(best, color=FAINT, linestyle=":", label="best for the species")
        rank = responses(found.weather[:, axis], found.told, found.true, width)[number]
        panel.set_title(f"{name}\nrank correlation {rank:.2f}", fontsize=8)
        panel.set_xlabel(("mean temperature of the year [\N{DEGREE SIGN}C]", "rain of the year [mm]")[axis], fontsize=8)
        panel.set_ylim(bottom=0)
        panel.tick_params(labelsize=7)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_ylabel("mean probability of the places", fontsize=8)
    panels[1, 0].set_ylabel("mean probability of the places", fontsize=8)
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8, frameon=False
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, pil_kwargs={"optimize": True})


def table(found: Measured) -> Iterator[str]:
    """The table of the card."""
    yield "| species | the demo | climate alone | image alone | distance to its best temperature | its true probability | response to temperature, rank correlation |"
    yield "|---|---|---|---|---|---|---|"
    columns = [found.both, found.climate, found.image, found.temperature, found.truth, found.response]
    for index, name in enumerate(SPECIES):
        yield f"| {name} | " + " | ".join(f"{one[index]:.3f}" for one in columns) + " |"
    yield "| median | " + " | ".join(f"{np.median(one):.3f}" for one in columns) + " |"


if __name__ == "__main__":
    main()
