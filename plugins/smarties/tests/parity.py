"""How SMARTIES runs the recorded cases of its authors' code (gsumbul/SMARTIES@fc0df04)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from zoo_smarties import evaluation
from zoo_smarties.mixing import mix_images
from zoo_smarties.network import autoencoder, encoder, joint
from zoo_smarties.network.positions import resize_positions, sincos_table
from zoo_smarties.network.projection import cut_patches
from zoo_smarties.objective import MultiLabel, Pretraining, Segmentation, SingleLabel
from zoo_smarties.schedules import multistep, warm_cosine
from zoo_smarties.spectrum import numbers

from zoo.testing.parity import Case

# ------------------------------------------------------------------------------------------------------------ networks


def sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest's config as the builders' keywords; the original's rule for bands without a layer."""
    return {
        "width": config["embed_dim"],
        "depth": config["depth"],
        "heads": config["num_heads"],
        "mlp_ratio": config["mlp_ratio"],
        "patch_size": config["patch_size"],
        "image_size": config["image_size"],
        "blend": "original",
    }


def loaded(network: nn.Module, case: Case, *, ignore: tuple[str, ...] = ()) -> nn.Module:
    state = (
        {key: one for key, one in case.state_dict.items() if not key.startswith(ignore)} if ignore else case.state_dict
    )
    network.load_state_dict(state)
    return network.eval()


def encoder_dense(case: Case) -> dict[str, Tensor]:
    network = loaded(encoder.build(**sizes(case.config)), case, ignore=("mask_token", "decoder_"))
    stride = case.config["token_stride"]
    made = {}
    with torch.inference_mode():
        for name, bands in case.config["inputs"].items():
            image = case.inputs[f"{name}.image_i8"].float() / 32
            embedded = network(image, bands)
            made[f"{name}.cls"] = embedded.pooled
            made[f"{name}.map"] = embedded.tokens[:, ::stride]
            made[f"{name}.embed"] = network.spectrum_projection(image, bands)[:, ::stride, ::stride]
    return made


