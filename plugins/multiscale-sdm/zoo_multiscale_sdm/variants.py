"""The networks of the paper as data: which scales of which modality, which inputs, which scores. None has weights.

Source: ninavantiel/multi_scale_SDMs@22ac42f, example configuration; scales of environmental patches beyond 5 px are
assumed to be stacks of 5 x 5 convolutions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zoo.spec import Band, Capability, Fill, InputSpec, Kind, Normalise, Variant, Weights
from zoo_multiscale_sdm.scores import scores_of

# Of `zoo_multiscale_sdm.world`, whose import takes longer.
DEMO_SPECIES = (
    "Alpina ficta",
    "Montana ficta",
    "Silvatica ficta",
    "Pratensis ficta",
    "Arvensis ficta",
    "Riparia ficta",
    "Pluvialis ficta",
    "Arida ficta",
)
NUM_SPECIES = 2174  # of GeoLifeCLEF 2023, those of the presence-only table that the surveys have too
# The list of speciesIds comes with the training data, and takes the place of these (classes=data).
SPECIES = tuple(f"species {number}" for number in range(1, NUM_SPECIES + 1))
BUILDER = "zoo_multiscale_sdm.network.multiscale:build"
CELL_M = (600.0, 1000.0)  # 30 arc-seconds: 930 m north to south, 643 m east to west at 46 N
PIXEL_M = (10.0, 10.0)
SIDE = 128  # px, of the challenge's images

# CHELSA's variables in its units, mean and deviation. The authors standardise by the statistics of the whole rasters,
# which are not in their repository; `zoo_multiscale_sdm.rasters.statistics` computes those of one's own.
CLIMATE_SOURCE = "ours: the climate of Europe between 35 and 65 N, rounded"
_CLIMATE = """
bio_1 degC 9 5
bio_2 degC 8 2
bio_3 % 30 6
bio_4 degC_x100 700 150
bio_5 degC 23 5
bio_6 degC -4 6
bio_7 degC 27 5
bio_8 degC 12 6
bio_9 degC 8 9
bio_10 degC 17 4
bio_11 degC 0 6
bio_12 mm 800 350
bio_13 mm 100 45
bio_14 mm 40 20
bio_15 % 28 14
bio_16 mm 270 120
bio_17 mm 130 65
bio_18 mm 210 95
bio_19 mm 190 115
"""
_ROWS = [line.split() for line in _CLIMATE.strip().splitlines()]
CLIMATE = tuple(Band(id=name, unit=unit.replace("_", " ")) for name, unit, _, _ in _ROWS)
CLIMATE_STEPS = (
    Normalise(
        mean=tuple(float(row[2]) for row in _ROWS), std=tuple(float(row[3]) for row in _ROWS), source=CLIMATE_SOURCE
    ),
    Fill(value=0.0, source="ninavantiel/multi_scale_SDMs@22ac42f: no data becomes 0 after standardising"),
)
# Red, green, blue, near infrared, as the challenge's pictures have them. `S2:` names the sensor, and `8 bit` the
# numbers: JPEG files, whose scaling from reflectance the challenge does not state.
COLOURS = tuple(Band(id=f"S2:{name}", unit="8 bit") for name in ("B04", "B03", "B02", "B08"))
COLOUR_STEPS = (
    Normalise(mean=(80.0,) * 4, std=(50.0,) * 4, source="ours: mid-grey; the authors' statistics are not published"),
    Fill(value=0.0, source="ours: the mean; the authors' files hold no missing pixels"),
)

# Kernels and pools of each scale; all strides are 1.
ENV_SCALES = {1: ([1], [1])} | {side: ([5] * ((side - 1) // 4), [1] * ((side - 1) // 4)) for side in (5, 9, 17, 25)}
SAT_SCALES = {25: ([1], [1]), 59: ([3, 3, 3], [2, 2, 1]), 115: ([3, 3, 3, 3], [2, 2, 2, 2])}


def window_of(patch_size: int) -> int:
    """Side of the patch that the authors cut out of an image for a size: even, 115 gives 116."""
    return round((SIDE + patch_size) / 2) - round((SIDE - patch_size) / 2)  # half to even, as theirs


def env_input(side: int, *, bands: tuple[Band, ...] = CLIMATE, steps: Any = CLIMATE_STEPS) -> InputSpec:
    return InputSpec(
        name="env",
        kind=Kind.RASTER,
        label="bioclim",
        bands=bands,
        window=side,
        gsd_m=CELL_M,
        steps=steps,
    )


def sat_input(side: int, *, bands: tuple[Band, ...] = COLOURS, steps: Any = COLOUR_STEPS, **more: Any) -> InputSpec:
    return InputSpec(
        name="sat", kind=Kind.RASTER, label="RGB+NIR", bands=bands, window=side, gsd_m=PIXEL_M, steps=steps, **more
    )


def env_network(
    scales: tuple[int, ...],
    *,
    bands: int = len(CLIMATE),
    filters: tuple[int, ...] = (32, 64, 128, 256),
    width: int = 512,
    embedding: int = 1024,
) -> dict[str, Any]:
    """A CNN that looks at one cell at a time, and branches."""
    each = [1] * len(filters)
    return {
        "bands": bands,
        "backbone": "cnn",
        "filters": list(filters),
        "kernels": each,
        "paddings": [0] * len(filters),
        "pools": each,
        "scales": _scales([ENV_SCALES[scale] for scale in scales], width, embedding),
    }


def sat_network(
    scales: tuple[int, ...], *, bands: int = len(COLOURS), width: int = 512, embedding: int = 1024
) -> dict[str, Any]:
    """The first nine layers of a ResNet-18, and branches."""
    return {
        "bands": bands,
        "backbone": "resnet",
        "scales": _scales([SAT_SCALES[scale] for scale in scales], width, embedding),
    }


def _scales(layers: list[tuple[list[int], list[int]]], width: int, embedding: int) -> dict[str, Any]:
    return {
        "width": width,
        "embedding": embedding,
        "linears": 1,
        "kernels": [kernels for kernels, _ in layers],
        "strides": [[1] * len(kernels) for kernels, _ in layers],
        "pools": [pools for _, pools in layers],
    }


def _published(env: tuple[int, ...] = (), sat: tuple[int, ...] = ()) -> Variant:
    tag = "-".join(str(part) for name, scales in (("env", env), ("sat", sat)) if scales for part in (name, *scales))
    inputs, modalities = [], {}
    told = []
    if env:
        inputs.append(env_input(max(env)))
        modalities["env"] = env_network(env)
        told.append(f"bioclimatic rasters {_listed(env)} cells wide")
    if sat:
        inputs.append(sat_input(window_of(max(sat))))
        modalities["sat"] = sat_network(sat)
        told.append(f"satellite images {_listed(sat)} px wide")
    return Variant(
        tag=tag,
        builder=BUILDER,
        summary=f"plants of Europe from {' and '.join(told)}; the authors published no weights",
        config={"modalities": modalities, "num_classes": NUM_SPECIES, "crop": "centred"},
        inputs=tuple(inputs),
        classes=SPECIES,
        multi_label=True,
        scores=scores_of(env, sat),
    )


def _listed(scales: tuple[int, ...]) -> str:
    return ", ".join(map(str, scales))


PUBLISHED = (
    _published((1, 5), (25, 59, 115)),  # the example configuration, best of the challenge's test
    *(_published((scale,)) for scale in ENV_SCALES),
    *(_published(scales) for scales in ((1, 5), (1, 5, 9), (1, 5, 9, 17), (1, 5, 9, 17, 25))),
    *(_published((), scales) for scales in ((25,), (59,), (115,), (25, 59), (25, 59, 115))),
    *(_published((1,), scales) for scales in ((25,), (59,), (115,), (25, 59, 115))),
    _published((1, 5, 9, 17), (25, 59, 115)),
)

# A small network of the same kind, trained by the recipe `demo` on virtual species of the synthetic world.
_DEMO_SCALES = {"width": 32, "embedding": 48, "linears": 1}
DEMO_CLIMATE = (Band(id="bio_1", unit="degC"), Band(id="bio_12", unit="mm"), Band(id="elevation", unit="m"))
DEMO_STEPS = (
    Normalise(mean=(4.0, 1100.0, 900.0), std=(4.5, 350.0, 700.0), source="ours: of the synthetic world, rounded"),
    Fill(value=0.0, source="ours: the mean"),
)
DEMO_COLOURS = tuple(Band(id=band.id, unit="DN") for band in COLOURS)
DEMO_COLOUR_STEPS = (
    Normalise(
        mean=(900.0, 900.0, 700.0, 2300.0), std=(900.0, 700.0, 600.0, 1200.0), source="ours: of the synthetic world"
    ),
    Fill(value=0.0, source="ours: the mean"),
)
DEMO = Variant(
    tag="demo",
    builder=BUILDER,
    summary="small, of virtual species of a synthetic world; the image may be missing; not for science",
    config={
        "modalities": {
            "env": {
                "bands": 3,
                "backbone": "cnn",
                "filters": [16, 32],
                "kernels": [1, 1],
                "paddings": [0, 0],
                "pools": [1, 1],
                "scales": _DEMO_SCALES | {"kernels": [[1], [5]], "strides": [[1], [1]], "pools": [[1], [1]]},
            },
            "sat": {
                "bands": 4,
                "backbone": "cnn",
                "filters": [16, 32],
                "kernels": [3, 3],
                "paddings": [1, 1],
                "pools": [2, 1],
                "scales": _DEMO_SCALES | {"kernels": [[1], [3, 3]], "strides": [[1], [1, 1]], "pools": [[1], [2, 2]]},
            },
        },
        "num_classes": len(DEMO_SPECIES),
        "crop": "centred",
    },
    inputs=(
        replace(env_input(5, bands=DEMO_CLIMATE, steps=DEMO_STEPS), label="climate"),
        sat_input(32, bands=DEMO_COLOURS, steps=DEMO_COLOUR_STEPS, optional=True, level="L2A", scale=1e-4, nodata=0.0),
    ),
    classes=DEMO_SPECIES,
    multi_label=True,
    weights=Weights(
        file="zoo_multiscale_sdm:demo.safetensors",
        sha256="e63f69c1b662c94daa734fd44bd81960c5d709901e736277a1c7cebcd6185564",
        size=246312,
        license="Apache-2.0",
    ),
    demo=True,
    capabilities=(Capability.EXPLAIN,),  # it learned without the image too
)
VARIANTS = (*PUBLISHED, DEMO)
