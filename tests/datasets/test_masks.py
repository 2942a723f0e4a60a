"""Images with maps of classes: pixels and labels stay together, and labels that are none are told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from own_data import RGB, WIDE, variant_of, write_tif
from PIL import Image

from zoo.datasets.opening import open_dataset
from zoo.datasets.sample import IGNORED
from zoo.datasets.seeds import generator_of
from zoo.errors import ConfigError, InputError

CLASSES = ("water", "forest", "field")


def scene(folder, name="a", side=40, values=3, **label):
    """An image whose first band holds the number of its pixel, and labels that are this number modulo `values`."""
    number = np.arange(side * side, dtype=np.float32).reshape(side, side)
    write_tif(folder / "images" / f"{name}.tif", np.stack([number, number + 1, number + 2]))
    write_tif(folder / "labels" / f"{name}.tif", (number % values).astype(np.uint8)[None], None, **label)
    return number


def opened(folder, split="train", **options):
    options = {"shares": {"train": 1.0}, **options}
    return open_dataset("masks", folder, split=split, options=options, variant=variant_of(WIDE, classes=CLASSES))


def numbers(sample):
    """The pixels' own numbers, out of the first prepared band."""
    return (sample.inputs["image"][0] * 400 + 800).round().long()


def test_windows_cover_a_raster_in_evaluation(tmp_path):
    scene(tmp_path)
    reader = opened(tmp_path)
    assert reader.ids == tuple(f"images/a.tif:{row}:{col}" for row in (0, 8) for col in (0, 8))
    seen = set()
    for index in range(4):
        sample = reader.sample(index)
        assert sample.inputs["image"].shape == (3, 32, 32)
        assert torch.equal(sample.target["label"], numbers(sample) % 3)
        seen |= set(numbers(sample).flatten().tolist())
    assert seen == set(range(1600))


def test_training_draws_windows_and_turns_them_with_their_labels(tmp_path):
    scene(tmp_path)
    reader = opened(tmp_path, turn=True)
    corners = set()
    for seed in range(30):
        sample = reader.sample(0, generator_of(seed))
        assert torch.equal(sample.target["label"], numbers(sample) % 3)
        assert sample.valid["image"].shape == (32, 32)
        corners.add((int(numbers(sample).min()), int(numbers(sample)[0, 0])))
    assert len({least for least, _ in corners}) > 15
    assert any(first != least for least, first in corners), "turned"


def test_a_raster_smaller_than_the_window_is_not_labelled_beyond_its_edge(tmp_path):
    scene(tmp_path, side=20)
    sample = opened(tmp_path).sample(0)
    assert sample.target["label"].shape == (32, 32)
    assert (sample.target["label"] != IGNORED).sum() == 400
    assert sample.valid["image"].sum() == 400
    small = opened(tmp_path, window=8)
    assert len(small.ids) == 9
    assert small.sample(8).inputs["image"].shape == (3, 8, 8)


def test_pixels_without_data_and_nodata_of_labels_are_not_labelled(tmp_path):
    number = scene(tmp_path, side=32, nodata=2)
    pixels = np.stack([number, number + 1, number + 2])
    pixels[:, :, :8] = -9999
    (tmp_path / "images" / "a.tif").unlink()
    write_tif(tmp_path / "images" / "a.tif", pixels, nodata=-9999)
    label = opened(tmp_path).sample(0).target["label"]
    expected = np.where((number % 3 == 2) | (np.arange(32) < 8), IGNORED, number % 3)
    assert label.tolist() == expected.tolist()


def test_values_are_mapped_by_name_or_number(tmp_path):
    number = scene(tmp_path, side=32, values=4)
    label = opened(tmp_path, values={0: "field", 1: 0, 3: "forest"}, ignored=[2]).sample(0).target["label"]
    assert label.tolist() == np.array([2, 0, IGNORED, 1])[(number % 4).astype(int)].tolist()


