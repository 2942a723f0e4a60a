"""Images with sentences: which belong to which, and what is told of files that do not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from own_data import RGB, variant_of
from PIL import Image

from zoo.datasets.opening import open_dataset
from zoo.datasets.sample import collate
from zoo.errors import InputError


def rows(*told):
    return {
        "images": [
            {"filename": name, "split": split, "sentences": [{"raw": one} for one in few]} for name, split, few in told
        ]
    }


TOLD = rows(
    ("a.png", "train", ["a pond .", " many trees "]), ("b.png", "val", ["a road"]), ("c.png", "train", ["a field", ""])
)


def album(folder, told=TOLD, names="abc"):
    (folder / "pictures").mkdir(exist_ok=True)
    for index, name in enumerate(names):
        pixels = np.full((8, 8, 3), 40 * index, np.uint8)
        pixels[0, 0] = 255
        Image.fromarray(pixels).save(folder / "pictures" / f"{name}.png")
    (folder / "captions.json").write_text(json.dumps(told))
    return folder


def opened(folder, split="train", **options):
    return open_dataset("captions", folder, split=split, options=options, variant=variant_of(RGB))


def test_images_come_with_all_their_sentences(tmp_path):
    reader = opened(album(tmp_path))
    assert reader.ids == ("a.png", "c.png")
    samples = [reader.sample(index) for index in range(2)]
    assert [one.target["texts"] for one in samples] == [("a pond .", "many trees"), ("a field",)]
    np.testing.assert_allclose(samples[1].inputs["image"][:, 4, 4], 80 / 255, rtol=1e-5)
    assert collate(samples).target["texts"] == (("a pond .", "many trees"), ("a field",))


def test_a_split_that_is_not_there_is_told_with_those_that_are(tmp_path):
    with pytest.raises(InputError, match=r"no image of the split 'test'; it has train, val"):
        opened(album(tmp_path), "test")


def test_images_that_are_not_there_are_counted(tmp_path):
    with pytest.raises(InputError, match=r"pictures lacks 1 of 2 images, such as c\.png"):
        opened(album(tmp_path, names="ab"))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([], r"no file of captions that can be read"),
        ({"images": [{"filename": "a.png"}]}, r"lacks 'split' somewhere; expected \{"),
        (rows(("a.png", "train", [" "])), r"1 images have no sentences, such as a\.png"),
    ],
)
def test_files_of_another_form_are_told(tmp_path, told, said):
    with pytest.raises(InputError, match=said):
        opened(album(tmp_path, told))


def test_several_files_ask_which(tmp_path):
    album(tmp_path)
    (tmp_path / "german.json").write_text(json.dumps(rows(("a.png", "train", ["ein Teich"]))))
    with pytest.raises(InputError, match=r"captions\.json, german\.json; .* the option table=NAME"):
        opened(tmp_path)
    assert opened(tmp_path, table="german.json").sample(0).target["texts"] == ("ein Teich",)


def test_a_folder_one_level_off_names_the_one_that_fits(tmp_path):
    inner = tmp_path / "rsicd"
    inner.mkdir()
    album(inner)
    for wrong in (tmp_path, inner / "pictures"):
        with pytest.raises(InputError, match=rf"no JSON files; .*; {inner} would fit"):
            opened(wrong)
