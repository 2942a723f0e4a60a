"""A run on a Hub on loopback: what was pushed loads elsewhere to the same numbers, under a licence that holds."""

import importlib.util
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

import zoo
from zoo import plugins, registry
from zoo.checkpoints.folders import check_golden, read_folder
from zoo.errors import ConfigError
from zoo.evaluation.result import Evaluation
from zoo.results.provenance import Provenance
from zoo.tasks.metrics.sums import Figure
from zoo.training.config import Best, Data, Phase, TrainConfig, Validation
from zoo.training.events import Happened, TrainEvent
from zoo.training.folder import RunFolder
from zoo.training.publishing import publish
from zoo.training.run_cards import describe_model

TOY = """
    import torch
    from dataclasses import replace
    from pathlib import Path
    from typing import NamedTuple
    from zoo.spec import DatasetSpec, Score, Weights

    class Out(NamedTuple):
        logits: torch.Tensor

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 2, 3)

        def forward(self, image):
            return Out(logits=self.conv(image))

    def build():
        return Net()

    LICENCE = "Apache-2.0"

    @hookimpl
    def zoo_register_models():
        spec = model("toy")
        scores = (Score(dataset="Authors' data", metric="mIoU", value=99.0, protocol="theirs", source="paper"),)
        small, large = (replace(one, builder="zoo_toy:build", scores=scores) for one in spec.variants)
        weights = Weights(file="zoo_toy:toy.safetensors", license=LICENCE)
        return [replace(spec, repository="https://example.org/toy", variants=(replace(small, weights=weights), large))]

    @hookimpl
    def zoo_register_datasets():
        return [DatasetSpec(name=f"kelp-{name}", summary="kelp", reader="zoo_toy:read", task=Task.SEGMENT,
                            license=licence, source="https://example.org/kelp")
                for name, licence in (("open", "CC-BY-4.0"), ("unknown", None), ("nc", "CC-BY-NC-4.0"))]
"""
SAFETENSORS = {"model.safetensors", "golden.safetensors"}


@pytest.fixture
def toy(make_plugin, monkeypatch, tmp_path):
    """Install the toy with weights under a licence."""

    def install(licence="Apache-2.0"):
        from safetensors.torch import save_file

        monkeypatch.setenv("ZOO_PLUGINS", "toy")
        if (tmp_path / "site" / "zoo_toy").is_dir():  # installed already: the same under another licence
            init = tmp_path / "site" / "zoo_toy" / "__init__.py"
            init.write_text(re.sub(r"LICENCE = .*", f"LICENCE = {licence!r}", init.read_text()))
            sys.modules.pop("zoo_toy", None)
            plugins.plugins.cache_clear()
            registry.entries.cache_clear()
            return
        site = make_plugin("toy", TOY.replace('LICENCE = "Apache-2.0"', f"LICENCE = {licence!r}"))
        weights = {"conv.weight": torch.arange(18.0).reshape(2, 1, 3, 3) / 10, "conv.bias": torch.tensor([0.5, -0.5])}
        package = site / "zoo_toy"
        package.mkdir()
        (site / "zoo_toy.py").rename(package / "__init__.py")
        save_file(weights, package / "toy.safetensors")

    return install


@pytest.fixture
def finished(toy, tmp_path):
    """`finished(licence=..., start=..., dataset=...)`: a run of the toy that has ended; its weights moved."""

    def make(licence="Apache-2.0", start="weights", dataset="kelp-open"):
        toy(licence)
        run = RunFolder.create(tmp_path / "runs", "toy@small", "finetune")
        config = TrainConfig(
            model="toy@small",
            recipe="finetune",
            start=start,
            data=Data(dataset=dataset, folder=str(tmp_path / "secret" / "chips"), options={"table": "/home/me/t.csv"}),
            validation=Validation(),
            phases={"train": Phase(steps=20, best=Best(metric="mIoU"))},
        )
        model = zoo.build("toy@small", device="cpu") if start == "random" else zoo.load("toy@small", device="cpu")
        run.write_config(config)
        run.write_environment(config, model, processes=2)
        with torch.no_grad():
            model.module.conv.weight.mul_(0.37)
        model.save(run.model)
        told = {"run": run.path, "phase": "train", "steps": 20, "epoch": 1.0}
        run.append(TrainEvent(kind=Happened.EVALUATED, step=20, values={"mIoU": 0.6}, **told))
        run.append(TrainEvent(kind=Happened.ENDED, step=20, **told))
        evaluation = Evaluation(
            model="toy", variant="small", dataset=dataset, split="test", protocol="head", num_samples=50,
            figures={"mIoU": Figure(0.625, 0.5, 0.75), "accuracy [%]": Figure(80.0)},
            provenance=Provenance(model="toy", variant="small", weights="x", revision=None, sha256=None, zoo_version="0"),
        )  # fmt: skip
        run.write_metrics(evaluation=evaluation)
        return run

    return make


