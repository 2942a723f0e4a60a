"""MaskSDM: species distributions from any subset of predictors (Zbinden et al., Methods in Ecology and Evolution)."""

from __future__ import annotations

from zoo import hookimpl
from zoo.spec import Capability, DatasetSpec, Licences, ModelSpec, Paper, Task
from zoo_masksdm.datasets import DATASETS
from zoo_masksdm.variants import VARIANTS

PAPER = Paper(
    title="MaskSDM: species distribution modelling with masked predictors",
    doi="10.1111/2041-210x.70200",
    arxiv="2503.13057",
    bibtex="""@article{zbinden2025masksdm,
  author  = {Zbinden, Robin and others},
  title   = {{MaskSDM}},
  journal = {Methods in Ecology and Evolution},
  doi     = {10.1111/2041-210x.70200},
  note    = {arXiv:2503.13057},
}""",
)

SPEC = ModelSpec(
    name="masksdm",
    task=Task.SDM,
    summary="probability of presence of plant species, from whichever of 61 predictors there are",
    paper=PAPER,
    repository="https://github.com/zbirobin/MaskSDM-MEE",
    licences=Licences(code=None, weights=None, data=None),
    variants=VARIANTS,
    capabilities=(Capability.EXPLAIN,),
    objectives={
        "masked": "zoo_masksdm.objective:Masked",
        "presence": "zoo.tasks.losses.sdm:Presence",
    },
    datasets=tuple(one.name for one in DATASETS),
    bundle="zoo_masksdm.bundle:bundled",
)


_NEVER_MASKS = "the released network was trained without masks, and its file holds the token of the masked one"
_NO_SATCLIP = "GeoPlant's networks were trained with SatCLIP masked throughout, and their files hold its projection"
ZOO_EXCUSES = {
    f"masksdm@{one.tag}": {"check_gradients": _NEVER_MASKS if one.builder.endswith(":imputed") else _NO_SATCLIP}
    for one in VARIANTS
    if one.builder.endswith(":imputed") or one.tag in ("geoplant", "geoplant-3-blocks")
}


@hookimpl
def zoo_register_models() -> list[ModelSpec]:
    return [SPEC]


@hookimpl
def zoo_register_datasets() -> list[DatasetSpec]:
    return list(DATASETS)
