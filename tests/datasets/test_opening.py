"""Datasets by name: what opens, and what a user reads where it does not."""

from __future__ import annotations

import dataclasses

import pytest

from zoo.datasets.opening import check_splits, list_datasets, open_dataset, shared_ids
from zoo.errors import ConfigError, InputError, PluginError

PLUGIN = """
    from pathlib import Path
    from zoo.spec import DatasetSpec

    class Tiles:
        classes = ()
        def __init__(self, files):
            self.ids = files
        def sample(self, index, generator=None):
            raise NotImplementedError

    def tiles(folder, *, split, size, colour="red"):
        files = sorted(str(one.relative_to(folder)) for one in (Path(folder) / "tiles").glob(f"{split}-*.tif"))
        if not (Path(folder) / "tiles").is_dir():
            raise FileNotFoundError(f"no folder tiles in {folder}")
        return Tiles(files)

    def broken(folder, *, split):
        return 1 / 0

    def wrong(folder, *, split):
        return []

    @hookimpl
    def zoo_register_datasets():
        row = dict(summary="tiles", task=Task.SEGMENT, license=None, source="tiles/<split>-<n>.tif")
        return [DatasetSpec(name=name, reader=f"MODULE:{name}", **row) for name in ("tiles", "broken", "wrong")]
"""


@pytest.fixture
def tiles(make_plugin, tmp_path):
    make_plugin("tiler", PLUGIN.replace("MODULE", "zoo_tiler"))
    folder = tmp_path / "data" / "inner"
    (folder / "tiles").mkdir(parents=True)
    for index in range(3):
        (folder / "tiles" / f"train-{index}.tif").touch()
    return folder


def test_zoos_own_layouts_and_those_of_plugins_are_listed(tiles):
    found = {(where, one.name) for where, one in list_datasets()}
    assert {("lasig-zoo", "world"), ("zoo-tiler", "tiles")} <= found


def test_a_plugins_dataset_opens_with_its_options(tiles):
    reader = open_dataset("tiles", tiles, split="train", options={"size": 3})
    assert reader.ids == ["tiles/train-0.tif", "tiles/train-1.tif", "tiles/train-2.tif"]


def test_an_unknown_name_is_told_with_the_nearest(tiles):
    with pytest.raises(ConfigError, match="no dataset 'tils'; did you mean tiles"):
        open_dataset("tils", tiles, split="train", options={})


def test_a_name_of_two_plugins_asks_which(tiles, make_plugin):
    make_plugin("other", PLUGIN.replace("MODULE", "zoo_other"))
    with pytest.raises(ConfigError, match="zoo-other:tiles or zoo-tiler:tiles"):
        open_dataset("tiles", tiles, split="train", options={"size": 1})
    assert len(open_dataset("zoo-tiler:tiles", tiles, split="train", options={"size": 1}).ids) == 3


def test_an_unknown_option_is_told_with_the_nearest(tiles):
    with pytest.raises(ConfigError, match="dataset 'tiles' has no option 'color'; did you mean 'colour'"):
        open_dataset("tiles", tiles, split="train", options={"size": 1, "color": "blue"})


def test_an_option_of_reading_is_known_beside_the_layouts_own(variant):
    with pytest.raises(ConfigError, match="dataset 'class-folders' has no option 'sensr'; did you mean 'sensor'"):
        open_dataset("class-folders", ".", split="train", options={"sensr": "S2"}, variant=variant)


def test_an_option_that_is_needed_is_asked_for(tiles):
    with pytest.raises(ConfigError, match=r"also needs size: say the option size="):
        open_dataset("tiles", tiles, split="train", options={})


def test_a_folder_that_is_not_there_is_told_with_the_nearest(tiles):
    with pytest.raises(InputError, match=r"iner does not exist; did you mean .*inner\?"):
        open_dataset("tiles", tiles.parent / "iner", split="train", options={"size": 1})
    with pytest.raises(InputError, match=r"lies in a folder, and none is given; say which"):
        open_dataset("tiles", None, split="train", options={"size": 1})


def test_a_folder_one_level_too_high_names_the_one_below(tiles):
    with pytest.raises(InputError, match=rf"no folder tiles .*; {tiles} would fit: give that folder$"):
        open_dataset("tiles", tiles.parent, split="train", options={"size": 1})


def test_a_folder_one_level_too_low_names_the_one_above(tiles):
    with pytest.raises(InputError, match=rf"; {tiles} would fit: give that folder$"):
        open_dataset("tiles", tiles / "tiles", split="train", options={"size": 1})


def test_an_empty_split_is_told(tiles):
    with pytest.raises(InputError, match=r"split 'val' of dataset 'tiles' in .* is empty"):
        open_dataset("tiles", tiles, split="val", options={"size": 1})


@pytest.mark.parametrize(("name", "said"), [("broken", "ZeroDivisionError"), ("wrong", "gave a list; expected")])
def test_a_plugins_reader_that_fails_is_told_as_such(tiles, name, said):
    with pytest.raises(PluginError, match=said):
        open_dataset(name, tiles, split="train", options={})


def test_splits_that_share_samples_are_told_with_examples(variant):
    train = open_dataset("world", None, split="train", options={"n": 6}, variant=variant)
    other = open_dataset("world", None, split="val", options={"n": 6}, variant=variant)
    check_splits(train, other)
    with pytest.raises(InputError, match=r"6 of the 6 samples .* world-0/train/000000, .*, and 3 more"):
        check_splits(train, _Ids(tuple(train.ids)))


def test_samples_of_the_same_name_in_another_folder_are_others(tiles, tmp_path):
    """The same folder by another way is the same one."""
    other = tmp_path / "other"
    (other / "tiles").mkdir(parents=True)
    (other / "tiles" / "train-0.tif").touch()
    (tmp_path / "link").symlink_to(tiles)
    train, elsewhere, linked = (
        open_dataset("tiles", one, split="train", options={"size": 1}) for one in (tiles, other, tmp_path / "link")
    )
    assert shared_ids(train, elsewhere) == []
    check_splits(train, elsewhere)
    with pytest.raises(InputError, match=r"3 of the 3 samples for validation are among the 3 for training"):
        check_splits(train, linked)
    assert shared_ids(elsewhere, _Ids(("tiles/train-0.tif", "b"))) == ["tiles/train-0.tif"]  # of no known folder


def test_reader_without_room_for_its_place_opens_all_the_same(make_plugin, tmp_path):
    slots = PLUGIN.replace("classes = ()", '__slots__ = ("ids",)\n        classes = ()').replace(
        "MODULE", "zoo_slotted"
    )
    make_plugin("slotted", slots)
    (tmp_path / "tiles").mkdir()
    (tmp_path / "tiles" / "val-1.tif").touch()
    reader = open_dataset("tiles", tmp_path, split="val", options={"size": 1})
    with pytest.raises(InputError, match="1 of the 1 samples for validation"):
        check_splits(reader, reader)


@dataclasses.dataclass
class _Ids:
    ids: tuple[str, ...]
