"""`zoo evaluate` and `zoo.evaluate` on the invented world: in one process and two, tables, files and cards."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from pyarrow import csv as pa_csv
from safetensors.torch import save_file
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

import zoo
from zoo.cards import check_card, render_card, update_card
from zoo.errors import ConfigError
from zoo.evaluation.published import beside, published, told
from zoo.evaluation.report import END, text_of, with_scores
from zoo.evaluation.result import Evaluation
from zoo.results.provenance import Provenance
from zoo.spec import Score
from zoo.tasks.metrics.sums import Figure

MODEL = "smarties@demo"
WORLD = ("evaluate", MODEL, "world", "view=sentinel1")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--protocol", "knn", "--bootstrap", "20", "n=13", "gallery.n=21", "--batch-size", "4"),
        ("--protocol", "probe", "--epochs", "3", "n=5", "gallery.n=9", "--batch-size", "8"),  # one has nothing to do
        ("--protocol", "frozen", "--epochs", "2", "n=7", "task=segment", "--batch-size", "2"),
    ],
)
def test_two_processes_write_the_same_bytes_as_one(tmp_path, zoo_command, two_processes, arguments):
    assert zoo_command(*WORLD, *arguments, "--out", tmp_path / "one.json")[0] == 0
    two_processes(*WORLD, *arguments, "--out", tmp_path / "two.json")
    one, two = ((tmp_path / f"{name}.json").read_bytes() for name in ("one", "two"))
    assert one == two
    assert json.loads(one)["num_samples"] == int(next(one for one in arguments if one.startswith("n="))[2:])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.json", "two.json"]


def test_demo_weights_tell_covers_better_than_random_ones():
    demo, random = (
        zoo.evaluate(
            model,
            "world",
            protocol="knn",
            bootstrap=0,
            options={"n": 120, "view": "sentinel1"},
            gallery_options={"n": 200},
        ).values["accuracy"]
        for model in (zoo.load(MODEL), zoo.build(MODEL))
    )
    assert demo > random + 0.03


def test_the_table_is_aligned_and_json_says_the_same(zoo_command):
    code, said, _ = zoo_command(*WORLD, "n=9", "--protocol", "knn", "--bootstrap", "20")
    assert code == 0
    head, columns, *rows = said.splitlines()
    assert head == "smarties@demo on world (test), 9 samples, protocol knn"
    assert columns.split("  ")[0] == "metric"
    start = columns.index("value")
    code, written, _ = zoo_command(*WORLD, "n=9", "--protocol", "knn", "--bootstrap", "20", "--json")
    metrics = json.loads(written)["metrics"]
    assert rows[0].startswith("accuracy")
    assert rows[0][start:].split()[0] == f"{metrics['accuracy']['value']:.4f}"
    assert f"{metrics['accuracy']['low']:.4f} to {metrics['accuracy']['high']:.4f}" in rows[0]
    options = json.loads(written)["options"]
    assert (options["data.n"], options["data.view"], options["gallery"]) == ("9", "sentinel1", "train")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("n=3", "--out", "scores.txt"), "the extension '.txt'; an evaluation is written as .json"),
        (("n=3", "--protocol", "knn", "--plot", "a.png"), "a.png would tell of probabilities of species"),
        (("n=3", "--by-species", "a.txt"), "the extension '.txt'; a row per species is written as .csv"),
        (("n=3", "--card", "nowhere.md"), "there is no card nowhere.md"),
        (("here", "there"), "expected one folder, found here and there"),
        (("n=3",), "smarties@demo gives embeddings and has no classes of its own"),
        (("n=3", "vew=3"), "did you mean 'view'?"),
        (("n=3", "--protocol", "knn", "metric.strata=3"), "has no option 'strata'"),
        (("n=3", "--protocol", "knn", "--split", "train"), "3 of 3 samples are in the gallery too"),
        (("n=3", "--protocol", "knn", "--neighbours", "0"), "neighbours is 0; expected more than 0"),
        (("n=3", "--folds", "3"), "--folds 5 --block-km 100"),
        (("n=3", "--protocol", "knn", "gallery=val"), "--gallery for the split"),
    ],
)
def test_errors_say_what_to_type_and_leave_no_file(zoo_command, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    out = () if "--out" in arguments else ("--out", "scores.json")
    code, said, errors = zoo_command("evaluate", MODEL, "world", *out, *arguments)
    assert (code, said) == (1, "")
    assert message in errors
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_run_is_its_model(tmp_path, zoo_command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "one").mkdir(parents=True)
    zoo.load(MODEL).save(tmp_path / "runs" / "one" / "model")
    for reference in ("runs/one", tmp_path / "runs" / "one", "./runs/one/model"):
        code, said, _ = zoo_command(
            "evaluate", reference, "world", "n=3", "view=sentinel1", "--protocol", "knn", "--json"
        )
        assert code == 0
        assert json.loads(said)["weights"] == "smarties@demo (local)"
        code, said, _ = zoo_command("evaluate", reference, "world", "n=3", "view=sentinel1", "--protocol", "knn")
        name = "model" if str(reference).endswith("model") else "one"  # of a saved model, or of a run
        assert said.startswith(f"{name} (smarties@demo) on world (test), 3 samples")


@pytest.fixture
def species(make_plugin, tmp_path):
    """A model of three species, and a table of sites in ten clusters, as files."""
    site = make_plugin(
        "toysdm",
        """
    def toy():
        from dataclasses import replace
        from zoo.spec import Weights

        table = InputSpec(name="climate", kind=Kind.TABLE, any_subset=True,
                          bands=(Band(id="bio_1", unit="degC"), Band(id="bio_12", unit="mm")))
        variant = Variant(tag="curve", builder="toysdm_network:Logistic", inputs=(table,),
                          classes=("Poa alpina", "Olea europaea", "Salix alba"),
                          weights=Weights(file="toysdm_files:weights.safetensors"))
        return replace(model("toysdm"), task=Task.SDM, variants=(variant,), capabilities=())

    @hookimpl
    def zoo_register_models():
        return [toy()]

    @hookimpl
    def zoo_register_datasets():
        from zoo.spec import DatasetSpec

        return [DatasetSpec(name="toy-sites", summary="a table", reader="zoo.datasets.layouts.sites:sites",
                            task=Task.SDM, license=None, source="ours")]
    """,
    )
    (site / "toysdm_network.py").write_text((Path(__file__).parents[1] / "predict" / "toy_species.py").read_text())
    (site / "toysdm_files").mkdir()
    (site / "toysdm_files" / "__init__.py").write_text("")
    save_file({"gain": torch.ones(1)}, site / "toysdm_files" / "weights.safetensors")
    draw = np.random.default_rng(0)
    climate = draw.normal(size=(45, 2)).round(3)
    chance = 1 / (1 + np.exp(-np.stack([-climate[:, 0], climate[:, 0], climate[:, 1]], 1)))
    rows = np.column_stack([np.arange(45) % 10, 46 + np.arange(45) / 1000, climate, draw.random((45, 3)) < chance])
    header = "id,lon,lat,bio_1,bio_12,Poa alpina,Olea europaea,Salix alba"
    lines = [f"site {index}," + ",".join(f"{value:g}" for value in row) for index, row in enumerate(rows)]
    (tmp_path / "test.csv").write_text("\n".join([header, *lines]) + "\n")
    return tmp_path


def test_species_are_scored_alike_by_two_processes_in_all_and_in_folds(species, zoo_command, two_processes):
    arguments = ("evaluate", "toysdm", "toy-sites", species, "--folds", "3", "--block-km", "20", "--batch-size", "7")
    code, said, errors = zoo_command(*arguments, "--bootstrap", "20", "--out", species / "one.json")
    assert (code, errors) == (0, f"wrote {species / 'one.json'}\n")
    two_processes(*arguments, "--bootstrap", "20", "--out", species / "two.json")
    assert (species / "one.json").read_bytes() == (species / "two.json").read_bytes()
    told = json.loads((species / "one.json").read_text())
    assert told["num_samples"] == 45
    assert len(told["folds"]["boyce"]["values"]) == 3
    assert 0.6 < told["folds"]["auc_mean"]["mean"] < 1
    line = next(line for line in said.splitlines() if line.startswith("auc_mean"))
    assert f"{told['folds']['auc_mean']['mean']:.4f}, {told['folds']['auc_mean']['std']:.4f}" in line
    assert {"auc/Poa alpina", "auc/Salix alba"} <= set(told["metrics"])


def test_calibration_and_scores_of_each_species_go_to_files(species, zoo_command):
    arguments = ("evaluate", "toysdm", "toy-sites", species, "--bootstrap", "50", "--out", species / "one.json")
    files = ("--plot", species / "calibration.png", "--by-species", species / "species.csv")
    code, _, errors = zoo_command(*arguments, *files)
    assert code == 0, errors
    tables = json.loads((species / "one.json").read_text())["tables"]
    rows = pa_csv.read_csv(species / "species.csv")
    assert rows.to_pydict() == tables["species"]

    # By hand, from the file: each presence of the species at its threshold, and how often it was there.
    sites = pa_csv.read_csv(species / "test.csv")
    climate = np.stack([sites[name].to_numpy() for name in ("bio_1", "bio_12")], axis=1)
    probs = 1 / (1 + np.exp(-np.stack([-climate[:, 0], climate[:, 0], climate[:, 1]], axis=1)))
    present = np.stack([sites[name].to_numpy() for name in rows["species"].to_pylist()], axis=1) > 0
    for index, row in enumerate(rows.to_pylist()):
        false, true, thresholds = roc_curve(present[:, index], probs[:, index], drop_intermediate=False)
        assert row["tss"] == pytest.approx((true - false).max())
        assert row["threshold"] == pytest.approx(thresholds[(true - false).argmax()], abs=1e-6)
        assert (row["presences"], row["absences"]) == (present[:, index].sum(), 45 - present[:, index].sum())
    frequency, mean = calibration_curve(present.ravel(), probs.ravel(), n_bins=10)
    known = [index for index, cells in enumerate(tables["calibration"]["cells"]) if cells]
    for name, expected in (("frequency", frequency), ("probability", mean)):
        np.testing.assert_allclose([tables["calibration"][name][index] for index in known], expected, atol=1e-6)
    within = [tables["calibration"][name][known[0]] for name in ("low", "frequency", "high")]
    assert within == sorted(within)
    assert (species / "calibration.png").read_bytes().startswith(b"\x89PNG")


def test_the_reliability_curve_shows_bins_that_have_cells_and_says_what_frequency_is_not():
    table = {
        "from": [0.0, 0.5],
        "to": [0.5, 1.0],
        "cells": [12000.0, 0.0],
        "probability": [0.2, math.nan],
        "frequency": [0.3, math.nan],
        "low": [0.25, math.nan],
        "high": [0.35, math.nan],
    }
    figure = evaluation(tables={"calibration": table}, notes=("absences are background points",)).plot()
    curve, counts = figure.axes
    assert [line.get_xydata().tolist() for line in curve.lines] == [[[0, 0], [1, 1]], [[0.2, 0.3]]]
    assert curve.collections[0].get_segments()[0].tolist() == [[0.2, 0.25], [0.2, 0.35]]
    assert ([bar.get_height() for bar in counts.patches], counts.texts[0].get_text()) == ([12000, 0], "12k")
    assert figure.get_supxlabel() == "absences are background points."
    assert curve.get_title(loc="left") == "smarties@demo"
    long = evaluation(tables={"calibration": table}, called="masksdm-demo-own-001 (masksdm@demo)").plot()
    assert long.axes[0].get_title(loc="left") == "masksdm-demo-own-001\n(masksdm@demo)"
    with pytest.raises(ConfigError, match="smarties has no calibration to draw"):
        evaluation().plot()


# ------------------------------------------------------------------------------------------------- published and cards


SCORES = (
    Score(
        dataset="EuroSAT", metric="top-1 accuracy [%]", value=97.5, protocol="nearest neighbours, k = 20", source="t"
    ),
    Score(dataset="EuroSAT", metric="kappa", value=None, protocol="kNN", source="table 3"),
    Score(dataset="EuroSAT", metric="top-1 accuracy [%]", value=98.0, protocol="linear probe", source="table 1"),
    Score(dataset="m-eurosat", metric="accuracy", value=1.0, protocol="kNN", source="third-party leaderboard"),
    Score(dataset="RESISC45", metric="accuracy", value=3.0, protocol="kNN", source="table 1"),
)


def evaluation(**changes: object) -> Evaluation:
    told = Provenance(model="smarties", variant="demo", weights="w", revision=None, sha256="f" * 64, zoo_version="0")
    figures = {"accuracy": Figure(0.9, 0.85, 0.95), "recall/sea": Figure(1.0)}
    made = Evaluation(
        model="smarties",
        variant="demo",
        dataset="eurosat-ms",
        split="test",
        protocol="knn",
        num_samples=10,
        figures=figures,
        classes=("sea",),
        provenance=told,
    )
    return replace(made, **changes)


def test_only_scores_of_the_same_data_and_protocol_stand_beside():
    found = published(SCORES, evaluation(), has_head=False)
    assert found == SCORES[:2]
    assert beside("accuracy", found) == SCORES[:1]
    assert published(SCORES, evaluation(protocol="probe"), has_head=False) == SCORES[2:3]
    assert published(SCORES, evaluation(protocol="head"), has_head=True) == SCORES[2:3]
    assert published(SCORES, evaluation(protocol="head"), has_head=False) == ()


def test_scores_of_others_are_not_said_to_be_the_authors():
    assert told(SCORES[0]) == "authors: 97.5 (top-1 accuracy [%]; EuroSAT; nearest neighbours, k = 20)"
    assert told(SCORES[1]).startswith("authors: not stated (kappa")
    assert told(SCORES[3]).startswith("others: 1 (")


def test_a_count_is_a_whole_number_without_an_interval():
    figures = {"auc_mean": Figure(0.5, 0.4, 0.6), "species": Figure(2.0, 2.0, 2.0)}
    lines = text_of(evaluation(figures=figures, folds={"species": (2.0, 1.0)}), zoo.load(MODEL)).splitlines()
    assert [line.split() for line in lines if line.startswith("species")] == [["species", "2"]]


@pytest.fixture
def scored():
    model = zoo.load(MODEL)
    return replace(model, variant=replace(model.variant, scores=SCORES))


def test_the_table_has_what_was_published(scored):
    lines = text_of(evaluation(folds={"accuracy": (0.8, 0.9)}), scored).splitlines()
    assert lines[1].split("  ")[-1] == "published"
    assert lines[2].startswith("accuracy  0.9000  0.8500 to 0.9500  0.8500, 0.0707")
    assert "authors: 97.5" in lines[2]
    assert lines[3] == "published besides: authors: not stated (kappa; EuroSAT; kNN)"
    assert lines[-1].split() == ["sea", "1.0000"]


def test_a_card_takes_scores_once_and_stays_true_to_its_description(scored):
    card = render_card(scored.spec, prose="## Intended use\n\nMaps.\n\n## Limits\n\nClouds.")
    first = with_scores(card, evaluation(), scored)
    assert first.count(END) == 1
    assert "| accuracy | 0.9000 | 0.8500 to 0.9500 | authors: 97.5" in first
    again = with_scores(first, evaluation(figures={"accuracy": Figure(0.5)}), scored)
    assert again.count(END) == 1
    assert "0.9000" not in again
    both = with_scores(again, evaluation(protocol="probe"), scored)
    assert (both.count(END), both.count("## Evaluation")) == (2, 1)
    measured = [one for one in ModelCard(both).data.eval_results if one.dataset_name == "eurosat-ms"]
    assert [(one.metric_type, one.metric_value, one.dataset_args["protocol"]) for one in measured] == [
        ("accuracy", 0.5, "knn"),
        ("accuracy", 0.9, "probe"),
    ]
    assert len(ModelCard(both).data.eval_results) == len(measured) + 3  # with those that the card had
    assert check_card(both, scored.spec) == []
    assert update_card(both, scored.spec) == both


def test_a_text_without_a_header_takes_the_block_alone(scored):
    made = with_scores("# My model\n", evaluation(), scored)
    assert made.startswith("# My model\n\n## Evaluation\n\n<!-- zoo: scores of smarties@demo, eurosat-ms, test, knn;")
    assert made.endswith(END + "\n")


def test_the_card_is_updated_in_place_by_the_command(tmp_path, zoo_command):
    card = tmp_path / "README.md"
    card.write_text("# Mine\n")
    code, _, errors = zoo_command(*WORLD, "n=3", "--protocol", "knn", "--bootstrap", "0", "--card", card)
    assert (code, errors) == (0, f"wrote {card}\n")
    assert "| accuracy | " in card.read_text()
    code, said, _ = zoo_command(*WORLD, "n=3", "--protocol", "knn", "--bootstrap", "0", "--card")
    assert code == 0
    assert said.strip() in card.read_text()
    assert [one.name for one in Path(tmp_path).iterdir()] == ["README.md"]


def test_no_table_that_is_judged_is_overwritten(tmp_path, zoo_command):
    table = tmp_path / "sites.csv"
    table.write_text("id,longitude,latitude\n1,8,47\n")
    for rest in ((str(table),), ("covariates=" + str(table), str(tmp_path))):
        code, _, err = zoo_command("evaluate", "masksdm@demo", "sites", *rest, "--by-species", table)
        assert (code, "would replace the source" in err) == (1, True)
    assert table.read_text().startswith("id,")
