"""A reader of samples that are at hand, and an encoder that says what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.datasets.sample import Sample
from zoo.model import Model
from zoo.spec import Band, InputSpec, Kind, Licences, ModelSpec, Paper, Task, Variant
from zoo.tasks.pretrain import EmbedOutput


class Listed:
    """Rows of an input, their targets, and maybe where they lie."""

    def __init__(
        self,
        inputs: Sequence[Tensor],
        targets: Sequence[dict[str, Any]],
        *,
        name: str = "image",
        classes: tuple[str, ...] = (),
        prefix: str = "sample",
        places: Sequence[tuple[float, float]] | None = None,
    ) -> None:
        self.ids = [f"{prefix}-{index}" for index in range(len(inputs))]
        self.classes = classes
        self._samples = [
            Sample(id=one, inputs={name: tensor}, target=target, place=None if places is None else places[index])
            for index, (one, tensor, target) in enumerate(zip(self.ids, inputs, targets, strict=True))
        ]

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:
        assert generator is None, "evaluation augments nothing"
        return self._samples[index]


class Same(nn.Module):
    """(B, D, H, W) as tokens of 2 x 2 pixels, their mean as vector, its first numbers as logits of the classes."""

    def __init__(self, num_classes: int = 0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.gain = nn.Parameter(torch.ones(1))
        self.drop = nn.Dropout(0.5)

    def forward(self, image: Tensor) -> EmbedOutput:
        assert not torch.is_grad_enabled()
        tokens = functional.avg_pool2d(self.drop(image * self.gain), 2)
        pooled = tokens.mean(dim=(2, 3))
        return EmbedOutput(
            pooled=pooled, tokens=tokens, logits=pooled[:, : self.num_classes] if self.num_classes else None
        )


def encoder(classes: tuple[str, ...] = (), *, multi_label: bool = False, **of_variant: Any) -> Model:
    image = InputSpec(name="image", kind=Kind.RASTER, bands=(Band(id="S2:B04", unit="DN"),))
    variant = Variant(
        tag="same", builder="listed:Same", inputs=(image,), classes=classes, multi_label=multi_label, **of_variant
    )
    spec = ModelSpec(
        name="toy",
        task=Task.PRETRAIN,
        summary="says what it is given",
        paper=Paper(title="none", bibtex="@misc{toy}"),
        repository=None,
        licences=Licences(code="Apache-2.0", weights=None, data=None),
        variants=(variant,),
    )
    return Model(spec=spec, variant=variant, module=Same(len(classes)).eval(), device=torch.device("cpu"))


def chips(features: Tensor) -> list[Tensor]:
    """(N, D) as N images (D, 4, 4) whose pixels all say the same."""
    return list(features[..., None, None].expand(-1, -1, 4, 4))
