"""What SMARTIES is trained for: sums with their counts, draws of each sample's own, and weights that come back."""

import math

import pytest
import torch
from torch.nn import functional
from zoo_smarties import SPEC
from zoo_smarties.agreement import Agreement, info_nce
from zoo_smarties.network import encoder
from zoo_smarties.objective import Pretraining, SingleLabel
from zoo_smarties.spectrum import numbers

import zoo
from zoo.datasets.sample import Batch
from zoo.errors import ConfigError, InputError
from zoo.tasks.objective import Moment

TINY = {"width": 32, "depth": 1, "heads": 4, "patch_size": 8, "image_size": 32}
DECODER = {"decoder_width": 16, "decoder_depth": 2, "decoder_heads": 2}
BANDS = {"s1": ("S1:VV", "S1:VH"), "s2": ("S2:B02", "S2:B03", "S2:B04"), "rgb": ("RGB:R", "RGB:G", "RGB:B")}


def moment(step=0, seed=0):
    return Moment(phase="only", step=step, steps=10, epoch=0.0, generator=torch.Generator().manual_seed(seed))


def pairs(batch=4):
    """Pairs of images as a reader gives them."""
    generator = torch.Generator().manual_seed(1)
    inputs = {}
    for name, bands in (("first", BANDS["rgb"] * 2), ("second", BANDS["s1"] * 3)):
        inputs[name] = torch.randn(batch, 6, 64, 64, generator=generator)
        inputs[f"{name}_numbers"] = torch.tensor([numbers(bands)] * batch)
    return Batch(ids=tuple("abcd"[:batch]), inputs=inputs, target={}, seeds=torch.arange(batch) + 2**40)


def rows(batch, places):
    return Batch(
        ids=tuple(batch.ids[place] for place in places),
        inputs={name: one[places] for name, one in batch.inputs.items()},
        target={},
        seeds=batch.seeds[places],
    )


def views(batch=4):
    """Views of places by three sensors, one of them twice as fine."""
    generator = torch.Generator().manual_seed(1)
    inputs = {
        name: torch.randn(batch, len(bands), *[128 if name == "rgb" else 64] * 2, generator=generator)
        for name, bands in BANDS.items()
    }
    return Batch(ids=tuple("abcd"), inputs=inputs, target={}, bands=BANDS, seeds=torch.arange(batch))


@pytest.fixture(scope="module")
def demo():
    return zoo.load("smarties@demo", device="cpu")


def test_the_autoencoder_begins_with_the_encoder_and_gives_it_back(demo):
    objective = Pretraining(variant=demo.variant, **DECODER)
    network = objective.network(demo)
    before = {name: value.clone() for name, value in demo.module.state_dict().items()}
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())
    fresh = zoo.build("smarties@demo", seed=5, device="cpu")
    objective.finish(network, fresh)
    assert all(torch.equal(fresh.module.state_dict()[name], value) for name, value in before.items())
    with pytest.raises(ConfigError, match="between 0 and 1"):
        Pretraining(mask_ratio=1.0)


@torch.no_grad()
def test_what_is_hidden_of_a_sample_does_not_depend_on_its_batch(demo):
    objective = Pretraining(variant=demo.variant, **DECODER)
    network, batch = objective.network(demo), pairs()

    def term(part):
        return objective(network, part, moment())["reconstruction"]

    whole, parts = term(batch), [term(rows(batch, places)) for places in ([2], [3, 0], [1])]
    torch.testing.assert_close(sum(one.total for one in parts), whole.total, rtol=1e-5, atol=0)
    assert sum(one.count for one in parts) == whole.count == objective.counts(batch)["reconstruction"] == 2 * 4 * 48
    other = Batch(ids=batch.ids, inputs=batch.inputs, target={}, seeds=batch.seeds + 1)
    assert term(other).total != whole.total
    unseeded = [term(Batch(ids=ids, inputs=batch.inputs, target={})).total for ids in ("abcd", "abcd", "abce")]
    assert unseeded[0] == unseeded[1] != unseeded[2]


@torch.no_grad()
def test_views_go_round_and_can_be_reconstructed(demo):
    objective = Pretraining(variant=demo.variant, **DECODER)
    network = objective.network(demo)
    found = [objective(network, views(), moment(step))["reconstruction"] for step in range(3)]
    assert len({float(one.total) for one in found}) == 3
    assert all(one.count == objective.counts(views())["reconstruction"] for one in found)
    with pytest.raises(InputError, match="two sensors"):
        objective(network, Batch(ids=("a",), inputs={"image": torch.zeros(1, 3, 64, 64)}, target={}), moment())


def test_agreement_is_the_cross_entropy_of_finding_the_same_place():
    first, second = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    cosines = torch.stack([functional.cosine_similarity(one, second) for one in first]) / 0.2
    expected = -(cosines.log_softmax(0).diagonal().mean() + cosines.log_softmax(1).diagonal().mean()) / 2
    torch.testing.assert_close(info_nce(first, second, torch.arange(3), 0.2), expected)
    same_place = info_nce(first, second, torch.zeros(3), 0.2)
    assert same_place.item() == 0  # the others of a place do not count


def test_agreement_differentiates_class_tokens_and_patches(demo):
    network = zoo.build("smarties@demo", device="cpu").module
    terms = Agreement(variant=demo.variant, patch_share=0.5, patches=4)(network, views(), moment(2))
    assert {name: (term.count, term.weight) for name, term in terms.items()} == {
        "places": (1.0, 1.0),
        "patches": (1.0, 0.5),
    }
    sum(term.total for term in terms.values()).backward()
    assert network.blocks[0].attn.qkv.weight.grad.abs().max() > 0
    assert terms["places"].total.item() == pytest.approx(math.log(4), abs=1.5)  # four places, random weights


def labelled(label, batch=4):
    image = torch.randn(batch, 2, 32, 32, generator=torch.Generator().manual_seed(2))
    return Batch(ids=tuple("abcd"), inputs={"image": image}, target={"label": label}, bands={"image": BANDS["s1"]})


def classifier():
    torch.manual_seed(0)
    network = encoder.build(**TINY, head="linear", num_classes=3)
    torch.nn.init.normal_(network.head.weight)
    return network


@torch.no_grad()
def test_mixed_images_have_mixed_labels():
    label, network = torch.tensor([0, 2, 1, 1]), classifier()
    objective = SingleLabel(mixup=0.8)
    batch = labelled(label)
    plain = functional.cross_entropy(network(batch.inputs["image"], BANDS["s1"]).logits, label, reduction="sum")
    mixed = objective(network, batch, moment(seed=3))["cross_entropy"]
    again = objective(network, batch, moment(seed=3))["cross_entropy"]
    assert mixed.total == again.total != plain
    assert mixed.count == objective.counts(batch)["cross_entropy"] == 4
    torch.testing.assert_close(objective.eval()(network, batch, moment(seed=3))["cross_entropy"].total, plain)
    torch.testing.assert_close(SingleLabel()(network, batch, moment())["cross_entropy"].total, plain)


def test_mixing_is_for_one_class_per_image():
    several = next(one for one in SPEC.variants if one.multi_label)
    with pytest.raises(ConfigError, match="objective=multi-label"):
        SingleLabel(variant=several, mixup=0.8)
    with pytest.raises(ConfigError, match="no head for classes"):
        SingleLabel(mixup=0.8)(encoder.build(**TINY), labelled(torch.tensor([0, 1, 2, 0])), moment())
