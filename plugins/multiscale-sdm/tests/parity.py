"""How the multi-scale model runs the recorded cases of its authors' code (ninavantiel/multi_scale_SDMs@22ac42f)."""

import io
import tempfile
from pathlib import Path

import numpy as np
import rasterio
import torch
from PIL import Image
from rasterio.crs import CRS
from rasterio.transform import Affine
from torch import Tensor
from zoo_multiscale_sdm import occurrences, pictures, rasters, weights
from zoo_multiscale_sdm.authors import modality_of
from zoo_multiscale_sdm.network.multiscale import Modality, build
from zoo_multiscale_sdm.submission import species_lists
from zoo_multiscale_sdm.variants import env_input, window_of

from zoo.checkpoints.state_keys import rename
from zoo.inputs.preprocess import Preprocess
from zoo.io.around import patches
from zoo.io.rasters import open_raster
from zoo.spec import Band, Normalise, Variant
from zoo.tasks.losses import sdm as losses
from zoo.tasks.metrics.sdm import THRESHOLDS, SdmMetrics, lower_median, site_f1
from zoo.tasks.sdm import SdmOutput
from zoo.testing.parity import Case

# ------------------------------------------------------------------------------------------------------------ networks


def network_of(config):
    """The network of a manifest's configuration, and the table that brings the authors' keys to it."""
    told = {name: modality_of(config[name], config[name]["in_channels"]) for name in ("env", "sat") if name in config}
    table = weights.BOTH
    if config["kind"] == "single":
        told, table = {"env": modality_of(config["model"], config["model"]["in_channels"])}, weights.ENV
    return build(modalities=told, num_classes=config["n_species"], crop="original"), table


def forward(case: Case) -> dict[str, Tensor]:
    network, table = network_of(case.config)
    network.load_state_dict({rename(key, table): one for key, one in case.state_dict.items()})
    network.eval()
    single = case.config["kind"] == "single"
    given = {"env": case.inputs["x"]} if single else {name: case.inputs[name] for name in ("env", "sat")}
    made: dict[str, Tensor] = {}
    with torch.inference_mode():
        for name, patch in given.items():
            stride = case.config["backbone_stored_stride"]
            pixels = stride["pixels"] if single or name == "sat" else 1
            parts = parts_of(network.modalities[name], patch, stride["channels"], pixels)
            made |= parts if single else {f"{name}_{key}": one for key, one in parts.items()}
        logits = network(**given).logits
    made |= {"logits": logits, "probabilities": logits.sigmoid()}
    if "train" in case.config:
        made |= training_step(case, network, table)
    return made


def parts_of(modality: Modality, patch: Tensor, channels: int, pixels: int) -> dict[str, Tensor]:
    made = {
        "backbone": modality.backbone(patch)[:, ::channels, ::pixels, ::pixels],
        "embedding": modality(patch),
    }
    for index, (branch, cut) in enumerate(zip(modality.branches, modality.cuts(patch), strict=True)):
        made |= {f"branch{index}_conv_center": branch.middle(cut), f"branch{index}_embedding": branch(cut)}
    return made


def training_step(case: Case, network, table) -> dict[str, Tensor]:
    network.train()
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-2, weight_decay=1e-4)
    logits = network(env=case.inputs["x"]).logits
    total, count = losses.weighted(logits.sigmoid(), case.inputs["targets"], case.inputs["species_weights"])
    loss = total / count
    loss.backward()
    optimiser.step()
    after = network.state_dict()
    return {
        "train_logits": logits,
        "train_loss": loss,
        **{f"after_step.{key}": after[rename(key, table)] for key in case.state_dict},
    }


# -------------------------------------------------------------------------------------------------------------- losses


def loss_values(case: Case) -> dict[str, Tensor]:
    probs, targets, by_species = (case.inputs[name] for name in ("probabilities", "targets", "species_weights"))
    behind = case.inputs["background_probabilities"]

    def mean(total, count):
        return total / count

    made = {
        # the original clamps the logarithm at -100
        "bce": mean(*losses.cross_entropy(torch.logit(probs.double()).clamp(-100, 100), targets)).float(),
        "weighted": mean(*losses.weighted(probs, targets, by_species)),
        "weighted_lambda_ignored_without_background": mean(*losses.weighted(probs, targets, by_species)),
    }
    for share in case.config["lambdas"]:
        seen = mean(*losses.weighted(probs, targets, by_species, absences=share))
        made[f"weighted_background_lambda{share}"] = seen + (1 - share) * mean(*losses.background(behind))
    leaf = probs.clone().requires_grad_()
    mean(*losses.weighted(leaf, targets, by_species)).backward()
    made["weighted_grad"] = leaf.grad
    return made


def metrics(case: Case) -> dict[str, Tensor]:
    probs, targets = case.inputs["probabilities"], case.inputs["targets"]
    names = tuple(map(str, case.config["species_ids"]))
    variant = Variant(tag="recorded", builder="none:none", inputs=(env_input(1),), classes=names)
    scored = SdmMetrics(variant=variant, median="lower")
    ids = [f"{row:03d}" for row in range(len(probs))]
    scored.update(SdmOutput(logits=probs), {"presence": targets}, ids)  # ranks of probabilities are those of logits
    figures = scored.compute()
    present = targets.sum(dim=0) > 0
    areas = torch.from_numpy(scored.by_species["auc"])[present]
    assert figures["auc_median"].value == lower_median(areas.numpy())
    thresholds = np.array(THRESHOLDS)
    f1 = site_f1(probs.double(), torch.ones_like(present).expand(targets.shape), targets > 0, thresholds).mean(dim=0)
    best = int(f1.argmax())
    assert thresholds[best] == case.config["best_threshold"]
    assert species_lists(probs.numpy(), names, thresholds[best]) == case.config["predicted_strings"]
    return {
        "species_auc": areas,
        "species_present": present.to(torch.uint8),
        "median_auc": torch.tensor(figures["auc_median"].value, dtype=torch.float64),
        "site_auc": torch.cat(list(scored.site_auc)),
        "median_site_auc": torch.tensor(figures["site_auc_median"].value, dtype=torch.float64),
        "thresholds": torch.from_numpy(thresholds),
        "f1": f1,
        "best_f1": f1[best],
    }


