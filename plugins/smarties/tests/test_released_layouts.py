"""Files written exactly as the authors released them load, strictly, into the variant that names them."""

import importlib
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from zoo_smarties import SPEC
from zoo_smarties.network import autoencoder

from zoo.checkpoints.loading import load_into
from zoo.errors import WeightsError
from zoo.testing.filled import filled_like, filled_state_dict

SHRUNK = {"width": 32, "depth": 2, "heads": 4}  # the layout is that of the released sizes, with smaller numbers
RELEASED = [variant for variant in SPEC.variants if variant.weights and not variant.demo]


def released_rows(variant, *, width=32, depth=2, decoder=False):
    """(key, shape, type) of a released file, written out from its description and not from zoo's networks."""
    rows = {"cls_token": (1, 1, width), "pos_embed": (1, 197, width)}
    for number in range(17):
        rows |= {f"spectrum_projection.spectrum_embeds.{number}.proj.weight": (width, 256)}
        rows |= {f"spectrum_projection.spectrum_embeds.{number}.proj.bias": (width,)}
    rows |= block_rows("blocks", depth, width) | {"norm.weight": (width,), "norm.bias": (width,)}
    if decoder:
        rows |= {"mask_token": (1, 1, 512), "decoder_pos_embed": (1, 197, 512)}
        rows |= {"decoder_embed.weight": (512, width), "decoder_embed.bias": (512,)}
        rows |= block_rows("decoder_blocks", 8, 512) | {"decoder_norm.weight": (512,), "decoder_norm.bias": (512,)}
        for number in range(17):
            rows |= {f"decoder_preds.{number}.weight": (256, 512), f"decoder_preds.{number}.bias": (256,)}
    classes, sources = len(variant.classes), len({spec.name for spec in variant.inputs})
    if "finetune" in variant.tag:
        rows |= {"head.weight": (classes, width), "head.bias": (classes,)}
    elif "dfc2020" in variant.tag:
        rows |= {"head.0.weight": (classes, width, 1, 1), "head.0.bias": (classes,)}
    elif "linprobe" in variant.tag:
        rows |= {"head.0.running_mean": (sources * width,), "head.0.running_var": (sources * width,)}
        rows |= {
            "head.0.num_batches_tracked": (),
            "head.1.weight": (classes, sources * width),
            "head.1.bias": (classes,),
        }
    return [(key, shape, "int64" if key.endswith("tracked") else "float32") for key, shape in rows.items()]


def block_rows(name, depth, width):
    rows = {}
    for index in range(depth):
        for norm in ("norm1", "norm2"):
            rows |= {f"{name}.{index}.{norm}.weight": (width,), f"{name}.{index}.{norm}.bias": (width,)}
        for layer, outputs, inputs in (
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.fc1", 4 * width, width),
            ("mlp.fc2", width, 4 * width),
        ):
            rows |= {f"{name}.{index}.{layer}.weight": (outputs, inputs), f"{name}.{index}.{layer}.bias": (outputs,)}
    return rows


def factory(variant, **sizes):
    module, _, name = variant.builder.partition(":")
    return lambda: getattr(importlib.import_module(module), name)(**{**variant.config, **sizes})


def answer(network, variant):
    generator = torch.Generator().manual_seed(3)
    arguments = {}
    for spec in {spec.name: spec for spec in reversed(variant.inputs)}.values():
        arguments[spec.name] = torch.randn(2, len(spec.bands), 224, 224, generator=generator)
        arguments[f"{spec.name}_bands"] = spec.band_ids
    with torch.inference_mode():
        return network.eval()(**arguments)


@pytest.mark.parametrize("variant", RELEASED, ids=lambda variant: variant.tag)
def test_released_layout_loads_strictly_and_decides_the_answer(variant, tmp_path):
    answers = []
    for seed in (0, 1):
        state = filled_state_dict(released_rows(variant, decoder=not variant.classes), seed)
        file = tmp_path / f"{seed}-{variant.weights.file}"
        save_file(state, file)
        network, report = load_into(factory(variant, **SHRUNK), file, variant.weights)
        assert report.missing == ()
        assert len(report.ignored) == (0 if variant.classes else 8 * 12 + 17 * 2 + 6)
        assert all(torch.equal(one, state[key]) for key, one in network.state_dict().items())
        answers.append(answer(network, variant))
    ours, others = (one.logits if variant.classes else one.pooled for one in answers)
    assert torch.isfinite(ours).all()
    assert (ours - others).abs().max() > 0.1  # not what random weights would give


def test_encoder_alone_is_a_whole_file_too(tmp_path):
    file = tmp_path / "encoder.safetensors"
    save_file(filled_state_dict(released_rows(SPEC.default), 0), file)
    _, report = load_into(factory(SPEC.default, **SHRUNK), file, SPEC.default.weights)
    assert report.ignored == ()
    assert report.missing == ()


def test_transformers_prefix_is_stripped(tmp_path):
    state = filled_state_dict(released_rows(SPEC.default, decoder=True), 0)
    file = tmp_path / "model.safetensors"
    save_file({f"model.{key}": one for key, one in state.items()}, file)
    network, report = load_into(factory(SPEC.default, **SHRUNK), file, SPEC.default.weights)
    assert report.prefix == "model."
    assert torch.equal(network.norm.weight, state["norm.weight"])


@pytest.mark.parametrize("spoil", ["missing", "renamed", "shape", "classes"])
def test_files_that_do_not_fit_are_refused(spoil, tmp_path):
    variant = next(one for one in RELEASED if one.tag == "eurosat-finetune-vit-b")
    state = filled_state_dict(released_rows(variant), 0)
    match spoil:
        case "missing":
            del state["blocks.1.attn.qkv.bias"]
        case "renamed":
            state["blocks.0.mlp.fc_1.weight"] = state.pop("blocks.0.mlp.fc1.weight")
        case "shape":
            state["pos_embed"] = torch.zeros(1, 50, 32)
        case "classes":
            state["head.weight"], state["head.bias"] = torch.zeros(19, 32), torch.zeros(19)
    file = tmp_path / "wrong.safetensors"
    save_file(state, file)
    with pytest.raises(WeightsError, match=r"does not fit Encoder"):
        load_into(factory(variant, **SHRUNK), file, variant.weights)


@pytest.mark.parametrize(("tag", "numbers", "keys"), [("vit-b", 116_511_232, 318), ("vit-l", 335_066_880, 462)])
def test_released_sizes_are_those_of_the_authors(tag, numbers, keys):
    variant = next(one for one in RELEASED if one.tag == tag)
    with torch.device("meta"):
        state = autoencoder.build(**variant.config).state_dict()
        encoder = factory(variant)().state_dict()
    assert (sum(one.numel() for one in state.values()), len(state)) == (numbers, keys)
    rows = released_rows(variant, width=variant.config["width"], depth=variant.config["depth"], decoder=True)
    assert {key: tuple(one.shape) for key, one in state.items()} == {key: shape for key, shape, _ in rows}
    assert sum(one.numel() for one in encoder.values()) == {"vit-b": 88_563_456, "vit-l": 306_988_032}[tag]


def test_probe_weights_go_where_evaluation_uses_them(tmp_path):
    """BatchNorm without its running statistics would still run; the file's must be used."""
    variant = next(one for one in RELEASED if one.tag == "eurosat-linprobe-vit-b")
    network = factory(replace(variant), **SHRUNK)()
    network.load_state_dict(filled_like(network))
    before = answer(network, variant).logits
    network.head[0].running_mean += 1.0
    assert (answer(network, variant).logits - before).abs().max() > 0.1
