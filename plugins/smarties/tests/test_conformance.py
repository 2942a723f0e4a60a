"""zoo's own checks on the demo network, and the README's lines as they stand."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import zoo_smarties
from zoo_smarties.variants import VARIANTS

import zoo.testing
from zoo import registry

README = Path(__file__).parents[1] / "README.md"
# Made small, the two sizes of a variant are the same.
OTHERS = ("resisc45-finetune-vit-l", "classify-demo")
ONE_SIZE = [one.tag for one in VARIANTS if one.tag.endswith("vit-b") or one.tag in OTHERS]
PAGE = Path(__file__).parents[3] / "docs/models/smarties.md"


@zoo.testing.parametrize_with_checks(["smarties@demo"])
def test_conformance(model, check):
    check(model)


@pytest.mark.parametrize("tag", ONE_SIZE)
def test_released_variants_made_small_conform(tag, zoo_check, monkeypatch):
    """Their descriptions and heads as they are, on a shallow and narrow trunk; a needless excuse fails."""
    small = tuple(
        variant
        if variant.tag.endswith("demo")
        else replace(variant, config={**variant.config, "width": 24, "depth": 1, "heads": 2})
        for variant in VARIANTS
    )
    monkeypatch.setattr(zoo_smarties, "SPEC", replace(zoo_smarties.SPEC, variants=small))
    registry.entries.cache_clear()
    try:
        zoo_check(f"smarties@{tag}")
    finally:
        registry.entries.cache_clear()


def test_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    names = {}
    for block in blocks:
        exec(compile(block, README.name, "exec"), names)
    assert names["features"].data.shape == (96, 32, 32)  # a vector per 8 x 8 px of 256 x 256
    assert names["pooled"].shape == (1, 96)
    assert 0 < names["trained"].figures["accuracy"] <= 1
    assert (tmp_path / "chips.parquet").stat().st_size > 0


def test_commands_of_the_page_run(tmp_path, monkeypatch, capsys):
    from zoo import samples
    from zoo.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "chips").mkdir()
    samples.write(samples.scene("sentinel2", seed=0, size=128), "scene.tif")
    samples.write(samples.scene("sentinel1", seed=1, size=64), "chips/radar.tif")
    commands = re.findall(r"^\$ zoo (.*)$", PAGE.read_text(), re.MULTILINE)
    for command in commands:
        with pytest.raises(SystemExit) as done:
            main(shlex.split(command))
        assert not done.value.code, capsys.readouterr().err
    assert [command.partition(" ")[0] for command in commands] == [
        *("info", "embed", "embed"),
        *("recipes", "train", "evaluate", "evaluate"),
    ]
    told = capsys.readouterr().out
    assert "hf://gsumbul/SMARTIES-v1-ViT-B" in told
    assert "finetune-eurosat" in told
    assert len(re.findall(r"^accuracy +[01]\.\d", told, re.MULTILINE)) == 2
    assert (tmp_path / "features.tif").is_file()
    assert (tmp_path / "chips.parquet").is_file()
