"""A plugin that does everything right; the tests plant one fault at a time in a copy of it."""

from zoo import hookimpl
from zoo.spec import (
    Band,
    Capability,
    Fill,
    InputSpec,
    Kind,
    Licences,
    ModelSpec,
    Normalise,
    Paper,
    Task,
    Variant,
    Weights,
)

ZOO_EXCUSES: dict[str, dict[str, str]] = {}

IMAGE = InputSpec(
    name="image",
    kind=Kind.RASTER,
    label="S2",
    bands=(Band(id="S2:B03", unit="DN"), Band(id="S2:B04", unit="DN"), Band(id="S2:B08", unit="DN")),
    gsd_m=(10.0, 10.0),
    multiple=2,
    nodata=0,
    steps=(
        Normalise(mean=(800.0, 900.0, 2200.0), std=(400.0, 500.0, 900.0), source="ours: a toy"),
        Fill(value=0.0, source="ours: the mean"),
    ),
)


@hookimpl
def zoo_register_models():
    return [
        ModelSpec(
            name="toy",
            task=Task.PRETRAIN,
            summary="a toy",
            paper=Paper(title="A toy", bibtex="@misc{toy}"),
            repository=None,
            licences=Licences(code="MIT", weights="CC-BY-4.0", data=None),
            capabilities=(Capability.EMBED,),
            variants=(
                Variant(
                    tag="demo",
                    builder="zoo_toy.network:build",
                    inputs=(IMAGE,),
                    classes=("water", "land"),
                    stride=2,
                    weights=Weights(file="zoo_toy:demo.safetensors"),
                    demo=True,
                ),
            ),
        )
    ]
