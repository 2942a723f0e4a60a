"""Cross-validation over spatial folds: each site is judged once, and what is done is not done again."""

from __future__ import annotations

import json
import statistics

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import zoo
from zoo.errors import ConfigError, ZooWarning
from zoo.training.crossing import cross_validate

SETTINGS = ("data.options.block_km=20", "data.options.species=[Abies ficta]", "epochs=2", "trackers=[]")


@pytest.fixture(scope="module")
def firs(tmp_path_factory):
    """Forty sites in ten clusters; the fir likes it cold, and is nowhere in one cluster."""
    folder = tmp_path_factory.mktemp("firs")
    draw = np.random.default_rng(0)
    lon, lat = np.arange(40) % 10, 46 + np.arange(40) / 1000
    cold = draw.normal(6, 3, 40)
    there = (cold < 6) & (lon != 3)
    rows = [f"{a},{b:.4f},{t:.3f},{int(p)}" for a, b, t, p in zip(lon, lat, cold, there, strict=True)]
    (folder / "sites.csv").write_text("\n".join(["lon,lat,bio_1,Abies ficta", *rows]) + "\n")
    return folder


def config(firs, *more):
    (firs / "own.yaml").write_text(
        "start: random\nclasses: data\ndata: {dataset: sites}\nvalidation: {split: val, bootstrap: 0}\n"
        "objective: masked\nobjective_options: {loss: bce}\nbatch: 8\nworkers: 0\noptimizer: {name: adamw, lr: 3.0e-3}\n"
    )
    return zoo.recipe("masksdm@demo", firs / "own.yaml", f"data.folder={firs / 'sites.csv'}", *SETTINGS, *more)


@pytest.mark.filterwarnings("ignore::zoo.errors.ZooWarning")
def test_each_site_is_judged_once_and_a_second_call_trains_nothing(firs, tmp_path):
    crossed = cross_validate(config(firs), folds=3, out=tmp_path / "fir")
    assert sum(crossed.samples) == 40
    told = json.loads((tmp_path / "fir/folds.json").read_text())
    values = [
        json.loads((tmp_path / f"fir/fold-{fold}/test.json").read_text())["metrics"]["auc_mean"]["value"]
        for fold in (1, 2, 3)
    ]
    assert told["metrics"]["auc_mean"]["values"] == values
    assert told["metrics"]["auc_mean"]["mean"] == pytest.approx(statistics.mean(values))
    assert told["metrics"]["auc_mean"]["std"] == pytest.approx(statistics.stdev(values))
    assert f"{statistics.mean(values):.4f}" in crossed.text().splitlines()[1]

    # The score of a fold is that of its run's weights on the sites of that fold.
    found = zoo.evaluate(
        str(tmp_path / "fir/fold-2"),
        "sites",
        firs / "sites.csv",
        bootstrap=0,
    )
    assert found.values["auc_mean"] == pytest.approx(values[1], abs=1e-6)
    taken = {"data.block_km": "20", "data.folds": "3", "data.fold": "2", "data.species": "['Abies ficta']"}
    assert taken.items() <= found.provenance.options.items()
    assert found.title == "fold-2 (masksdm@demo)"

    # Divided otherwise, the test may hold what the run was trained on.
    otherwise = {"block_km": None, "folds": None, "fold": None}
    with pytest.warns(
        ZooWarning, match=r"divided otherwise \(block_km, folds, fold\).* divide them as then: block_km=20 folds=3"
    ):
        zoo.evaluate(str(tmp_path / "fir/fold-2/model"), "sites", firs / "sites.csv", bootstrap=0, options=otherwise)

    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "fir").rglob("*") if file.is_file()}
    (tmp_path / "fir/fold-3/test.json").unlink()  # as if it had been stopped before that
    weights = load_file(tmp_path / "fir/fold-3/model/model.safetensors")
    again = cross_validate(config(firs), folds=3, out=tmp_path / "fir")
    assert {name: [f"{one:.6f}" for one in column] for name, column in again.scores.items()} == {
        name: [f"{one:.6f}" for one in column] for name, column in crossed.scores.items()
    }
    for file, when in before.items():
        if "fold-3" not in file.parts and file.name != "folds.json":
            assert file.stat().st_mtime_ns == when, file
    resumed = load_file(tmp_path / "fir/fold-3/model/model.safetensors")
    assert all(torch.equal(one, resumed[name]) for name, one in weights.items())
    with pytest.raises(ConfigError, match=r"fold-1 was begun with other settings \(.*epochs"):
        cross_validate(config(firs, "epochs=3"), folds=3, out=tmp_path / "fir")


def test_what_folds_need_is_told(firs, tmp_path, zoo_command):
    with pytest.raises(ConfigError, match="folds is 2; expected 3 or more"):
        cross_validate(config(firs), folds=2, out=tmp_path / "fir")
    told = ("train", "masksdm@demo", firs / "own.yaml", f"data.folder={firs / 'sites.csv'}", "epochs=1", "--folds", "3")
    code, _, errors = zoo_command(*told)
    assert (code, "--folds needs --out FOLDER" in errors) == (1, True)
    code, _, errors = zoo_command(*told, "data.options.species=[Abies ficta]", "--out", tmp_path / "fir")
    assert code == 1
    assert "say all of block_km, folds and fold" in errors


@pytest.mark.filterwarnings("ignore::zoo.errors.ZooWarning")
def test_scores_of_other_data_are_not_taken_for_these(firs, tmp_path):
    table = tmp_path / "sites.csv"
    text = (firs / "sites.csv").read_text()
    table.write_text(text)
    own = f"data.folder={table}"
    cross_validate(config(firs, own, "epochs=1"), folds=3, out=tmp_path / "fir")
    table.write_text(text.replace(",1\n", ",0\n", 1))
    with pytest.raises(ConfigError, match=r"fold-1 was trained and judged on other data than .*sites\.csv holds now"):
        cross_validate(config(firs, own, "epochs=1"), folds=3, out=tmp_path / "fir")
