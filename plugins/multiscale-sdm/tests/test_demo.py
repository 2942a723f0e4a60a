"""The demo weights know the virtual species: better than temperature alone, and with the right responses."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from zoo_multiscale_sdm.variants import DEMO, DEMO_SPECIES
from zoo_multiscale_sdm.world import NICHES, SPECIES, place, virtual_species, write_area

import zoo
from zoo.errors import ConfigError, InputError

REPO = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def tool():
    path = REPO / "tools/train_multiscale_sdm_demo.py"
    spec = importlib.util.spec_from_file_location("train_multiscale_sdm_demo", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their types
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def measured(tool):
    return tool.measure(zoo.load("multiscale-sdm@demo", device="cpu").module, tool.PLACES)


def test_the_card_has_the_numbers_that_the_weights_give(tool, measured):
    card = (REPO / "cards/multiscale-sdm.md").read_text().splitlines()
    told = [row for row in card if row.split("|")[1:2] and row.split("|")[1].strip() in (*SPECIES, "median")]
    found = list(tool.table(measured))[2:]
    assert len(told) == len(found) == 9
    for mine, card_row in zip(found, told, strict=True):
        numbers = [np.array([float(one) for one in row.split("|")[2:-1]]) for row in (mine, card_row)]
        np.testing.assert_allclose(*numbers, atol=2e-3)


def test_it_beats_temperature_alone_and_an_image_adds_to_the_climate(measured):
    assert (measured.both > measured.temperature + 0.04).all()
    assert np.median(measured.both) > 0.91
    assert np.median(measured.climate) > 0.86
    assert (measured.both >= measured.climate - 0.01).all()
    assert (measured.both <= measured.truth + 0.01).all()


def test_responses_to_temperature_rank_as_the_true_ones(measured):
    assert (measured.response > 0.88).all()
    assert np.median(measured.response) > 0.97


def test_responses_to_rain_rank_as_the_true_ones_for_species_that_ask_for_it(tool, measured):
    found = tool.responses(measured.weather[:, 1], measured.told, measured.true, tool.BIN_MM)
    wet = [number for number, niche in enumerate(NICHES.values()) if niche.rain_mm]
    assert len(wet) == 2
    assert (found[wet] > 0.88).all()
    _, (told, true) = zip(
        *(tool.curve(measured.weather[:, 1], one[:, wet], tool.BIN_MM) for one in (measured.told, measured.true)),
        strict=True,
    )
    assert np.abs(told - true).max() < 0.12  # of means up to 0.7


def test_the_picture_of_the_responses_is_drawn(tool, measured, tmp_path):
    from PIL import Image

    tool.plot(measured, tmp_path / "responses.png")
    committed = REPO / "docs/images/multiscale_sdm_responses.png"
    drawn, kept = (
        np.asarray(Image.open(path).convert("L"), np.float64) for path in (tmp_path / "responses.png", committed)
    )
    assert drawn.shape == kept.shape
    assert np.abs(drawn - kept).mean() < 2  # of 255: fonts and the last digits may differ


def test_the_demo_knows_the_species_in_every_fold_of_the_ground(tool):
    """Better than the distance to each species' best temperature, in parts made of blocks of 100 km."""
    from zoo.datasets.blocks import block_folds
    from zoo.evaluation.spatial import measure_folds

    n, parts = 450, {"folds": 3, "block_km": 100}
    reader = virtual_species(split="test", variant=DEMO, n=n)
    found = measure_folds(zoo.load("multiscale-sdm@demo", device="cpu"), reader, **parts)
    seen = np.stack([reader.sample(index).target["presence"].numpy() for index in range(n)])
    best = np.array([niche.temperature_c[0] for niche in NICHES.values()])
    trivial = -np.abs(reader.truth()[:, :1] - best)
    folds = block_folds(reader.places, **parts)
    assert sorted(np.concatenate(folds).tolist()) == list(range(n))
    assert min(map(len, folds)) > 100
    for rows, told in zip(folds, found.folds["auc_mean"], strict=True):
        known = [one for one in range(len(SPECIES)) if 0 < seen[rows, one].sum() < len(rows)]
        areas = [roc_auc_score(seen[rows, one], trivial[rows, one]) for one in known]
        assert told > np.mean(areas) + 0.05
        assert told > 0.88


def test_random_weights_know_nothing_of_this(tool):
    found = tool.measure(zoo.build("multiscale-sdm@demo", seed=1, device="cpu").module, 400)
    assert np.median(found.both) < 0.75


def test_the_world_is_the_same_each_time_and_other_in_each_split():
    first, again, val = (virtual_species(split=split, variant=DEMO, n=5) for split in ("train", "train", "val"))
    assert all(
        torch.equal(a, b) for a, b in zip(first.sample(2).inputs.values(), again.sample(2).inputs.values(), strict=True)
    )
    assert not set(first.ids) & set(val.ids)
    assert first.classes == DEMO_SPECIES == SPECIES
    assert place(1, 0) != place(2, 0)


def test_niches_say_what_they_say():
    alpine = NICHES["Alpina ficta"]
    shares = np.zeros(9)
    shares[3] = 0.5  # grassland
    assert alpine.probability(1.0, 800.0, shares) == pytest.approx(0.45)
    assert alpine.probability(3.5, 800.0, shares) == pytest.approx(0.45 * np.exp(-0.5))
    rain = NICHES["Arida ficta"]
    assert rain.probability(10.0, 900.0, shares) == pytest.approx(0.45 * np.exp(-0.5))


def test_sites_of_an_area_are_answered_as_the_reader_sees_them(tmp_path):
    """From files, with coordinates in degrees, by windows: the habitat is seen where the site is."""
    import pyarrow.csv as pa_csv

    write_area(tmp_path, sites=60)
    model = zoo.load("multiscale-sdm@demo", device="cpu")
    given = {"sites": tmp_path / "sites.csv", "env": tmp_path / "climate.tif", "sat": tmp_path / "scene.tif"}
    found = model.predict(given).table
    truth = pa_csv.read_csv(tmp_path / "sites.csv")
    assert found["id"].to_pylist() == truth["id"].to_pylist()
    seen = np.stack([truth[name].to_numpy() for name in SPECIES], axis=1)
    told = np.stack([found[name].to_numpy(zero_copy_only=False) for name in SPECIES], axis=1)
    guess = np.broadcast_to(seen.mean(axis=0), seen.shape)
    assert ((told - seen) ** 2).mean() < 0.9 * ((guess - seen) ** 2).mean()
    alone = model.predict({"sites": tmp_path / "sites.csv", "env": tmp_path / "climate.tif"}).table
    assert alone["Alpina ficta"].to_pylist() != found["Alpina ficta"].to_pylist()
    one = model.predict({**given, "sites": truth.slice(7, 1)}).table
    assert one["Montana ficta"][0].as_py() == pytest.approx(found["Montana ficta"][7].as_py(), abs=1e-6)
    with pytest.raises(InputError, match="also needs env; add --input env=SOURCE"):
        model.predict({"sat": tmp_path / "scene.tif"})


def test_the_virtual_species_are_for_inputs_that_the_world_has():
    with pytest.raises(ConfigError, match="shows what multiscale-sdm@demo takes"):
        zoo.evaluate(zoo.build("multiscale-sdm@env-1", device="cpu"), "multiscale-virtual", options={"n": 2})
    with pytest.raises(ConfigError, match="has the splits train, val, test, found 'other'"):
        virtual_species(split="other", variant=DEMO)
