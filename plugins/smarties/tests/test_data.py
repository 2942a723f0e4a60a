"""Readers on tiny copies of the published layouts; draws that anybody can replay."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from zoo_smarties import data, evaluation
from zoo_smarties.augment import Turn, draw_crops, turned
from zoo_smarties.bigearthnet import S1_BANDS, S2_BANDS, bigearthnet, multi_hot
from zoo_smarties.chips import Augment, Rule
from zoo_smarties.classes import BIGEARTHNET, BIGEARTHNET_MERGES, RESISC45
from zoo_smarties.mixing import draw_mix
from zoo_smarties.pairs import PairDataset, collate
from zoo_smarties.statistics import DATASETS

from zoo.errors import InputError


def write_raster(path, pixels, driver="GTiff"):
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    with rasterio.open(path, "w", driver=driver, count=count, height=height, width=width, dtype=pixels.dtype) as file:
        file.write(pixels)


def numbers(*shape, seed=0, high=4000):
    return np.random.default_rng(seed).integers(0, high, shape)


def write_patch(root, sensor, name, **metadata):
    folder = root / sensor / name
    for place, band in enumerate(S2_BANDS if sensor == "S2" else S1_BANDS):
        side = {"B01": 20, "B09": 20}.get(band, 120 if band in {"B02", "B03", "B04", "B08", *S1_BANDS} else 60)
        pixels = numbers(1, side, side, seed=place)
        pixels = pixels.astype("uint16") if sensor == "S2" else (pixels / 200 - 25).astype("float32")
        write_raster(folder / f"{name}_{band}.tif", pixels)
    (folder / f"{name}_labels_metadata.json").write_text(json.dumps({"labels": ["Sea and ocean"], **metadata}))


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
        data.eurosat(tmp_path)
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
    chips = data.eurosat(tmp_path, names=names)
    assert chips.classes == ("Forest", "River")
    chip = chips[0]
    assert (chip.label.item(), chip.images["image"].shape) == (1, (12, 224, 224))
    assert chip.bands["image"] == DATASETS["EuroSAT"].ranges
    # B8A is the last band of the file and the last that the network takes; p1, p99, mean, std of the published table.
    scaled = np.clip((numbers(13, 64, 64)[12] - 119.0) / (5312.0 - 119.0), 0, 1)
    expected = (scaled.mean() - 0.4768053889274597) / 0.23559165000915527
    assert chip.images["image"][11].mean().item() == pytest.approx(expected, abs=0.01)
    with pytest.raises(InputError, match="lacks 2 of the 3 files"):
        data.eurosat(tmp_path)


def test_photographs_and_their_rules(tmp_path):
    names = ["./b/b1.png", "./A/a1.png"]
    for name in names:
        write_raster(tmp_path / name, numbers(3, 100, 130, high=255).astype("uint8"), driver="PNG")
    assert data.whu_rs19(tmp_path, names=names, size=32)[0].images["image"].shape == (3, 32, 32)
    assert data.resisc45(tmp_path, names=names, size=32).classes == ("A", "b")  # case-sensitive
    drawn = data.resisc45(tmp_path, names=names, size=32, rule=Rule.CROP, augment=Augment(turn=True))
    once, again = drawn[0].images["image"], drawn[0].images["image"]
    assert torch.equal(once, again)
    drawn.epoch = 1
    assert not torch.equal(drawn[0].images["image"], once)


def test_bigearthnet_one_sensor_or_both(tmp_path, lists):
    write_patch(tmp_path, "S2", "S2B_MSIL2A_1")
    write_patch(tmp_path, "S1", "S1A_IW_1", corresponding_s2_patch="S2B_MSIL2A_1")
    single = bigearthnet(tmp_path, sensors=("S1",), names=["S1A_IW_1"])[0]
    both = bigearthnet(tmp_path, sensors=("S1", "S2"), names=["S2B_MSIL2A_1 S1A_IW_1"], size=96)[0]
    assert {name: tuple(one.shape) for name, one in both.images.items()} == {"s1": (2, 96, 96), "s2": (12, 96, 96)}
    assert single.images["image"].shape == (2, 224, 224)
    assert [BIGEARTHNET[place] for place in single.label.nonzero().flatten()] == ["Marine waters"]
    assert bigearthnet(tmp_path, sensors=("S1", "S2")).records == ()  # the one patch is not in the authors' list
    with pytest.raises(InputError, match="S1', 'S2"):
        bigearthnet(tmp_path, sensors=("S3",))


def test_corine_names_merge_into_19_classes():
    assert len(BIGEARTHNET) == 19
    assert set(BIGEARTHNET_MERGES.values()) <= set(BIGEARTHNET)
    assert multi_hot(["Burnt areas", "Airports"]).sum() == 0
    assert multi_hot(["Rice fields", "Non-irrigated arable land", "Pastures"]).nonzero().flatten().tolist() == [2, 4]


def test_dfc2020_turns_image_and_label_together(tmp_path):
    images = torch.arange(2 * 14 * 96 * 96).reshape(2, 14, 96, 96) % 256
    labels = torch.randint(-1, 8, (2, 96, 96), generator=torch.Generator().manual_seed(0))
    torch.save(
        {"train_images": images, "train_labels": labels, "validation_images": images, "validation_labels": labels},
        tmp_path / "DFC_preprocessed.pt",
    )
    chip = data.dfc2020(tmp_path)[1]
    assert (tuple(chip.images["image"].shape), tuple(chip.label.shape)) == ((12, 224, 224), (96, 96))
    assert torch.equal(chip.label == -100, labels[1] == -1)
    drawn = data.dfc2020(tmp_path, split="train", size=96, augment=Augment(turn=True, seed=1))
    plain = data.dfc2020(tmp_path, split="train", size=96)
    turns = [Turn(columns, rows, quarters) for columns in (0, 1) for rows in (0, 1) for quarters in range(4)]
    found = [turn for turn in turns if torch.equal(turned(plain[0].label, turn), drawn[0].label)]
    assert found
    assert torch.allclose(turned(plain[0].images["image"], found[0]), drawn[0].images["image"], atol=1e-5)


def test_pretraining_pairs(tmp_path):
    write_raster(tmp_path / "rgb.png", numbers(3, 64, 48, high=255).astype("uint8"), driver="PNG")
    write_raster(tmp_path / "s2.tif", numbers(13, 32, 24).astype("uint16"))
    write_patch(tmp_path, "S2", "p2")
    write_patch(tmp_path, "S1", "p1")
    pairs = PairDataset(tmp_path, ["rgb.png s2.tif", "S2/p2 S1/p1"], size=32)
    first, second = collate([pairs[0], pairs[1]])
    assert first.patches.shape == second.patches.shape == (2, 2, 2, 12, 16, 16)
    assert first.numbers[0, 0, 0].tolist() == [5, 3, 2] * 4
    assert second.numbers[1, 0, 0].tolist() == [15, 16] * 6
    assert torch.equal(pairs[0][0].patches, first.patches[0])
    write_raster(tmp_path / "grey.tif", numbers(1, 32, 32).astype("uint16"))
    with pytest.raises(InputError, match="has 1 bands, expected 3"):
        PairDataset(tmp_path, ["grey.tif s2.tif"])[0]


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


def test_knn_and_probe_find_two_clouds():
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(200) % 2
    feature = torch.randn(200, 8, generator=generator) + 2 * label[:, None]
    train, test = slice(0, 150), slice(150, 200)
    predicted = evaluation.knn(feature[train], label[train], feature[test], num_classes=2)
    assert evaluation.accuracy(predicted, label[test]) > 0.9
    probe = evaluation.fit_probe(
        feature[train], label[train], num_classes=2, epochs=30, batch=50, learning_rate=0.02, generator=generator
    )
    assert evaluation.accuracy(probe(feature[test]).argmax(1), label[test]) > 0.9


def test_pixels_without_a_class_do_not_lower_the_mean_iou():
    label, predicted = torch.tensor([0, 0, 1, 1, -100]), torch.tensor([0, 0, 1, 1, 1])
    assert evaluation.mean_iou(predicted, label) == 1.0
    assert evaluation.mean_iou(predicted, label, count_ignored=True) == pytest.approx((1 + 2 / 3 + 0) / 3)
