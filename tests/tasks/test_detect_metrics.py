"""Points and counts against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from shared_work import variant

from zoo.errors import ConfigError, InputError
from zoo.tasks.detect import DetectOutput
from zoo.tasks.metrics.detect import DetectMetrics
from zoo.tasks.metrics.points import CONFIDENCES, at_confidences, average_precision, best_of, confusion, matches

# Two things of radius 10; answers, best first: 3 px off the first, 1 px off the first, 5 px off the second, astray.
PLACES = np.array([[0.0, 0.0], [100.0, 0.0]])
ANSWERS = np.array([[3.0, 0.0], [1.0, 0.0], [100.0, 5.0], [50.0, 50.0]])
SCORES = (0.9, 0.8, 0.7, 0.6)
ZERO = np.zeros(4, np.int64)


def right(classes=ZERO, places=PLACES, radius=10.0):
    return matches(ANSWERS, classes, places, ZERO[: len(places)], np.full(len(places), radius))


# ------------------------------------------------------------------------------------------------ which are right


def test_of_answers_for_one_thing_the_best_scored_within_the_threshold_is_right():
    found = right()
    assert found.shape == (4, 10)
    assert found[:, 0].tolist() == [True, False, True, False]  # DoR 1
    assert found[:, 6].tolist() == [True, False, False, False]  # .4
    assert found[:, 7].tolist() == [False, True, False, False]  # .3 + 1e-7 is beyond .3
    assert found[:, 8].tolist() == [False, True, False, False]  # .2
    assert not found[:, 9].any()  # .1 + 1e-7 is beyond .1


def test_another_class_is_never_right():
    assert right(classes=np.array([1, 0, 1, 0]))[:, 0].tolist() == [False, True, False, False]


def test_a_larger_radius_is_more_lenient():
    assert right(radius=60.0)[:, 9].tolist() == [True, False, True, False]


def test_an_answer_that_lost_its_thing_is_not_offered_another():
    places = np.array([[0.0, 0.0], [4.0, 0.0]])
    found = matches(np.array([[1.0, 0.0], [1.5, 0.0]]), ZERO[:2], places, ZERO[:2], np.full(2, 10.0))
    assert found[:, 0].tolist() == [True, False]


def test_nothing_is_right_where_nothing_is():
    assert right(places=np.zeros((0, 2))).sum() == 0
    assert matches(np.zeros((0, 2)), ZERO[:0], PLACES, ZERO[:2], np.full(2, 1.0)).shape == (0, 10)


# --------------------------------------------------------------------------------------------------------- ranking


def test_average_precision_is_the_area_by_101_trapezoids():
    found = average_precision(right(), 2, np.ones(4))
    # Recall .5 at precision 1, recall 1 at precision 2/3: 50 grid points at 1, 50 at 2/3, the last at 0.
    assert found[0] == pytest.approx(0.01 * (50 + 50 * 2 / 3 - 0.5), abs=1e-12)
    # At DoR .2 the second alone is right: 50 points at 1/2, then from 1/4 straight down to 0.
    assert found[8] == pytest.approx(0.01 * (25 + 51 * 0.125 - 0.25), abs=1e-12)
    assert found[9] == 0


def test_an_answer_of_weight_two_counts_as_two():
    doubled = average_precision(np.repeat(right(), 2, axis=0), 4, np.ones(8))
    np.testing.assert_allclose(average_precision(right(), 4, np.full(4, 2.0))[0], doubled[0], atol=0.02)
    np.testing.assert_allclose(
        average_precision(right(), 2, np.full(4, 2.0) / 2), average_precision(right(), 2, np.ones(4))
    )


def test_precision_and_recall_are_read_between_confidences():
    precision, recall = at_confidences(np.array(SCORES), right()[:, 0].astype(float), 2, np.ones(4))
    at = np.abs(CONFIDENCES - 0.75).argmin()
    assert precision[at] == pytest.approx((1 / 2 + 2 / 3) / 2, abs=2e-3)
    assert recall[at] == pytest.approx(0.75, abs=3e-3)
    assert (precision[-1], recall[-1]) == (1, 0)  # above the highest confidence
    assert (precision[0], recall[0]) == (0.5, 1)
    assert at_confidences(np.zeros(0), np.zeros(0), 2, np.zeros(0)).sum() == 0


def test_the_best_confidence_is_that_of_the_smoothed_f1():
    curves = np.zeros((2, 2, 1000))
    curves[:, :, 300:600] = 0.5
    curves[:, :, 900] = 1.0  # a spike is smoothed away
    assert best_of(curves) == (0.5, 0.5, 0.5)


def test_confusion_takes_the_nearest_whatever_its_class():
    classes = np.array([1, 0, 0, 1])
    table = confusion(ANSWERS, classes, PLACES, ZERO[:2], np.full(2, 10.0), dor=0.6, num_classes=2)
    assert table.tolist() == [[2, 0, 0], [0, 0, 2], [0, 0, 0]]
    table = confusion(ANSWERS, classes, PLACES, ZERO[:2], np.full(2, 10.0), dor=0.3, num_classes=2)
    assert table.tolist() == [[1, 0, 1], [0, 0, 2], [1, 0, 0]]
    table = confusion(ANSWERS, classes, PLACES, ZERO[:2], np.full(2, 1e-3), dor=0.3, num_classes=2)
    assert table.tolist() == [[0, 0, 0], [0, 0, 0], [2, 0, 0]]  # none is taken: those astray are not counted
    for empty, astray in ((False, 0), (True, 2)):
        nothing = (np.zeros((0, 2)), ZERO[:0], np.zeros(0))
        table = confusion(ANSWERS, classes, *nothing, dor=0.3, num_classes=2, empty_images=empty)
        assert table[:, 2].tolist() == [astray, astray, 0]


# ------------------------------------------------------------------------------------------------------ the metric

TOY = variant("bird", "seal", radii_px={"bird": 10.0, "seal": 20.0})
IDS = ("one", "two")


def output():
    """Image one: the answers above, as birds. Image two: a seal that is one, and a seal where nothing is."""
    points = torch.tensor(np.stack([ANSWERS, [[200, 200], [10, 10], [0, 0], [0, 0]]]), dtype=torch.float32)
    scores = torch.zeros(2, 4, 2)
    scores[0, :, 0] = torch.tensor(SCORES)
    scores[1, :2, 1] = torch.tensor([0.95, 0.2])
    return DetectOutput(points_px=points, scores=scores)


def target():
    places = (torch.tensor(PLACES), torch.tensor([[205.0, 200.0]], dtype=torch.float64))
    return {"points_px": places, "point_classes": (torch.tensor([0, 0]), torch.tensor([1]))}


def metric_of(options=None, batches=((0, 1),), chosen=TOY, told=None):
    metric, told = DetectMetrics(variant=chosen, dor=0.0, **(options or {})), told or target()
    for rows in batches:
        some = DetectOutput(output().points_px[list(rows)], output().scores[list(rows)])
        metric.update(
            some, {name: tuple(one[row] for row in rows) for name, one in told.items()}, [IDS[row] for row in rows]
        )
    return metric


def test_figures_of_two_images():
    figures = {name: one.value for name, one in metric_of().compute().items()}
    bird = 0.01 * (50 + 50 * 2 / 3 - 0.5)
    seal = 0.995  # right, then wrong: 100 grid points at 1, the last at 0
    assert figures["ap100/bird"] == pytest.approx(bird)
    assert figures["ap100/seal"] == pytest.approx(seal)
    assert figures["map100"] == pytest.approx((bird + seal) / 2)
    # Seal: DoR .25, right at 1 ... .3. Birds: as above at 1 ... .6; without the second thing at .5 ... .3.
    assert figures["ap100-10/seal"] == pytest.approx(0.8 * seal)
    assert figures["fitness"] == pytest.approx(0.1 * figures["map100"] + 0.9 * figures["map100-10"])
    assert figures["fitness"] < figures["map100"] - 0.1  # what is exact counts most
    # Birds answer 4 for 2, seals 1 for 1 (0.2 is not above 0.25).
    assert figures["count_mae"] == 1.0  # 2 and 0
    assert figures["count_rmse"] == pytest.approx(2**0.5)
    assert figures["count_bias"] == 1.0
    assert figures["count_bias/seal"] == 0.0
    assert figures["count_r2"] == pytest.approx(1 - 4 / 0.5)  # true 2 and 1: spread .5
    assert figures["count_r2/seal"] == 1.0


def test_confusion_of_two_images():
    # dor 0 is never closer: nothing matches, so that answers astray are not counted either
    assert metric_of().confusion.tolist() == [[0, 0, 2], [0, 0, 1], [0, 0, 0]]
    metric = DetectMetrics(variant=TOY, dor=0.3)
    metric.update(output(), target(), IDS)
    # of the birds near (0, 0) suppression leaves the best; at exactly .3 + 1e-7 radii it is not closer than .3
    assert metric.confusion.tolist() == [[0, 0, 2], [0, 1, 0], [0, 0, 0]]


def test_suppression_comes_first():
    metric = DetectMetrics(variant=TOY, dor=0.3)
    metric.update(output(), target(), IDS)
    assert metric.compute()["count_bias/bird"].value == 0.5  # 3 for 2, of two images


def test_radii_of_the_data_come_before_the_variants():
    told = target() | {"radii_px": (torch.full((2,), 3.0), torch.tensor([6.0]))}
    assert metric_of(told=told).compute()["ap100/bird"].value == pytest.approx(0.31125)  # only 1 px off is near
    assert metric_of(chosen=variant("bird", "seal"), told=told).compute()["ap100/seal"].value == pytest.approx(0.995)


def test_order_and_batches_change_nothing():
    whole = metric_of({"bootstrap": 20}).compute()
    assert metric_of({"bootstrap": 20}, batches=((1,), (0,))).compute() == whole
    assert whole["map100"].low <= whole["map100"].value <= whole["map100"].high


def test_the_best_answers_of_an_image_are_ranked_and_all_are_counted():
    figures = metric_of({"max_answers": 1}).compute()
    assert figures["ap100/bird"].value == pytest.approx(0.01 * (50 + 51 * 0.5 - 0.5), abs=0.01)
    assert figures["count_bias"].value == 1.0


def test_a_class_without_things_is_left_out():
    told = target() | {"point_classes": (torch.tensor([0, 0]), torch.tensor([0]))}
    figures = metric_of(told=told).compute()
    assert "ap100/seal" not in figures
    assert figures["map100"] == figures["ap100/bird"]


def test_without_answers_the_scores_are_zero():
    metric = DetectMetrics(variant=TOY)
    metric.update(DetectOutput(output().points_px, torch.zeros(2, 4, 2)), target(), IDS)
    figures = metric.compute()
    assert [figures[name].value for name in ("map100", "precision", "recall", "f1")] == [0, 0, 0, 0]
    assert figures["count_mae"].value == 1.5


def test_what_does_not_fit_is_refused():
    told = target() | {"point_classes": (torch.tensor([0, 2]), torch.tensor([0]))}
    with pytest.raises(
        InputError, match=r"one has things of class 0 \.\.\. 2; toy has 2 classes, 0 \.\.\. 1: bird, seal"
    ):
        metric_of(told=told)
    with pytest.raises(InputError, match="one has no radii_px"):
        metric_of(chosen=variant("bird", "seal"))
    with pytest.raises(ConfigError, match=r"least_score is 0\.5 and min_score 0\.25"):
        DetectMetrics(variant=TOY, least_score=0.5)
