"""Train the demo weights of SMARTIES on the synthetic world: `python tools/train_smarties_demo.py [--out FILE]`.

A small encoder learns, without labels, from pairs of sensors that see the same place, in two phases:

1. masked auto-encoding with the paper's objective (token mixup, 75 % of the patches hidden, spectrum-aware projections);
2. agreement of the sensors: the class token of a place as one sensor sees it has to find that of the same place as
   another sensor sees it, among all places of the batch (InfoNCE, van den Oord et al. 2018); each patch token likewise.
   This phase is ours: minutes of masked auto-encoding alone give poor class tokens.

Labels are used once, at the end, to measure: weighted kNN-20 accuracy (the paper's protocol) of the dominant land cover
of chips from worlds that were never seen, beside baselines. The same seed, machine and number of threads give the same
file. It takes six minutes on one core; the row of `zoo_smarties.variants` wants the size and the hash that are printed.
"""

# B batch, C bands, H W pixels, h w patches, N tokens, M chips, D width, K classes

from __future__ import annotations

import argparse
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from zoo_smarties.evaluation import accuracy, knn
from zoo_smarties.mixing import tile_bands
from zoo_smarties.network import autoencoder, encoder
from zoo_smarties.network.autoencoder import Autoencoder, Cut
from zoo_smarties.network.encoder import Encoder
from zoo_smarties.network.projection import cut_patches
from zoo_smarties.objective import Pretraining
from zoo_smarties.schedules import warm_cosine
from zoo_smarties.spectrum import BY_BAND
from zoo_smarties.variants import DEMO, DEMO_PATCH, DEMO_SIZE

from zoo import samples
from zoo.inputs.preprocess import Preprocess
from zoo.spec import InputSpec

Loss = Callable[[Tensor, Tensor, tuple[str, str]], Tensor]  # of a pair of images and the labels of their inputs
OUT = Path(__file__).parents[1] / "plugins/smarties/zoo_smarties/demo.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """All that decides the weights. Numbers without a source are ours, found by trial on the synthetic world."""

    seed: int = 7
    places: int = 2000  # of training
    decoder: int = 64  # width; one block of four heads
    mask_ratio: float = 0.75  # the paper's
    batch: int = 64
    reconstruct_steps: int = 150
    agree_steps: int = 800
    rate: float = 1.5e-3
    weight_decay: float = 0.05  # the paper's
    betas: tuple[float, float] = (0.9, 0.95)  # the paper's
    warmup: float = 0.1  # share of the steps
    temperature: float = 0.2
    patch_share: float = 1.0  # weight of the patch tokens' agreement beside the class tokens'
    patches: int = 8  # patch tokens per place that are told apart from those of other places


#: label of the input -> view of the synthetic world, pixel in metres, chip's side in pixels: 640 m of ground each
VIEWS = {"S2-L2A": ("sentinel2", 10.0, 64), "S1": ("sentinel1", 10.0, 64), "RGB": ("aerial", 5.0, 128)}
INPUTS: Mapping[str, InputSpec] = {item.label: item for item in DEMO.inputs}
TRAIN_SEED, TEST_SEED = 1, 2  # of the worlds


def main() -> None:
    """Train, measure, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=OUT)
    options.add_argument("--threads", type=int, default=1)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    began = time.perf_counter()
    recipe = Recipe()
    network = train(recipe, report=lambda line: print(f"{time.perf_counter() - began:6.1f} s  {line}", flush=True))
    save_file(network.state_dict(), given.out)
    data = given.out.read_bytes()
    print(f"wrote {given.out}: size={len(data)}, sha256={hashlib.sha256(data).hexdigest()}")
    for line in measured(network):
        print(line)
    print(f"{time.perf_counter() - began:.0f} s")


# ------------------------------------------------------------------------------------------------------------ training


def train(recipe: Recipe, report: Callable[[str], None]) -> Encoder:
    """The encoder after both phases."""
    torch.manual_seed(recipe.seed)
    chips = {label: prepared(label, TRAIN_SEED, recipe.places).images for label in VIEWS}
    report(f"{recipe.places} places seen by {', '.join(chips)}")
    run = Run(recipe=recipe, chips=chips, generator=torch.Generator().manual_seed(recipe.seed), report=report)
    whole = autoencoder.build(
        **DEMO.config,
        decoder_width=recipe.decoder,
        decoder_depth=1,
        decoder_heads=4,
        mask_ratio=recipe.mask_ratio,
        symmetric=True,
    )
    run.fit(whole, reconstruction(whole, run.generator), recipe.reconstruct_steps, "reconstruct")
    network = encoder.build(**DEMO.config)
    wanted = network.state_dict().keys()
    network.load_state_dict({name: value for name, value in whole.state_dict().items() if name in wanted})
    network.pos_embed.requires_grad_(False)
    run.fit(network, agreement(network, recipe, run.generator), recipe.agree_steps, "agree")
    return network.eval()


