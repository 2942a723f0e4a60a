"""Each check catches the fault that it is there for, and lets a right plugin pass."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from zoo.errors import PluginError
from zoo.testing import Verdict, run_checks
from zoo.testing.checks import CHECKS
from zoo.testing.conformance import excuses_of

SPEC, NETWORK = "__init__.py", "network.py"
FORWARD = "tokens = torch.tanh(self.body(torch.relu(self.stem(image))))"
POOLED = "pooled = tokens.mean(dim=(2, 3))"
LAST_LAYER = "self.head = nn.Linear(8, 2)"

# check -> the faults that it alone must catch: edits of the right plugin
FAULTS = {
    "check_spec": [
        [(SPEC, 'source="ours: a toy"', 'source=""')],
        [(SPEC, "repository=None,", 'repository=None, objectives={"train": "zoo_toy.objective:Missing"},')],
        [(SPEC, 'summary="a toy"', 'summary=" "')],
    ],
    "check_licences": [
        [(SPEC, 'code="MIT"', 'code="MIT License"')],
        [(SPEC, 'weights="CC-BY-4.0"', 'weights="cc-by-4.0"')],
    ],
    "check_pins": [[(SPEC, 'demo.safetensors"', 'demo.safetensors", revision="main"')]],
    "check_import": [[(SPEC, "from zoo import hookimpl", "import torch\nfrom zoo import hookimpl")]],
    "check_strict_load": [
        [(NETWORK, LAST_LAYER, LAST_LAYER + "\n        self.register_buffer('mix', torch.rand(8), persistent=False)")],
        [(SPEC, 'demo.safetensors"', 'demo.safetensors", ignored=("*",)')],
        [(SPEC, 'demo.safetensors"', 'demo.safetensors", allowed_missing=("head.weight",)')],
    ],
    "check_output": [
        [(SPEC, 'classes=("water", "land")', 'classes=("water", "land", "cloud")')],
        [(NETWORK, "return EmbedOutput(", "return dict(")],
    ],
    "check_gradients": [[(NETWORK, LAST_LAYER, LAST_LAYER + "\n        self.dead = nn.Parameter(torch.ones(1))")]],
    "check_batch_invariance": [[(NETWORK, POOLED, POOLED + "\n        pooled = pooled + pooled.mean(dim=0)")]],
    "check_dtype": [[(NETWORK, "EmbedOutput(pooled=pooled", "EmbedOutput(pooled=pooled.double()")]],
    "check_determinism": [[(NETWORK, POOLED, POOLED + "\n        torch.rand(1)")]],
    "check_pure_forward": [
        [(NETWORK, POOLED, POOLED + "\n        self.last = pooled")],
        [
            (NETWORK, LAST_LAYER, LAST_LAYER + "\n        self.seen = []"),
            (NETWORK, POOLED, POOLED + "\n        self.seen.append(1)"),
        ],
    ],
    "check_scales_nothing": [
        [(NETWORK, FORWARD, "image = image / 2.5\n        " + FORWARD)],
        [(NETWORK, FORWARD, "image = image.permute(0, 1, 3, 2).permute(0, 1, 3, 2) - 0.5\n        " + FORWARD)],
    ],
    "check_recipe": [
        [
            (SPEC, "        Normalise(", '        Scale(factor=1e-4, source="ours: a fault"),\n        Normalise('),
            (SPEC, "from zoo.spec import (", "from zoo.spec import (\n    Scale,"),
        ],
    ],
    "check_bands": [
        [(NETWORK, FORWARD, "image = image.mean(dim=1, keepdim=True).expand_as(image)\n        " + FORWARD)],
        [
            (NETWORK, "image: Tensor)", "image: Tensor, image_bands: tuple[str, ...])"),
            (
                NETWORK,
                FORWARD,
                "image = image[:, [2, 0, 1]] if image_bands[0] == 'S2:B08' else image\n        " + FORWARD,
            ),
        ],
    ],
    "check_missing_band": [[(SPEC, "multiple=2,", "multiple=2, any_subset=True,")]],
    "check_nodata": [[(SPEC, "Fill(value=0.0", "Fill(value=-9999.0")]],
    "check_size": [[(NETWORK, FORWARD, "assert image.shape[-1] % 8 == 0\n        " + FORWARD)]],
    "check_seams": [[(NETWORK, POOLED, "tokens = tokens + torch.linspace(0, 1, tokens.shape[-1])\n        " + POOLED)]],
}

# Faults that other checks see too.
BROAD = {
    "check_dtype": [[(NETWORK, POOLED, POOLED + "\n        tokens = tokens.half()")]],
    "check_pure_forward": [
        [(NETWORK, FORWARD, "image[..., 0] = 0.0\n        " + FORWARD)],
        [
            (NETWORK, LAST_LAYER, LAST_LAYER + "\n        self.register_buffer('calls', torch.zeros(()))"),
            (NETWORK, POOLED, POOLED + "\n        self.calls.add_(1)"),
        ],
    ],
    "check_determinism": [[(NETWORK, POOLED, "tokens = torch.dropout(tokens, 0.1, train=True)\n        " + POOLED)]],
    "check_scales_nothing": [[(NETWORK, FORWARD, FORWARD.replace("image", "image / 10_000"))]],
    "check_save_load": [
        [
            (NETWORK, LAST_LAYER, LAST_LAYER + "\n        self.gain = random.random()"),
            (NETWORK, "import torch\n", "import random\n\nimport torch\n"),
            (NETWORK, POOLED, "tokens = tokens * self.gain\n        " + POOLED),
        ]
    ],
}


def each(faults: dict[str, list[list[tuple[str, str, str]]]]) -> list:
    return [pytest.param(name, one, id=name) for name, many in faults.items() for one in many]


def failed(subject) -> dict[str, str]:
    return {one.check: one.reason for one in run_checks(subject) if not one.ok}


def test_a_right_plugin_passes_every_check(toy):
    outcomes = run_checks(toy())
    assert {one.check: (one.verdict, one.reason) for one in outcomes if one.verdict is not Verdict.PASS} == {}
    assert len(outcomes) == len(CHECKS)


STEPS = """    steps=(
        Normalise(mean=(800.0, 900.0, 2200.0), std=(400.0, 500.0, 900.0), source="ours: a toy"),
        Fill(value=0.0, source="ours: the mean"),
    ),"""
SECOND = """InputSpec(name="radar", kind=Kind.RASTER, label="S1", bands=(Band(id="S1:VV", unit="dB"),), multiple=2,
        steps=(Percentile(low=(-25.0,), high=(0.0,), source="ours"),))"""
WEIGHT = "self.stem.weight[:, [('S2:B03', 'S2:B04', 'S2:B08').index(band) for band in image_bands]]"
# Plugins that are right in other ways than the toy.
RIGHT = {
    "bands by name, any of them": [
        (SPEC, "multiple=2,", "multiple=2, any_subset=True,"),
        (NETWORK, "image: Tensor)", "image: Tensor, image_bands: tuple[str, ...])"),
        (NETWORK, "self.stem(image)", f"torch.conv2d(image, {WEIGHT}, self.stem.bias, stride=2, padding=1)"),
    ],
    "a mask of where data are": [
        (NETWORK, "image: Tensor)", "image: Tensor, image_valid: Tensor)"),
        (NETWORK, "self.stem(image)", "self.stem(image * image_valid[:, None].float())"),
    ],
    "linear radar power": [
        (SPEC, STEPS, "    steps=(Decibel(floor_db=-30.0, source='ours'), Normalise(mean=(-12.0,) * 3, std=(3.0,) * 3, source='ours')),"),
        (SPEC, 'Band(id="S2:B03", unit="DN"), Band(id="S2:B04", unit="DN"), Band(id="S2:B08", unit="DN")',
         'Band(id="S1:VV", unit="power"), Band(id="S1:VH", unit="power"), Band(id="S1:HH", unit="power")'),
        (SPEC, "nodata=0,", "nodata=None,"),
        (SPEC, "from zoo.spec import (", "from zoo.spec import (\n    Decibel,"),
    ],
    "a window of one size, resized to": [
        (SPEC, STEPS, STEPS.replace("steps=(", "window=32, steps=(Resize(size=(32, 32), source='ours'),")),
        (NETWORK, FORWARD, "assert image.shape[-2:] == (32, 32)\n        " + FORWARD),
        (SPEC, "from zoo.spec import (", "from zoo.spec import (\n    Resize,"),
    ],
    "two inputs together": [
        (SPEC, "inputs=(IMAGE,)", f"inputs=(IMAGE, {SECOND})"),
        (NETWORK, "image: Tensor)", "image: Tensor, radar: Tensor)"),
        (NETWORK, LAST_LAYER, LAST_LAYER + "\n        self.second = nn.Conv2d(1, 8, 3, stride=2, padding=1)"),
        (NETWORK, "self.stem(image)", "self.stem(image) + self.second(radar)"),
        (SPEC, "from zoo.spec import (", "from zoo.spec import (\n    Percentile,"),
    ],
    "learned scaling of the input": [
        (NETWORK, LAST_LAYER, LAST_LAYER + "\n        self.gain = nn.Parameter(torch.ones(3, 1, 1))"),
        (NETWORK, "self.stem(image)", "self.stem(image * self.gain)"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("patches", RIGHT.values(), ids=RIGHT)
def test_plugins_that_are_right_in_other_ways_pass(toy, patches):
    assert failed(toy(*patches)) == {}


@pytest.mark.parametrize(("check", "patches"), each(FAULTS))
def test_a_planted_fault_is_caught_by_its_check_alone(toy, check, patches):
    assert list(failed(toy(*patches))) == [check]


@pytest.mark.parametrize(("check", "patches"), each(BROAD))
def test_a_planted_fault_is_caught(toy, check, patches):
    assert check in failed(toy(*patches))


def test_random_weights_are_caught(toy):
    """A file of the right keys and shapes whose numbers are not the published ones."""
    toy()
    toy.write_weights(seed=2)
    reasons = failed(toy.subject())
    assert list(reasons) == ["check_golden"]
    assert "differs from the recorded one by" in reasons["check_golden"]


SWAPPED = [(SPEC, 'Band(id="S2:B03"', 'Band(id="S2:B99"'), (SPEC, "S2:B08", "S2:B03"), (SPEC, "S2:B99", "S2:B08")]
OTHER_STATISTICS = [(SPEC, "mean=(800.0,", "mean=(700.0,")]
TWICE = [
    (SPEC, "from zoo.spec import (", "from zoo.spec import (\n    Scale,"),
    (SPEC, "        Fill(value", "        Scale(factor=0.5, source='ours'),\n        Fill(value"),
]


@pytest.mark.parametrize("patches", [SWAPPED, OTHER_STATISTICS, TWICE], ids=["swapped", "statistics", "twice"])
def test_a_description_that_changes_under_its_weights_is_caught(toy, patches):
    """The same file of the same place must go on giving the recorded answer."""
    toy()
    toy.edit(*patches)
    assert list(failed(toy.subject())) == ["check_golden"]


def test_an_answer_that_random_weights_give_too_proves_nothing(toy):
    """Recorded from a network that answers the same whatever its weights."""
    constant = (
        "tokens = torch.tanh(self.body(torch.relu(self.stem(image)))) * 0\n        pooled = tokens.mean(dim=(2, 3))"
    )
    patches = [(NETWORK, f"{FORWARD}\n        {POOLED}", constant), (NETWORK, "self.head(pooled)", "pooled[:, :2]")]
    assert "random weights give the recorded answer too" in failed(toy(*patches))["check_golden"]


def test_renamed_layers_are_caught(toy):
    """The weights are renamed alike, so that all else works: yet files that users have no longer fit."""
    toy()
    toy.edit((NETWORK, "self.body = nn", "self.trunk = nn"), (NETWORK, "self.body(", "self.trunk("))
    toy.write_weights(seed=1)
    reasons = failed(toy.subject())
    assert list(reasons) == ["check_state_keys"]
    assert "body.bias" in reasons["check_state_keys"]


def test_every_check_has_a_planted_fault():
    elsewhere = {"check_golden", "check_state_keys"}
    assert {check.__name__ for check in CHECKS} == FAULTS.keys() | BROAD.keys() | elsewhere


# ------------------------------------------------------------------------------------------------------------ excuses

RAMP = FAULTS["check_seams"][0]


def excuse(check: str, of: str = "toy"):
    return SPEC, "ZOO_EXCUSES: dict[str, dict[str, str]] = {}", f'ZOO_EXCUSES = {{"{of}": {{"{check}": "a reason"}}}}'


def test_an_excused_failure_passes_with_its_reason(toy):
    outcomes = {one.check: one for one in run_checks(toy(*RAMP, excuse("check_seams")))}
    assert (outcomes["check_seams"].verdict, outcomes["check_seams"].reason) == (Verdict.EXCUSED, "a reason")


def test_an_outdated_excuse_fails(toy):
    assert failed(toy(excuse("check_seams"))) == {"check_seams": "it passes; delete the excuse 'a reason'"}


def test_an_excuse_for_no_check_is_refused(toy):
    with pytest.raises(PluginError, match=r"toy@demo: excuses check_seam; expected names of checks: check_spec"):
        run_checks(toy(excuse("check_seam")))


def test_one_variant_is_excused_alone(toy):
    subject = toy(*RAMP, excuse("check_seams", of="toy@demo"))
    other = replace(subject, variant=replace(subject.variant, tag="other"))
    assert excuses_of(subject) == {"check_seams": "a reason"}
    assert excuses_of(other) == {}


def test_an_excuse_for_no_variant_is_refused(toy):
    with pytest.raises(PluginError, match=r"ZOO_EXCUSES has toy@dmo; expected variants of toy: demo"):
        run_checks(toy(excuse("check_seams", of="toy@dmo")))


def test_a_plugin_adds_checks_of_its_own(toy):
    extra = """
