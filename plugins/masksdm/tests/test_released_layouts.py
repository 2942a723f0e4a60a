"""Files as the authors wrote them: strict, safe, complete only with the authors' data."""

from dataclasses import replace

import pytest
import torch
import zoo_masksdm
from masksdm_layouts import write_geoplant, write_splot
from zoo_masksdm.variants import RELEASED

from zoo import plugins, registry
from zoo.builders import builder_of
from zoo.checkpoints.loading import load_into
from zoo.convert import convert_checkpoint
from zoo.errors import ConfigError, HubError, InputError, SpecError, WeightsError, ZooWarning
from zoo.model import load
from zoo.testing import parity
from zoo.testing.filled import filled_like

KINDS = {(one.builder, one.config.get("kinds"), one.inputs[0].label): one.tag for one in reversed(RELEASED)}
SMALL = {"width": 24, "blocks": 2, "heads": 4, "layers": 2}
SPECIES = {"sPlotOpen": 4, "GeoPlant": 2}  # of the tiny layouts
ROOT = parity.root()


def forget():
    plugins.plugins.cache_clear()
    registry.entries.cache_clear()


@pytest.fixture
def describe(monkeypatch):
    """`describe(tag, **config)`: the registered variant, small, and with changes of its weights."""

    def do(tag, *, weights=None, **config):
        variant = next(one for one in RELEASED if one.tag == tag)
        sizes = {key: SMALL.get(key, value) for key, value in variant.config.items()}
        sizes["num_classes"] = SPECIES[variant.inputs[0].label]
        changed = replace(variant, config={**sizes, **config}, weights=replace(variant.weights, **(weights or {})))
        monkeypatch.setattr(zoo_masksdm, "SPEC", replace(zoo_masksdm.SPEC, variants=(changed,)))
        forget()
        return changed

    yield do
    monkeypatch.undo()
    forget()


def filled_state(variant):
    """What `torch.save(model.state_dict())` of the authors holds: weights under their names, nothing else."""
    network = builder_of("zoo-masksdm", variant)()
    return {key: one for key, one in filled_like(network, 3).items() if key not in variant.weights.allowed_missing}


@pytest.mark.parametrize("tag", sorted(KINDS.values()))
def test_a_file_and_the_data_make_a_complete_entry(tag, describe, tmp_path):
    variant = describe(tag)
    state = filled_state(variant)
    torch.save(state, tmp_path / "epoch.pt")
    (tmp_path / "data").mkdir()
    (write_geoplant if tag.startswith("geoplant") else write_splot)(tmp_path / "data")
    report = convert_checkpoint(f"masksdm@{tag}", tmp_path / "epoch.pt", tmp_path / "out", data=tmp_path / "data")
    assert report.loaded == len(state)
    model = load(f"{tmp_path}/out", device="cpu")
    assert len(model.variant.classes) == SPECIES[variant.inputs[0].label]
    assert len(model.variant.inputs[0].steps[0].mean) == variant.config["features"]
    for key, one in state.items():
        assert torch.equal(model.module.state_dict()[key], one)
    first = variant.inputs[0].band_ids[0]
    low, high = (-1.5, 1.5) if tag.startswith("geoplant") else (7.5, 12.5)
    (tmp_path / "sites.csv").write_text(f"id,{first},a column too many\none,{high},3\ntwo,{low},4\n")
    with pytest.warns(ZooWarning, match="are not there and count as missing"):
        table = model.predict(tmp_path / "sites.csv").table.to_pydict()
    assert table["id"] == ["one", "two"]
    values = [table[name] for name in model.variant.classes]
    assert all(0 < one < 1 for column in values for one in column)
    assert any(column[0] != column[1] for column in values)


def test_imputing_networks_take_their_fill_from_the_data(describe, tmp_path):
    variant = describe("splot-median")
    torch.save(filled_state(variant), tmp_path / "epoch.pt")
    (tmp_path / "data").mkdir()
    write_splot(tmp_path / "data")
    convert_checkpoint("masksdm@splot-median", tmp_path / "epoch.pt", tmp_path / "out", data=tmp_path / "data")
    module = load(f"{tmp_path}/out", device="cpu").module
    assert module.fill_predictors.abs().max() > 0.05  # medians of standardised numbers are near the mean, not it
    assert module.fill_predictors.abs().max() < 1
    assert 0 < module.fill_satclip.abs().max() < 1


