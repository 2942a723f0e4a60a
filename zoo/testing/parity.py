"""Recorded cases of the authors' own code, and how a plugin is held against them.

A case is a folder `<root>/<model>/<case>` with `manifest.json` and `golden.safetensors`. The manifest names the model,
the kind (what is compared), the seed and shapes of the weights, and in `config` all that is needed to build and to read
the tensors (`in.*` inputs, `out.*` outputs, `kept.*` weights that are recorded rather than filled).

A plugin says how its kinds run in `tests/parity.py` beside its package:

    RUN = {"encoder": run_encoder}                # Case -> {name: tensor}, one for each of the case's outputs
    TOLERANCE = {"encoder": (1e-5, 1e-5)}         # (atol, rtol), or {pattern of names: (atol, rtol)}, first match

Integers and booleans must agree exactly unless a pattern other than `*` names them. A third number is the share of values
that may differ by more, for class ids: where two classes all but tie, rounding decides.
"""

from __future__ import annotations

import fnmatch
import importlib.util
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from zoo.registry import Entry, entries
from zoo.testing.filled import filled_state_dict

VARIABLE = "ZOO_PARITY"
Tolerance = tuple[float, ...] | Mapping[str, tuple[float, ...]]


class Mismatch(AssertionError):
    """A plugin's outputs differ from the recorded ones, or some of them are not there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One recorded case, its tensors read.

    Attributes:
        state_dict: weights under the authors' keys.
        inputs: recorded inputs without their `in.` prefix; float16 ones, which are exact, as float32.
        outputs: recorded outputs without their `out.` prefix.
    """

    name: str
    model: str
    kind: str
    config: Mapping[str, Any]
    state_dict: dict[str, Tensor]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


def root() -> Path | None:
    """The folder of cases: `ZOO_PARITY`, else `../shared/parity` beside the checkout, else `None`."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    beside = Path(__file__).resolve().parents[3] / "shared" / "parity"
    return beside if beside.is_dir() else None


def folders(below: Path) -> list[Path]:
    """Folders of all cases below, at any depth, in order of their names."""
    return sorted(path.parent for path in below.rglob("manifest.json"))


def read_manifest(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return manifest


def read_case(folder: Path) -> Case:
    """Read a case and fill its weights."""
    manifest = read_manifest(folder)
    tensors = load_file(folder / "golden.safetensors")
    kept = {key: one for key, one in _part(tensors, "kept.").items() if key in manifest.get("kept", ())}
    inputs = {name: one.float() if one.dtype == torch.float16 else one for name, one in _part(tensors, "in.").items()}
    return Case(
        name=f"{manifest['model']}/{folder.name}",
        model=manifest["model"],
        kind=manifest["kind"],
        config=manifest.get("config", {}),
        state_dict=filled_state_dict(manifest.get("state_dict", ()), manifest.get("seed", 0), kept),
        inputs=inputs,
        outputs=_part(tensors, "out."),
    )


def owner(model: str) -> Entry | None:
    """The installed plugin that has the model."""
    return next((entry for entry in entries() if entry.spec.name == model), None)


def runners(entry: Entry) -> ModuleType:
    """The plugin's `tests/parity.py`, which stands beside its package.

    Raises:
        Mismatch: there is none.
    """
    package = Path(str(entry.plugin.module.__file__)).resolve().parent
    path = package.parent / "tests" / "parity.py"
    spec = importlib.util.spec_from_file_location(f"{package.name}_parity", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise Mismatch(f"{entry.spec.name} has recorded cases and its plugin has no {path}; it must say how they run")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_case(case: Case, plugin: ModuleType) -> dict[str, float]:
    """Run a case and compare every recorded output.

    Returns:
        The largest absolute difference of each output.

    Raises:
        Mismatch: an unknown kind, an output that is missing, or values that differ.
    """
    run: Callable[[Case], Mapping[str, Tensor]] | None = plugin.RUN.get(case.kind)
    if run is None:
        known = ", ".join(sorted(plugin.RUN)) or "none"
        raise Mismatch(f"{case.name}: {plugin.__file__} does not run cases of kind {case.kind!r}; it runs {known}")
    made = run(case)
    differences, wrong = {}, []
    for name, recorded in case.outputs.items():
        if name not in made:
            wrong.append(f"{name}: not computed")
            continue
        complaint, differences[name] = _compare(made[name], recorded, _allowed(plugin.TOLERANCE[case.kind], name))
        if complaint:
            wrong.append(f"{name}: {complaint}")
    if wrong:
        raise Mismatch(f"{case.name} ({case.kind}): {len(wrong)} of {len(case.outputs)} outputs\n" + "\n".join(wrong))
    return differences


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Allowed:
    atol: float
    rtol: float
    share: float = 0.0
    integers: bool = False


def _allowed(tolerance: Tolerance, name: str) -> _Allowed:
    if isinstance(tolerance, tuple):
        tolerance = {"*": tolerance}
    for pattern, numbers in tolerance.items():
        if fnmatch.fnmatchcase(name, pattern):
            atol, rtol, share = (*numbers, 0.0)[:3]
            return _Allowed(atol=atol, rtol=rtol, share=share, integers=pattern != "*")
    raise Mismatch(f"no tolerance for {name}; the patterns are {', '.join(tolerance)}")


def _compare(made: Tensor, recorded: Tensor, allowed: _Allowed) -> tuple[str, float]:
    """(what is wrong, or nothing; largest absolute difference)."""
    if made.shape != recorded.shape:
        return f"shape {tuple(made.shape)}, recorded {tuple(recorded.shape)}", float("inf")
    if not (recorded.is_floating_point() or allowed.integers):
        allowed = _Allowed(atol=0.0, rtol=0.0)
    ours, theirs = made.detach().to(torch.float64), recorded.to(torch.float64)
    finite = torch.isfinite(theirs)
    if not torch.equal(torch.nan_to_num(ours[~finite]), torch.nan_to_num(theirs[~finite])):
        return "other infinite or missing values than recorded", float("inf")
    apart = (ours - theirs)[finite].abs()
    if not apart.numel():
        return "", 0.0
    largest = float(apart.max())
    beyond = float((~(apart <= allowed.atol + allowed.rtol * theirs[finite].abs())).double().mean())
    if beyond <= allowed.share:
        return "", largest
    return (
        f"differs by up to {largest:.3g} ({beyond:.3%} of values beyond atol {allowed.atol:g}, rtol {allowed.rtol:g})",
        largest,
    )
