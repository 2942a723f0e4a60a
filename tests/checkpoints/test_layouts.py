"""Layouts of other projects as state dicts, and their converted copies in the cache."""

import os
import re
import time

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import zoo.checkpoints.layouts
from zoo.checkpoints.layouts import read_cached, read_layout, save_safetensors
from zoo.checkpoints.loading import load_into
from zoo.errors import OutputError, WeightsError, ZooWarning
from zoo.hub.records import sha256_of, zoo_cache
from zoo.spec import Layout, Weights


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 3)
        self.names = {0: "fin", 1: "fluke"}
        self.stride = torch.tensor([8.0, 16.0])
        self.span = (1, 2.5)


STATE = {"fc.weight": torch.arange(6.0).reshape(3, 2), "fc.bias": torch.tensor([7.0, 8.0, 9.0])}


def network(factor=1.0):
    net = Net()
    net.load_state_dict({key: tensor * factor for key, tensor in STATE.items()})
    return net


def same(found, expected=STATE):
    assert found.keys() == expected.keys()
    return all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("layout", "value"),
    [
        (Layout.TORCH, STATE),
        (Layout.TORCH, {"state_dict": STATE, "epoch": 1, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}),
        (Layout.TORCH, {"model_state_dict": STATE, "loss": 0.5}),
        (Layout.TORCH, {"model": network(), "optimizer": object()}),
        (Layout.TORCH, {"model": STATE, "ema": None}),
        (Layout.TORCH, network()),
        (Layout.LIGHTNING, {"state_dict": STATE, "pytorch-lightning_version": "2.2.0", "callbacks": {"x": object()}}),
        (Layout.TRANSFORMERS, STATE),
        (Layout.OPEN_CLIP, STATE),
        (Layout.OPEN_CLIP, {"module." + key: tensor for key, tensor in STATE.items()}),
        (Layout.OPEN_CLIP, {"epoch": 3, "state_dict": {"module." + key: tensor for key, tensor in STATE.items()}}),
        (Layout.ULTRALYTICS, {"model": network(), "ema": None}),
        (Layout.ULTRALYTICS, {"model": network(5), "ema": network()}),
    ],
)
def test_each_layout_gives_the_authors_state_dict(tmp_path, layout, value):
    torch.save(value, tmp_path / "w.pt")
    assert same(read_layout(tmp_path / "w.pt", layout).state)
    assert same(read_cached(tmp_path / "w.pt", layout).state)


@pytest.mark.parametrize(
    ("layout", "value", "told"),
    [
        (Layout.TORCH, {"epoch": 1, "lr": 0.1}, "a dict with epoch, lr"),
        (Layout.TORCH, [1, 2], "found a list"),
        (Layout.TORCH, {}, "nothing in it"),
        (Layout.TORCH, {"state_dict": {"a": 1}}, "a dict with state_dict"),
        (Layout.TORCH, {"state_dict": {"a": torch.eye(2).to_sparse()}}, "no state dict"),
        (Layout.LIGHTNING, {"model": STATE}, re.escape("under one of state_dict (layout lightning)")),
        (Layout.ULTRALYTICS, {"state_dict": STATE}, "under one of ema, model"),
        (Layout.TORCH, object(), "left of builtins.object|a NoneType|left of"),
    ],
)
def test_a_file_without_a_state_dict_is_described(tmp_path, layout, value, told):
    torch.save(value, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=told):
        read_layout(tmp_path / "w.pt", layout)


def test_a_safetensors_file_is_known_by_its_contents(tmp_path):
    save_file(STATE, tmp_path / "open_clip_pytorch_model.bin")
    assert same(read_cached(tmp_path / "open_clip_pytorch_model.bin", Layout.OPEN_CLIP).state)
    assert not (zoo_cache() / "converted").exists()


def test_what_a_network_holds_beside_its_weights_survives_the_cache(tmp_path):
    torch.save({"model": network(), "hyper_parameters": {"config": {"width": 3, "sizes": (1, 2)}}}, tmp_path / "w.pt")
    for _ in range(2):
        found = read_cached(tmp_path / "w.pt", Layout.TORCH).attributes
        assert found["names"] == {0: "fin", 1: "fluke"}
        assert found["span"] == (1, 2.5)
        assert torch.equal(found["stride"], torch.tensor([8.0, 16.0]))
        assert found["hyper_parameters"] == {"config": {"width": 3, "sizes": (1, 2)}}
        assert same(read_cached(tmp_path / "w.pt", Layout.TORCH).state)


# ------------------------------------------------------------------------------------------------------------- the cache


@pytest.fixture
def source(tmp_path):
    torch.save({"state_dict": STATE}, tmp_path / "w.pt")
    return tmp_path / "w.pt"


@pytest.fixture
def reads(monkeypatch):
    """Names of the pickled files that were opened."""
    opened = []
    ordinary = zoo.checkpoints.layouts.read_pickled
    monkeypatch.setattr(
        zoo.checkpoints.layouts, "read_pickled", lambda path: opened.append(path.name) or ordinary(path)
    )
    return opened


