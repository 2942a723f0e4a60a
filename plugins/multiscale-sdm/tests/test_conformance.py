"""zoo's own checks on the demo network, and the README's and the page's lines as they stand."""

import re
import shlex
from pathlib import Path

import pytest
from zoo_multiscale_sdm.variants import DEMO_SPECIES, PUBLISHED

import zoo.testing

README = Path(__file__).parents[1] / "README.md"
PAGE = Path(__file__).parents[3] / "docs/models/multiscale-sdm.md"


@zoo.testing.parametrize_with_checks(["multiscale-sdm@demo", "multiscale-sdm@env-1-5", "multiscale-sdm@sat-25"])
def test_conformance(model, check):
    check(model)


def test_published_networks_have_their_scales_their_scores_and_the_authors_size():
    from zoo_multiscale_sdm.network.multiscale import build

    assert len(PUBLISHED) == len({one.tag for one in PUBLISHED}) == 20
    assert all(one.scores and one.weights is None for one in PUBLISHED)
    best = PUBLISHED[0]
    assert best.tag == "env-1-5-sat-25-59-115"
    assert [spec.window for spec in best.inputs] == [5, 116]
    assert {(one.metric, one.value) for one in best.scores} == {
        ("median AUC", 0.8756),
        ("site F1", 0.0408),
        ("site F1", 0.0386),
        ("site F1 [%]", 2.77),
    }
    network = build(**best.config)
    sizes = {name: sum(one.numel() for one in part.parameters()) for name, part in network.modalities.items()}
    assert sizes == {"env": 4_504_576, "sat": 15_297_664}
    assert sum(one.numel() for one in network.head.parameters()) == 11_133_054


def test_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(block, README.name, "exec"), names)
    assert names["table"].column_names == ["id", *DEMO_SPECIES]
    assert names["table"].num_rows == names["without_image"].num_rows == 40
    assert names["best"].num_rows == 80
    assert names["found"].figures["auc_median"].value > 0.85
    run([one for one in re.findall(r"^zoo (.*)$", README.read_text(), re.MULTILINE) if "area/" in one])
    assert (tmp_path / "species.parquet").is_file()
    assert (tmp_path / "map.tif").is_file()


def test_commands_of_the_page_run(tmp_path, monkeypatch):
    from zoo_multiscale_sdm.world import write_area

    monkeypatch.chdir(tmp_path)
    write_area("area")
    commands = re.findall(r"^\$ zoo (.*)$", PAGE.read_text(), re.MULTILINE)
    assert len(commands) >= 4
    run(commands)
    assert (tmp_path / "species.parquet").is_file()


def run(commands):
    from zoo.cli import main

    for command in commands:
        with pytest.raises(SystemExit) as done:
            main(shlex.split(command))
        assert not done.value.code, command
