"""The authors' files, in their layout and under their names on a Hub, through `zoo.load` to the recorded answers."""

import importlib
import pickle
import sys
from dataclasses import replace

import pytest
import torch
import zoo_smarties
from safetensors.torch import save, save_file
from zoo_smarties.variants import VARIANTS

import zoo
from zoo import plugins, registry
from zoo.convert import convert_checkpoint
from zoo.errors import HubError, WeightsError
from zoo.testing import parity

BASE, FINETUNED = "gsumbul/SMARTIES-v1-ViT-B", "gsumbul/SMARTIES-v1-finetuned-models"
BASE_FILE = "smarties-v1-vitb.safetensors"
EUROSAT_FILE = "smarties-v1-vitb-eurosat-finetune.safetensors"
DECODER = ("mask_token", "decoder_")
ROOT = parity.root()

pytestmark = pytest.mark.skipif(ROOT is None, reason="parity skipped: no folder of recorded cases (set ZOO_PARITY)")


@pytest.fixture
def helpers():
    """How the plugin runs recorded cases: `tests/parity.py`."""
    return parity.runners(parity.owner("smarties"))


@pytest.fixture
def case():
    return lambda name: parity.read_case(ROOT / "smarties" / name)


@pytest.fixture
def describe(monkeypatch, helpers):
    """`describe(tag, case)` gives a variant the sizes of a recorded case, and unpins it or pins it as told.

    File, layout, inputs and head stay as they are.
    """

    def forget():
        plugins.plugins.cache_clear()
        registry.entries.cache_clear()

    def do(tag, case=None, *, revision=None, sha256=None, size=None):
        variant = next(one for one in VARIANTS if one.tag == tag)
        weights = replace(variant.weights, revision=revision, sha256=sha256, size=size)
        sizes = helpers.sizes(case.config) if case else {}
        changed = replace(variant, config={**variant.config, **sizes}, weights=weights)
        monkeypatch.setattr(zoo_smarties, "SPEC", replace(zoo_smarties.SPEC, variants=(changed,)))
        forget()
        return changed

    yield do
    monkeypatch.undo()
    forget()


def without(state, *prefixes):
    return {key: one for key, one in state.items() if not key.startswith(prefixes)}


def run(model, **tensors):
    return model.forward(
        {name: one for name, (one, _) in tensors.items()}, bands={name: bands for name, (_, bands) in tensors.items()}
    )


def nothing_written(folder):
    """Neither a snapshot nor a converted copy of the file."""
    return not [one for one in folder.rglob("*.safetensors") if one.stat().st_size]


# ------------------------------------------------------------------------------------------------------ whole files


def test_released_vit_b_is_fetched_checked_and_gives_the_recorded_embeddings(zoo_hub, case, describe):
    """At its true size, 466 MB: the auto-encoder's decoder lies beside the encoder in the file."""
    recorded = case("vitb_s2")
    describe("vit-b")
    content = save(recorded.state_dict)
    assert len(content) == pytest.approx(466e6, rel=1e-3)
    commit = zoo_hub.repository(BASE).commit({"README.md": b"card"}, {BASE_FILE: content})
    del content
    model = zoo.load("smarties", device="cpu")
    before = zoo_hub.accepted
    assert (model.origin.name, model.origin.revision) == (f"hf://{BASE}/{BASE_FILE}", commit)
    assert (model.origin.report.missing, model.origin.report.prefix) == ((), None)
    assert len(model.origin.report.ignored) == sum(key.startswith(DECODER) for key in recorded.state_dict) > 0
    image = recorded.inputs["s2.image_i8"].float() / 32
    answer = run(model, image=(image, next(item for item in model.variant.inputs if item.label == "S2-L2A").band_ids))
    torch.testing.assert_close(answer.pooled, recorded.outputs["s2.cls"], atol=1e-4, rtol=0)
    torch.testing.assert_close(answer.tokens[:, ::7], recorded.outputs["s2.map"], atol=1e-4, rtol=0)
    zoo.load("smarties", device="cpu", offline=True)
    zoo.load("smarties", device="cpu")
    assert zoo_hub.accepted == before


# ------------------------------------------------------------------------------------------------- the same, made small


