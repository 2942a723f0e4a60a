"""The datasets of the paper on their published layout.

Each function opens a folder as a reader of chips ready for the network, see `zoo_smarties.chips`. The authors' split
lists (file names only) are read from the folder that the environment variable `ZOO_SMARTIES_SPLITS` names:
`eval_splits/` of their repository. Other lists are given as `names`: lines, or a text file of them.

Source: gsumbul/SMARTIES@fc0df04.
"""

# C bands, H W pixels

from __future__ import annotations

import gzip
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor

from zoo.datasets.sample import IGNORED
from zoo.errors import ConfigError, InputError
from zoo.spec import Variant
from zoo_smarties.chips import Array, ChipReader, Record, Rule, size_for
from zoo_smarties.classes import DFC2020, EUROSAT, RESISC45
from zoo_smarties.statistics import DATASETS

Names = Sequence[str] | str | Path | None
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


def lines_of(names: Sequence[str] | str | Path) -> list[str]:
    """Lines of a list: as they are given, or of the text file that is named.

    Raises:
        InputError: there is no such file.
    """
    if not isinstance(names, str | Path):
        return [*names]
    try:
        lines = Path(names).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise InputError(f"cannot read the list {names} ({err}); expected a text file with a line per sample") from err
    return [line.strip() for line in lines if line.strip()]


class Scenes(TypedDict, total=False):
    """Options of sets with one image per scene and a folder per class.

    names: `<Class>/<file>` of another list than the authors'. rule: see `Rule`. size: side in pixels. turn: whether
    images are mirrored and turned in training.
    """

    names: Names
    rule: Rule | str
    size: int | None
    turn: bool


def eurosat(folder: str | Path, *, split: str, variant: Variant | None = None, **options: Unpack[Scenes]) -> ChipReader:
    """EuroSAT-MS: `EuroSAT_MS/<Class>/<Class>_<n>.tif`, 13 bands, 64 x 64 px, uint16 (Zenodo 7711810)."""
    return _scenes(folder, "EuroSAT", split, variant, options, classes=EUROSAT)


def whu_rs19(
    folder: str | Path, *, split: str, variant: Variant | None = None, **options: Unpack[Scenes]
) -> ChipReader:
    """WHU-RS19: `<Class>/<name>.jpg`."""
    return _scenes(folder, "WHU-RS19", split, variant, {"rule": Rule.LINEAR, **options})


def uc_merced(
    folder: str | Path, *, split: str, variant: Variant | None = None, **options: Unpack[Scenes]
) -> ChipReader:
    """UC-Merced: `<class>/<class><nn>.tif`."""
    return _scenes(folder, "UC-Merced", split, variant, {"rule": Rule.CENTRE, **options})


def resisc45(
    folder: str | Path, *, split: str, variant: Variant | None = None, **options: Unpack[Scenes]
) -> ChipReader:
    """RESISC45: `<class>/<class>_<nnn>.jpg`. Fine-tuning takes `rule="crop"`."""
    return _scenes(folder, "RESISC45", split, variant, {"rule": Rule.CENTRE, **options}, classes=RESISC45)


def _scenes(
    folder: str | Path,
    dataset: str,
    split: str,
    variant: Variant | None,
    options: Scenes,
    *,
    classes: tuple[str, ...] | None = None,
) -> ChipReader:
    """A set with one image per scene; without `classes`, the folders of the list, sorted, are its classes."""
    names, rule = options.get("names"), options.get("rule", Rule.WHOLE)
    if rule not in [*Rule]:
        raise ConfigError(f"the option rule is {rule!r}; expected {', '.join(Rule)}")
    listed = [
        name.removeprefix("./") for name in (split_list(f"{dataset}-{split}") if names is None else lines_of(names))
    ]
    root = _existing(folder, listed, dataset)
    found = sorted({name.split("/")[0] for name in listed})
    classes = classes or tuple(found)
    if unknown := [one for one in found if one not in classes]:
        raise InputError(
            f"{dataset} has no class {unknown[0]!r}; expected folders {', '.join(classes[:5])}, ...; for classes of your"
            " own take the dataset class-folders"
        )
    return ChipReader(
        [Record(id=name, place=(name,), label=classes.index(name.split("/")[0])) for name in listed],
        read=lambda record: {"image": read_raster(root / record.place[0])},
        statistics={"image": DATASETS[dataset]},
        classes=classes,
        rule=rule,
        size=size_for(variant, options.get("size")),
        turn=options.get("turn", False),
    )


def dfc2020(
    folder: str | Path, *, split: str, variant: Variant | None = None, size: int | None = None, turn: bool = False
) -> ChipReader:
    """DFC2020 as one torch file, `DFC_preprocessed.pt` of the Hub dataset antofuller/CROMA_benchmarks.

    Args:
        folder: that holds the file, or the file. Images (N, 14, 96, 96) in 0..255, labels (N, 96, 96) in 0..7 or -1.
        split: `"train"` or `"val"`.
        variant: whose size the images get.
        size: side in pixels of the images; labels keep theirs.
        turn: whether image and labels are mirrored and turned in training.
    """
    path = Path(folder) / "DFC_preprocessed.pt" if Path(folder).is_dir() else Path(folder)
    if not path.is_file():
        raise InputError(f"found no {path}; expected DFC_preprocessed.pt of the dataset antofuller/CROMA_benchmarks")
    kinds = {"train": "train", "val": "validation"}
    if split not in kinds:
        raise InputError(f"DFC2020 has no split {split!r}; it has {', '.join(kinds)}: give one of these as the split")
    try:
        tables: Mapping[str, Tensor] = torch.load(path, weights_only=True, mmap=True)
        images, labels = tables[f"{kinds[split]}_images"], tables[f"{kinds[split]}_labels"]
    except Exception as err:  # torch raises many kinds
        raise InputError(f"cannot read {path} ({err}); expected images and labels of DFC2020; fetch it again") from err

    def read_label(record: Record) -> Tensor:
        label_HW = labels[int(record.place[0])].long()
        return torch.where(label_HW == -1, IGNORED, label_HW)

    return ChipReader(
        [Record(id=f"{split}-{index}", place=(str(index),)) for index in range(len(images))],
        read=lambda record: {"image": images[int(record.place[0])].float().numpy()},
        statistics={"image": DATASETS["DFC2020"]},
        classes=DFC2020,
        size=size_for(variant, size),
        turn=turn,
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
