"""What is measured: against scikit-learn, the protocols' own functions, and cases worked by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from listed import Listed, chips, encoder
from seeing_toys import model_of
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score
from toy_forecast import forecaster
from toy_retriever import COLOURS, retriever
from toy_species import species_model

from zoo.datasets.blocks import block_folds
from zoo.datasets.sample import IGNORED
from zoo.errors import ConfigError, InputError, ZooWarning
from zoo.evaluation.measure import measure
from zoo.evaluation.protocols import Judging, few, fit_dense_probe, fit_probe, knn_votes
from zoo.evaluation.spatial import measure_folds

ABC = ("a", "b", "c")


def vectors(num: int, seed: int, width: int = 6):
    """Features (N, D) that tell three classes apart, mostly."""
    draw = np.random.default_rng(seed)
    label = draw.integers(0, 3, num)
    feature = np.random.default_rng(5).normal(size=(3, width))[label] + 1.2 * draw.normal(size=(num, width))
    return torch.tensor(feature, dtype=torch.float32), torch.tensor(label)


def labelled(num: int, seed: int, prefix: str = "test", several: bool = False) -> Listed:
    feature, label = vectors(num, seed)
    told = torch.stack([label == 0, label >= 1, feature[:, 0] > 0], 1).float() if several else label
    return Listed(chips(feature), [{"label": one} for one in told], classes=ABC, prefix=prefix)


# ---------------------------------------------------------------------------------------------------------------- head


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_a_head_is_scored_as_scikit_learn_does(batch_size):
    feature, label = vectors(30, 1)
    found = measure(encoder(ABC), labelled(30, 1), batch_size=batch_size)
    predicted = feature[:, :3].argmax(1)
    assert found.values["accuracy"] == accuracy_score(label, predicted)
    assert found.values["macro_f1"] == pytest.approx(f1_score(label, predicted, average="macro"), abs=1e-12)
    assert found.num_samples == 30
    assert set(found.per_class) == set(ABC)


def test_several_labels_are_scored_by_average_precision():
    feature, _ = vectors(30, 1)
    reader = labelled(30, 1, several=True)
    truth = torch.stack([reader.sample(index).target["label"] for index in range(30)])
    found = measure(encoder(ABC, multi_label=True), reader)
    expected = average_precision_score(truth.flatten(), feature[:, :3].sigmoid().flatten())
    assert found.values["micro_map"] == pytest.approx(expected, abs=1e-12)


def test_class_maps_are_scored_by_their_pixels():
    image = torch.zeros(2, 3, 4, 4)
    image[0, 0], image[1, 2] = 1.0, 1.0  # all red, all blue
    label = torch.full((2, 4, 4), 1)
    label[1], label[0, 0], label[1, 0, 0] = 3, 2, IGNORED  # a row of the red is told to be green, a pixel nothing
    model = model_of("strongest")
    found = measure(model, Listed(image, [{"label": one} for one in label], classes=model.variant.classes))
    assert found.values["accuracy"] == pytest.approx(27 / 31)
    assert found.values["miou"] == pytest.approx((12 / 16 + 0 + 1) / 3)
    assert found.per_class["red"]["iou"].value == pytest.approx(12 / 16)


def test_points_are_found_and_counted():
    image = torch.zeros(2, 3, 16, 16)
    image[0, 0, 3, 5] = image[1, 2, 8, 8] = 1.0
    image[0, 0, 12, 12] = 0.8
    empty = torch.zeros(0)
    targets = [
        {"points_px": torch.tensor([[6.0, 3.5]]).double(), "point_classes": torch.tensor([0])},
        {"points_px": empty.reshape(0, 2).double(), "point_classes": empty.long()},
    ]
    found = measure(model_of("brightest"), Listed(image, targets, classes=("red", "blue"))).values
    assert found["count_mae"] == pytest.approx(1.0)  # one red and one blue too many, in an image each
    assert found["count_bias"] == pytest.approx(1.0)
    assert found["ap100/red"] == pytest.approx(0.995, abs=1e-6)  # the right one is the surer, 101 points of recall
    assert found["count_mae/red"] == pytest.approx(0.5)


def test_forecasts_are_compared_with_persistence():
    model = forecaster()
    series = torch.randn(3, 3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    warmth = 280 + 10 * series[:, -1, 0]
    truth = torch.stack([warmth + 2, (series[:, -1, 0] < 0).float()], 1)
    before = torch.stack([warmth + 6, torch.zeros_like(warmth)], 1)
    targets = [{"values": one, "persistence": two} for one, two in zip(truth, before, strict=True)]
    reader = Listed(series, targets, name="weather")
    made = reader.sample
    reader.sample = lambda index, _=None: _timed(made(index))
    found = measure(model, reader).values
    assert found["rmse/t2m"] == pytest.approx(2, abs=1e-4)
    assert found["skill/t2m"] == pytest.approx(1 - 4 / 16, abs=1e-4)
    assert found["f1/frost"] == 1.0


def _timed(sample):
    steps = sample.inputs["weather"]
    return replace(
        sample,
        valid={"weather": torch.ones_like(steps, dtype=torch.bool)},
        times={"weather": torch.arange(3).double()},
    )


def sites(num: int = 40):
    draw = torch.Generator().manual_seed(0)
    climate = torch.randn(num, 2, generator=draw)
    logits = torch.stack([-climate[:, 0], climate[:, 0], climate[:, 1]], 1)
    presence = (torch.rand(num, 3, generator=draw) < logits.sigmoid()).float()
    places = [(10.0 * (index % 4), 45.0 + 0.01 * (index // 4)) for index in range(num)]
    reader = Listed(
        climate,
        [{"presence": one} for one in presence],
        name="climate",
        classes=species_model().variant.classes,
        places=places,
    )
    return reader, logits, presence


def test_species_are_scored_by_the_area_under_the_curve_in_all_and_in_each_fold():
    reader, logits, presence = sites()
    found = measure_folds(species_model(), reader, folds=2, block_km=100.0, batch_size=16)
    areas = [roc_auc_score(presence[:, index], logits[:, index]) for index in range(3)]
    assert found.values["auc_mean"] == pytest.approx(np.mean(areas), abs=1e-9)
    assert found.num_samples == 40
    places = np.array([reader.sample(index).place for index in range(40)])
    for value, rows in zip(found.folds["auc_mean"], block_folds(places, folds=2, block_km=100.0), strict=True):
        areas = [roc_auc_score(presence[rows, index], logits[rows, index]) for index in range(3)]
        assert value == pytest.approx(np.mean(areas), abs=1e-9)
    told = json.loads(found.to_json())["folds"]["auc_mean"]
    assert told["mean"] == pytest.approx(np.mean(found.folds["auc_mean"]), rel=1e-8)
    assert told["std"] == pytest.approx(np.std(found.folds["auc_mean"], ddof=1), rel=1e-8)


def test_folds_need_places():
    reader = labelled(6, 0)
    with pytest.raises(InputError, match="sample test-0 has no place"):
        measure_folds(encoder(ABC), reader, folds=2, block_km=10)


def test_captions_find_their_images():
    image = torch.zeros(3, 3, 8, 8)
    image[0, 0] = image[1, 1] = image[2, 2] = 1.0
    texts = [("a red field", "red"), ("a green field",), ("red red green",)]  # the last names no blue
    found = measure(retriever(), Listed(image, [{"texts": one} for one in texts]), batch_size=2).values
    assert found["image_to_text_r1"] == pytest.approx(2 / 3)
    assert found["text_to_image_r1"] == pytest.approx(3 / 4)


def test_classes_that_are_words_are_told_by_a_retriever():
    image = torch.zeros(3, 3, 8, 8)
    image[0, 0] = image[1, 1] = image[2, 2] = 1.0
    label = [0, 1, 1]
    reader = Listed(image, [{"label": torch.tensor(one)} for one in label], classes=COLOURS)
    assert measure(retriever(), reader).values["accuracy"] == pytest.approx(2 / 3)


# ---------------------------------------------------------------------------------------------------------- embeddings


def test_neighbours_of_the_gallery_vote():
    (train, train_label), (test, test_label) = vectors(60, 2), vectors(31, 3)
    found = measure(encoder(), labelled(31, 3), protocol="knn", gallery=labelled(60, 2, "train"), batch_size=8)
    votes = knn_votes(train, train_label, test, num_classes=3, judging=Judging())
    assert found.values["accuracy"] == accuracy_score(test_label, votes.argmax(dim=1))
    assert found.provenance.options["neighbours"] == "20"


def test_samples_of_a_gallery_in_another_folder_may_have_the_same_names():
    reader, gallery = labelled(5, 3), labelled(9, 2)
    reader.opened_from, gallery.opened_from = ("zoo", "toy", "/test"), ("zoo", "toy", "/train")
    assert measure(encoder(), reader, protocol="knn", gallery=gallery).num_samples == 5
    gallery.opened_from = reader.opened_from
    with pytest.raises(InputError, match="5 of 5 samples are in the gallery"):
        measure(encoder(), reader, protocol="knn", gallery=gallery)


def test_neighbours_vote_for_several_classes_by_their_share():
    (train, _), (test, _) = vectors(60, 2), vectors(31, 3)
    gallery, reader = labelled(60, 2, "train", several=True), labelled(31, 3, several=True)
    known, truth = (
        torch.stack([one.sample(index).target["label"] for index in range(len(one.ids))]) for one in (gallery, reader)
    )
    votes = knn_votes(train, known, test, num_classes=3, judging=Judging())
    all_votes = knn_votes(train, torch.ones(60, 1), test, num_classes=1, judging=Judging())
    found = measure(encoder(), reader, protocol="knn", gallery=gallery, batch_size=8)
    expected = average_precision_score(truth.flatten(), (votes / all_votes).flatten())
    assert found.values["micro_map"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shots", [None, 4])
def test_a_probe_is_fitted_on_the_gallery(shots):
    (train, train_label), (test, test_label) = vectors(60, 2), vectors(31, 3)
    judging = Judging(epochs=10, batch=16, lr=0.5, seed=3, shots=shots)
    rows = slice(None) if shots is None else few(train_label, shots=shots, seed=3)
    probe = fit_probe(train[rows], train_label[rows], num_classes=3, judging=judging)
    found = measure(encoder(), labelled(31, 3), protocol="probe", gallery=labelled(60, 2, "train"), judging=judging)
    assert found.values["accuracy"] == accuracy_score(test_label, probe(test).argmax(1))
    assert found.provenance.options["gallery_samples"] == str(60 if shots is None else 12)


def test_a_dense_probe_tells_pixels():
    def maps(num: int, prefix: str) -> tuple[Listed, torch.Tensor, torch.Tensor]:
        draw = torch.Generator().manual_seed(num)
        label = torch.randint(0, 3, (num, 4, 4), generator=draw)
        image = label[:, None] + torch.randn(num, 2, 4, 4, generator=draw)
        return Listed(image, [{"label": one} for one in label], classes=ABC, prefix=prefix), image, label

    (gallery, train, train_label), (reader, test, label) = maps(12, "train"), maps(5, "test")
    judging = Judging(epochs=20, batch=4, lr=5.0)
    tokens = [torch.nn.functional.avg_pool2d(one, 2) for one in (train, test)]
    probe = fit_dense_probe(tokens[0], train_label, num_classes=3, judging=judging)
    found = measure(encoder(), reader, protocol="frozen", gallery=gallery, judging=judging, batch_size=2)
    assert found.values["accuracy"] == pytest.approx(
        accuracy_score(label.flatten(), probe(tokens[1]).argmax(1).flatten())
    )


# ------------------------------------------------------------------------------------------------------------- conduct


def test_parts_return_to_their_modes_and_the_global_generator_stays():
    model = encoder(ABC)
    model.module.train()
    model.module.drop.eval()
    before = torch.get_rng_state()
    measure(model, labelled(5, 0), protocol="probe", gallery=labelled(9, 1, "train"), judging=Judging(epochs=1))
    assert (model.module.training, model.module.drop.training) == (True, False)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_limit_takes_samples_from_all_over():
    reader, seen = labelled(10, 0), []
    made = reader.sample
    reader.sample = lambda index, _=None: (seen.append(index), made(index))[1]
    assert measure(encoder(ABC), reader, limit=4).num_samples == 4
    assert seen == [0, 2, 5, 7]


def test_intervals_do_not_depend_on_batches():
    one, two = (
        measure(encoder(ABC), labelled(30, 1), bootstrap=50, batch_size=size).figures["accuracy"] for size in (4, 30)
    )
    assert one == two
    assert one.low < one.value < one.high


def test_json_has_what_decides_and_nothing_of_time_or_place():
    found = measure(encoder(ABC), labelled(7, 1), dataset="toys", split="test", limit=5)
    told = json.loads(found.to_json())
    assert (told["model"], told["variant"], told["dataset"], told["split"]) == ("toy", "same", "toys", "test")
    assert told["options"] == {"batch_size": "32", "bootstrap": "0", "limit": "5", "precision": "fp32"}
    assert told["sha256"] == encoder(ABC).provenance({}).sha256
    assert set(told["metrics"]["accuracy"]) == {"value", "low", "high"}


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (encoder(("a", "b")), {}, InputError, r"answers for 2 classes \(a, b\), the data have 3 .*--protocol knn"),
        (encoder(("b", "a", "c")), {}, InputError, "the same classes in another order"),
        (encoder(), {}, InputError, "has no classes of its own.*--protocol knn"),
        (encoder(ABC), {"protocol": "knnn"}, ConfigError, "no protocol 'knnn'; choose one of head, knn, probe, frozen"),
        (encoder(ABC), {"protocol": "knn"}, InputError, "--gallery train"),
        (encoder(ABC), {"protocol": "knn", "gallery": labelled(5, 0)}, InputError, "5 of 5 samples are in the gallery"),
        (encoder(ABC), {"limit": 0}, ConfigError, "limit is 0; expected 1 or more"),
        (encoder(ABC), {"metric_options": {"strata": 1}}, ConfigError, "has no option 'strata'"),
        (
            encoder(ABC),
            {"protocol": "frozen", "gallery": labelled(5, 1, "train")},
            InputError,
            "a label each, not one per pixel; say --protocol probe",
        ),
        (model_of("strongest"), {"protocol": "knn", "gallery": labelled(5, 1, "train")}, InputError, "--protocol head"),
    ],
)
def test_what_does_not_fit_is_told_with_what_to_type(model, options, error, message):
    with pytest.raises(error, match=message):
        measure(model, labelled(5, 0), **options)


def test_classes_of_other_names_are_doubted():
    with pytest.warns(ZooWarning, match="'x' is 'b' there"):
        measure(encoder(("a", "x", "c")), labelled(5, 0))


def test_an_empty_split_is_refused():
    with pytest.raises(InputError, match="no sample to evaluate"):
        measure(encoder(ABC), Listed([], [], classes=ABC))
