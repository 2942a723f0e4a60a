"""Readers on tiny copies of the published layouts; draws that anybody can replay."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from smarties_layouts import numbers, write_dfc2020, write_patch, write_raster
from zoo_smarties import SPEC, data
from zoo_smarties.augment import Turn, draw_crops, turned
from zoo_smarties.bigearthnet import bigearthnet, multi_hot
from zoo_smarties.classes import BIGEARTHNET, BIGEARTHNET_MERGES, EUROSAT, RESISC45
from zoo_smarties.mixing import draw_mix
from zoo_smarties.pairs import pairs

from zoo.datasets.opening import open_dataset
from zoo.datasets.sample import collate
from zoo.datasets.seeds import generator_of
from zoo.errors import ConfigError, InputError

SHARED = Path(os.environ.get("ZOO_DATA", Path(__file__).parents[4] / "shared" / "data")) / "smarties"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the authors' split lists are not at hand (set ZOO_DATA)")
def test_split_lists_of_the_authors(monkeypatch):
    monkeypatch.setenv("ZOO_SMARTIES_SPLITS", str(SHARED))
    train, val = data.split_list("EuroSAT-train"), data.split_list("EuroSAT-val")
    assert (len(train), len(val), len({*train, *val})) == (21600, 5400, 27000)
    assert tuple(sorted({line.split("/")[1] for line in data.split_list("RESISC45-val")})) == RESISC45
    assert len(data.split_list("BigEarthNet-MM-train10prcnt")) == 31166
    with pytest.raises(InputError, match="EuroSAT-train"):
        data.split_list("EuroSAT-test")


def test_lists_are_read_from_the_folder_that_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("ZOO_SMARTIES_SPLITS", raising=False)
    with pytest.raises(InputError, match=r"set ZOO_SMARTIES_SPLITS to a copy of the folder eval_splits/"):
        data.eurosat(tmp_path, split="val")
    (tmp_path / "EuroSAT-val.txt").write_text("./River/River_2.tif\n\n./Forest/Forest_1.tif\n")
    monkeypatch.setenv("ZOO_SMARTIES_SPLITS", str(tmp_path))
    assert data.split_list("EuroSAT-val") == ["./River/River_2.tif", "./Forest/Forest_1.tif"]
    with pytest.raises(InputError, match="has no list 'EuroSAT-train'; found EuroSAT-val"):
        data.split_list("EuroSAT-train")


@pytest.fixture
def lists(tmp_path_factory, monkeypatch):
    """A folder of split lists in the authors' form."""
    folder = tmp_path_factory.mktemp("eval_splits")
    (folder / "EuroSAT-val.txt").write_text("./River/River_2.tif\n./Forest/Forest_9.tif\n./Forest/Forest_8.tif\n")
    (folder / "BigEarthNet-S2-val.txt").write_text("S2A_MSIL2A_elsewhere\n")
    monkeypatch.setenv("ZOO_SMARTIES_SPLITS", str(folder))


def test_eurosat_chips(tmp_path, lists):
    names = ["./River/River_2.tif", "./Forest/Forest_1.tif"]
    for seed, name in enumerate(names):
        write_raster(tmp_path / name, numbers(13, 64, 64, seed=seed).astype("uint16"))
    chips = data.eurosat(tmp_path, split="mine", names=names)
    assert (chips.classes, chips.ids) == (EUROSAT, ("River/River_2.tif", "Forest/Forest_1.tif"))
    chip = chips.sample(0)
    assert (chip.target["label"].item(), chip.inputs["image"].shape) == (EUROSAT.index("River"), (12, 224, 224))
    assert chip.bands["image"][-2:] == ("S2:B12", "S2:B8A")
    # B8A is the last band of the file and the last that the network takes; p1, p99, mean, std of the published table.
    scaled = np.clip((numbers(13, 64, 64)[12] - 119.0) / (5312.0 - 119.0), 0, 1)
    expected = (scaled.mean() - 0.4768053889274597) / 0.23559165000915527
    assert chip.inputs["image"][11].mean().item() == pytest.approx(expected, abs=0.01)
    with pytest.raises(InputError, match="lacks 2 of the 3 files"):
        data.eurosat(tmp_path, split="val")
    write_raster(tmp_path / "Glacier/1.tif", numbers(13, 64, 64).astype("uint16"))
    with pytest.raises(InputError, match=r"no class 'Glacier'.*class-folders"):
        data.eurosat(tmp_path, split="mine", names=["Glacier/1.tif"])