def test_without_the_data_zoo_says_what_is_missing(describe, tmp_path):
    variant = describe("splot", num_classes=12_738)
    torch.save({"mask_token": torch.zeros(24)}, tmp_path / "epoch_178.pt")
    with pytest.raises(
        ConfigError, match=r"weights alone; .* 61 predictors and the names of 12738 species.*--data FOLDER"
    ):
        convert_checkpoint("masksdm@splot", tmp_path / "epoch_178.pt", tmp_path / "out")
    write_splot(tmp_path)
    with pytest.raises(InputError, match=r"4 species .* answers for 12738: these are not the data"):
        convert_checkpoint("masksdm@splot", tmp_path / "epoch_178.pt", tmp_path / "out", data=tmp_path)
    assert not (tmp_path / "out").exists()
    with pytest.raises(HubError, match=variant.weights.archive):
        load("masksdm")


class Malicious:
    def __reduce__(self):
        return print, ("ran",)


def truncated(state, path):
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-400])


def renamed(state, path):
    torch.save({key.replace("head.linear", "classifier"): one for key, one in state.items()}, path)


def of_other_species(state, path):
    torch.save(state | {"head.linear.bias": torch.zeros(7), "head.linear.weight": torch.zeros(7, 24)}, path)


def pickled_call(state, path):
    torch.save(state | {"mask_token": Malicious()}, path)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (truncated, "epoch.pt"),
        (renamed, r"missing from the file, 2: head.linear.weight .* \(near: classifier.weight"),
        (of_other_species, "head.linear.weight is 7x24, expected 4x24"),
        (pickled_call, "has no state dict"),
    ],
)
def test_spoiled_files_are_refused_and_nothing_is_written(spoil, complaint, describe, tmp_path, capsys):
    variant = describe("splot")
    spoil(filled_state(variant), tmp_path / "epoch.pt")
    write_splot(tmp_path)
    before = {one.name for one in tmp_path.iterdir()}
    with pytest.raises(WeightsError, match=complaint):
        convert_checkpoint("masksdm@splot", tmp_path / "epoch.pt", tmp_path / "out", data=tmp_path)
    assert {one.name for one in tmp_path.iterdir()} == before
    assert "ran" not in capsys.readouterr().out


def hub_variant(describe, case):
    """The recorded sizes, from a mirror on a Hub."""
    config = case.config
    return describe(
        "splot",
        weights={"repo": "someone/masksdm", "file": "epoch_178.pt", "archive": None},
        features=config["n_features"],
        num_classes=config["d_out"],
        width=config["d_hidden"],
        blocks=config["n_blocks"],
        heads=config["n_heads"],
    )


@pytest.mark.skipif(ROOT is None, reason="parity skipped: no folder of recorded cases (set ZOO_PARITY)")
def test_a_mirror_on_a_hub_gives_the_recorded_answers(describe, zoo_hub, tmp_path):
    case = parity.read_case(ROOT / "masksdm" / "ftt_tiny")
    variant = hub_variant(describe, case)
    torch.save(case.state_dict, tmp_path / "epoch.pt")
    content = (tmp_path / "epoch.pt").read_bytes()
    zoo_hub.repository("someone/masksdm").commit({}, {variant.weights.file: content})
    model = load("masksdm", device="cpu")
    given = case.inputs
    keep = given["satclip_keep"].bool()[:, None].expand(-1, 256)
    logits = model.forward(
        {"predictors": given["x"], "satclip": given["satclip"]},
        valid={"predictors": given["keep_mask"].bool(), "satclip": keep},
    ).logits
    torch.testing.assert_close(logits, case.outputs["logits"], atol=1e-5, rtol=1e-5)
    with pytest.raises(SpecError, match="names no species"):
        model.predict(tmp_path / "sites.csv")


def test_a_file_loads_strictly_into_each_released_kind(describe, tmp_path):
    for tag in KINDS.values():
        variant = describe(tag)
        state = filled_state(variant)
        torch.save(state, tmp_path / "epoch.pt")
        module, report = load_into(builder_of("zoo-masksdm", variant), tmp_path / "epoch.pt", variant.weights)
        assert report.loaded == len(state)
        assert all(torch.equal(module.state_dict()[key], one) for key, one in state.items())
