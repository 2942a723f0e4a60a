"""The quarantined reader: whole networks without their classes, and hostile files that do nothing.

The fixture of ScaleProtoSeg and the case `checkpoint_file_tiny` of POLO are read where the shared folders are there.
"""

import builtins
import codecs
import contextlib
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from archives import FLOATS, archive, integer, legacy, saved, state_dict, storage, tensor, text
from safetensors.torch import load_file
from torch import nn

from zoo.checkpoints.layouts import read_layout
from zoo.checkpoints.pickles import MAX_INSTRUCTIONS, Global, Record, read_pickle
from zoo.checkpoints.quarantine import is_module, module_attributes, module_state, read_pickled
from zoo.errors import WeightsError
from zoo.spec import Layout

SHARED = Path(os.environ.get("ZOO_PARITY", Path(__file__).parents[3] / "shared/parity")).parent
FLOATS_4 = {"0": struct.pack("<4f", 1, 2, 3, 4)}


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("steps", torch.arange(3), persistent=False)
        self.radii = {0: 50, 1: (3, 4.5)}
        self.kinds = {"a", "b"}
        self.weird = pickle.Pickler  # a class: no data


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()
        self.list = nn.ModuleList([nn.Conv1d(1, 1, 1), nn.PReLU()])
        self.tied = self.inner.linear
        self.epsilon = 1e-4
        self.prototypes = torch.eye(3)
        self.gain = nn.Parameter(torch.ones(2, dtype=torch.float16), requires_grad=False)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Outer()


