"""Every recipe trains: a step or two of a narrow and shallow network on tiny copies of the layouts."""

import pytest
import torch
from smarties_layouts import numbers, write_dfc2020, write_patch, write_raster
from zoo_smarties.classes import EUROSAT, RESISC45

import zoo
from zoo.training.recipes import recipes
from zoo.training.schedules import Rates

NARROW = ("network.width=24", "network.depth=1", "network.heads=2", "start=random", "fresh=[]")
SHORT = ("precision=fp32", "workers=0", "trackers=[]", "batch=2")


def class_folders(root, names, bands, side, driver="GTiff"):
    """Two images to train on and two to validate, of two classes; gives their lists."""
    lists = {}
    for split, first in (("train", 1), ("val", 3)):
        lists[split] = [f"{name}/{name}_{first + place}.tif" for place, name in enumerate(names)]
        for seed, path in enumerate(lists[split]):
            high = 4000 if bands > 3 else 255
            pixels = numbers(bands, side, side, seed=seed + first, high=high)
            write_raster(root / path, pixels.astype("uint16" if bands > 3 else "uint8"), driver=driver)
    return lists


def eurosat(root):
    return class_folders(root, EUROSAT[:2], 13, 64)


def resisc45(root):
    return class_folders(root, RESISC45[:2], 3, 48)


def bigearthnet(root):
    lists = {"train": [], "val": []}
    for number in range(4):
        labels = ["Pastures", "Rice fields"] if number % 2 else ["Sea and ocean"]
        write_patch(root, "S2", f"s2-{number}", labels=labels, seed=number)
        write_patch(root, "S1", f"s1-{number}", labels=labels, seed=number, corresponding_s2_patch=f"s2-{number}")
        lists["train" if number < 2 else "val"].append(f"s2-{number} s1-{number}")
    return lists


def dfc2020(root):
    write_dfc2020(root)
    return


def pairs(root):
    write_raster(root / "rgb.tif", numbers(3, 64, 48, high=255).astype("uint8"))
    write_raster(root / "s2.tif", numbers(13, 32, 24).astype("uint16"))
    write_patch(root, "S2", "p2")
    write_patch(root, "S1", "p1")
    (root / "train.txt").write_text("rgb.tif s2.tif\nS2/p2 S1/p1\n")
    return


RUNS = {  # recipe: what writes its layout, what is measured
    "pretrain": (pairs, None),
    "finetune-eurosat": (eurosat, "accuracy"),
    "finetune-resisc45": (resisc45, "accuracy"),
    "finetune-bigearthnet-s2": (bigearthnet, "micro_map"),
    "probe-eurosat": (eurosat, "accuracy"),
    "probe-bigearthnet-s1": (bigearthnet, "micro_map"),
    "probe-bigearthnet-mm": (bigearthnet, "micro_map"),
    "probe-dfc2020": (dfc2020, "miou"),
}


@pytest.mark.parametrize("name", RUNS)
def test_recipes_of_the_paper_train(name, tmp_path):
    write, metric = RUNS[name]
    (tmp_path / "data").mkdir()
    lists = write(tmp_path / "data")
    settings = [*NARROW, *SHORT, f"data.folder={tmp_path / 'data'}", "data.options.size=64", "epochs=1"]
    if name == "pretrain":
        decoder = ("depth=2", "width=16", "heads=2")
        settings += ["micro_batch=1", *(f"objective_options.decoder_{one}" for one in decoder)]
    if lists is not None:
        for split in ("train", "val"):
            (tmp_path / f"{split}.txt").write_text("\n".join(lists[split]))
        settings += [f"data.options.names={tmp_path / 'train.txt'}", f"validation.options.names={tmp_path / 'val.txt'}"]
    config = zoo.recipe("smarties", name, *settings)
    before = zoo.build(config.model).variant
    trained = zoo.train(config, out=tmp_path / "run")
    assert torch.isfinite(torch.tensor(trained.figures["loss"]))
    assert metric is None or 0 <= trained.figures[metric] <= 1
    loaded = zoo.load(str(tmp_path / "run" / "model"))
    assert (loaded.variant.classes, loaded.variant.config["width"]) == (before.classes, 24)
    for key, value in trained.model.module.state_dict().items():
        assert torch.equal(loaded.module.state_dict()[key], value), key


