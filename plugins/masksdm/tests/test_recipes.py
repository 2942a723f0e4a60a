"""Every recipe trains: a step or two of a narrow and shallow network on tiny copies of the layouts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from masksdm_layouts import write_geoplant, write_splot
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from zoo_masksdm.world import Niche, draw

import zoo
from zoo.samples.noise import uniform
from zoo.training.recipes import recipes

NARROW = ("network.width=24", "network.blocks=1", "network.heads=2")
SHORT = ("trackers=[]", "batch=16", "epochs=1")
PREDICTORS = ("bio_1", "bio_12", "Slope")
LAYOUTS = {"splot": write_splot, "blocks5": write_splot, "splot-mean": write_splot, "geoplant": write_geoplant}


@pytest.mark.parametrize("name", LAYOUTS)
def test_recipes_of_the_paper_train_and_keep_statistics_and_species(name, tmp_path):
    (tmp_path / "data").mkdir()
    LAYOUTS[name](tmp_path / "data")
    recipe = zoo.recipe("masksdm", name, *NARROW, *SHORT, f"data.folder={tmp_path / 'data'}", "data.options.spacing=1")
    trained = zoo.train(recipe, out=tmp_path / "run")
    assert 0 <= trained.figures["auc_mean"] <= 1
    again = zoo.load(str(trained.folder / "model"), device="cpu")
    assert len(again.variant.classes) == (2 if name == "geoplant" else 4)
    assert again.variant.inputs[0].steps[0].mean == trained.model.variant.inputs[0].steps[0].mean
    assert len(again.variant.inputs[0].steps[0].mean) == (42 if name == "geoplant" else 61)


def test_the_demo_s_recipe_trains(tmp_path):
    settings = ("steps=2", "data.options.n=64", "batch=32")
    trained = zoo.train(zoo.recipe("masksdm", "demo", *settings), out=tmp_path / "run")
    assert torch.isfinite(torch.tensor(trained.figures["loss"]))


def test_the_paper_s_settings_are_as_published():
    recipe = zoo.recipe("masksdm", "splot")
    (phase,) = recipe.phases.values()
    told = phase.optimizer
    assert (told.name, told.lr, told.weight_decay, told.warmup, told.betas, told.eps) == (
        *("schedule-free-adamw", 1e-3, 0.01, 1000),
        (0.9, 0.999),
        1e-8,
    )
    assert (phase.batch, phase.epochs, recipe.seed) == (256, 1000, 42)
    assert set(recipes("masksdm")) == {*LAYOUTS, "demo", "own"}


@pytest.mark.filterwarnings("ignore::zoo.errors.ZooWarning")  # three of the predictors are not there
def test_a_species_of_one_s_own_is_told_better_than_by_a_logistic_regression(tmp_path):
    """175 presences of a species that the weights have not seen; judged on other worlds."""
    niche = Niche(0.9, {"bio_1": (9.0, 1.5), "Slope": (8.0, 8.0)})
    known = {}
    for split, n in (("train", 1400), ("val", 300), ("test", 2000)):
        x = draw(seed={"train": 21, "val": 22, "test": 23}[split], n=n).x
        presence = uniform(5, n, np.arange(n)) < niche.probability(x)
        known[split] = np.stack([x[name] for name in PREDICTORS], axis=1), presence
        rows = np.column_stack([x["Longitude"], x["Latitude"], *known[split]])
        lines = [",".join(f"{one:.5f}" for one in row[:-1]) + f",{row[-1]:.0f}" for row in rows]
        (tmp_path / f"{split}.csv").write_text(
            "\n".join([f"lon,lat,{','.join(PREDICTORS)},Abies ficta", *lines]) + "\n"
        )
    simple = make_pipeline(StandardScaler(), LogisticRegression()).fit(*known["train"])
    of_simple = roc_auc_score(known["test"][1], simple.decision_function(known["test"][0]))
    species = "data.options.species=[Abies ficta]"
    absences = ("data.options.background=null", "objective_options.absences=1")
    config = zoo.recipe("masksdm@demo", "own", species, *absences, f"data.folder={tmp_path}", "epochs=6", "trackers=[]")
    trained = zoo.train(config, out=tmp_path / "run")
    assert trained.model.variant.classes == ("Abies ficta",)
    told = zoo.evaluate(trained.model, "sites", tmp_path, bootstrap=0, options={"species": ["Abies ficta"]}).values
    assert told["auc_mean"] > of_simple + 0.03
    assert told["auc_mean"] > 0.85


@pytest.mark.filterwarnings("ignore::zoo.errors.ZooWarning")  # most of the predictors are not there
def test_fine_tuning_prepares_predictors_as_the_weights_know_them(tmp_path):
    """Statistics, and the order of predictors, are those of the saved folder with which one begins."""
    (tmp_path / "data").mkdir()
    write_splot(tmp_path / "data")
    plots = f"data.folder={tmp_path / 'data'}"
    base = zoo.train(zoo.recipe("masksdm", "splot", *NARROW, *SHORT, plots), out=tmp_path / "base")
    rows = [f"{8 + index / 50},{46 + index % 7},{index % 13},{index % 2}" for index in range(60)]
    (tmp_path / "sites.csv").write_text("\n".join(["lon,lat,bio_1,Abies ficta", *rows]) + "\n")
    told = ("data.options.species=[Abies ficta]", "data.options.background=null", "objective_options.absences=1")
    table = (f"data.folder={tmp_path / 'sites.csv'}", f"start={base.folder / 'model'}")
    found = zoo.train(zoo.recipe("masksdm@splot", "own", *NARROW, *SHORT, *told, *table), out=tmp_path / "run").model
    (step,) = found.variant.inputs[0].steps
    assert step.mean == base.model.variant.inputs[0].steps[0].mean
    assert step.std == base.model.variant.inputs[0].steps[0].std
    assert found.variant.classes == ("Abies ficta",)


@pytest.mark.filterwarnings("ignore::zoo.errors.ZooWarning")  # most of the predictors are not there
def test_saved_weights_keep_their_order_and_statistics_where_the_variant_has_others(tmp_path):
    demo = zoo.load("masksdm@demo", device="cpu")
    (own,) = demo.variant.inputs
    (step,) = own.steps
    turned = replace(own, bands=own.bands[::-1], steps=(replace(step, mean=step.mean[::-1], std=step.std[::-1]),))
    other = replace(demo, variant=replace(demo.variant, inputs=(turned,)))
    other.save(tmp_path / "other")
    rows = [f"{8 + index / 50},{46 + index % 7},{index % 13},{index % 2}" for index in range(60)]
    (tmp_path / "sites.csv").write_text("\n".join(["lon,lat,bio_1,Abies ficta", *rows]) + "\n")
    told = ("data.options.species=[Abies ficta]", "data.options.background=null", "objective_options.absences=1")
    table = (f"data.folder={tmp_path / 'sites.csv'}", f"start={tmp_path / 'other'}")
    found = zoo.train(zoo.recipe("masksdm@demo", "own", *SHORT, *told, *table), out=tmp_path / "run").model.variant
    assert found.inputs[0].band_ids == own.band_ids[::-1]
    assert found.inputs[0].steps[0].mean == step.mean[::-1]
