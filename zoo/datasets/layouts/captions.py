"""Images with sentences about them: the JSON file of RSICD, UCM-Captions and Sydney-Captions, and a folder of images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import torch

from zoo.datasets.augment import turned
from zoo.datasets.dividing import SHOWN, NoSuchSplit, folders_in, need_folder
from zoo.datasets.pictures import Pictures, Reading
from zoo.datasets.sample import Sample
from zoo.errors import InputError
from zoo.spec import Variant

EXPECTED = '{"images": [{"filename": "a.tif", "split": "train", "sentences": [{"raw": "..."}]}]}'


def captions(
    folder: str | Path,
    *,
    split: str,
    variant: Variant | None,
    table: str | None = None,
    images: str | None = None,
    turn: bool = False,
    **options: Unpack[Reading],
) -> Captions:
    """Images and their captions.

    Args:
        folder: holds the JSON file, and the images in a folder (or beside it).
        split: as the file says of each image.
        variant: whose inputs see the images; they must be of one size, or the input must declare a size.
        table: name of the JSON file, where there are several (one per language).
        images: name of the folder of images, where there are several.
        turn: whether images are turned in training ("left of" is then no longer true).
        options: see `zoo.datasets.pictures.Reading`.

    Raises:
        InputError: the file or images are missing, or not as expected.
    """
    root = need_folder(folder, "captions", "a JSON file of captions and a folder of images")
    pictures = Pictures(variant, options, "captions")
    file = _file(root, table)
    rows = _rows(file)
    texts = {name: one for name, part, one in rows if part == split}
    if rows and not texts:
        have = ", ".join(sorted({part for _, part, _ in rows}))
        raise NoSuchSplit(f"{file} has no image of the split {split!r}; it has {have}: give one of these as the split")
    if mute := [name for name, one in texts.items() if not one]:
        raise InputError(f"{file}: {len(mute)} images have no sentences, such as {mute[0]}; expected {EXPECTED}")
    return Captions(_images(root, list(texts), images), texts, pictures, turn=turn)


class Captions:
    """See `captions`; a `zoo.datasets.sample.Reader`."""

    classes: tuple[str, ...] = ()

    def __init__(self, folder: Path, texts: Mapping[str, tuple[str, ...]], pictures: Pictures, *, turn: bool) -> None:
        self.ids: Sequence[str] = tuple(texts)
        self._folder, self._texts, self._pictures, self._turn = folder, tuple(texts.values()), pictures, turn
        if self.ids:
            pictures.open(folder / self.ids[0], self.ids[0], doubting=True)

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:
        name = self.ids[index]
        seen = self._pictures.open(self._folder / name, name).see()
        sample = Sample(
            id=name,
            inputs=seen.inputs,
            bands=seen.bands,
            valid=seen.valid,
            target={"texts": self._texts[index]},
            place=seen.place,
        )
        return turned(sample, generator) if self._turn and generator is not None else sample


def _file(root: Path, name: str | None) -> Path:
    if name is not None:
        return root / name
    found = sorted(root.glob("*.json"))
    if len(found) != 1:
        told = ", ".join(one.name for one in found[:SHOWN]) or "no JSON files"
        advice = ": say which with the option table=NAME" if found else ""
        raise InputError(f"{root} holds {told}; expected one JSON file of captions, {EXPECTED}{advice}")
    return found[0]


def _rows(file: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    """Name, split and sentences of each image."""
    try:
        told: Any = json.loads(file.read_text(encoding="utf-8"))
        return [
            (row["filename"], row["split"], tuple(one["raw"].strip() for one in row["sentences"] if one["raw"].strip()))
            for row in told["images"]
        ]
    except (OSError, ValueError, TypeError, AttributeError) as err:
        raise InputError(f"{file} is no file of captions that can be read: {err}; expected {EXPECTED}") from err
    except KeyError as err:
        raise InputError(f"{file} lacks {err} somewhere; expected {EXPECTED}") from err


def _images(root: Path, names: Sequence[str], told: str | None) -> Path:
    """The folder in which the images lie: the one that has most of them, which must be all."""
    folders = [root, *folders_in(root)] if told is None else [root / told]
    absent = {folder: [name for name in names if not (folder / name).is_file()] for folder in folders}
    best = min(folders, key=lambda folder: len(absent[folder]))
    if absent[best]:
        raise InputError(
            f"{best} lacks {len(absent[best])} of {len(names)} images, such as {absent[best][0]}; expected all of a split in"
            " one folder: fetch them, or say which folder with the option images=NAME"
        )
    return best
