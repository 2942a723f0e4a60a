"""SMARTIES: one vision transformer for any mix of Sentinel-2, Sentinel-1 and RGB bands (ICCV 2025, arXiv 2506.19585)."""

from __future__ import annotations

from zoo import hookimpl
from zoo.spec import Capability, DatasetSpec, Licences, ModelSpec, Paper, Task
from zoo_smarties.datasets import DATASETS
from zoo_smarties.variants import VARIANTS

PAPER = Paper(
    title="SMARTIES: Spectrum-Aware Multi-Sensor Auto-Encoder for Remote Sensing Images",
    arxiv="2506.19585",
    bibtex="""@inproceedings{sumbul2025smarties,
  title     = {{SMARTIES}: Spectrum-Aware Multi-Sensor Auto-Encoder for Remote Sensing Images},
  author    = {Sumbul, Gencer and Xu, Chang and Dalsasso, Emanuele and Tuia, Devis},
  booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision (ICCV)},
  year      = {2025},
  eprint    = {2506.19585},
}""",
)

SPEC = ModelSpec(
    name="smarties",
    task=Task.PRETRAIN,
    summary="embeddings of any mix of Sentinel-2, Sentinel-1 and RGB bands, by one encoder",
    paper=PAPER,
    repository="https://github.com/gsumbul/SMARTIES",
    licences=Licences(code="Apache-2.0", weights="Apache-2.0", data=None),
    variants=VARIANTS,
    capabilities=(Capability.EMBED,),
    objectives={
        "pretrain": "zoo_smarties.objective:Pretraining",
        "multi-label": "zoo.tasks.losses.labels:Labels",
        "single-label": "zoo_smarties.objective:SingleLabel",
        "segment": "zoo.tasks.losses.segment:Segment",
        "agree": "zoo_smarties.agreement:Agreement",
    },
    datasets=tuple(one.name for one in DATASETS),
)

# A released classifier holds the projections of all sensors, and is asked with its own sensor's bands.
_ONE_SENSOR = "the released file holds projections of all sensors' bands; this variant is fed with some of them"
ZOO_EXCUSES = {
    f"smarties@{variant.tag}": {
        "check_gradients": f"{_ONE_SENSOR}, and its map is not normed" if "dfc2020" in variant.tag else _ONE_SENSOR
    }
    for variant in VARIANTS
    if variant.classes and variant.weights
}


@hookimpl
def zoo_register_models() -> list[ModelSpec]:
    return [SPEC]


@hookimpl
def zoo_register_datasets() -> list[DatasetSpec]:
    return list(DATASETS)
