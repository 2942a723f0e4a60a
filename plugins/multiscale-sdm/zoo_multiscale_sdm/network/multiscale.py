"""Several extents of several modalities around a place, to a logit per species.

A modality is a kind of patch: environmental rasters, satellite images. Each has a backbone and a branch for each of its
scales; the embeddings of all scales of all modalities, side by side, give the logits by one linear layer.

Source: ninavantiel/multi_scale_SDMs@22ac42f; van Tiel et al. 2024, arXiv 2411.04016.
"""

# B batch, C bands, H W pixels, E embedding of a modality, S species

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import InputError
from zoo.tasks.sdm import SdmOutput
from zoo_multiscale_sdm.network.backbones import Cnn, ResNet
from zoo_multiscale_sdm.network.branch import Branch, Crop
from zoo_multiscale_sdm.network.geometry import Span, needed, size_after, step


class Modality(nn.Module):
    """Patches (B, C, H, W) of one kind to an embedding (B, E): that of each scale, side by side."""

    def __init__(self, backbone: Cnn | ResNet, branches: list[Branch], embedding: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.branches = nn.ModuleList(branches)
        self.width = embedding * len(branches)

    def forward(self, patch: Tensor) -> Tensor:
        return torch.cat([branch(cut) for branch, cut in zip(self.branches, self.cuts(patch), strict=True)], dim=1)

    def cuts(self, patch: Tensor) -> list[Tensor]:
        """What each branch sees of the map of features.

        Where nothing else is wanted of the map, no more of the patch goes through the backbone than decides these; in
        training it is the whole patch, since batch norms take their statistics over the whole map.
        """
        wanted = [self._extents(size) for size in patch.shape[2:]]  # rows, then columns
        shift = [0, 0]
        if not self.backbone.training:
            kept = [
                needed(
                    self.backbone.sliding, Span(min(one.first for one in spans), max(one.last for one in spans)), size
                )
                for spans, size in zip(wanted, patch.shape[2:], strict=True)
            ]
            patch = patch[:, :, kept[0].first : kept[0].last + 1, kept[1].first : kept[1].last + 1]
            shift = [span.first // step(self.backbone.sliding) for span in kept]
        if patch.is_cpu:  # torch's convolutions on CPUs are up to twice as fast so; elsewhere it was not measured
            patch = patch.contiguous(memory_format=torch.channels_last)
        features: Tensor = self.backbone(patch)
        return [
            features[
                :, :, row.first - shift[0] : row.last + 1 - shift[0], col.first - shift[1] : col.last + 1 - shift[1]
            ]
            for row, col in zip(*wanted, strict=True)
        ]

    def _extents(self, size: int) -> list[Span]:
        features = size_after(self.backbone.sliding, size)
        return [branch.extent(features) for branch in self.branches if isinstance(branch, Branch)]


class MultiScale(nn.Module):
    """Patches (B, C, H, W) by the name of their modality to logits (B, S).

    A modality that is not given counts as one in which nothing was found (embeddings are not negative): only networks
    that learned without it answer well then, and their descriptions call its input optional.
    """

    def __init__(self, modalities: Mapping[str, Modality], num_species: int) -> None:
        super().__init__()
        self.modalities = nn.ModuleDict(modalities)
        self.head = nn.Linear(sum(one.width for one in modalities.values()), num_species)

    def forward(self, **patches: Tensor) -> SdmOutput:
        if not patches or not set(patches) <= set(self.modalities):
            told = ", ".join(sorted(patches)) or "nothing"
            raise InputError(f"found patches of {told}; expected those of {', '.join(self.modalities)}")
        first = next(iter(patches.values()))
        embeddings = [
            modality(patches[name]) if name in patches else first.new_zeros(len(first), modality.width)
            for name, modality in self.modalities.items()
            if isinstance(modality, Modality)
        ]
        return SdmOutput(logits=self.head(torch.cat(embeddings, dim=1)))


def build(*, modalities: Mapping[str, Mapping[str, Any]], num_classes: int, crop: Crop = "centred") -> MultiScale:
    """The network of a variant's configuration.

    Args:
        modalities: by name; each with `bands` (how many), `backbone` (`cnn` or `resnet`), `filters`, `kernels`,
            `paddings`, `pools` (of a CNN, one number per layer), and `scales`, which has `width`, `embedding`, `linears`
            (how many), and for each scale a list `kernels`, `strides`, `pools`.
        num_classes: species.
        crop: see `zoo_multiscale_sdm.network.branch.Crop`.
    """
    made = {name: _modality(crop=crop, **config) for name, config in modalities.items()}
    return MultiScale(made, num_classes)


def _modality(*, bands: int, backbone: str, scales: Mapping[str, Any], crop: Crop, **layers: Any) -> Modality:
    trunk = Cnn(bands, **layers) if backbone == "cnn" else ResNet(bands, **layers)
    branches = [
        Branch(
            trunk.width,
            width=scales["width"],
            embedding=scales["embedding"],
            kernels=kernels,
            strides=strides,
            pools=pools,
            num_linear=scales["linears"],
            crop=crop,
        )
        for kernels, strides, pools in zip(scales["kernels"], scales["strides"], scales["pools"], strict=True)
    ]
    return Modality(trunk, branches, scales["embedding"])
