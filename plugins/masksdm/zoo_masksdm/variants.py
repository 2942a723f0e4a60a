"""All networks that the authors published, and those to train on data of one's own.

Files lie in the archive's `models` folder. They hold weights alone: predictors' statistics and species' names are not
published as numbers and come from the data folder (`zoo_masksdm.bundle`).

Source: zbirobin/MaskSDM-MEE@bfdc9487; sizes of the networks: its printed parameter counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from zoo.spec import Layout, Normalise, Variant, Weights
from zoo_masksdm.predictors import (
    DEMO_BANDS,
    DEMO_SPECIES,
    GEOPLANT,
    GEOPLANT_GROUPS,
    GROUPS,
    SATCLIP,
    SPLOT,
    predictors,
)
from zoo_masksdm.scores import EPOCHS, ORACLES, scores_of
from zoo_masksdm.weights import RANGES

SIZES = {"width": 192, "blocks": 7, "heads": 8, "dropout": 0.1}
ARCHIVE = "https://zenodo.org/records/16902598"
MASKED = "zoo_masksdm.network.masked"
SPLOT_SPECIES, GEOPLANT_SPECIES = 12_738, 2_225
LINEAR_EPOCHS = {"splot": (62, 27, 14, 121, 33, 29, 21), "geoplant": (42, 14, 7, 37, 29, 9, 9)}
ORACLE_EPOCHS = dict(zip(ORACLES, (7, 326, 9, 27, 33, 33, 29, 24, 24), strict=True))
BLOCKS5_ORACLES = {"temp": 9, "loc": 34, "wc": 15, "wc_sg": 29, "wc_sg_topo_loc": 24, "all": 29}


def _released(tag: str, summary: str, file: str, *, builder: str = f"{MASKED}:build", **config: Any) -> Variant:
    """A variant whose file lies in the archive."""
    geoplant = tag.startswith("geoplant")
    bands, species = (GEOPLANT, GEOPLANT_SPECIES) if geoplant else (SPLOT, SPLOT_SPECIES)
    table = predictors(bands, "GeoPlant" if geoplant else "sPlotOpen")
    transformer = builder.startswith(MASKED)
    maxent = builder.endswith(":maxent")
    return Variant(
        tag=tag,
        summary=summary,
        builder=builder,
        config={"features": len(bands), "num_classes": species, **(SIZES if transformer else {}), **config},
        inputs=(table, SATCLIP) if transformer and not geoplant else (table,),
        groups=GEOPLANT_GROUPS if geoplant else GROUPS,
        capabilities=None if builder.endswith(":build") else (),  # the others never learned that something is hidden
        weights=Weights(
            file=file,
            archive=ARCHIVE,
            layout=Layout.TORCH,
            renames="zoo_masksdm.weights:RENAMES",
            allowed_missing=(RANGES,) if maxent else (),
        ),
        scores=scores_of(tag),
    )


def _splot() -> Iterator[Variant]:
    plants = "12,738 plant species of the world"
    yield _released("splot", f"{plants}, from any of 61 predictors", "models/masksdm/epoch_178.pt", blocks=7)
    for epoch in EPOCHS:
        yield _released(
            f"splot-epoch-{epoch}",
            f"the same run after {epoch} epochs",
            f"models/masksdm/epoch_{epoch}.pt",
            blocks=7,
        )
    yield _released("splot-3-blocks", f"{plants}, a smaller network", "models/masksdm/3_blocks/epoch_209.pt", blocks=3)
    yield _imputed("splot-mean", "what is missing is the mean", "models/mean/epoch_18.pt")
    yield _imputed("splot-median", "what is missing is the median", "models/median/epoch_14.pt")
    for name, epoch in ORACLE_EPOCHS.items():
        yield _imputed(
            f"splot-oracle-{name}",
            f"trained on one subset: {ORACLES[name][0]}",
            f"models/oracle/{name}_epoch_{epoch}.pt",
        )


def _blocks5() -> Iterator[Variant]:
    files = "models/larger_blocks"
    yield _released("blocks5", "as splot, trained with blocks of 5 degrees", f"{files}/masksdm/epoch_306.pt", blocks=7)
    yield _imputed("blocks5-mean", "blocks of 5 degrees; what is missing is the mean", f"{files}/mean/epoch_26.pt")
    for name, epoch in BLOCKS5_ORACLES.items():
        yield _imputed(
            f"blocks5-oracle-{name}",
            f"blocks of 5 degrees; trained on one subset ({name})",
            f"{files}/oracle/{name}_epoch_{epoch}.pt",
        )


def _imputed(tag: str, summary: str, file: str) -> Variant:
    return _released(tag, f"a network without masks: {summary}", file, builder=f"{MASKED}:imputed", blocks=7)


def _geoplant() -> Iterator[Variant]:
    plants = "2,225 plant species of Europe, from any of 42 predictors"
    yield _released("geoplant", plants, "models/geoplant/masksdm/epoch_52.pt", blocks=7)
    yield _released(
        "geoplant-3-blocks",
        f"{plants}, a smaller network",
        "models/geoplant/masksdm/3_blocks/epoch_51.pt",
        blocks=3,
    )


def _baselines(data: str) -> Iterator[Variant]:
    """Linear, Maxent, perceptrons and residual networks: what is missing counts as the mean."""
    kinds: Mapping[str, tuple[str, str, dict[str, Any]]] = {
        "linear": ("baselines:linear", "one linear layer", {}),
        "maxent_LHP": ("maxent:maxent", "Maxent with linear, hinge and product features", {"kinds": "lhp"}),
        "maxent_LHPTQ": ("maxent:maxent", "Maxent with threshold and quadratic features too", {"kinds": "lhptq"}),
        "mlp_7": ("baselines:mlp", "a perceptron of 7 layers", {"layers": 7}),
        "mlp_21": ("baselines:mlp", "a perceptron of 21 layers", {"layers": 21}),
        "resnet_7": ("baselines:resnet", "a residual network of 7 layers", {"layers": 7}),
        "resnet_21": ("baselines:resnet", "a residual network of 21 layers", {"layers": 21}),
    }
    folder = "models" if data == "splot" else "models/geoplant"
    for (name, (builder, summary, config)), epoch in zip(kinds.items(), LINEAR_EPOCHS[data], strict=True):
        yield _released(
            f"{data}-{name.lower().replace('_', '-')}",
            f"a baseline of the paper: {summary}",
            f"{folder}/{name}/epoch_{epoch}.pt",
            builder=f"zoo_masksdm.network.{builder}",
            **config,
        )


RELEASED = (
    *_splot(),
    *_baselines("splot"),
    *_blocks5(),
    *_geoplant(),
    *_baselines("geoplant"),
)

# Means and deviations of 16,000 sites of the synthetic world (`zoo_masksdm.world`, seed 1), rounded.
_DEMO_TABLE = predictors(
    DEMO_BANDS,
    "virtual",
    Normalise(
        mean=(5.8, 1080.0, 11.8, 52.1, 637.0, 16.9, 181.0, 54.0),
        std=(3.5, 263.0, 6.6, 4.8, 415.0, 15.7, 98.6, 45.2),
        source="ours: sites of the synthetic world",
    ),
)
# As `tools/train_masksdm_demo.py` printed them.
DEMO_SIZE = 185_344
DEMO_SHA256 = "a2292461cb4f321ab08b1b63d2573733a9a5786ee096517413979cf614243a78"
DEMO = Variant(
    tag="demo",
    summary="twelve invented species from any of eight predictors, trained on a synthetic world; not for science",
    builder=f"{MASKED}:build",
    config={
        "features": len(DEMO_BANDS),
        "num_classes": len(DEMO_SPECIES),
        "width": 48,
        "blocks": 2,
        "heads": 4,
        "dropout": 0.0,
        "frequencies": 16,
        "satclip": False,
    },
    inputs=(_DEMO_TABLE,),
    classes=DEMO_SPECIES,
    weights=Weights(file="zoo_masksdm:demo.safetensors", sha256=DEMO_SHA256, size=DEMO_SIZE, license="Apache-2.0"),
    demo=True,
)
VARIANTS: tuple[Variant, ...] = (*RELEASED, DEMO)
