"""Response curves of a model whose logits are sums: they are the function itself."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from toy_additive import BANDS, BIAS, SLOPES, SPECIES, Additive, WithPlace, additive_model, frame, labelled, sigmoid
from toy_additive import CLIMATE as INPUT

from zoo.errors import ConfigError, InputError, OutputError
from zoo.explain import curves as module
from zoo.spec import Band, InputSpec, Kind


def logits(sites, species):
    """Of sites without what is missing."""
    return BIAS[species] + sites[list(BANDS)].fillna(0).to_numpy() @ np.array(SLOPES[species])


def rows_of(table, **wanted):
    """The rows of one curve."""
    found = table.to_pandas()
    for name, value in wanted.items():
        found = found[found[name] == value]
    return found


@pytest.mark.parametrize("batch", [1, 8])
def test_curves_are_the_function_itself(batch):
    sites = frame(200)
    sites.loc[3:40, "clay"] = np.nan
    found = additive_model().explain(sites, curves=True, batch_size=batch)
    assert found.table.column_names == ["species", "predictor", "unit", "way", "value", "probability", "low", "high"]
    assert len(found.table) == 4 * 2 * 2 * 25
    for index, predictor in enumerate(BANDS):
        values = np.linspace(sites[predictor].min(), sites[predictor].max(), 25)
        for number, species in enumerate(SPECIES):
            alone = rows_of(found.table, species=species, predictor=predictor, way="alone")
            np.testing.assert_allclose(alone["value"], values, atol=1e-6)
            np.testing.assert_allclose(
                alone["probability"], sigmoid(BIAS[number] + SLOPES[number][index] * values), atol=1e-6
            )
            assert alone[["low", "high"]].isna().all(axis=None)
            each = np.stack([sigmoid(logits(sites.assign(**{predictor: value}), number)) for value in values])
            profile = rows_of(found.table, species=species, predictor=predictor, way="profile")
            np.testing.assert_allclose(profile["probability"], each.mean(axis=1), atol=1e-6)
            np.testing.assert_allclose(profile[["low", "high"]], np.quantile(each, (0.1, 0.9), axis=1).T, atol=1e-5)


def test_means_are_over_few_sites_that_the_seed_draws_and_ranges_over_all(monkeypatch):
    monkeypatch.setattr(module, "SITES", 30)
    sites = frame(3000)
    given = {"curves": True, "predictors": ("WET",), "species": SPECIES[:1]}
    found = additive_model().explain(sites, **given)
    assert Additive.rows == 25 * 30 + 25
    (curve,) = found.curves
    assert (curve.predictor, curve.values[0], curve.values[-1]) == (
        "wet",
        pytest.approx(sites["wet"].min()),
        pytest.approx(sites["wet"].max()),
    )
    drawn = sites[np.isin(sites["wet"].astype("float32"), curve.seen.astype("float32"))]
    assert len(drawn) == 30
    each = sigmoid(logits(drawn.assign(wet=curve.values[7]), 0))
    assert curve.profile[0, 0, 7] == pytest.approx(each.mean(), abs=1e-6)
    pd.testing.assert_frame_equal(additive_model().explain(sites, **given).table.to_pandas(), found.table.to_pandas())
    other = additive_model().explain(sites, seed=1, **given).curves[0]
    assert 0 < abs(other.profile[0] - curve.profile[0]).max() < 0.3
    np.testing.assert_array_equal(other.alone, curve.alone)


def test_a_predictor_of_one_value_is_one_point_and_one_that_no_site_has_is_none(tmp_path):
    sites = frame(20).assign(wet=0.5).drop(columns="sand")
    with pytest.warns(match="sand"):
        found = additive_model().explain(sites, tmp_path / "curves.png", curves=True)
    assert found == tmp_path / "curves.png"
    with pytest.warns(match="sand"):
        curves = additive_model().explain(sites, curves=True).curves
    assert [(one.predictor, len(one.values)) for one in curves] == [("warm", 25), ("wet", 1), ("clay", 25)]
    with pytest.warns(match="sand"), pytest.raises(InputError, match=r"has a value of sand; .* --covariates RASTERS"):
        additive_model().explain(sites, curves=True, predictors=("warm", "sand"))


def test_tables_and_pictures_say_how_they_were_made(tmp_path):
    out, picture = tmp_path / "curves.parquet", tmp_path / "curves.png"
    made = additive_model().explain(frame(50), out, curves=True, predictors=("wet", "warm"), plot=picture)
    assert made == out
    table = pq.read_table(out)
    assert table["predictor"].to_pylist()[:: 2 * 2 * 25] == ["wet", "warm"]
    options = json.loads(table.schema.metadata[b"ZOO_OPTIONS"])
    assert (options["explained"], options["predictors"], options["seed"]) == ("response curves", "wet,warm", "0")
    with Image.open(picture) as opened:
        assert opened.text["ZOO_MODEL"] == "additive"
        assert min(opened.size) > 300
    assert sorted(one.name for one in tmp_path.iterdir()) == ["curves.parquet", "curves.png"]
    figure = additive_model().explain(frame(50), curves=True).plot()
    assert [one.get_xlabel() for one in figure.axes] == [*BANDS] * 2
    assert [one.get_title(loc="left") for one in figure.axes[::4]] == list(SPECIES)


def test_what_the_network_always_needs_leaves_no_curve_alone():
    place = InputSpec(name="place", kind=Kind.TABLE, bands=tuple(Band(id=name, unit="m") for name in ("p0", "p1")))
    sites = frame(20).assign(p0=1.0, p1=2.0)
    (curve,) = additive_model(WithPlace, inputs=(INPUT, place)).explain(sites, curves=True, predictors=("warm",)).curves
    assert curve.alone is None
    each = sigmoid(logits(sites.assign(warm=curve.values[3]), 0) + 1.0)
    assert curve.profile[0, 0, 3] == pytest.approx(each.mean(), abs=1e-6)


def test_what_curves_do_not_have_is_told(tmp_path):
    model, sites = additive_model(), frame()
    for message, given in {
        r"a response curve is of one predictor, not of a group; .*--predictors": {"groups": {"a": ("warm",)}},
        "need sites, not what was found there; leave --labels": {"labels": "sites"},
        "leave --method and --rounds out": {"method": "latin"},
        r"--predictors names 'warn', which is none .* did you mean warm": {"predictors": ("warn",)},
        "--predictors names one twice: wet, Wet": {"predictors": ("wet", "Wet")},
    }.items():
        with pytest.raises(ConfigError, match=message):
            model.explain(sites, tmp_path / "out.csv", curves=True, **given)
    with pytest.raises(ConfigError, match="predictors are those of response curves; add --curves"):
        model.explain(sites, predictors=("warm",))
    with pytest.raises(OutputError, match=r"has the extension '.tif'"):
        model.explain(sites, tmp_path / "out.tif", curves=True)
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_and_draws(installed_additive, tmp_path, zoo_command, two_processes):
    labelled(80).to_csv(tmp_path / "sites.csv", index=False)
    told = ["--curves", "--predictors", "warm,clay", "--species", "Poa alpina"]
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    code, said, err = zoo_command(
        "explain", installed_additive, tmp_path / "sites.csv", one, *told, "--plot", tmp_path / "one.png"
    )
    assert (code, said) == (0, f"wrote {one}\n"), err
    two_processes("explain", installed_additive, tmp_path / "sites.csv", two, *told)
    assert one.read_bytes() == two.read_bytes()
    assert len(pd.read_csv(one)) == 2 * 2 * 25
    assert (tmp_path / "one.png").exists()
