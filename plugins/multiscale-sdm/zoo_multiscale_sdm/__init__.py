"""Multi-scale and multimodal species distribution models (van Tiel et al. 2024, arXiv 2411.04016)."""

from __future__ import annotations

from zoo import hookimpl
from zoo.spec import DatasetSpec, Licences, ModelSpec, Paper, Task
from zoo_multiscale_sdm.datasets import DATASETS
from zoo_multiscale_sdm.variants import VARIANTS

PAPER = Paper(
    title="Multi-Scale and Multimodal Species Distribution Modeling",
    arxiv="2411.04016",
    bibtex="""@inproceedings{vantiel2024multiscale,
  title     = {Multi-Scale and Multimodal Species Distribution Modeling},
  author    = {van Tiel, Nina and others},
  booktitle = {CV4E workshop at the European Conference on Computer Vision (ECCV)},
  year      = {2024},
  eprint    = {2411.04016},
}""",
)

SPEC = ModelSpec(
    name="multiscale-sdm",
    task=Task.SDM,
    summary="species from climate rasters and satellite images around a place, at several extents",
    paper=PAPER,
    repository="https://github.com/ninavantiel/multi_scale_SDMs",
    licences=Licences(code=None, weights=None, data=None),
    variants=VARIANTS,
    objectives={"presence": "zoo_multiscale_sdm.objective:MultiScalePresence"},
    datasets=tuple(one.name for one in DATASETS),
    bundle="zoo_multiscale_sdm.authors:bundle",
)


@hookimpl
def zoo_register_models() -> list[ModelSpec]:
    return [SPEC]


@hookimpl
def zoo_register_datasets() -> list[DatasetSpec]:
    return list(DATASETS)
