"""Saved models: written whole, read back to the same numbers, and never a way to run code."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import zoo
from zoo.checkpoints.folders import check_golden, read_folder, read_golden, save_model
from zoo.errors import OutputError, SpecError, UnknownModel, WeightsError

PLUGIN = """
    import torch
    from torch import nn
    from dataclasses import replace
    from typing import NamedTuple
    from zoo.spec import Normalise, Weights

    class Out(NamedTuple):
        logits: torch.Tensor

    class Net(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.conv = nn.Conv2d(1, width, 1)
            self.again = self.conv
            self.register_buffer("table", torch.arange(4.0), persistent=False)

        def forward(self, image):
            return Out(logits=self.conv(image) + self.table.sum())

    def build(width=2):
        return Net(width)

    @hookimpl
    def zoo_register_models():
        spec = model("toy")
        variants = tuple(
            replace(one, builder="zoo_toy:build", config={"width": width},
                    weights=Weights(file="toy.pth", repo="org/toy", renames="zoo_toy:RENAMES", license="MIT"))
            for one, width in zip(spec.variants, (2, 3))
        )
        return [replace(spec, variants=variants)]

    RENAMES = {"stem.": "conv."}
"""


@pytest.fixture
def toy(make_plugin):
    make_plugin("toy", PLUGIN)
    return zoo.build("toy@large", seed=3, device="cpu")


def test_a_saved_model_loads_to_the_same_numbers(toy, tmp_path):
    save_model(toy, tmp_path / "saved")
    again = zoo.load(str(tmp_path / "saved"), device="cpu")
    x = torch.randn(2, 1, 5, 5)
    assert torch.equal(again.forward({"image": x}).logits, toy.forward({"image": x}).logits)
    assert again.variant.config == {"width": 3}
    assert again.variant.inputs == toy.variant.inputs
    assert again.origin.sha256 == hashlib.sha256((tmp_path / "saved/model.safetensors").read_bytes()).hexdigest()


def test_the_folder_holds_data_and_nothing_else(toy, tmp_path):
    save_model(toy, tmp_path / "saved")
    names = sorted(path.name for path in (tmp_path / "saved").iterdir())
    assert names == ["README.md", "config.json", "golden.safetensors", "model.safetensors"]
    assert [path.name for path in tmp_path.iterdir() if path.name != "site"] == ["saved"]
    config = json.loads((tmp_path / "saved/config.json").read_text())
    assert (config["model"], config["variant"]["tag"], config["zoo_version"]) == ("toy", "large", zoo.__version__)
    assert config["variant"]["weights"]["renames"] is None
    assert config["license"] == "MIT"


def test_saving_twice_writes_the_same_bytes(toy, tmp_path):
    for name in ("a", "b"):
        save_model(toy, tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_golden_tensors_replay_and_notice_another_network(toy, tmp_path):
    save_model(toy, tmp_path / "saved")
    inputs, outputs = read_golden(tmp_path / "saved")
    assert inputs["image"].shape == (1, 1, 64, 64)
    assert torch.equal(toy.forward({"image": inputs["image"]}).logits, outputs["logits"])
    assert check_golden(zoo.load(str(tmp_path / "saved"), device="cpu"), tmp_path / "saved") == 0.0
    other = zoo.build("toy@large", seed=4, device="cpu")
    with pytest.raises(WeightsError, match="output logits differs by"):
        check_golden(other, tmp_path / "saved")


def test_saving_keeps_the_prose_of_the_card(toy, tmp_path):
    card = save_model(toy, tmp_path / "saved") / "README.md"
    card.write_text(card.read_text().replace("*To be written.*", "For kelp."))
    save_model(toy, tmp_path / "saved")
    assert card.read_text().count("For kelp.") == 2


def test_a_folder_of_something_else_is_left_alone(toy, tmp_path):
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("dear")
    with pytest.raises(OutputError, match="holds other files"):
        save_model(toy, other)
    (other / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(OutputError, match=r"config\.json of something else"):
        save_model(toy, other)
    assert sorted(path.name for path in other.iterdir()) == ["config.json", "thesis.txt"]


def test_a_failure_leaves_the_old_folder_whole(toy, tmp_path, monkeypatch):
    save_model(toy, tmp_path / "saved")
    before = {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoo.checkpoints.layouts.save_file", full)
    with pytest.raises(OutputError, match="No space left"):
        save_model(toy, tmp_path / "saved")
    assert {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir() if path.name != "site"] == ["saved"]


# ------------------------------------------------------------------------------------------------------- what is refused


def edit(folder: Path, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize("builder", ["os:system", "zoo_toy:Net", "builtins:eval", "zoo_toy:build.__globals__"])
def test_a_folder_cannot_name_code_of_its_own(toy, tmp_path, builder):
    folder = save_model(toy, tmp_path / "saved")
    variant = json.loads((folder / "config.json").read_text())["variant"]
    edit(folder, variant={**variant, "builder": builder, "config": {"command": f"touch {tmp_path / 'owned'}"}})
    with pytest.raises(SpecError, match="never code"):
        zoo.load(str(folder))
    assert not (tmp_path / "owned").exists()


def test_renames_of_a_folder_are_not_imported(toy, tmp_path):
    folder = save_model(toy, tmp_path / "saved")
    variant = json.loads((folder / "config.json").read_text())["variant"]
    edit(folder, variant={**variant, "weights": {**variant["weights"], "renames": "antigravity:fly"}})
    assert read_folder(folder).weights.renames is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data[:-1], "SHA-256"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "SHA-256"),
        (lambda data: b"", "SHA-256"),
    ],
)
def test_altered_weights_are_refused(toy, tmp_path, change, told):
    folder = save_model(toy, tmp_path / "saved")
    zoo.load(str(folder), device="cpu")  # remembered as good
    file = folder / "model.safetensors"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(WeightsError, match=told):
        zoo.load(str(folder), device="cpu")


def test_missing_pieces_are_named(toy, tmp_path):
    folder = save_model(toy, tmp_path / "saved")
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"model\.safetensors is missing"):
        read_folder(folder)
    (folder / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"has no config\.json"):
        read_folder(folder)
    with pytest.raises(WeightsError, match="no such folder"):
        read_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"zoo_format": 99}, SpecError, "upgrade"),
        ({"model": "nobody"}, UnknownModel, "nobody"),
        ({"weights_sha256": "0" * 64}, WeightsError, "expected 0000"),
        ({"variant": {"tag": "x"}}, SpecError, "builder"),
        ({"variant": 3}, SpecError, "variant"),
        ({"zoo_format": None}, SpecError, "not zoo's"),
    ],
)
def test_a_wrong_description_is_refused(toy, tmp_path, changes, error, told):
    folder = save_model(toy, tmp_path / "saved")
    edit(folder, **changes)
    with pytest.raises(error, match=told):
        read_folder(folder)


# ----------------------------------------------------------------------------------------------------------- zoo convert


def theirs(toy, path):
    """The authors' file: other keys, pickled, with more than weights inside."""
    state = {key.replace("conv.", "stem."): one for key, one in toy.module.state_dict().items() if "again" not in key}
    torch.save({"state_dict": state, "epoch": 7, "scheduler": nn.Identity()}, path)
    return path


def test_convert_writes_a_folder_that_loads(toy, tmp_path, zoo_command):
    file = theirs(toy, tmp_path / "best.pth")
    code, out, _ = zoo_command("convert", "toy@large", file, tmp_path / "mine", "--layout", "torch")
    assert (code, "2 tensors (6 numbers) loaded, 2 renamed" in out) == (0, True)
    again = zoo.load(str(tmp_path / "mine"), device="cpu")
    assert torch.equal(again.module.conv.weight, toy.module.conv.weight)
    assert json.loads((tmp_path / "mine/config.json").read_text())["made_from"]["name"] == "best.pth"


def test_convert_writes_the_weights_alone(toy, tmp_path, zoo_command):
    file = theirs(toy, tmp_path / "best.pth")
    code, _, err = zoo_command("convert", "toy@large", file, tmp_path / "mine.safetensors")
    assert code == 0, err
    assert set(load_file(tmp_path / "mine.safetensors")) == set(toy.module.state_dict())


def test_convert_refuses_a_file_of_another_variant(toy, tmp_path, zoo_command):
    file = theirs(toy, tmp_path / "best.pth")
    code, _, err = zoo_command("convert", "toy@small", file, tmp_path / "mine")
    assert code == 1
    assert "conv.weight is 3x1x1x1, expected 2x1x1x1" in err
    assert not (tmp_path / "mine").exists()


def test_convert_does_not_overwrite_its_source(toy, tmp_path, zoo_command):
    file = theirs(toy, tmp_path / "best.safetensors")
    before = file.read_bytes()
    code, _, err = zoo_command("convert", "toy@large", file, file)
    assert (code, "give another name" in err) == (1, True)
    assert file.read_bytes() == before
