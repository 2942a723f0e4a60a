"""The authors' checkpoints, as their code writes them, with their configurations, to the recorded answers."""

import copy
import importlib
import json
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import zoo_multiscale_sdm
from zoo_multiscale_sdm.authors import variant_of
from zoo_multiscale_sdm.variants import PUBLISHED

import zoo
from zoo import plugins, registry
from zoo.convert import convert_checkpoint
from zoo.errors import ConfigError, HubError, InputError, OutputError, WeightsError
from zoo.spec import Layout, Weights
from zoo.testing import parity

ROOT = parity.root()
pytestmark = pytest.mark.skipif(ROOT is None, reason="parity skipped: no folder of recorded cases (set ZOO_PARITY)")


def case(name):
    return parity.read_case(ROOT / "multiscale-sdm" / name)


def block(told, covariates, *, name="spatial_block_params"):
    return {
        "model_name": "MultiResolutionModel",
        "covariates": covariates,
        "patch_size": told["patch_size"],
        "backbone": told["backbone"],
        "backbone_params": told["backbone_params"],
        name: told["branches"],
    }


def config_of(recorded, *, name="spatial_block_params"):
    """`config.json` of a recorded case, as their code has it."""
    config = recorded.config
    env = block(config["env"], ["bioclim"], name=name) if "env" in config else ""
    sat = block(config.get("sat") or config["model"], ["sat"], name=name)
    return {
        "env_model": env,
        "sat_model": sat,
        "random_bg": False,
        "loss": "weighted_loss",
        "lambda2": 1,
        "n_epochs": 30,
        "batch_size": 256,
        "learning_rate": 0.01,
        "weight_decay": 0.0001,
        "num_workers_train": 16,
        "num_workers_val": 8,
        "seed": 42,
    }


def checkpoint(state):
    """As their training loop saves it; the loss is a NumPy scalar."""
    return {
        "epoch": 29,
        "state_dict": state,
        "optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 0.01, "params": [0]}]},
        "train_loss": np.float64(0.5),
        "val_loss": 0.25,
        "val_auc": torch.tensor(0.8),
    }


def older(state):
    return {key.replace("spatial_branches", "aspp_branches"): one for key, one in state.items()}


def answered(folder, recorded):
    model = zoo.load(str(folder), device="cpu")
    given = {name: recorded.inputs[name] for name in ("env", "sat") if name in recorded.inputs}
    return model, model.forward(given or {"sat": recorded.inputs["x"]}).logits


@pytest.mark.parametrize("name", ["multimodal_tiny", "resnet_single_sat"])
@pytest.mark.parametrize("age", ["new", "old"])
def test_checkpoints_of_both_ages_give_the_recorded_answers(tmp_path, name, age):
    recorded = case(name)
    state = older(recorded.state_dict) if age == "old" else recorded.state_dict
    run = tmp_path / "models" / "best"
    run.mkdir(parents=True)
    torch.save(checkpoint(state), run / "last.pth")
    told = config_of(recorded, name="aspp_params" if age == "old" else "spatial_block_params")
    (run / "config.json").write_text(json.dumps(told))
    species = [100 + 3 * number for number in range(recorded.config["n_species"])]
    rows = "".join(f"{one},5,0.5\n" for one in species)
    (run / "last_species_auc.csv").write_text(f"species,n_occ,auc\n{rows}")
    report = convert_checkpoint("multiscale-sdm", run / "last.pth", tmp_path / "out", data=run)
    assert report.missing == report.ignored == ()
    model, logits = answered(tmp_path / "out", recorded)
    torch.testing.assert_close(logits, recorded.outputs["logits"], atol=2e-5, rtol=0)
    assert model.variant.config["crop"] == "original"
    assert model.variant.classes == tuple(map(str, species))
    assert [spec.window for spec in model.variant.inputs] == ([5, 116] if name == "multimodal_tiny" else [60])


