"""`zoo list`, `zoo info`, `zoo plugins`: what a user reads before anything is loaded."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from zoo import registry
from zoo.cli import VERBS
from zoo.spec_json import encode

MODELS = """
    from dataclasses import replace
    from zoo.spec import Licences, Normalise, Percentile, Resize, Weights

    def specs():
        toy = model("toy")
        image = InputSpec(
            name="image", kind=Kind.RASTER, label="S2-L2A", gsd_m=(10.0, 10.0), scale=1e-4, window=224, multiple=16,
            bands=(Band(id="S2:B04", unit="DN"), Band(id="S2:B08", unit="DN")), any_subset=True,
            steps=(Percentile(low=(1.0, 2.0), high=(3000.0, 5000.0), source="ours"), Normalise(mean=(0.2, 0.3), std=(0.1, 0.2), source="ours"),
                   Resize(size=(224, 224), source="ours")),
        )
        weights = Weights(repo="lab/toy", file="toy.safetensors", license="MIT")
        variant = replace(toy.variants[0], inputs=(image,), weights=weights)
        open_one = replace(toy, variants=(variant,), licences=Licences(code="MIT", weights="MIT", data=None))
        closed = replace(model("other"), task=Task.SDM)
        return [open_one, closed]

    @hookimpl
    def zoo_register_models():
        return specs()
