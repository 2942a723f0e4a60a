"""Explanations: subsets cost less and are the same, nothing shown is worth nothing, and niches are found again."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from zoo_masksdm.network.masked import build
from zoo_masksdm.predictors import GROUPS
from zoo_masksdm.world import SPECIES, draw

import zoo
from zoo.datasets.opening import open_dataset
from zoo.errors import InputError
from zoo.model import Model


@pytest.fixture(scope="module")
def demo() -> Model:
    return zoo.load("masksdm@demo")


@pytest.mark.parametrize("satclip", [True, False])
def test_subsets_of_tokens_are_the_answers_of_forward(satclip):
    torch.manual_seed(0)
    network = build(6, 5, width=16, blocks=2, heads=2, frequencies=4, satclip=satclip).eval()
    inputs = {"predictors": torch.randn(3, 6)} | ({"satclip": torch.randn(3, 256)} if satclip else {})
    rows = torch.tensor([2, 0, 1, 1, 0, 2, 2])
    masks = {"predictors_valid": torch.rand(7, 6) < 0.5}
    if satclip:
        masks["satclip_valid"] = (torch.arange(7) % 2 == 0)[:, None].expand(-1, 256)
    with torch.inference_mode():
        found = network.head(network.pooled_of(network.tokens(**inputs), rows, **masks), [3, 0])
        one_by_one = network(**{name: one[rows] for name, one in inputs.items()}, **masks, species=[3, 0]).logits
    torch.testing.assert_close(found, one_by_one, atol=1e-6, rtol=0)


def test_without_predictors_all_sites_are_tied(demo):
    reader = open_dataset("virtual-species", None, split="test", options={"n": 150}, variant=demo.variant)
    groups = {"climate": ("bio_1", "bio_12"), "terrain": ("Elevation", "Slope", "Aspect")}
    table = demo.explain(None, labels=reader, groups=groups, species=("Virtualis frigida", "Virtualis clivosa")).table
    rows = table.to_pandas().set_index(["species", "group"])
    assert set(rows["base"]) == {0.5}
    found = rows["contribution"]
    assert found["Virtualis frigida", "climate"] > 0.2 > found["Virtualis frigida", "terrain"]
    assert found["Virtualis clivosa", "terrain"] > 0.2 > abs(found["Virtualis clivosa", "climate"])


def test_what_a_species_cares_for_explains_it_at_a_place(demo):
    """`clivosa` wants slopes of 25 degrees, and nothing else."""
    sites = pd.DataFrame(draw(3, 150).x)
    table = demo.explain(sites, species=("Virtualis clivosa",)).table
    names = table["group"].to_pylist()[:8]
    values = table["contribution"].to_numpy().reshape(150, 8)
    assert names[int(np.abs(values).mean(axis=0).argmax())] == "Slope"
    steep, flat = sites["Slope"].between(20, 30), sites["Slope"] < 5
    slope = values[:, names.index("Slope")]
    assert slope[steep].min() > 0.1
    assert slope[flat].max() < -0.05


def test_response_curves_are_the_niches(demo):
    """Of species that care for one predictor: that curve is the niche, and others stay flat in the mean over the sites."""
    sites = pd.DataFrame(draw(3, 600).x)
    told = {name: SPECIES[name].likes for name in ("Virtualis frigida", "Virtualis pluvialis", "Virtualis clivosa")}
    found = demo.explain(sites, curves=True, species=tuple(told), predictors=("bio_1", "bio_12", "Slope"))
    for number, (species, likes) in enumerate(told.items()):
        for curve in found.curves:
            mean = curve.profile[0, number]
            if curve.predictor not in likes:
                assert np.ptp(mean) < 0.1, (species, curve.predictor)
                continue
            niche = SPECIES[species].probability({curve.predictor: curve.values})
            assert spearmanr(curve.alone[number], niche).statistic > 0.9
            assert spearmanr(mean, niche).statistic > 0.9
            assert abs(curve.alone[number] - niche).mean() < 0.05
            assert np.ptp(mean) > 0.6


def test_the_page_shows_what_is_printed(tmp_path, monkeypatch, capsys):
    """To a few pairs of sites: other processors round otherwise."""
    page = (Path(__file__).parents[3] / "docs/explain.md").read_text()
    codes, (told,) = (
        re.findall(rf"^```{kind}\n(.*?)^```", page, re.MULTILINE | re.DOTALL) for kind in ("python", "text")
    )
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(draw(3, 40).x).to_csv("sites.csv", index=False)
    exec(compile("\n".join(codes), "explain.md", "exec"), {})
    said, number = capsys.readouterr().out, re.compile(r"\d\.\d+")
    assert number.sub("#", said) == number.sub("#", told)
    found, expected = ([float(one) for one in number.findall(text)] for text in (said, told))
    assert found == pytest.approx(expected, abs=0.005)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["curves.png", "explain.png", "sites.csv"]


def test_released_variants_know_the_groups_of_the_paper():
    _, splot = zoo.find("masksdm")
    assert splot.groups == GROUPS
    assert sum(map(len, GROUPS.values())) == 61
    _, geoplant = zoo.find("masksdm@geoplant")
    assert sum(map(len, geoplant.groups.values())) == 42


def test_networks_that_never_saw_a_mask_do_not_explain():
    with pytest.raises(
        InputError, match=r"masksdm@splot-linear does not explain.*variants that do: splot, splot-epoch-5"
    ):
        zoo.build("masksdm@splot-linear").explain(pd.DataFrame({"bio_1": [1.0]}))
