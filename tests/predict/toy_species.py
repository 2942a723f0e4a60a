"""A network with a known answer: each species' presence is a logistic curve of one variable, 1/2 where it is missing."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from zoo.model import Model
from zoo.spec import Band, InputSpec, Kind, Licences, ModelSpec, Normalise, Paper, Task, Variant
from zoo.tasks.sdm import SdmOutput

SPECIES = ("Poa alpina", "Olea europaea", "Salix alba")
CLIMATE = InputSpec(
    name="climate",
    kind=Kind.TABLE,
    label="toy",
    bands=(Band(id="bio_1", unit="degC"), Band(id="bio_12", unit="mm")),
    any_subset=True,
    steps=(Normalise(mean=(10.0, 800.0), std=(5.0, 400.0), source="ours: easy to undo"),),
)
PATCH = InputSpec(
    name="patch", kind=Kind.RASTER, label="toy", bands=(Band(id="height", unit="m"),), window=3, optional=True
)


class Logistic(nn.Module):
    """Alpine in the cold, olive in the warmth, willow in the wet; a patch adds its mean to the willow's logit."""

    seen: ClassVar[list[int]] = []
    stop_after: ClassVar[int | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(
        self,
        climate: torch.Tensor,
        climate_valid: torch.Tensor | None = None,
        patch: torch.Tensor | None = None,
    ) -> SdmOutput:
        if self.stop_after is not None and len(self.seen) >= self.stop_after:
            raise KeyboardInterrupt
        self.seen.append(len(climate))
        known = torch.ones_like(climate) if climate_valid is None else climate_valid.float()
        warm, wet = (climate * known * self.gain).unbind(dim=1)
        if patch is not None:
            wet = wet + patch.mean(dim=(1, 2, 3))
        return SdmOutput(logits=torch.stack([-warm, warm, wet], dim=1))


def species_model(*inputs: InputSpec, classes: tuple[str, ...] = SPECIES) -> Model:
    Logistic.seen.clear()
    variant = Variant(tag="curve", builder="toy_species:Logistic", inputs=inputs or (CLIMATE,), classes=classes)
    spec = ModelSpec(
        name="toysdm",
        task=Task.SDM,
        summary="logistic curves",
        paper=Paper(title="none", bibtex="@misc{toy}"),
        repository=None,
        licences=Licences(code="Apache-2.0", weights=None, data=None),
        variants=(variant,),
    )
    return Model(spec=spec, variant=variant, module=Logistic().eval(), device=torch.device("cpu"))
