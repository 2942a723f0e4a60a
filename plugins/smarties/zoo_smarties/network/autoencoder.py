"""The SMARTIES auto-encoder: pre-training by reconstructing masked patches of two images of one place.

Embed both images, exchange tokens between them, mask both alike, encode what is left, decode, and predict the pixels of
each band through the layer of its spectral range.

Source: gsumbul/SMARTIES@fc0df04. Differs, with the same loss: both streams pass as one doubled batch; only patches that
the encoder sees are projected, and only patches that it does not see are predicted; a token's place in the sequence says
nothing, so that the decoder need not put it in order. Differs besides: any image size; the exchange can be symmetric,
as the paper has it.
"""

# B batch, S = 2B images of both streams, C bands, N patches, V seen, M predicted, P pixels of a patch, D width

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.errors import InputError
from zoo_smarties.mixing import exchange
from zoo_smarties.network.positions import resize_positions, sincos_table
from zoo_smarties.network.transformer import NORM_EPS, Block, Trunk, TrunkConfig, initialise
from zoo_smarties.spectrum import NUM_LEARNED, Blend


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderConfig:
    """A trunk and a decoder; the defaults are the released ones, for ViT-B and ViT-L alike.

    Attributes:
        mask_ratio: share of the patches that the encoder does not see.
        mixup_ratio: share of the patches that stay with their own image.
        symmetric: exchange tokens both ways. The original overwrites the first stream before it reads it for the second,
            which therefore stays unmixed; that is the default, since the released weights were trained so.
    """

    trunk: TrunkConfig
    decoder_width: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16
    mask_ratio: float = 0.75
    mixup_ratio: float = 0.5
    symmetric: bool = False


class Cut(NamedTuple):
    """An image in patches: pixels (B, h, w, C, p, p) and projection numbers (B, h, w, C)."""

    patches: Tensor
    numbers: Tensor


class Reconstruction(NamedTuple):
    """Patches of both streams after mixup, the first streams before the second ones.

    predicted: (S, M, C, P). pixels: alike, what was to be predicted. removed: (B, M), 1 where the encoder did not see the
    patch, as of all patches that count. places: (B, M) of the patches in the image. latent: (S, 1 + V, D), normed,
    class token first.
    """

    predicted: Tensor
    pixels: Tensor
    removed: Tensor
    places: Tensor
    latent: Tensor