def test_finetuned_classifier_gives_the_recorded_logits_and_loads_again_without_a_connection(zoo_hub, case, describe):
    recorded = case("tiny_encoder_cls")
    describe("eurosat-finetune-vit-b", recorded)
    zoo_hub.repository(FINETUNED).commit({}, {EUROSAT_FILE: save(recorded.state_dict)})
    for attempt in range(2):
        before = zoo_hub.accepted
        model = zoo.load("smarties@eurosat-finetune-vit-b", device="cpu")
        assert (zoo_hub.accepted > before) == (attempt == 0)
        assert (model.origin.report.missing, model.origin.report.ignored) == ((), ())
        answer = run(model, image=(recorded.inputs["0.image"], recorded.config["subsets"][0]))
        torch.testing.assert_close(answer.logits, recorded.outputs["0.logits"], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(answer.pooled, recorded.outputs["0.features"], atol=1e-5, rtol=1e-5)


def test_probe_of_two_sensors_gives_the_recorded_logits(zoo_hub, case, describe):
    """The case concatenates Sentinel-2 and Sentinel-1 in this order, the released head the other way round."""
    recorded = case("head_multimodal_linear_probe")
    small = describe("bigearthnetmm-linprobe-vit-b", recorded)
    state = dict(recorded.state_dict)
    for key in ("head.0.running_mean", "head.0.running_var"):
        state[key] = state[key].roll(state[key].shape[-1] // 2, dims=-1)
    state["head.1.weight"] = state["head.1.weight"].roll(state["head.1.weight"].shape[-1] // 2, dims=-1)
    zoo_hub.repository(FINETUNED).commit({}, {small.weights.file: save(state)})
    model = zoo.load("smarties@bigearthnetmm-linprobe-vit-b", device="cpu")
    s2, s1 = ((recorded.inputs[f"image{index}"], recorded.config["bands"][index]) for index in range(2))
    answer = run(model, s1=s1, s2=s2)
    torch.testing.assert_close(answer.logits, recorded.outputs["logits"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("prefix", ["", "model."], ids=["bare", "prefixed"])
def test_encoder_alone_and_prefixed_files_load_too(zoo_hub, case, describe, prefix):
    recorded = case("tiny_encoder_cls")
    describe("vit-b", recorded)
    state = {f"{prefix}{key}": one for key, one in without(recorded.state_dict, "head").items()}
    zoo_hub.repository(BASE).commit({}, {BASE_FILE: save(state)})
    model = zoo.load("smarties", device="cpu")
    assert (model.origin.report.prefix or "", model.origin.report.ignored) == (prefix, ())
    answer = run(model, image=(recorded.inputs["1.image"], recorded.config["subsets"][1]))
    torch.testing.assert_close(answer.pooled, recorded.outputs["1.features"], atol=1e-5, rtol=1e-5)


def test_file_of_ones_own_is_converted_to_the_same_answers(case, describe, tmp_path):
    recorded = case("tiny_encoder_cls")
    describe("eurosat-finetune-vit-b", recorded)
    save_file(recorded.state_dict, tmp_path / "own.safetensors")
    torch.save({"model": recorded.state_dict, "epoch": 3}, tmp_path / "own.pth")
    for name in ("own.safetensors", "own.pth"):
        out = tmp_path / f"{name}.folder"
        convert_checkpoint("smarties@eurosat-finetune-vit-b", tmp_path / name, out)
        answer = run(
            zoo.load(str(out), device="cpu"), image=(recorded.inputs["0.image"], recorded.config["subsets"][0])
        )
        torch.testing.assert_close(answer.logits, recorded.outputs["0.logits"], atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------------------------------------------------- bad files


@pytest.mark.parametrize("damage", ["short", "altered"])
def test_file_damaged_on_the_way_is_refused_and_leaves_nothing(
    zoo_hub, zoo_caches, case, describe, damage, monkeypatch
):
    monkeypatch.setattr("zoo.hub.transfer.time.sleep", lambda _: None)
    recorded = case("tiny_encoder_cls")
    describe("eurosat-finetune-vit-b", recorded)
    content = save(recorded.state_dict)
    repository = zoo_hub.repository(FINETUNED)
    repository.commit({}, {EUROSAT_FILE: content})
    repository.lfs(content).write_bytes(content[:-1] if damage == "short" else content[:-1] + b"\x7f")
    expected = f"{len(content) - 1} of {len(content)} bytes" if damage == "short" else "do not have the hash"
    with pytest.raises(HubError, match=expected):
        zoo.load("smarties@eurosat-finetune-vit-b", device="cpu")
    assert nothing_written(zoo_caches)


def test_file_that_is_not_the_pinned_one_is_refused_before_it_is_fetched(zoo_hub, zoo_caches, case, describe):
    recorded = case("tiny_encoder_cls")
    commit = zoo_hub.repository(FINETUNED).commit({}, {EUROSAT_FILE: save(recorded.state_dict)})
    describe("eurosat-finetune-vit-b", recorded, revision=commit, sha256="0" * 64, size=1)
    with pytest.raises(WeightsError, match="the model's description pins 0000"):
        zoo.load("smarties@eurosat-finetune-vit-b", device="cpu")
    assert nothing_written(zoo_caches)


def missing(state):
    del state["blocks.1.attn.qkv.bias"]


def renamed(state):
    state["blocks.0.mlp.fc_1.weight"] = state.pop("blocks.0.mlp.fc1.weight")


def reshaped(state):
    state["pos_embed"] = torch.zeros(1, 50, state["pos_embed"].shape[2])


def other_classes(state):
    state["head.weight"], state["head.bias"] = state["head.weight"].repeat(2, 1)[:19], torch.zeros(19)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (missing, r"blocks\.1\.attn\.qkv\.bias"),
        (renamed, r"blocks\.0\.mlp\.fc_1\.weight"),
        (reshaped, r"pos_embed.*50"),
        (other_classes, r"head\.weight.*19"),
    ],
)
def test_published_file_that_does_not_fit_is_refused_by_key(zoo_hub, zoo_caches, case, describe, spoil, told):
    recorded = case("tiny_encoder_cls")
    describe("eurosat-finetune-vit-b", recorded)
    state = dict(recorded.state_dict)
    spoil(state)
    zoo_hub.repository(FINETUNED).commit({}, {EUROSAT_FILE: save(state)})
    with pytest.raises(WeightsError, match=rf"(?s){EUROSAT_FILE}.*does not fit Encoder.*{told}"):
        zoo.load("smarties@eurosat-finetune-vit-b", device="cpu")
    assert not (zoo_caches / "zoo" / "converted").exists()


@pytest.mark.parametrize("spoil", [missing, renamed, reshaped, other_classes])
def test_file_of_ones_own_that_does_not_fit_is_not_converted(case, describe, tmp_path, spoil):
    recorded = case("tiny_encoder_cls")
    describe("eurosat-finetune-vit-b", recorded)
    state = dict(recorded.state_dict)
    spoil(state)
    save_file(state, tmp_path / "own.safetensors")
    with pytest.raises(WeightsError, match="does not fit Encoder"):
        convert_checkpoint("smarties@eurosat-finetune-vit-b", tmp_path / "own.safetensors", tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Called:
    """A pickle of this calls `importlib.import_module("zoo_smarties_was_called")` where it is loaded."""

    def __reduce__(self):
        return importlib.import_module, ("zoo_smarties_was_called",)


def test_pickle_under_a_released_name_is_not_run(zoo_hub, zoo_caches, case, describe, tmp_path, monkeypatch):
    (tmp_path / "zoo_smarties_was_called.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    pickle.loads(pickle.dumps(Called()))  # it would work
    assert sys.modules.pop("zoo_smarties_was_called")
    recorded = case("tiny_encoder_cls")
    describe("eurosat-finetune-vit-b", recorded)
    torch.save({"model": {**recorded.state_dict, "head.bias": Called()}}, tmp_path / "own.pth")
    content = (tmp_path / "own.pth").read_bytes()
    zoo_hub.repository(FINETUNED).commit({}, {EUROSAT_FILE: content})
    with pytest.raises(WeightsError, match=rf"{EUROSAT_FILE} is not a whole safetensors file.*pickled"):
        zoo.load("smarties@eurosat-finetune-vit-b", device="cpu")
    with pytest.raises(WeightsError, match=r"own\.pth has no state dict"):
        convert_checkpoint("smarties@eurosat-finetune-vit-b", tmp_path / "own.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert "zoo_smarties_was_called" not in sys.modules