def test_what_was_pushed_loads_elsewhere_to_the_same_numbers(finished, hub, zoo_hub_server, monkeypatch):
    """Pushed to one server, served by another, `olah`, which is no code of ours."""
    run = finished()
    published = publish(run, "lab/kelp", private=True)
    files = hub.commits["lab/kelp"][published.pushed.commit]
    assert set(files) == {"config.json", "README.md", *SAFETENSORS}
    mirror = zoo_hub_server.repository("lab/kelp")
    commit = mirror.commit(
        {name: one for name, one in files.items() if name not in SAFETENSORS},
        {name: one for name, one in files.items() if name in SAFETENSORS},
    )
    monkeypatch.setenv("HF_ENDPOINT", zoo_hub_server.counter.url)
    model, own = zoo.load("hf://lab/kelp", device="cpu"), zoo.load(str(run.model), device="cpu")
    assert (model.origin.name, model.origin.revision) == ("hf://lab/kelp", commit)
    for key, tensor in own.module.state_dict().items():
        assert torch.equal(model.module.state_dict()[key], tensor), key
    assert not torch.equal(own.module.conv.weight, zoo.load("toy@small", device="cpu").module.conv.weight)
    assert check_golden(model, run.model, rtol=0, atol=0) == 0.0
    image = {"image": torch.linspace(-1, 1, 256).reshape(1, 1, 16, 16)}
    assert torch.equal(model.forward(image).logits, own.forward(image).logits)
    zoo_hub_server.clear()


def test_card_says_from_what_it_was_made_how_and_how_good_it_is(finished, hub, tmp_path):
    card = publish(finished(), "lab/kelp", licence="MIT", dry_run=True).card
    data = ModelCard(card).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("mit", "zoo", "image-segmentation")
    _, results = model_index_to_eval_results(data.to_dict()["model-index"])
    assert [(one.dataset_name, one.dataset_split, one.metric_name, one.metric_value, one.metric_args) for one in results] == [
        ("kelp-open", "test", "mIoU", 0.625, {"low": 0.5, "high": 0.75, "level": 0.95}),
        ("kelp-open", "test", "accuracy [%]", 80.0, None),
    ]  # fmt: skip
    for part in (
        "# kelp\n",
        'zoo.load("hf://lab/kelp")',
        "| this model | | MIT |",
        "| weights it began with | zoo_toy:toy.safetensors | Apache-2.0 |",
        "| training data | kelp-open: https://example.org/kelp | CC-BY-4.0 |",
        "| mIoU | 0.625 | 0.5 to 0.75 |",
        "| accuracy [%] | 80 | not computed |",
        "recipe: finetune",
        "folder: chips",
        "table: t.csv",
        "2 process(es) on ",
        "| input | image | 1 x 1 x 64 x 64 |",
        "| output | logits | 1 x 2 x 62 x 62 |",
        "@misc{toy}",
    ):
        assert part in card, part
    for part in (str(tmp_path), "/home/me", "Authors' data", "99.0", 'toy@small")'):
        assert part not in card, part


def test_chosen_licence_is_in_the_description_too_and_the_run_stays_as_it_was(finished, hub):
    run = finished("CC-BY-4.0")
    before = {one: one.read_bytes() for one in run.path.rglob("*") if one.is_file()}
    published = publish(run, "lab/kelp", licence="CC-BY-SA-4.0")
    described = json.loads(hub.commits["lab/kelp"][published.pushed.commit]["config.json"])
    assert (described["license"], described["variant"]["weights"]["license"]) == ("CC-BY-SA-4.0", "CC-BY-SA-4.0")
    assert {one: one.read_bytes() for one in run.path.rglob("*") if one.is_file()} == before
    assert [*run.path.glob(".push-*")] == []
    assert read_folder(run.model).weights.license == "CC-BY-4.0"


