"""Strict loading: what is computed is kept, what is loaded is loaded once, and what does not fit is said."""

import math
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from zoo.checkpoints.construct import build_on_meta
from zoo.checkpoints.loading import convert, load_into, read_state_dict
from zoo.errors import SpecError, WeightsError
from zoo.spec import Layout, Weights


class Toy(nn.Module):
    """Parameters, buffers of every sort, tied weights, a frozen table, recurrent weights and a plain tensor."""

    def __init__(self, classes=3):
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight
        self.norm = nn.BatchNorm1d(4)
        self.recurrent = nn.LSTM(4, 4)
        self.classes = nn.Linear(4, classes)
        angle = torch.arange(5.0)[:, None] * 10_000 ** -torch.linspace(0, 1, 2)
        table = torch.cat([angle.sin(), angle.cos()], dim=1)
        self.register_buffer("table", table, persistent=False)
        self.register_buffer("steps", torch.arange(5))
        self.register_buffer("none", None)
        self.register_buffer("whole", torch.linspace(0, 1, 6))
        self.register_buffer("first", self.whole[:3], persistent=False)  # follows `whole`
        self.position = nn.Parameter(torch.zeros(1, 5, 4), requires_grad=False)
        self.position.data.copy_(table)
        self.scale = torch.full((2,), math.sqrt(4))
        self.rates = [float(rate) for rate in torch.linspace(0, 0.1, 3)]
        nn.init.trunc_normal_(self.classes.weight, std=0.02)


def ordinary(state, factory=Toy):
    """What loading must equal: construction, then torch's own strict load."""
    module = factory()
    module.load_state_dict(state)
    return module


@pytest.fixture
def trained(tmp_path):
    """A state dict whose every number differs from any constructor's, and its file."""
    torch.manual_seed(3)
    state = {key: (torch.randn(one.shape) * 9).to(one.dtype) for key, one in Toy().state_dict().items()}
    state["head.weight"] = state["embed.weight"].clone()
    save_file(state, tmp_path / "toy.safetensors")
    return state, tmp_path / "toy.safetensors"


def same(left, right):
    """Both networks have equal tensors, of equal type and place, under equal names."""
    pairs = [
        (dict(left.named_parameters(remove_duplicate=False)), dict(right.named_parameters(remove_duplicate=False))),
        (dict(left.named_buffers()), dict(right.named_buffers())),
        (left.state_dict(), right.state_dict()),
    ]
    for ours, theirs in pairs:
        assert ours.keys() == theirs.keys()
        for name, tensor in theirs.items():
            torch.testing.assert_close(ours[name], tensor, rtol=0, atol=0, msg=name)
            assert ours[name].requires_grad == tensor.requires_grad, name
    return True


def test_every_tensor_equals_that_of_ordinary_construction(trained):
    state, file = trained
    module, report = load_into(Toy, file, Weights(file="toy.safetensors"))
    expected = ordinary(state)
    assert same(module, expected)
    assert torch.equal(module.scale, expected.scale)
    assert module.rates == expected.rates
    assert not report.copied
    assert report.loaded == len(state)
    assert report.numbers == sum(tensor.numel() for tensor in state.values())
    assert not report.missing
    assert not report.ignored


def test_the_loaded_network_computes_what_the_ordinary_one_computes(trained):
    state, file = trained
    module, _ = load_into(Toy, file, Weights(file="toy.safetensors"))
    x = torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(module.recurrent(x)[0], ordinary(state).recurrent(x)[0])


def test_views_between_buffers_survive(trained):
    _, file = trained
    module, _ = load_into(Toy, file, Weights(file="toy.safetensors"))
    assert torch.equal(module.first, module.whole[:3])
    assert module.first.data_ptr() == module.whole.data_ptr()


def test_tied_parameters_stay_one_parameter(trained):
    _, file = trained
    module, _ = load_into(Toy, file, Weights(file="toy.safetensors"))
    assert module.head.weight is module.embed.weight


