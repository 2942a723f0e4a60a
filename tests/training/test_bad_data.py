"""Data that do not fit: told before hours are spent where that can be, and by the file's name where it cannot."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio
from test_tasks import recipe_of

import zoo
from zoo.errors import InputError, ZooWarning


@pytest.fixture
def own(six, six_data, tmp_path) -> Callable[[str], Path]:
    """`own("maps")` is a copy of a task's data that may be spoilt; the recipe of `recipe_of` for `tmp_path` reads it."""

    def copy(task: str) -> Path:
        shutil.copytree(six_data / task, tmp_path / task)
        return tmp_path / task

    return copy


def more_classes(folder: Path) -> None:
    shutil.copytree(folder / "train" / "red", folder / "train" / "violet")


def no_test(folder: Path) -> None:
    shutil.rmtree(folder / "test")


def no_rain(folder: Path) -> None:
    lines = [line.split(",") for line in (folder / "sites.csv").read_text().splitlines()]
    rows = [",".join([*line[:6], "", line[7]]) for line in lines[1:]]
    (folder / "sites.csv").write_text("\n".join([",".join(lines[0]), *rows]))


def nothing(folder: Path) -> None:
    """The data are as they should be; the settings are not."""


@pytest.mark.parametrize(
    ("task", "spoil", "settings", "said"),
    [
        (
            "labels",
            more_classes,
            (),
            r"the data have 4 classes .*, the head of six@labels has 3 .* classes=data fresh=",
        ),
        (
            "labels",
            more_classes,
            ("data.options.classes=[blue,green,red]",),
            r"the option classes does not name: violet; .*\(settings: data\.dataset, data\.folder,",
        ),
        (
            "labels",
            nothing,
            ("data.options.classes=[red,green,blue]",),
            r"a class 'red' where six@labels has 'blue'",
        ),
        (
            "maps",
            nothing,
            ("data.options.classes=[wet,dry]",),
            r"the data have 2 classes \(wet, dry\), the head of .* has 3",
        ),
        (
            "labels",
            no_test,
            ("validation.split=test",),
            r"no folder 'test'; found train, val: give one of these as the split \(settings: validation",
        ),
        ("sites", nothing, ("validation.split=nothing",), r"no row of the split 'nothing'; .* test, train, val"),
        ("labels", nothing, ("validation.split=train",), r"18 of the 18 samples for validation are among the 18 for"),
        (
            "sites",
            nothing,
            ("validation.split=train",),
            r"60 of the 60 samples for validation .* validation\.split=NAME",
        ),
        ("series", nothing, ("validation.split=train",), r"samples for validation are among the .*weather\.nc:2020-"),
        ("captions", nothing, ("validation.split=train",), r"30 of the 30 samples for validation are among"),
        ("points", nothing, ("data.folder=.",), r"points would fit: give that folder \(settings: data\."),
        ("points", nothing, ("data.options.tabel=points.csv",), r"has no option 'tabel'; did you mean 'table'\?"),
        ("captions", nothing, ("validation.options.tabel=a.json",), r"did you mean 'table'\? \(settings: validation\."),
        ("sites", no_rain, (), r"sites\.csv: not one of 60 sites has the predictors: no number of bio_12"),
    ],
)
def test_what_can_be_known_before_is_told_before_and_leaves_nothing(
    own, tmp_path, monkeypatch, zoo_command, task, spoil, settings, said
):
    spoil(own(task))
    monkeypatch.chdir(tmp_path)
    file = recipe_of(task, tmp_path, tmp_path)
    code, out, _ = zoo_command("train", "six", file, *settings, "--out", "run")
    assert (code, out) == (1, "")
    assert not Path("run").exists()
    with pytest.raises(zoo.ZooError, match=said):
        zoo.train(zoo.recipe("six", file, *settings), out="run")
    assert not Path("run").exists()


def strange_label(folder: Path) -> str:
    name = "labels/train/train2.tif"
    with rasterio.open(folder / name, "r+") as sink:
        pixels = sink.read()
        pixels[0, 20:, 20:] = 7
        sink.write(pixels)
    return r"labels/train/train2\.tif holds the values 7, which are no classes; expected 0 water, 1 grass, 2 soil"


def torn_image(folder: Path) -> str:
    path = folder / "train" / "red" / "train-14.png"
    path.write_bytes(path.read_bytes()[:60])
    return r"train/red/train-14\.png"


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("task", "spoil"), [("maps", strange_label), ("labels", torn_image)])
def test_what_is_met_in_the_middle_is_told_by_its_name_and_leaves_no_model(own, tmp_path, task, spoil, workers):
    said = spoil(own(task))
    config = zoo.recipe("six", recipe_of(task, tmp_path, tmp_path), f"workers={workers}")
    with pytest.raises(InputError, match=said):
        zoo.train(config, out=tmp_path / "run")
    assert not (tmp_path / "run" / "model").exists()
    assert '"failed"' in (tmp_path / "run" / "log.jsonl").read_text()


def test_an_evaluation_that_meets_a_strange_label_writes_nothing(own, tmp_path, zoo_command):
    strange_label(own("maps"))
    zoo.build("six@maps", seed=1, device="cpu").save(tmp_path / "model")
    arguments = ("--split", "train", "--device", "cpu", "--out", tmp_path / "scores.json")
    code, said, err = zoo_command("evaluate", tmp_path / "model", "masks", tmp_path / "maps", *arguments)
    assert (code, said) == (1, "")
    assert "train2.tif" in err
    assert not (tmp_path / "scores.json").exists()


def test_sites_that_lack_a_predictor_are_left_out_and_never_learnt_as_numbers(own, tmp_path):
    table = own("sites") / "sites.csv"
    lines = [line.split(",") for line in table.read_text().splitlines()]
    for line in lines[1:21]:  # ten sites of training, two rows each
        line[5] = "NaN"
    table.write_text("\n".join(",".join(line) for line in lines))
    with pytest.warns(ZooWarning, match=r"10 of 60 sites lack predictors and are left out"):
        done = zoo.train(zoo.recipe("six", recipe_of("sites", tmp_path, tmp_path)), out=tmp_path / "run")
    assert all(bool(one.isfinite().all()) for one in done.model.module.state_dict().values())
    assert done.figures["auc_mean"] > 0.7


def test_options_mean_the_same_in_training_evaluation_and_checks(own, tmp_path, zoo_command):
    """A list is a list: the same classes in another order are told by each of the three."""
    folder, option = own("labels"), "classes=[red,green,blue]"
    code, said, _ = zoo_command(
        "data", "check", folder, "--model", "six@labels", "--dataset", "class-folders", "--option", option
    )
    assert code == 0
    assert "class 0 is 'red' in the data and 'blue' in the model" in said
    zoo.build("six@labels", seed=1, device="cpu").save(tmp_path / "model")
    code, _, err = zoo_command("evaluate", tmp_path / "model", "class-folders", folder, option, "--device", "cpu")
    assert code == 1
    assert "the same classes in another order" in err
    for command in (
        ("data", "check", folder, "--model", "six@labels", "--dataset", "class-folders", "--option", "classes=[red"),
        ("evaluate", tmp_path / "model", "class-folders", folder, "classes=[red", "--device", "cpu"),
        ("train", "six", recipe_of("labels", tmp_path, tmp_path), "data.options.classes=[red"),
    ):
        code, _, err = zoo_command(*command)
        assert code == 1
        assert "classes=[red: while parsing a flow sequence" in err
