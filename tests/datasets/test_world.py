"""The invented world as data: what is seen and its labels, against the world itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from own_data import RGB, S2, variant_of

from zoo.datasets.layouts.world import _chip
from zoo.datasets.opening import open_dataset
from zoo.errors import ConfigError, InputError
from zoo.samples import COVERS, chips
from zoo.spec import Band


def opened(split="train", inputs=(S2,), **options):
    return open_dataset(
        "world", None, split=split, options={"n": 14, "size": 32, **options}, variant=variant_of(*inputs)
    )


def test_chips_and_labels_are_those_of_the_world():
    reader = opened()
    pixels, labels = chips(reader._seed, "sentinel2", 14, 32)
    assert reader.classes == COVERS
    assert [reader.sample(index).target["label"].item() for index in range(14)] == labels.tolist()
    image = reader.sample(13).inputs["image"]
    mean, std = (np.reshape(one, (3, 1, 1)) for one in ((10, 20, 30), (2, 4, 5)))
    np.testing.assert_allclose(image, (pixels[13, 1:4] - mean.astype(np.float32)) / std, rtol=1e-5)


def test_each_pixel_may_be_labelled():
    reader = opened(task="segment")
    label = reader.sample(3).target["label"]
    assert label.tolist() == _chip(reader._seed, "sentinel2", 3, 32).cover.tolist()


def test_splits_and_seeds_are_other_worlds():
    first = [one.sample(0).inputs["image"] for one in (opened(), opened("val"), opened(seed=1))]
    assert not (first[0] == first[1]).all()
    assert not (first[0] == first[2]).all()
    assert (first[0] == opened().sample(0).inputs["image"]).all()


def test_the_view_is_the_first_that_has_the_bands():
    radar = replace(S2, bands=(Band(id="S1:VV", unit="dB"), Band(id="S1:VH", unit="dB")), steps=())
    assert opened(inputs=(radar,)).sample(0).bands == {"image": ("S1:VV", "S1:VH")}
    photograph = opened(inputs=(RGB,)).sample(0).inputs["image"]
    assert photograph.shape == (3, 8, 8)
    assert 0 <= photograph.min() < photograph.max() <= 1
    with pytest.raises(InputError, match="the world's views sentinel1 lack bands of input 'image'"):
        opened(view="sentinel1")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"view": "landsat"}, r"view is 'landsat'; expected one of sentinel2, "),
        ({"task": "detect"}, r"task is 'detect'; expected classify or segment"),
        ({"n": 0}, r"n is 0; expected a whole number, at least 1"),
    ],
)
def test_wrong_options_are_told(options, said):
    with pytest.raises(ConfigError, match=said):
        opened(**options)


def test_a_folder_is_of_no_use(tmp_path):
    with pytest.raises(InputError, match="takes no folder"):
        open_dataset("world", tmp_path, split="train", options={}, variant=variant_of())
