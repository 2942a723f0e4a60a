"""One scale: how the middle of a map of features looks with a certain extent around it.

Only one pixel of a branch's last convolution is used, so the branch runs on no more of the map than that pixel sees.

Source: ninavantiel/multi_scale_SDMs@22ac42f, "spatial block".
"""

# B batch, F features of the map, h w its pixels, D width of the branch, E of the embedding

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Literal

from torch import Tensor, nn

from zoo.errors import InputError
from zoo_multiscale_sdm.network.geometry import Sliding, Span, seen, size_after, step

# Which part of the map a branch sees. `original`: what the middle pixel of its last map sees, as the authors' code has
# it; pooling that drops the last row then moves the largest scale up and left (13 of 116 pixels).
Crop = Literal["centred", "original"]


class Branch(nn.Module):
    """(B, F, h, w) to an embedding (B, E), which is not negative."""

    def __init__(
        self,
        num_features: int,
        *,
        width: int,
        embedding: int,
        kernels: Sequence[int],
        strides: Sequence[int],
        pools: Sequence[int],
        num_linear: int,
        crop: Crop,
    ) -> None:
        super().__init__()
        self.crop = crop
        self.sliding: tuple[Sliding, ...] = ()
        convs: list[nn.Module] = []
        for index, (kernel, stride, pool) in enumerate(zip(kernels, strides, pools, strict=True)):
            before = num_features if index == 0 else width
            convs += [nn.Conv2d(before, width, kernel, stride=stride), nn.ReLU(), nn.MaxPool2d(pool)]
            self.sliding += (Sliding(kernel, stride=stride), Sliding(pool, stride=pool))
        self.convs = nn.Sequential(*convs)
        hidden = chain.from_iterable((nn.Linear(width, width), nn.ReLU()) for _ in range(num_linear - 1))
        self.linears = nn.Sequential(*hidden, nn.Linear(width, embedding), nn.ReLU())

    def extent(self, size: int) -> Span:
        """The pixels, of `size` of a side of the map, on which the branch runs.

        Raises:
            InputError: the map is too small.
        """
        field = seen(self.sliding, Span(0, 0)).last + 1
        after = size_after(self.sliding, size)
        if after < 1:
            raise InputError(
                f"a patch gives {size} px of features, and a scale of the network sees {field}; give larger patches"
                " (`zoo info` says their side)"
            )
        if self.crop == "centred":
            first = (size - field) // 2
        else:
            first = round((after - 1) / 2) * step(self.sliding)  # half to even, as theirs
        return Span(first, first + field - 1)

    def middle(self, cut: Tensor) -> Tensor:
        """(B, D): the last convolution's pixel, of the part of the map that `extent` says."""
        features: Tensor = self.convs(cut)
        return features.flatten(1)

    def forward(self, cut: Tensor) -> Tensor:
        embedding: Tensor = self.linears(self.middle(cut))
        return embedding
