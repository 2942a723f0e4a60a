"""The loop learns, is exact under distribution and accumulation, and leaves a folder that can be used."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

import zoo
from zoo.errors import ConfigError, InputError, ZooWarning
from zoo.training.loop import train


def weights(folder):
    return load_file(folder / "model/model.safetensors")


def same(one, other, **tolerance):
    assert one.keys() == other.keys()
    for key, value in one.items():
        if tolerance:
            torch.testing.assert_close(value, other[key], **tolerance)
        else:
            assert torch.equal(value, other[key]), key


def test_a_run_learns_and_leaves_a_model_that_loads(configured, learner):
    config = configured("epochs=20", "schedule.name=cosine", "validation.split=val", "best.metric=accuracy")
    done = train(config, out="run")
    measured = [
        json.loads(line)["values"]["accuracy"]
        for line in (learner / "run/log.jsonl").read_text().splitlines()
        if json.loads(line)["kind"] == "evaluated"
    ]
    assert measured[0] < 0.9
    assert max(measured) > 0.95
    loaded = zoo.load(str(done.folder.resolve() / "model"), device="cpu")
    same(loaded.module.state_dict(), {key: one.cpu() for key, one in done.model.module.state_dict().items()})
    assert loaded.variant.classes == ("blue", "green", "red")
    assert not loaded.module.training


def test_the_loss_of_a_step_is_the_mean_over_its_samples(configured, learner):
    """Two steps of plain gradient descent, by hand."""
    config = configured(
        "epochs=null", "steps=2", "batch=36", "network.dropout=0", "data.options.noise=0",
        optimizer={"name": "sgd", "lr": 0.5, "weight_decay": 0.0}, schedule={"name": "constant"},
    )  # fmt: skip
    done = train(config, out="run")
    expected = zoo.build("learner@chips", seed=config.seed, device="cpu").module.train()
    expected.dropout.p = 0.0
    from learning.toys import Chips

    chips = Chips(36, "train")
    for _ in range(2):
        loss = torch.nn.functional.cross_entropy(expected(chips.pixels).logits, chips.labels)
        expected.zero_grad()
        loss.backward()
        with torch.no_grad():
            for one in expected.parameters():
                one -= 0.5 * one.grad
    same(done.model.module.state_dict(), expected.state_dict(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", ["chips", "maps"])
def test_accumulation_does_not_change_what_is_learnt(configured, learner, model):
    """Labelled pixels differ from sample to sample, so that a mean of means would be another loss."""
    changes = {"model": f"learner@{model}", "data": {"dataset": f"toy-{model}"}}
    plain = ["epochs=null", "steps=4", "batch=12"] + (["network.dropout=0"] if model == "chips" else [])
    one = train(configured(*plain, **changes), out="one")
    other = train(configured(*plain, "micro_batch=5", **changes), out="other")
    same(weights(one.folder), weights(other.folder), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "extra"),
    [
        ("chips", ("network.dropout=0",)),
        ("chips", ("network.dropout=0", "batch=11", "micro_batch=3", "drop_last=false")),  # a tail that is uneven
        ("maps", ("batch=11",)),
        ("chips", ("network.dropout=0", "objective=two")),
    ],
)
def test_two_processes_learn_what_one_learns(recipe_file, learner, two_processes, zoo_command, model, extra):
    file = recipe_file(model=f"learner@{model}", data={"dataset": f"toy-{model}"}, clip=1.0)
    extra = ("validation.split=val", *extra)
    code, _, err = zoo_command("train", "learner", file, *extra, "--out", learner / "one")
    assert code == 0, err
    two_processes("train", "learner", str(file), *extra, "--out", learner / "two")
    same(weights(learner / "one"), weights(learner / "two"), rtol=2e-4, atol=2e-5)
    one, two = (_values(learner / name) for name in ("one", "two"))
    assert [kind for kind, _ in one] == [kind for kind, _ in two]
    for (kind, found), (_, expected) in zip(one, two, strict=True):
        for name in set(found) - {"samples_per_s"}:
            assert found[name] == pytest.approx(expected[name], rel=2e-3, abs=1e-5), (kind, name)


def _values(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["kind"], line["values"]) for line in lines if line["kind"] in ("logged", "evaluated")]


def test_terms_are_weighted_and_logged(configured, learner):
    done = train(configured("objective=two"), out="run")
    for kind, values in _values(learner / "run"):
        if kind == "logged":
            assert values["loss"] == pytest.approx(values["sure"] + values["size"], rel=1e-5)
            assert values["lr"] >= 0
            assert values["samples_per_s"] > 0
    assert done.figures["loss"] > 0


def test_an_objective_may_train_a_network_around_the_models_own(configured, learner):
    before = zoo.build("learner@chips", seed=42, device="cpu").module.state_dict()
    done = train(configured("objective=around", "epochs=3"), out="run")
    after = done.model.module.state_dict()
    assert not torch.equal(before["stem.weight"], after["stem.weight"])
    assert torch.equal(before["head.weight"], after["head.weight"])  # has no part in this objective


def test_phases_follow_each_other_and_train_their_parts(configured, learner):
    phases = {"probe": {"trained": ["head.*"], "epochs": 1}, "whole": {"epochs": 1, "frozen": ["stem.*"]}}
    done = train(configured(phases=phases), out="run")
    before = zoo.build("learner@chips", seed=42, device="cpu").module.state_dict()
    after = done.model.module.state_dict()
    assert torch.equal(before["stem.weight"], after["stem.weight"])
    assert not torch.equal(before["blocks.0.weight"], after["blocks.0.weight"])
    assert all(one.requires_grad for one in done.model.module.parameters())
    kinds = [json.loads(line) for line in (learner / "run/log.jsonl").read_text().splitlines()]
    assert [one["phase"] for one in kinds if one["kind"] == "phase"] == ["probe", "whole"]


def test_the_average_of_weights_is_what_is_kept(configured, learner):
    plain = train(configured("epochs=null", "steps=1", "optimizer.name=sgd", "schedule.name=constant"), out="a")
    kept = train(
        configured("epochs=null", "steps=1", "optimizer.name=sgd", "schedule.name=constant", "ema.decay=0.75"), out="b"
    )
    same(plain.model.module.state_dict(), kept.model.module.state_dict())  # the average begins at the first weights
    two = [
        train(configured("epochs=null", f"steps={n}", "optimizer.name=sgd", "schedule.name=constant"), out=f"s{n}")
        for n in (1, 2)
    ]
    kept = train(
        configured("epochs=null", "steps=2", "optimizer.name=sgd", "schedule.name=constant", "ema.decay=0.75"), out="c"
    )
    one, other = (done.model.module.state_dict() for done in two)
    expected = {key: 0.75 * one[key] + 0.25 * other[key] for key in one}
    same(kept.model.module.state_dict(), expected, rtol=1e-5, atol=1e-7)


def test_schedule_free_weights_are_the_averaged_ones(configured, learner):
    """Against the package's own optimiser on the same batches."""
    from learning.toys import Chips
    from schedulefree import AdamWScheduleFree

    config = configured(
        "epochs=null", "steps=5", "batch=36", "network.dropout=0", "data.options.noise=0", "validation.split=val",
        optimizer={"name": "schedule-free-adamw", "lr": 0.01, "weight_decay": 0.01, "warmup": 3},
        schedule={"name": "constant"},
    )  # fmt: skip
    done = train(config, out="run")
    expected = zoo.build("learner@chips", seed=config.seed, device="cpu").module.train()
    expected.dropout.p = 0.0
    optimizer = AdamWScheduleFree(expected.parameters(), lr=0.01, weight_decay=0.01, warmup_steps=3)
    optimizer.train()
    chips = Chips(36, "train")
    for _ in range(5):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(expected(chips.pixels).logits, chips.labels).backward()
        optimizer.step()
    optimizer.eval()
    same(done.model.module.state_dict(), expected.state_dict(), rtol=1e-4, atol=1e-5)


