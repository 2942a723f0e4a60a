"""A network with a known answer: each patch's vector is the mean of its pixels, band by band."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from zoo.model import Model
from zoo.spec import Band, Capability, Fill, InputSpec, Kind, Licences, ModelSpec, Normalise, Paper, Task, Variant
from zoo.tasks.pretrain import EmbedOutput

STRIDE = 4
BANDS = ("S2:B02", "S2:B03", "S2:B04")
INPUT = InputSpec(
    name="image",
    kind=Kind.RASTER,
    label="toy",
    bands=tuple(Band(id=band, unit="DN") for band in BANDS),
    window=32,
    multiple=STRIDE,
    steps=(
        Normalise(mean=(30.0, 32.0, 28.0), std=(16.0, 18.0, 20.0), source="ours: easy to undo"),
        Fill(value=0.0, source="ours"),
    ),
)


class PatchMean(nn.Module):
    """(B, C, H, W) to the mean of each 4 x 4 patch; `calls` counts forward passes of all instances."""

    calls: ClassVar[list[int]] = []
    stop_after: ClassVar[int | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, image: torch.Tensor) -> EmbedOutput:
        if self.stop_after is not None and len(self.calls) >= self.stop_after:
            raise KeyboardInterrupt
        self.calls.append(len(image))
        tokens = functional.avg_pool2d(image * self.gain, STRIDE)
        return EmbedOutput(pooled=tokens.mean(dim=(2, 3)), tokens=tokens, logits=tokens.mean(dim=(2, 3)))


def toy_model(*inputs: InputSpec) -> Model:
    PatchMean.calls.clear()
    variant = Variant(
        tag="mean",
        builder="toy:PatchMean",
        inputs=inputs or (INPUT,),
        stride=STRIDE,
        classes=("a", "b", "c"),
        capabilities=(Capability.EMBED, Capability.CLASSIFY),
    )
    spec = ModelSpec(
        name="toy",
        task=Task.PRETRAIN,
        summary="patch means",
        paper=Paper(title="none", bibtex="@misc{toy}"),
        repository=None,
        licences=Licences(code="Apache-2.0", weights=None, data=None),
        variants=(variant,),
    )
    return Model(spec=spec, variant=variant, module=PatchMean().eval(), device=torch.device("cpu"))
