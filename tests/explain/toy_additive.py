"""A network whose Shapley values are known: each logit is a sum over the predictors that are shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import nn

from zoo.hookspecs import hookimpl
from zoo.model import Model
from zoo.spec import Band, Capability, InputSpec, Kind, Licences, ModelSpec, Paper, Task, Variant, Weights
from zoo.tasks.sdm import SdmOutput

SPECIES = ("Poa alpina", "Olea europaea")
BANDS = ("warm", "wet", "clay", "sand")
BIAS = (0.5, -1.0)
SLOPES = ((1.0, 2.0, -0.5, 0.25), (-2.0, 0.5, 1.0, 0.0))  # of each species
CLIMATE = InputSpec(
    name="site", kind=Kind.TABLE, label="toy", bands=tuple(Band(id=name, unit="1") for name in BANDS), any_subset=True
)


class Additive(nn.Module):
    """logit of species s = bias_s + the sum of slope_sf x_f over the predictors f that are there."""

    rows = 0  # that went through the network, in all

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, site: torch.Tensor, site_valid: torch.Tensor) -> SdmOutput:
        Additive.rows += len(site)
        shown = torch.where(site_valid, site, 0.0) * self.gain
        return SdmOutput(logits=shown @ torch.tensor(SLOPES).T + torch.tensor(BIAS))


class InTwoSteps(Additive):
    """The same, in the steps of `zoo.tasks.sdm.SubsetNetwork`."""

    sites = 0  # whose tokens were made

    def tokens(self, site: torch.Tensor) -> torch.Tensor:
        InTwoSteps.sites += len(site)
        return site * self.gain

    def pooled_of(self, tokens: torch.Tensor, rows: torch.Tensor, site_valid: torch.Tensor) -> torch.Tensor:
        Additive.rows += len(rows)
        return torch.where(site_valid, tokens[rows], 0.0)

    def head(self, pooled: torch.Tensor, species=None) -> torch.Tensor:
        every = range(len(SPECIES)) if species is None else species
        rows = torch.tensor(list(every))
        return pooled @ torch.tensor(SLOPES)[rows].T + torch.tensor(BIAS)[rows]


class WithPlace(Additive):
    """A place adds its first number to each logit, where it is shown."""

    def forward(self, site, site_valid, place=None, place_valid=None) -> SdmOutput:
        logits = super().forward(site, site_valid).logits
        return SdmOutput(logits=logits + torch.where(place_valid, place, 0.0)[:, :1])


class Deaf(Additive):
    """It takes no masks."""

    def forward(self, site: torch.Tensor) -> SdmOutput:
        return SdmOutput(logits=site @ torch.tensor(SLOPES).T)


def additive_spec(module: str = "additive_network.network", **more) -> ModelSpec:
    variant = Variant(
        tag="sum",
        builder=f"{module}:InTwoSteps",
        inputs=more.pop("inputs", (CLIMATE,)),
        classes=SPECIES,
        weights=Weights(file="additive_network:weights.safetensors"),
        **more,
    )
    return ModelSpec(
        name="additive",
        task=Task.SDM,
        summary="sums",
        paper=Paper(title="none", bibtex="@misc{toy}"),
        repository=None,
        licences=Licences(code="Apache-2.0", weights=None, data=None),
        variants=(variant,),
        capabilities=(Capability.EXPLAIN,),
    )


def additive_model(network: type[nn.Module] = InTwoSteps, **more) -> Model:
    Additive.rows = InTwoSteps.sites = 0
    spec = additive_spec(**more)
    return Model(spec=spec, variant=spec.variants[0], module=network().eval(), device=torch.device("cpu"))


def sigmoid(z):
    return 1 / (1 + np.exp(-np.asarray(z, float)))


def frame(count=5, seed=0):
    rng = np.random.default_rng(seed)
    sites = pd.DataFrame(rng.normal(size=(count, 4)), columns=list(BANDS))
    return sites.assign(
        id=[f"plot {number}" for number in range(count)], lon=6 + rng.random(count), lat=46 + rng.random(count)
    )


def labelled(count=60, seed=1):
    sites = frame(count, seed)
    rng = np.random.default_rng(seed + 1)
    for number, name in enumerate(SPECIES):
        logit = sites[list(BANDS)].to_numpy() @ np.array(SLOPES[number]) + rng.logistic(size=count)
        sites[name] = (logit > 0.5).astype(int)
    return sites


@hookimpl
def zoo_register_models() -> list[ModelSpec]:
    return [additive_spec()]
