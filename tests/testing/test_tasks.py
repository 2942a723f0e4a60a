"""Checks of all tasks: networks with known answers pass, and a fault of each kind is caught."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from zoo import plugins, registry
from zoo.testing import checks, record, run_checks, subject_of
from zoo.testing.checks import CHECKS

TESTS = Path(__file__).parents[1]
PLUGIN = """
    import os
    from dataclasses import replace
    from zoo.spec import Weights
    import faulty, seeing_toys, toy, toy_forecast, toy_retriever, toy_species

    def named(name, spec, **changed):
        variants = tuple(replace(one, weights=None, **changed) for one in spec.variants)
        return replace(spec, name=name, variants=variants)

    def weighed():
        spec = toy_forecast.forecaster(leads=(0.0, 12.0)).spec
        (variant,) = spec.variants
        (weather,) = variant.inputs
        changed = {
            "": {},
            "inputs": {"inputs": (replace(weather, bands=weather.bands[::-1]),)},
            "answers": {"quantities": variant.quantities[::-1]},
            "classes": {"classes": ("warm", "cold")},
        }[os.environ.get("TOY_CHANGE", "")]
        variant = replace(variant, weights=Weights(file="zoo_toys_files:drift.safetensors"), **changed)
        return replace(spec, name="weighed", variants=(variant,))

    @hookimpl
    def zoo_register_models():
        return [
            named("pretrain", toy.toy_model().spec),
            named("see", seeing_toys.spec()),
            named("forecast", toy_forecast.forecaster(leads=(0.0, 12.0)).spec),
            named("sites", toy_species.species_model().spec),
            named("patches", toy_species.species_model(toy_species.CLIMATE, toy_species.PATCH).spec),
            named("words", toy_retriever.retriever().spec),
            weighed(),
            *faulty.specs(),
        ]
"""
NDVI = "NDVI, the known answer, is of numbers as they are"


@pytest.fixture
def toys(make_plugin: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The networks with known answers, and faulty ones, as models of a plugin; gives its folder."""
    folders = [str(TESTS / "predict"), str(TESTS / "tasks"), str(TESTS / "testing")]
    for folder in folders:
        monkeypatch.syspath_prepend(folder)
    site = make_plugin("toys", PLUGIN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *folders]))
    monkeypatch.setenv("ZOO_PLUGINS", "toys")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return site


def forget() -> None:
    plugins.plugins.cache_clear()
    registry.entries.cache_clear()


def outcome(reference: str, check: str) -> str:
    """What a check says: `""`, or why it fails or does not apply."""
    (asked,) = [one for one in CHECKS if one.__name__ == check]
    try:
        asked(subject_of(reference))
    except Exception as err:
        return f"{type(err).__name__}: {err}"
    return ""


BY_SITE = ("check_size", "check_seams")
# model -> excuses with their true reasons, and the checks that do not apply to it
KNOWN = {
    "pretrain": ({"check_recipe": "its numbers are some tens, easy to undo"}, ()),
    "see@threshold": ({"check_recipe": NDVI, "check_scales_nothing": NDVI}, ()),
    "see@smooth": ({}, ()),
    "see@brightest": ({"check_output": "its scores are brightness, as large as it may be"}, ()),
    "forecast": ({}, ()),
    "sites": ({}, BY_SITE),
    "patches": ({}, BY_SITE),
    "words": ({}, ("check_seams",)),
}


@pytest.mark.parametrize(("model", "excuses", "skipped"), [(name, *rest) for name, rest in KNOWN.items()], ids=KNOWN)
def test_a_network_with_a_known_answer_passes(toys, monkeypatch, model, excuses, skipped):
    """All but `check_import`: the toys are described beside their networks, in modules that import torch."""
    monkeypatch.setattr(checks, "CHECKS", [one for one in CHECKS if one.__name__ != "check_import"])
    found = {one.check: (one.verdict.value, one.reason) for one in run_checks(subject_of(model), excuses)}
    assert {check: why for check, (verdict, why) in found.items() if verdict in ("fail", "outdated")} == {}
    unweighed = {"check_golden", "check_state_keys"}
    assert {check for check, (verdict, _) in found.items() if verdict == "skipped"} == {*skipped, *unweighed}


# faulty network -> the check that catches it, and what it says
CAUGHT = {
    "faulty-sites@unmasked": ("check_nodata", "what 'climate' holds where `climate_valid` is false changes the answer"),
    "faulty-sites@crowd": ("check_batch_invariance", "alone, an example's answer differs"),
    "faulty-words@chorus": ("check_batch_invariance", "alone, an example's answer differs"),
    "faulty-words@loud": ("check_output", "vectors of image have lengths up to 2"),
    "faulty-points@shares": ("check_output", "all points lie within one pixel"),
    "faulty-points@centred": ("check_seams", "looks at rows"),
    "faulty-points@corner": ("check_seams", "scores of the same places differ"),
    "faulty-points@logits": ("check_output", "expected 0 to 1"),
    "faulty-forecast@blurred": ("check_bands", "with the bands of 'weather' in reverse the answer is the same"),
    "faulty-forecast@hurried": ("check_output", "says 2 lead times and 2 quantities"),
}


@pytest.mark.parametrize(("model", "check", "message"), [(name, *rest) for name, rest in CAUGHT.items()], ids=CAUGHT)
def test_a_fault_of_a_task_is_caught(toys, model, check, message):
    assert message in outcome(model, check)


@pytest.mark.parametrize("change", ["inputs", "answers", "classes"])
def test_variables_swapped_under_published_weights_are_caught(toys, monkeypatch, change):
    """The recorded answer knows variables, quantities and classes by their names."""
    package = toys / "zoo_toys_files"
    package.mkdir()
    (package / "__init__.py").touch()
    save_file({"drift": torch.tensor(2.5)}, package / "drift.safetensors")
    try:
        assert record(subject_of("weighed"))
        assert outcome("weighed", "check_golden") == ""
        monkeypatch.setenv("TOY_CHANGE", change)
        forget()
        assert outcome("weighed", "check_golden").startswith("CheckFailed")
    finally:
        sys.modules.pop("zoo_toys_files", None)