def test_adapters_are_merged_into_layers_of_the_old_names(configured, learner):
    done = train(configured("lora.target=[blocks.*]", "lora.rank=2", "epochs=4"), out="run")
    before = zoo.build("learner@chips", seed=42, device="cpu").module.state_dict()
    after = done.model.module.state_dict()
    assert before.keys() == after.keys()
    change = after["blocks.0.weight"] - before["blocks.0.weight"]
    assert change.abs().max() > 1e-4
    assert torch.linalg.matrix_rank(change, rtol=1e-3) == 2
    assert torch.equal(before["stem.weight"], after["stem.weight"])


def test_training_ends_when_the_metric_has_not_improved(configured, learner):
    done = train(
        configured(
            "epochs=50", "optimizer.lr=1e-12", "validation.split=val", best={"metric": "accuracy", "patience": 3}
        ),
        out="run",
    )
    assert sum(kind == "evaluated" for kind, _ in _values(done.folder)) == 4


def test_the_best_weights_are_kept_not_the_last(configured, learner):
    config = configured(
        "epochs=6", "optimizer.lr=0.5", "schedule.name=constant", "network.dropout=0",
        "validation.split=val", "validation.protocol=loss", best={"metric": "loss", "direction": "min"},
    )  # fmt: skip
    done = train(config, out="run")
    losses = [values["loss"] for kind, values in _values(done.folder) if kind == "evaluated"]
    assert losses.index(min(losses)) < len(losses) - 1, losses
    from learning.toys import Chips

    chips = Chips(36, "val")
    with torch.no_grad():
        found = torch.nn.functional.cross_entropy(done.model.module(chips.pixels).logits, chips.labels)
    assert found.item() == pytest.approx(min(losses), rel=1e-5)


