"""How SMARTIES runs the recorded cases of its authors' code (gsumbul/SMARTIES@fc0df04)."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import rasterio
import torch
from torch import Tensor, nn
from zoo_smarties import SPEC, bigearthnet
from zoo_smarties.augment import Crop, Turn, cropped, draw_crops, turned
from zoo_smarties.chips import Rule, normaliser, sized
from zoo_smarties.mixing import exchange, mix_images, tile_bands
from zoo_smarties.network import autoencoder, encoder, joint
from zoo_smarties.network.positions import resize_positions, sincos_table
from zoo_smarties.network.projection import cut_patches
from zoo_smarties.objective import masked_error
from zoo_smarties.pairs import prepared
from zoo_smarties.spectrum import numbers
from zoo_smarties.statistics import DATASETS, SENSORS, Statistics

from zoo.datasets.sample import Sample
from zoo.evaluation.protocols import Judging, knn_votes
from zoo.inputs.preprocess import spline_resize
from zoo.tasks.losses import segment
from zoo.tasks.losses.labels import cross_entropy, multilabel_soft_margin
from zoo.tasks.metrics.labels import LabelMetrics
from zoo.tasks.metrics.segment import SegmentMetrics
from zoo.tasks.pretrain import EmbedOutput
from zoo.tasks.segment import SegmentOutput
from zoo.testing.parity import Case
from zoo.training.config import Schedule
from zoo.training.schedules import Rates

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
    draws = given["noise_mix"], given["noise_mask"]
    made = network(*cuts, *draws, everything=True)
    losses = masked_error(made, norm_target=config["norm_target"]) / (made.removed.sum() + 1e-6)
    losses.mean().backward()
    check_training_pass(network, (*cuts, *draws), losses.detach(), norm_target=config["norm_target"])
    pixels, index = network.mixed(*cuts, draws[0])
    restore = made.places.argsort(dim=1)
    out = {
        "cls_feature": network.embed(cuts[0]),
        "mask": made.removed.take_along_dim(restore, dim=1),
        "restore": restore,
        "loss": losses.detach().mean()[None],
    }
    streams = (one.chunk(2) for one in (made.latent, pixels, index, made.predicted))
    for number, (latent, target, own, predicted) in enumerate(zip(*streams, strict=True), start=1):
        ordered = predicted.take_along_dim(restore[..., None, None], dim=1)
        out |= {
            f"loss{number}": losses.detach()[number - 1][None],
            f"latent{number}": latent,
            f"mixed{number}": network.spectrum_projection.patches(target, own),
            f"target{number}": target[..., :: config["pred_stride"]],
            f"index{number}": own,
            f"pred{number}": ordered.flatten(2)[..., :: config["pred_stride"]],
        }
    for key, parameter in network.named_parameters():
        if parameter.grad is not None:
            grad = parameter.grad
            out[f"grad.{key}"] = grad[:: config["grad_stride"]] if grad.ndim == 2 else grad.clone()
    return out


def check_training_pass(network: Any, given: tuple[Any, ...], losses: Tensor, *, norm_target: bool) -> None:
    """The pass of training, which predicts hidden patches alone, gives the same losses and gradients."""
    whole = {key: one.grad for key, one in network.named_parameters() if one.grad is not None}
    for parameter in network.parameters():
        parameter.grad = None
    made = network(*given)
    again = masked_error(made, norm_target=norm_target) / (made.removed.sum() + 1e-6)
    again.mean().backward()
    torch.testing.assert_close(again.detach(), losses, rtol=1e-6, atol=1e-6)
    for key, parameter in network.named_parameters():
        if key in whole:
            torch.testing.assert_close(parameter.grad, whole[key], rtol=1e-4, atol=5e-5)


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
    labels, ignored_labels = given["seg.labels"].long(), given["seg_ignore.labels"].long()
    logits = given["seg.logits_8x"].repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
    scores, targets = given["mlc.logits"], given["mlc.labels"]
    made |= {
        "cls.accuracy_percent": score(LabelMetrics, "accuracy", given["cls.logits"], given["cls.labels"].long()),
        "mlc.map_micro_percent": score(LabelMetrics, "micro_map", scores, targets, multi_label=True),
        "seg.miou_percent": score(SegmentMetrics, "miou", logits, labels),
        "seg_ignore.miou_percent": score(SegmentMetrics, "miou", logits, ignored_labels, count_ignored=True),
    }
    terms = {
        "multilabel_soft_margin": multilabel_soft_margin(scores, targets),
        "multilabel_soft_margin_smoothed": multilabel_soft_margin(scores, targets, smoothing=0.1),
        "cross_entropy": cross_entropy(given["cls.logits"], given["cls.labels"].long()),
        "label_smoothing_0.1": cross_entropy(given["cls.logits"], given["cls.labels"].long(), smoothing=0.1),
        "soft_target": cross_entropy(given["cls.logits"], given["loss.soft_targets"]),
        "segmentation": segment.cross_entropy(logits, ignored_labels),
    }
    made |= {f"loss.{name}": (total / count)[None] for name, (total, count) in terms.items()}
    return made | scheduled(config["lr"]) | mixed(config["mix"], given, num_classes=config["knn"]["num_classes"])


def score(kind: Any, name: str, logits: Tensor, labels: Tensor, *, multi_label: bool = False, **options: Any) -> Tensor:
    """A streaming metric of all at once, in percent."""
    classes = tuple(f"class {number}" for number in range(logits.shape[1]))
    metric = kind(variant=replace(SPEC.default, classes=classes, multi_label=multi_label), **options)
    output = EmbedOutput(pooled=logits, logits=logits) if logits.ndim == 2 else SegmentOutput(logits=logits)
    metric.update(output, {"label": labels}, [str(number) for number in range(len(logits))])
    return percent(metric.compute()[name].value)


def percent(share: float) -> Tensor:
    return torch.tensor([100 * share], dtype=torch.float64)


def knn_outputs(config: Mapping[str, Any], given: dict[str, Tensor]) -> dict[str, Tensor]:
    judging = Judging(neighbours=config["k"], temperature=config["temperature"])
    vectors = given["knn.train"], given["knn.train_labels"], given["knn.test"]
    predicted = knn_votes(*vectors, num_classes=config["num_classes"], judging=judging).argmax(dim=1)
    right = (predicted == given["knn.test_labels"]).double().mean()
    return {"pred": predicted, "accuracy_percent": percent(right.item())}


def scheduled(config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Factors as a run has them: milestones are shares of its steps, the warm-up is counted in steps."""
    multistep, cosine = config["multistep"], config["cosine"]
    steps = 10 * max(multistep["steps"])
    milestones = tuple((one + 0.5) / steps for one in multistep["milestones"])
    rates = {
        "multistep": (Schedule(name="steps", milestones=milestones, gamma=multistep["gamma"]), steps),
        "cosine": (Schedule(name="cosine", warmup=cosine["warmup_steps"]), cosine["total_steps"]),
    }
    return {
        f"lr.{name}": torch.tensor(
            [Rates(schedule=told, steps=num, unit=1, per_epoch=1).factor(one) for one in config[name]["steps"]],
            dtype=torch.float64,
        )
        for name, (told, num) in rates.items()
    }


