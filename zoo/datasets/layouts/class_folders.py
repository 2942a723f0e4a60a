"""Images in a folder per class: `<split>/<Class>/<file>`, or `<Class>/<file>` with splits drawn or listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import torch

from zoo.datasets.augment import cut, turned
from zoo.datasets.dividing import SHARES, Dividing, NoSuchSplit, folders_in, images_in, need_folder, of_split
from zoo.datasets.pictures import Pictures, Reading, whole_number
from zoo.datasets.sample import Sample
from zoo.errors import ConfigError, InputError
from zoo.spec import Variant

EXPECTED = "a folder per class with its images, or these in a folder per split"


class _Options(Reading, Dividing, total=False):
    pass


def class_folders(
    folder: str | Path,
    *,
    split: str,
    variant: Variant | None,
    classes: Sequence[str] | None = None,
    crop: int | None = None,
    turn: bool = False,
    **options: Unpack[_Options],
) -> ClassFolders:
    """Images labelled by the folder they lie in.

    Args:
        folder: holds `<split>/<Class>/<file>` or `<Class>/<file>`.
        split: the folder of that name, where there is one; else see `zoo.datasets.dividing.Dividing`.
        variant: whose inputs see the images.
        classes: folders in the order of the labels; `None` = by name, of all splits.
        crop: side in pixels of a square cut from each image, at random in training, else from its middle.
        turn: whether images are turned in training.
        options: see `zoo.datasets.pictures.Reading` and `zoo.datasets.dividing.Dividing`.

    Raises:
        InputError: there are no such folders, or images that do not fit.
        ConfigError: an option is wrong.
    """
    root = need_folder(folder, "class-folders", EXPECTED)
    dividing = {name: options.pop(name) for name in Dividing.__annotations__ if name in options}  # type: ignore[misc]
    pictures = Pictures(variant, options, "class-folders")
    files, folders = _files(root, split, dividing)
    names = [file.relative_to(root).as_posix() for file in files]
    return ClassFolders(root, names, _numbers(sorted(folders), classes, root), pictures, crop=crop, turn=turn)


class ClassFolders:
    """See `class_folders`; a `zoo.datasets.sample.Reader`."""

    def __init__(
        self,
        root: Path,
        ids: Sequence[str],
        classes: Sequence[str],
        pictures: Pictures,
        *,
        crop: int | None,
        turn: bool,
    ) -> None:
        self.ids: Sequence[str] = tuple(ids)
        self.classes = tuple(classes)
        self._root, self._pictures, self._turn = root, pictures, turn
        self._crop = None if crop is None else whole_number("crop", crop, least=1)
        if ids:
            pictures.open(root / ids[0], ids[0], doubting=True)

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:
        name = self.ids[index]
        picture = self._pictures.open(self._root / name, name)
        seen = picture.see(None if self._crop is None else cut(picture.size, self._crop, generator))
        sample = Sample(
            id=name,
            inputs=seen.inputs,
            bands=seen.bands,
            valid=seen.valid,
            target={"label": torch.tensor(self.classes.index(name.split("/")[-2]))},
            place=seen.place,
        )
        return turned(sample, generator) if self._turn and generator is not None else sample


def _files(root: Path, split: str, dividing: Mapping[str, Any]) -> tuple[list[Path], set[str]]:
    """Images of a split, and the names of the folders of all splits."""
    by_split = {
        one.name: inner for one in folders_in(root) if (inner := [each for each in folders_in(one) if images_in(each)])
    }
    of_class = [one for one in folders_in(root) if images_in(one)]
    if split in by_split:
        if dividing:
            raise ConfigError(
                f"{root} has a folder per split, which the option {next(iter(dividing))} would divide again; leave it out"
            )
        files = [file for one in by_split[split] for file in images_in(one)]
        return files, {one.name for inner in by_split.values() for one in inner}
    if of_class:
        beside = {one.name for one in folders_in(root.resolve().parent)} & {*SHARES}
        if not dividing and root.resolve().name in SHARES and len(beside) > 1:
            raise NoSuchSplit(
                f"{root} is one split of several ({', '.join(sorted(beside))} lie side by side); give the folder above,"
                f" {root.parent}, and {root.resolve().name} as the split"
            )
        files = [file for one in of_class for file in images_in(one)]
        kept = set(of_split([file.relative_to(root).as_posix() for file in files], split, root, **dividing))
        return [one for one in files if one.relative_to(root).as_posix() in kept], {one.name for one in of_class}
    if by_split:
        error = NoSuchSplit if {*by_split} & {*SHARES} else InputError
        raise error(f"{root} has no folder {split!r}; found {', '.join(by_split)}: give one of these as the split")
    raise InputError(f"{root} holds no folders with images; expected {EXPECTED}")


def _numbers(found: Sequence[str], told: Sequence[str] | None, root: Path) -> Sequence[str]:
    """Classes in the order of their labels."""
    if told is None:
        return found
    if unknown := [name for name in found if name not in told]:
        raise ConfigError(
            f"{root} has folders that the option classes does not name: {', '.join(unknown)}; it names"
            f" {', '.join(told)}: add them, or move the folders away"
        )
    return told
