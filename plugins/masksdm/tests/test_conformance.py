"""zoo's own checks on each kind of network."""

import re
import shlex
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import zoo_masksdm
from zoo_masksdm.variants import RELEASED

from zoo import registry
from zoo.errors import ZooWarning

README = Path(__file__).parents[1] / "README.md"
PAGE = Path(__file__).parents[3] / "docs/models/masksdm.md"

# One variant of each builder and of each table of predictors.
KINDS = {(one.builder, one.config.get("kinds"), one.inputs[0].label): one.tag for one in reversed(RELEASED)}
SMALL = {"width": 24, "blocks": 2, "heads": 4, "layers": 2}


@pytest.fixture
def small(monkeypatch):
    """The variants with their descriptions as they are, on narrow networks of few species that have names."""
    made = tuple(
        replace(
            one,
            classes=tuple(f"species {number}" for number in range(12)),
            config={**{key: SMALL.get(key, value) for key, value in one.config.items()}, "num_classes": 12},
        )
        for one in RELEASED
    )
    monkeypatch.setattr(zoo_masksdm, "SPEC", replace(zoo_masksdm.SPEC, variants=made))
    registry.entries.cache_clear()
    yield
    registry.entries.cache_clear()


@pytest.mark.parametrize("tag", sorted(KINDS.values()))
def test_released_variants_made_small_conform(tag, zoo_check, small):
    zoo_check(f"masksdm@{tag}")


def test_the_demo_conforms(zoo_check):
    zoo_check("masksdm@demo")


def test_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    names = {}
    with pytest.warns(ZooWarning, match="6 of 8 variables are not there and count as missing"):
        exec(compile(block, README.name, "exec"), names)
    table = names["species"].table.to_pydict()
    assert table["id"] == ["valley", "slope", "summit"]
    warm, cold = table["Virtualis calida"], table["Virtualis frigida"]
    assert warm[0] > 0.4 > 0.1 > warm[2]
    assert cold[2] > 0.6 > 0.1 > cold[0]
    assert (tmp_path / "species.parquet").stat().st_size > 0


def test_commands_of_the_page_run(tmp_path, monkeypatch, capsys):
    from zoo.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "sites.csv").write_text("id,bio_1,bio_12\na,10.5,700\nb,1.0,1200\n")
    commands = re.findall(r"^\$ zoo (.*)$", PAGE.read_text(), re.MULTILINE)
    assert [command.partition(" ")[0] for command in commands] == ["info", "predict", "recipes", "evaluate", "evaluate"]
    for command in commands:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZooWarning)
            with pytest.raises(SystemExit) as done:
                main(shlex.split(command))
        assert not done.value.code, capsys.readouterr().err
    told = capsys.readouterr().out
    assert "12,738" in told
    assert re.search(r"^auc_mean +0\.[89]", told, re.MULTILINE)
    rows = (tmp_path / "species.csv").read_text().splitlines()
    assert len(rows) == 3
    assert "Virtualis calida" in rows[0]