def test_prose_of_the_users_own_stays_and_empty_sections_are_told(finished, hub):
    run = finished()
    assert [one.partition(";")[0] for one in publish(run, "lab/kelp", dry_run=True).doubts] == [
        "the card's section 'Intended use' is empty", "the card's section 'Limits' is empty",
    ]  # fmt: skip
    card = run.model / "README.md"
    card.write_text(card.read_text().replace("*To be written.*", "Kelp off Helgoland."))
    published = publish(run, "lab/kelp", dry_run=True)
    assert published.doubts == ()
    assert published.card.count("Kelp off Helgoland.") == 2


def test_run_without_measurements_claims_none(finished, hub):
    run = finished()
    run.metrics.unlink()
    published = publish(run, "lab/kelp", dry_run=True)
    assert "model-index" not in published.card
    assert any("no measurements" in one for one in published.doubts)


# ------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("made", "asked", "told"),
    [
        ({"licence": None}, {}, r"whose licence its authors do not state.*ask them \(https://example.org/toy\)"),
        ({"licence": None}, {"licence": "MIT"}, "whose licence its authors do not state"),
        ({"licence": "CC-BY-NC-4.0"}, {"licence": "MIT"}, r"NonCommercial.*--license CC-BY-NC-4.0"),
        ({"licence": "CC-BY-SA-4.0"}, {"licence": "MIT"}, r"ShareAlike.*--license CC-BY-SA-4.0"),
        ({"licence": "CC-BY-ND-4.0"}, {}, "NoDerivatives"),
        ({"start": "random"}, {}, r"random weights.*zoo push .* lab/kelp --license Apache-2.0"),
        ({"dataset": "kelp-unknown"}, {}, r"see https://example.org/kelp and say it: .*--data-license SPDX"),
        ({}, {"data_licence": "MIT"}, "kelp-open is under CC-BY-4.0; leave the option out"),
        ({}, {"licence": "mine"}, "no SPDX licence expression"),
    ],
)
def test_what_would_misstate_a_licence_is_refused_and_nothing_is_sent(finished, hub, made, asked, told):
    run = finished(**made)
    with pytest.raises(ConfigError, match=told):
        publish(run, "lab/kelp", **asked)
    assert hub.accepted == 0
    assert [*run.path.glob(".push-*")] == []


def test_what_is_stated_is_published(finished, hub):
    random = finished("CC-BY-NC-4.0", start="random", dataset="kelp-unknown")
    card = publish(random, "lab/kelp", licence="MIT", data_licence="CC0-1.0", dry_run=True).card
    assert "weights it began with" not in card
    assert "| training data | kelp-unknown: https://example.org/kelp | CC0-1.0 |" in card


def test_doubt_about_noncommercial_data_is_told(finished, hub):
    doubts = publish(finished(dataset="kelp-nc"), "lab/kelp", dry_run=True).doubts
    told = "trained on kelp-nc: CC-BY-NC-4.0 forbids commercial use, and Apache-2.0 does not"
    assert any(told in one and "make sure that the data's terms allow it" in one for one in doubts)


def test_run_that_has_no_model_yet_says_how_to_go_on(finished, hub):
    run = finished()
    (run.model / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"has no model yet, it is ended; .*--resume"):
        publish(run, "lab/kelp")
    run.environment.unlink()


def test_run_that_does_not_know_its_beginning_is_refused(finished, hub):
    run = finished()
    run.environment.unlink()
    with pytest.raises(ConfigError, match="does not say which weights the run began with"):
        publish(run, "lab/kelp")


def test_licence_of_a_folder_that_a_run_began_with_counts(finished, tmp_path):
    run = finished("CC-BY-SA-4.0")
    config = replace(run.read_config(), start=str(run.model))
    other = RunFolder.create(tmp_path / "runs", "toy@small", "again")
    other.write_environment(config, zoo.load(str(run.model), device="cpu"), processes=1)
    assert other.read_environment()["start"]["license"] == "CC-BY-SA-4.0"
    assert str(tmp_path) not in other.environment.read_text()