class Autoencoder(Trunk):
    """Two cut images and two draws to a reconstruction."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__(config.trunk)
        self.config = config
        trunk, width = config.trunk, config.decoder_width
        side = trunk.image_size // trunk.patch_size
        self.pos_embed.requires_grad_(False)
        self.norm = nn.LayerNorm(trunk.width, eps=NORM_EPS)
        self.decoder_embed = nn.Linear(trunk.width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.decoder_pos_embed = nn.Parameter(sincos_table(width, side, side), requires_grad=False)
        self.decoder_blocks = nn.ModuleList(
            Block(width, config.decoder_heads, trunk.mlp_ratio) for _ in range(config.decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.decoder_preds = nn.ModuleList(nn.Linear(width, trunk.patch_size**2) for _ in range(NUM_LEARNED))
        initialise(self)

    def forward(
        self, first: Cut, second: Cut, mixup_draws: Tensor, mask_draws: Tensor, *, everything: bool = False
    ) -> Reconstruction:
        """Reconstruct.

        Args:
            first: an image.
            second: another of the same place, equal in size and number of bands (tile the shorter list).
            mixup_draws: uniform (B, N); the smallest keep their image.
            mask_draws: uniform (B, N); the smallest stay visible.
            everything: predict the visible patches too.

        Raises:
            InputError: a band without a layer of its own, which cannot be reconstructed.
        """
        grid = (first.patches.shape[1], first.patches.shape[2])
        pixels_SNCP, numbers_SNC = self.mixed(first, second, mixup_draws)
        order_BN = mask_draws.argsort(dim=1)
        num_seen = num_visible(order_BN.shape[1], self.config.mask_ratio)
        places_BM = order_BN if everything else order_BN[:, num_seen:]
        removed_M = torch.arange(order_BN.shape[1])[-places_BM.shape[1] :] >= num_seen
        order_SN, places_SM = order_BN.repeat(2, 1), places_BM.repeat(2, 1)  # both streams see the same patches
        seen_SV = order_SN[:, :num_seen]
        latent_SVD = self._encode(rows_at(pixels_SNCP, seen_SV), rows_at(numbers_SNC, seen_SV), seen_SV, grid)
        decoded_SMD = self._decode(latent_SVD, order_SN, grid, num_asking=places_SM.shape[1])
        return Reconstruction(
            predicted=self._predict(decoded_SMD, rows_at(numbers_SNC, places_SM)),
            pixels=rows_at(pixels_SNCP, places_SM),
            removed=removed_M.to(mask_draws).expand_as(places_BM),
            places=places_BM,
            latent=latent_SVD,
        )

    def embed(self, cut: Cut) -> Tensor:
        """The normed class token (B, D) of an unmasked image, as the encoder alone gives it."""
        grid = (cut.patches.shape[1], cut.patches.shape[2])
        tokens_BND = self.spectrum_projection.patches(cut.patches.flatten(1, 2).flatten(3), cut.numbers.flatten(1, 2))
        return self.norm(self.transform(self.with_positions(tokens_BND, grid))[:, 0])

    def mixed(self, first: Cut, second: Cut, draws_BN: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (S, N, C, P) and projection numbers (S, N, C) of both streams after the exchange."""
        pixels = [cut.patches.flatten(1, 2).flatten(3) for cut in (first, second)]
        numbers = [cut.numbers.flatten(1, 2).long() for cut in (first, second)]
        if any(int(one.max()) >= NUM_LEARNED for one in numbers):
            raise InputError("blended bands (blue_2, thermal_infrared_1) cannot be reconstructed; leave them out")
        exchanged = [exchange(draws_BN, *pair, self.config.mixup_ratio) for pair in (pixels, numbers)]
        if not self.config.symmetric:
            exchanged = [(mixed, own[1]) for (mixed, _), own in zip(exchanged, (pixels, numbers), strict=True)]
        return torch.cat(exchanged[0]), torch.cat(exchanged[1])

    def _encode(self, pixels_SVCP: Tensor, numbers_SVC: Tensor, seen_SV: Tensor, grid: tuple[int, int]) -> Tensor:
        positions_ND = resize_positions(self.pos_embed, *grid)[0]
        tokens_SVD = self.spectrum_projection.patches(pixels_SVCP, numbers_SVC) + positions_ND[1:][seen_SV]
        cls_S1D = (self.cls_token + positions_ND[:1]).expand(len(tokens_SVD), -1, -1)
        return self.norm(self.transform(torch.cat([cls_S1D, tokens_SVD], dim=1)))

    def _decode(self, latent_SVD: Tensor, order_SN: Tensor, grid: tuple[int, int], *, num_asking: int) -> Tensor:
        """The last `num_asking` patches (S, M, D), in the order of their draws."""
        positions_ND = resize_positions(self.decoder_pos_embed, *grid)[0]
        x_SVD = self.decoder_embed(latent_SVD)
        absent_SD = self.mask_token.expand(len(x_SVD), order_SN.shape[1] + 1 - x_SVD.shape[1], -1)
        places_SN = functional.pad(order_SN + 1, (1, 0))  # the class token stands first in the table
        x_SND = torch.cat([x_SVD, absent_SD], dim=1) + positions_ND[places_SN]
        *blocks, last = self.decoder_blocks
        for block in blocks:
            x_SND = block(x_SND)
        return self.decoder_norm(last(x_SND, num_asking))

    def _predict(self, decoded_SMD: Tensor, numbers_SMC: Tensor) -> Tensor:
        """Pixels (S, M, C, P) of each band, by the layer of its range: one product for all patches of equal bands."""
        weight_RPD = torch.stack([layer.weight for layer in self.decoder_preds])
        bias_RP = torch.stack([layer.bias for layer in self.decoder_preds])
        lists, list_of = numbers_SMC.flatten(0, 1).unique(dim=0, return_inverse=True)
        parts, rows = [], []
        for number, ranges in enumerate(lists.tolist()):
            own = sorted(set(ranges))  # tiled bands share their range's prediction
            rows.append((list_of == number).nonzero()[:, 0])
            made = functional.linear(
                decoded_SMD.flatten(0, 1)[rows[-1]], weight_RPD[own].flatten(0, 1), bias_RP[own].flatten()
            )
            parts.append(made.unflatten(1, (len(own), -1))[:, [own.index(one) for one in ranges]])
        return torch.cat(parts)[torch.cat(rows).argsort()].unflatten(0, decoded_SMD.shape[:2])


def num_visible(num_patches: int, mask_ratio: float) -> int:
    """How many patches the encoder sees."""
    return int(num_patches * (1 - mask_ratio))


def rows_at(tokens: Tensor, places_SV: Tensor) -> Tensor:
    """Tokens (S, N, ...) at `places_SV`: (S, V, ...)."""
    return tokens[torch.arange(len(tokens), device=tokens.device)[:, None], places_SV]


def build(**config: Any) -> Autoencoder:
    """An auto-encoder with random weights; keywords of `AutoencoderConfig` and `TrunkConfig`."""
    own = {name: config.pop(name) for name in AutoencoderConfig.__dataclass_fields__ if name in config}
    blend = Blend(config.pop("blend", Blend.NEAREST))
    return Autoencoder(AutoencoderConfig(trunk=TrunkConfig(blend=blend, **config), **own))