def test_one_name_of_a_tied_parameter_is_enough(trained, tmp_path):
    state, _ = trained
    file = tmp_path / "one.safetensors"
    save_file({key: tensor for key, tensor in state.items() if key != "head.weight"}, file)
    module, report = load_into(Toy, file, Weights(file="one.safetensors"))
    assert torch.equal(module.head.weight, state["embed.weight"])
    assert report.missing == ()


def test_different_numbers_for_a_tied_parameter_are_refused(trained, tmp_path):
    state, _ = trained
    file = tmp_path / "untied.safetensors"
    save_file({**state, "head.weight": state["head.weight"] + 1}, file)
    with pytest.raises(WeightsError, match=r"ties 'embed\.weight' and 'head\.weight'"):
        load_into(Toy, file, Weights(file="untied.safetensors"))


def test_weights_are_not_initialised_and_not_copied(trained):
    """The parameters' bytes are the file's mapping, and no initialiser ran on real memory."""
    _, file = trained
    drawn = torch.get_rng_state()
    module, _ = load_into(Toy, file, Weights(file="toy.safetensors"))
    assert torch.equal(torch.get_rng_state(), drawn)
    spans = [
        tuple(int(end, 16) for end in line.split()[0].split("-"))
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(str(file))
    ]
    assert all(any(low <= one.data_ptr() < high for low, high in spans) for one in module.parameters())


def test_writing_into_loaded_weights_leaves_the_file_alone(trained):
    state, file = trained
    module, _ = load_into(Toy, file, Weights(file="toy.safetensors"))
    with torch.no_grad():
        module.classes.weight.add_(1)
    assert torch.equal(load_file(file)["classes.weight"], state["classes.weight"])


def test_parameters_keep_the_type_of_the_network_when_the_file_is_in_half_precision(trained, tmp_path):
    state, _ = trained
    file = tmp_path / "half.safetensors"
    halved = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    save_file(halved, file)
    module, report = load_into(Toy, file, Weights(file="half.safetensors"))
    assert module.classes.weight.dtype == torch.float32
    assert torch.equal(module.classes.weight, state["classes.weight"].half().float())
    assert "classes.weight" in report.cast


# ---------------------------------------------------------------------------- constructors that need their parameters


class FromParameter(nn.Module):
    """Computes a buffer from the values of a parameter."""

    def __init__(self):
        super().__init__()
        self.fixed = nn.Parameter(torch.arange(4.0))
        self.register_buffer("twice", self.fixed.detach() * 2, persistent=False)


class ReadsParameter(nn.Module):
    """Looks at the values of a parameter."""

    def __init__(self):
        super().__init__()
        self.fixed = nn.Parameter(torch.arange(4.0))
        self.limit = float(self.fixed.detach().max())


class SeededFeatures(nn.Module):
    """Random features from a seed set before an initialiser: skipping that one would change them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.fixed = nn.Linear(3, 3)
        self.register_buffer("features", torch.randn(3, 3), persistent=False)


class ForkedFeatures(nn.Module):
    """The same in a fork, beside a parameter drawn outside it."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.randn(2))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.fixed = nn.Linear(3, 3)
            self.register_buffer("features", torch.randn(3, 3), persistent=False)


