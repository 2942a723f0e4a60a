"""Losses of points, species and captions against their formulas, and what the objectives make of batches."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from shared_work import Sites, Towers
from torch import nn
from torch.nn import functional

from zoo.datasets.sample import Batch
from zoo.errors import ConfigError
from zoo.tasks.losses import detect, retrieve, sdm
from zoo.tasks.losses.retrieve import Contrastive
from zoo.tasks.losses.sdm import Presence
from zoo.tasks.sdm import SdmOutput

NAN = float("nan")

# --------------------------------------------------------------------------------------------------------- detect


def test_classes_of_candidates_are_summed_by_their_target_scores():
    logits, target = torch.tensor([[0.0, 2.0], [-1.0, 3.0]]), torch.tensor([[0.5, 0.0], [0.0, 0.8]])
    total, count = detect.class_loss(logits, target)
    assert total.item() == pytest.approx(functional.binary_cross_entropy(logits.sigmoid(), target).item() * 4, rel=1e-6)
    assert count.item() == pytest.approx(1.3)


def test_places_count_where_candidates_are_assigned():
    points = torch.tensor([[[1.0, 2.0], [5.0, 5.0], [9.0, 9.0]]], requires_grad=True)
    places = torch.tensor([[[0.0, 0.0], [5.0, 4.0], [0.0, 0.0]]])
    total, count = detect.place_loss(points, places, torch.tensor([[True, True, False]]))
    total.backward()
    assert (total.item(), count.item()) == (6.0, 2)
    assert points.grad.tolist() == [[[2.0, 4.0], [0.0, 2.0], [0.0, 0.0]]]
    nothing, none = detect.place_loss(points, places, torch.zeros(1, 3, dtype=torch.bool))
    assert (nothing.item(), none.item()) == (0, 0)


def test_the_hausdorff_distance_is_the_mean_of_both_ways():
    found = detect.hausdorff(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0]]))
    assert found.item() == pytest.approx(0 + (0 + 5) / 2)


# ------------------------------------------------------------------------------------------------------------ sdm

PROBS = torch.tensor([[0.9, 0.2], [0.4, 0.7]], dtype=torch.float64)
SEEN = torch.tensor([[1.0, 0.0], [NAN, 1.0]], dtype=torch.float64)
WEIGHTS = torch.tensor([4.0, 2.5], dtype=torch.float64)


def minus_log(share):
    return -math.log(share + 1e-5)


def test_the_weighted_loss_is_its_formula():
    total, count = sdm.weighted(PROBS, SEEN, WEIGHTS, absences=0.3)
    expected = 4 * minus_log(0.9) + 0.3 * 2.5 / 1.5 * minus_log(0.8) + 2.5 * minus_log(0.7)
    assert total.item() == pytest.approx(expected, rel=1e-12)
    assert count.item() == 3


def test_weights_are_sites_per_presence():
    found = sdm.species_weights(torch.tensor([20.0, 0.0]), 100)
    assert found.tolist() == pytest.approx([100 / (20 + 1e-5), 1e7], rel=1e-5)
    assert sdm.species_weights(torch.tensor([20.0]), 100, epsilon=0).tolist() == [5.0]


def test_a_species_that_is_everywhere_or_nowhere_stays_finite():
    probs = torch.tensor([[0.9, 0.2]], requires_grad=True)
    weights = sdm.species_weights(torch.tensor([50.0, 0.0]), torch.tensor(50.0))
    total, _ = sdm.weighted(probs, torch.tensor([[1.0, 0.0]]), weights)
    total.backward()
    assert total.item() == pytest.approx(minus_log(0.9) + minus_log(0.8), rel=1e-4)
    assert probs.grad.isfinite().all()


def test_unknown_cells_have_no_gradient():
    logits = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
    for total, _ in (sdm.weighted(logits.sigmoid(), SEEN, WEIGHTS), sdm.cross_entropy(logits, SEEN)):
        (gradient,) = torch.autograd.grad(total, logits, retain_graph=True)
        assert gradient[1, 0] == 0
        assert (gradient != 0).sum() == 3


def test_cross_entropy_is_torchs():
    logits, weight = torch.tensor([[0.3, -1.0], [2.0, 0.5]]), torch.tensor([2.0, 3.0])
    presence = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    total, count = sdm.cross_entropy(logits, presence, weight)
    expected = functional.binary_cross_entropy_with_logits(logits, presence, pos_weight=weight)
    torch.testing.assert_close(total / count, expected)


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(2))

    def forward(self, table):
        return SdmOutput(table + self.shift)


LOGITS = torch.tensor([[1.0, -1.0], [0.5, 2.0], [-2.0, 0.0]])
BATCH = Batch(
    ids=("a", "b", "c"),
    inputs={"table": LOGITS},
    target={"presence": torch.tensor([[1.0, 0.0], [NAN, 1.0], [1.0, 1.0]])},
)


def test_the_objective_weighs_species_by_the_training_data():
    objective = Presence()
    objective.begin(Linear(), Sites(), None)
    assert objective.species_weights.tolist() == pytest.approx([11 / 4, 10 / 10], rel=1e-5)
    terms = objective(Linear(), BATCH, None)
    total, count = sdm.weighted(LOGITS.sigmoid(), BATCH.target["presence"], objective.species_weights)
    assert list(terms) == ["presence"]
    assert (terms["presence"].total.item(), terms["presence"].count.item()) == (total.item(), count.item())
    assert objective.counts(BATCH) == {"presence": 5}


def test_background_points_have_a_term_of_their_own():
    objective = Presence(absences=0.3)
    objective.species_weights = torch.tensor([4.0, 2.5])
    batch = replace(BATCH, target=BATCH.target | {"background": torch.tensor([False, False, True])})
    terms = objective(Linear(), batch, None)
    total, count = sdm.weighted(LOGITS[:2].sigmoid(), BATCH.target["presence"][:2], WEIGHTS.float(), absences=0.3)
    torch.testing.assert_close(terms["presence"].total, total)
    assert terms["presence"].count == count == 3
    expected = minus_log(1 - 1 / (1 + math.exp(2))) + minus_log(0.5)
    assert terms["background"].total.item() == pytest.approx(expected, rel=1e-6)
    assert (terms["background"].count, terms["background"].weight) == (2, 0.7)
    assert {name: float(one) for name, one in objective.counts(batch).items()} == {"presence": 3, "background": 2}


def test_background_points_that_would_weigh_nothing_are_refused():
    batch = replace(BATCH, target=BATCH.target | {"background": torch.tensor([False, False, True])})
    with pytest.raises(ConfigError, match=r"with absences=1 they weigh nothing .*absences=0\.5"):
        Presence(loss="bce")(Linear(), batch, None)


def test_without_background_points_absences_count_in_full():
    objective = Presence(absences=0.3)
    objective.species_weights = torch.tensor([4.0, 2.5])
    terms = objective(Linear(), BATCH, None)
    torch.testing.assert_close(
        terms["presence"].total, sdm.weighted(LOGITS.sigmoid(), BATCH.target["presence"], objective.species_weights)[0]
    )
    assert list(terms) == ["presence"]


def test_plain_cross_entropy_needs_no_statistics():
    objective = Presence(loss="bce", pos_weight=2.0)
    objective.begin(Linear(), None, None)
    term = objective(Linear(), BATCH, None)["presence"]
    total, count = sdm.cross_entropy(LOGITS, BATCH.target["presence"], torch.tensor(2.0))
    assert (term.total.item(), term.count) == (total.item(), count)


def test_a_resumed_run_counts_nothing_anew():
    objective = Presence()
    objective.begin(Linear(), None, {"objective.species_weights": torch.Size([2])})
    objective.load_state_dict({"species_weights": torch.tensor([3.0, 4.0])})
    assert objective.species_weights.tolist() == [3.0, 4.0]


def test_a_reader_may_tell_its_presences():
    class Told(Sites):
        def presences(self):
            return [5, 2], [10, 20]

    objective = Presence(epsilon=0)
    objective.begin(Linear(), Told(), None)
    assert objective.species_weights.tolist() == [2.0, 10.0]


def test_data_without_presences_and_wrong_options_are_refused():
    class Empty(Sites):
        def presences(self):
            return [0, 0], [11, 11]

    with pytest.raises(ConfigError, match="found no presence in the 11 samples"):
        Presence().begin(Linear(), Empty(), None)
    with pytest.raises(ConfigError, match="the loss is 'hinge'; expected weighted or bce"):
        Presence(loss="hinge")
    with pytest.raises(ConfigError, match="absences is 2; expected 0 to 1"):
        Presence(absences=2)


# ------------------------------------------------------------------------------------------------------- retrieve


def test_the_contrastive_loss_is_the_mean_of_both_ways():
    image, text = torch.eye(2), torch.tensor([[0.6, 0.8], [0.0, 1.0]])
    rows = [
        -math.log(math.exp(3 * own) / (math.exp(3 * own) + math.exp(3 * other)))
        for own, other in ((0.6, 0.0), (1.0, 0.8))
    ]
    columns = [
        -math.log(math.exp(3 * own) / (math.exp(3 * own) + math.exp(3 * other)))
        for own, other in ((0.6, 0.8), (1.0, 0.0))
    ]
    assert retrieve.contrastive(image, text, 3.0).item() == pytest.approx(sum(rows + columns) / 4, rel=1e-6)


def test_the_scale_stays_between_one_and_its_limit():
    network = Towers()
    for before, after in ((-1.0, 0.0), (9.0, math.log(100)), (2.0, 2.0)):
        nn.init.constant_(network.logit_scale, before)
        Contrastive().after_step(network, None)
        assert network.logit_scale.item() == pytest.approx(after)


def test_an_image_needs_one_caption():
    batch = Batch(ids=("a",), inputs={"image": torch.ones(1, 7), "text": torch.ones(2, 5)}, target={})
    with pytest.raises(ConfigError, match="a batch gave 1 image vectors and 2 caption vectors"):
        Contrastive()(Towers(), batch, None)
    with pytest.raises(ConfigError, match="max_scale is 0"):
        Contrastive(max_scale=0)
