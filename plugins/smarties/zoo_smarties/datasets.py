"""The datasets of the paper that the plugin reads.

Source: gsumbul/SMARTIES@fc0df04. Licences of the data are not stated there.
"""

from __future__ import annotations

from zoo.spec import DatasetSpec, Task

DATASETS = (
    DatasetSpec(
        name="eurosat-ms",
        summary="land use, 10 classes, 27000 Sentinel-2 L1C chips of 64 x 64 px, 13 bands",
        reader="zoo_smarties.data:eurosat",
        task=Task.PRETRAIN,
        license=None,
        source="https://zenodo.org/records/7711810",
    ),
    DatasetSpec(
        name="bigearthnet-v1",
        summary="land cover, 19 classes, several at once; Sentinel-2 L2A and Sentinel-1 patches of 120 x 120 px",
        reader="zoo_smarties.bigearthnet:bigearthnet",
        task=Task.PRETRAIN,
        license=None,
        source="https://zenodo.org/records/12687186",
    ),
    DatasetSpec(
        name="whu-rs19",
        summary="scenes, 19 classes, RGB",
        reader="zoo_smarties.data:whu_rs19",
        task=Task.PRETRAIN,
        license=None,
        source="gsumbul/SMARTIES@fc0df04, evaluation lists",
    ),
    DatasetSpec(
        name="uc-merced",
        summary="land use, 21 classes, RGB",
        reader="zoo_smarties.data:uc_merced",
        task=Task.PRETRAIN,
        license=None,
        source="gsumbul/SMARTIES@fc0df04, evaluation lists",
    ),
    DatasetSpec(
        name="resisc45",
        summary="scenes, 45 classes, RGB",
        reader="zoo_smarties.data:resisc45",
        task=Task.PRETRAIN,
        license=None,
        source="gsumbul/SMARTIES@fc0df04, evaluation lists",
    ),
    DatasetSpec(
        name="dfc2020",
        summary="land cover maps, 8 classes, Sentinel-2 and Sentinel-1 chips of 96 x 96 px in 8 bits",
        reader="zoo_smarties.data:dfc2020",
        task=Task.SEGMENT,
        license=None,
        source="Hub dataset antofuller/CROMA_benchmarks, DFC_preprocessed.pt",
    ),
    DatasetSpec(
        name="smarties-pairs",
        summary="pre-training pairs from a list of paths: RGB with Sentinel-2 L1C, Sentinel-2 L2A with Sentinel-1",
        reader="zoo_smarties.pairs:pairs",
        task=Task.PRETRAIN,
        license=None,
        source="gsumbul/SMARTIES@fc0df04; the authors' lists are not published",
    ),
    DatasetSpec(
        name="smarties-places",
        summary="places of an invented world as several sensors see them, drawn on the spot: needs no folder",
        reader="zoo_smarties.world:places",
        task=Task.PRETRAIN,
        license="Apache-2.0",
        source="zoo.samples",
    ),
)
