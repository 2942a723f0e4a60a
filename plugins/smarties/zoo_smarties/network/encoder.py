"""The SMARTIES encoder (arXiv 2506.19585): a vision transformer that never sees how many bands there are.

Source: gsumbul/SMARTIES@fc0df04. Differs: any image size (the position table is resized), non-square images.
"""

# B batch, C bands, H W pixels, h w patches, N tokens, D width, K classes

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.tasks.pretrain import EmbedOutput
from zoo.tasks.segment import SegmentOutput
from zoo_smarties.network.heads import build_head, enlarge
from zoo_smarties.network.transformer import NORM_EPS, Trunk, TrunkConfig, initialise, map_of
from zoo_smarties.spectrum import Blend


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderConfig:
    """A trunk, how its tokens are pooled, and a head.

    Attributes:
        pooling: `"cls"`, the normed class token, or `"mean"`, the normed mean of the patches.
        head: see `build_head`; its input is `num_sources` features wide.
        upsample: factor from tokens to pixels of a segmentation; `None` = to the image's own pixels. The original's is
            96 / 14, whatever the image.
    """

    trunk: TrunkConfig
    pooling: str = "cls"
    head: str | None = None
    num_classes: int = 0
    upsample: float | None = None

    def __post_init__(self) -> None:
        if self.pooling not in ("cls", "mean"):
            raise ConfigError(f"pooling {self.pooling!r} is unknown; it is cls or mean")
        if self.head and self.num_classes < 1:
            raise ConfigError(f"a {self.head} head needs num_classes, found {self.num_classes}")

    @property
    def segments(self) -> bool:
        return self.head == "segment"


class Encoder(Trunk):
    """Image (B, C, H, W) with a name per band to an embedding, a token map, and logits where there is a head."""

    def __init__(self, config: EncoderConfig, *, num_sources: int = 1) -> None:
        super().__init__(config.trunk)
        self.config = config
        width = config.trunk.width
        self.norm = nn.LayerNorm(width, eps=NORM_EPS) if config.pooling == "cls" else None
        self.fc_norm = nn.LayerNorm(width, eps=NORM_EPS) if config.pooling == "mean" else None
        initialise(self)
        self.head = build_head(config.head, num_sources * width, config.num_classes)

    def forward(
        self, image: Tensor, image_bands: Sequence[str], image_valid: Tensor | None = None
    ) -> EmbedOutput | SegmentOutput:
        """Embed.

        Args:
            image: (B, C, H, W), normalised; H and W are multiples of the patch.
            image_bands: vocabulary ids, SMARTIES' range names or wavelengths (`"665nm"`), one per channel.
            image_valid: (B, H, W); pixels without data count as 0, the mean of the normalised bands.

        Raises:
            InputError: an unknown band, a wrong number of them, or sides that are no multiple of the patch.
        """
        if image_valid is not None:
            image = torch.where(image_valid[:, None], image, 0)
        return self.answer(*self.features(image, image_bands), size=(image.shape[2], image.shape[3]))

    def features(self, image_BCHW: Tensor, bands: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Pooled feature (B, D) and token map (B, D, h, w)."""
        x_BND, grid = self.encode(image_BCHW, bands)
        return self.pool(x_BND), map_of(x_BND, grid)  # the map is not normed: so it is in the original

    def pool(self, x_BND: Tensor) -> Tensor:
        """The pooled feature (B, D) of the last block's tokens."""
        if self.fc_norm is not None:
            return self.fc_norm(x_BND[:, 1:].mean(dim=1))
        assert self.norm is not None
        return self.norm(x_BND[:, 0])

    def answer(self, pooled_BD: Tensor, tokens_BDhw: Tensor | None, *, size: tuple[int, int]) -> Any:
        if self.head is None:
            return EmbedOutput(pooled=pooled_BD, tokens=tokens_BDhw)
        if self.config.segments:
            logits_BKHW = enlarge(self.head(tokens_BDhw), factor=self.config.upsample, size=size)
            return SegmentOutput(logits=logits_BKHW)
        return EmbedOutput(pooled=pooled_BD, tokens=tokens_BDhw, logits=self.head(pooled_BD))

    def feature_maps(self, image_BCHW: Tensor, bands: Sequence[str], after: Sequence[int]) -> tuple[Tensor, ...]:
        """Token maps (B, D, h, w) after the blocks of these indices, for decoders that want several levels."""
        grid = self.spectrum_projection.grid(image_BCHW)
        x_BND = self.with_positions(self.spectrum_projection(image_BCHW, bands), grid)
        maps = {}
        for index, block in enumerate(self.blocks):
            x_BND = block(x_BND)
            if index in after:
                maps[index] = map_of(x_BND, grid)
        return tuple(maps[index] for index in after)


def config_from(
    *, pooling: str = "cls", head: str | None = None, num_classes: int = 0, upsample: float | None = None, **trunk: Any
) -> EncoderConfig:
    """The plain data of a variant as a config."""
    blend = Blend(trunk.pop("blend", Blend.NEAREST))
    return EncoderConfig(
        trunk=TrunkConfig(blend=blend, **trunk), pooling=pooling, head=head, num_classes=num_classes, upsample=upsample
    )


def build(**config: Any) -> Encoder:
    """An encoder with random weights; see `EncoderConfig` and `TrunkConfig` for the keywords."""
    return Encoder(config_from(**config))
