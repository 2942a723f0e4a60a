"""Images in a folder per class: which are read, as what, and what is said of folders that do not fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from own_data import RGB, variant_of, write_tif
from PIL import Image

from zoo.datasets.dividing import drawn
from zoo.datasets.opening import open_dataset
from zoo.datasets.seeds import generator_of
from zoo.errors import ConfigError, InputError, ZooWarning


def chips(folder, counts, side=8):
    """`counts[class]` chips whose pixels are the class's number times ten and the chip's."""
    for number, (name, count) in enumerate(counts.items()):
        for index in range(count):
            pixels = np.full((3, side, side), number * 10 + index, np.uint16) + np.arange(side, dtype=np.uint16)
            write_tif(folder / name / f"{index:03d}.tif", pixels)
    return folder


def opened(folder, variant, split="train", **options):
    return open_dataset("class-folders", folder, split=split, options=options, variant=variant)


def test_the_folder_of_a_split_is_read_and_classes_are_those_of_all_splits(tmp_path, variant):
    chips(tmp_path / "train", {"b": 2, "c": 1})
    chips(tmp_path / "val", {"a": 1, "c": 2})
    reader = opened(tmp_path, variant, "train")
    assert reader.ids == ("train/b/000.tif", "train/b/001.tif", "train/c/000.tif")
    assert reader.classes == ("a", "b", "c")
    assert [reader.sample(index).target["label"].item() for index in range(3)] == [1, 1, 2]


def test_pixels_are_prepared_as_the_input_declares(tmp_path, variant):
    chips(tmp_path / "train", {"a": 1, "b": 2})
    sample = opened(tmp_path, variant).sample(2)
    raw = 10 + 1 + np.arange(8.0)
    for band, (mean, std) in enumerate([(10, 2), (20, 4), (30, 5)]):
        np.testing.assert_allclose(sample.inputs["image"][band, 3], (raw - mean) / std, rtol=1e-6)
    assert sample.bands == {"image": ("S2:B02", "S2:B03", "S2:B04")}
    assert sample.valid["image"].all()
    lon, lat = sample.place
    assert (round(lon, 3), round(lat, 3)) == (9.001, 45.153)  # 40 m east and south of (500000, 5000000) in zone 32


def test_bands_are_matched_by_name_and_scaled(tmp_path, variant):
    pixels = np.stack([np.full((8, 8), value, np.float32) for value in (3.0, 2.0, 1.0)])
    pixels[:, 4:] = 30
    write_tif(tmp_path / "train" / "a" / "0.tif", pixels, ("B04", "B03", "B02"))
    image = opened(tmp_path, variant).sample(0).inputs["image"]
    np.testing.assert_allclose(image[:, 0, 0], [(1 - 10) / 2, (2 - 20) / 4, (3 - 30) / 5], rtol=1e-6)


def test_bands_without_names_are_asked_for(tmp_path, variant):
    write_tif(tmp_path / "train" / "a" / "0.tif", np.arange(192, dtype=np.uint16).reshape(3, 8, 8) // 8, None)
    with pytest.raises(InputError, match=r"0\.tif: .*channels.*no names"):
        opened(tmp_path, variant)
    image = opened(tmp_path, variant, bands=["B04", "B03", "B02"]).sample(0).inputs["image"]
    np.testing.assert_allclose(image[:, 0, 0], [(16 - 10) / 2, (8 - 20) / 4, (0 - 30) / 5], rtol=1e-6)


def test_shares_divide_files_by_their_names_alone(tmp_path, variant):
    chips(tmp_path, {"a": 40, "b": 40}, side=4)
    shares = {"train": 0.5, "val": 0.25, "test": 0.25}
    parts = {split: opened(tmp_path, variant, split, shares=shares).ids for split in shares}
    assert sorted(name for part in parts.values() for name in part) == sorted(
        f"{name}/{index:03d}.tif" for name in "ab" for index in range(40)
    )
    assert parts["train"] == tuple(sorted(one for part in parts.values() for one in part if drawn(one, 0) < 0.5))
    assert 28 <= len(parts["train"]) <= 52
    (tmp_path / "a" / "000.tif").unlink()
    assert set(opened(tmp_path, variant, "val", shares=shares).ids) == set(parts["val"]) - {"a/000.tif"}
    assert opened(tmp_path, variant, "train", shares=shares, seed=1).ids != parts["train"]


def test_a_table_divides_files(tmp_path, variant):
    chips(tmp_path, {"a": 3, "b": 1})
    (tmp_path / "splits.csv").write_text("file,split\na/001.tif,train\nb/000.tif,train\na/000.tif,val\n")
    assert opened(tmp_path, variant, splits="splits.csv").ids == ("a/001.tif", "b/000.tif")
    with pytest.raises(InputError, match=r"no file of the split 'test'; it has train, val"):
        opened(tmp_path, variant, "test", splits="splits.csv")
    (tmp_path / "splits.csv").write_text("file,split\na/009.tif,train\nb/000.tif,train\n")
    with pytest.raises(InputError, match=r"lists 2 files .* 1 of them are not in .*, such as a/009\.tif"):
        opened(tmp_path, variant, splits="splits.csv")


def test_wrong_shares_are_told(tmp_path, variant):
    chips(tmp_path, {"a": 1})
    with pytest.raises(ConfigError, match="no split 'dev': files are divided into train, val"):
        opened(tmp_path, variant, "dev")
    for shares in ({"train": 0.9, "val": 0.2}, {"train": "half"}, {"train": 0}):
        with pytest.raises(ConfigError, match=r"the option shares is .*; expected numbers above 0"):
            opened(tmp_path, variant, shares=shares)
    chips(tmp_path / "sub" / "train", {"a": 1})
    with pytest.raises(ConfigError, match=r"a folder per split, which the option shares would divide again"):
        opened(tmp_path / "sub", variant, shares={"train": 1.0})


def test_classes_may_be_put_in_order(tmp_path, variant):
    chips(tmp_path / "train", {"a": 1, "b": 1})
    reader = opened(tmp_path, variant, classes=["c", "b", "a"])
    assert [reader.sample(index).target["label"].item() for index in range(2)] == [2, 1]
    with pytest.raises(ConfigError, match=r"the option classes does not name: b; it names a"):
        opened(tmp_path, variant, classes=["a"])


def test_folders_one_level_off_name_the_one_that_fits(tmp_path, variant):
    inner = chips(tmp_path / "download" / "chips", {"a": 30, "b": 30}, side=4)
    with pytest.raises(InputError, match=rf"found chips: .*; {inner} would fit: give that folder"):
        opened(tmp_path / "download", variant)
    with pytest.raises(InputError, match=rf"no folders with images; .*; {inner} would fit"):
        opened(inner / "a", variant)


def test_one_split_of_several_is_not_divided_again(tmp_path, variant):
    for split in ("train", "val", "test"):
        chips(tmp_path / split, {"a": 2, "b": 2})
    with pytest.raises(
        InputError, match=r"is one split of several \(test, train, val lie side by side\); give the folder above"
    ):
        opened(tmp_path / "test", variant, "test")


def test_a_split_that_is_not_there_is_told_with_those_that_are(tmp_path, variant):
    chips(tmp_path / "training", {"a": 1})
    chips(tmp_path / "validation", {"a": 1})
    with pytest.raises(InputError, match="no folder 'train'; found training, validation"):
        opened(tmp_path, variant)


def test_turns_are_drawn_in_training_alone(tmp_path, variant):
    chips(tmp_path / "train", {"a": 1})
    reader = opened(tmp_path, variant, turn=True)
    plain = reader.sample(0).inputs["image"]
    seen = {tuple(reader.sample(0, generator_of(seed)).inputs["image"][0].flatten().tolist()) for seed in range(40)}
    ways = [torch.rot90(one, k, (-2, -1)) for one in (plain, plain.flip(-1)) for k in range(4)]
    assert seen == {tuple(way[0].flatten().tolist()) for way in ways}
    assert torch.equal(
        reader.sample(0, generator_of(1)).inputs["image"], reader.sample(0, generator_of(1)).inputs["image"]
    )


def test_a_crop_is_drawn_in_training_and_from_the_middle_otherwise(tmp_path, variant):
    chips(tmp_path / "train", {"a": 1}, side=12)
    reader = opened(tmp_path, variant, crop=4)
    assert reader.sample(0).inputs["image"][0, 0].mul(2).add(10).tolist() == [4, 5, 6, 7]
    starts = {reader.sample(0, generator_of(seed)).inputs["image"][0, 0, 0].mul(2).add(10).item() for seed in range(80)}
    assert starts == set(range(9))
    with pytest.raises(ConfigError, match=r"the option crop is 0; expected a whole number"):
        opened(tmp_path, variant, crop=0)


def test_photographs_are_resized(tmp_path):
    (tmp_path / "train" / "a").mkdir(parents=True)
    Image.fromarray(np.full((20, 30, 3), (255, 51, 0), np.uint8)).save(tmp_path / "train" / "a" / "0.png")
    image = opened(tmp_path, variant_of(RGB)).sample(0).inputs["image"]
    assert image.shape == (3, 8, 8)
    np.testing.assert_allclose(image.mean((1, 2)), [1, 0.2, 0], atol=1e-6)


def test_sides_that_the_network_does_not_take_are_told(tmp_path, variant):
    chips(tmp_path / "train", {"a": 1}, side=10)
    with pytest.raises(InputError, match=r"a/000\.tif is 10 x 10 px; expected .* multiples of 4, .*crop=8"):
        opened(tmp_path, variant).sample(0)


def test_files_that_cannot_be_read_are_named(tmp_path, variant):
    chips(tmp_path / "train", {"a": 2})
    (tmp_path / "train" / "a" / "001.tif").write_bytes(b"II*\0 cut short")
    with pytest.raises(InputError, match=r"001\.tif .* damaged or cut short"):
        opened(tmp_path, variant).sample(1)
    (tmp_path / "train" / "a" / "001.tif").unlink()
    write_tif(tmp_path / "train" / "a" / "001.tif", np.zeros((3, 8, 8), np.uint16), nodata=0)
    with pytest.raises(InputError, match=r"001\.tif holds no data"):
        opened(tmp_path, variant).sample(1)


def test_doubtful_numbers_are_doubted_when_the_dataset_opens(tmp_path):
    from own_data import S2

    real = dataclasses.replace(
        S2, steps=(dataclasses.replace(S2.steps[0], mean=(1000.0,) * 3, std=(300.0,) * 3), *S2.steps[1:])
    )
    pixels = np.random.default_rng(0).uniform(0.02, 0.3, (3, 8, 8)).astype(np.float32)
    write_tif(tmp_path / "chips" / "train" / "a" / "0.tif", pixels)
    with pytest.warns(ZooWarning, match="scaled to 0..1 already"):
        opened(tmp_path / "chips", variant_of(real))
    with pytest.raises(InputError, match="chips would fit"):  # and nothing is doubted of a folder that is only tried
        opened(tmp_path, variant_of(real))


def test_a_model_that_sees_no_images_is_told(tmp_path):
    from zoo.spec import Band, InputSpec, Kind

    table = InputSpec(name="predictors", kind=Kind.TABLE, bands=(Band(id="bio_1", unit="K"),))
    chips(tmp_path / "train", {"a": 1})
    with pytest.raises(InputError, match=r"gives images, and variant 'toy' takes predictors \(table\)"):
        opened(tmp_path, variant_of(table))
    with pytest.raises(ConfigError, match="prepares samples for a model, and none is named"):
        opened(tmp_path, None)
