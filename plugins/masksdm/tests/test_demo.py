"""The demo weights know the virtual species: AUC beside baselines, response curves beside the truth."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from zoo_masksdm.judging import SHOWN, responses, scores
from zoo_masksdm.world import NAMES, SPECIES, draw

import zoo
from zoo.errors import ConfigError, InputError

CARD = Path(__file__).parents[3] / "cards/masksdm.md"


@pytest.fixture(scope="module")
def demo():
    torch.set_num_threads(1)
    return zoo.load("masksdm@demo", device="cpu")


def test_it_beats_its_baselines_and_the_card_says_by_how_much(demo):
    found = scores(demo)
    card = CARD.read_text()
    for name in SHOWN:
        ours, linear, forest = found[name]
        assert ours > linear + 0.06, name
        assert ours > forest + (0.0 if name == "all eight" else 0.03), name
        row = re.search(rf"^\| {re.escape(name)} \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", card, re.MULTILINE)
        assert [float(one) for one in row.groups()] == pytest.approx(found[name], abs=0.006)
    assert found["all eight"][0] > 0.88


def test_the_papers_comparison_of_subsets_is_an_evaluation(demo):
    """`predictors` of `zoo.evaluate`: the columns of the paper's table."""
    same_sites = {"n": 4000, "seed": 3}
    found = zoo.evaluate(demo, "virtual-species", options=same_sites, predictors=["bio_1"], bootstrap=0)
    assert found.provenance.options["predictors"] == "bio_1"
    assert found.values["auc_mean"] == pytest.approx(scores(demo)["bio_1 alone"][0], abs=1e-6)


def test_response_curves_are_those_of_the_niches(demo):
    """With one predictor shown, in twenty bins: rank correlation with the mean of the true probability."""
    curves = responses(demo)
    assert len(curves) == 15
    ranks = {key: spearmanr(said, true).statistic for key, (said, true) in curves.items()}
    clear = {key: one for key, one in ranks.items() if np.ptp(curves[key][1]) > 0.15}
    assert len(clear) >= 12
    assert min(clear.values()) > 0.8, ranks
    assert np.median(list(clear.values())) > 0.95
    for key, (said, true) in curves.items():
        assert abs(said - true).mean() < 0.1, key  # and the probabilities themselves


def test_the_virtual_species_are_what_their_niches_say():
    drawn = draw(3, 2000)
    best = drawn.x["bio_1"]
    truth = 0.9 * np.exp(-0.5 * ((best - 1.0) / 2.0) ** 2)
    np.testing.assert_allclose(drawn.truth[:, list(SPECIES).index("Virtualis frigida")], truth)
    assert abs(drawn.presence.mean(axis=0) - drawn.truth.mean(axis=0)).max() < 0.03
    assert drawn.table().shape == (2000, len(NAMES))


def test_the_drawn_data_set_says_what_it_wants():
    from zoo_masksdm.variants import VARIANTS
    from zoo_masksdm.world import virtual_species

    demo = next(one for one in VARIANTS if one.demo)
    with pytest.raises(InputError, match="takes no folder, found here"):
        virtual_species("here", split="train", variant=demo)
    with pytest.raises(ConfigError, match="splits train, val, test, found 'x'"):
        virtual_species(split="x", variant=demo)
    with pytest.raises(ConfigError, match="such as masksdm@demo"):
        virtual_species(split="train", variant=VARIANTS[0])
    one = virtual_species(split="val", variant=demo, n=50).sample(3)
    assert one.inputs["predictors"].shape == (8,)
    assert one.target["presence"].shape == (12,)