def test_labels_outside_the_classes_name_the_file_the_values_and_the_classes(tmp_path):
    scene(tmp_path, side=32, values=6)
    said = (
        r"labels/a\.tif holds the values 3, 4, 5, which are no classes; expected 0 water, 1 forest, 2 field: "
        r".*the option values, or the option ignored=\[3\]"
    )
    with pytest.raises(InputError, match=said):
        opened(tmp_path).sample(0)
    with pytest.raises(
        ConfigError, match="3 is 'sea'; expected one of water, forest, field, or its number from 0 to 2"
    ):
        opened(tmp_path, values={3: "sea"})


def test_palettes_of_png_are_read_as_numbers_and_photographs_resized_with_their_labels(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name / "train").mkdir(parents=True)
    quarters = np.kron(np.array([[0, 1], [2, 0]], np.uint8), np.ones((16, 16), np.uint8))
    colours = np.array([[0, 0, 0], [51, 51, 51], [102, 102, 102]], np.uint8)
    Image.fromarray(colours[quarters]).save(tmp_path / "images" / "train" / "x.png")
    palette = Image.fromarray(quarters, mode="P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    palette.save(tmp_path / "labels" / "train" / "x.png")
    reader = open_dataset("masks", tmp_path, split="train", options={}, variant=variant_of(RGB, classes=CLASSES))
    sample = reader.sample(0)
    assert sample.inputs["image"].shape == (3, 8, 8)
    assert sample.target["label"].tolist() == np.kron([[0, 1], [2, 0]], np.ones((4, 4))).tolist()
    np.testing.assert_allclose(sample.inputs["image"][0, 1, 6], 0.2, atol=0.01)


def test_a_label_of_another_size_is_told(tmp_path):
    scene(tmp_path, side=32)
    (tmp_path / "labels" / "a.tif").unlink()
    write_tif(tmp_path / "labels" / "a.tif", np.zeros((1, 16, 32), np.uint8), None)
    with pytest.raises(InputError, match=r"labels/a\.tif is 16 x 32 px, and its image 32 x 32 px; expected the same"):
        opened(tmp_path)


@pytest.mark.parametrize("label", [np.zeros((3, 32, 32), np.uint8), np.zeros((1, 32, 32), np.float32)])
def test_labels_that_are_no_numbers_of_classes_are_told(tmp_path, label):
    scene(tmp_path, side=32)
    (tmp_path / "labels" / "a.tif").unlink()
    write_tif(tmp_path / "labels" / "a.tif", label, None)
    with pytest.raises(InputError, match=r"a\.tif has \d bands of \w+; expected labels: one band of whole numbers"):
        opened(tmp_path)


def test_images_without_a_label_are_counted(tmp_path):
    scene(tmp_path, "a")
    scene(tmp_path, "b")
    (tmp_path / "labels" / "b.tif").unlink()
    with pytest.raises(InputError, match=r"1 of 2 images have no label, such as images/b\.tif"):
        opened(tmp_path)


def test_folders_that_are_not_there_are_told_with_those_that_are(tmp_path):
    scene(tmp_path / "reef")
    (tmp_path / "reef" / "images").rename(tmp_path / "reef" / "pictures")
    with pytest.raises(InputError, match=r"images is not there or holds no images .*; .* holds labels, pictures"):
        opened(tmp_path / "reef")
    assert len(opened(tmp_path / "reef", images="pictures").ids) == 4
    with pytest.raises(InputError, match=rf"{tmp_path / 'reef'} would fit"):
        opened(tmp_path, images="pictures")


def test_a_model_without_classes_asks_for_them(tmp_path):
    scene(tmp_path, side=32)
    with pytest.raises(ConfigError, match=r"names no classes; .* the option classes="):
        open_dataset("masks", tmp_path, split="train", options={"shares": {"train": 1}}, variant=variant_of(WIDE))
    reader = open_dataset(
        "masks",
        tmp_path,
        split="train",
        options={"shares": {"train": 1}, "classes": list(CLASSES)},
        variant=variant_of(WIDE),
    )
    assert reader.classes == CLASSES
