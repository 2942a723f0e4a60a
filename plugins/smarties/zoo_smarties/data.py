"""The datasets of the paper on their published layout.

Each reader takes the folder and returns chips ready for the network, see `zoo_smarties.chips`. The authors' split lists
(file names only) are read from the folder that the environment variable `ZOO_SMARTIES_SPLITS` names: `eval_splits/` of
their repository. Other lists are given as `names`.

Source: gsumbul/SMARTIES@fc0df04.
"""

# C bands, H W pixels

from __future__ import annotations

import gzip
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import InputError
from zoo_smarties.chips import Array, Augment, ChipDataset, Record, Rule
from zoo_smarties.classes import DFC2020
from zoo_smarties.statistics import DATASETS, SIZE

SPLITS = ("train", "val")
SPLITS_FOLDER = "ZOO_SMARTIES_SPLITS"


def split_list(name: str) -> list[str]:
    """Lines of a list of the authors, such as `"EuroSAT-val"`: `<name>.txt` or `<name>.txt.gz` in the folder of lists.

    Raises:
        InputError: the folder is not named, or has no such list.
    """
    named = os.environ.get(SPLITS_FOLDER)
    if not named:
        raise InputError(
            f"the list {name!r} of the authors is needed; set {SPLITS_FOLDER} to a copy of the folder eval_splits/ of"
            " https://github.com/gsumbul/SMARTIES (commit fc0df04), or give a list of your own with names="
        )
    folder = Path(named)
    for file, opened in ((folder / f"{name}.txt", open), (folder / f"{name}.txt.gz", gzip.open)):
        if file.is_file():
            with opened(file, "rt", encoding="utf-8") as lines:
                return [line.strip() for line in lines if line.strip()]
    have = ", ".join(sorted(file.name.partition(".txt")[0] for file in folder.glob("*.txt*"))) or "no lists"
    raise InputError(f"{folder} has no list {name!r}; found {have}")


def scenes(
    folder: str | Path,
    dataset: str,
    *,
    split: str = "val",
    names: Sequence[str] | None = None,
    rule: Rule = Rule.WHOLE,
    size: int = SIZE,
    augment: Augment | None = None,
) -> ChipDataset:
    """A set with one image per scene and one folder per class.

    Args:
        folder: holds `<Class>/<file>`.
        dataset: `"EuroSAT"`, `"WHU-RS19"`, `"UC-Merced"` or `"RESISC45"`.
        split: `"train"` or `"val"`, by the authors' list.
        names: `<Class>/<file>` of another list; classes are then numbered by the sorted folders of that list.
        rule: how an image gets its size.
        size: side in pixels.
        augment: random changes, for training.

    Raises:
        InputError: the folder lacks files of the list; says how many.
    """
    listed = [name.removeprefix("./") for name in (split_list(f"{dataset}-{split}") if names is None else names)]
    root = _existing(folder, listed, dataset)
    classes = tuple(sorted({name.split("/")[0] for name in listed}))
    records = [Record(id=name, place=(name,), label=classes.index(name.split("/")[0])) for name in listed]
    return ChipDataset(
        records,
        read=lambda record: {"image": read_raster(root / record.place[0])},
        statistics={"image": DATASETS[dataset]},
        classes=classes,
        rule=rule,
        size=size,
        augment=augment,
    )


def eurosat(folder: str | Path, *, split: str = "val", **options: Any) -> ChipDataset:
    """EuroSAT-MS: `EuroSAT_MS/<Class>/<Class>_<n>.tif`, 13 bands, 64 x 64 px, uint16 (Zenodo 7711810)."""
    return scenes(folder, "EuroSAT", split=split, **options)


def whu_rs19(folder: str | Path, *, split: str = "val", **options: Any) -> ChipDataset:
    """WHU-RS19: `<Class>/<name>.jpg`."""
    return scenes(folder, "WHU-RS19", split=split, **{"rule": Rule.LINEAR, **options})


def uc_merced(folder: str | Path, *, split: str = "val", **options: Any) -> ChipDataset:
    """UC-Merced: `<class>/<class><nn>.tif`."""
    return scenes(folder, "UC-Merced", split=split, **{"rule": Rule.CENTRE, **options})


def resisc45(folder: str | Path, *, split: str = "val", **options: Any) -> ChipDataset:
    """RESISC45: `<class>/<class>_<nnn>.jpg`. Fine-tuning takes `rule=Rule.CROP`."""
    return scenes(folder, "RESISC45", split=split, **{"rule": Rule.CENTRE, **options})


def dfc2020(file: str | Path, *, split: str = "val", size: int = SIZE, augment: Augment | None = None) -> ChipDataset:
    """DFC2020 as one torch file, `DFC_preprocessed.pt` of the Hub dataset antofuller/CROMA_benchmarks.

    Args:
        file: that file, or the folder that holds it. Images (N, 14, 96, 96) in 0..255, labels (N, 96, 96) in 0..7 or -1.
        split: `"train"` or `"val"`.
        size: side in pixels of the images; labels keep theirs.
        augment: random changes, the same for image and label.
    """
    path = Path(file) / "DFC_preprocessed.pt" if Path(file).is_dir() else Path(file)
    if not path.is_file():
        raise InputError(f"found no {path}; expected DFC_preprocessed.pt of the dataset antofuller/CROMA_benchmarks")
    tables: Mapping[str, Tensor] = torch.load(path, weights_only=True, mmap=True)
    kind = {"train": "train", "val": "validation"}[split]
    images, labels = tables[f"{kind}_images"], tables[f"{kind}_labels"]

    def read_label(record: Record) -> Tensor:
        label_HW = labels[int(record.place[0])].long()
        return torch.where(label_HW == -1, -100, label_HW)

    return ChipDataset(
        [Record(id=f"{split}-{index}", place=(str(index),)) for index in range(len(images))],
        read=lambda record: {"image": images[int(record.place[0])].float().numpy()},
        statistics={"image": DATASETS["DFC2020"]},
        classes=DFC2020,
        size=size,
        augment=augment,
        read_label=read_label,
    )


def read_raster(path: Path) -> Array:
    """All bands of a GeoTIFF or photograph, (C, H, W), as stored.

    Raises:
        InputError: not a raster, or damaged.
    """
    import rasterio

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # photographs are not
            with rasterio.open(path) as source:
                return np.asarray(source.read())
    except rasterio.RasterioIOError as err:
        raise InputError(f"cannot read {path} ({err}); expected a GeoTIFF or photograph; fetch the file again") from err


def _existing(folder: str | Path, listed: Sequence[str], dataset: str) -> Path:
    root = Path(folder)
    absent = [name for name in listed if not (root / name).is_file()]
    if absent:
        raise InputError(
            f"{root} lacks {len(absent)} of the {len(listed)} files of {dataset}, such as {absent[0]};"
            f" give the folder that holds {absent[0].split('/')[0]}/"
        )
    return root
