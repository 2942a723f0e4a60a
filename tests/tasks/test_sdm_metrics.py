"""Scores of species against scikit-learn and against their definitions, written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from shared_work import plain, variant
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score, roc_curve

from zoo.errors import ConfigError, InputError
from zoo.tasks.metrics.ranks import auc, boyce, windows, within
from zoo.tasks.metrics.sdm import THRESHOLDS, SdmMetrics, lower_median
from zoo.tasks.sdm import SdmOutput

SITES, SPECIES = 60, 7
NEVER, EVERYWHERE, CONSTANT = 2, 3, 4
IDS = [f"site {index}" for index in range(SITES)]
TOY = variant(*"abcdefg")


@pytest.fixture(scope="module")
def data():
    """Logits with many ties; a species that is nowhere, one that is everywhere, one of which all is said alike; gaps."""
    draw = np.random.default_rng(0)
    presence = (draw.random((SITES, SPECIES)) < 0.3).astype(np.float32)
    presence[:, NEVER], presence[:, EVERYWHERE] = 0, 1
    logits = np.round(draw.normal(size=(SITES, SPECIES)) + presence, 1).astype(np.float32)
    logits[:, CONSTANT] = 0.5
    presence[draw.random((SITES, SPECIES)) < 0.1] = np.nan
    presence[5] = np.nan
    return torch.from_numpy(logits), torch.from_numpy(presence)


def measured(data, batch=SITES, order=None, **options):
    logits, presence = data
    rows = list(range(SITES)) if order is None else order
    metric = SdmMetrics(variant=TOY, **options)
    for start in range(0, SITES, batch):
        some = rows[start : start + batch]
        metric.update(SdmOutput(logits[some]), {"presence": presence[some]}, [IDS[row] for row in some])
    return metric.compute(), metric


def species(data):
    """Truth and score of each species that has presences and absences, at its known sites."""
    logits, presence = (one.numpy() for one in data)
    for index in range(SPECIES):
        known = np.isfinite(presence[:, index])
        if 0 < presence[known, index].sum() < known.sum():
            yield index, presence[known, index], logits[known, index]


def test_scores_of_species_are_scikit_learns(data):
    figures, metric = measured(data)
    for index, truth, score in species(data):
        of = {name: values[index] for name, values in metric.by_species.items()}
        assert of["auc"] == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
        assert of["average_precision"] == pytest.approx(average_precision_score(truth, score), abs=1e-12)
        false, true, thresholds = roc_curve(truth, score, drop_intermediate=False)
        assert of["tss"] == pytest.approx((true - false).max(), abs=1e-12)
        assert (true - false)[thresholds == of["tss_threshold"]] == pytest.approx(of["tss"])
        assert (of["presences"], of["absences"]) == (truth.sum(), (1 - truth).sum())
    assert metric.by_species["auc"][CONSTANT] == 0.5
    areas = [roc_auc_score(truth, score) for _, truth, score in species(data)]
    assert figures["auc_mean"].value == pytest.approx(np.mean([*areas, 0.5]))  # of the species that is everywhere
    assert figures["species"].value == SPECIES - 1
    assert figures["average_precision"].value == pytest.approx(
        np.mean([average_precision_score(truth, score) for _, truth, score in species(data)])
    )


def test_a_species_without_absence_is_half_or_left_out(data):
    areas = [roc_auc_score(truth, score) for _, truth, score in species(data)]
    assert measured(data)[1].by_species["auc"][EVERYWHERE] == 0.5
    figures, metric = measured(data, no_absence="left out")
    assert figures["auc_mean"].value == pytest.approx(np.mean(areas))
    boyce_of = metric.by_species["boyce"]
    assert np.isnan(boyce_of[EVERYWHERE])
    assert figures["boyce"].value == pytest.approx(np.nanmean(boyce_of[np.arange(SPECIES) != NEVER]))


def test_a_site_without_absence_is_half_or_left_out():
    logits = torch.tensor([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    presence = torch.tensor([[1.0, 0.0, 0.0], [1.0, torch.nan, torch.nan]])
    for no_absence, expected in (("half", 0.75), ("left out", 1.0)):
        metric = SdmMetrics(variant=variant(*"abc"), no_absence=no_absence)
        metric.update(SdmOutput(logits), {"presence": presence}, ["p", "q"])
        assert metric.compute()["site_auc_mean"].value == expected


def test_the_median_of_an_even_number_of_species(data):
    areas = sorted([roc_auc_score(truth, score) for _, truth, score in species(data)] + [0.5])
    assert len(areas) == 6
    assert measured(data)[0]["auc_median"].value == pytest.approx((areas[2] + areas[3]) / 2)
    assert measured(data, median="lower")[0]["auc_median"].value == pytest.approx(areas[2])
    assert lower_median(np.array([3.0, 1.0, 2.0])) == 2.0


def test_the_species_asked_for_are_scored(data):
    figures, _ = measured(data, species=["f", "a"])
    areas = {index: roc_auc_score(truth, score) for index, truth, score in species(data)}
    assert figures["auc_mean"].value == pytest.approx((areas[0] + areas[5]) / 2)
    assert figures["auc/f"].value == pytest.approx(areas[5])
    assert "auc/b" not in figures
    with pytest.raises(ConfigError, match="no species 'h'"):
        SdmMetrics(variant=TOY, species=["h"])


@pytest.mark.parametrize("background", ["sites", "absences"])
def test_the_boyce_index_is_its_definition(data, background):
    """A window of a tenth of the range, in 100 steps; the last of equal ratios in a row; Spearman with the window."""
    _, metric = measured(data, background=background)
    for index, truth, score in species(data):
        if index == CONSTANT:
            continue
        probs = 1 / (1 + np.exp(-score.astype(np.float64)))
        behind = probs if background == "sites" else probs[truth == 0]
        low, width = probs.min(), np.ptp(probs) / 10
        starts = np.linspace(low, probs.max() - width, 101)
        ratios = []
        for start in starts:
            end = probs.max() if start == starts[-1] else start + width
            inside = [np.mean((one >= start) & (one <= end)) for one in (probs[truth == 1], behind)]
            if any(inside):
                ratios.append(round(inside[0] / inside[1], 10) if inside[1] else np.inf)
        kept = [one for one, after in zip(ratios, [*ratios[1:], None], strict=True) if one != after]
        expected = spearmanr(range(len(kept)), kept).statistic
        assert metric.by_species["boyce"][index] == pytest.approx(expected, abs=1e-9)


def test_the_boyce_index_of_known_models():
    suitability = np.linspace(0, 1, 1001)
    ends = windows(0.0, 1.0)
    everywhere = within(suitability, *ends)
    good, bad = within(np.sqrt(suitability), *ends), within(1 - np.sqrt(suitability)[::-1], *ends)
    assert boyce(good, everywhere) > 0.95  # presences the denser, the more suitable
    assert boyce(bad, everywhere) < -0.95
    assert boyce(everywhere, everywhere) == 0.0
    assert np.isnan(boyce(everywhere * 0, everywhere))


def test_auc_of_nothing_is_half():
    assert auc(np.array([1.0]), np.zeros(0)) == 0.5
    assert auc(np.array([1.0, 2.0]), np.array([1.0, 0.0])) == 0.875


def test_scores_of_sites_are_those_of_their_sets(data):
    figures, _ = measured(data)
    logits, presence = data
    probs, truth = logits.sigmoid().double().numpy(), presence.numpy()
    by_threshold = []
    for threshold in [*THRESHOLDS, 0.5]:
        values = []
        for row in range(SITES):
            known = np.isfinite(truth[row])
            if known.any():
                values.append(f1_score(truth[row, known], probs[row, known] > threshold, zero_division=0))
        by_threshold.append(np.mean(values))
    best = int(np.argmax(by_threshold[:-1]))
    assert figures["site_f1"].value == pytest.approx(by_threshold[best], abs=1e-12)
    assert figures["site_f1_threshold"].value == THRESHOLDS[best]
    assert figures["site_f1_50"].value == pytest.approx(by_threshold[-1], abs=1e-12)

    areas = []
    for row in range(SITES):
        known = np.isfinite(truth[row])
        present = truth[row, known].sum()
        if present:
            whole = present == known.sum()
            areas.append(0.5 if whole else roc_auc_score(truth[row, known], logits[row].numpy()[known]))
    assert figures["site_auc_mean"].value == pytest.approx(np.mean(areas))
    assert figures["site_auc_median"].value == pytest.approx(np.median(areas))


def test_a_probability_on_the_threshold_is_not_above_it():
    metric = SdmMetrics(variant=variant("a", "b"))
    metric.update(SdmOutput(torch.tensor([[0.0, -9.0]])), {"presence": torch.tensor([[1.0, 0.0]])}, ["here"])
    figures = metric.compute()
    assert figures["site_f1_50"].value == 0.0
    assert figures["site_f1"].value == 1.0


def test_calibration_compares_probability_and_frequency():
    metric = SdmMetrics(variant=variant("a", "b"))
    logits = torch.logit(torch.tensor([[0.75, 0.25], [0.75, 0.25], [0.75, 1.0 - 1e-6], [0.75, 0.25]]))
    presence = torch.tensor([[1.0, 0.0], [1.0, torch.nan], [0.0, 1.0], [0.0, 1.0]])
    metric.update(SdmOutput(logits), {"presence": presence}, list("wxyz"))
    cells, probs, share = metric.calibration()
    assert cells.tolist() == [0, 0, 2, 0, 0, 0, 0, 4, 0, 1]
    assert (share[[2, 7, 9]]).tolist() == [0.5, 0.5, 1.0]
    assert probs[[2, 7]].tolist() == pytest.approx([0.25, 0.75])
    assert metric.compute()["calibration_error"].value == pytest.approx((2 * 0.25 + 4 * 0.25) / 7, abs=1e-6)


def test_order_and_batches_change_nothing(data):
    whole, _ = measured(data, bootstrap=30)
    other, _ = measured(data, batch=7, order=np.random.default_rng(1).permutation(SITES).tolist(), bootstrap=30)
    assert plain(other) == pytest.approx(plain(whole), rel=1e-12)
    assert whole["auc_mean"].low < whole["auc_mean"].value < whole["auc_mean"].high
    assert whole["site_f1"].low < whole["site_f1"].value < whole["site_f1"].high


def test_a_reset_metric_begins_anew(data):
    first, metric = measured(data)
    metric.reset()
    metric.update(SdmOutput(data[0]), {"presence": data[1]}, IDS)
    assert metric.compute() == first


def test_what_does_not_fit_is_refused():
    metric = SdmMetrics(variant=TOY)
    with pytest.raises(InputError, match="found scores of 7 species and presences of 6; toy has 7"):
        metric.update(SdmOutput(torch.zeros(1, 7)), {"presence": torch.zeros(1, 6)}, ["a"])
    broken = torch.tensor([[0.0] * 7, [torch.nan] * 7])
    with pytest.raises(InputError, match="scores of b are not finite"):
        metric.update(SdmOutput(broken), {"presence": torch.zeros(2, 7)}, ["a", "b"])


def test_a_single_species_is_scored_as_one_of_many():
    logits = torch.tensor([[0.2], [-1.0], [1.5], [0.1]])
    presence = torch.tensor([[1.0], [0.0], [1.0], [0.0]])
    metric = SdmMetrics(variant=variant("a"))
    metric.update(SdmOutput(logits), {"presence": presence}, IDS[:4])
    figures = metric.compute()
    assert figures["auc_mean"].value == 1.0
    assert not [name for name in figures if name.startswith("site_")]  # one species is no list of a site
    errors = 1 / (1 + np.exp(-logits[:, 0].numpy())) - presence[:, 0].numpy()
    in_bins = abs(errors[0] + errors[3]) + abs(errors[1]) + abs(errors[2])  # two probabilities are between 0.5 and 0.6
    assert figures["calibration_error"].value == pytest.approx(in_bins / 4, abs=1e-6)
    table = metric.tables["species"]
    assert {name: column[0] for name, column in table.items() if name != "threshold"} == {
        "species": "a",
        "presences": 2,
        "absences": 2,
        "auc": 1.0,
        "average_precision": 1.0,
        "boyce": pytest.approx(1.0),
        "tss": 1.0,
    }
    assert table["threshold"] == [pytest.approx(1 / (1 + np.exp(-0.2)), abs=1e-6)]