"""


@pytest.fixture(autouse=True)
def _only_toy(make_plugin, monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", "toy,broken")
    make_plugin("toy", MODELS)


def test_list_shows_a_line_per_model(zoo_command):
    code, said, errors = zoo_command("list")
    assert (code, errors) == (0, "")
    header, *rows = said.splitlines()
    assert header.split()[:2] == ["model", "task"]
    assert [row.split()[:2] for row in rows] == [["other", "sdm"], ["toy", "segment"]]
    assert "not stated" in rows[0]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--task", "sdm"], ["other"]),
        (["--sensor", "s2-l2a"], ["toy"]),
        (["--sensor", "S2"], ["other", "toy"]),
        (["--license", "mit"], ["toy"]),
        (["--license", "mit", "--task", "sdm"], []),
    ],
)
def test_list_filters(zoo_command, arguments, names):
    code, said, _ = zoo_command("list", "--json", *arguments)
    assert code == 0
    assert [row["name"] for row in json.loads(said)] == names


def test_info_says_units_recipe_licences_and_pin(zoo_command):
    code, said, _ = zoo_command("info", "toy")
    assert code == 0
    for expected in (
        "2 bands in DN",
        "S2:B04, S2:B08",
        "any subset of the bands will do",
        "10 m",
        "p1 1 2; p99 3000 5000",
        "mean 0.2 0.3; std 0.1 0.2",
        "hf://lab/toy/toy.safetensors",
        "not pinned",
        "data          not stated by the authors",
        "zoo info toy --bibtex",
    ):
        assert expected in said


def test_info_cites_and_speaks_json(zoo_command):
    assert zoo_command("info", "toy", "--bibtex")[1] == "@misc{toy}\n"
    assert json.loads(zoo_command("info", "toy", "--json")[1])["variants"][0]["weights"]["repo"] == "lab/toy"


def test_unknown_names_end_with_what_to_type(zoo_command):
    code, said, errors = zoo_command("info", "tyo")
    assert (code, said) == (1, "")
    assert errors.startswith("zoo: no installed plugin has a model 'tyo'; did you mean toy?")
    code, _, errors = zoo_command("embed", "smarties", "a.tif", "b.tif")
    assert code == 1
    assert "zoo install zoo-smarties" in errors


def test_a_folder_that_is_named_without_its_dot_is_told(zoo_command, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    code, _, errors = zoo_command("info", "run")
    assert code == 1
    assert "for the folder of that name say ./run" in errors


def test_the_folder_of_a_model_or_of_its_run_is_described(zoo_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = registry.find("toy")[0].spec
    variant = replace(spec.default, classes=("sand", "coral"), summary="theirs", demo=True)
    folder = tmp_path / "runs/reef/model"
    folder.mkdir(parents=True)
    (tmp_path / "runs/reef/config.yaml").write_text("model: toy\n")
    told = {
        "zoo_format": 1,
        "model": "toy",
        "weights_sha256": "ab12",
        "license": "CC-BY-4.0",
        "made_from": {"name": "hf://lab/toy/toy.safetensors", "data": [{"name": "masks", "source": "your own"}]},
        "variant": encode(variant),
    }
    code, _, errors = zoo_command("info", "runs/reef")
    assert (code, "a run that has not ended" in errors) == (1, True)
    (folder / "config.json").write_text(json.dumps(told))
    code, _, errors = zoo_command("info", "runs/reef")
    assert (code, "model.safetensors is missing" in errors) == (1, True)
    (folder / "model.safetensors").write_bytes(bytes(2_000_000))
    for reference in ("runs/reef", "runs/reef/model", folder.parent):
        code, said, errors = zoo_command("info", reference)
        assert (code, errors) == (0, "")
        assert said.startswith(f"reef (toy@{variant.tag}): {spec.summary}\n")
        for line in (
            "  classes       2: sand, coral",
            "    bands       S2:B04, S2:B08",
            "weights         model.safetensors, in the model's folder",
            "  size          2.0 MB",
            "  state         saved, sha256 ab12",
            "  licence       CC-BY-4.0",
            "  began with    hf://lab/toy/toy.safetensors",
            "  trained on    masks: your own",
        ):
            assert f"{line}\n" in said
        assert "demo weights" not in said
    plain = json.loads(zoo_command("info", "runs/reef", "--json")[1])
    assert [one["classes"] for one in plain["variants"]] == [["sand", "coral"]]
    assert zoo_command("info", "runs/reef", "--bibtex")[1] == "@misc{toy}\n"


def test_the_folder_of_a_model_is_read_without_torch():
    code = "import sys, zoo.checkpoints.saved, zoo.cli.info, zoo.describe; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_plugins_shows_what_fails_and_why(make_plugin, zoo_command):
    make_plugin("broken", "    raise RuntimeError('no GPU')")
    code, said, errors = zoo_command("plugins")
    assert code == 0
    assert "broken  zoo-broken 0.1  FAILED at import; zoo plugins --why broken" in said
    assert "toy  zoo-toy 0.1  other, toy" in said
    assert errors.count("\n") == 1
    assert "RuntimeError: no GPU" in zoo_command("plugins", "--why", "broken")[1]
    code, _, errors = zoo_command("plugins", "--why", "toy")
    assert code == 1
    assert "has not failed" in errors


def test_data_lists_what_plugins_read(make_plugin, zoo_command, monkeypatch):
    assert zoo_command("data")[1].splitlines()[0].startswith("class-folders")  # zoo's own layouts come first
    monkeypatch.setenv("ZOO_PLUGINS", "reader")
    make_plugin(
        "reader",
        """
    from zoo.spec import DatasetSpec

    @hookimpl
    def zoo_register_datasets():
        return [DatasetSpec(name="reefs", summary="photographs", reader="pkg.data:Reefs", task=Task.SEGMENT,
                            license=None, source="doi 10/x")]
    """,
    )
    assert zoo_command("data")[1].splitlines()[-2:] == [
        "reefs          segment  photographs (zoo-reader)",
        "               read by pkg.data:Reefs; doi 10/x",
    ]
    assert json.loads(zoo_command("data", "--json")[1])[-1]["reader"] == "pkg.data:Reefs"


def test_plugins_add_commands(make_plugin, zoo_command, monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", "hello")
    make_plugin(
        "hello",
        """
    import click

    @hookimpl
    def zoo_register_commands(cli):
        @cli.command("hello")
        def hello():
            "Say hello."
            click.echo("hello")
    """,
    )
    assert zoo_command("hello")[1] == "hello\n"
    assert "Say hello." in zoo_command("--help")[1]
    code, _, errors = zoo_command("hullo")
    assert code == 2
    assert "No such command" in errors


@pytest.mark.parametrize("verb", [verb for group in VERBS.values() for verb in group])
def test_every_verb_is_there_and_explains_itself(zoo_command, verb):
    assert importlib.import_module(f"zoo.cli.{verb}").command.name == verb
    code, said, _ = zoo_command(verb, "--help")
    assert code == 0
    assert "Usage: zoo" in said