def test_the_rate_falls_on_a_plateau(configured, learner):
    config = configured(
        "epochs=8", "optimizer.lr=1e-9",
        schedule={"name": "plateau", "on": "loss", "patience": 2, "gamma": 0.1, "threshold": 0.5},
    )  # fmt: skip
    done = train(config, out="run")
    rates = [values["lr"] for kind, values in _values(done.folder) if kind == "logged"]
    # Worse than half of the first at the 2nd, 3rd and 4th line of the log: the 5th step has a tenth of the rate.
    assert rates[:5] == pytest.approx([1e-9] * 4 + [1e-10])
    assert rates[6] == pytest.approx(1e-10)
    assert rates[7] == pytest.approx(1e-11)


def test_a_loss_that_is_not_finite_stops_with_its_batch_saved(configured, learner):
    with pytest.raises(InputError, match=r"not finite.*inputs or targets of train-5 are") as caught:
        train(configured("batch=36", "data.options.fail=nan"), out="run")
    (file,) = (learner / "run").glob("bad-batch-*.safetensors")
    assert file.name in str(caught.value)
    assert load_file(file)["in.image"].isnan().any()
    assert not (learner / "run/model").exists()
    assert json.loads((learner / "run/log.jsonl").read_text().splitlines()[-1])["kind"] == "failed"


def test_a_head_for_the_classes_of_the_data_starts_at_random_and_the_rest_does_not(configured, learner):
    base = train(configured(), out="base")
    config = configured(
        "epochs=1", "classes=data", "data.dataset=toy-chips", "frozen=[stem.*, blocks.*, norm.*]", f"start={learner}/base/model"
    )  # fmt: skip
    done = train(config, out="run")
    assert torch.equal(done.model.module.state_dict()["stem.weight"], weights(base.folder)["stem.weight"])


def test_wrong_beginnings_say_what_to_type(configured, learner):
    train(configured("epochs=null", "steps=1"), out="base")
    with pytest.raises(ConfigError, match=r"fresh=\[stem\*\]"):
        train(configured(f"start={learner}/base/model", "network.width=4"), out="run")
    with pytest.raises(ConfigError, match=r"36 samples do not fill one batch of 100"):
        train(configured("batch=100"), out="run2")
    with pytest.raises(ConfigError, match=r"objective 'nothing'; it has slow, two, around"):
        train(configured("objective=nothing"), out="run3")
    with pytest.raises(ConfigError, match="no option 'speed'"):
        train(configured("objective=slow", "objective_options.speed=3"), out="run4")
    with pytest.raises(ConfigError, match=r"'heads.*' fits no parameter"):
        train(configured("trained=[heads.*]"), out="run5")
    with pytest.raises(ConfigError, match=r"groups.late fits no parameter"):
        train(configured(groups={"late": {"match": ["late.*"]}}), out="run6")
    with pytest.raises(ConfigError, match=r"best.metric=accurancy is not measured; did you mean 'accuracy'"):
        train(configured("validation.split=val", "best.metric=accurancy"), out="run7")


def test_splits_that_share_samples_are_refused(configured, learner):
    with pytest.raises(InputError, match="train-0"):
        train(configured("data.dataset=toy-same", "validation.split=val"), out="run")
    assert not (learner / "run").exists()


def test_parts_of_a_step_draw_alike(configured, learner):
    """An objective that draws for the whole step learns the same however the step is divided."""
    plain = ["epochs=null", "steps=4", "objective=drawing", "network.dropout=0"]
    one = train(configured(*plain), out="one")
    other = train(configured(*plain, "micro_batch=4"), out="other")
    same(weights(one.folder), weights(other.folder), rtol=1e-4, atol=1e-5)


def test_a_setting_of_accelerate_does_not_divide_gradients(configured, learner, monkeypatch):
    plain = ["epochs=null", "steps=2", "optimizer.name=sgd", "network.dropout=0"]
    one = train(configured(*plain), out="one")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    same(weights(one.folder), weights(train(configured(*plain), out="other").folder))


def test_measuring_an_average_leaves_the_weights_that_are_trained(configured, learner):
    plain = ["epochs=null", "steps=4", "objective=inside", "ema.decay=0.9"]
    one = train(configured(*plain), out="one")
    other = train(configured(*plain, "validation.split=val", "validation.every=1"), out="other")
    same(weights(one.folder), weights(other.folder))


