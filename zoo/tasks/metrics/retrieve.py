"""Scores of retrieval: how often an image finds a caption of its own among all, and a caption its image.

Ranks need all vectors of the test set at once. They are small (31,500 images and 157,500 captions of 512 numbers, those
of NWPU-Captions, are 0.4 GB), so each process gets all of them.
"""

# N images, M captions, D width, Q queries, G gallery, R replicates

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from zoo.errors import InputError
from zoo.spec import Variant
from zoo.tasks.across import gathered
from zoo.tasks.metrics.sums import Sums, keys_of, poisson_weights
from zoo.tasks.retrieve import RetrieveOutput, unit

Ties = Literal["greater", "stable"]

RECALLS = (1, 5, 10)  # k of R@k, of all papers on these data
CHUNK = 512  # ours: queries whose similarities to the whole gallery are held at a time


class RetrieveMetrics(Sums):
    """Recalls at 1, 5 and 10 and median ranks, of captions by images and of images by captions.

    Figures: `image_to_text_r1`, `..._r5`, `..._r10`, `text_to_image_r1`, ...: shares 0 ... 1 of queries with a right
    answer among so many; `mean_recall`, the mean of these six; `image_to_text_rank` and `text_to_image_rank`, medians,
    1 = first, rounded down; `tied`, the share of queries that score some wrong answer exactly as their right one, which
    is near 0 unless captions repeat or the network says the same of everything.

    In an update, `output.text` has the captions of all images of the batch, (sum of their numbers, D), in the order of
    the images and of `target["texts"]`, which says how many each has.

    Args:
        variant: of the network.
        bootstrap: see `Sums`; images, with their captions, are drawn as queries from the whole gallery.
        ties: the rank of a right answer is the number of answers that score more (`greater`); or of those, and of those
            that score the same and come first in the order of the hashed ids of images (`stable`), by which a network
            that says the same of everything is at chance.

    Source: ranks as in the authors' evaluation of RS-M-CLIP; median ranks as in open_clip.
    """

    def __init__(self, *, variant: Variant, bootstrap: int = 0, ties: Ties = "greater") -> None:
        super().__init__(bootstrap=bootstrap)
        self.variant, self.ties = variant, ties
        self._forget()

    def reset(self) -> None:
        super().reset()
        self._forget()

    def _forget(self) -> None:
        """These are no states: `compute` gathers them itself, since their width is known only when some are there."""
        self._images: list[Tensor] = []
        self._texts: list[Tensor] = []
        self._keys: list[Tensor] = []
        self._numbers: list[Tensor] = []

    def update(self, output: RetrieveOutput, target: Mapping[str, Any], ids: Sequence[str]) -> None:
        """Keep the vectors of a batch.

        Raises:
            InputError: an image has no caption, or there are not as many vectors as captions.
        """
        numbers = [len(texts) for texts in target["texts"]]
        for name, number in zip(ids, numbers, strict=True):
            if not number:
                raise InputError(f"{name} has no caption; recalls need one or more of each image: leave it out")
        if output.image is None or output.text is None or len(output.text) != sum(numbers):
            found = [0 if one is None else len(one) for one in (output.image, output.text)]
            raise InputError(
                f"found {found[0]} image vectors and {found[1]} caption vectors; expected {len(ids)} and {sum(numbers)}"
            )
        self._images.append(unit(output.image.detach()))
        self._texts.append(unit(output.text.detach()))
        self._keys.append(keys_of(ids))
        self._numbers.append(torch.tensor(numbers))

    def scores(self) -> dict[str, Tensor]:
        """See the class. All processes must call it together."""
        images, texts, keys, numbers = self._everything()
        if not len(images):
            return {}
        owners = torch.repeat_interleave(torch.arange(len(images)), numbers)
        to_text, tied_images = ranks(images, texts, torch.arange(len(images)), owners, ties=self.ties)
        to_image, tied_texts = ranks(texts, images, owners, torch.arange(len(images)), ties=self.ties)
        tied = torch.cat([tied_images, tied_texts]).double().mean()
        drawn = []
        for replicate in range(1 + self.bootstrap):
            times = torch.ones(len(images), dtype=torch.int64)
            if replicate:
                times = poisson_weights(keys, [replicate - 1])[0].long()
            drawn.append(_figures(to_text.repeat_interleave(times), to_image.repeat_interleave(times[owners])))
        return {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]} | {"tied": tied[None]}

    def _everything(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Vectors of images and captions, keys of the images and their numbers of captions, by key: in no one's order."""
        width = max([0, *(part.shape[1] for part in self._images)])
        width = int(self._everywhere(torch.tensor([width])).max())
        vectors = [[torch.zeros(0, width), *(one.cpu() for one in parts)] for parts in (self._images, self._texts)]
        counts = [[torch.zeros(0, dtype=torch.int64), *parts] for parts in (self._keys, self._numbers)]
        images, texts, keys, numbers = (self._everywhere(torch.cat(parts)) for parts in (*vectors, *counts))
        order = torch.argsort(keys)
        starts = torch.cumsum(numbers, dim=0) - numbers
        rows = torch.repeat_interleave(starts[order], numbers[order])
        first = torch.repeat_interleave(torch.cumsum(numbers[order], dim=0) - numbers[order], numbers[order])
        return images[order], texts[rows + torch.arange(len(texts)) - first], keys[order], numbers[order]

    def _everywhere(self, rows: Tensor) -> Tensor:
        return gathered(rows.to(self.device)).cpu()


def ranks(
    queries_QD: Tensor, gallery_GD: Tensor, query_ids: Tensor, gallery_ids: Tensor, *, ties: Ties = "greater"
) -> tuple[Tensor, Tensor]:
    """Rank from 0 of the best right answer of each query, and whether a wrong one scores exactly as much, (Q,) each.

    Similarities are rounded to float32 from float64, so that equal vectors tie in whatever order sums are made.

    Args:
        queries_QD: unit vectors.
        gallery_GD: unit vectors.
        query_ids: (Q,); an answer is right if its id is the query's. Each query has a right one.
        gallery_ids: (G,).
        ties: see `RetrieveMetrics`.
    """
    gallery = gallery_GD.double().T
    found, tied = [], []
    for start in range(0, len(queries_QD), CHUNK):
        here = slice(start, start + CHUNK)
        scores = (queries_QD[here].double() @ gallery).float()
        right = query_ids[here, None] == gallery_ids
        best, place = scores.masked_fill(~right, -torch.inf).max(dim=1, keepdim=True)
        same = (scores == best) & ~right
        rank = (scores > best).sum(dim=1)
        if ties == "stable":
            rank += (same & (torch.arange(len(gallery_ids)) < place)).sum(dim=1)
        found.append(rank)
        tied.append(same.any(dim=1))
    return torch.cat(found), torch.cat(tied)


def _figures(to_text: Tensor, to_image: Tensor) -> dict[str, Tensor]:
    sides = {"image_to_text": to_text, "text_to_image": to_image}
    recalls = {f"{name}_r{k}": (rank < k).double().mean() for name, rank in sides.items() for k in RECALLS}
    medians = {
        f"{name}_rank": torch.tensor(np.floor(np.median(rank)) + 1 if len(rank) else np.nan, dtype=torch.float64)
        for name, rank in sides.items()
    }
    return recalls | {"mean_recall": torch.stack(list(recalls.values())).mean()} | medians
