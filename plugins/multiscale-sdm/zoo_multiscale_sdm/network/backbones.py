"""What turns a patch into a map of features, on which all scales look: a plain CNN, or the first nine layers of ResNet-18.

Source: ninavantiel/multi_scale_SDMs@22ac42f.
"""

# B batch, C bands, H W pixels, F features, h w pixels of the map

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from zoo.errors import InputError
from zoo_multiscale_sdm.network.geometry import Sliding

STEM, DEEP = 64, 128  # features, of ResNet-18
DEPTH = 2  # blocks per stage, of ResNet-18


class Cnn(nn.Module):
    """(B, C, H, W) to (B, F, h, w): convolution, batch norm, ReLU and max-pooling, as often as there are filters."""

    def __init__(
        self,
        num_bands: int,
        *,
        filters: Sequence[int],
        kernels: Sequence[int],
        paddings: Sequence[int],
        pools: Sequence[int],
    ) -> None:
        super().__init__()
        self.width = filters[-1]
        self.sliding: tuple[Sliding, ...] = ()
        parts: list[nn.Module] = []
        widths = pairwise((num_bands, *filters))
        for (before, after), kernel, padding, pool in zip(widths, kernels, paddings, pools, strict=True):
            convolution = nn.Conv2d(before, after, kernel, padding=padding)
            parts += [convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(pool)]
            self.sliding += (Sliding(kernel, padding=padding), Sliding(pool, stride=pool))
        self.layers = nn.Sequential(*parts)

    def forward(self, patch: Tensor) -> Tensor:
        """See the class.

        Raises:
            InputError: in training, batch norms have one value to take their statistics over.
        """
        if self.training and patch[:, 0].numel() == 1:
            raise InputError(
                "found a batch of one patch of one pixel; expected more in training, where batch norms compare them: leave"
                " drop_last on, or change batch or micro_batch"
            )
        features: Tensor = self.layers(patch)
        return features


class ResNet(nn.Module):
    """(B, C, H, W) to (B, 128, ceil(H / 2), ceil(W / 2)): a stem of full resolution and two stages of ResNet-18."""

    width = DEEP
    sliding = (
        Sliding(3, padding=1),  # the stem
        *[Sliding(3, padding=1)] * (2 * DEPTH),
        Sliding(3, stride=2, padding=1),
        *[Sliding(3, padding=1)] * (2 * DEPTH - 1),
    )

    def __init__(self, num_bands: int) -> None:
        super().__init__()
        self.layer0 = nn.Sequential(
            nn.Conv2d(num_bands, STEM, 3, padding=1, bias=False), nn.BatchNorm2d(STEM), nn.ReLU()
        )
        self.layer1 = nn.Sequential(*(Block(STEM, STEM) for _ in range(DEPTH)))
        self.layer2 = nn.Sequential(Block(STEM, DEEP, stride=2), *(Block(DEEP, DEEP) for _ in range(DEPTH - 1)))

    def forward(self, patch: Tensor) -> Tensor:
        features: Tensor = self.layer2(self.layer1(self.layer0(patch)))
        return features


class Block(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016, figure 5, left)."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU()
        self.downsample = None
        if stride != 1 or before != after:
            narrow = nn.Conv2d(before, after, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(narrow, nn.BatchNorm2d(after))
        for part in self.modules():
            if isinstance(part, nn.Conv2d):  # as torchvision's; the stem keeps torch's own
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.relu(shortcut + self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return out