def test_a_list_of_ones_own_and_a_folder_one_level_too_high(tmp_path):
    write_raster(tmp_path / "EuroSAT_MS/River/River_1.tif", numbers(13, 64, 64).astype("uint16"))
    (tmp_path / "mine.txt").write_text("River/River_1.tif\n")
    demo = next(variant for variant in SPEC.variants if variant.demo)
    options = {"names": str(tmp_path / "mine.txt")}
    reader = open_dataset("eurosat-ms", tmp_path / "EuroSAT_MS", split="mine", options=options, variant=demo)
    assert reader.sample(0).inputs["image"].shape == (12, 64, 64)
    with pytest.raises(InputError, match=r"EuroSAT_MS would fit: give that folder"):
        open_dataset("eurosat-ms", tmp_path, split="mine", options=options)
    with pytest.raises(ConfigError, match="did you mean 'names'"):
        open_dataset("eurosat-ms", tmp_path, split="mine", options={"name": "x"})
    with pytest.raises(InputError, match=r"cannot read the list .*nowhere\.txt"):
        data.eurosat(tmp_path, split="mine", names=tmp_path / "nowhere.txt")
    with pytest.raises(ConfigError, match="whole, linear, centre, crop"):
        data.eurosat(tmp_path, split="mine", rule="middle")


def test_photographs_and_their_rules(tmp_path):
    names = ["./b/b1.png", "./A/a1.png", "./beach/c1.png"]
    for name in names:
        write_raster(tmp_path / name, numbers(3, 100, 130, high=255).astype("uint8"), driver="PNG")
    whu = data.whu_rs19(tmp_path, split="mine", names=names, size=32)
    assert whu.sample(0).inputs["image"].shape == (3, 32, 32)
    assert whu.classes == ("A", "b", "beach")  # case-sensitive
    drawn = data.resisc45(tmp_path, split="mine", names=names[2:], size=32, rule="crop", turn=True)
    once, again, other = (drawn.sample(0, generator_of(seed)).inputs["image"] for seed in (0, 0, 1))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    centred = data.resisc45(tmp_path, split="mine", names=names[2:], size=32)
    assert torch.equal(drawn.sample(0).inputs["image"], centred.sample(0).inputs["image"])
    assert drawn.classes == RESISC45


def test_bigearthnet_one_sensor_or_both(tmp_path, lists):
    write_patch(tmp_path, "S2", "S2B_MSIL2A_1")
    write_patch(tmp_path, "S1", "S1A_IW_1", corresponding_s2_patch="S2B_MSIL2A_1")
    single = bigearthnet(tmp_path, split="mine", sensors=["S1"], names=["S1A_IW_1"]).sample(0)
    lines = ["S2B_MSIL2A_1 S1A_IW_1"]
    both = bigearthnet(tmp_path, split="mine", sensors=["S1", "S2"], names=lines, size=96).sample(0)
    assert {name: tuple(one.shape) for name, one in both.inputs.items()} == {"s1": (2, 96, 96), "s2": (12, 96, 96)}
    assert single.inputs["image"].shape == (2, 224, 224)
    assert [BIGEARTHNET[place] for place in single.target["label"].nonzero().flatten()] == ["Marine waters"]
    assert bigearthnet(tmp_path, split="val", sensors=["S1", "S2"]).ids == ()  # not in the authors' list
    by_variant = {
        tag: bigearthnet(tmp_path, split="mine", names=lines, variant=variant).sample(0).inputs.keys()
        for tag in ("bigearthnetmm-linprobe-vit-b", "bigearthnets1-linprobe-vit-b")
        for variant in SPEC.variants
        if variant.tag == tag
    }
    assert [sorted(one) for one in by_variant.values()] == [["s1", "s2"], ["image"]]
    with pytest.raises(ConfigError, match=r"expected \[S2\], \[S1\] or \[S1, S2\]"):
        bigearthnet(tmp_path, split="val", sensors=["S3"])
    with pytest.raises(InputError, match=r"line 1 of the list is 'S2B_MSIL2A_1'.*S1 S2"):
        bigearthnet(tmp_path, split="mine", sensors=["S1", "S2"], names=["S2B_MSIL2A_1"])
    with pytest.raises(InputError, match="no folder S2/"):
        bigearthnet(tmp_path / "S2", split="val")


