"""The released networks as data: which files, which inputs, which heads.

Source: gsumbul/SMARTIES@fc0df04, README, scripts and published configuration. The commits and sizes of the files on the
Hub have not been read yet. The card of the ViT-L repository states apache-2.0 for the weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from zoo.spec import Capability, InputSpec, Kind, Layout, Task, Variant, Weights
from zoo_smarties.classes import BIGEARTHNET, DFC2020, EUROSAT, RESISC45
from zoo_smarties.pins import PINS
from zoo_smarties.scores import LEADERBOARD, PRETRAINED, reported
from zoo_smarties.statistics import DATASETS, SENSORS, SIZE, Statistics
from zoo_smarties.weights import DECODER

PATCH = 16
BACKBONES = {
    "vit-b": {"width": 768, "depth": 12, "heads": 12},
    "vit-l": {"width": 1024, "depth": 24, "heads": 16},
}
S2_GSD_M = (10.0, 10.0)  # fMoW-Sentinel, BigEarthNet and EuroSAT are 10 m rasters; 20 m and 60 m bands are resampled
S1_GSD_M = (10.0, 10.0)  # Sentinel-1 GRD patches of BigEarthNet


def raster(
    statistics: Statistics,
    *,
    name: str = "image",
    label: str,
    level: str | None = None,
    gsd_m: tuple[float, float] | None = None,
    any_subset: bool = False,
    size: int = SIZE,
    shorter: int | None = None,
    patch: int = PATCH,
) -> InputSpec:
    """One input whose bands, units and steps are those of `statistics`."""
    return InputSpec(
        name=name,
        kind=Kind.RASTER,
        label=label,
        bands=statistics.bands,
        any_subset=any_subset,
        gsd_m=gsd_m,
        window=size,
        multiple=patch,
        # Reflectance is DN / 10000 in the products of the training data, older than processing baseline 04.00.
        scale=1e-4 if level in ("L1C", "L2A") else None,
        nodata=0.0 if level in ("L1C", "L2A") else None,
        level=level,
        steps=statistics.steps(size=size, shorter=shorter),
    )


_S2_L2A = SENSORS["SENTINEL2-L2A"]
_S1 = SENSORS["SENTINEL1-GRD"]

# Alternatives of the pre-trained networks. Landsat's bands have projections but no published statistics.
ANY_SENSOR = (
    raster(_S2_L2A, label="S2-L2A", level="L2A", gsd_m=S2_GSD_M, any_subset=True),
    raster(SENSORS["SENTINEL2-L1C"], label="S2-L1C", level="L1C", gsd_m=S2_GSD_M, any_subset=True),
    raster(_S1, label="S1", level="GRD", gsd_m=S1_GSD_M, any_subset=True),
    raster(SENSORS["RGB"], label="RGB", any_subset=True),
    raster(_S2_L2A.joined(_S1, "S1+S2"), label="S1+S2", gsd_m=S2_GSD_M, any_subset=True),
)


# A small network of the same kind, trained by the recipe `demo` on the synthetic world of `zoo.samples`.
DEMO_PATCH, DEMO_SIZE = 8, 64
_SMALL = {"any_subset": True, "size": DEMO_SIZE, "patch": DEMO_PATCH}
DEMO = Variant(
    tag="demo",
    builder="zoo_smarties.network.encoder:build",
    summary="small, trained on a synthetic world; not for science",
    config={"width": 96, "depth": 3, "heads": 6, "patch_size": DEMO_PATCH, "image_size": DEMO_SIZE},
    inputs=(
        raster(_S2_L2A, label="S2-L2A", level="L2A", gsd_m=S2_GSD_M, **_SMALL),
        raster(_S1, label="S1", level="GRD", gsd_m=S1_GSD_M, **_SMALL),
        raster(SENSORS["RGB"], label="RGB", gsd_m=(5.0, 10.0), **_SMALL),
    ),
    stride=DEMO_PATCH,
    weights=Weights(
        file="zoo_smarties:demo.safetensors",
        sha256="5862ef8e930750df994404a0cb658a3550b0769980ebeb308a04714edf0205ac",
        size=1799848,
        license="Apache-2.0",
    ),
    demo=True,
)


# For training on classes of one's own (the recipe `finetune`), which take the places of these.
OWN_CLASSES = ("first class of your own", "second class of your own")
_OWN_HEAD = {"head": "linear", "num_classes": len(OWN_CLASSES)}


def _classifier(size: str, encoder: Variant) -> Variant:
    return replace(
        encoder,
        tag=f"classify-{size}",
        summary=f"{encoder.tag} with a head for classes of your own: to be trained, has no weights",
        config={**encoder.config, **_OWN_HEAD},
        classes=OWN_CLASSES,
        weights=None,
        scores=(),
        capabilities=(Capability.EMBED, Capability.CLASSIFY),
        demo=False,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Released:
    """One fine-tuned network: dataset, protocol, sizes, and what its head answers."""

    dataset: str
    protocol: str
    backbones: tuple[str, ...]
    head: str
    classes: tuple[str, ...]
    inputs: tuple[InputSpec, ...]
    summary: str


_RELEASED = (
    _Released(
        dataset="bigearthnets2",
        protocol="finetune",
        backbones=("vit-b", "vit-l"),
        head="linear",
        classes=BIGEARTHNET,
        inputs=(raster(DATASETS["BigEarthNetS2"], label="S2-L2A", level="L2A", gsd_m=S2_GSD_M),),
        summary="land cover, 19 classes, several at once, from Sentinel-2 L2A",
    ),
    _Released(
        dataset="bigearthnets1",
        protocol="linprobe",
        backbones=("vit-b", "vit-l"),
        head="probe",
        classes=BIGEARTHNET,
        inputs=(raster(DATASETS["BigEarthNetS1"], label="S1", level="GRD", gsd_m=S1_GSD_M),),
        summary="land cover, 19 classes, several at once, from Sentinel-1",
    ),
    _Released(
        dataset="bigearthnetmm",
        protocol="linprobe",
        backbones=("vit-b", "vit-l"),
        head="probe",
        classes=BIGEARTHNET,
        inputs=(
            raster(DATASETS["BigEarthNetS1"], name="s1", label="S1", level="GRD", gsd_m=S1_GSD_M),
            raster(DATASETS["BigEarthNetS2"], name="s2", label="S2-L2A", level="L2A", gsd_m=S2_GSD_M),
        ),
        summary="land cover, 19 classes, several at once, from Sentinel-1 and Sentinel-2 together",
    ),
    _Released(
        dataset="eurosat",
        protocol="finetune",
        backbones=("vit-b", "vit-l"),
        head="linear",
        classes=EUROSAT,
        inputs=(raster(DATASETS["EuroSAT"], label="S2-L1C", level="L1C", gsd_m=S2_GSD_M),),
        summary="land use, 10 classes, from Sentinel-2 L1C",
    ),
    _Released(
        dataset="eurosat",
        protocol="linprobe",
        backbones=("vit-b", "vit-l"),
        head="probe",
        classes=EUROSAT,
        inputs=(raster(DATASETS["EuroSAT"], label="S2-L1C", level="L1C", gsd_m=S2_GSD_M),),
        summary="land use, 10 classes, from Sentinel-2 L1C, by a linear probe",
    ),
    _Released(
        dataset="resisc45",
        protocol="finetune",
        backbones=("vit-l",),
        head="linear",
        classes=RESISC45,
        inputs=(raster(DATASETS["RESISC45"], label="RGB", shorter=256),),
        summary="scenes, 45 classes, from sub-metre RGB",
    ),
    _Released(
        dataset="dfc2020",
        protocol="linprobe",
        backbones=("vit-b",),
        head="segment",
        classes=DFC2020,
        inputs=(raster(DATASETS["DFC2020"], label="DFC2020"),),
        summary="land cover map, 8 classes, from Sentinel-2 in the 8-bit scaling of the DFC2020 benchmark file",
    ),
)


def _published(repo: str, file: str, **layout: Any) -> Weights:
    """A file on the Hub, with what is known of it."""
    return Weights(
        repo=repo,
        file=file,
        layout=Layout.SAFETENSORS,
        renames="zoo_smarties.weights:RENAMES",
        license="Apache-2.0",
        **layout,
        **PINS.get(f"{repo}/{file}", {}),
    )


def _pretrained(backbone: str) -> Variant:
    letter = backbone[-1]
    return Variant(
        tag=backbone,
        builder="zoo_smarties.network.encoder:build",
        summary=f"pre-trained ViT-{letter.upper()}/16: embeddings of any subset of its sensors' bands",
        config=BACKBONES[backbone],
        inputs=ANY_SENSOR,
        stride=PATCH,
        weights=_published(
            f"gsumbul/SMARTIES-v1-ViT-{letter.upper()}",
            f"smarties-v1-vit{letter}.safetensors",
            ignored=DECODER,
            optional_prefix="model.",  # of the transformers layout; could not be checked
        ),
        scores=(*PRETRAINED, *(LEADERBOARD if backbone == "vit-b" else ())),
    )


def _finetuned(released: _Released, backbone: str) -> Variant:
    joint = len({spec.name for spec in released.inputs}) > 1
    segments = released.head == "segment"
    return Variant(
        tag=f"{released.dataset}-{released.protocol}-{backbone}",
        builder=f"zoo_smarties.network.{'joint' if joint else 'encoder'}:build",
        summary=released.summary,
        config={**BACKBONES[backbone], "head": released.head, "num_classes": len(released.classes)},
        inputs=released.inputs,
        classes=released.classes,
        multi_label=released.classes is BIGEARTHNET,
        stride=1 if segments else PATCH,
        weights=_published(
            "gsumbul/SMARTIES-v1-finetuned-models",
            f"smarties-v1-{backbone.replace('-', '')}-{released.dataset}-{released.protocol}.safetensors",
        ),
        scores=reported(released.dataset, released.protocol),
        task=Task.SEGMENT if segments else None,
        capabilities=() if segments else (Capability.EMBED, Capability.CLASSIFY),
    )


VARIANTS = (
    *(_pretrained(backbone) for backbone in BACKBONES),
    *(_finetuned(released, backbone) for released in _RELEASED for backbone in released.backbones),
    *(_classifier(backbone, _pretrained(backbone)) for backbone in BACKBONES),
    DEMO,
    _classifier("demo", DEMO),
)