def encoder_head(case: Case) -> dict[str, Tensor]:
    config = case.config
    pooling = "mean" if config["global_pool"] else "cls"
    network = loaded(
        encoder.build(**sizes(config), pooling=pooling, head="linear", num_classes=config["num_classes"]), case
    )
    made = {"pos_embed_init": sincos_table(config["embed_dim"], *[config["image_size"] // config["patch_size"]] * 2)}
    for index, bands in enumerate(config["subsets"]):
        image = case.inputs[f"{index}.image"].requires_grad_()
        embedded = network(image, bands)
        grid = network.spectrum_projection.grid(image)
        made |= {
            f"{index}.logits": embedded.logits,
            f"{index}.features": embedded.pooled,
            f"{index}.map": embedded.tokens,
            f"{index}.embed": network.spectrum_projection(image, bands),
            f"{index}.tokens_with_pos": network.with_positions(network.spectrum_projection(image, bands), grid),
        }
        network.zero_grad()
        embedded.logits.pow(2).sum().backward()
        made |= {
            f"{index}.grad_image": image.grad,
            f"{index}.grad_cls_token": network.cls_token.grad.clone(),
            f"{index}.grad_qkv0": network.blocks[0].attn.qkv.weight.grad[::3, ::3].clone(),
        }
    if "mixed.patches" in case.inputs:
        patches, index = case.inputs["mixed.patches"], case.inputs["mixed.index"]
        tokens = network.spectrum_projection.patches(patches.flatten(1, 2).flatten(3), index.flatten(1, 2))
        grid = (patches.shape[1], patches.shape[2])
        made["mixed.features"] = network.pool(network.transform(network.with_positions(tokens, grid)))
    return made


def head(case: Case) -> dict[str, Tensor]:
    config = case.config
    segments, num_sources = "segmentation" in config["kind"], config["num_sources"]
    options = {
        "head": "segment" if segments else "probe",
        "num_classes": config["num_classes"],
        "upsample": 96 / 14 if segments else None,
    }
    build = joint.build if num_sources > 1 else encoder.build
    network = loaded(build(**sizes(config), **options), case)
    sources = [(case.inputs[f"image{index}"], config["bands"][index]) for index in range(num_sources)]

    def logits() -> Tensor:
        answer = network.fuse(sources) if num_sources > 1 else network(*sources[0])
        return answer.logits.detach()

    if segments:
        whole = logits()
        return {
            "logits": whole[:, :, ::3, ::3],
            "logits_shape": torch.tensor(whole.shape),
            "argmax": whole.argmax(dim=1).to(torch.uint8),
        }
    made = {"logits": logits()}
    network.head.train()
    made["train_logits"] = logits()
    return made | {"train_mean": network.head[0].running_mean, "train_var": network.head[0].running_var}


# --------------------------------------------------------------------------------------------------------- pretraining


def pretrain(case: Case) -> dict[str, Tensor]:
    config = case.config
    network = loaded(
        autoencoder.build(
            **sizes(config),
            decoder_width=config["decoder_embed_dim"],
            decoder_depth=config["decoder_depth"],
            decoder_heads=config["decoder_num_heads"],
            mask_ratio=config["mask_ratio"],
            mixup_ratio=config["mixup_ratio"],
        ),
        case,
    )
    made: dict[str, Tensor] = {}
    for index, bands in enumerate(config["pairs"]):
        given = {name: case.inputs[f"{index}.{name}"] for name in ("patches1", "patches2", "noise_mix", "noise_mask")}
        made |= {f"{index}.{name}": one for name, one in pretrained_pair(network, bands, given, config).items()}
    return made


def pretrained_pair(network: Any, bands: Any, given: dict[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    cuts = []
    for patches, names in zip((given["patches1"], given["patches2"]), bands, strict=True):
        cuts.append(autoencoder.Cut(patches, torch.tensor(numbers(names)).expand(*patches.shape[:3], -1)))
    network.zero_grad()
    made = network(*cuts, given["noise_mix"], given["noise_mask"])
    loss = Pretraining(norm_target=config["norm_target"])(made)
    loss.total.backward()
    out = {
        "cls_feature": network.embed(cuts[0]),
        "mask": made.mask,
        "restore": made.restore,
        "loss": loss.total.detach()[None],
        "loss1": loss.first.detach()[None],
        "loss2": loss.second.detach()[None],
    }
    for number, stream in enumerate((made.first, made.second), start=1):
        out |= {
            f"latent{number}": stream.latent,
            f"mixed{number}": stream.tokens,
            f"target{number}": stream.pixels[..., :: config["pred_stride"]],
            f"index{number}": stream.numbers,
            f"pred{number}": stream.predicted.flatten(2)[..., :: config["pred_stride"]],
        }
    for key, parameter in network.named_parameters():
        if parameter.grad is not None:
            grad = parameter.grad
            out[f"grad.{key}"] = grad[:: config["grad_stride"]] if grad.ndim == 2 else grad.clone()
    return out


def pos_embed(case: Case) -> dict[str, Tensor]:
    made = {}
    for old, new in case.config["pairs"]:
        made[f"{old}_{new}"] = resize_positions(case.inputs[f"{old}_{new}"], new, new)
    for name in case.outputs:
        if name.startswith("sincos_"):
            width, side = map(int, name.split("_")[1:])
            made[name] = sincos_table(width, side, side)[0, ::17, ::5]
    return made


# ----------------------------------------------------------------------------------------------------- metrics, losses


def metrics_losses(case: Case) -> dict[str, Tensor]:
    config, given = case.config, case.inputs
    made = {f"knn.{name}": one for name, one in knn_outputs(config["knn"], given).items()}
    made |= {
        "cls.accuracy_percent": percent(evaluation.accuracy(given["cls.logits"].argmax(1), given["cls.labels"])),
        "mlc.map_micro_percent": percent(evaluation.micro_average_precision(given["mlc.logits"], given["mlc.labels"])),
    }
    labels, ignored_labels = given["seg.labels"].long(), given["seg_ignore.labels"].long()
    logits = given["seg.logits_8x"].repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
    made |= {
        "seg.miou_percent": percent(evaluation.mean_iou(logits.argmax(1), labels)),
        "seg_ignore.miou_percent": percent(evaluation.mean_iou(logits.argmax(1), ignored_labels, count_ignored=True)),
    }
    losses = {
        "multilabel_soft_margin": MultiLabel()(given["mlc.logits"], given["mlc.labels"]),
        "multilabel_soft_margin_smoothed": MultiLabel(smoothing=0.1)(given["mlc.logits"], given["mlc.labels"]),
        "cross_entropy": SingleLabel()(given["cls.logits"], given["cls.labels"]),
        "label_smoothing_0.1": SingleLabel(smoothing=0.1)(given["cls.logits"], given["cls.labels"]),
        "soft_target": SingleLabel()(given["cls.logits"], given["loss.soft_targets"]),
        "segmentation": Segmentation()(logits, ignored_labels),
    }
    made |= {f"loss.{name}": one[None] for name, one in losses.items()}
    return made | scheduled(config["lr"]) | mixed(config["mix"], given, num_classes=config["knn"]["num_classes"])


def percent(share: float) -> Tensor:
    return torch.tensor([100 * share], dtype=torch.float64)


def knn_outputs(config: Mapping[str, Any], given: dict[str, Tensor]) -> dict[str, Tensor]:
    predicted = evaluation.knn(
        given["knn.train"],
        given["knn.train_labels"],
        given["knn.test"],
        num_classes=config["num_classes"],
        neighbours=config["k"],
        temperature=config["temperature"],
    )
    accuracy = evaluation.accuracy(predicted, given["knn.test_labels"])
    return {"pred": predicted, "accuracy_percent": percent(accuracy)}


def scheduled(config: Mapping[str, Any]) -> dict[str, Tensor]:
    steps, cosine = config["multistep"], config["cosine"]
    factors = {
        "multistep": [multistep(step, tuple(steps["milestones"]), steps["gamma"]) for step in steps["steps"]],
        "cosine": [warm_cosine(step, cosine["warmup_steps"], cosine["total_steps"]) for step in cosine["steps"]],
    }
    return {f"lr.{name}": torch.tensor(rows, dtype=torch.float64) for name, rows in factors.items()}


def mixed(config: Mapping[str, Any], given: dict[str, Tensor], *, num_classes: int) -> dict[str, Tensor]:
    made = {}
    for index, draw in enumerate(config["draws"]):
        box = draw["box_rows_cols"] and tuple(draw["box_rows_cols"])
        image, target = mix_images(
            given["mix.image"], given["mix.labels"], num_classes=num_classes, share=draw["lam"], box=box
        )
        made |= {f"mix.{index}.patches": cut_patches(image, 16)[..., ::2, ::2], f"mix.{index}.target": target}
    return made


RUN = {
    "encoder_dense": encoder_dense,
    "encoder_head": encoder_head,
    "head_linear_probe": head,
    "head_multimodal_linear_probe": head,
    "head_segmentation": head,
    "head_multimodal_segmentation": head,
    "pretrain": pretrain,
    "pos_embed": pos_embed,
    "metrics_losses": metrics_losses,
}
TOLERANCE = dict.fromkeys(RUN, (1e-05, 1e-05))
