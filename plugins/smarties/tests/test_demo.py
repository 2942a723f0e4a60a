"""The demo weights tell land cover in worlds they never saw, better than what needs no training."""

import hashlib
import importlib.util
import re
import sys
from pathlib import Path

import pytest
from zoo_smarties.variants import DEMO

import zoo

SCRIPT = Path(__file__).parents[3] / "tools/train_smarties_demo.py"
CARD = SCRIPT.parents[1] / "cards/smarties.md"
GALLERY, HELD_OUT = 11, 12  # seeds of worlds that served neither training nor the choice of the recipe
NUM_GALLERY, NUM_HELD_OUT = 500, 300
# Half of what the recipe reached over the best baseline; Sentinel-2's spectra alone nearly tell the cover, and there the
# weights are held to the mean of each band.
MARGIN = {"S1": 0.05, "RGB": 0.06}
MARGIN_OVER_MEANS = 0.055
ACROSS = 0.28
PAIRS = [("S1", "S2-L2A"), ("RGB", "S2-L2A"), ("RGB", "S1")]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("train_smarties_demo", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def chips(tool):
    """label -> (gallery, held-out chips), of worlds apart."""
    return {
        label: tuple(
            tool.prepared(label, seed, num, tool.DEMO_SIZE)
            for seed, num in ((GALLERY, NUM_GALLERY), (HELD_OUT, NUM_HELD_OUT))
        )
        for label in tool.LOOKS
    }


@pytest.fixture(scope="module")
def shipped():
    return zoo.load("smarties@demo", device="cpu").module


@pytest.fixture(scope="module")
def accuracies(tool, chips, shipped):
    """label -> what the shipped weights and the baselines reach."""
    return {label: tool.measure(shipped, label, *chips[label]) for label in tool.LOOKS}


def across(tool, chips, network, one, other):
    """Accuracy of chips of the sensor `one` among those of the sensor `other`."""
    gallery, asked = chips[other][0], chips[one][1]
    return tool.knn_accuracy(tool.embedded(network, other, gallery), gallery, tool.embedded(network, one, asked), asked)


def best_baseline(found):
    return max(found.random_weights, found.band_means, found.band_means_and_deviations, found.majority_class)


@pytest.mark.parametrize("label", MARGIN)
def test_embeddings_beat_raw_numbers_and_random_weights(accuracies, label):
    found = accuracies[label]
    assert found.embedding >= best_baseline(found) + MARGIN[label], found


def test_embeddings_of_sentinel2_beat_mean_reflectances(accuracies):
    found = accuracies["S2-L2A"]
    assert found.embedding >= max(found.band_means, found.majority_class) + MARGIN_OVER_MEANS, found


@pytest.mark.parametrize("label", MARGIN)
def test_random_weights_do_not_pass(tool, chips, label):
    found = tool.measure(zoo.build("smarties@demo", seed=3, device="cpu").module, label, *chips[label])
    assert found.embedding < best_baseline(found) + MARGIN[label], found


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_chips_of_one_sensor_are_found_among_those_of_another(tool, chips, shipped, one, other):
    found = across(tool, chips, shipped, one, other)
    assert found >= across(tool, chips, tool.untrained(), one, other) + ACROSS


def test_the_card_reports_what_is_measured(tool, chips, shipped, accuracies):
    rows = re.findall(r"^\| ([\w-]+) \| ([\w-]+) \| (0\..*) \|$", CARD.read_text(), re.MULTILINE)
    assert [row[:2] for row in rows] == [*((label, label) for label in tool.LOOKS), *PAIRS]
    for asked, gallery, cells in rows:
        if asked == gallery:
            found = [getattr(accuracies[asked], name) for name in tool.Accuracies.__dataclass_fields__]
        else:
            found = [across(tool, chips, network, asked, gallery) for network in (shipped, tool.untrained())]
        told = [float(cell) for cell in cells.split("|") if cell.strip()]
        assert told == pytest.approx(found, abs=0.02), (asked, gallery)  # ours: six chips, for other processors


def test_the_file_is_small_and_pinned():
    assert DEMO.demo
    assert DEMO.weights.size <= 2_000_000
    content = (SCRIPT.parents[1] / "plugins/smarties/zoo_smarties/demo.safetensors").read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (DEMO.weights.size, DEMO.weights.sha256)