def copies():
    return sorted((zoo_cache() / "converted").glob("*.safetensors"))


def test_a_file_is_converted_once_and_named_by_its_hash(source, reads):
    for _ in range(3):
        assert same(read_cached(source, Layout.TORCH).state)
    assert reads == ["w.pt"]
    assert [copy.name for copy in copies()] == [
        f"{sha256_of(source)}-torch-{zoo.checkpoints.layouts.READER}.safetensors"
    ]


def test_the_same_bytes_elsewhere_use_the_same_copy(source, reads, tmp_path):
    read_cached(source, Layout.TORCH)
    (tmp_path / "other.pt").write_bytes(source.read_bytes())
    assert same(read_cached(tmp_path / "other.pt", Layout.TORCH).state)
    assert reads == ["w.pt"]


def test_another_file_of_the_same_name_and_size_is_converted_anew(source, reads):
    read_cached(source, Layout.TORCH)
    size = source.stat().st_size
    changed = {key: tensor + 1 for key, tensor in STATE.items()}
    torch.save({"state_dict": changed}, source)
    os.utime(source, ns=(time.time_ns(), time.time_ns() + 10**9))
    assert source.stat().st_size == size
    assert same(read_cached(source, Layout.TORCH).state, changed)
    assert reads == ["w.pt", "w.pt"]


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: d[:-1] + bytes([d[-1] ^ 1]), lambda _: b"", lambda d: d[:9]]
)
def test_a_damaged_copy_is_written_again(source, reads, damage):
    read_cached(source, Layout.TORCH)
    (copy,) = copies()
    copy.write_bytes(damage(copy.read_bytes()))
    os.utime(copy, ns=(0, 0))
    assert same(read_cached(source, Layout.TORCH).state)
    assert reads == ["w.pt", "w.pt"]
    assert same(read_cached(source, Layout.TORCH).state)
    assert reads == ["w.pt", "w.pt"]


def test_a_touched_but_whole_copy_is_kept(source, reads):
    read_cached(source, Layout.TORCH)
    os.utime(copies()[0], ns=(0, 0))
    assert same(read_cached(source, Layout.TORCH).state)
    assert reads == ["w.pt"]


def test_a_cache_that_cannot_be_written_costs_time_and_no_more(source, reads, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file"))  # a folder below it cannot be made, not even by root
    for _ in range(2):
        with pytest.warns(ZooWarning, match="will be converted at each load"):
            assert same(read_cached(source, Layout.TORCH).state)
    assert reads == ["w.pt", "w.pt"]


def test_a_full_disk_leaves_nothing_behind(source, monkeypatch):
    def full(_, path, __=None):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zoo.checkpoints.layouts, "save_file", full)
    with pytest.warns(ZooWarning, match="No space left"):
        assert same(read_cached(source, Layout.TORCH).state)
    assert [path for path in (zoo_cache() / "converted").iterdir() if path.is_file()] == []


def test_a_hostile_file_leaves_no_copy(tmp_path):
    torch.save({"state_dict": {"a": os.getcwd}}, tmp_path / "w.pt")
    with pytest.raises(WeightsError):
        read_cached(tmp_path / "w.pt", Layout.TORCH)
    assert copies() == []


def test_a_converted_checkpoint_loads_into_a_network(source):
    module, report = load_into(Net, source, Weights(file="w.pt", layout=Layout.LIGHTNING))
    assert same(module.state_dict())
    assert (report.loaded, report.copied) == (2, False)


# --------------------------------------------------------------------------------------------------------------- writing


def test_shared_and_turned_tensors_are_written_each(tmp_path):
    base = torch.arange(6.0).reshape(2, 3)
    save_safetensors({"a": base, "b": base, "c": base.t(), "d": base[1:]}, tmp_path / "s.safetensors")
    found = read_layout(tmp_path / "s.safetensors", Layout.SAFETENSORS).state
    assert same(found, {"a": base, "b": base, "c": base.t(), "d": base[1:]})


def test_the_same_tensors_make_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_safetensors(STATE, tmp_path / f"{name}.safetensors", '{"note": 1}')
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        save_safetensors(STATE, tmp_path / "file" / "s.safetensors")


@pytest.mark.parametrize("text", ["{", '{"a": {"tensor": "none"}}', "[1]", "[" * 100_000, '{"a": {"set": [[1]]}}'])
def test_false_attributes_of_a_safetensors_file_are_refused(tmp_path, text):
    save_file(STATE, tmp_path / "w.safetensors", {"zoo.attributes": text})
    with pytest.raises(WeightsError, match=r"zoo\.attributes"):
        read_layout(tmp_path / "w.safetensors", Layout.SAFETENSORS)


def test_written_files_are_readable_by_others(tmp_path):
    save_safetensors({"x": torch.zeros(2)}, tmp_path / "x.safetensors")
    assert (tmp_path / "x.safetensors").stat().st_mode & 0o777 == 0o644
