"""Scores and losses of forecasts, beside scikit-learn's, torch's and cases worked by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch.nn import functional

from zoo.datasets.sample import Batch
from zoo.errors import ConfigError, InputError
from zoo.spec import InputSpec, Kind, Quantity, Variant
from zoo.tasks.losses.forecast import Forecast, binary_cross_entropy
from zoo.tasks.losses.segment import binary_dice, tversky
from zoo.tasks.metrics.forecast import ForecastMetrics
from zoo.tasks.metrics.sums import keys_of, poisson_weights

SUN = Quantity(name="ssr", unit="W m-2", scale=200.0, offset=300.0, low=0.0)
WARMTH = Quantity(name="t2m", unit="K", scale=10.0, offset=280.0)
FIRE = Quantity(name="fire", unit="1", probability=True)
NAN = float("nan")


def variant(*quantities, hours=(0.0,)):
    series = InputSpec(name="stack", kind=Kind.SERIES)
    return Variant(tag="toy", builder="toy:build", inputs=(series,), quantities=quantities, lead_times_h=hours)


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def measured(metric, values, truth, size=100, **more):
    for start in range(0, len(values), size):
        part = slice(start, start + size)
        target = {"values": truth[part], **{name: one[part] for name, one in more.items()}}
        names = [f"{index}.nc" for index in range(len(values))][part]
        metric.update(SimpleNamespace(values=values[part]), target, names)
    return metric.compute()


def value_of(figures):
    return {name: one.value for name, one in figures.items()}


def fires(count=10):
    """Logits with ties and rare fires, some cells unknown."""
    logit = (draws(count, 1, 6, 7) * 3).round() / 3
    truth = (logit + draws(count, 1, 6, 7, seed=1) > 1.5).float()
    truth[draws(count, 1, 6, 7, seed=2) > 1] = NAN
    return logit, truth


# ----------------------------------------------------------------------------------------------------------- metrics


def test_errors_are_in_physical_units_and_output_minus_target():
    values = torch.tensor([[[[0.0, 0.5, -3.0, 1.0]]]])  # 300, 400, -300 which becomes 0, 500
    truth = torch.tensor([[[[310.0, 370.0, 10.0, NAN]]]])  # errors -10, 30, -10
    before = torch.tensor([[[[330.0, 380.0, NAN, 0.0]]]])  # errors of persistence 20, 10
    figures = value_of(measured(ForecastMetrics(variant=variant(SUN)), values, truth, persistence=before))
    assert figures == pytest.approx(
        {
            "mae/ssr": 50 / 3,
            "rmse/ssr": (1100 / 3) ** 0.5,
            "mbe/ssr": 10 / 3,
            "skill/ssr": 1 - (100 + 900) / (400 + 100),  # where both are known
        }
    )


def test_without_persistence_there_is_no_skill():
    figures = measured(ForecastMetrics(variant=variant(SUN)), torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 290.0))
    assert value_of(figures) == {"mae/ssr": 10, "rmse/ssr": 10, "mbe/ssr": 10}


def test_each_quantity_and_lead_time_has_its_own_scores():
    both = variant(SUN, WARMTH, hours=(1.0, 6.0))
    values, truth = torch.zeros(1, 2, 2, 1, 1), torch.tensor([[[301.0, 282.0], [303.0, 284.0]]])[..., None, None]
    figures = value_of(measured(ForecastMetrics(variant=both), values, truth))
    assert {name: one for name, one in figures.items() if name.startswith("mbe")} == {
        "mbe/ssr_1h": -1,
        "mbe/t2m_1h": -2,
        "mbe/ssr_6h": -3,
        "mbe/t2m_6h": -4,
    }


def test_probabilities_are_scored_as_scikit_learn_does():
    logit, truth = fires()
    figures = value_of(measured(ForecastMetrics(variant=variant(FIRE)), logit, truth, size=3))
    known = ~truth.isnan()
    event, chance = truth[known].numpy(), logit[known].sigmoid().numpy()
    said = chance > 0.5
    f1, share = metrics.f1_score(event, said), event.mean()
    by_chance = 2 * share / (1 + share)
    assert figures == pytest.approx(
        {
            "f1/fire": f1,
            "precision/fire": metrics.precision_score(event, said),
            "recall/fire": metrics.recall_score(event, said),
            "iou/fire": metrics.jaccard_score(event, said),
            "accuracy/fire": metrics.accuracy_score(event, said),
            "brier/fire": metrics.brier_score_loss(event, chance),
            "f1_over_chance/fire": (f1 - by_chance) / (1 - by_chance),
            "pr_auc/fire": metrics.average_precision_score(event, chance),
        },
        abs=1e-7,
    )
    assert metrics.f1_score(event, np.ones_like(event)) == pytest.approx(by_chance)


def test_a_logit_of_zero_is_no_event():
    figures = measured(ForecastMetrics(variant=variant(FIRE)), torch.zeros(1, 1, 1, 2), torch.tensor([[[[0.0, 1.0]]]]))
    assert figures["recall/fire"].value == 0
    assert figures["accuracy/fire"].value == 0.5


def test_rankings_are_kept_apart_by_quantity_and_lead_time():
    wind = Quantity(name="storm", unit="1", probability=True)
    several = variant(FIRE, SUN, wind, hours=(1.0, 6.0))
    logit, truth = draws(5, 2, 3, 4, 4), (draws(5, 2, 3, 4, 4, seed=1) > 0).float()
    truth[:, 1, 2, :2] = NAN
    figures = measured(ForecastMetrics(variant=several), logit, truth, size=2)
    for lead, hours in enumerate(("1h", "6h")):
        for index, name in ((0, "fire"), (2, "storm")):
            known = ~truth[:, lead, index].isnan()
            expected = metrics.average_precision_score(
                truth[:, lead, index][known], logit[:, lead, index][known].sigmoid()
            )
            assert figures[f"pr_auc/{name}_{hours}"].value == pytest.approx(expected, abs=1e-12)
    assert not any("pr_auc/ssr" in name for name in figures)


def test_replicates_hold_whole_samples():
    logit, truth = fires()
    metric = ForecastMetrics(variant=variant(FIRE), bootstrap=12)
    measured(metric, logit, truth, size=4)
    for name, score in (("pr_auc", metrics.average_precision_score), ("f1", lambda t, p: metrics.f1_score(t, p > 0.5))):
        drawn = []
        for row in poisson_weights(keys_of([f"{index}.nc" for index in range(10)]), range(12)).long():
            again = torch.arange(10).repeat_interleave(row)
            known = ~truth[again].isnan()
            drawn.append(score(truth[again][known], logit[again][known].sigmoid()))
        assert metric.scores()[f"{name}/fire"][1:].tolist() == pytest.approx(drawn)


def test_strata_are_half_open_bins():
    values, truth = torch.zeros(2, 1, 1, 3), torch.tensor([[[[301.0, 302.0, 304.0]]], [[[308.0, 316.0, NAN]]]])
    height = torch.tensor([[[[0.0, 999.9, 1000.0]]], [[[1999.0, 2000.0, 500.0]]]])
    metric = ForecastMetrics(variant=variant(SUN), strata={"elevation": (0, 1000, 2000)})
    figures = value_of(measured(metric, values, truth, size=1, strata=height))
    assert figures["mbe/ssr"] == -31 / 5
    assert figures["mbe/ssr/elevation 0 to 1000"] == -3 / 2
    assert figures["mbe/ssr/elevation 1000 to 2000"] == -12 / 2
    with pytest.raises(InputError, match="scores are asked for by elevation, and the targets' `strata` are none"):
        measured(metric, values, truth)


def test_strata_can_differ_by_lead_time():
    values, truth = torch.zeros(1, 2, 1, 1, 2), torch.tensor([301.0, 302.0, 304.0, 308.0]).view(1, 2, 1, 1, 2)
    albedo = torch.tensor([0.1, 0.9, 0.9, 0.1]).view(1, 2, 1, 1, 2)
    metric = ForecastMetrics(variant=variant(SUN, hours=(1.0, 2.0)), strata={"albedo": (0, 0.5, 1)})
    figures = value_of(measured(metric, values, truth, strata=albedo))
    assert [figures[f"mbe/ssr_{h}/albedo 0 to 0.5"] for h in ("1h", "2h")] == [-1, -8]


def test_what_does_not_fit_is_named():
    metric = ForecastMetrics(variant=variant(SUN))
    with pytest.raises(InputError, match=r"answers \(1, 1, 1, 4, 4\) and the target is \(1, 1, 1, 5, 4\)"):
        measured(metric, torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 5, 4))
    with pytest.raises(InputError, match=r"answer for 1.nc is not finite \(1 of 2 samples"):
        measured(metric, torch.tensor([0.0, NAN]).view(2, 1, 1, 1), torch.zeros(2, 1, 1, 1))


# ------------------------------------------------------------------------------------------------------------ losses


class Head(torch.nn.Module):
    def forward(self, stack):
        return SimpleNamespace(values=stack)


def batch_of(values, truth):
    return Batch(ids=tuple(map(str, range(len(values)))), inputs={"stack": values}, target={"values": truth})


def test_physical_quantities_are_learnt_in_the_networks_units():
    values = torch.tensor([0.0, 1.0, 0.5, 2.0]).view(1, 2, 1, 2)
    truth = torch.tensor([500.0, NAN, 290.0, 290.0]).view(1, 2, 1, 2)  # 1, unknown; 1, 1: errors -1; -0.5, 1
    objective = Forecast(variant=variant(SUN, WARMTH), mae=0.5)
    terms = objective(Head(), batch_of(values, truth), None)
    found = {name: (one.total.item(), one.count.item(), one.weight) for name, one in terms.items()}
    assert found == {"mse": (2.25, 3, 1.0), "mae": (2.5, 3, 0.5)}
    assert objective.counts(batch_of(values, truth)) == {"mse": 3, "mae": 3}


def test_unknown_cells_give_no_gradient():
    values = torch.zeros(1, 1, 1, 2, requires_grad=True)
    terms = Forecast(variant=variant(SUN))(Head(), batch_of(values, torch.tensor([[[[NAN, 700.0]]]])), None)
    terms["mse"].total.backward()
    assert values.grad.flatten().tolist() == [0, -4]


def test_cross_entropy_is_that_of_two_classes():
    logit, truth = fires()
    known = ~truth.isnan()
    two = torch.stack([torch.zeros_like(logit[known]), logit[known]], dim=1)
    for smoothing in (0.0, 0.1):
        expected = functional.cross_entropy(
            two, truth[known].long(), weight=torch.tensor([1.0, 6.7]), label_smoothing=smoothing
        )
        total, count = binary_cross_entropy(logit, truth, pos_weight=6.7, smoothing=smoothing)
        assert (total / count).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_objective_of_probabilities_combines_losses():
    logit, truth = fires()
    known = ~truth.isnan()
    objective = Forecast(
        variant=variant(FIRE), bce=0.5, dice=0.25, tversky=2.0, pos_weight=3.0, dice_smoothing=0.1, tversky_gamma=0.75
    )
    terms = objective(Head(), batch_of(logit, truth), None)
    p, t = logit[known].sigmoid(), truth[known]
    assert terms["dice"].total.item() == pytest.approx(binary_dice(p, t, smoothing=0.1).item())
    assert terms["tversky"].total.item() == pytest.approx(tversky(p, t, gamma=0.75).item())
    assert {name: one.weight for name, one in terms.items()} == {"bce": 0.5, "dice": 0.25, "tversky": 2.0}
    assert set(objective.counts(batch_of(logit, truth))) == {"bce"}
    assert objective.counts(batch_of(logit, truth))["bce"].item() == pytest.approx((1 + 2 * t).sum().item())
    assert terms["bce"].count.item() == pytest.approx((1 + 2 * t).sum().item())


def test_an_objective_with_nothing_to_learn_is_refused():
    with pytest.raises(ConfigError, match="have the weight 0"):
        Forecast(variant=variant(FIRE), bce=0.0)
    with pytest.raises(ConfigError, match="needs the variant"):
        Forecast()
    with pytest.raises(InputError, match="expected both to be"):
        Forecast(variant=variant(SUN, FIRE))(Head(), batch_of(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)), None)
