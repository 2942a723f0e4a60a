"""A forecaster with a known answer: it will be as it was (persistence), and as probable as the last number's sigmoid."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from zoo.model import Model
from zoo.spec import (
    Band,
    Fill,
    InputSpec,
    Kind,
    Licences,
    ModelSpec,
    Normalise,
    Paper,
    Quantity,
    Task,
    Variant,
)
from zoo.tasks.forecast import ForecastOutput

STEPS = 3
WEATHER = InputSpec(
    name="weather",
    kind=Kind.SERIES,
    label="toy",
    bands=(Band(id="t2m", unit="K"), Band(id="height", unit="m")),
    window=8,
    times=STEPS,
    steps=(
        Normalise(mean=(280.0, 500.0), std=(10.0, 250.0), source="ours: easy to undo"),
        Fill(value=0.0, source="ours"),
    ),
)
WARMTH = Quantity(name="t2m", unit="K", long_name="air temperature", scale=10.0, offset=280.0, low=250.0)
FROST = Quantity(name="frost", unit="1", probability=True)


class Persistence(nn.Module):
    """The last temperature, and minus it as the logit of frost; one answer per lead time, `drift` warmer each."""

    calls: ClassVar[list[tuple[int, ...]]] = []
    days: ClassVar[list[float]] = []
    stop_after: ClassVar[int | None] = None

    def __init__(self, leads: int, stride: int) -> None:
        super().__init__()
        self.leads, self.stride = leads, stride
        self.drift = nn.Parameter(torch.tensor(0.1))

    def forward(
        self, weather: torch.Tensor, weather_times: torch.Tensor, weather_valid: torch.Tensor
    ) -> ForecastOutput:
        if self.stop_after is not None and len(self.calls) >= self.stop_after:
            raise KeyboardInterrupt
        assert weather_valid.shape == weather.shape
        self.calls.append(tuple(weather.shape))
        self.days.append(float(weather_times[0, -1]))
        last = functional.avg_pool2d(weather[:, -1, 0], self.stride)
        both = torch.stack([last, -last], dim=1)
        if self.leads == 1:
            return ForecastOutput(values=both)
        return ForecastOutput(values=torch.stack([both + self.drift * step for step in range(self.leads)], dim=1))


def forecaster(
    *inputs: InputSpec, leads: tuple[float, ...] = (0.0,), stride: int = 1, quantities: tuple[Quantity, ...] = ()
) -> Model:
    Persistence.calls.clear()
    Persistence.days.clear()
    variant = Variant(
        tag="same",
        builder="toy_forecast:Persistence",
        config={"leads": len(leads), "stride": stride},
        inputs=inputs or (WEATHER,),
        stride=stride,
        quantities=quantities or (WARMTH, FROST),
        lead_times_h=leads,
    )
    spec = ModelSpec(
        name="toycast",
        task=Task.FORECAST,
        summary="persistence",
        paper=Paper(title="none", bibtex="@misc{toy}"),
        repository=None,
        licences=Licences(code="Apache-2.0", weights=None, data=None),
        variants=(variant,),
    )
    return Model(spec=spec, variant=variant, module=Persistence(len(leads), stride).eval(), device=torch.device("cpu"))
