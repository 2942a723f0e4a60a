"""The network: one token for all that is missing equals the paper's many, and what follows from that."""

import numpy as np
import pytest
import torch
from zoo_masksdm.network import baselines, masked, maxent
from zoo_masksdm.variants import RELEASED

from zoo.builders import builder_of
from zoo.errors import ConfigError, HubError
from zoo.model import load

SIZES = {"features": 12, "num_classes": 5, "width": 16, "blocks": 2, "heads": 4}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return masked.build(**SIZES, dropout=0.0).eval()


def drawn(rows, seed=0, share=0.5):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 12, generator=generator)
    return x, torch.rand(rows, 12, generator=generator) < share


def plain(network, tokens, keep):
    return network.transformer_encoder(network.sequence(tokens, keep)).mean(dim=1)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("rows", [1, 3, 150])
def test_one_token_stands_for_all_that_are_missing(network, share, rows):
    x, keep = drawn(rows, share=share)
    tokens = network.tokens(x)
    keep = torch.cat([keep, torch.zeros(rows, 1, dtype=torch.bool)], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(network.pooled(tokens, keep), plain(network, tokens, keep), atol=2e-6, rtol=1e-5)


def test_gradients_are_those_of_the_paper_s_many_tokens(network):
    x, keep = drawn(20)
    keep = torch.cat([keep, torch.zeros(20, 1, dtype=torch.bool)], dim=1)
    grads = []
    for way in (network.pooled, lambda *given: plain(network, *given)):
        network.zero_grad()
        way(network.tokens(x), keep).square().sum().backward()
        grads.append({key: one.grad.clone() for key, one in network.named_parameters() if one.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for key, one in grads[0].items():
        torch.testing.assert_close(one, grads[1][key], atol=1e-4, rtol=1e-3)


def test_an_answer_does_not_depend_on_its_neighbours_or_their_order(network):
    x, keep = drawn(150)
    order = torch.randperm(150, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = network(x, keep).logits
        torch.testing.assert_close(network(x[order], keep[order]).logits, whole[order], atol=2e-6, rtol=1e-5)
        torch.testing.assert_close(network(x[:1], keep[:1]).logits, whole[:1], atol=2e-6, rtol=1e-5)


def test_sites_that_show_nothing_answer_the_same_to_the_last_bit(network):
    x, keep = drawn(300)
    keep[::3] = False
    with torch.no_grad():
        empty = network(x, keep).logits[::3]
    assert (empty == empty[0]).all()


def test_missing_numbers_are_masked_unless_told_otherwise(network):
    x, keep = drawn(9)
    holed = torch.where(keep, x, torch.nan)
    with torch.no_grad():
        assert torch.equal(network(holed).logits, network(x, keep).logits)
        seen_as_mean = network(holed, torch.ones_like(keep)).logits
        assert torch.equal(seen_as_mean, network(torch.where(keep, x, 0.0)).logits)
    assert not torch.allclose(seen_as_mean, network(holed).logits)


def test_no_satclip_and_a_missing_satclip_are_the_same_and_another_than_none(network):
    x, keep = drawn(4)
    satclip = torch.randn(4, 256, generator=torch.Generator().manual_seed(2))
    hidden = torch.ones(4, 256, dtype=torch.bool)
    hidden[:, 7] = False  # where one number is missing, all are
    with torch.no_grad():
        without = network(x, keep).logits
        torch.testing.assert_close(network(x, keep, satclip, hidden).logits, without)
        assert not torch.allclose(network(x, keep, satclip).logits, without)
        dropped = network.head(network.pooled(network.tokens(x)[:, :-1], keep))
    assert not torch.allclose(dropped, without)


def test_the_head_answers_for_the_species_asked_for(network):
    x, keep = drawn(6)
    with torch.no_grad():
        every = network(x, keep).logits
        torch.testing.assert_close(network(x, keep, species=[4, 0]).logits, every[:, [4, 0]])


def test_each_missing_token_has_its_own_dropout_in_training_unless_shared():
    x, keep = drawn(64, share=0.2)
    for shared in (False, True):
        torch.manual_seed(0)
        network = masked.build(**SIZES, dropout=0.3, share_dropout=shared).train()
        calls = []
        network.transformer_encoder.register_forward_hook(lambda *given, calls=calls: calls.append(given[2].shape[1]))
        network(x, keep)
        assert (set(calls) == {13}) is not shared


def test_a_network_without_masks_sees_what_is_filled_in():
    torch.manual_seed(0)
    fill = torch.linspace(-1, 1, 12).tolist()
    network = masked.imputed(**SIZES, fill_predictors=fill, fill_satclip=[0.5] * 256).eval()
    x, keep = drawn(5)
    whole = torch.where(keep, x, torch.tensor(fill))
    with torch.no_grad():
        answer = network(x, keep).logits
        usual = masked.MaskSdm.forward(network, whole, torch.ones_like(keep), torch.full((5, 256), 0.5)).logits
        torch.testing.assert_close(answer, usual)
    assert network.state_dict().keys() == masked.build(**SIZES).state_dict().keys()


def test_tokens_begin_as_the_paper_says():
    torch.manual_seed(0)
    network = masked.build(features=61, num_classes=3)
    embeddings = network.feature_tokenizer.periodic_embeddings
    frequencies = embeddings.periodic.weight
    assert frequencies.std().item() == pytest.approx(0.01, rel=0.05)
    assert frequencies.abs().max() <= 0.03
    assert embeddings.linear.weight.abs().max().item() == pytest.approx(96**-0.5, rel=1e-3)
    assert not network.transformer_encoder.blocks[0].attention.W_q.bias.any()


# The numbers of parameters that the authors' notebooks print.
PARAMETERS = {
    "splot": 5_381_554,
    "splot-epoch-5": 5_381_554,
    "splot-3-blocks": 4_390_578,
    "splot-oracle-wc": 5_381_554,
    "splot-linear": 789_756,
    "splot-maxent-lhp": 38_086_620,
    "splot-maxent-lhptq": 46_633_818,
    "splot-mlp-7": 2_692_674,
    "splot-mlp-21": 3_211_458,
    "splot-resnet-7": 2_992_194,
    "splot-resnet-21": 4_035_138,
    "geoplant": 2_997_777,
    "geoplant-linear": 95_675,
}


@pytest.mark.parametrize("tag", PARAMETERS)
def test_released_networks_have_as_many_parameters_as_the_authors_print(tag):
    variant = next(one for one in RELEASED if one.tag == tag)
    with torch.device("meta"):
        network = builder_of("zoo-masksdm", variant)()
    assert sum(one.numel() for one in network.parameters()) == PARAMETERS[tag]


# ----------------------------------------------------------------------------------------------------------- baselines


def test_maxent_features_of_a_hand_worked_case():
    features = maxent.MaxentFeatures(2, maxent.SETS["lhptq"])
    features.fit(torch.tensor([[0.0, -1.0], [9.0, 1.0]]))
    made = features(torch.tensor([[4.5, 2.0]]))[0]
    assert len(made) == 2 + 2 + 1 + 2 * 10 + 2 * 18
    linear, quadratic, product = made[:2], made[2:4], made[4:5]
    assert linear.tolist() == [0.5, 1.0]  # 2 is clamped
    assert quadratic.tolist() == [20.25 / 81, 0.0]  # x2 squared is 1 at both ends: a range without width
    assert product.tolist() == [1.0]  # 4.5 x 2 = 9, of a range 0 ... 9: x itself is not clamped first
    thresholds = made[5:25].reshape(2, 10)
    assert thresholds.sum(dim=1).tolist() == [5.0, 10.0]  # above the knots 0 ... 4
    hinges = made[25:].reshape(2, 18)
    assert hinges[0, :9].tolist() == pytest.approx([max(0.0, (4.5 - knot) / (9 - knot)) for knot in range(9)])
    assert hinges[0, 9:].tolist() == pytest.approx([min(1.0, 4.5 / knot) for knot in range(1, 10)])


def test_maxent_refuses_unknown_features():
    with pytest.raises(ConfigError, match="'lq'; expected one of lhp, lhptq"):
        maxent.maxent(2, 3, kinds="lq")


@pytest.mark.parametrize("build", [baselines.linear, lambda f, n: baselines.mlp(f, n, layers=2)])
def test_baselines_take_what_is_missing_as_the_mean(build):
    torch.manual_seed(0)
    network = build(3, 4).eval()
    x = torch.tensor([[1.0, torch.nan, 2.0]])
    with torch.no_grad():
        assert torch.equal(network(x).logits, network(torch.tensor([[1.0, 0.0, 2.0]])).logits)
        assert torch.equal(network(x, species=[2]).logits, network(x).logits[:, [2]])


def test_the_published_weights_are_not_fetched_and_zoo_says_how_to_get_them():
    with pytest.raises(HubError, match=r"masksdm/epoch_178.pt .*zenodo.org.* `zoo convert masksdm@splot"):
        load("masksdm")


def test_predictors_stand_in_the_published_order():
    table = RELEASED[0].inputs[0]
    ids = np.array(table.band_ids)
    assert len(ids) == 61
    assert ids[[0, 18, 19, 26, 27, 29, 32, 34, 44, 45, 51, 52, 60]].tolist() == [
        *("bio_1", "bio_19", "ORCDRC", "BLDFIE", "Longitude", "Elevation", "Location_uncertainty", "Cover_total"),
        *("Cover_bare_soil", "Height_trees_highest", "Height_herbs_highest", "HFP2009", "Roads"),
    ]
    geoplant = next(one for one in RELEASED if one.tag == "geoplant")
    assert len(geoplant.inputs[0].bands) == 42
