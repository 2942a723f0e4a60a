"""MaskSDM: a token per predictor, one learned token for whatever is missing, a transformer, their mean, a score per species.

What is missing is a token like any other, but all such tokens are equal at the input and stay equal in every layer. So one
of them stands for all m of a site: log m is added to its attention scores, and it counts m times in the mean. This is exact,
and a site with 19 of 61 predictors costs 20 tokens instead of 62.
"""

# B batch, F predictors, T tokens (F, and SatCLIP), V visible ones, C class tokens, D width, S species

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.tasks.sdm import SdmOutput
from zoo_masksdm.network.encoder import Encoder
from zoo_masksdm.network.tokens import LinearTokens, PeriodicTokens

SATCLIP = 256  # numbers of a SatCLIP embedding of a place
PIECE = 64 * 62 * 192  # ours: numbers that go through the encoder together on CPUs: 3 MB stay in the cache


class Head(nn.Module):
    """Norm, ReLU, linear."""

    def __init__(self, width: int, species: int) -> None:
        super().__init__()
        self.normalization = nn.LayerNorm(width)
        self.linear = nn.Linear(width, species)

    def forward(self, pooled_BD: Tensor, species: Sequence[int] | None = None) -> Tensor:
        """Logits (B, S), of the species asked for alone."""
        features = self.normalization(pooled_BD).relu()
        if species is None:
            return self.linear(features)
        rows = torch.as_tensor(species, device=features.device)
        return nn.functional.linear(features, self.linear.weight[rows], self.linear.bias[rows])