def test_corine_names_merge_into_19_classes():
    assert len(BIGEARTHNET) == 19
    assert set(BIGEARTHNET_MERGES.values()) <= set(BIGEARTHNET)
    assert multi_hot(["Burnt areas", "Airports"]).sum() == 0
    assert multi_hot(["Rice fields", "Non-irrigated arable land", "Pastures"]).nonzero().flatten().tolist() == [2, 4]


def test_dfc2020_turns_image_and_label_together(tmp_path):
    labels = write_dfc2020(tmp_path)["validation_labels"]
    chip = data.dfc2020(tmp_path, split="val").sample(1)
    assert (tuple(chip.inputs["image"].shape), tuple(chip.target["label"].shape)) == ((12, 224, 224), (96, 96))
    assert torch.equal(chip.target["label"] == -100, labels[1] == -1)
    reader = data.dfc2020(tmp_path, split="train", size=96, turn=True)
    drawn, plain = reader.sample(0, generator_of(1)), reader.sample(0)
    turns = [Turn(columns, rows, quarters) for columns in (0, 1) for rows in (0, 1) for quarters in range(4)]
    found = [turn for turn in turns if torch.equal(turned(plain.target["label"], turn), drawn.target["label"])]
    assert found
    assert torch.allclose(turned(plain.inputs["image"], found[0]), drawn.inputs["image"], atol=1e-5)
    with pytest.raises(InputError, match="no split 'test'; it has train, val"):
        data.dfc2020(tmp_path, split="test")
    (tmp_path / "DFC_preprocessed.pt").write_bytes(b"PK broken")
    with pytest.raises(InputError, match="expected images and labels of DFC2020"):
        data.dfc2020(tmp_path, split="train")


def test_pretraining_pairs(tmp_path):
    write_raster(tmp_path / "rgb.png", numbers(3, 64, 48, high=255).astype("uint8"), driver="PNG")
    write_raster(tmp_path / "s2.tif", numbers(13, 32, 24).astype("uint16"))
    write_patch(tmp_path, "S2", "p2")
    write_patch(tmp_path, "S1", "p1")
    (tmp_path / "train.txt").write_text("rgb.png s2.tif\nS2/p2 S1/p1\n")
    reader = pairs(tmp_path, split="train", size=32)
    batch = collate([reader.sample(index, generator_of(index)) for index in range(2)])
    assert batch.inputs["first"].shape == batch.inputs["second"].shape == (2, 12, 32, 32)
    assert batch.inputs["first_numbers"][0].tolist() == [5, 3, 2] * 4
    assert batch.inputs["second_numbers"][1].tolist() == [15, 16] * 6
    assert torch.equal(reader.sample(0, generator_of(0)).inputs["first"], batch.inputs["first"][0])
    assert not torch.equal(reader.sample(0, generator_of(1)).inputs["first"], batch.inputs["first"][0])
    still = reader.sample(0).inputs  # the largest centred squares of both
    assert torch.equal(still["first"], reader.sample(0).inputs["first"])
    write_raster(tmp_path / "grey.tif", numbers(1, 32, 32).astype("uint16"))
    with pytest.raises(InputError, match="has 1 bands, expected 3"):
        pairs(tmp_path, split="mine", names=["grey.tif s2.tif"]).sample(0)
    with pytest.raises(InputError, match=r"line 1 of the list of pairs is 'grey.tif'"):
        pairs(tmp_path, split="mine", names=["grey.tif"])
    with pytest.raises(InputError, match=r"cannot read the list .*val\.txt"):
        pairs(tmp_path, split="val")


def test_crops_cover_a_quarter_to_all_of_the_area_in_both_images():
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        first, second = draw_crops([(60, 60), (30, 30)], generator)
        assert first.height == first.width
        assert 30 <= first.height <= 60
        assert second.top >= 0
        assert second.top + second.height <= 30
        assert second.left >= 0
        assert second.left + second.width <= 30
        assert abs(second.top / 30 - first.top / 60) < 0.06


def test_mix_draws_are_shares_and_boxes():
    generator = torch.Generator().manual_seed(0)
    draws = [draw_mix(32, 48, generator) for _ in range(200)]
    boxes = [(share, box) for share, box in draws if box]
    assert 60 < len(boxes) < 140
    for share, (top, bottom, left, right) in boxes:
        assert share == pytest.approx(1 - (bottom - top) * (right - left) / (32 * 48))
    assert all(0 <= share <= 1 for share, _ in draws)