class OwnGenerator(nn.Module):
    """The same, from a generator of its own."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.fixed = nn.Parameter(torch.empty(4))
        nn.init.normal_(self.fixed, generator=generator)
        self.register_buffer("features", torch.randn(3, generator=generator), persistent=False)


class PlainTensor(nn.Module):
    """Keeps a tensor computed from a parameter as a plain attribute, in a list."""

    def __init__(self):
        super().__init__()
        self.fixed = nn.Parameter(torch.arange(4.0))
        self.kept = [self.fixed.detach() + 1]


@pytest.mark.parametrize(
    "factory", [FromParameter, ReadsParameter, SeededFeatures, ForkedFeatures, OwnGenerator, PlainTensor]
)
def test_constructors_that_need_real_parameters_are_run_ordinarily(factory, tmp_path):
    state = {key: torch.full_like(tensor, 7) for key, tensor in factory().state_dict().items()}
    save_file(state, tmp_path / "x.safetensors")
    before = torch.get_rng_state()
    module, report = load_into(factory, tmp_path / "x.safetensors", Weights(file="x.safetensors"))
    assert torch.equal(torch.get_rng_state(), before)
    assert report.copied
    expected = ordinary(state, factory)
    assert same(module, expected)
    assert getattr(module, "limit", None) == getattr(expected, "limit", None)
    assert all(
        torch.equal(a, b) for a, b in zip(getattr(module, "kept", []), getattr(expected, "kept", []), strict=True)
    )


class DrawnParameter(nn.Module):
    """Draws a parameter's values itself, as timm's position embedding, beside a computed buffer."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, 3, 4) * 0.02)
        self.register_buffer("table", torch.arange(3.0), persistent=False)


def test_a_parameter_drawn_by_the_constructor_does_not_need_ordinary_construction():
    module = build_on_meta(DrawnParameter)
    assert module is not None
    assert module.position.is_meta
    assert torch.equal(module.table, torch.arange(3.0))


INITIALISERS = """
import sys, torch
from torch import nn
from zoo.checkpoints.construct import build_on_meta

class Usual(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(4, 3, padding_idx=0)
        for name in ("normal", "xavier_normal", "kaiming_normal", "xavier_uniform", "trunc_normal", "eye", "orthogonal"):
            setattr(self, name, nn.Parameter(torch.empty(4, 4)))
            getattr(nn.init, name + "_")(getattr(self, name))
        self.older = nn.Parameter(torch.empty(4))
        self.older.data.uniform_(-1, 1).erfinv_().mul_(0.02).add_(1).clamp_(min=-2, max=2)  # timm's trunc_normal_

assert all(one.is_meta for one in build_on_meta(Usual).parameters())
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""


def test_initialisers_that_are_skipped_import_nothing():
    """On meta tensors torch answers `normal_` in Python, whose import takes longer than the initialisation saved."""
    done = subprocess.run([sys.executable, "-c", INITIALISERS], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_parameters_are_real_again_after_construction_even_when_it_failed():
    def broken():
        raise ValueError("no")

    assert build_on_meta(broken) is None
    assert nn.Linear(2, 2).weight.device.type == "cpu"


def test_a_constructor_that_fails_fails_the_load(trained):
    def broken():
        raise ValueError("no such depth")

    with pytest.raises(ValueError, match="no such depth"):
        load_into(broken, trained[1], Weights(file="toy.safetensors"))


# ------------------------------------------------------------------------------------------------------------ strictness


def changed(trained, tmp_path, add=None, drop=()):
    state = {key: tensor for key, tensor in trained[0].items() if key not in drop}
    save_file({**state, **(add or {})}, tmp_path / "changed.safetensors")
    return tmp_path / "changed.safetensors"


def test_a_missing_key_is_named_with_its_near_miss(trained, tmp_path):
    state, _ = trained
    file = changed(trained, tmp_path, {"class.weight": state["classes.weight"].clone()}, ["classes.weight"])
    with pytest.raises(WeightsError) as caught:
        load_into(Toy, file, Weights(file="x"))
    text = str(caught.value)
    assert "missing from the file, 1: classes.weight 3x4 (near: class.weight 3x4)" in text
    assert "unknown to the network, 1: class.weight 3x4 (near: classes.weight 3x4)" in text
    assert str(file) in text


def test_another_number_of_classes_is_a_difference_of_shape(trained):
    with pytest.raises(WeightsError, match=r"classes\.bias is 3, expected 10; classes\.weight is 3x4, expected 10x4"):
        load_into(lambda: Toy(classes=10), trained[1], Weights(file="toy.safetensors"))


def test_a_scalar_does_not_fill_a_vector(trained, tmp_path):
    """torch's copy would broadcast it."""
    file = changed(trained, tmp_path, {"classes.bias": torch.tensor([2.0])})
    with pytest.raises(WeightsError, match=r"classes\.bias is 1, expected 3"):
        load_into(Toy, file, Weights(file="x"))


