"""Sentinel-1 and Sentinel-2 together: one pass of the shared encoder per source, features concatenated for the head.

Source: gsumbul/SMARTIES@fc0df04, BigEarthNet-MM probe. Differs: the original exchanges a random half of the tokens between
the two sources before each pass, at evaluation too; here the sources stay apart unless `exchange_seed` asks for that.
"""

# B batch, C bands, H W pixels, h w patches, N tokens, P pixels of a patch, D width, K classes

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.errors import InputError
from zoo_smarties.mixing import exchange, tile_bands
from zoo_smarties.network.encoder import Encoder, EncoderConfig, config_from
from zoo_smarties.network.projection import cut_patches
from zoo_smarties.network.transformer import map_of
from zoo_smarties.spectrum import numbers

EXCHANGED_BANDS = 12  # both sources are tiled to so many, so that their tokens can change places


class JointEncoder(Encoder):
    """Two co-registered images of the same size to one embedding, twice as wide, and what its head answers."""

    def __init__(self, config: EncoderConfig, *, exchange_seed: int | None = None) -> None:
        super().__init__(config, num_sources=2)
        self.exchange_seed = exchange_seed

    def forward(self, s1: Tensor, s1_bands: Sequence[str], s2: Tensor, s2_bands: Sequence[str]) -> Any:
        """Embed Sentinel-1 (B, 2, H, W) and Sentinel-2 (B, 12, H, W), both normalised; features in that order."""
        return self.fuse(((s1, s1_bands), (s2, s2_bands)))

    def fuse(self, sources: Sequence[tuple[Tensor, Sequence[str]]]) -> Any:
        """As `forward`, of any two sources, in the order in which the head takes their features."""
        sizes = [tuple(image.shape[2:]) for image, _ in sources]
        if len(set(sizes)) > 1:
            found = " and ".join(f"{height} x {width} px" for height, width in sizes)
            raise InputError(f"the sources are {found}; resample them to one grid")
        if self.exchange_seed is None:
            pairs = [self.features(image, bands) for image, bands in sources]
        else:
            pairs = self._exchanged_features(sources, torch.Generator().manual_seed(self.exchange_seed))
        pooled_BD = torch.cat([pooled for pooled, _ in pairs], dim=1)
        tokens_BDhw = torch.cat([tokens for _, tokens in pairs], dim=1)
        return self.answer(pooled_BD, tokens_BDhw, size=(sizes[0][0], sizes[0][1]))

    def _exchanged_features(
        self, sources: Sequence[tuple[Tensor, Sequence[str]]], generator: torch.Generator
    ) -> list[tuple[Tensor, Tensor]]:
        (first, first_bands), (second, second_bands) = (
            tile_bands(image, tuple(bands), EXCHANGED_BANDS) for image, bands in sources
        )
        patches = [cut_patches(image, self.config.trunk.patch_size) for image in (first, second)]
        grid = (patches[0].shape[1], patches[0].shape[2])
        batch, num_tokens = len(first), grid[0] * grid[1]
        draws_BN = torch.rand(batch, num_tokens, generator=generator).to(first.device)
        streams = [one.flatten(1, 2).flatten(3) for one in patches]
        indices = [
            torch.tensor(numbers(bands), device=first.device).expand(batch, num_tokens, -1)
            for bands in (first_bands, second_bands)
        ]
        mixed = exchange(draws_BN, streams[0], streams[1])
        mixed_indices = exchange(draws_BN, indices[0], indices[1])
        found = []
        for patches_BNCP, numbers_BNC in zip(mixed, mixed_indices, strict=True):
            tokens_BND = self.spectrum_projection.patches(patches_BNCP, numbers_BNC)
            x_BND = self.transform(self.with_positions(tokens_BND, grid))
            found.append((self.pool(x_BND), map_of(x_BND, grid)))
        return found


def build(*, exchange_seed: int | None = None, **config: Any) -> JointEncoder:
    """A joint encoder with random weights; `exchange_seed` draws the original's exchange of tokens."""
    return JointEncoder(config_from(**config), exchange_seed=exchange_seed)
