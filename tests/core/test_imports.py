"""What importing and listing may cost, and which way imports point."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ZOO = Path(__file__).parents[2] / "zoo"
HEAVY = ("torch", "numpy", "rasterio", "omegaconf", "huggingface_hub", "rich", "pyarrow")

# Each layer may import those before it, never those after.
LAYERS = (
    ("errors", "spec", "spec_json", "bands", "options", "progress", "tiling", "processes"),
    ("hookspecs",),
    ("plugins",),
    ("registry", "installer", "describe", "cards"),
    ("builders", "forward", "hub", "inference", "checkpoints", "inputs", "io"),
    ("results", "samples"),
    ("tasks", "datasets"),
    ("model",),
    ("predict", "convert", "evaluation", "explain"),
    ("training",),
    ("testing", "scaffold", "demo"),
    ("cli",),
)


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["plugins"], ["--version"]])
def test_listing_loads_nothing_heavy(make_plugin, arguments):
    make_plugin("good", "    @hookimpl\n    def zoo_register_models():\n        return [model('good')]")
    code = (
        f"import sys; from zoo.cli import main\ntry:\n    main({arguments!r})\nexcept SystemExit as e:\n    assert not e.code"
        f"\nprint('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_import_zoo_binds_names_lazily():
    code = f"import sys, zoo; print([m for m in {HEAVY!r} + ('click', 'pluggy') if m in sys.modules]); zoo.ZooError"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_imports_point_one_way():
    level = {name: index for index, names in enumerate(LAYERS) for name in names}
    wrong = []
    for file in sorted(ZOO.rglob("*.py")):
        here = file.relative_to(ZOO).parts[0].removesuffix(".py")
        if here in ("__init__", "__main__"):
            continue
        assert here in level, f"{file.name}: say in LAYERS where it stands"
        for name in _imported_at_module_level(file):
            if level[name] > level[here]:
                wrong.append(f"zoo.{here} imports zoo.{name}")
    assert wrong == []


def _imported_at_module_level(file: Path) -> set[str]:
    """First-level names of zoo that a module imports when it is imported itself."""
    found: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        match node:
            case ast.ImportFrom(module="zoo"):
                found |= {alias.name for alias in node.names if not alias.name.startswith("_")}
            case ast.ImportFrom(module=str(module)) if module.startswith("zoo."):
                found.add(module.split(".")[1])
            case ast.Import(names=names):
                found |= {alias.name.split(".")[1] for alias in names if alias.name.startswith("zoo.")}
    return found


def test_the_core_names_no_plugin_package():
    offenders = [file.name for file in ZOO.rglob("*.py") if "import zoo_" in file.read_text()]
    assert offenders == []