def test_the_command_reads_the_published_network_without_a_configuration(tmp_path, capsys):
    """At its true size, 31 million numbers; the variant says the network, and the head's size the species."""
    from zoo.cli import main

    recorded = case("multimodal_published_config")
    torch.save(checkpoint(older(recorded.state_dict)), tmp_path / "best_val_auc.pth")
    with pytest.raises(SystemExit) as done:
        main(["convert", "multiscale-sdm", str(tmp_path / "best_val_auc.pth"), str(tmp_path / "out")])
    assert not done.value.code, capsys.readouterr().err
    _, logits = answered(tmp_path / "out", recorded)
    torch.testing.assert_close(logits, recorded.outputs["logits"], atol=2e-5, rtol=0)


def test_a_checkpoint_on_a_hub_is_fetched_checked_and_read(zoo_hub, zoo_caches, tmp_path, monkeypatch):
    """Theirs are on none; a user's may be."""
    monkeypatch.setattr("zoo.hub.transfer.time.sleep", lambda _: None)
    recorded = case("multimodal_tiny")
    torch.save(checkpoint(older(recorded.state_dict)), tmp_path / "last.pth")
    content = (tmp_path / "last.pth").read_bytes()
    repository = zoo_hub.repository("someone/sdm")
    commit = repository.commit({}, {"last.pth": content})
    weights = Weights(
        repo="someone/sdm", file="last.pth", layout=Layout.TORCH, renames="zoo_multiscale_sdm.weights:BOTH"
    )
    variant = replace(variant_of(config_of(recorded), tag="own", num_species=9), weights=weights)
    monkeypatch.setattr(zoo_multiscale_sdm, "SPEC", replace(zoo_multiscale_sdm.SPEC, variants=(variant,)))
    forget()
    try:
        model = zoo.load("multiscale-sdm@own", device="cpu")
        assert model.origin.revision == commit
        given = {name: recorded.inputs[name] for name in ("env", "sat")}
        torch.testing.assert_close(model.forward(given).logits, recorded.outputs["logits"], atol=2e-5, rtol=0)
        repository.commit({}, {"last.pth": content + b"x"})
        repository.lfs(content + b"x").write_bytes(content[:-1] + b"yz")
        with pytest.raises(HubError, match="do not have the hash"):
            zoo.load("multiscale-sdm@own", device="cpu", update=True)
    finally:
        monkeypatch.undo()
        forget()


def forget():
    plugins.plugins.cache_clear()
    registry.entries.cache_clear()


def renamed(state):
    state["modelA.backbone.convs.0.weight"] = state.pop("modelA.backbone.layers.0.weight")


def missing(state):
    del state["modelB.spatial_branches.1.conv_layers.3.bias"]


def reshaped(state):
    state["modelB.backbone.layer0.0.weight"] = torch.zeros(64, 3, 3, 3)


