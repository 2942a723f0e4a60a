"""The SMARTIES auto-encoder: pre-training by reconstructing masked patches of two images of one place.

Embed both images, exchange tokens between them, mask both alike, encode what is left, decode, and predict the pixels of
each band through the layer of its spectral range.

Source: gsumbul/SMARTIES@fc0df04. Differs: any image size; both streams pass as one doubled batch (same result); the
exchange can be symmetric, as the paper has it.
"""

# B batch, C bands, N tokens, M tokens kept, P pixels of a patch, D width, R learned ranges

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

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


class Stream(NamedTuple):
    """One of the two streams after mixup.

    tokens: (B, N, D), before positions. pixels: (B, N, C, P), what is to be reconstructed. numbers: (B, N, C).
    latent: (B, 1 + M, D), normed, class token first. predicted: (B, N, C, P).
    """

    tokens: Tensor
    pixels: Tensor
    numbers: Tensor
    latent: Tensor
    predicted: Tensor


class Reconstruction(NamedTuple):
    """Both streams; mask (B, N) is 1 where a patch was removed, restore (B, N) puts the sequence back in order."""

    first: Stream
    second: Stream
    mask: Tensor
    restore: Tensor


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

    def forward(self, first: Cut, second: Cut, mixup_draws: Tensor, mask_draws: Tensor) -> Reconstruction:
        """Reconstruct.

        Args:
            first: an image.
            second: another of the same place, equal in size and number of bands (tile the shorter list).
            mixup_draws: uniform (B, N); the smallest keep their image.
            mask_draws: uniform (B, N); the smallest stay visible.

        Raises:
            InputError: a band without a layer of its own, which cannot be reconstructed.
        """
        grid = (first.patches.shape[1], first.patches.shape[2])
        streams = self._mix(first, second, mixup_draws)
        keep_BM, mask_BN, restore_BN = draw_mask(mask_draws, self.config.mask_ratio)
        # Both streams see the same patches, so they pass as one batch.
        latent_BMD = self._encode(torch.cat([streams[0][0], streams[1][0]]), grid, keep_BM.repeat(2, 1))
        decoded_BND = self._decode(latent_BMD, grid, restore_BN.repeat(2, 1))
        predicted_BNCP = self._predict(decoded_BND, torch.cat([streams[0][2], streams[1][2]]))
        made = [
            Stream(*stream, latent, predicted)
            for stream, latent, predicted in zip(streams, latent_BMD.chunk(2), predicted_BNCP.chunk(2), strict=True)
        ]
        return Reconstruction(made[0], made[1], mask_BN, restore_BN)

    def embed(self, cut: Cut) -> Tensor:
        """The normed class token (B, D) of an unmasked image, as the encoder alone gives it."""
        grid = (cut.patches.shape[1], cut.patches.shape[2])
        tokens_BND = self.spectrum_projection.patches(cut.patches.flatten(1, 2).flatten(3), cut.numbers.flatten(1, 2))
        return self.norm(self.transform(self.with_positions(tokens_BND, grid))[:, 0])

    def _mix(self, first: Cut, second: Cut, draws_BN: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """(tokens, pixels, numbers) of both streams after the exchange."""
        pairs = []
        for cut in (first, second):
            pixels_BNCP, numbers_BNC = cut.patches.flatten(1, 2).flatten(3), cut.numbers.flatten(1, 2).long()
            if int(numbers_BNC.max()) >= NUM_LEARNED:
                raise InputError("blended bands (blue_2, thermal_infrared_1) cannot be reconstructed; leave them out")
            pairs.append((self.spectrum_projection.patches(pixels_BNCP, numbers_BNC), pixels_BNCP, numbers_BNC))
        mixed = [exchange(draws_BN, *one, self.config.mixup_ratio) for one in zip(*pairs, strict=True)]
        streams = list(zip(*mixed, strict=True))
        return [streams[0], streams[1] if self.config.symmetric else pairs[1]]

    def _encode(self, tokens_BND: Tensor, grid: tuple[int, int], keep_BM: Tensor) -> Tensor:
        x_BND = self.with_positions(tokens_BND, grid)
        visible_BMD = x_BND[:, 1:].take_along_dim(keep_BM[..., None], dim=1)
        return self.norm(self.transform(torch.cat([x_BND[:, :1], visible_BMD], dim=1)))

    def _decode(self, latent_BMD: Tensor, grid: tuple[int, int], restore_BN: Tensor) -> Tensor:
        x_BMD = self.decoder_embed(latent_BMD)
        num_removed = restore_BN.shape[1] + 1 - x_BMD.shape[1]
        shuffled_BND = torch.cat([x_BMD[:, 1:], self.mask_token.expand(len(x_BMD), num_removed, -1)], dim=1)
        patches_BND = shuffled_BND.take_along_dim(restore_BN[..., None], dim=1)
        x_BND = torch.cat([x_BMD[:, :1], patches_BND], dim=1) + resize_positions(self.decoder_pos_embed, *grid)
        for block in self.decoder_blocks:
            x_BND = block(x_BND)
        return self.decoder_norm(x_BND)[:, 1:]

    def _predict(self, decoded_BND: Tensor, numbers_BNC: Tensor) -> Tensor:
        """Pixels (B, N, C, P) of each band, by the layer of its range."""
        weight_RPD = torch.stack([layer.weight for layer in self.decoder_preds])
        bias_RP = torch.stack([layer.bias for layer in self.decoder_preds])
        all_BNRP = (decoded_BND @ weight_RPD.flatten(0, 1).T).unflatten(2, bias_RP.shape) + bias_RP
        return all_BNRP.take_along_dim(numbers_BNC[..., None], dim=2)


def draw_mask(draws_BN: Tensor, ratio: float) -> tuple[Tensor, Tensor, Tensor]:
    """Places kept (B, M) in the order of their draws, mask (B, N) with 1 = removed, and restore (B, N)."""
    num_kept = int(draws_BN.shape[1] * (1 - ratio))
    shuffle_BN = draws_BN.argsort(dim=1)
    restore_BN = shuffle_BN.argsort(dim=1)
    return shuffle_BN[:, :num_kept], (restore_BN >= num_kept).to(draws_BN.dtype), restore_BN


def build(**config: Any) -> Autoencoder:
    """An auto-encoder with random weights; keywords of `AutoencoderConfig` and `TrunkConfig`."""
    own = {name: config.pop(name) for name in AutoencoderConfig.__dataclass_fields__ if name in config}
    blend = Blend(config.pop("blend", Blend.NEAREST))
    return Autoencoder(AutoencoderConfig(trunk=TrunkConfig(blend=blend, **config), **own))