class MaskSdm(nn.Module):
    """Predictors (B, F), any of them missing, to logits (B, S).

    Args:
        features: predictors, F.
        species: S.
        width: of a token.
        blocks: of the encoder.
        heads: of attention.
        dropout: in training: of attention's weights, in the feed-forward part, and of what both add.
        tokenizer: `periodic`, or `linear` as in no released network.
        cls_tokens: learned tokens in front that take part in attention alone; released networks have none.
        frequencies: of periodic tokens.
        share_dropout: whether the missing predictors of a site share their dropout, so that training is as fast as
            prediction; in the paper each has its own. Without dropout both are the same.
        satclip: whether there is a token of SatCLIP, as in all released networks.
    """

    def __init__(
        self,
        *,
        features: int,
        species: int,
        width: int = 192,
        blocks: int = 7,
        heads: int = 8,
        dropout: float = 0.1,
        tokenizer: str = "periodic",
        cls_tokens: int = 0,
        frequencies: int = 48,
        share_dropout: bool = False,
        satclip: bool = True,
    ) -> None:
        super().__init__()
        self.dropout, self.share_dropout = dropout, share_dropout
        limit = width**-0.5
        self.mask_token = nn.Parameter(torch.empty(width).uniform_(-limit, limit))
        if cls_tokens:
            self.cls_tokens = nn.Parameter(torch.empty(cls_tokens, width).uniform_(-limit, limit))
        else:
            self.register_parameter("cls_tokens", None)
        self.feature_tokenizer = (
            PeriodicTokens(features, width, frequencies) if tokenizer == "periodic" else LinearTokens(features, width)
        )
        self.satclip_projection = nn.Linear(SATCLIP, width) if satclip else None
        self.transformer_encoder = Encoder(width, blocks, heads, dropout)
        self.head = Head(width, species)

    def forward(
        self,
        predictors: Tensor,
        predictors_valid: Tensor | None = None,
        satclip: Tensor | None = None,
        satclip_valid: Tensor | None = None,
        species: Sequence[int] | None = None,
    ) -> SdmOutput:
        """Logits of all species, or of those asked for by number.

        Args:
            predictors: (B, F) standardised; NaN where one is missing.
            predictors_valid: (B, F) bool, which may be seen; `None` = all but NaN.
            satclip: (B, 256) not standardised; without it, its token counts as missing, as in the published results.
            satclip_valid: (B, 256) bool; where one number is missing, all are. `None` = all may be seen.
            species: numbers of the species; `None` = all.
        """
        seen = predictors_valid if predictors_valid is not None else ~predictors.isnan()
        if self.satclip_projection is None:
            place = seen[:, :0]
        elif satclip is None:
            place = torch.zeros_like(seen[:, :1])
        elif satclip_valid is None:
            place = torch.ones_like(seen[:, :1])
        else:
            place = satclip_valid.all(dim=1, keepdim=True)
        pooled = self.pooled(self.tokens(predictors, satclip), torch.cat([seen, place], dim=1))
        return SdmOutput(logits=self.head(pooled, species))

    def tokens(self, predictors: Tensor, satclip: Tensor | None = None) -> Tensor:
        """(B, F + 1, D) of predictors and of SatCLIP, last; what is masked has no part in them.

        They serve for any number of masks.
        """
        tokens = self.feature_tokenizer(predictors.nan_to_num(nan=0.0))
        if self.satclip_projection is None:
            return tokens
        if satclip is None:
            place = tokens.new_zeros(len(tokens), 1, tokens.shape[2])
        else:
            place = self.satclip_projection(satclip.nan_to_num(nan=0.0))[:, None]
        return torch.cat([tokens, place], dim=1)

    def pooled_of(
        self, tokens: Tensor, rows: Tensor, predictors_valid: Tensor, satclip_valid: Tensor | None = None
    ) -> Tensor:
        """See `zoo.tasks.sdm.SubsetNetwork`; SatCLIP is hidden where its mask is not given."""
        keep = predictors_valid
        if self.satclip_projection is not None:
            hidden = torch.zeros_like(keep[:, :1])
            place = hidden if satclip_valid is None else satclip_valid.all(dim=1, keepdim=True)
            keep = torch.cat([keep, place], dim=1)
        return self.pooled(tokens, keep, rows)

    def pooled(self, tokens: Tensor, keep: Tensor, rows: Tensor | None = None) -> Tensor:
        """(B, D): the mean over all tokens, missing ones included, behind the encoder.

        Sites that show nothing get one and the same answer, to the last bit.

        Args:
            tokens: (B, T, D).
            keep: (B, T) bool, which of them may be seen.
            rows: (B,) whose tokens each mask is for; `None` = there are as many of them.
        """
        rows = torch.arange(len(keep), device=keep.device) if rows is None else rows
        if self.training and self.dropout > 0 and not self.share_dropout:
            first = 0 if self.cls_tokens is None else len(self.cls_tokens)
            return self.transformer_encoder(self.sequence(tokens[rows], keep))[:, first:].mean(dim=1)
        count = keep.sum(dim=1)
        order = count.argsort(stable=True)
        size = max(PIECE // tokens[0].numel(), 1) if tokens.device.type == "cpu" else len(keep)
        parts = [self._pooled(tokens[rows[piece]], keep[piece]) for piece in _pieces(order, count, size)]
        return torch.cat(parts)[order.argsort()]

    def sequence(self, tokens: Tensor, keep: Tensor) -> Tensor:
        """(B, C + T, D) as the paper has it: class tokens, then all tokens, missing ones replaced in place."""
        masked = torch.where(keep[..., None], tokens, self.mask_token)
        if self.cls_tokens is None:
            return masked
        return torch.cat([self.cls_tokens.expand(len(tokens), -1, -1), masked], dim=1)

    def _pooled(self, tokens: Tensor, keep: Tensor) -> Tensor:
        """`pooled` with one token for all that are missing."""
        rows, total = keep.shape
        count = keep.sum(dim=1)
        most, least = int(count.max()), int(count.min())
        if most == 0:
            return self._encoded(tokens[:1, :0], tokens.new_full((1, 1), total), total).expand(rows, -1)
        if least == total:
            return self._encoded(tokens, None, total)
        shown = (~keep).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]  # in their order; then padding
        times = torch.cat([keep.gather(1, shown), (total - count)[:, None]], dim=1).to(tokens.dtype)
        return self._encoded(tokens.gather(1, shown[..., None].expand(-1, -1, tokens.shape[2])), times, total)

    def _encoded(self, tokens: Tensor, times: Tensor | None, total: int) -> Tensor:
        """The mean of `total` tokens behind the encoder.

        Args:
            tokens: (B, V, D).
            times: (B, V + 1), how many tokens each stands for, and the mask token behind them; `None` = one each, no mask.
            total: tokens that are meant.
        """
        parts = [tokens] if times is None else [tokens, self.mask_token.expand(len(tokens), 1, -1)]
        first = 0
        if self.cls_tokens is not None:
            first = len(self.cls_tokens)
            parts = [self.cls_tokens.expand(len(tokens), -1, -1), *parts]
        sequence = torch.cat(parts, dim=1)
        if times is None:
            return self.transformer_encoder(sequence)[:, first:].mean(dim=1)
        bias = nn.functional.pad(times.log(), (first, 0))  # padding stands for no token: log 0 is -inf
        encoded = self.transformer_encoder(sequence, bias)[:, first:]
        return (times[:, None] @ encoded)[:, 0] / total