def check_odd(subject):
    raise AssertionError(f"{subject} is odd")

@hookimpl
def zoo_extra_checks(spec):
    return [check_odd] if spec.name == "toy" else []

@hookimpl
def zoo_register_models():
"""
    subject = toy((SPEC, "\n@hookimpl\ndef zoo_register_models():\n", extra))
    assert failed(subject) == {"check_odd": "AssertionError: toy@demo is odd"}


# -------------------------------------------------------------------------------------------------- pytest, command line


CONFORMANCE = """
import zoo.testing

@zoo.testing.parametrize_with_checks(["toy"], expected_failures={"check_seams": "why", "check_dtype": "why"})
def test_conformance(model, check):
    check(model)

def test_all(zoo_check):
    zoo_check("toy")
"""


def test_the_decorator_gives_a_case_per_check(toy, tmp_path):
    toy(*RAMP)
    (tmp_path / "test_toy.py").write_text(CONFORMANCE)
    run = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "test_toy.py"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert re.search(rf"2 failed, {len(CHECKS) - 2} passed, 1 xfailed", lines[-1])
    assert "XFAIL test_toy.py::test_conformance[toy@demo-check_seams] - why" in lines
    assert "[XPASS(strict)] why" in lines
    assert any(line.startswith("check_seams: fail: windows of 96 px with a halo of") for line in lines)


def test_the_command_line_shows_what_there_is_to_say(toy, zoo_command):
    toy()
    code, out, err = zoo_command("check", "toy")
    assert (code, err) == (0, "")
    *lines, last = out.splitlines()
    assert [line.split()[:2] for line in lines] == [[f"check_{name}", "pass"] for name in ("golden", "dtype", "seams")]
    assert last == f"toy@demo: {len(CHECKS)} pass"
    assert len(zoo_command("check", "toy", "--all")[1].splitlines()) == len(CHECKS) + 1


def test_a_failure_is_told_whole_in_narrow_terminals_too(toy, zoo_command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    (reason,) = failed(toy(*RAMP)).values()
    code, out, _ = zoo_command("check", "toy")
    assert code == 1
    assert max(map(len, out.splitlines())) <= 70
    assert " ".join(reason.split()) in " ".join(out.split())


def test_the_command_line_fails_with_the_model(toy, zoo_command):
    toy(*RAMP)
    code, out, _ = zoo_command("check", "toy")
    assert code == 1
    assert "check_seams" in out
    assert "fail" in out
    code, out, _ = zoo_command("check", "toy", "--json")
    (row,) = [row for row in json.loads(out)[0]["checks"] if row["verdict"] != "pass"]
    assert (code, row["check"]) == (1, "check_seams")
    assert "with a halo of 4 px differ from the whole by" in row["reason"]


def test_recording_makes_the_two_files(toy, zoo_command):
    subject = toy()
    shutil.rmtree(subject.recorded)
    assert {one.check for one in run_checks(subject) if one.verdict is Verdict.SKIPPED} == {
        "check_golden",
        "check_state_keys",
    }
    assert zoo_command("check", "toy", "--record")[0] == 0
    assert sorted(path.name for path in subject.recorded.iterdir()) == ["demo.golden.safetensors", "demo.keys"]
    assert "stem.weight (8, 3, 3, 3) float32" in (subject.recorded / "demo.keys").read_text().splitlines()
