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


NIR_FIRST = [3, 0, 1, 2]


@pytest.mark.filterwarnings("ignore:scene.tif. S2")  # reflectances, not 8 bits
def test_channels_that_a_process_had_in_the_other_order_are_told(tmp_path):
    """Near infrared first: their order came from a hash seed, and the file does not say it."""
    from zoo_multiscale_sdm.world import write_area

    from zoo.cli import main

    recorded = case("resnet_single_sat")
    (tmp_path / "config.json").write_text(json.dumps(config_of(recorded)))
    first = "backbone.layer0.0.weight"
    state = recorded.state_dict
    other = {**state, first: state[first][:, NIR_FIRST]}
    told = ["--bands", "sat=S2:B08,S2:B04,S2:B03,S2:B02"]
    runs = {"same": (state, []), "told": (other, told), "untold": (other, [])}
    write_area(tmp_path, sites=5)
    answers = {}
    for name, (saved, options) in runs.items():
        torch.save(checkpoint(saved), tmp_path / "last.pth")
        files = [str(tmp_path / "last.pth"), str(tmp_path / name), "--data", str(tmp_path / "config.json")]
        with pytest.raises(SystemExit) as done:
            main(["convert", "multiscale-sdm", *files, *options])
        assert not done.value.code
        table = zoo.load(str(tmp_path / name), device="cpu").predict(
            {"sites": tmp_path / "sites.csv", "sat": tmp_path / "scene.tif"}
        )
        columns = table.table.column_names[1:]
        answers[name] = np.stack([table.table[one].to_numpy(zero_copy_only=False) for one in columns])
    np.testing.assert_allclose(answers["told"], answers["same"], atol=1e-5)  # sums in another order
    assert np.abs(answers["untold"] - answers["same"]).max() > 1e-3


@pytest.mark.parametrize(
    ("bands", "told"),
    [
        ({"image": ["S2:B08"]}, "--bands is for the input 'image'; expected env, sat"),
        ({"sat": ["S2:B08", "S2:B04"]}, "expected each of S2:B04, S2:B03, S2:B02, S2:B08 once"),
        ({"sat": ["S2:B08"] * 4}, "is not the input's bands in another order"),
    ],
)
def test_orders_of_bands_that_are_none_are_refused(tmp_path, bands, told):
    torch.save(checkpoint(case("multimodal_tiny").state_dict), tmp_path / "last.pth")
    (tmp_path / "config.json").write_text(json.dumps(config_of(case("multimodal_tiny"))))
    with pytest.raises(ConfigError, match=told):
        convert_checkpoint("multiscale-sdm", tmp_path / "last.pth", tmp_path / "out", data=tmp_path, bands=bands)
    assert not (tmp_path / "out").exists()


def renamed(state):
    state["modelA.backbone.convs.0.weight"] = state.pop("modelA.backbone.layers.0.weight")


def missing(state):
    del state["modelB.spatial_branches.1.conv_layers.3.bias"]


def reshaped(state):
    state["modelB.backbone.layer0.0.weight"] = torch.zeros(64, 3, 3, 3)


def other_species(state):
    state["fc.bias"] = torch.zeros(11)


def other_scale(state):
    state["modelA.spatial_branches.0.linear_layers.0.weight"] = torch.zeros(3, 5)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (renamed, r"modalities\.env\.backbone\.layers\.0\.weight.*modalities\.env\.backbone\.convs\.0\.weight"),
        (missing, r"modalities\.sat\.branches\.1\.convs\.3\.bias"),
        (reshaped, r"layer0\.0\.weight is 64x3x3x3, expected 64x4x3x3"),
        (other_species, r"head\.bias is 11, expected 9"),
        (other_scale, r"branches\.0\.linears\.0\.weight is 3x5"),
    ],
)
@pytest.mark.parametrize("age", ["new", "old"])
def test_files_that_do_not_fit_are_refused_by_key(tmp_path, spoil, told, age):
    recorded = case("multimodal_tiny")
    state = dict(recorded.state_dict)
    spoil(state)
    torch.save(checkpoint(older(state) if age == "old" else state), tmp_path / "last.pth")
    config = config_of(recorded, name="aspp_params" if age == "old" else "spatial_block_params")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=rf"(?s)last\.pth does not fit MultiScale.*{told}"):
        convert_checkpoint("multiscale-sdm", tmp_path / "last.pth", tmp_path / "out", data=tmp_path / "config.json")
    assert not (tmp_path / "out").exists()