def test_a_head_is_trained_beside_adapters_and_a_whole_phase_may_follow(configured, learner):
    lora = {"target": ["blocks.*"], "rank": 2}
    phases = {"adapters": {"epochs": 1, "lora": lora}, "whole": {"epochs": 1, "lora": None}}
    done = train(configured(phases={"adapters": phases["adapters"]}), out="one")
    before, after = zoo.build("learner@chips", seed=42, device="cpu").module.state_dict(), weights(done.folder)
    assert not torch.equal(before["head.weight"], after["head.weight"])
    assert torch.equal(before["stem.weight"], after["stem.weight"])
    done = train(configured(phases=phases), out="two")
    assert not torch.equal(before["stem.weight"], weights(done.folder)["stem.weight"])
    assert all(one.requires_grad for one in done.model.module.parameters())


def test_what_is_fresh_begins_at_random_even_where_it_would_fit(configured, learner):
    base = train(configured(), out="base")
    start = f"start={learner}/base/model"
    done = train(configured(start, "fresh=[head.*]", "epochs=null", "steps=0"), out="run")
    assert not torch.equal(weights(done.folder)["head.weight"], weights(base.folder)["head.weight"])
    assert torch.equal(weights(done.folder)["stem.weight"], weights(base.folder)["stem.weight"])
    with pytest.raises(ConfigError, match=r"'haed.\*' fits no weights"):
        train(configured(start, "fresh=[haed.*]"), out="run2")


def test_an_objective_is_a_class_of_objectives(configured, learner):
    with pytest.raises(ConfigError, match="subprocess:Popen is no objective"):
        train(configured("objective=subprocess:Popen", "objective_options.args=[touch,pwned]"), out="run")
    assert not (learner / "pwned").exists()


def test_phases_read_what_they_say_and_one_without_steps_begins_and_ends(configured, learner):
    phases = {"push": {"steps": 0, "objective": "counting"}, "fit": {"steps": 2, "data": {"options": {"n": 24}}}}
    done = train(configured("epochs=null", phases=phases), out="run")
    assert (learner / "begun").read_text() == "36"
    lines = [json.loads(line) for line in (done.folder / "log.jsonl").read_text().splitlines()]
    assert [(one["phase"], one["steps"]) for one in lines if one["kind"] == "phase"] == [("push", 0), ("fit", 2)]
    assert max(one["epoch"] for one in lines) == 1.0  # two steps of twelve are an epoch of 24


def test_each_phase_leaves_its_own_best(configured, learner):
    phases = {
        "first": {"best": {"metric": "accuracy", "patience": 1}, "optimizer": {"lr": 1e-12}},
        "second": {"best": None, "epochs": 2},
    }
    done = train(configured("epochs=9", "validation.split=val", phases=phases), out="run")
    lines = [json.loads(line) for line in (done.folder / "log.jsonl").read_text().splitlines()]
    steps = {one["phase"]: one["step"] for one in lines if one["kind"] == "logged"}
    assert steps == {"first": 6, "second": 6}  # measured at each epoch of three steps; the second time is no better


def test_loss_and_scores_can_be_measured_together(configured, learner):
    done = train(
        configured("validation.split=val", "validation.loss=true", "best.metric=loss", "best.direction=min"), out="run"
    )
    (first, *_) = [values for kind, values in _values(done.folder) if kind == "evaluated"]
    assert {"loss", "accuracy"} <= first.keys()


def test_readers_are_told_the_epoch(configured, learner):
    done = train(configured("data.options.quiet_from=1", "epochs=3", "log_every=3"), out="run")
    assert done.figures["loss"] > 0
    assert (learner / "epochs").read_text().split() == ["0", "1", "2"]


def test_a_run_loads_as_its_model_does_and_is_doubted_on_its_own_training_data(configured, learner):
    done = train(configured(), out="run")
    loaded = zoo.load(str(done.folder.resolve()), device="cpu")
    same(loaded.module.state_dict(), done.model.module.state_dict())
    assert done.model.origin.sha256 == loaded.origin.sha256
    with pytest.warns(ZooWarning, match=r"was trained on this very split \(train\)"):
        zoo.evaluate("./run", "toy-chips", split="train", bootstrap=0)
    (learner / "begun").mkdir()
    (learner / "begun/config.yaml").write_text("model: learner@chips")
    with pytest.raises(zoo.ZooError, match="is a run that has not ended; go on with its command and --resume auto"):
        zoo.load("./begun")


def test_an_early_end_is_told(configured, learner, caplog):
    settings = ("epochs=9", "validation.split=val", "best.metric=accuracy", "best.patience=2", "optimizer.lr=1e-12")
    train(configured(*settings), out="run")
    assert "ended at step 9 of 27: accuracy was no better for 2 measurements" in caplog.text


def test_an_objective_of_another_task_is_told(configured, learner):
    changes = {"model": "learner@chips", "data": {"dataset": "toy-maps"}}
    with pytest.raises(ConfigError, match="expected a map"):
        train(configured("objective=zoo.tasks.losses.segment:Segment", **changes), out="run")