def other_species(state):
    state["fc.bias"] = torch.zeros(11)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (renamed, r"modalities\.env\.backbone\.layers\.0\.weight.*modalities\.env\.backbone\.convs\.0\.weight"),
        (missing, r"modalities\.sat\.branches\.1\.convs\.3\.bias"),
        (reshaped, r"layer0\.0\.weight is 64x3x3x3, expected 64x4x3x3"),
        (other_species, r"head\.bias is 11, expected 9"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_key(tmp_path, spoil, told):
    recorded = case("multimodal_tiny")
    state = dict(recorded.state_dict)
    spoil(state)
    torch.save(checkpoint(state), tmp_path / "last.pth")
    (tmp_path / "config.json").write_text(json.dumps(config_of(recorded)))
    with pytest.raises(WeightsError, match=rf"(?s)last\.pth does not fit MultiScale.*{told}"):
        convert_checkpoint("multiscale-sdm", tmp_path / "last.pth", tmp_path / "out", data=tmp_path / "config.json")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_cut_short_is_refused(tmp_path):
    recorded = case("multimodal_tiny")
    torch.save(checkpoint(recorded.state_dict), tmp_path / "whole.pth")
    content = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "last.pth").write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match=r"last\.pth"):
        convert_checkpoint("multiscale-sdm", tmp_path / "last.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Called:
    """A pickle of this calls `importlib.import_module("zoo_multiscale_was_called")` where it is loaded."""

    def __reduce__(self):
        return importlib.import_module, ("zoo_multiscale_was_called",)


def test_a_pickle_that_would_call_something_is_not_run(tmp_path, monkeypatch):
    (tmp_path / "zoo_multiscale_was_called.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    pickle.loads(pickle.dumps(Called()))  # it would work
    assert sys.modules.pop("zoo_multiscale_was_called")
    state = case("multimodal_tiny").state_dict
    torch.save(checkpoint({**state, "fc.bias": Called()}), tmp_path / "last.pth")
    with pytest.raises(WeightsError, match=r"last\.pth has no state dict"):
        convert_checkpoint("multiscale-sdm", tmp_path / "last.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert "zoo_multiscale_was_called" not in sys.modules


# ------------------------------------------------------------------------------------------------------- configurations

EXAMPLE = {
    "env_model": {
        "model_name": "MultiResolutionModel",
        "covariates": ["bioclim"],
        "patch_size": 5,
        "backbone": "CNN",
        "backbone_params": {
            "n_filters": [32, 64, 128, 256],
            "kernel_sizes": [1, 1, 1, 1],
            "paddings": [0, 0, 0, 0],
            "pooling_sizes": [1, 1, 1, 1],
        },
        "aspp_params": {
            "out_channels": 512,
            "out_size": 1024,
            "kernel_sizes": [[1], [5]],
            "strides": [[1], [1]],
            "pooling_sizes": [[1], [1]],
            "n_linear_layers": 1,
        },
    },
    "sat_model": "",
}


def test_the_example_is_the_published_network():
    variant = variant_of(EXAMPLE, tag="x")
    published = next(one for one in PUBLISHED if one.tag == "env-1-5")
    assert variant.config == {**published.config, "crop": "original"}
    assert variant.inputs == published.inputs


def test_all_covariates_make_the_41_bands():
    told = copy.deepcopy(EXAMPLE)
    told["env_model"]["covariates"] = ["bioclim", "soil", "landcover"]
    variant = variant_of(told, tag="x")
    assert len(variant.inputs[0].bands) == variant.config["modalities"]["env"]["bands"] == 41


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda config: config.update(env_model=""), "expected env_model, sat_model or both"),
        (lambda config: config["env_model"].pop("aspp_params"), "lacks spatial_block_params or aspp_params"),
        (lambda config: config["env_model"]["aspp_params"].pop("strides"), "lacks the key 'strides'"),
        (
            lambda config: config["env_model"].update(covariates=["weather"]),
            "covariate 'weather'; expected bioclim, soil",
        ),
        (lambda config: config["env_model"].update(backbone="ViT"), "backbone 'ViT'; expected CNN or ResNet"),
        (lambda config: config["env_model"].pop("patch_size"), "no covariates or patch_size"),
    ],
)
def test_wrong_configurations_are_told(change, told):
    config = copy.deepcopy(EXAMPLE)
    change(config)
    with pytest.raises(ConfigError, match=told):
        variant_of(config, tag="x")


def test_a_configuration_that_cannot_be_read_is_told(tmp_path):
    torch.save(checkpoint(case("multimodal_tiny").state_dict), tmp_path / "last.pth")
    for content, kind, told in (
        (None, InputError, "cannot read"),
        ("{", InputError, "cannot read"),
        ("[]", ConfigError, "holds a list"),
    ):
        if content is not None:
            (tmp_path / "config.json").write_text(content)
        with pytest.raises(kind, match=told):
            convert_checkpoint("multiscale-sdm", tmp_path / "last.pth", tmp_path / "out", data=tmp_path)
    with pytest.raises(OutputError, match="is the file to be converted"):
        convert_checkpoint("multiscale-sdm", tmp_path / "last.pth", tmp_path / "last.pth")


def test_models_that_read_nothing_beside_a_checkpoint_say_so(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "last.pth")
    with pytest.raises(ConfigError, match="smarties reads nothing beside a checkpoint; leave out --data"):
        convert_checkpoint("smarties", tmp_path / "last.pth", tmp_path / "out", data=tmp_path)