def test_a_probe_leaves_the_encoder_as_it_was(tmp_path):
    lists = eurosat(tmp_path / "data")
    names = [f"data.options.names=[{','.join(lists['train'])}]", f"validation.options.names=[{','.join(lists['val'])}]"]
    settings = [*NARROW, *SHORT, f"data.folder={tmp_path / 'data'}", "data.options.size=64", "epochs=2", *names]
    ends = [
        zoo.train(zoo.recipe("smarties", "probe-eurosat", *settings, f"optimizer.lr={rate}"), out=tmp_path / f"{rate}")
        for rate in (0.5, 1.0)
    ]
    first, second = (one.model.module.state_dict() for one in ends)
    different = {key for key in first if not torch.equal(first[key], second[key])}
    assert different == {"head.1.weight", "head.1.bias"}


def test_classes_of_ones_own_begin_from_an_encoder_and_classify_afterwards(tmp_path):
    lists = class_folders(tmp_path / "data", ("bog", "fen", "heath"), 3, 80)
    for split, names in lists.items():
        for name in names:
            (tmp_path / "chips" / split / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / name).rename(tmp_path / "chips" / split / name)
    config = zoo.recipe(
        "smarties@classify-demo",
        "finetune",  # in its bfloat16
        *SHORT[1:],
        "start=smarties@demo",
        f"data.folder={tmp_path / 'chips'}",
        "data.options.bands=RGB",
        "epochs=1",
    )
    zoo.train(config, out=tmp_path / "run")
    model = zoo.load(str(tmp_path / "run" / "model"))
    assert model.variant.classes == ("bog", "fen", "heath")
    told = model.classify(tmp_path / "chips/val/bog/bog_3.tif", bands="RGB")
    assert told is not None


def test_accumulated_pretraining_is_that_of_the_whole_batch(tmp_path):
    (tmp_path / "data").mkdir()
    pairs(tmp_path / "data")
    states = []
    for micro_batch in (1, 2):
        settings = [*NARROW, *SHORT, f"data.folder={tmp_path / 'data'}", "data.options.size=64", "epochs=3"]
        settings += ["optimizer.name=sgd", "optimizer.lr_for=null", "optimizer.lr=0.05", "schedule.warmup=0"]
        settings += [f"objective_options.decoder_{one}" for one in ("depth=2", "width=16", "heads=2")]
        config = zoo.recipe("smarties", "pretrain", *settings, f"micro_batch={micro_batch}")
        states.append(zoo.train(config, out=tmp_path / f"{micro_batch}").model.module.state_dict())
    begun = zoo.train(
        zoo.recipe("smarties", "pretrain", *settings, "optimizer.lr=1e-12"), out=tmp_path / "begun"
    ).model.module.state_dict()
    key = "blocks.0.attn.qkv.weight"
    assert (states[0][key] - begun[key]).abs().max() > 1e-4
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=0, atol=1e-6)


def test_the_demo_recipe_trains_both_phases(tmp_path):
    config = zoo.recipe(
        "smarties", "demo", "phases.reconstruct.steps=1", "phases.agree.steps=3", "batch=4", "data.options.n=6"
    )
    trained = zoo.train(config, out=tmp_path / "run")
    assert torch.isfinite(torch.tensor(trained.figures["loss"]))
    assert not trained.model.module.training


def test_all_recipes_are_tried_and_say_what_the_paper_says():
    assert {*recipes("smarties")} == {*RUNS, "finetune", "demo"}
    told = zoo.recipe("smarties", "pretrain").phases["train"]
    assert told.optimizer.lr * told.batch / told.optimizer.lr_for == pytest.approx(1.2e-3)
    probe = zoo.recipe("smarties", "probe-eurosat").phases["train"]
    assert probe.optimizer.lr * probe.batch / probe.optimizer.lr_for == pytest.approx(4e-3)
    rates = Rates(schedule=probe.schedule, steps=1000, unit=10, per_epoch=10)
    assert [rates.factor(step) for step in (0, 599, 600, 800, 999)] == pytest.approx([1, 1, 0.1, 0.01, 0.01])
    fine = zoo.recipe("smarties", "finetune-eurosat").phases["train"]
    rates = Rates(schedule=fine.schedule, steps=150 * 84, unit=84, per_epoch=84)
    assert [rates.factor(step) for step in (0, 210, 420)] == pytest.approx([0, 0.5, 1])
