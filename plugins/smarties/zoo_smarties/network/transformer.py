"""Pre-norm vision transformer blocks, and the encoder's trunk that all of SMARTIES' networks share."""

# B batch, C bands, H W pixels, h w patches, N tokens, D width, A heads

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo_smarties.network.positions import resize_positions, sincos_table
from zoo_smarties.network.projection import SpectrumProjection
from zoo_smarties.spectrum import Blend

NORM_EPS = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class TrunkConfig:
    """Sizes of the encoder; the defaults are ViT-B/16 as released."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: int = 4
    patch_size: int = 16
    image_size: int = 224  # of the stored position table; other sizes resize it
    blend: Blend = Blend.NEAREST


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x_BND: Tensor, num_asking: int | None = None) -> Tensor:
        """What the tokens tell each other (B, N, D), or tell the last `num_asking` of them (B, M, D)."""
        if num_asking is None:
            return self.attend(*self.qkv(x_BND).chunk(3, dim=-1))
        width, weight, bias = x_BND.shape[-1], self.qkv.weight, self.qkv.bias
        query_BMD = functional.linear(x_BND[:, -num_asking:], weight[:width], bias[:width])
        return self.attend(query_BMD, *functional.linear(x_BND, weight[width:], bias[width:]).chunk(2, dim=-1))

    def attend(self, *query_key_value: Tensor) -> Tensor:
        query, key, value = (one.unflatten(-1, (self.heads, -1)).transpose(1, 2) for one in query_key_value)
        if query.device.type == "cpu" and query.dtype == torch.bfloat16 and query.requires_grad:
            # There torch's fused attention differentiates several times slower than its plain products do.
            scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
            mixed_BAND = scores.softmax(dim=-1) @ value
        else:
            mixed_BAND = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed_BAND.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x_BND: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x_BND)))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = Mlp(width, mlp_ratio * width)

    def forward(self, x_BND: Tensor, num_asking: int | None = None) -> Tensor:
        """All tokens, or the last `num_asking` of them, after having seen all: where the others are of no more use."""
        mixed = self.attn(self.norm1(x_BND), num_asking)
        x_BND = (x_BND if num_asking is None else x_BND[:, -num_asking:]) + mixed
        return x_BND + self.mlp(self.norm2(x_BND))


class Trunk(nn.Module):
    """Spectrum-aware projection, positions and blocks. The final norm and what follows belong to the networks."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        side = config.image_size // config.patch_size
        self.spectrum_projection = SpectrumProjection(config.width, config.patch_size, config.blend)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(sincos_table(config.width, side, side))
        self.blocks = nn.ModuleList(Block(config.width, config.heads, config.mlp_ratio) for _ in range(config.depth))

    def with_positions(self, tokens_BND: Tensor, grid: tuple[int, int]) -> Tensor:
        """The class token and the patches of a `grid` of (rows, columns), each with its position: (B, 1 + N, D)."""
        positions_1ND = resize_positions(self.pos_embed, *grid).to(tokens_BND.dtype)
        cls_B1D = (self.cls_token + positions_1ND[:, :1]).expand(len(tokens_BND), -1, -1)
        return torch.cat([cls_B1D, tokens_BND + positions_1ND[:, 1:]], dim=1)

    def transform(self, x_BND: Tensor) -> Tensor:
        """All blocks, without the final norm."""
        for block in self.blocks:
            x_BND = block(x_BND)
        return x_BND

    def encode(self, image_BCHW: Tensor, bands: Sequence[str]) -> tuple[Tensor, tuple[int, int]]:
        """From an image to the last block's tokens (B, 1 + h*w, D), class token first, and (h, w)."""
        grid = self.spectrum_projection.grid(image_BCHW)
        return self.transform(self.with_positions(self.spectrum_projection(image_BCHW, bands), grid)), grid


def initialise(module: nn.Module) -> None:
    """Xavier-uniform linear weights, zero biases, class and mask tokens N(0, 0.02) (gsumbul/SMARTIES@fc0df04)."""
    for name, parameter in module.named_parameters():
        if name in ("cls_token", "mask_token"):
            nn.init.normal_(parameter, std=0.02)
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


def map_of(tokens_BND: Tensor, grid: tuple[int, int]) -> Tensor:
    """Patch tokens as a map (B, D, h, w); the class token, first of the sequence, is left out."""
    return tokens_BND[:, 1:].transpose(1, 2).unflatten(2, grid)