def _pieces(order: Tensor, count: Tensor, size: int) -> Iterator[Tensor]:
    """Rows (in `order`, by how much they show) that go through the encoder together, at most `size`; of those that show
    nothing, all.
    """
    empty = int((count == 0).sum())
    if empty:
        yield order[:empty]
    if empty < len(order):
        yield from order[empty:].split(size)


class Imputed(MaskSdm):
    """The same network without masks: what is missing is a number that the data say, and seen as any other.

    Args:
        fill_predictors: (F) what stands for each missing predictor, standardised; `None` = 0, the mean.
        fill_satclip: (256) what stands for a missing SatCLIP embedding: in the paper its mean (or median) over the training
            sites; `None` = zeros.
        **sizes: see `MaskSdm`.
    """

    fill_predictors: Tensor
    fill_satclip: Tensor
    pooled_of = None  # what is hidden is filled before there are tokens

    def __init__(
        self,
        *,
        features: int,
        fill_predictors: Sequence[float] | None = None,
        fill_satclip: Sequence[float] | None = None,
        **sizes: Any,
    ) -> None:
        super().__init__(features=features, **sizes)
        for name, values, size in (
            ("fill_predictors", fill_predictors, features),
            ("fill_satclip", fill_satclip, SATCLIP),
        ):
            fill = torch.tensor([0.0] * size if values is None else list(values))
            self.register_buffer(name, fill, persistent=False)

    def forward(
        self,
        predictors: Tensor,
        predictors_valid: Tensor | None = None,
        satclip: Tensor | None = None,
        satclip_valid: Tensor | None = None,
        species: Sequence[int] | None = None,
    ) -> SdmOutput:
        """As `MaskSdm.forward`."""
        seen = ~predictors.isnan() if predictors_valid is None else predictors_valid
        predictors = torch.where(seen, predictors, self.fill_predictors)
        if satclip is None:
            place = self.fill_satclip.expand(len(predictors), -1)
        elif satclip_valid is None:
            place = satclip
        else:
            place = torch.where(satclip_valid.all(dim=1, keepdim=True), satclip, self.fill_satclip)
        return super().forward(predictors, torch.ones_like(seen), place, None, species)


def build(features: int, num_classes: int, **sizes: Any) -> MaskSdm:
    """See `MaskSdm`."""
    return MaskSdm(features=features, species=num_classes, **sizes)


def imputed(features: int, num_classes: int, **sizes: Any) -> Imputed:
    """See `Imputed`."""
    return Imputed(features=features, species=num_classes, **sizes)
