"""Every recipe trains: a step or two of a narrow and shallow network on tiny copies of the layouts."""

import pytest
import torch
from masksdm_layouts import write_geoplant, write_splot

import zoo
from zoo.training.recipes import recipes

NARROW = ("network.width=24", "network.blocks=1", "network.heads=2")
SHORT = ("trackers=[]", "batch=16", "epochs=1")
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
    assert set(recipes("masksdm")) == {*LAYOUTS, "demo"}
