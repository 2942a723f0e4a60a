"""A transformer with the norm before each part, whose keys may stand for several tokens at once."""

# B batch, T tokens, D width, H heads

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Attention of all tokens to all, (B, T, D) to (B, T, D)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.W_q, self.W_k, self.W_v = (nn.Linear(width, width) for _ in range(3))
        self.W_out = nn.Linear(width, width) if heads > 1 else None
        for layer in (self.W_q, self.W_k, self.W_v, self.W_out):
            if layer is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, x_BTD: Tensor, bias_BT: Tensor | None = None) -> Tensor:
        """`bias_BT` is added to the scores of each key: the log of how many tokens it stands for."""
        layers = (self.W_q, self.W_k, self.W_v)
        qkv = (layer(x_BTD).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in layers)
        mixed = functional.scaled_dot_product_attention(
            *qkv,
            attn_mask=None if bias_BT is None else bias_BT[:, None, None],
            dropout_p=self.dropout if self.training else 0.0,
        )
        mixed = mixed.transpose(1, 2).flatten(2)
        return mixed if self.W_out is None else self.W_out(mixed)


class FeedForward(nn.Module):
    """Linear, ReLU, linear, 4/3 as wide between."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        inner = int(width * 4 / 3)
        self.linear1 = nn.Linear(width, inner)
        self.dropout = nn.Dropout(dropout)
        self.linear2 = nn.Linear(inner, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.linear1(x_BTD).relu_()))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_normalization = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.ffn_normalization = nn.LayerNorm(width)
        self.ffn = FeedForward(width, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, bias_BT: Tensor | None = None) -> Tensor:
        x_BTD = x_BTD + self.dropout(self.attention(self.attention_normalization(x_BTD), bias_BT))
        return x_BTD + self.dropout(self.ffn(self.ffn_normalization(x_BTD)))


class Encoder(nn.Module):
    """Blocks, and no norm after the last."""

    def __init__(self, width: int, blocks: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(blocks))

    def forward(self, x_BTD: Tensor, bias_BT: Tensor | None = None) -> Tensor:
        for block in self.blocks:
            x_BTD = block(x_BTD, bias_BT)
        return x_BTD
