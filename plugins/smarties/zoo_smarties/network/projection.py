"""The spectrum-aware projection: one linear patch embedding per spectral range, averaged over bands.

    token = 12 * mean over bands of layer[range of the band](pixels of the patch)

The 12 stays whatever the number of bands. Since the layers are linear, the average is one product of a patch's
pixels, all bands in a row, with the bands' own layers side by side; a band between ranges has a weighted sum of layers.

Differs from gsumbul/SMARTIES@fc0df04: one product instead of a loop over ranges with masks (same result to 4e-6), and
bands between ranges (see `zoo_smarties.spectrum`).
"""

# B batch, C bands, H W pixels, h w patches, N tokens, P pixels of a patch, D width, R learned ranges

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.errors import InputError
from zoo_smarties.spectrum import NUM_LEARNED, PROJECTION_SCALE, Blend, Mixture, mixture, mixture_of_number


class RangeEmbedding(nn.Module):
    """The linear patch embedding of one spectral range."""

    def __init__(self, num_pixels: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(num_pixels, width)


class SpectrumProjection(nn.Module):
    """Image (B, C, H, W) with a name per band to patch tokens (B, N, D)."""

    def __init__(self, width: int, patch_size: int, blend: Blend) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.blend = blend
        self.spectrum_embeds = nn.ModuleList(RangeEmbedding(patch_size**2, width) for _ in range(NUM_LEARNED))

    def forward(self, image_BCHW: Tensor, bands: Sequence[str]) -> Tensor:
        """Tokens (B, N, D) of an image; N in row-major order."""
        self._check(image_BCHW, bands)
        mixtures = [mixture(band, self.blend) for band in bands]
        weight_DCP = torch.stack([self._mixed("weight", one) for one in mixtures], dim=1)
        bias_D = torch.stack([self._mixed("bias", one) for one in mixtures]).sum(dim=0)
        # A product of cut patches rounds less than a convolution with this stride (4e-6 instead of 3e-5) and is as fast.
        patches_BNX = cut_patches(image_BCHW, self.patch_size).flatten(3).flatten(1, 2)
        return (patches_BNX @ weight_DCP.flatten(1).T + bias_D) * (PROJECTION_SCALE / len(bands))

    def grid(self, image_BCHW: Tensor) -> tuple[int, int]:
        """Rows and columns of patches."""
        return image_BCHW.shape[2] // self.patch_size, image_BCHW.shape[3] // self.patch_size

    def patches(self, patches_BNCP: Tensor, numbers_BNC: Tensor) -> Tensor:
        """Tokens (B, N, D) of cut patches whose bands differ from patch to patch (token mixup, S1+S2 exchange).

        Args:
            patches_BNCP: pixels.
            numbers_BNC: the authors' projection numbers, 0..18; blends go by the authors' rule.
        """
        share_SR = patches_BNCP.new_tensor([_shares(number) for number in range(NUM_LEARNED + 2)])
        share_BNCR = share_SR[numbers_BNC.long()]
        # Bands of the same range are summed before the product, which is linear.
        summed_BNRP = share_BNCR.transpose(2, 3) @ patches_BNCP
        weight_DRP = torch.stack([layer.proj.weight for layer in self.spectrum_embeds], dim=1)
        bias_RD = torch.stack([layer.proj.bias for layer in self.spectrum_embeds])
        tokens_BND = summed_BNRP.flatten(2) @ weight_DRP.flatten(1).T + share_BNCR.sum(dim=2) @ bias_RD
        return tokens_BND * (PROJECTION_SCALE / patches_BNCP.shape[2])

    def _mixed(self, name: str, one: Mixture) -> Tensor:
        """`weight` (D, P) or `bias` (D) of a band."""
        parts = [getattr(self.spectrum_embeds[layer].proj, name) for layer, _ in one]
        if len(one) == 1:
            return parts[0]
        return sum((share * part for (_, share), part in zip(one, parts, strict=True)), torch.zeros_like(parts[0]))

    def _check(self, image_BCHW: Tensor, bands: Sequence[str]) -> None:
        channels, height, width = image_BCHW.shape[1:]
        if channels != len(bands) or not bands:
            raise InputError(
                f"the image has {channels} channels and {len(bands)} bands are named ({', '.join(bands) or 'none'});"
                " name each channel, in order"
            )
        if height % self.patch_size or width % self.patch_size or not height or not width:
            raise InputError(
                f"the image is {height} x {width} px, and its sides must be multiples of {self.patch_size};"
                f" pad it to {_up(height, self.patch_size)} x {_up(width, self.patch_size)} px or resize it"
            )


def cut_patches(image_BCHW: Tensor, patch_size: int) -> Tensor:
    """(B, h, w, C, p, p): patch (i, j) holds rows i*p.. and columns j*p.., row-major."""
    return image_BCHW.unfold(2, patch_size, patch_size).unfold(3, patch_size, patch_size).permute(0, 2, 3, 1, 4, 5)


def _shares(number: int) -> list[float]:
    shares = dict(mixture_of_number(number))
    return [shares.get(layer, 0.0) for layer in range(NUM_LEARNED)]


def _up(side: int, multiple: int) -> int:
    return max(1, -(-side // multiple)) * multiple
