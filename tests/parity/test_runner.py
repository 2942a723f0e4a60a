"""The runner of recorded cases notices what it is there for."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from zoo.testing import parity
from zoo.testing.filled import filled_state_dict, filled_tensor

ROWS = [("head.weight", [2, 3], "float32"), ("head.bias", [2], "float32"), ("head.steps", [], "int64")]


def plugin(run, tolerance=(1e-6, 0.0)):
    return SimpleNamespace(RUN={"forward": run}, TOLERANCE={"forward": tolerance}, __file__="parity.py")


def linear(case):
    state = case.state_dict
    return {
        "scores": case.inputs["x"] @ state["head.weight"].T + state["head.bias"],
        "best": torch.tensor([1, 0]),
        "kept": state["norm"],
    }


@pytest.fixture
def case(tmp_path):
    folder = tmp_path / "toy" / "any"
    folder.mkdir(parents=True)
    x = torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.25, -1.0]], dtype=torch.float16)
    state = filled_state_dict(ROWS, seed=5)
    out = {"out.scores": x.float() @ state["head.weight"].T + state["head.bias"], "out.best": torch.tensor([1, 0])}
    save_file({"in.x": x, "kept.norm": torch.ones(2), "out.kept": torch.ones(2), **out}, folder / "golden.safetensors")
    rows = [*ROWS, ("norm", [2], "float32")]
    manifest = {"model": "toy", "kind": "forward", "seed": 5, "config": {}, "state_dict": rows, "kept": ["norm"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert parity.folders(tmp_path) == [folder]
    return parity.read_case(folder)


def test_equal_outputs_pass_and_half_inputs_arrive_as_floats(case):
    assert case.inputs["x"].dtype == torch.float32
    assert parity.check_case(case, plugin(linear)) == {"scores": 0.0, "best": 0.0, "kept": 0.0}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda made: made.pop("best"), "best: not computed"),
        (lambda made: made.update(scores=made["scores"] + 1e-4), "scores: differs by up to 0.0001"),
        (lambda made: made.update(scores=made["scores"] * torch.nan), "scores: differs"),
        (lambda made: made.update(scores=made["scores"][:1]), r"scores: shape \(1, 2\), recorded \(2, 2\)"),
        (lambda made: made.update(best=torch.tensor([1, 1])), "best: differs"),
    ],
)
def test_other_outputs_fail(case, change, complaint):
    def run(case):
        made = linear(case)
        change(made)
        return made

    with pytest.raises(parity.Mismatch, match=complaint):
        parity.check_case(case, plugin(run))


def test_unknown_kinds_fail(case):
    with pytest.raises(parity.Mismatch, match="does not run cases of kind 'forward'; it runs losses"):
        parity.check_case(case, SimpleNamespace(RUN={"losses": linear}, TOLERANCE={}, __file__="parity.py"))


def test_integers_agree_exactly_unless_a_pattern_names_them(case):
    def run(case):
        return {**linear(case), "best": torch.tensor([1, 1])}

    with pytest.raises(parity.Mismatch, match="best"):
        parity.check_case(case, plugin(run, {"*": (1.0, 0.0)}))
    assert parity.check_case(case, plugin(run, {"best": (1.0, 0.0), "*": (1e-6, 0.0)}))["best"] == 1.0


def test_a_share_of_class_ids_may_differ_where_classes_tie(case):
    def run(case):
        return {**linear(case), "best": torch.tensor([1, 1])}

    assert parity.check_case(case, plugin(run, {"best": (0.0, 0.0, 0.5), "*": (1e-6, 0.0)}))["best"] == 1.0
    with pytest.raises(parity.Mismatch, match="best"):
        parity.check_case(case, plugin(run, {"best": (0.0, 0.0, 0.4), "*": (1e-6, 0.0)}))


def test_weights_are_those_of_the_recorded_rule():
    """First numbers of PCG64([7, crc32(key)]), times 1/sqrt(fan-in) for a matrix."""
    assert torch.equal(filled_tensor("a.weight", (2, 4), 7), filled_tensor("a.weight", (2, 4), 7))
    wide = torch.cat([filled_tensor(f"{index}.weight", (64, 256), 7) for index in range(4)])
    assert wide.std().item() == pytest.approx(1 / 16, rel=0.02)
    assert filled_tensor("norm.weight", (4096,), 7).mean().item() == pytest.approx(1.0, abs=0.01)
    assert filled_tensor("norm.bias", (4096,), 7).std().item() == pytest.approx(0.1, rel=0.05)
    variance = filled_tensor("norm.running_var", (4096,), 7)
    assert 0.5 <= variance.min().item() < 0.51
    assert 1.49 < variance.max().item() <= 1.5


def test_filled_weights_equal_the_recorders_own():
    recorder = parity.root() and parity.root() / "fill.py"
    if not recorder or not recorder.is_file():
        pytest.skip("parity skipped: no fill.py beside the recorded cases")
    names = {"__name__": "fill"}
    exec(compile(recorder.read_text(), str(recorder), "exec"), names)
    manifest = {"state_dict": ROWS, "seed": 3}
    ours, theirs = filled_state_dict(ROWS, 3), names["fill"](manifest)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
