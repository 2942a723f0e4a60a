"""Readers on tiny copies of the published layouts."""

import numpy as np
import pytest
import torch
from masksdm_layouts import write_csv, write_geoplant, write_splot
from zoo_masksdm.geoplant import geoplant, read_surveys
from zoo_masksdm.splot import read_plots, splot
from zoo_masksdm.variants import VARIANTS

from zoo.datasets.blocks import block_split
from zoo.errors import ConfigError, InputError

BY_TAG = {one.tag: one for one in VARIANTS}


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def test_tables_are_matched_by_plot_and_by_name(folder):
    x, presence = write_splot(folder)
    plots = read_plots(folder)
    human = np.nan_to_num(x[:, 52:], nan=0.0)  # the authors fill what is missing of it
    np.testing.assert_allclose(plots.x, np.concatenate([x[:, :52], human], axis=1), rtol=1e-6)
    assert plots.species == ("Planta a", "Planta b", "Planta c", "Planta d")  # more than 20 presences
    assert np.array_equal(plots.presence, presence[:, :4])


def test_samples_are_standardised_by_the_training_rows(folder):
    x, presence = write_splot(folder)
    split = block_split(x[:, 27:29].astype(np.float32).astype(np.float64), spacing_deg=1.0)
    reader = splot(folder, split="val", variant=BY_TAG["splot"])
    assert reader.ids == tuple(str(1000 + row) for row in split.val)
    train = x[split.train, 3]
    row = split.val[2]
    sample = reader.sample(2)
    expected = (x[row, :19] - np.nanmean(x[split.train, :19], axis=0)) / (np.nanstd(x[split.train, :19], axis=0) + 1e-4)
    np.testing.assert_allclose(sample.inputs["predictors"][:19], np.nan_to_num(expected), rtol=1e-4, atol=1e-5)
    assert sample.valid["predictors"][:19].tolist() == np.isfinite(x[row, :19]).tolist()
    assert sample.inputs["satclip"].shape == (256,)
    assert sample.target["presence"].tolist() == presence[row, :4].astype(float).tolist()
    step = reader.prepared_by[0].steps[0]
    assert step.mean[3] == pytest.approx(np.nanmean(train), rel=1e-6)
    present, known = splot(folder, split="train").presences()
    assert present.tolist() == presence[split.train, :4].sum(axis=0).tolist()
    assert known.tolist() == [len(split.train)] * 4


def test_only_species_with_a_presence_in_each_split_are_scored(folder):
    x, presence = write_splot(folder)
    split = block_split(x[:, 27:29].astype(float), spacing_deg=1)
    absent_in_val = np.load(folder / "species_occurrences.npy")
    absent_in_val[split.val, 1] = False
    np.save(folder / "species_occurrences.npy", absent_in_val)
    test = splot(folder, split="test").sample(0).target["presence"]
    assert test.isnan().tolist() == [False, True, False, False]
    assert test[[0, 2, 3]].tolist() == presence[split.test[0], [0, 2, 3]].astype(float).tolist()
    assert not splot(folder, split="train").sample(0).target["presence"].isnan().any()


def test_statistics_of_the_variant_come_first(folder):
    from dataclasses import replace

    from zoo.spec import Normalise

    x, _ = write_splot(folder)
    variant = BY_TAG["splot"]
    table = replace(variant.inputs[0], steps=(Normalise(mean=(1.0,) * 61, std=(2.0,) * 61, source="a test"),))
    reader = splot(folder, split="test", variant=replace(variant, inputs=(table,)))
    row = int(reader.ids[0]) - 1000
    np.testing.assert_allclose(
        reader.sample(0).inputs["predictors"][:19], np.nan_to_num((x[row, :19] - 1) / 2), rtol=1e-5, atol=1e-6
    )
    assert "satclip" not in reader.sample(0).inputs


def test_files_that_do_not_fit_are_told(folder):
    with pytest.raises(InputError, match=r"lacks worldclim_data.csv, .* data/ of the authors' archive"):
        splot(folder, split="train")
    write_splot(folder)
    with pytest.raises(ConfigError, match="split 'all'; expected one of train, val, test"):
        splot(folder, split="all")
    with pytest.raises(ConfigError, match=r"sPlotOpen has 61 predictors .* takes others"):
        splot(folder, split="train", variant=BY_TAG["geoplant"])
    np.save(folder / "species_occurrences.npy", np.zeros((3, 6), bool))
    with pytest.raises(InputError, match=r"species_occurrences.npy has shape \(3, 6\); the tables have 150 plots"):
        splot(folder, split="train")
    columns = {"PlotObservationID": [1, 1], "Elevation": [1.0, 2.0], "Slope": [1.0, 2.0], "Aspect": [1.0, 2.0]}
    write_csv(folder / "topographic_data.csv", columns)
    with pytest.raises(InputError, match=r"topographic_data.csv has 2 plots, worldclim_data.csv has 150"):
        splot(folder, split="train")


def test_geoplant_is_read_by_survey(folder):
    ids, bio = write_geoplant(folder)
    surveys = read_surveys(folder)
    assert surveys.x.shape == (120, 42)
    assert surveys.species == ("species 3", "species 17")  # 99 has ten presences
    row = surveys.ids.index(str(ids[5]))
    assert surveys.x[row, 4] == pytest.approx(bio["Bio5"][5], rel=1e-5)
    first = surveys.ids.index(str(ids[0]))
    assert np.isnan(surveys.x[first, :2]).all()  # infinite, and beyond 1e10
    reader = geoplant(folder, split="train", variant=BY_TAG["geoplant"])
    assert "satclip" not in reader.sample(0).inputs
    assert torch.isfinite(reader.sample(0).inputs["predictors"]).all()


def test_a_survey_without_predictors_is_told(folder):
    write_geoplant(folder)
    path = folder / "EnvironmentalValues/GLC24-PA-train-elevation.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(InputError, match=r"GLC24-PA-train-elevation.csv lacks survey \d+ and 0 more"):
        geoplant(folder, split="train")