def test_a_missing_computed_buffer_is_missing_too(trained, tmp_path):
    file = changed(trained, tmp_path, drop=["steps"])
    with pytest.raises(WeightsError, match=r"missing from the file, 1: steps 5"):
        load_into(Toy, file, Weights(file="x"))


def test_an_allowed_missing_buffer_keeps_its_computed_values(trained, tmp_path):
    file = changed(trained, tmp_path, drop=["steps"])
    module, report = load_into(Toy, file, Weights(file="x", allowed_missing=("steps",)))
    assert torch.equal(module.steps, torch.arange(5))
    assert report.missing == ("steps",)
    assert not report.copied


def test_an_allowed_missing_parameter_keeps_the_constructors_values(trained, tmp_path):
    file = changed(trained, tmp_path, drop=["position"])
    module, report = load_into(Toy, file, Weights(file="x", allowed_missing=("position",)))
    assert torch.equal(module.position[0], module.table)
    assert report.missing == ("position",)
    assert report.copied


def test_allowed_missing_is_exact_and_no_pattern(trained, tmp_path):
    file = changed(trained, tmp_path, drop=["classes.bias"])
    with pytest.raises(WeightsError, match="missing from the file, 1"):
        load_into(Toy, file, Weights(file="x", allowed_missing=("classes.*",)))


def test_ignored_keys_are_counted_and_others_refused(trained, tmp_path):
    extra = {"decoder.a": torch.ones(2), "decoder.b": torch.ones(2)}
    file = changed(trained, tmp_path, extra)
    _, report = load_into(Toy, file, Weights(file="x", ignored=("decoder.*",)))
    assert report.ignored == ("decoder.a", "decoder.b")
    assert "2 of the file not used, as allowed" in str(report)
    with pytest.raises(WeightsError, match=r"unknown to the network, 1: decoder\.b 2"):
        load_into(Toy, file, Weights(file="x", ignored=("decoder.a",)))


def test_ignored_keys_that_the_network_has_are_loaded(trained):
    state, file = trained
    module, _ = load_into(Toy, file, Weights(file="x", ignored=("classes.*",)))
    assert torch.equal(module.classes.weight, state["classes.weight"])


@pytest.mark.parametrize("prefix", ["model.", ""])
def test_a_shared_prefix_is_stripped_where_it_is(trained, tmp_path, prefix):
    state, _ = trained
    file = tmp_path / "p.safetensors"
    save_file({f"{prefix}{key}": tensor for key, tensor in state.items()} | {"loss.w": torch.ones(1)}, file)
    module, report = load_into(Toy, file, Weights(file="x", optional_prefix="model.", ignored=("loss.*",)))
    assert same(module, ordinary(state))
    assert report.prefix == (prefix or None)
    assert report.ignored == ("loss.w",)
    assert report.renamed == 0


def test_a_prefix_that_only_some_keys_have_is_not_stripped(trained, tmp_path):
    file = changed(trained, tmp_path, {"model.extra": torch.ones(1)})
    with pytest.raises(WeightsError, match=r"unknown to the network, 1: model\.extra"):
        load_into(Toy, file, Weights(file="x", optional_prefix="model."))


@pytest.fixture
def tables(monkeypatch):
    """A plugin's module of renames."""
    module = types.ModuleType("toy_weights")
    module.TABLE = {"backbone.": "", re.compile(r"^fc(\d)\."): "classes.", "lookup": "embed.weight"}
    module.CLASH = {"steps": "whole"}
    module.split = lambda state: {**{k: v for k, v in state.items() if k != "fused"}, "classes.bias": state["fused"][0]}
    monkeypatch.setitem(sys.modules, "toy_weights", module)
    return module


