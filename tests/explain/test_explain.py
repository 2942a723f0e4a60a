"""Explanations of a model whose logits are sums: hand-worked, against brute force, against shap; tables, maps, plots."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import shutil
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin
from sklearn.metrics import roc_auc_score
from toy_additive import (
    BANDS,
    BIAS,
    CLIMATE,
    SLOPES,
    SPECIES,
    Additive,
    Deaf,
    InTwoSteps,
    WithPlace,
    additive_model,
    additive_spec,
    frame,
    labelled,
    sigmoid,
)

from zoo.errors import ConfigError, InputError, OutputError, SpecError, ZooWarning
from zoo.explain import local
from zoo.explain.result import ExplanationMap
from zoo.spec import Variant
from zoo.spec_json import decode, encode

GROUPS = {"climate": ("warm", "wet"), "soil": ("clay", "sand")}
ALL = {"shares": {"test": 1.0}}  # of a table without splits


def brute(value, players):
    """Mean gain over all orders; `value` takes the set of those that are shown."""
    total = np.zeros(players)
    for order in itertools.permutations(range(players)):
        for place, player in enumerate(order):
            total[player] += value({*order[: place + 1]}) - value({*order[:place]})
    return total / math.factorial(players)


def scores_of(sites, number):
    """AUC of a species for a set of predictors; 0.5 without any."""

    def value(shown):
        scores = sum(
            (SLOPES[number][one] * sites[BANDS[one]].to_numpy("float32") for one in shown), np.zeros(len(sites))
        )
        return roc_auc_score(sites[SPECIES[number]], scores)

    return value


# ------------------------------------------------------------------------------------------------------------ places


def test_two_groups_are_as_worked_by_hand():
    site = {"id": ["a"], "warm": [1.0], "wet": [0.5], "clay": [1.0], "sand": [2.0]}
    table = additive_model().explain(pd.DataFrame(site), groups=GROUPS, species=("Poa alpina",)).table
    none, climate, soil, both = sigmoid([0.5, 0.5 + 2.0, 0.5 + 0.0, 0.5 + 2.0])
    assert table["group"].to_pylist() == ["climate", "soil"]
    expected = [(climate - none + both - soil) / 2, (soil - none + both - climate) / 2]
    np.testing.assert_allclose(table["contribution"].to_numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(table["base"].to_numpy(), none, atol=1e-6)
    np.testing.assert_allclose(table["probability"].to_numpy(), both, atol=1e-6)
    assert expected[1] == pytest.approx(0.0)


@pytest.mark.parametrize("network", [Additive, InTwoSteps])
def test_single_predictors_are_the_mean_over_all_orders(network):
    sites = frame()
    sites.loc[1, "wet"], sites.loc[2, ["warm", "clay"]] = np.nan, np.nan
    table = additive_model(network).explain(sites).table.to_pandas()
    assert len(table) == 5 * 2 * 4
    values = table["contribution"].to_numpy().reshape(5, 2, 4)
    x = sites[list(BANDS)].fillna(0).to_numpy()
    for site, species in itertools.product(range(5), range(2)):

        def value(shown, site=site, species=species):
            return sigmoid(BIAS[species] + sum(SLOPES[species][one] * x[site, one] for one in shown))

        np.testing.assert_allclose(values[site, species], brute(value, 4), atol=1e-6)
    np.testing.assert_allclose(values[1, :, 1], 0, atol=1e-12)
    np.testing.assert_allclose(
        values.sum(axis=2), (table["probability"] - table["base"]).to_numpy().reshape(5, 2, 4)[..., 0], atol=1e-6
    )


def test_what_a_site_lacks_is_computed_once():
    sites = frame(2)
    sites.loc[1, ["clay", "sand"]] = np.nan
    additive_model().explain(sites)
    assert Additive.rows == 15 + 3 + 1  # all but nothing, of both; nothing once
    assert InTwoSteps.sites == 2 + 1


def test_sites_that_lack_different_predictors_are_explained_as_each_alone():
    sites = frame(16)
    lacking = np.array(list(itertools.product((False, True), repeat=4)))[:15]  # all patterns but nothing at all
    for site, predictor in np.argwhere(lacking):
        sites.loc[site, BANDS[predictor]] = np.nan
    model = additive_model()
    found = model.explain(sites, groups=GROUPS).table.to_pandas()
    values = found["contribution"].to_numpy().reshape(16, 2, 2)
    x = sites[list(BANDS)].fillna(0).to_numpy()
    for site, species in itertools.product(range(16), range(2)):
        parts = [sum(SLOPES[species][one] * x[site, one] for one in ones) for ones in ((0, 1), (2, 3))]

        def value(shown, parts=parts, species=species):
            return sigmoid(BIAS[species] + sum(parts[one] for one in shown))

        np.testing.assert_allclose(values[site, species], brute(value, 2), atol=1e-6)
    for site in (1, 6, 12):
        with warnings.catch_warnings(action="ignore"):  # of the predictors that are in no site
            alone = model.explain(sites.iloc[[site]], groups=GROUPS).table
        np.testing.assert_array_equal(alone["contribution"].to_numpy().reshape(2, 2), values[site])
    soilless = lacking[:, 2] & lacking[:, 3]
    assert soilless.sum() == 3
    assert (values[:15][soilless][:, :, 1] == 0).all()


def test_predictors_in_no_group_stay_hidden():
    sites = frame()
    table = additive_model().explain(sites, groups={"warmth": ("WARM",)}, species=("Poa alpina",)).table
    np.testing.assert_allclose(table["probability"].to_numpy(), sigmoid(0.5 + sites["warm"]), atol=1e-6)
    np.testing.assert_allclose(table["contribution"].to_numpy(), sigmoid(0.5 + sites["warm"]) - sigmoid(0.5), atol=1e-6)


def test_the_variants_own_groups_are_taken_and_are_kept_in_json():
    spec = additive_spec(groups=GROUPS)
    assert decode(Variant, json.loads(json.dumps(encode(spec.variants[0])))).groups == GROUPS
    model = additive_model(groups=GROUPS)
    assert model.explain(frame()).table["group"].to_pylist()[:2] == ["climate", "soil"]
    drawn = model.explain(frame(), method="permutation", rounds=2).table
    assert drawn["group"].to_pylist()[:4] == list(BANDS)


@pytest.mark.parametrize(("method", "rounds"), [("permutation", 12), ("latin", 8)])
def test_drawn_values_sum_up_and_lie_within_their_errors(method, rounds):
    sites = frame(4)
    exact = additive_model().explain(sites).table.to_pandas()
    drawn = additive_model().explain(sites, method=method, rounds=rounds, seed=5).table.to_pandas()
    away = (drawn["contribution"] - exact["contribution"]).abs()
    assert (away <= 4 * drawn["standard_error"] + 1e-6).all()
    assert away.max() > 1e-4
    sums = drawn.groupby(["id", "species"])["contribution"].sum()
    ends = drawn.groupby(["id", "species"])[["probability", "base"]].first()
    np.testing.assert_allclose(sums, ends["probability"] - ends["base"], atol=1e-6)
    again = additive_model().explain(sites, method=method, rounds=rounds, seed=5).table.to_pandas()
    pd.testing.assert_frame_equal(drawn, again)


def test_tables_keep_places_and_provenance(tmp_path):
    sites, out = frame(300), tmp_path / "why.parquet"
    assert additive_model().explain(sites, out, groups=GROUPS, batch_size=1, plot=tmp_path / "why.png") == out
    table = pq.read_table(out)
    assert table.column_names == ["id", "species", "group", "contribution", "base", "probability", "geometry"]
    assert len(table) == 300 * 2 * 2
    options = json.loads(table.schema.metadata[b"ZOO_OPTIONS"])
    assert (options["method"], options["group soil"]) == ("exact", "clay,sand")
    lon, lat = np.frombuffer(table["geometry"][7].as_py()[5:], "<f8")
    assert (lon, lat) == (sites["lon"][1], sites["lat"][1])
    in_memory = additive_model().explain(sites, groups=GROUPS, batch_size=1)
    np.testing.assert_array_equal(in_memory.table["contribution"].to_numpy(), table["contribution"].to_numpy())
    with Image.open(tmp_path / "why.png") as picture:
        assert picture.text["ZOO_MODEL"] == "additive"
        assert min(picture.size) > 300
    assert sorted(one.name for one in tmp_path.iterdir()) == ["why.parquet", "why.png"]


def test_places_are_held_once_per_site_however_many_rows_it_has(tmp_path, monkeypatch):
    held, write_rows = [], local.write_rows
    monkeypatch.setattr(local, "CHUNK_ROWS", 16)  # two sites of eight rows
    monkeypatch.setattr(
        local,
        "write_rows",
        lambda *given, places, **more: (held.append(places), write_rows(*given, places=places, **more)),
    )
    sites = frame(5)
    additive_model().explain(sites, tmp_path / "why.parquet", species=SPECIES)
    whole = additive_model().explain(sites, species=SPECIES)
    assert [one.shape for one in held] == [(5, 1, 2)]
    geo = json.loads(pq.read_schema(tmp_path / "why.parquet").metadata[b"geo"])["columns"]["geometry"]
    assert geo["bbox"] == [sites.lon.min(), sites.lat.min(), sites.lon.max(), sites.lat.max()]
    assert np.array_equal(whole.places[:, 0], np.repeat(sites[["lon", "lat"]].to_numpy(), 8, axis=0))
    assert pq.read_table(tmp_path / "why.parquet").drop_columns("geometry").equals(whole.table)


def test_a_disk_without_room_is_told_before_anything_is_explained(tmp_path, monkeypatch):
    model = additive_model()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OutputError, match=r"why\.csv needs 0\.00 GB while it is made.*free some space"):
        model.explain(frame(300), tmp_path / "why.csv", species=SPECIES)
    assert Additive.rows == 0
    assert list(tmp_path.iterdir()) == []


def test_bars_are_means_of_what_raises_and_of_what_lowers():
    sites = frame(20)
    found = additive_model().explain(sites)
    values = found.table["contribution"].to_numpy().reshape(20, 2, 4).astype(float)
    first = found.bars.panels[1]
    np.testing.assert_allclose(first.up, np.maximum(values[:, 1], 0).mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(first.down, np.minimum(values[:, 1], 0).mean(axis=0), atol=1e-12)
    axes = found.plot().axes
    assert [one.get_title(loc="left") for one in axes] == list(SPECIES)
    order = np.argsort(-np.abs(values[:, 1]).mean(axis=0))
    assert [one.get_text() for one in axes[1].get_yticklabels()] == [BANDS[one] for one in order]
    assert axes[1].get_xlabel() == "adds to the probability of presence, mean over 20 sites"


# -------------------------------------------------------------------------------------------------------------- maps


@pytest.fixture
def stack(tmp_path):
    pixels = np.random.default_rng(2).normal(size=(4, 5, 7)).astype("float32")
    pixels[1, 2, 3], pixels[:, 4, 4] = -9999, -9999
    path = tmp_path / "stack.tif"
    profile = {"driver": "GTiff", "height": 5, "width": 7, "count": 4, "dtype": "float32", "nodata": -9999}
    with rasterio.open(path, "w", crs="EPSG:4326", transform=from_origin(6, 47, 0.5, 0.5), **profile) as file:
        file.write(pixels)
        file.descriptions = BANDS
    return path


def test_a_map_has_a_band_per_group_as_the_sites_have(tmp_path, stack):
    out = tmp_path / "why.tif"
    made = additive_model().explain(
        stack, out, groups=GROUPS, species=("Olea europaea",), plot=tmp_path / "why.png", window=3
    )
    with rasterio.open(out) as file:
        values = file.read()
        assert file.descriptions == ("climate", "soil", "base", "probability")
        assert file.tags()["ZOO_MODEL"] == "additive"
    with rasterio.open(stack) as file:
        pixels = np.where(file.read() == -9999, np.nan, file.read()).reshape(4, -1)
    sites = pd.DataFrame(pixels.T, columns=list(BANDS))
    with pytest.warns(ZooWarning, match="1 of 35 sites lack"):
        table = additive_model().explain(sites, groups=GROUPS, species=("Olea europaea",)).table
    np.testing.assert_array_equal(
        values[:2].reshape(2, -1).T.ravel(), table["contribution"].to_numpy(zero_copy_only=False)
    )
    assert np.isnan(values[:, 4, 4]).all()
    assert np.isnan(values).sum() == 4
    assert isinstance(made, ExplanationMap)
    shown = [one.get_title() for one in made.plot().axes if one.get_title()]
    assert shown == ["climate", "soil", "probability of presence"]
    with Image.open(tmp_path / "why.png") as picture:
        assert picture.size[0] > 300


def test_a_map_explains_one_species(tmp_path, stack):
    with pytest.raises(ConfigError, match=r'a map explains one species.*2 are asked for.*--species "Poa alpina"'):
        additive_model().explain(stack, tmp_path / "why.tif")
    with pytest.raises(OutputError, match=r"found rasters.*name the output .tif"):
        additive_model().explain(stack, tmp_path / "why.csv", species=SPECIES[:1])
    with pytest.raises(InputError, match=r"found a table of sites.*expected predictor rasters"):
        additive_model().explain(frame(), tmp_path / "why.tif", species=SPECIES[:1])
    assert [one.name for one in tmp_path.iterdir()] == ["stack.tif"]


# ------------------------------------------------------------------------------------------------------------ scores


@pytest.mark.parametrize("network", [Additive, InTwoSteps])
def test_gains_in_auc_are_those_of_sklearn_over_all_orders(tmp_path, network):
    sites = labelled()
    sites.to_csv(tmp_path / "sites.csv", index=False)
    model = additive_model(network)
    table = model.explain(tmp_path / "sites.csv", labels="sites", reader_options=ALL).table
    expected = np.mean([brute(scores_of(sites, number), 4) for number in range(2)], axis=0)
    np.testing.assert_allclose(table["contribution"].to_numpy(), expected, atol=1e-9)
    assert table["base"].to_pylist() == [0.5] * 4
    whole = np.mean([scores_of(sites, number)(range(4)) for number in range(2)])
    np.testing.assert_allclose(table["auc"].to_numpy(), whole, atol=1e-9)
    assert Additive.rows == 60 * 15 + 1 + (network is InTwoSteps)  # once to learn the width of what the head takes
    each = model.explain(tmp_path / "sites.csv", labels="sites", reader_options=ALL, species=SPECIES).table
    assert each["species"].to_pylist()[::4] == [None, *SPECIES]
    np.testing.assert_allclose(each["contribution"].to_numpy()[8:], brute(scores_of(sites, 1), 4), atol=1e-9)


def test_a_gain_in_auc_is_as_worked_by_hand(tmp_path):
    """Warmth orders the four sites right but for one pair of four, wetness says nothing: both are tied."""
    sites = pd.DataFrame(
        {
            "id": list("abcd"),
            "warm": [3.0, 1.0, 2.0, 0.0],
            "wet": 1.0,
            "clay": 0.0,
            "sand": 0.0,
            "Poa alpina": [1, 1, 0, 0],
        }
    )
    sites.to_csv(tmp_path / "sites.csv", index=False)
    found = additive_model().explain(
        tmp_path / "sites.csv",
        labels="sites",
        reader_options=ALL,
        species=("Poa alpina",),
        groups={"w": ("warm",), "v": ("wet",)},
    )
    assert found.table["contribution"].to_pylist() == [0.25, 0.0]
    assert found.table["species"].to_pylist() == ["Poa alpina"] * 2
    assert found.bars.panels[0].whole == 0.75


def test_unknown_presences_do_not_count(tmp_path):
    sites = labelled(30)
    known = sites.copy()
    sites.loc[:9, "Poa alpina"] = np.nan
    sites.to_csv(tmp_path / "sites.csv", index=False)
    table = (
        additive_model()
        .explain(tmp_path / "sites.csv", labels="sites", reader_options=ALL, species=("Poa alpina",))
        .table
    )
    np.testing.assert_allclose(table["auc"][0].as_py(), scores_of(known[10:], 0)(range(4)), atol=1e-9)


def test_drawn_gains_in_auc_sum_up_and_plot_their_errors(tmp_path):
    sites = labelled()
    sites.to_csv(tmp_path / "sites.csv", index=False)
    given = {"labels": "sites", "reader_options": ALL}
    exact = additive_model().explain(tmp_path / "sites.csv", **given).table.to_pandas()
    for method, rounds in (("latin", 6), ("permutation", 6)):
        found = additive_model().explain(tmp_path / "sites.csv", method=method, rounds=rounds, **given)
        drawn = found.table.to_pandas()
        assert (abs(drawn["contribution"] - exact["contribution"]) <= 4 * drawn["standard_error"] + 1e-9).all()
        assert drawn["contribution"].sum() == pytest.approx(drawn["auc"][0] - 0.5, abs=1e-12)
        assert Additive.rows <= 60 * 15 + 2  # each coalition once, however often it is drawn
        np.testing.assert_array_equal(found.bars.panels[0].errors, drawn["standard_error"])
    one = additive_model().explain(tmp_path / "sites.csv", method="latin", rounds=1, **given)
    assert one.table["standard_error"].null_count == 4
    one.save(tmp_path / "one.png")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_scores_go_on_where_they_were_interrupted(tmp_path, monkeypatch):
    labelled().to_csv(tmp_path / "sites.csv", index=False)
    given = {"labels": "sites", "reader_options": ALL, "method": "permutation", "rounds": 30}
    monkeypatch.setattr("zoo.explain.scores.COALITIONS", 4)
    additive_model().explain(tmp_path / "sites.csv", tmp_path / "whole.csv", **given)
    first = InTwoSteps.pooled_of

    def stopping(self, tokens, rows, site_valid):
        if Additive.rows > 500:
            raise KeyboardInterrupt
        return first(self, tokens, rows, site_valid)

    model = additive_model()
    monkeypatch.setattr(InTwoSteps, "pooled_of", stopping)
    with pytest.raises(KeyboardInterrupt):
        model.explain(tmp_path / "sites.csv", tmp_path / "out.csv", **given)
    monkeypatch.setattr(InTwoSteps, "pooled_of", first)
    assert not (tmp_path / "out.csv").exists()
    before = Additive.rows
    model.explain(tmp_path / "sites.csv", tmp_path / "out.csv", resume=True, **given)
    assert Additive.rows - before < 60 * 15
    assert digest(tmp_path / "out.csv") == digest(tmp_path / "whole.csv")


# --------------------------------------------------------------------------------------------------------- bad input


def test_groups_that_cannot_be_are_told_why():
    model, sites = additive_model(), frame()
    cases = {
        r"group 'a' names 'warn', which is none of the model's predictors; did you mean warm": {"a": ("warn",)},
        r"'wet' is in the group 'a' and in 'b'; expected each predictor once": {"a": ("warm", "wet"), "b": ("wet",)},
        r"'WET' is in the group 'a' twice": {"a": ("wet", "WET")},
        r"the group 'a' is empty; expected a=warm,wet": {"a": ()},
    }
    for message, groups in cases.items():
        with pytest.raises(ConfigError, match=message):
            model.explain(sites, groups=groups)
    many = replace(CLIMATE, bands=tuple(replace(CLIMATE.bands[0], id=f"v{number}") for number in range(20)))
    with pytest.raises(ConfigError, match=r"takes 20 predictors: 2\^20 .*--group NAME=v0,v1,v2 .*--method permutation"):
        additive_model(inputs=(many,)).explain(sites)
    with pytest.raises(ConfigError, match=r"17 groups need 2\^17 .*at most 16 groups.*--method permutation"):
        additive_model(inputs=(many,)).explain(sites, groups={f"g{n}": (f"v{n}",) for n in range(17)})


def test_species_methods_and_options_that_cannot_be_are_told_why(tmp_path):
    model, sites = additive_model(), frame()
    with pytest.raises(ConfigError, match=r"no species 'Poa alpin'.*did you mean Poa alpina"):
        model.explain(sites, species=("Poa alpin",))
    with pytest.raises(ConfigError, match="method is 'magic'; expected one of exact, latin, permutation"):
        model.explain(sites, method="magic")
    with pytest.raises(ConfigError, match="exact values take no rounds"):
        model.explain(sites, rounds=3)
    with pytest.raises(ConfigError, match="rounds is 0; expected at least 1"):
        model.explain(sites, method="latin", rounds=0)
    with pytest.raises(ConfigError, match="shares are options of labelled sites; expected --labels"):
        model.explain(sites, reader_options=ALL)
    with pytest.raises(OutputError, match=r"has the extension '.xlsx'"):
        model.explain(sites, tmp_path / "why.xlsx")
    with pytest.raises(OutputError, match=r"a plot is written as .png"):
        model.explain(sites, plot=tmp_path / "why.gif")
    assert list(tmp_path.iterdir()) == []


def test_a_grid_and_a_ranking_are_not_of_sites(tmp_path):
    for told, error, why in (
        ({"grid": "6,46,7,47,0.5"}, InputError, "--grid is of a map .*DataFrame is a table"),
        ({"grid": "6,46,7,47,0.5", "curves": True}, InputError, "--grid is of a map"),
        ({"top": 2}, ConfigError, "top is of `predict`"),
        (
            {"sampling": "nearest", "labels": "sites"},
            ConfigError,
            "sampling is of places; with labels give the options",
        ),
    ):
        with pytest.raises(error, match=why):
            additive_model().explain(frame(3), tmp_path / "why.csv", species=["Poa alpina"], **told)
    assert list(tmp_path.iterdir()) == []


def test_neither_the_answer_nor_its_plot_replaces_a_source(tmp_path, stack):
    sites, picture = tmp_path / "sites.csv", tmp_path / "layer.png"
    labelled(20).to_csv(sites, index=False)
    picture.write_bytes(b"a picture that is read")
    for source, out, told in (
        (sites, sites, {}),
        (sites, sites, {"curves": True}),
        (sites, sites, {"labels": "sites"}),
        (sites, tmp_path / "why.csv", {"covariates": picture, "plot": picture}),
        (
            sites,
            tmp_path / "why.csv",
            {"labels": "sites", "reader_options": {"covariates": str(picture)}, "plot": picture},
        ),
    ):
        before = out.read_bytes() if out.exists() else None
        with pytest.raises(OutputError, match="would replace the source"):
            additive_model().explain(source, out, species=["Poa alpina"], **told)
        assert (out.read_bytes() if out.exists() else None) == before
    assert picture.read_bytes() == b"a picture that is read"


def test_scores_need_labels(tmp_path):
    class Unlabelled:
        ids, classes = ("a",), SPECIES

        def sample(self, index, generator=None):
            from torch import ones

            from zoo.datasets.sample import Sample

            return Sample(id="a", inputs={"site": ones(4)})

    with pytest.raises(InputError, match=r"samples of this dataset have no species.*--labels sites"):
        additive_model().explain(None, labels=Unlabelled())
    frame().to_csv(tmp_path / "sites.csv", index=False)
    with pytest.raises(InputError, match="has no column for 2 of 2 species"):
        additive_model().explain(tmp_path / "sites.csv", tmp_path / "out.csv", labels="sites", reader_options=ALL)
    labelled().assign(**dict.fromkeys(SPECIES, 0)).to_csv(tmp_path / "none.csv", index=False)
    with pytest.raises(InputError, match="not one of 2 species is present at the 60 labelled sites"):
        additive_model().explain(tmp_path / "none.csv", tmp_path / "out.csv", labels="sites", reader_options=ALL)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["none.csv", "sites.csv"]


def test_models_that_cannot_say_who_can(installed_additive):
    with pytest.raises(InputError, match=r"additive@sum cannot hide predictors: its network"):
        additive_model(Deaf).explain(frame())
    with pytest.raises(InputError, match=r"cannot hide predictors"):
        additive_model(inputs=(replace(CLIMATE, any_subset=False),)).explain(frame())
    model = additive_model()
    unable = replace(model, spec=replace(model.spec, capabilities=()))
    with pytest.raises(InputError, match=rf"additive@sum does not explain.*models that do: .*{installed_additive}"):
        unable.explain(frame())


def test_an_input_that_is_there_as_a_whole_can_be_a_group():
    bands = tuple(replace(CLIMATE.bands[0], id=f"p{number}") for number in range(3))
    place = replace(CLIMATE, name="place", bands=bands, any_subset=False, optional=True)
    model = additive_model(WithPlace, inputs=(CLIMATE, place))
    sites = frame().assign(p0=[-1.0, 0.0, 1.0, 2.0, 0.5], p1=0.0, p2=1.0)
    found = model.explain(sites, groups={"warmth": ("warm",), "place": ("place",)}, species=("Poa alpina",)).table
    both = sigmoid(0.5 + sites["warm"] + sites["p0"])
    np.testing.assert_allclose(found["probability"].to_numpy()[::2], both, atol=1e-6)
    none, warm, there = sigmoid(0.5), sigmoid(0.5 + sites["warm"]), sigmoid(0.5 + sites["p0"])
    np.testing.assert_allclose(found["contribution"].to_numpy()[1::2], (there - none + both - warm) / 2, atol=1e-6)
    with pytest.raises(
        ConfigError, match="the group 'place' has a part of place, which is hidden as a whole; say place=place"
    ):
        model.explain(sites, groups={"place": ("p0", "p1")})


def test_species_that_are_none_need_names():
    model = additive_model()
    with pytest.raises(SpecError, match="names no species"):
        replace(model, variant=replace(model.variant, classes=())).explain(frame())
