"""BigEarthNet v1 on its published layout (Zenodo 12687186), one sensor or both.

    S2/<patch>/<patch>_<band>.tif      12 bands at 120, 60 and 20 px
    S1/<patch>/<patch>_{VV,VH}.tif     120 px, dB
    .../<patch>_labels_metadata.json   "labels": CORINE names; in S1 also "corresponding_s2_patch"

Source: gsumbul/SMARTIES@fc0df04; the name of the S1 metadata's key is from knowledge.
"""

# C bands, H W pixels, K classes

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.errors import ConfigError, InputError
from zoo.spec import Variant
from zoo_smarties.chips import Array, ChipReader, Record, size_for
from zoo_smarties.classes import BIGEARTHNET, BIGEARTHNET_MERGES
from zoo_smarties.data import Names, lines_of, split_list
from zoo_smarties.statistics import DATASETS

S2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
S1_BANDS = ("VV", "VH")
REFERENCE = {"S2": "B04", "S1": "VV"}  # the band whose size and integer type all others get


def bigearthnet(
    folder: str | Path,
    *,
    split: str,
    variant: Variant | None = None,
    sensors: Sequence[str] | None = None,
    names: Names = None,
    size: int | None = None,
    turn: bool = False,
) -> ChipReader:
    """Patches of BigEarthNet with 0 or 1 for each of the 19 classes.

    Args:
        folder: holds `S1/` and `S2/`.
        split: `"train10prcnt"`, `"train1prcnt"` or `"val"`, by the authors' lists. Of the validation set they published
            the S2 names alone; their S1 patches are looked up in the metadata.
        variant: whose inputs see the patches.
        sensors: `["S2"]` and `["S1"]` give the input `image`; `["S1", "S2"]` gives `s1` and `s2`; `None` = those of the
            variant's inputs.
        names: `<S2 patch> <S1 patch>` lines of another list, or a text file of them; one column where one sensor will do.
        size: side in pixels.
        turn: whether patches are mirrored and turned in training, both sensors alike.
    """
    root, wanted = Path(folder), _sensors(variant) if sensors is None else tuple(sensors)
    if wanted not in (("S2",), ("S1",), ("S1", "S2")):
        raise ConfigError(f"the option sensors is {[*wanted]}; expected [S2], [S1] or [S1, S2]")
    for sensor in wanted:
        if not (root / sensor).is_dir():
            raise InputError(f"{root} has no folder {sensor}/; expected BigEarthNet v1 with its patches in {sensor}/")
    records = [
        Record(id="+".join(pair[sensor] for sensor in wanted), place=tuple(pair[sensor] for sensor in wanted))
        for pair in _pairs(root, wanted, split, None if names is None else lines_of(names))
    ]
    inputs = ("image",) if len(wanted) == 1 else ("s1", "s2")

    def read(record: Record) -> Mapping[str, Array]:
        patches = zip(inputs, wanted, record.place, strict=True)
        return {name: read_patch(root / sensor / patch, sensor) for name, sensor, patch in patches}

    return ChipReader(
        records,
        read=read,
        statistics={name: DATASETS[f"BigEarthNet{sensor}"] for name, sensor in zip(inputs, wanted, strict=True)},
        classes=BIGEARTHNET,
        size=size_for(variant, size),
        turn=turn,
        read_label=lambda record: read_labels(root / wanted[0] / record.place[0]),
    )


def _sensors(variant: Variant | None) -> tuple[str, ...]:
    """Those that a variant's inputs see; Sentinel-2 where there is a choice."""
    if variant is None:
        return ("S2",)
    if {"s1", "s2"} <= {spec.name for spec in variant.inputs}:
        return ("S1", "S2")
    return ("S1",) if variant.inputs[0].label == "S1" else ("S2",)


def read_patch(folder: Path, sensor: str) -> Array:
    """All bands of a patch (C, 120, 120), resampled bilinearly to the reference band and in its type."""
    import rasterio
    from rasterio.enums import Resampling

    bands = S2_BANDS if sensor == "S2" else S1_BANDS
    try:
        with rasterio.open(folder / f"{folder.name}_{REFERENCE[sensor]}.tif") as source:
            shape, dtype = source.shape, source.dtypes[0]
        stored = []
        for band in bands:
            with rasterio.open(folder / f"{folder.name}_{band}.tif") as source:
                stored.append(source.read(1, out_shape=shape, out_dtype=dtype, resampling=Resampling.bilinear))
    except rasterio.RasterioIOError as err:
        raise InputError(f"cannot read the BigEarthNet patch {folder} ({err}); expected {', '.join(bands)}") from err
    return np.stack(stored)


def read_labels(folder: Path) -> Tensor:
    """Classes (19) of a patch as 0 and 1, from its metadata."""
    return multi_hot(_metadata(folder)["labels"])


def multi_hot(corine_names: Iterable[str]) -> Tensor:
    """CORINE names merged to the 19 classes; names without a class are dropped, so that none may be left."""
    label_K = torch.zeros(len(BIGEARTHNET))
    for name in corine_names:
        merged = BIGEARTHNET_MERGES.get(name, name)
        if merged in BIGEARTHNET:
            label_K[BIGEARTHNET.index(merged)] = 1.0
    return label_K


def _pairs(root: Path, sensors: tuple[str, ...], split: str, names: Sequence[str] | None) -> list[dict[str, str]]:
    """Patch names by sensor."""
    if names is not None:
        columns = ("S2", "S1") if any(" " in line for line in names) else sensors
        for number, line in enumerate(names, start=1):
            if len(line.split()) != len(columns):
                raise InputError(f"line {number} of the list is {line!r}; expected the patches of {' '.join(columns)}")
        return [dict(zip(columns, line.split(), strict=True)) for line in names]
    if split != "val":
        return [dict(zip(("S2", "S1"), line.split(), strict=True)) for line in split_list(f"BigEarthNet-MM-{split}")]
    listed = split_list("BigEarthNet-S2-val")
    if sensors == ("S2",):
        return [{"S2": name} for name in listed]
    partner = {_metadata(one)["corresponding_s2_patch"]: one.name for one in sorted((root / "S1").iterdir())}
    return [{"S2": name, "S1": partner[name]} for name in listed if name in partner]


def _metadata(folder: Path) -> dict[str, list[str] | str]:
    path = folder / f"{folder.name}_labels_metadata.json"
    try:
        found: dict[str, list[str] | str] = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as err:
        raise InputError(f"cannot read {path} ({err}); expected BigEarthNet v1 with its label metadata") from err
    return found