# ---------------------------------------------------------------------------------------------------------------- data


def raster_patches(case: Case) -> dict[str, Tensor]:
    config, raster = case.config, case.inputs["raster"].numpy()
    bands = tuple(Band(id=f"layer_{number}", unit="1") for number in range(len(raster)))
    spec = env_input(1, bands=bands, steps=(Normalise(mean=(0.0,) * len(bands), std=(1.0,) * len(bands), source="-"),))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layers.tif"
        transform = Affine(config["res_x"], 0, config["left"], 0, -config["res_y"], config["top"])
        profile = {"count": len(raster), "height": config["rows"], "width": config["cols"], "dtype": "float32"}
        with rasterio.open(
            path, "w", driver="GTiff", crs=config["crs"], transform=transform, nodata=config["nodata"], **profile
        ) as opened:
            opened.write(raster)
            opened.descriptions = [band.id for band in bands]
        layers = rasters.layers_of(Path(folder), spec)
        found = rasters.statistics(layers)
        source = open_raster(path)
        places = np.array(config["points_lon_lat"])[:, None]
        read = [
            torch.from_numpy(patches([(source, 0), (source, 1)], places, CRS.from_epsg(4326), side=side))
            for side in (1, 5)
        ]
    prepare = Preprocess(rasters.standardised(spec, found))
    cell, around = (prepare(one).double() for one in read)
    whole = case.inputs["raster"].masked_fill(case.inputs["raster"] == config["nodata"], torch.nan)
    return {
        "standardised_raster": prepare(whole[None])[0].double(),
        "flat_size1": cell[:, :, 0, 0],
        "patches_size1": cell,
        "patches_size5": around,
        "patches_size4": around,  # the original's even sizes give one more
    }


def jpeg_patches(case: Case) -> dict[str, Tensor]:
    config = case.config
    made = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("rgb", "nir"):
            path = pictures.path_of(folder, kind, str(config["patch_id"]))
            assert path.relative_to(folder).as_posix() == config["relative_path"].replace("<rgb|nir>", kind)
            path.parent.mkdir(parents=True)
            path.write_bytes(case.inputs[f"{kind}_jpeg_bytes"].numpy().tobytes())
            for which, column in pictures.COLUMNS.items():
                rows = "\n".join(str(one) for one in config[which][kind])
                (folder / f"{kind}_{which}.csv").write_text(f"{column}\n{rows}\n")
        for wanted, ((_, side, _), first) in config["requested_size_to_shape_and_first_pixel"].items():
            assert window_of(int(wanted)) == side
            assert (pictures.SIDE - side) // 2 == first
            pixels = pictures.patch_of(folder, str(config["patch_id"]), pictures.ORDER, side)
            mean, std = (
                np.array(one)[:, None, None] for one in zip(*pictures.statistics(folder, pictures.ORDER), strict=True)
            )
            made[f"patch_size{wanted}"] = torch.from_numpy((pixels - mean) / std)[:, ::2, ::2].float()
    decoded = np.asarray(Image.open(io.BytesIO(case.inputs["rgb_jpeg_bytes"].numpy().tobytes())))
    assert np.array_equal(decoded, case.inputs["rgb_decoded"].numpy())
    return made


def occurrence_dataset(case: Case) -> dict[str, Tensor]:
    train, val, test = (
        occurrences.read_items(io.BytesIO(case.config[f"{split}_csv"].encode())) for split in ("train", "val", "test")
    )
    species = np.unique(train.species)
    seen, held = (occurrences.presences_of(items, species) for items in (train, val))
    by_species = losses.species_weights(torch.from_numpy(seen.count).double(), len(train), epsilon=0.0)
    return {
        "species": torch.from_numpy(species),
        "species_counts": torch.from_numpy(seen.count),
        "species_weights": by_species,
        "species_in_val": torch.from_numpy(held.count > 0).to(torch.uint8),
        "train_items": torch.from_numpy(train.table),
        "val_items": torch.from_numpy(val.table),
        "test_items": torch.from_numpy(test.table),
        "train_labels": torch.from_numpy(seen.dense()).to(torch.uint8),
        "val_labels": torch.from_numpy(held.dense()).to(torch.uint8),
        "correct_test_ids": torch.from_numpy(test.ids),
    }


RUN = {
    "forward": forward,
    "losses": loss_values,
    "metrics": metrics,
    "raster_patches": raster_patches,
    "jpeg_patches": jpeg_patches,
    "occurrence_dataset": occurrence_dataset,
}
TOLERANCE = {
    "forward": {"train_loss": (0.0, 1e-6), "*": (2e-5, 0.0)},  # the loss of logits that are float32
    # the background term is float32 in the original; gradients and cross-entropy too
    "losses": {
        "weighted_background_*": (0.0, 1e-8),
        "weighted_grad": (0.0, 1e-6),
        "bce": (0.0, 1e-6),
        "*": (0.0, 1e-9),
    },
    "metrics": (1e-9, 0.0),
    "raster_patches": (1e-6, 0.0),
    "jpeg_patches": (1e-6, 0.0),
    "occurrence_dataset": (1e-9, 0.0),
}