Box = tuple[slice, slice]  # rows, columns


def draw_parts(generator: torch.Generator) -> tuple[tuple[Box, Box], tuple[Box, Box]]:
    """Two overlapping squares of a chip, in pixels, and in each of them the patches of the ground that they share.

    A patch that agrees with itself amid other surroundings is about its own ground rather than about the window.
    """
    num = DEMO_SIZE // DEMO_PATCH
    side = int(torch.randint(num // 2 + 1, num + 1, (), generator=generator))
    starts = torch.randint(num - side + 1, (2, 2), generator=generator)  # part, axis; at least two patches are shared
    low, high = starts.amax(0), starts.amin(0) + side

    def box(first: Tensor, last: Tensor, scale: int) -> Box:
        rows, columns = (slice(int(at) * scale, int(to) * scale) for at, to in zip(first, last, strict=True))
        return rows, columns

    parts = box(starts[0], starts[0] + side, DEMO_PATCH), box(starts[1], starts[1] + side, DEMO_PATCH)
    return parts, (box(low - starts[0], high - starts[0], 1), box(low - starts[1], high - starts[1], 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What both phases share."""

    recipe: Recipe
    chips: Mapping[str, Tensor]
    generator: torch.Generator
    report: Callable[[str], None]

    def fit(self, network: nn.Module, loss_of: Loss, steps: int, phase: str) -> None:
        """`steps` of AdamW, half a cosine after a linear warm-up; no weight decay on vectors."""
        recipe = self.recipe
        parameters = [one for one in network.parameters() if one.requires_grad]
        groups = [
            {"params": [one for one in parameters if one.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=recipe.rate, betas=recipe.betas)
        shown = 0.0
        for step, (first, second, names) in enumerate(pairs(self.chips, recipe.batch, steps, self.generator)):
            factor = warm_cosine(step + 1, round(recipe.warmup * steps), steps + 1)
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate * factor
            loss = loss_of(first, second, names)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            shown = loss.item() if step == 0 else 0.95 * shown + 0.05 * loss.item()
            if step == 0 or (step + 1) % 50 == 0:
                self.report(f"{phase} step {step + 1:4d}/{steps}  loss {shown:.3f}")


def reconstruction(network: Autoencoder, generator: torch.Generator) -> Loss:
    """The paper's: patches that were removed, of both streams."""
    objective = Pretraining()

    def loss(first: Tensor, second: Tensor, names: tuple[str, str]) -> Tensor:
        cuts = cut_alike((first, second), names)
        draws = torch.rand(2, len(first), cuts[0].patches[0, :, :, 0, 0, 0].numel(), generator=generator)
        return objective(network(*cuts, draws[0], draws[1])).total

    return loss


def agreement(network: Encoder, recipe: Recipe, generator: torch.Generator) -> Loss:
    """Class tokens, and patch tokens of the same ground, are to find each other across sensors."""

    def loss(first: Tensor, second: Tensor, names: tuple[str, str]) -> Tensor:
        turns, flips = (int(torch.randint(count, (), generator=generator)) for count in (4, 2))
        parts, shared = draw_parts(generator)
        one = network(first[..., *parts[0]], INPUTS[names[0]].band_ids)
        # The second part is turned and its patches are turned back, so that where a patch lies does not tell which it is.
        other = network(turned(second[..., *parts[1]], turns, flips), INPUTS[names[1]].band_ids)
        maps = (one.tokens, turned_back(other.tokens, turns, flips))
        tokens = [image[..., *patch].flatten(2).transpose(1, 2) for image, patch in zip(maps, shared, strict=True)]
        some = torch.rand(tokens[0].shape[:2], generator=generator).argsort(dim=1)[:, : recipe.patches, None]
        rows = [image.take_along_dim(some, dim=1).flatten(0, 1) for image in tokens]
        place = torch.arange(len(first))
        whole = info_nce(one.pooled, other.pooled, place, recipe.temperature)
        return whole + recipe.patch_share * info_nce(*rows, place.repeat_interleave(some.shape[1]), recipe.temperature)

    return loss


def pairs(
    chips: Mapping[str, Tensor], batch: int, steps: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, tuple[str, str]]]:
    """Batches of places as two different sensors see them, cut and turned alike."""
    names = tuple(chips)
    choices = [(one, other) for one in names for other in names if one < other]
    for step in range(steps):
        chosen = choices[step % len(choices)]
        places = torch.randperm(len(chips[names[0]]), generator=generator)[:batch]
        top, left, share = torch.rand(3, generator=generator).tolist()
        side = round(DEMO_SIZE * (1.0 if step % 2 else 0.5 + 0.5 * share)) // 2 * 2
        turns, flips = (int(torch.randint(count, (), generator=generator)) for count in (4, 2))
        views = []
        for name in chosen:
            views.append(turned(cropped(chips[name][places].float(), top, left, side), turns, flips))
        yield views[0], views[1], chosen


def cropped(image: Tensor, top: float, left: float, side: int) -> Tensor:
    """A square of `side` / DEMO_SIZE of the chip, resized to the network's size; finer images show more detail."""
    scale = image.shape[-1] // DEMO_SIZE
    room = DEMO_SIZE - side
    row, column = (round(place * room) * scale for place in (top, left))
    image = image[..., row : row + side * scale, column : column + side * scale]
    if image.shape[-1] == DEMO_SIZE:
        return image
    return functional.interpolate(image, (DEMO_SIZE, DEMO_SIZE), mode="bilinear", antialias=True)


def turned(image: Tensor, turns: int, flips: int) -> Tensor:
    image = torch.rot90(image, turns, (2, 3))
    return image.flip(3) if flips else image


def turned_back(image: Tensor, turns: int, flips: int) -> Tensor:
    return torch.rot90(image.flip(3) if flips else image, -turns, (2, 3))


def cut_alike(images: tuple[Tensor, Tensor], names: tuple[str, str]) -> list[Cut]:
    """Both images in patches with their projection numbers, the one with fewer bands tiled."""
    most = math.lcm(*(image.shape[1] for image in images))
    cuts = []
    for image, name in zip(images, names, strict=True):
        tiled, bands = tile_bands(image, INPUTS[name].band_ids, most)
        patches = cut_patches(tiled, DEMO_PATCH)
        numbers = torch.tensor([BY_BAND[band].number for band in bands])
        cuts.append(Cut(patches, numbers.expand(*patches.shape[:4])))
    return cuts


def info_nce(first_MD: Tensor, second_MD: Tensor, place_M: Tensor, temperature: float) -> Tensor:
    """Cross entropy of finding row i of one among the rows of the other by cosine, both ways.

    Rows of the same place other than i itself do not count.
    """
    logits_MM = functional.normalize(first_MD, dim=1) @ functional.normalize(second_MD, dim=1).T / temperature
    target_M = torch.arange(len(logits_MM))
    same_MM = (place_M[:, None] == place_M) & (target_M[:, None] != target_M)
    logits_MM = logits_MM.masked_fill(same_MM, -torch.inf)
    return (functional.cross_entropy(logits_MM, target_M) + functional.cross_entropy(logits_MM.T, target_M)) / 2


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
    view, pixel_m, usual = VIEWS[label]
    pixels, labels = samples.chips(seed, view, num, size=size or usual, pixel_m=pixel_m)
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
    return accuracy(knn(train_MD, train.labels, test_MD, num_classes=len(samples.COVERS)), test.labels)


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
        majority_class=accuracy(train.labels.mode().values.expand(len(test.labels)), test.labels),
    )


def measured(network: Encoder, num_train: int = 1000, num_test: int = 1000) -> Iterator[str]:
    """Accuracies, a line per sensor; then across sensors, which raw numbers cannot do at all."""
    train = {label: prepared(label, TRAIN_SEED, num_train, DEMO_SIZE) for label in VIEWS}
    test = {label: prepared(label, TEST_SEED, num_test, DEMO_SIZE) for label in VIEWS}
    yield f"kNN-20 accuracy of the dominant cover; {num_train} train and {num_test} test chips, of different worlds"
    yield "sensor   " + "  ".join(name.replace("_", " ") for name in Accuracies.__dataclass_fields__)
    for label in VIEWS:
        found = measure(network, label, train[label], test[label])
        cells = (f"{getattr(found, name):{len(name)}.3f}" for name in Accuracies.__dataclass_fields__)
        yield f"{label:8} " + "  ".join(cells)
    yield "chips of one sensor among those of another"
    for one, other in permutations(VIEWS, 2):
        found = [
            knn_accuracy(embedded(each, other, train[other]), train[other], embedded(each, one, test[one]), test[one])
            for each in (network, untrained())
        ]
        yield f"{one:8} among {other:8} {found[0]:.3f}  random weights {found[1]:.3f}"


if __name__ == "__main__":
    main()