def mixed(config: Mapping[str, Any], given: dict[str, Tensor], *, num_classes: int) -> dict[str, Tensor]:
    made = {}
    for index, draw in enumerate(config["draws"]):
        box = draw["box_rows_cols"] and tuple(draw["box_rows_cols"])
        image, target = mix_images(
            given["mix.image"], given["mix.labels"], num_classes=num_classes, share=draw["lam"], box=box
        )
        made |= {f"mix.{index}.patches": cut_patches(image, 16)[..., ::2, ::2], f"mix.{index}.target": target}
    return made


# ------------------------------------------------------------------------------------------------------- preprocessing


def preprocessing(case: Case) -> dict[str, Tensor]:
    config, given = case.config, case.inputs
    made = sensors(config, given) | turns(config["aug"], given) | crops(config["crop"], given)
    made |= eurosat(given) | bigearthnet_patches(config, given) | pair_item(config["pair_item"], given)
    for name, dataset, rule in (
        ("resisc45", "RESISC45", Rule.CENTRE),
        ("ucmerced", "UC-Merced", Rule.CENTRE),
        ("whu", "WHU-RS19", Rule.LINEAR),
    ):
        image = normaliser(DATASETS[dataset])(given[f"{name}.raw"].numpy())
        made[f"{name}.image"] = sized(image, rule, config[name]["output_size"])
    return made