def test_run_that_began_with_a_run_has_the_licence_at_its_root(finished, hub, tmp_path):
    """Nobody washes off a licence by training twice, and what began with random weights stays one's own."""
    first = finished("CC-BY-NC-4.0", start="random")
    describe_model(first)
    assert read_folder(first.model).weights.license is None  # not the authors': it began with random weights
    card = (first.model / "README.md").read_text()
    assert "| this model | | not chosen yet |" in card
    assert "Authors' data" not in card
    for start, told in ((first, "CC-BY-4.0"), (finished("CC-BY-NC-4.0"), None)):
        second = finished("Apache-2.0")
        config = replace(second.read_config(), start=str(start.model))
        second.write_config(config)
        second.write_environment(config, zoo.load(str(start.model), device="cpu"), processes=1)
        if told:
            assert f'license: "{told.lower()}"' in publish(second, "lab/x", licence=told, dry_run=True).card
        else:
            with pytest.raises(ConfigError, match="NonCommercial"):
                publish(second, "lab/x", licence="Apache-2.0", dry_run=True)


def again(finished, start, *, dataset="kelp-open"):
    """A run on other data that began with the model in a folder, or on the Hub."""
    run = finished("Apache-2.0", dataset=dataset)
    config = replace(run.read_config(), start=str(start))
    model = zoo.load(str(start), device="cpu")
    run.write_config(config)
    run.write_environment(config, model, processes=1)
    model.save(run.model)
    describe_model(run)
    return run


def trained_on(folder):
    made = json.loads((folder / "config.json").read_text())["made_from"]
    return [(one["name"], one["license"]) for one in made["data"]]


def test_data_of_earlier_runs_stay_on_the_card_and_are_judged(finished, hub):
    """Run 1 on NonCommercial data, then two on others: their licences are told of the third as of the first."""
    first = finished(start="random", dataset="kelp-nc")
    describe_model(first)
    third = again(finished, again(finished, first.model).model, dataset="kelp-unknown")
    assert trained_on(third.model) == [("kelp-nc", "CC-BY-NC-4.0"), ("kelp-open", "CC-BY-4.0"), ("kelp-unknown", None)]
    assert third.read_environment()["start"]["own"] is True
    with pytest.raises(ConfigError, match=r"training data \(kelp-unknown\) is not known; .*--data-license SPDX"):
        publish(third, "lab/kelp", licence="MIT", dry_run=True)
    published = publish(third, "lab/kelp", licence="MIT", data_licence="CC0-1.0")
    for row in ("kelp-nc: https://example.org/kelp | CC-BY-NC-4.0", "kelp-open: https://example.org/kelp | CC-BY-4.0",
                "kelp-unknown: https://example.org/kelp | CC0-1.0"):  # fmt: skip
        assert f"| training data | {row} |" in published.card
    (doubt,) = [one for one in published.doubts if "trained on" in one]
    assert "trained on kelp-nc: CC-BY-NC-4.0 forbids commercial use, and MIT does not (NonCommercial)" in doubt
    sent = json.loads(hub.commits["lab/kelp"][published.pushed.commit]["config.json"])
    assert sent["made_from"]["data"][2]["license"] == "CC0-1.0"


def test_copy_of_a_model_keeps_what_was_said_of_it(finished, tmp_path, hub):
    """Copied, or loaded and saved again, it is still one's own, and was trained on the same data."""
    first = finished("CC-BY-NC-4.0", start="random", dataset="kelp-nc")
    describe_model(first)
    shutil.copytree(first.model, tmp_path / "copied")
    zoo.load(str(tmp_path / "copied"), device="cpu").save(tmp_path / "saved")
    (tmp_path / "environment.json").write_text("{}")  # somebody else's
    for folder in (tmp_path / "copied", tmp_path / "saved"):
        assert trained_on(folder) == [("kelp-nc", "CC-BY-NC-4.0")]
        assert read_folder(folder).weights.license is None
        card = publish(again(finished, folder), "lab/kelp", licence="MIT", dry_run=True).card
        assert "| training data | kelp-nc: https://example.org/kelp | CC-BY-NC-4.0 |" in card
        assert "| weights it began with | toy@small (local) | one's own |" in card


