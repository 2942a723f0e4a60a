"""Train the demo weights of SMARTIES on the synthetic world: `python tools/train_smarties_demo.py [--out FILE]`.

The weights are those of `zoo train smarties demo`: a small encoder learns, without labels, from pairs of sensors that see
the same place, first by masked auto-encoding (the paper's), then by agreement of the sensors (ours); see the recipe. This
saves them where the plugin ships them, and measures.

Labels are used once, at the end: weighted kNN-20 accuracy (the paper's protocol) of the dominant land cover of chips
from worlds that were never seen, beside baselines. The same machine and number of threads give the same file. It takes
some minutes on one core; the row of `zoo_smarties.variants` wants the size and the hash that are printed.
"""

# C bands, H W pixels, M chips, D width

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from zoo_smarties.network import encoder
from zoo_smarties.network.encoder import Encoder
from zoo_smarties.variants import DEMO, DEMO_SIZE
from zoo_smarties.world import LOOKS

import zoo
from zoo import samples
from zoo.evaluation.protocols import Judging, knn_votes
from zoo.inputs.preprocess import Preprocess
from zoo.spec import InputSpec

OUT = Path(__file__).parents[1] / "plugins/smarties/zoo_smarties/demo.safetensors"
INPUTS: Mapping[str, InputSpec] = {item.label: item for item in DEMO.inputs}
TRAIN_SEED, TEST_SEED = 1, 2  # of the worlds


def main() -> None:
    """Train, measure, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=OUT)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="changes of the recipe")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trained = zoo.train(zoo.recipe("smarties", "demo", *given.settings), out=folder)
    network = trained.model.module
    save_file(network.state_dict(), given.out)
    data = given.out.read_bytes()
    print(f"wrote {given.out}: size={len(data)}, sha256={hashlib.sha256(data).hexdigest()}")
    for line in measured(network):
        print(line)
    print(f"{time.perf_counter() - began:.0f} s")


# --------------------------------------------------------------------------------------------------------- measurement


@dataclass(frozen=True, kw_only=True, slots=True)
class Chips:
    """Chips of one sensor: images (M, C, H, W) as the network takes them, in half precision to save memory; the number
    of the cover that fills most of each (M); and what a table of raw numbers would say, mean and deviation (M, C)."""

    images: Tensor
    labels: Tensor
    means: Tensor
    deviations: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracies:
    """kNN-20 accuracies of one sensor; of the baselines of raw numbers, the better of raw and standardised."""

    embedding: float
    random_weights: float
    band_means: float
    band_means_and_deviations: float
    majority_class: float


def prepared(label: str, seed: int, num: int, size: int | None = None) -> Chips:
    look = LOOKS[label]
    pixels, labels = samples.chips(seed, look.view, num, size=size or look.side, pixel_m=look.pixel_m)
    preprocess = Preprocess(INPUTS[label])
    raw = [torch.from_numpy(one.astype(np.float32)) for one in np.array_split(pixels, max(num // 100, 1))]
    return Chips(
        images=torch.cat([preprocess(one, None, resize=False).half() for one in raw]),
        labels=torch.from_numpy(labels),
        means=torch.cat([one.mean((2, 3)) for one in raw]),
        deviations=torch.cat([one.std((2, 3)) for one in raw]),
    )


def embedded(network: Encoder, label: str, chips: Chips) -> Tensor:
    """Class tokens (M, D)."""
    with torch.inference_mode():
        return torch.cat([network(one.float(), INPUTS[label].band_ids).pooled for one in chips.images.split(100)])


def knn_accuracy(train_MD: Tensor, train: Chips, test_MD: Tensor, test: Chips) -> float:
    """Share of test chips whose cover is that of their weighted 20 nearest train chips: the paper's protocol."""
    votes = knn_votes(train_MD, train.labels, test_MD, num_classes=len(samples.COVERS), judging=Judging())
    return share(votes.argmax(dim=1) == test.labels)


def share(true: Tensor) -> float:
    return float(true.double().mean())


def untrained() -> Encoder:
    """The same network with random weights."""
    torch.manual_seed(0)
    return encoder.build(**DEMO.config).eval()


def measure(network: Encoder, label: str, train: Chips, test: Chips) -> Accuracies:
    """Accuracies of one sensor."""

    def raw_numbers(train_MD: Tensor, test_MD: Tensor) -> float:
        mean, deviation = train_MD.mean(0), train_MD.std(0)
        standardised = [(one - mean) / deviation for one in (train_MD, test_MD)]
        return max(
            knn_accuracy(*pair)
            for pair in ((train_MD, train, test_MD, test), (standardised[0], train, standardised[1], test))
        )

    def of(one: Encoder) -> float:
        return knn_accuracy(embedded(one, label, train), train, embedded(one, label, test), test)

    both = [torch.cat([one.means, one.deviations], dim=1) for one in (train, test)]
    return Accuracies(
        embedding=of(network),
        random_weights=of(untrained()),
        band_means=raw_numbers(train.means, test.means),
        band_means_and_deviations=raw_numbers(*both),
        majority_class=share(test.labels == train.labels.mode().values),
    )


def measured(network: Encoder, num_train: int = 1000, num_test: int = 1000) -> Iterator[str]:
    """Accuracies, a line per sensor; then across sensors, which raw numbers cannot do at all."""
    train = {label: prepared(label, TRAIN_SEED, num_train, DEMO_SIZE) for label in LOOKS}
    test = {label: prepared(label, TEST_SEED, num_test, DEMO_SIZE) for label in LOOKS}
    yield f"kNN-20 accuracy of the dominant cover; {num_train} train and {num_test} test chips, of different worlds"
    yield "sensor   " + "  ".join(name.replace("_", " ") for name in Accuracies.__dataclass_fields__)
    for label in LOOKS:
        found = measure(network, label, train[label], test[label])
        cells = (f"{getattr(found, name):{len(name)}.3f}" for name in Accuracies.__dataclass_fields__)
        yield f"{label:8} " + "  ".join(cells)
    yield "chips of one sensor among those of another"
    for one, other in permutations(LOOKS, 2):
        found = [
            knn_accuracy(embedded(each, other, train[other]), train[other], embedded(each, one, test[one]), test[one])
            for each in (network, untrained())
        ]
        yield f"{one:8} among {other:8} {found[0]:.3f}  random weights {found[1]:.3f}"


if __name__ == "__main__":
    main()