# --------------------------------------------------------------------------------------------------- what must be read


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_whole_network_is_read_without_its_classes(network, tmp_path, zipped):
    torch.save(network, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    record = read_pickled(tmp_path / "net.pth")
    assert isinstance(record, Record)
    assert record.kind.name == "Outer"
    state, expected = module_state(record), network.state_dict()
    assert list(state) == list(expected)
    for key, value in expected.items():
        assert torch.equal(state[key], value), key
        assert state[key].dtype == value.dtype
    attributes = module_attributes(record)
    assert attributes["epsilon"] == 1e-4
    assert torch.equal(attributes["prototypes"], torch.eye(3))
    assert torch.equal(attributes["inner.steps"], torch.arange(3))
    assert attributes["inner.radii"] == {0: 50, 1: (3, 4.5)}
    assert attributes["inner.kinds"] == {"a", "b"}
    assert "inner.weird" not in attributes


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_every_protocol_is_read(network, tmp_path, protocol):
    (tmp_path / "net.pth").write_bytes(saved(network, pickle_protocol=protocol))
    assert module_state(read_pickled(tmp_path / "net.pth")).keys() == network.state_dict().keys()


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_is_read_as_pickle_reads_it(protocol):
    value = {
        "numbers": [0, -1, 255, 65535, 2**31, -(2**40), 2**200, True, False, None, 1.5, float("inf"), complex(1, 2)],
        "texts": ["", "é", "x" * 300, "a\nb\\"],
        "nested": ({1: {2: (3,)}}, [[]], (), {(1, "a"): 2}),
        "sets": [{1, 2}, frozenset({3}), set()],
    }
    assert read_pickle(pickle.dumps(value, protocol=protocol))[0] == value
    raw = [b"bytes", bytearray(b"array")]
    if protocol >= 3:
        found, _ = read_pickle(pickle.dumps(raw[:1], protocol=protocol))
        assert found == raw[:1]
    if protocol == 5:
        assert read_pickle(pickle.dumps(raw, protocol=5))[0] == raw


def test_tensors_of_every_type_and_shape_are_read(tmp_path):
    types = [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint8, torch.int32, torch.bool]
    base = torch.arange(24).reshape(4, 6)
    value = {str(kind): base.to(kind) for kind in types}
    value |= {"slice": base[1:3, ::2], "turned": base.t(), "scalar": torch.tensor(3.0), "empty": torch.empty(0, 5)}
    value |= {"expanded": torch.ones(1).expand(7), "parameter": nn.Parameter(torch.ones(2))}
    value |= {"complex": torch.ones(2, dtype=torch.complex64), "wide": torch.tensor([1, 60000], dtype=torch.uint16)}
    value |= {"narrow": torch.tensor([1.5, -2.0]).to(torch.float8_e4m3fn)}
    torch.save({"object": nn.Identity(), **value}, tmp_path / "t.pt")
    found = read_pickled(tmp_path / "t.pt")
    for key, one in value.items():
        assert found[key].dtype == one.dtype, key
        assert torch.equal(found[key].to(torch.complex64), one.to(torch.complex64)), key


def test_tensors_saved_on_a_gpu_are_read_on_the_cpu(tmp_path):
    where = storage("0", 4).replace(text("cpu"), text("cuda:3"))
    path = archive(tmp_path / "gpu.pt", state_dict(w=tensor(where, 0, (2, 2), (2, 1))), FLOATS_4)
    assert read_pickled(path)["w"].tolist() == [[1, 2], [3, 4]]


def test_files_that_torch_itself_cannot_read_without_the_classes(tmp_path):
    """Instances of classes that exist nowhere, as after a move of the authors' code."""
    pickled = (
        b"\x80\x02"
        b"cauthors.old\nNet\n)\x81}("
        + text("_parameters")
        + b"}"
        + text("_modules")
        + b"}"
        + (
            text("_buffers")
            + b"}"
            + text("w")
            + tensor(storage("0", 4), 0, (4,), (1,))
            + b"s"
            + text("scale")
            + b"K\x07ub."
        )
    )
    record = read_pickled(archive(tmp_path / "old.pt", pickled, FLOATS_4))
    assert is_module(record)
    assert record.kind == Global("authors.old", "Net")
    assert module_state(record)["w"].tolist() == [1, 2, 3, 4]
    assert module_attributes(record) == {"scale": 7}


def test_writing_into_a_read_tensor_leaves_the_file_alone(network, tmp_path):
    torch.save(network, tmp_path / "net.pth")
    before = (tmp_path / "net.pth").read_bytes()
    module_state(read_pickled(tmp_path / "net.pth"))["inner.linear.weight"].fill_(9)
    assert (tmp_path / "net.pth").read_bytes() == before


@pytest.mark.skipif(not (SHARED / "data/scaleprotoseg").is_dir(), reason="no shared data")
def test_the_network_of_scaleprotoseg():
    folder = SHARED / "data/scaleprotoseg"
    expected = load_file(folder / "tiny_group_model_expected.safetensors")
    found = read_layout(folder / "tiny_group_model.pth", Layout.TORCH)
    state = {key.removeprefix("state."): one for key, one in expected.items() if key.startswith("state.")}
    assert found.state.keys() == state.keys()
    assert all(torch.equal(found.state[key], state[key]) for key in state)
    for name in ("prototype_class_identity", "group_class_identity"):
        assert torch.equal(found.attributes[name].float(), expected[f"out.{name}"].float())
    assert found.attributes["scale_num_prototypes"] == {0: (0, 6), 1: (6, 12), 2: (12, 18), 3: (18, 24)}
    assert (found.attributes["num_scales"], found.attributes["epsilon"]) == (4, 1e-4)
    assert found.attributes["features.scales"] == []


@pytest.mark.skipif(not (SHARED / "parity/polo/checkpoint_file_tiny").is_dir(), reason="no shared cases")
def test_the_checkpoint_of_polo():
    folder = SHARED / "parity/polo/checkpoint_file_tiny"
    manifest = json.loads((folder / "manifest.json").read_text())
    found = read_layout(folder / manifest["config"]["file"], Layout.ULTRALYTICS)
    assert {key: list(one.shape) for key, one in found.state.items()} == {
        key: shape for key, shape, _ in manifest["state_dict"]
    }
    assert found.state["model.0.conv.weight"].dtype == torch.float16
    assert {str(key): one for key, one in found.attributes["radii"].items()} == manifest["config"]["radii"]
    assert {str(key): one for key, one in found.attributes["names"].items()} == manifest["config"]["names"]


# ----------------------------------------------------------------------------------------------------- what must not run


class Bomb:
    """Pickles to a call of anything."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def opcodes_that(mark):
    """Pickles that would touch the file `mark` if anything of them ran."""
    command = f"touch {mark}"
    code = f"open({str(mark)!r}, 'w')"
    system = b"cposix\nsystem\n"
    return {
        "os.system": pickle.dumps(Bomb(os.system, command)),
        "builtins.eval": pickle.dumps(Bomb(eval, code)),
        "builtins.exec": pickle.dumps(Bomb(exec, code)),
        "subprocess": pickle.dumps(Bomb(subprocess.check_call, command.split())),
        "open": pickle.dumps(Bomb(open, str(mark), "w")),
        "getattr": pickle.dumps(Bomb(getattr, os, "system"))
        if False
        else b"cbuiltins\ngetattr\n(cos\nsystem\n" + text("x") + b"tR.",
        "called result": b"(cbuiltins\ngetattr\n(cos\n__dict__\n" + text("system") + b"tR" + text(command) + b"tR.",
        "dotted name": b"\x80\x04" + text("os") + text("system.__call__") + b"\x93" + text(command) + b"\x85R.",
        "instance": b"(" + text(command) + b"iposix\nsystem\n.",
        "object": b"(" + system + text(command) + b"o.",
        "newobj": b"\x80\x02" + system + text(command) + b"\x85\x81.",
        "newobj_ex": b"\x80\x04" + system + text(command) + b"\x85}\x92.",
        "in a state dict": b"\x80\x02}" + text("w") + system + text(command) + b"\x85Rs.",
        "setstate of an object": b"\x80\x02cauthors\nNet\n)\x81" + system + text(command) + b"\x85Rb.",
        "setstate by name": b"\x80\x02cauthors\nNet\n)\x81}"
        + text("__setstate__")
        + system
        + b"sb"
        + text(command)
        + b"b.",
        "reduce of torch.load": b"ctorch\nload\n(" + text(str(mark)) + b"tR.",
        "torch.save": b"ctorch\nsave\n(K\x01" + text(str(mark)) + b"tR.",
        "torch.hub": b"ctorch.hub\ndownload_url_to_file\n(" + text("file:///etc/passwd") + text(str(mark)) + b"tR.",
        "import of a module": b"cantigravity\nfly\n.",
        "runpy": b"crunpy\nrun_path\n(" + text(str(mark)) + b"tR.",
        "operator": b"coperator\nmethodcaller\n(" + text("system") + text(command) + b"tR(cos\npath\ntR.",
        "numpy loader": b"cnumpy\nload\n(" + text(str(mark)) + b"tR.",
        "storage rebuild": b"ctorch.storage\n_load_from_bytes\n(C\x04abcdtR.",
        "weakref callback": b"cweakref\nfinalize\n(}" + system + text(command) + b"tR.",
        "typed rebuild": b"ctorch._tensor\n_rebuild_from_type_v2\n(" + system + b"N(" + text(command) + b"tNtR.",
        "default factory": b"ccollections\ndefaultdict\n" + system + b"\x85R.",
        "ordered dict of code": b"ccollections\nOrderedDict\n](" + text(command) + system + b"e\x85R.",
    }


codecs.lookup("cp437")  # zipfile reads names with it, and would import it while imports are watched
NAMES = sorted(opcodes_that(Path("x")))


@pytest.fixture
def nothing_is_imported():
    """A context in which importing, and calling the usual suspects, fails the test."""

    @contextlib.contextmanager
    def watch():
        ordinary, called = builtins.__import__, []
        suspects = [(os, "system"), (builtins, "eval"), (builtins, "exec"), (subprocess, "Popen"), (torch, "save")]
        kept = [getattr(*one) for one in suspects]
        for home, name in suspects:
            setattr(home, name, lambda *_, **__: called.append("call"))
        builtins.__import__ = lambda name, *_, **__: called.append(name)
        try:
            yield
        finally:
            builtins.__import__ = ordinary
            for (home, name), function in zip(suspects, kept, strict=True):
                setattr(home, name, function)
        assert called == []

    return watch


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_hostile_pickles_run_nothing(tmp_path, nothing_is_imported, name, form):
    mark = tmp_path / "owned"
    pickled = opcodes_that(mark)[name]
    path = archive(tmp_path / "h.pt", pickled) if form == "zip" else legacy(tmp_path / "h.pt", pickled)
    imported, value = set(sys.modules), None
    with nothing_is_imported(), contextlib.suppress(WeightsError):
        value = read_pickled(path)
    assert inert(value)
    assert not mark.exists()
    assert set(sys.modules) == imported
    with pytest.raises(WeightsError):
        read_layout(path, Layout.TORCH)
    assert not mark.exists()


def inert(value):
    """Nothing but data, names and records of them."""
    if isinstance(value, Record):
        parts = [value.args, value.state, value.state_other, value.items, value.pairs]
        return type(value.kind) is Global and all(map(inert, parts))
    if isinstance(value, dict):
        return all(inert(one) for pair in value.items() for one in pair)
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(inert, value))
    return value is None or type(value) in (bool, int, float, str, bytes, torch.Tensor, Global, complex, bytearray)


@pytest.mark.parametrize(
    ("pickled", "told"),
    [
        (b"ccollections\nOrderedDict\n}" + text("x") + b"K\x01sb.", "state of a Global"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n}" + text("__code__") + b"K\x01sb.", "state of a Global"),
        (b"]}" + text("x") + b"K\x01sb.", "state of a list"),
        (text("x") + b")R.", "calls a str"),
        (b"cauthors\nfactory\n)R)R.", "calls a Record"),
        (b"cauthors\nfactory\n]R.", "with a list for arguments"),
        (b"\x82\x01.", "instruction"),  # EXT1: the registry of copyreg
        (b"\x97.", "instruction"),  # NEXT_BUFFER
        (b"Psomething\n.", "instruction"),  # PERSID in text
        (b"\xff.", "instruction"),
        (b"K\x01(K\x02e.", "appends to a int"),
        (b"](K\x02K\x03u.", "members of a list"),
        (b"}]K\x01s.", "uses a list as a key"),
        (b"}" + b"\x8a\x0a" + b"\x01" * 10 + b"K\x01s.", "more than 64 bits"),
        (b"ccollections\nOrderedDict\nK\x01\x85R.", "do not make one"),
        (b"cbuiltins\nset\nK\x01K\x02\x86R.", "do not make one"),
        (b"c__builtin__\nset\n]]a\x85R.", "uses a list as a key"),
        (b"K\x01Q.", "expected a storage"),
        (b"(" + text("file") + text("/etc/passwd") + b"tQ.", "expected a storage"),
        (storage("0", 4).replace(FLOATS, b"cos\nFloatStorage\n") + b".", "unknown type of storage"),
        (storage("0", 4).replace(FLOATS, b"ctorch\nobject\n") + b".", "unknown type of storage"),
        (storage("../../etc/passwd", 4) + b".", "not in the file"),
        (storage("9", 4) + b".", "not in the file"),
        (storage("0", -1) + b".", "a storage"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x02tR.", "do not make a tensor"),
        (b"ctorch._utils\n_rebuild_parameter\n(" + text("x") + b"\x89NtR.", "do not make a tensor"),
        (tensor(text("storage"), 0, (2,), (1,)) + b".", "other than a storage"),
        (b"", "cut short"),
        (b".", "damaged pickle"),
        (b"h\x05.", "damaged pickle"),
        (b"e.", "damaged pickle"),
        (b"X\xff\xff\xff\x7fab.", "cut short"),
        (b"\x8d" + b"\xff" * 8 + b"ab.", "cut short"),
        (b"\x8b\xff\xff\xff\x7f" + b"1" * 50 + b".", "integer of"),
        (b"I" + b"9" * 500 + b"\n.", "integer of"),
        (b"c" + b"a" * 5000 + b"\nb\n.", "line of more"),
    ],
)
def test_what_no_weights_do_is_refused_with_its_reason(tmp_path, pickled, told):
    path = archive(tmp_path / "odd.pt", pickled, FLOATS_4)
    with pytest.raises(WeightsError, match=told) as caught:
        read_pickled(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (5,), (1,)),
        (4, (1,), (1,)),
        (1 << 61, (1,), (1,)),
        (0, (2, 2), (3, 1)),
        (0, (2,), (-1,)),
        (-1, (2,), (1,)),
        (0, (1 << 40,), (0,)),
        (0, (1 << 31, 1 << 31, 1 << 31), (0, 0, 0)),
        (0, (2,) * 20, (0,) * 20),
        (0, (2, 2), (1,)),
    ],
)
def test_tensors_outside_their_storage_are_refused(tmp_path, offset, size, stride):
    path = archive(tmp_path / "out.pt", state_dict(w=tensor(storage("0", 4), offset, size, stride)), FLOATS_4)
    with pytest.raises(WeightsError, match=r"leaves its storage|other than a storage"):
        read_pickled(path)
    with pytest.raises(WeightsError):
        read_layout(path, Layout.TORCH)


def test_tensors_may_overlap_but_not_multiply_the_file(tmp_path):
    """A hundred thousand names for one storage cost nothing to read, and are not written out."""
    numbers = struct.pack("<50000f", *range(50000))
    where = tensor(storage("0", 50000), 0, (50000,), (1,)) + b"q\x01"
    pickled = b"\x80\x02}(" + text("w") + where + b"".join(text(f"w{i}") + b"h\x01" for i in range(2000)) + b"u."
    path = archive(tmp_path / "many.pt", pickled, {"0": numbers})
    assert len(read_pickled(path)) == 2001
    with pytest.raises(WeightsError, match="repeats the same numbers"):
        read_layout(path, Layout.TORCH)


# ------------------------------------------------------------------------------------------------------ bombs and damage


def nested(times: int) -> bytes:
    """A tuple of tuples, each twice the one before: 2**times leaves in 3 * times bytes."""
    return b"K\x01" + b"2\x86" * times


@pytest.mark.parametrize(
    "pickled",
    [
        b"}" + nested(60) + b"K\x01s.",  # hashed as a key
        b"}K\x01q\x00" + b"h\x00\x86q\x00" * 60 + b"K\x01s.",  # the same, which torch.load goes on with for ever
        b"cbuiltins\nset\n]" + nested(60) + b"a\x85R.",
        b"\x80\x02(" + nested(60) + b"\x91.",
        b"]" + b"]a" * (MAX_INSTRUCTIONS // 2),  # too many instructions
        # a list of a million, copied again and again
        b"](" + b"K\x01" * 1_000_000 + b"eq\x00" + b"cbuiltins\nlist\nh\x00\x85R0" * 200_000 + b".",
        b"}(" + b"".join(text(str(i)) + b"N" for i in range(200_000)) + b"uq\x000"
        + b"cauthors\nNet\n)\x81h\x00b0" * 200_000 + b"N.",
    ],
    ids=["deep key", "deep key by memo", "deep set", "deep frozenset", "endless", "copied list", "copied state"],
)  # fmt: skip
def test_small_files_do_not_take_long_or_much_memory(tmp_path, pickled):
    path = archive(tmp_path / "bomb.pt", pickled)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(WeightsError):
        read_layout(path, Layout.TORCH)
    assert time.process_time() - start < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_500_000  # KB


def test_a_huge_memo_index_costs_nothing(tmp_path):
    path = archive(tmp_path / "memo.pt", b"K\x01r\xff\xff\xff\xff0j\xff\xff\xff\xff.")
    assert read_pickled(path) == 1


def test_deeply_nested_lists_are_read_and_forgotten(tmp_path):
    path = archive(tmp_path / "deep.pt", b"]" * 200_000 + b"a" * 199_999 + b".")
    value = read_pickled(path)
    assert isinstance(value, list)
    with pytest.raises(WeightsError):
        read_layout(path, Layout.TORCH)


def test_modules_that_share_each_other_without_end(tmp_path):
    """40 modules, each holding the next twice: 2**40 paths."""
    module = b"cauthors\nNet\n)\x81}(" + text("_parameters") + b"}" + text("_buffers") + b"}" + text("_modules")
    pickled = b"\x80\x02" + module + b"}ubq\x00"
    for _ in range(40):
        pickled += b"0" + module + b"}(" + text("a") + b"h\x00" + text("b") + b"h\x00uubq\x00"
    with pytest.raises(WeightsError, match="without end"):
        module_state(read_pickled(archive(tmp_path / "dag.pt", pickled + b".")))


def test_a_module_that_holds_itself(tmp_path):
    pickled = b"\x80\x02cauthors\nNet\n)\x81q\x00}(" + text("_parameters") + b"}" + text("_modules") + b"}"
    path = archive(tmp_path / "loop.pt", pickled + text("self") + b"h\x00sub.")
    with pytest.raises(WeightsError, match="without end"):
        module_state(read_pickled(path))


def rewritten(path: Path, **options):
    """The same members in another archive."""
    with zipfile.ZipFile(path) as old:
        members = [(one.filename, old.read(one)) for one in old.infolist()]
    out = path.with_name("rewritten.pt")
    with zipfile.ZipFile(out, "w", **options) as new:
        for name, data in members:
            new.writestr(name, data)
    return out


def test_compressed_members_are_not_unpacked(tmp_path):
    path = archive(tmp_path / "zeros.pt", state_dict(w=tensor(storage("0", 4), 0, (4,), (1,))), {"0": bytes(10**7)})
    with pytest.raises(WeightsError, match="compressed"):
        read_layout(rewritten(path, compression=zipfile.ZIP_DEFLATED), Layout.TORCH)


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "archive/../../evil", "archive/data/..", "archive\\evil", "b/data"]
)
def test_members_outside_the_folder_are_refused_and_nothing_is_written(tmp_path, name):
    path = archive(tmp_path / "slip.pt", state_dict(), extra=[(name, b"x")])
    before = sorted(tmp_path.parent.rglob("*"))
    with pytest.raises(WeightsError, match="outside its folder"):
        read_layout(path, Layout.TORCH)
    assert sorted(tmp_path.parent.rglob("*")) == before


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("summed", [True, False])
def test_a_number_that_changed_on_its_way_is_seen_where_the_file_has_sums(tmp_path, summed):
    path, weight = tmp_path / "a.pt", torch.rand(400)
    torch.serialization.set_crc32_options(summed)
    try:
        torch.save({"weight": weight}, path)
    finally:
        torch.serialization.set_crc32_options(True)
    content = bytearray(path.read_bytes())
    assert torch.equal(read_pickled(path)["weight"], weight)
    content[content.index(weight.numpy().tobytes()) + 5] ^= 1
    path.write_bytes(content)
    if summed:
        with pytest.raises(WeightsError, match="the sum of 'data/0' is another; fetch the file again"):
            read_pickled(path)
    else:
        assert int((read_pickled(path)["weight"] != weight).sum()) == 1


@pytest.mark.filterwarnings("ignore:Duplicate name")  # zipfile's, while the file is made
def test_two_members_of_one_name_are_refused(tmp_path):
    path = archive(tmp_path / "twice.pt", state_dict(), extra=[("archive/data.pkl", b"N.")])
    with pytest.raises(WeightsError, match="two members"):
        read_pickled(path)


def test_overlapping_members_are_refused(tmp_path):
    path = archive(tmp_path / "over.pt", state_dict(), {"0": bytes(64), "1": bytes(64)})
    data = bytearray(path.read_bytes())
    entries = [at for at in range(len(data)) if data[at : at + 4] == b"PK\x01\x02"]
    data[entries[3] + 42 : entries[3] + 46] = data[entries[2] + 42 : entries[2] + 46]  # its header lies elsewhere
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="overlap"):
        read_pickled(path)


def test_a_storage_larger_than_its_member_is_refused(tmp_path):
    path = archive(tmp_path / "big.pt", state_dict(w=tensor(storage("0", 1000), 0, (1000,), (1,))), FLOATS_4)
    with pytest.raises(WeightsError, match="leaves its storage"):
        read_pickled(path)


def test_big_endian_and_torchscript_files_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "big.pt", "w") as out:
        out.writestr("a/data.pkl", b"N.")
        out.writestr("a/byteorder", b"big")
    with pytest.raises(WeightsError, match="big-endian"):
        read_pickled(tmp_path / "big.pt")
    script = archive(tmp_path / "script.pt", b"N.", extra=[("archive/code/net.py", b"def forward(): pass")])
    with pytest.raises(WeightsError, match="TorchScript"):
        read_layout(script, Layout.TORCH)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_files_cut_short_anywhere_are_refused(network, tmp_path, zipped):
    whole = saved(network, _use_new_zipfile_serialization=zipped)
    path = tmp_path / "cut.pth"
    for keep in [0, 1, 4, 100, len(whole) // 3, len(whole) // 2, len(whole) - 100, len(whole) - 1]:
        path.write_bytes(whole[:keep])
        with pytest.raises(WeightsError):
            module_state(read_pickled(path))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_files_with_any_byte_changed_are_read_or_refused_but_nothing_else(network, tmp_path, zipped):
    whole = bytearray(saved(network, _use_new_zipfile_serialization=zipped))
    path = tmp_path / "flipped.pth"
    for at in range(0, len(whole), max(1, len(whole) // 400)):
        changed = bytes(whole[:at]) + bytes([whole[at] ^ 0x5A]) + bytes(whole[at + 1 :])
        path.write_bytes(changed)
        try:
            value = read_pickled(path)
            if is_module(value):
                sum(float(one.double().nan_to_num().sum()) for one in module_state(value).values())
        except WeightsError:
            pass


@pytest.mark.parametrize(
    ("keys", "storages", "told"),
    [
        (["0"], struct.pack("<q", 4), "cut short"),
        (["0"], struct.pack("<q", 1 << 60), "expected 4"),
        (["0"], b"", "expected 4"),
        (["nobody"], struct.pack("<q4f", 4, 1, 2, 3, 4), "does not belong"),
        ([], b"", "not in the file"),
        ([0], struct.pack("<q4f", 4, 1, 2, 3, 4), "does not belong"),
    ],
)
def test_legacy_storages_that_lie_are_refused(tmp_path, keys, storages, told):
    path = legacy(tmp_path / "l.pt", state_dict(w=tensor(storage("0", 4), 0, (4,), (1,))), keys, storages)
    with pytest.raises(WeightsError, match=told):
        read_pickled(path)


def test_a_legacy_view_of_a_storage_stays_inside_it(tmp_path):
    def viewing(offset, numel):
        view = b"(" + text("v") + integer(offset) + integer(numel) + b"t"
        return state_dict(w=tensor(storage("0", 4)[:-2] + view + b"tQ", 0, (2,), (1,)))

    storages = struct.pack("<q4f", 4, 1, 2, 3, 4)
    assert read_pickled(legacy(tmp_path / "a.pt", viewing(1, 2), ["0"], storages))["w"].tolist() == [2, 3]
    with pytest.raises(WeightsError, match="leaves its storage"):
        read_pickled(legacy(tmp_path / "b.pt", viewing(3, 2), ["0"], storages))


@pytest.mark.parametrize("content", [b"", b"hello world", b"\x89PNG\r\n\x1a\n" + bytes(100), b"<html>404</html>"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "other.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"other\.pth"):
        read_layout(tmp_path / "other.pth", Layout.TORCH)


def test_the_tar_format_is_named(tmp_path):
    (tmp_path / "old.pth").write_bytes(bytes(257) + b"ustar" + bytes(600))
    with pytest.raises(WeightsError, match=r"torch 0\.1"):
        read_pickled(tmp_path / "old.pth")