def test_what_its_makers_published_under_a_licence_is_nobody_elses_own(finished, hub):
    first = finished(start="random", dataset="kelp-nc")
    describe_model(first)
    published = publish(first, "lab/kelp", licence="CC-BY-SA-4.0")
    files = hub.commits["lab/kelp"][published.pushed.commit]
    folder = first.path.parent / "fetched"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    second = again(finished, folder)
    start = second.read_environment()["start"]
    assert (start["license"], start["own"]) == ("CC-BY-SA-4.0", False)
    with pytest.raises(ConfigError, match="ShareAlike"):
        publish(second, "lab/other", licence="MIT", dry_run=True)


# ------------------------------------------------------------------------------------------------------------- command


def test_command_shows_files_and_card_and_then_sends(finished, hub, zoo_command):
    run = finished()
    code, out, err = zoo_command("push", run.path, "lab/kelp", "--dry-run")
    assert code == 0
    assert len(re.findall(r"(?m)^\S+  \d+\.\d MB  sha256 [0-9a-f]{64}$", out)) == 4
    assert "# kelp" in out
    assert "nothing was sent" in err
    assert hub.accepted == 0
    code, _, err = zoo_command("push", run.path, "lab/kelp", "--license", "MIT")
    assert code == 0
    assert f"at commit {hub.branches['lab/kelp']['main']}" in err
    code, _, err = zoo_command("push", run.model, "lab/kelp", "--license", "MIT")
    assert code == 1
    assert "are for training runs" in err


# ----------------------------------------------------------------------------------------------- the zoo's own weights


@pytest.fixture
def tool(monkeypatch):
    file = Path(__file__).parents[2] / "tools" / "publish.py"
    spec = importlib.util.spec_from_file_location("publish_tool", file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look there for their annotations
    spec.loader.exec_module(module)
    return module


def test_tool_prints_decisions_and_sends_nothing_by_itself(tool, toy, hub, capsys):
    toy(None)
    assert tool.main(["--org", "lab"]) == 0
    head, small, large = capsys.readouterr().out.splitlines()
    assert head.split() == ["variant", "licence", "decision", "why"]
    assert re.split(r"\s{2,}", small) == [
        "toy@small",
        "not stated",
        "leave",
        "the licence is not stated by the authors",
    ]
    assert re.split(r"\s{2,}", large) == ["toy@large", "not stated", "leave", "the authors published no weights"]
    assert tool.main(["--org", "lab", "--push"]) == 0
    assert hub.accepted == 0


def test_tool_publishes_what_its_licence_allows_and_it_loads_to_the_same_numbers(tool, toy, hub, capsys):
    toy()
    assert tool.main(["--org", "lab", "--push", "toy"]) == 0
    assert hub.created == ["lab/toy-small"]
    files = hub.commits["lab/toy-small"][hub.branches["lab/toy-small"]["main"]]
    assert set(files) == {"config.json", "README.md", *SAFETENSORS}
    assert 'zoo.load("hf://lab/toy-small")' in files["README.md"].decode()
    model, own = zoo.load("hf://lab/toy-small", device="cpu"), zoo.load("toy@small", device="cpu")
    assert torch.equal(model.module.conv.weight, own.module.conv.weight)
    assert read_folder(Path(zoo.hub.fetch.fetch_repo("hf://lab/toy-small"))).weights.license == "Apache-2.0"


def test_tool_publishes_the_demo_of_smarties_with_the_card_that_was_written_by_hand(tool, hub, capsys):
    assert tool.main(["--org", "lab", "--push", "smarties@demo"]) == 0
    files = hub.commits["lab/smarties-demo"][hub.branches["lab/smarties-demo"]["main"]]
    card = files["README.md"].decode()
    assert 'zoo.load("hf://lab/smarties-demo")' in card
    assert "## Limits" in card
    assert "To be written" not in card
    model, own = zoo.load("hf://lab/smarties-demo", device="cpu"), zoo.load("smarties@demo", device="cpu")
    for key, tensor in own.module.state_dict().items():
        assert torch.equal(model.module.state_dict()[key], tensor), key


def test_tool_goes_on_where_one_could_not_be_sent(tool, toy, hub, capsys):
    toy()
    hub.faults["api"] = [("status", 403)]
    assert tool.main(["--org", "lab", "--push", "toy@small"]) == 1
    assert re.match(r"toy@small: the Hub .* does not let you write lab/toy-small", capsys.readouterr().err)
