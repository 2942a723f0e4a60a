"""A plugin whose models learn in milliseconds, and recipes for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

PLUGIN = """
    def learner():
        from dataclasses import replace
        from zoo.spec import Capability, DatasetSpec

        image = InputSpec(
            name="image", kind=Kind.RASTER, label="toy", window=8,
            bands=tuple(Band(id=f"S2:{name}", unit="1") for name in ("B02", "B03", "B04")),
        )
        names = ("blue", "green", "red")
        whole = Variant(
            tag="chips", builder="learning.toys:Classifier", config={"num_classes": 3, "width": 8, "dropout": 0.25},
            inputs=(image,), classes=names, task=Task.PRETRAIN, capabilities=(Capability.EMBED, Capability.CLASSIFY),
        )
        dense = Variant(
            tag="maps", builder="learning.toys:Dense", config={"num_classes": 3}, inputs=(image,), classes=names,
            task=Task.SEGMENT, capabilities=(),
        )
        objectives = {name.lower(): f"learning.toys:{name}" for name in ("Slow", "Two", "Around", "Drawing", "Inside", "Counting")}
        return replace(model("learner"), variants=(whole, dense), objectives=objectives)

    @hookimpl
    def zoo_register_models():
        return [learner(), model("other")]

    @hookimpl
    def zoo_register_datasets():
        from zoo.spec import DatasetSpec

        return [
            DatasetSpec(name=f"toy-{name}", summary="toys", reader=f"learning.toys:{name}", task=Task.SEGMENT,
                        license="CC0-1.0", source="ours")
            for name in ("chips", "maps", "same")
        ]
"""

RECIPE = {
    "model": "learner@chips",
    "start": "random",
    "data": {"dataset": "toy-chips"},
    "epochs": 2,
    "batch": 12,
    "optimizer": {"lr": 0.02},
    "schedule": {"name": "cosine", "warmup": 0.5},
    "log_every": 1,
    "workers": 0,
    "trackers": [],
}


@pytest.fixture
def learner(make_plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Install the toys; returns the folder in which tests work."""
    site = make_plugin("learner", PLUGIN)
    (site / "learning").mkdir()
    (site / "learning/__init__.py").write_text("")
    (site / "learning/toys.py").write_text((HERE / "learning.py").read_text())
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    yield work
    for name in [one for one in sys.modules if one.split(".")[0] == "learning"]:
        del sys.modules[name]


@pytest.fixture
def recipe_file(learner: Path) -> Callable[..., Path]:
    """`recipe_file(batch=6, ...)` writes a recipe with some settings changed."""

    def write(name: str = "toy", **changes: object) -> Path:
        file = learner / f"{name}.yaml"
        file.write_text(yaml.safe_dump({**RECIPE, **changes}, sort_keys=False))
        return file

    return write


@pytest.fixture
def configured(recipe_file: Callable[..., Path]) -> Callable[..., object]:
    """`configured("batch=6", ...)` is the toy's configuration with overrides."""

    def make(*overrides: str, **changes: object) -> object:
        from zoo.training.recipes import recipe

        return recipe("learner", recipe_file(**changes), *overrides)

    return make


@pytest.fixture(scope="session")
def six_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of each task in the core's layouts, each in a folder called as the variant of `six` that learns them."""
    import six_data

    home = tmp_path_factory.mktemp("six_data")
    for task in ("labels", "maps", "points", "series", "sites", "captions"):
        getattr(six_data, f"write_{task}")(home / task)
    return home


@pytest.fixture
def six(make_plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> str:
    """Install the toys of all tasks as the model `six`; gives its name."""
    make_plugin(
        "six",
        """
    @hookimpl
    def zoo_register_models():
        import six_toys

        return [six_toys.spec()]
    """,
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.environ["PYTHONPATH"], str(HERE)]))
    return "six"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes that tests start: the order of sums depends on the number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def environment() -> dict[str, str]:
    """For `zoo` in a process of its own."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