def sensors(config: Mapping[str, Any], given: dict[str, Tensor]) -> dict[str, Tensor]:
    made = {}
    for name, statistics in SENSORS.items():
        if f"sensor_{name}.raw" not in given:
            continue
        assert list(statistics.ranges) == config[f"sensor_{name}"]["bands_out"]
        raw, missing = given[f"sensor_{name}.raw"].numpy(), given.get(f"sensor_{name}.nodata")
        made[f"sensor_{name}.image"] = normaliser(statistics)(raw)
        if missing is not None:
            made[f"sensor_{name}.image_nodata"] = normaliser(statistics)(raw, missing=missing.numpy())
    return made


def eurosat(given: dict[str, Tensor]) -> dict[str, Tensor]:
    statistics = DATASETS["EuroSAT"]
    normalised = normaliser(statistics)(given["eurosat.raw"].numpy())
    patches = cut_patches(sized(normalised, Rule.WHOLE, 224)[None], 16)[0]
    return {
        "eurosat.normalised": normalised,
        "eurosat.patches": patches[::2, ::2, :, ::3, ::5],
        "eurosat.index": indices(statistics),
    }


def indices(statistics: Statistics) -> Tensor:
    return torch.tensor(numbers(statistics.ranges))


def bigearthnet_patches(config: Mapping[str, Any], given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Through the reader, from files in the published layout: GDAL itself resamples."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for sensor, bands in (("S2", bigearthnet.S2_BANDS), ("S1", bigearthnet.S1_BANDS)):
            patch = root / sensor / sensor
            patch.mkdir(parents=True)
            for place, band in enumerate(bands):
                raw = given[f"ben_s2.{band}"] if sensor == "S2" else given["ben_s1.raw"][place]
                write_band(patch / f"{sensor}_{band}.tif", raw.numpy())
            labels = {"labels": config["ben_s2"]["labels"]}
            (patch / f"{sensor}_labels_metadata.json").write_text(json.dumps(labels))
        s2 = bigearthnet.bigearthnet(root, split="", sensors=("S2",), names=["S2"]).sample(0)
        both = bigearthnet.bigearthnet(root, split="", sensors=("S1", "S2"), names=["S2 S1"]).sample(0)
        merged = torch.from_numpy(bigearthnet.read_patch(root / "S2" / "S2", "S2"))
    made = {
        "ben_s2.merged": merged[:, ::2, ::2],
        "ben_s2.image": s2.inputs["image"][:, ::7, ::7],
        "ben_s2.index": indices(SENSORS["SENTINEL2-L2A"]),
        "ben_s2.target": s2.target["label"][None],
        "ben_s1.image": both.inputs["s1"][:, ::4, ::4],
        "ben_s1.index": indices(SENSORS["SENTINEL1-GRD"]),
    }
    return made | exchanged(both, given["ben_mm.noise"])


def write_band(path: Path, pixels: Any) -> None:
    height, width = pixels.shape
    dtype = "float32" if pixels.dtype.kind == "f" else "uint16"
    with rasterio.open(path, "w", driver="GTiff", height=height, width=width, count=1, dtype=dtype) as file:
        file.write(pixels.astype(dtype), 1)


def exchanged(both: Sample, draws: Tensor) -> dict[str, Tensor]:
    """The S1+S2 exchange of tokens; stream 1 begins as S1."""
    streams = []
    for name in ("s1", "s2"):
        image, ranges = tile_bands(both.inputs[name][None], both.bands[name], 12)
        patches = cut_patches(image, 16)
        index = torch.tensor(numbers(ranges)).expand(*patches.shape[:3], -1)
        streams.append((patches.flatten(1, 2), index.flatten(1, 2), patches.shape[1:3]))
    (patches1, index1, grid), (patches2, index2, _) = streams
    made = {}
    for name, pair in (("patches", (patches1, patches2)), ("index", (index1, index2))):
        for number, stream in enumerate(exchange(draws[None], *pair), start=1):
            made[f"ben_mm.{name}{number}"] = stream[0].unflatten(0, grid)
    return {key: one[..., ::8, ::8] if "patches" in key else one for key, one in made.items()}


def turns(config: Mapping[str, Any], given: dict[str, Tensor]) -> dict[str, Tensor]:
    made = {}
    for index, op in enumerate(config["ops"]):
        made[f"aug.{index}"] = turned(given["aug.image1"], Turn(*op))
        made[f"aug.{index}.second"] = turned(given["aug.image2"], Turn(*op))
    return made


def crops(config: Mapping[str, Any], given: dict[str, Tensor]) -> dict[str, Tensor]:
    made = {}
    for index, item in enumerate(config["items"]):
        pair = item["pair_top_left_h_w"]
        for name, image, crop, size in (
            (f"crop_pair.{index}.1", "aug.image1", pair[:4], 32),
            (f"crop_pair.{index}.2", "aug.image2", pair[4:], 32),
            (f"crop.{index}", "aug.image1", item["single"], 16),
        ):
            made[name] = spline_resize(cropped(given[image], Crop(*crop)), (size, size))
    if fallback := config.get("fallback"):  # its answer stands in the manifest: the largest centred squares
        shapes, anyhow = [tuple(fallback["image"]), tuple(fallback["second"])], torch.Generator()
        pair = draw_crops(shapes, anyhow, area=tuple(fallback["scale"]))
        assert [*pair[0], *pair[1]] == fallback["pair"]
        assert [list(crop) for crop in draw_crops(shapes[:1], anyhow, area=tuple(fallback["scale"]))] == [
            fallback["single"]
        ]
    return made


def pair_item(config: Mapping[str, Any], given: dict[str, Tensor]) -> dict[str, Tensor]:
    first, second = given["pair_item.rgb"].numpy(), given["pair_item.s2_l1c"].numpy()
    boxes = [Crop(*config["crop"][:4]), Crop(*config["crop"][4:])]
    made = {}
    for number, (stored, crop) in enumerate(zip((first, second), boxes, strict=True), start=1):
        image, index = prepared(stored, turn=Turn(*config["op"]), crop=crop, size=32)
        patches = cut_patches(image[None], 16)[0]
        made |= {
            f"pair_item.patches{number}": patches,
            f"pair_item.index{number}": index.expand(*patches.shape[:2], -1),
        }
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
    "preprocessing": preprocessing,
}
# float32 throughout. Between two formulations of the tiny encoder, 25 seeds and sizes: maps 2e-5 (values up to 44), features
# 3e-6, gradients 4e-5 (sums of hundreds of terms). The spec suggests 1e-4 for ViT-B and relative for gradients.
GRADIENTS = (5e-5, 1e-4)
TIED = (0.0, 0.0, 1e-4)  # class ids: two pixels of three 96 x 96 maps, where logits differ by less than their rounding
PROBE = {"train_logits": (5e-5, 1e-5), "*": (1e-5, 1e-5)}  # divides by the deviation of three samples
SEGMENTATION = {"argmax": TIED, "*": (1e-5, 1e-5)}
TOLERANCE = {
    **dict.fromkeys(RUN, (1e-5, 1e-5)),
    "encoder_dense": (5e-5, 1e-5),
    "encoder_head": {"*.grad_*": GRADIENTS, "*": (1e-5, 1e-5)},
    "pretrain": {"*.grad.*": GRADIENTS, "*": (1e-5, 1e-5)},
    "preprocessing": {
        "ben_mm.patches*": (4e-3, 0.0),  # recorded as float16
        "*": (1e-5, 1e-5),
    },
    "head_linear_probe": PROBE,
    "head_multimodal_linear_probe": PROBE,
    "head_segmentation": SEGMENTATION,
    "head_multimodal_segmentation": SEGMENTATION,
}
