"""Data by which a run is judged: read as in its training where nothing else is said, and doubted where they trained it."""

from __future__ import annotations

import pytest

from zoo.evaluation.run_data import as_trained, doubt_training_data, from_table

CONFIG = """
data:
  dataset: sites
  folder: data/fir.csv
  split: train
  options: {covariates: climate, background: 150, block_km: 3, seed: null, rasters: {env: env.tif}, species: [fir]}
validation:
  split: val
  dataset: null
  options: {unlisted: unknown}
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("data", "runs/fir/model", "elsewhere/data"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("data/fir.csv", "elsewhere/new.csv", "elsewhere/data/fir.csv"):
        (tmp_path / name).write_text("")
    (tmp_path / "runs/fir/config.yaml").write_text(CONFIG)
    return tmp_path


def test_what_is_not_said_is_that_of_the_training(home, monkeypatch):
    run, own = home / "runs/fir", {"covariates": "climate", "background": 150, "rasters": {"env": "env.tif"}}
    whole = {**own, "block_km": 3, "species": ["fir"], "unlisted": "unknown"}
    assert as_trained(run, "sites", "data/fir.csv", {}) == whole
    assert as_trained(run / "model", "sites", home / "data/fir.csv", {}) == whole
    said = {"background": None, "block_km": 5, "covariates": "x"}
    assert as_trained(run, "sites", "data/fir.csv", said) == {
        name: one for name, one in whole.items() if name not in said
    }
    monkeypatch.chdir(home / "elsewhere")  # the relative path was said from another folder
    assert as_trained(run, "sites", home / "data/fir.csv", {}) == whole


def test_another_table_has_its_own_splits_and_the_rasters_of_the_training(home):
    assert as_trained(home / "runs/fir", "sites", "elsewhere/new.csv", {}) == {
        "covariates": str(home / "data/climate"),
        "rasters": {"env": str(home / "data/env.tif")},
        "background": 150,
        "unlisted": "unknown",
    }


def test_nothing_is_taken_of_other_datasets_or_of_what_is_no_run(home):
    run = home / "runs/fir"
    assert as_trained(run, "toy-sites", "data/fir.csv", {}) == {}
    assert as_trained(home / "data", "sites", "data/fir.csv", {}) == {}
    (run / "config.yaml").write_text(CONFIG.replace("dataset: sites", "dataset: masks"))
    assert as_trained(run, "sites", "data/fir.csv", {}) == {}


def test_defaults_raise_no_doubt(home):
    run = home / "runs/fir"
    doubt_training_data(run, "sites", "data/fir.csv", "test", as_trained(run, "sites", "data/fir.csv", {}))
    with pytest.warns(match="trained on this very split"):
        doubt_training_data(run, "sites", "data/fir.csv", "train", {"block_km": 3})


def test_paths_begin_at_the_table(home):
    options = {"covariates": "climate/*.tif", "background": 20, "rasters": {"env": "/env.tif"}, "seed": 3}
    assert from_table("data/fir.csv", options) == {
        "covariates": str(home / "data/climate/*.tif"),
        "background": 20,
        "rasters": {"env": "/env.tif"},
    }
    assert from_table("data", {"background": "points.csv"}) == {"background": str(home / "data/points.csv")}