def test_renames_by_prefix_pattern_and_whole_key(trained, tmp_path, tables):
    state, _ = trained
    theirs = {
        f"backbone.{key}".replace("classes.", "fc3.").replace("backbone.fc3", "fc3"): one for key, one in state.items()
    }
    theirs["lookup"] = theirs.pop("backbone.embed.weight")
    save_file(theirs, tmp_path / "t.safetensors")
    module, report = load_into(Toy, tmp_path / "t.safetensors", Weights(file="x", renames="toy_weights:TABLE"))
    assert same(module, ordinary(state))
    assert report.renamed == len(state)


def test_renames_by_a_function(trained, tmp_path, tables):
    state, _ = trained
    file = changed(trained, tmp_path, {"fused": torch.stack([state["classes.bias"] + 1] * 2)}, ["classes.bias"])
    module, _ = load_into(Toy, file, Weights(file="x", renames="toy_weights:split"))
    assert torch.equal(module.classes.bias, state["classes.bias"] + 1)


def test_renames_that_merge_two_keys_are_refused(trained, tables):
    with pytest.raises(WeightsError, match="keys 'steps' and 'whole' of the file both become 'whole'"):
        load_into(Toy, trained[1], Weights(file="x", renames="toy_weights:CLASH"))


def test_renames_that_do_not_exist_are_named(trained, tables):
    with pytest.raises(SpecError, match="toy_weights:NONE"):
        load_into(Toy, trained[1], Weights(file="x", renames="toy_weights:NONE"))


# ------------------------------------------------------------------------------------------------------- damaged files


@pytest.mark.parametrize("cut", [1, 100, "half", "all"])
def test_a_file_cut_short_is_refused(trained, cut):
    _, file = trained
    data = file.read_bytes()
    keep = {"half": len(data) // 2, "all": 0}.get(cut, len(data) - cut if isinstance(cut, int) else 0)
    file.write_bytes(data[:keep])
    with pytest.raises(WeightsError, match="fetch it again"):
        load_into(Toy, file, Weights(file="toy.safetensors"))


def test_a_file_with_bytes_after_its_end_is_refused(trained):
    _, file = trained
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        load_into(Toy, file, Weights(file="toy.safetensors"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        load_into(Toy, tmp_path / "none.safetensors", Weights(file="none.safetensors"))


def test_a_pickle_under_a_safetensors_name_is_not_unpickled(tmp_path):
    torch.save(Toy().state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(WeightsError, match="zoo convert"):
        load_into(Toy, tmp_path / "m.safetensors", Weights(file="m.safetensors"))


def test_a_wrong_type_of_number_is_refused(trained, tmp_path):
    file = changed(trained, tmp_path, {"steps": torch.ones(5)})
    with pytest.raises(WeightsError, match=r"steps is torch\.float32 in the file, the network expects torch\.int64"):
        load_into(Toy, file, Weights(file="x"))


# ----------------------------------------------------------------------------------------------------------- converting


def test_convert_writes_the_networks_keys(trained, tmp_path):
    state, _ = trained
    torch.save(
        {"state_dict": {f"model.{key}": tensor for key, tensor in state.items()}, "epoch": 3}, tmp_path / "a.ckpt"
    )
    weights = Weights(file="a.ckpt", layout=Layout.LIGHTNING, optional_prefix="model.")
    convert(tmp_path / "a.ckpt", weights, tmp_path / "out.safetensors")
    written = load_file(tmp_path / "out.safetensors")
    assert written.keys() == state.keys()
    assert all(torch.equal(written[key], state[key]) for key in state)


def test_read_state_dict_gives_the_authors_keys(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    state, file = trained
    torch.save({"state_dict": {f"model.{key}": tensor for key, tensor in state.items()}}, tmp_path / "a.ckpt")
    assert set(read_state_dict(tmp_path / "a.ckpt", Layout.LIGHTNING)) == {f"model.{key}" for key in state}
    assert set(read_state_dict(file, Layout.SAFETENSORS)) == set(state)