def flipped(content):
    """A bit of a weight turned over on its way."""
    place = content.index(case("multimodal_tiny").state_dict["fc.weight"].numpy().tobytes()) + 7
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda content: content[: len(content) // 2], "damaged archive"),
        (lambda content: content[:-1], "damaged archive"),
        (flipped, "damaged archive: the sum of 'data/"),
        (lambda _: b"", "cannot mmap an empty file"),
        (lambda _: b"<!DOCTYPE html><title>404</title>", "which no weights need"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, spoil, told):
    torch.save(checkpoint(case("multimodal_tiny").state_dict), tmp_path / "whole.pth")
    (tmp_path / "last.pth").write_bytes(spoil((tmp_path / "whole.pth").read_bytes()))
    with pytest.raises(WeightsError, match=rf"last\.pth.*{told}"):
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
    recorded = case("multimodal_tiny")
    torch.save(checkpoint({**recorded.state_dict, "fc.bias": Called()}), tmp_path / "last.pth")
    with pytest.raises(WeightsError, match=r"last\.pth has no state dict"):
        convert_checkpoint("multiscale-sdm", tmp_path / "last.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "config.json").write_text(json.dumps(config_of(recorded)))
    torch.save({**checkpoint(recorded.state_dict), "train_loss": Called()}, tmp_path / "last.pth")
    convert_checkpoint(
        "multiscale-sdm", tmp_path / "last.pth", tmp_path / "out", data=tmp_path
    )  # the weights are whole
    torch.testing.assert_close(answered(tmp_path / "out", recorded)[1], recorded.outputs["logits"], atol=2e-5, rtol=0)
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


def within(*path, **changes):
    """A change of the block of the configuration that `path` leads to."""

    def change(config):
        for name in path:
            config = config[name]
        config.update(changes)

    return change


ENV, SCALES = ("env_model",), ("env_model", "aspp_params")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (within(env_model=""), "expected env_model, sat_model or both"),
        (within(env_model="weights.pt"), "expected env_model, sat_model or both"),
        (lambda config: config["env_model"].pop("aspp_params"), "lacks spatial_block_params or aspp_params"),
        (within(*ENV, aspp_params=[1]), "lacks spatial_block_params or aspp_params"),
        (within(*ENV, backbone_params=None), "lacks backbone_params"),
        (lambda config: config["env_model"]["aspp_params"].pop("strides"), "lacks the key 'strides'"),
        (lambda config: config["env_model"].pop("patch_size"), "lacks the key 'patch_size'"),
        (within(*ENV, covariates=["weather"]), "covariate 'weather'; expected bioclim, soil"),
        (within(*ENV, covariates="bioclim"), "covariates bioclim; expected a list"),
        (within(*ENV, backbone="ViT"), "backbone 'ViT'; expected CNN or ResNet"),
        (within(*ENV, patch_size=-5), "patch_size is -5; expected a whole number, 1 to"),
        (within(*SCALES, out_channels=10**12), "out_channels is 1000000000000; expected a whole number, 1 to"),
        (within(*SCALES, n_linear_layers=0), "n_linear_layers is 0"),
        (within(*SCALES, kernel_sizes=[1, 5]), r"kernel_sizes is \[1, 5\]; expected lists of whole numbers in a list"),
        (within(*SCALES, strides=[[1], [1, 1]]), r"scales have lengths \[1, 1\], \[1, 2\], \[1, 1\]"),
        (within(*ENV, "backbone_params", n_filters=[8]), "the backbone have lengths 1, 4, 4, 4"),
        (within(sat_model={"covariates": ["sat"], "patch_size": 500}), "patch_size 500; expected 2 to 128"),
        (within(sat_model={"covariates": ["soil"], "patch_size": 5}), r"expected \[\"sat\"\]"),
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
