"""`zoo demo`: a small model on a sample of the synthetic world, and a page that shows what it did.

Each task has one module here with `can_show(variant) -> bool` and `show(model, folder) -> Chapter`.
"""

from __future__ import annotations

import importlib
import time
import warnings
from pathlib import Path
from types import ModuleType

from zoo import registry
from zoo.demo.page import Chapter, is_ours, render
from zoo.errors import InputError, OutputError, UnknownModel, ZooError, ZooWarning
from zoo.io.whole import whole
from zoo.spec import ModelSpec, Task, Variant

PAGE = "index.html"
MODULES = {Task.PRETRAIN: "zoo.demo.pretrain", Task.SDM: "zoo.demo.species"}


def run(folder: Path, references: tuple[str, ...] = ()) -> Path:
    """Run the demo of the models that `references` name, of all installed ones if there are none.

    Args:
        folder: made if absent; takes `index.html` and a folder of sample data and results per model.
        references: models; where one names no variant, its demo variant is meant.

    Returns:
        The page, one file that needs no network.

    Raises:
        UnknownModel: no such model, or none installed that has a demo.
        OutputError: the folder cannot be written, or holds an `index.html` that is not a demo's.
    """
    began = time.perf_counter()
    chosen = [_named(reference) for reference in references] or _installed()
    target = folder / PAGE
    if target.exists() and not is_ours(target):
        raise OutputError(f"{target} is not a page of `zoo demo`; name another folder: zoo demo zoo-demo-2")
    chapters, failed = [], []
    for spec, variant in chosen:
        try:
            chapters.append(_chapter(spec, variant, folder))
        except ZooError as err:
            if references:
                raise
            failed.append(err)
            warnings.warn(f"the demo of {spec.name} failed: {err}", ZooWarning, stacklevel=2)
    if not chapters:
        raise failed[0]
    with whole(target) as temporary:
        temporary.write_text(render(chapters, seconds=time.perf_counter() - began), encoding="utf-8")
    return target


def _chapter(spec: ModelSpec, variant: Variant, folder: Path) -> Chapter:
    from zoo.model import load

    reference = f"{spec.name}@{variant.tag}"
    data = folder / spec.name
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"cannot make {data}: {err.strerror}; name a folder that is yours: zoo demo FOLDER") from err
    module = _module(spec, variant)
    assert module is not None, f"{reference} was chosen without a demo"
    chapter: Chapter = module.show(load(reference), data)
    return chapter


def _installed() -> list[tuple[ModelSpec, Variant]]:
    found = [
        (entry.spec, variant)
        for entry in registry.entries()
        for variant in entry.spec.variants
        if variant.demo and _module(entry.spec, variant)
    ]
    if not found:
        raise UnknownModel("no installed model has a demo; `zoo install zoo-smarties` brings one")
    return found


def _named(reference: str) -> tuple[ModelSpec, Variant]:
    entry, variant = registry.find(reference)
    spec = entry.spec
    if "@" not in reference:
        variant = next((one for one in spec.variants if one.demo), variant)
    if not variant.demo:
        demos = [f"{spec.name}@{one.tag}" for one in spec.variants if one.demo]
        advice = f"try `zoo demo --model {demos[0]}`" if demos else "see `zoo list` for others"
        raise InputError(f"{spec.name}@{variant.tag} is no demo variant; {advice}")
    if _module(spec, variant) is None:
        raise InputError(
            f"{spec.name}@{variant.tag}: its inputs are not among zoo's samples, so there is nothing to show"
        )
    return spec, variant


def _module(spec: ModelSpec, variant: Variant) -> ModuleType | None:
    """The module that shows this variant, if one can."""
    name = MODULES.get(spec.task_of(variant))
    module = importlib.import_module(name) if name else None
    return module if module is not None and module.can_show(variant) else None
