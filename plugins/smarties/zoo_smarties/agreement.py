"""Agreement of sensors: what trains the demo weights after reconstruction. Ours, not the authors'.

The class token of a place as one sensor sees it has to find that of the same place as another sensor sees it, among all
places of the batch (InfoNCE, van den Oord et al. 2018); each patch token likewise. Minutes of masked auto-encoding
alone give poor class tokens.
"""

# B batch, C bands, H W pixels, h w patches, M rows, D width

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.datasets.sample import Batch
from zoo.spec import Variant
from zoo.tasks.objective import Moment, Objective, Term
from zoo_smarties.views import draw_views, side_of, turned, turned_back

Box = tuple[slice, slice]  # rows, columns


class Agreement(Objective):
    """InfoNCE of class tokens and of patch tokens between two sensors' views of a place.

    Each step compares overlapping squares of the views; the second is turned, and its patches are turned back, so that
    where a patch lies does not tell which it is.

    Args:
        variant: of the encoder.
        temperature: of the cosines.
        patch_share: weight of the patch tokens' agreement beside the class tokens'.
        patches: patch tokens per place that are told apart from those of other places.
    """

    def __init__(
        self,
        *,
        variant: Variant | None = None,
        temperature: float = 0.2,  # ours, as all of these: found by trial on the synthetic world
        patch_share: float = 1.0,
        patches: int = 8,
    ) -> None:
        super().__init__()
        self.patch_size = 16 if variant is None else int(variant.config.get("patch_size", 16))
        self.temperature, self.patch_share, self.patches = temperature, patch_share, patches

    def forward(self, network: nn.Module, batch: Batch, moment: Moment) -> Mapping[str, Term]:
        first, second = draw_views(batch, moment)
        generator = moment.generator
        turns, flips = (int(torch.randint(count, (), generator=generator)) for count in (4, 2))
        parts, shared = draw_parts(side_of(batch) // self.patch_size, self.patch_size, generator)
        one = network(image=first.image[..., *parts[0]], image_bands=first.bands)
        other = network(image=turned(second.image[..., *parts[1]], turns, flips), image_bands=second.bands)
        maps = (one.tokens, turned_back(other.tokens, turns, flips))
        tokens = [image[..., *patch].flatten(2).transpose(1, 2) for image, patch in zip(maps, shared, strict=True)]
        some = torch.rand(tokens[0].shape[:2], generator=generator).argsort(dim=1)[:, : self.patches, None]
        rows = [image.take_along_dim(some.to(image.device), dim=1).flatten(0, 1) for image in tokens]
        place = torch.arange(len(first.image), device=rows[0].device)
        patch_loss = info_nce(*rows, place.repeat_interleave(some.shape[1]), self.temperature)
        return {
            "places": Term.whole(info_nce(one.pooled, other.pooled, place, self.temperature)),
            "patches": Term.whole(patch_loss, self.patch_share),
        }


def draw_parts(num: int, patch_size: int, generator: torch.Generator) -> tuple[tuple[Box, Box], tuple[Box, Box]]:
    """Two overlapping squares of an image of `num` x `num` patches, in pixels, and in each of them the patches that they
    share.

    A patch that agrees with itself amid other surroundings is about its own ground rather than about the window.
    """
    side = int(torch.randint(num // 2 + 1, num + 1, (), generator=generator))
    starts = torch.randint(num - side + 1, (2, 2), generator=generator)  # part, axis; at least two patches are shared
    low, high = starts.amax(0), starts.amin(0) + side

    def box(first: Tensor, last: Tensor, scale: int) -> Box:
        rows, columns = (slice(int(at) * scale, int(to) * scale) for at, to in zip(first, last, strict=True))
        return rows, columns

    parts = box(starts[0], starts[0] + side, patch_size), box(starts[1], starts[1] + side, patch_size)
    return parts, (box(low - starts[0], high - starts[0], 1), box(low - starts[1], high - starts[1], 1))


def info_nce(first_MD: Tensor, second_MD: Tensor, place_M: Tensor, temperature: float) -> Tensor:
    """Cross entropy of finding row i of one among the rows of the other by cosine, both ways.

    Rows of the same place other than i itself do not count.
    """
    logits_MM = functional.normalize(first_MD, dim=1) @ functional.normalize(second_MD, dim=1).T / temperature
    target_M = torch.arange(len(logits_MM), device=logits_MM.device)
    same_MM = (place_M[:, None] == place_M) & (target_M[:, None] != target_M)
    logits_MM = logits_MM.masked_fill(same_MM, -torch.inf)
    return (functional.cross_entropy(logits_MM, target_M) + functional.cross_entropy(logits_MM.T, target_M)) / 2
