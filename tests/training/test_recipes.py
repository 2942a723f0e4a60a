"""Recipes say what was meant, and what to type where they do not."""

from __future__ import annotations

import pytest
import yaml

from zoo.errors import ConfigError, UnknownModel
from zoo.training.recipes import differences, recipe, recipes, resolve, written_out

PHASES = {"warm": {"epochs": 1, "batch": 4}, "joint": {"epochs": 3, "batch": 8}}


def test_settings_beside_the_phases_hold_for_all_of_them(configured):
    config = configured("optimizer.lr=0.5", phases=PHASES)
    assert {name: (one.epochs, one.batch, one.optimizer.lr) for name, one in config.phases.items()} == {
        "warm": (1, 4, 0.5),
        "joint": (3, 8, 0.5),
    }


def test_a_recipe_without_phases_has_one(configured):
    config = configured()
    assert [*config.phases] == ["train"]
    assert config.recipe == "toy"
    assert config.phases["train"].schedule.warmup == 0.5


def test_one_phase_can_be_changed(configured):
    config = configured("phases.joint.batch=2", "phases.joint.optimizer.betas=[0.8,0.9]", phases=PHASES)
    assert (config.phases["warm"].batch, config.phases["joint"].batch) == (4, 2)
    assert config.phases["joint"].optimizer.betas == (0.8, 0.9)


def test_what_is_printed_is_what_is_read(configured):
    config = configured("groups.vectors.max_ndim=1", "ema.decay=0.9", "lora.target=[blocks.*]", phases=PHASES)
    assert resolve(yaml.safe_load(written_out(config))) == config


def test_the_model_asked_for_is_the_variant_that_is_trained(learner, recipe_file):
    assert recipe("learner", recipe_file()).model == "learner@chips"
    assert recipe("learner@maps", recipe_file()).model == "learner@maps"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lrr=1", "Did you mean one of: 'lr'"),
        ("optimiser.lr=1", "unknown setting 'optimiser'; did you mean 'optimizer'?"),
        ("epoch=3", "unknown setting 'epoch'; did you mean 'epochs'?"),
        (
            "out=runs/x",
            r"out is no setting of a recipe; say zoo\.train\(recipe, out=\.\.\.\), on the command line --out",
        ),
        ("epochs=many", r"'many'.*Float.*\(setting epochs\)"),
        ("optimizer.name=adamx", r"Invalid value 'adamx', expected one of \['adamw'"),
        ("steps=10", "says both of epochs and steps"),
        ("epochs=null", "says neither of epochs and steps"),
        ("batch=0", "batch is 0; expected at least 1"),
        ("optimizer.lr=-1", "optimizer.lr is -1"),
        ("schedule.name=plateau", "a plateau needs a metric"),
        ("best.metric=miou", "nothing is measured; say validation.split=val"),
        ("ema.decay=1", "ema.decay is 1"),
        ("lr", "'lr' is no setting; expected key=value"),
        ("precision=fp8", "Invalid value 'fp8'"),
        ("log_every=0", "log_every is 0; expected at least 1"),
        ("keep=0", "keep is 0; expected at least 1"),
        ("workers=-1", "workers is -1; expected at least 0"),
        ("clip=0", "clip is 0.0; expected more than 0"),
        ("schedule.interval=0", "schedule.interval is 0.0; expected more than 0"),
        ("optimizer.betas=[2,2]", r"optimizer.betas is \[2.0, 2.0\]; expected from 0 to below 1"),
        ("summary=${oc.env:HOME}", "refers to something outside the recipe"),
        ("phases.late.batch=3", "has no phase 'late'; it has train"),
        ("phases=[1,2]", "expected settings by the phase's name|has no phase"),
    ],
)
def test_what_cannot_be_is_refused(configured, override, message):
    with pytest.raises(ConfigError, match=message):
        configured(override)


def test_a_setting_without_effect_is_refused(configured):
    with pytest.raises(ConfigError, match=r"batch would have no effect.*phases.warm.batch, phases.joint.batch"):
        configured("batch=3", phases=PHASES)


def test_a_setting_inside_one_that_phases_have_still_has_an_effect(configured):
    phases = {"one": {"optimizer": {"name": "sgd"}}, "two": {"optimizer": {"name": "adam"}}}
    config = configured("optimizer.lr=0.5", phases=phases)
    assert {one.optimizer.lr for one in config.phases.values()} == {0.5}
    with pytest.raises(ConfigError, match=r"optimizer.name would have no effect"):
        configured("optimizer.name=adamw", phases=phases)


def test_a_misspelt_phase_is_no_new_phase(configured):
    with pytest.raises(ConfigError, match="no phase 'jont'; did you mean 'joint'"):
        configured("phases.jont.batch=2", phases=PHASES)


def test_what_is_wrong_in_a_phase_is_told_with_its_name(configured):
    with pytest.raises(ConfigError, match=r"phases.joint: Key 'optimzer' not in 'Phase'"):
        configured("phases.joint.optimzer.lr=2", phases=PHASES)


def test_a_recipe_of_another_model_is_refused(learner, recipe_file):
    with pytest.raises(ConfigError, match=r"toy\.yaml is a recipe of learner@chips, and other was asked for"):
        recipe("other", recipe_file())
    with pytest.raises(UnknownModel):
        recipe("nobody", recipe_file())


def test_a_recipe_that_is_not_there_is_told_with_those_that_are(learner):
    names = [*recipes("smarties")]
    assert "finetune" in names
    with pytest.raises(ConfigError, match="did you mean 'finetune'"):
        recipe("smarties", "finetun")
    with pytest.raises(ConfigError, match="it has none"):
        recipe("learner", "finetune")
    with pytest.raises(ConfigError, match="found no recipe"):
        recipe("learner", learner / "absent.yaml")


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", "3\n"])
def test_a_file_that_is_no_recipe_is_told(learner, text):
    file = learner / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        recipe("learner", file)


def test_differences_are_named(configured):
    one, other = configured(), configured("optimizer.lr=0.1", "groups.a.lr=2")
    assert differences(one, other)[0] == "phases.train.optimizer.lr: 0.1, was 0.02"
    assert "phases.train.groups.a.lr: 2.0, was absent" in differences(one, other)
    assert differences(one, one) == []


def test_the_command_prints_the_configuration_and_trains_nothing(learner, recipe_file, zoo_command):
    code, out, _ = zoo_command("train", "learner", recipe_file(), "epochs=7", "--print-config")
    assert code == 0
    assert yaml.safe_load(out)["phases"]["train"]["epochs"] == 7
    assert not (learner / "runs").exists()


def test_recipes_are_listed(learner, zoo_command):
    code, out, _ = zoo_command("recipes", "smarties")
    assert code == 0
    assert "finetune-eurosat" in out
