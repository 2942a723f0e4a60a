"""Two convolutions and a head."""

import torch
from torch import Tensor, nn

from zoo.tasks.pretrain import EmbedOutput


class Toy(nn.Module):
    """(B, 3, H, W) to a vector of 8 numbers per 2 x 2 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, kernel_size=3, stride=2, padding=1)
        self.body = nn.Conv2d(8, 8, kernel_size=3, padding=1)
        self.head = nn.Linear(8, 2)

    def forward(self, image: Tensor) -> EmbedOutput:
        tokens = torch.tanh(self.body(torch.relu(self.stem(image))))
        pooled = tokens.mean(dim=(2, 3))
        return EmbedOutput(pooled=pooled, tokens=tokens, logits=self.head(pooled))


def build() -> Toy:
    return Toy()
