"""How MaskSDM runs the recorded cases of its authors' code (zbirobin/MaskSDM-MEE@bfdc9487)."""

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from zoo_masksdm import SPEC, imputation
from zoo_masksdm.network import baselines, masked
from zoo_masksdm.network.maxent import SETS, MaxentFeatures
from zoo_masksdm.objective import Masked, shown
from zoo_masksdm.statistics import statistics_of

from zoo.datasets.blocks import block_split
from zoo.datasets.sample import Batch
from zoo.explain import shapley
from zoo.inputs.preprocess import Preprocess
from zoo.io.nearest import nearest_valid
from zoo.spec import Band, InputSpec, Kind
from zoo.tasks.losses.sdm import cross_entropy, species_weights, weighted
from zoo.tasks.metrics.ranks import auc, auc_of_columns
from zoo.tasks.metrics.sdm import SdmMetrics
from zoo.tasks.objective import Moment
from zoo.tasks.sdm import SdmOutput
from zoo.testing.parity import Case
from zoo.training.config import Optimizer, Phase
from zoo.training.optimisers import averaged, optimiser

# ------------------------------------------------------------------------------------------------------------ networks


def network_of(case: Case) -> Any:
    """The case's network with its weights."""
    config = case.config
    sizes = {"features": config["n_features"], "num_classes": config["d_out"]}
    match config["kind"]:
        case "ft_transformer":
            network: nn.Module = masked.build(
                **sizes,
                width=config["d_hidden"],
                blocks=config["n_blocks"],
                heads=config["n_heads"],
                dropout=config["dropout"],
                tokenizer=config.get("tokenizer", "periodic"),
                cls_tokens=config.get("num_cls_tokens", 0),
            )
        case "linear":
            network = baselines.linear(**sizes)
        case kind:
            network = getattr(baselines, kind)(
                **sizes, width=config["d_hidden"], layers=config["n_layers"], dropout=config["dropout"]
            )
    network.load_state_dict(case.state_dict)
    return network.eval()


def forward(case: Case) -> dict[str, Tensor]:
    network, stride = network_of(case), case.config["out_logits_column_stride"]
    with torch.inference_mode():
        if case.config["kind"] != "ft_transformer":
            return {"logits": network(case.inputs["x"]).logits[:, ::stride]}
        made = transformer(network, case.inputs)
    made = {name: one[:, ::stride] if name.startswith(("logits", "prob")) else one for name, one in made.items()}
    if "token_slicing" in case.config:
        made |= {name: one[:2, ::7] for name, one in made.items() if name in TOKENS}
    return made


TOKENS = ("feature_tokens", "encoder_input", "encoder_output")


def transformer(network: masked.MaskSdm, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    x, satclip, keep = given["x"], given["satclip"], given["keep_mask"].bool()
    place = given["satclip_keep"].bool()[:, None].expand_as(satclip)
    tokens = network.tokens(x, satclip)
    both = torch.cat([keep, place[:, :1]], dim=1)
    sequence = network.sequence(tokens, both)
    answer = functools.partial(network, x, satclip=satclip)
    everything = torch.ones_like(keep)
    logits = answer(keep, satclip_valid=place).logits
    return {
        "feature_tokens": tokens[:, :-1],
        "satclip_token": tokens[:, -1],
        "encoder_input": sequence,
        "encoder_output": network.transformer_encoder(sequence),
        "embedding": network.pooled(tokens, both),
        "logits": logits,
        "probabilities": logits.sigmoid(),
        "logits_no_masks": answer(everything).logits,
        "logits_nan_mask_only": answer().logits,
        "logits_satclip_masked": network(x, keep).logits,
        "logits_no_satclip_token": network.head(network.pooled(tokens[:, :-1], keep)),
        "logits_everything_masked": network(x, ~everything).logits,
    }


# ------------------------------------------------------------------------------------------------------------ training


def losses(case: Case) -> dict[str, Tensor]:
    given, config = case.inputs, case.config
    weights = species_weights(given["y_train"].float().sum(dim=0), float(len(given["y_train"])))
    logits, targets = given["logits"].requires_grad_(), given["targets"]
    total, count = weighted(logits.sigmoid(), targets, weights)
    (total / count).backward()

    def bce(factor: Tensor) -> Tensor:
        total, count = cross_entropy(logits.detach(), targets, factor)
        return total / count

    return {
        "species_weights": weights,
        "weighted_loss": (total / count).detach(),
        "weighted_loss_grad": logits.grad,
        "bce_scalar": bce(torch.tensor(config["pos_weight_scalar"])),
        "bce_vector": bce(given["pos_weight_vector"]),
    }


def train_step_masked(case: Case) -> dict[str, Tensor]:
    """The recorded draws instead of our own, through the objective and the optimiser of a run."""
    given, network = case.inputs, network_of(case).train()
    batch = Batch(
        ids=tuple(map(str, range(len(given["x"])))),
        inputs={"predictors": given["x"], "satclip": given["satclip"]},
        target={"presence": given["targets"]},
    )
    keep = {"predictors": given["random_keep"], "satclip": given["satclip_keep"][:, None]}
    batch = shown(batch, keep)
    objective = Masked(mask="missing")
    objective.species_weights = given["species_weights"]
    told = Optimizer(name="schedule-free-adamw", lr=1e-3, weight_decay=1e-2, warmup=1000)
    stepping = optimiser(Phase(optimizer=told), [{"params": list(network.parameters())}])
    moment = Moment(phase="train", step=0, steps=3, epoch=0.0, generator=torch.Generator())
    made: dict[str, Tensor] = {}
    for step in range(3):
        stepping.zero_grad()
        (term,) = objective(network, batch, moment).values()
        loss = term.total / term.count
        loss.backward()
        if step == 0:
            made = {f"grad.{key}": one.grad.clone() for key, one in network.named_parameters()}
            made |= {"loss": loss.detach(), "keep_mask": batch.valid["predictors"]}
            made["logits"] = network(**batch.inputs, **{f"{key}_valid": one for key, one in batch.valid.items()}).logits
        stepping.step()
    with averaged(stepping):
        made |= {f"after3steps_averaged.{key}": one.detach().clone() for key, one in network.named_parameters()}
    return made


# ------------------------------------------------------------------------------------------------------- preprocessing


def standardise(case: Case) -> dict[str, Tensor]:
    train, new = case.inputs["x_train"], case.inputs["x_new"]
    found = statistics_of(train.numpy())
    spec = InputSpec(
        name="predictors",
        kind=Kind.TABLE,
        bands=tuple(Band(id=str(index), unit="1") for index in range(train.shape[1])),
        steps=(found.step("the training rows"),),
    )

    def prepared(x: Tensor) -> Tensor:
        """NaN, where missing, becomes 0 in the preprocessing."""
        return Preprocess(spec)(x[:, :, None, None])[:, :, 0, 0]

    middle = imputation.medians(torch.where(train.isnan(), torch.nan, prepared(train)))
    return {
        "mean": torch.from_numpy(found.mean),
        "std": torch.from_numpy(found.std),
        "median_of_standardised_train": middle,
        "x_new_standardised": torch.where(new.isnan(), torch.nan, prepared(new)),
        "x_new_mean_imputed": prepared(new),
        "x_new_median_imputed": torch.where(new.isnan(), middle, prepared(new)),
    }


def nearest_fill(case: Case) -> dict[str, Tensor]:
    grid, places = case.inputs["grid"].numpy(), case.inputs["row_col"].numpy()
    valid = np.isfinite(grid) & (grid != case.config["nodata"])
    rows, cols = nearest_valid(valid, places[:, 0], places[:, 1])
    return {"values": torch.from_numpy(np.where(rows >= 0, grid[rows, cols], np.nan))}


def maxent_features(case: Case) -> dict[str, Tensor]:
    train, new = case.inputs["x_train"], case.inputs["x_new"]
    made = {}
    for name, kinds in SETS.items():
        features = MaxentFeatures(train.shape[1], kinds)
        features.fit(train)
        made |= {f"{name}_new": features(new), f"{name}_train_first5": features(train[:5])}
    return made


def imputation_baselines(case: Case) -> dict[str, Tensor]:
    given, config, network = case.inputs, case.config, network_of(case)
    test, train = (
        imputation.Sites(x=given[f"x_{part}"], satclip=given[f"satclip_{part}"]) for part in ("test", "train")
    )
    available = torch.zeros(config["n_features"], dtype=torch.bool)
    available[config["available_predictors"]] = True
    known = imputation.Available(x=available, satclip=config["satclip_available"])
    nearest = imputation.nearest_rows(test, train, known, config["m_conditional"])
    return {
        "conditional_indices": nearest,
        "logits_mean": imputation.mean(network, test, train, known),
        "logits_median": imputation.median(network, test, train, known),
        "logits_marginal": imputation.from_rows(network, test, train, known, given["marginal_indices"]),
        "logits_conditional": imputation.from_rows(network, test, train, known, nearest),
    }


# ------------------------------------------------------------------------------------------------------------- metrics


def metrics_auc(case: Case) -> dict[str, Tensor]:
    given = case.inputs
    logits, targets = given["logits"], given["targets"]
    seen = torch.stack([given[name].bool().any(dim=0) for name in ("y_train", "y_val", "targets")]).all(dim=0)
    names = tuple(f"species {number}" for number in range(logits.shape[1]))
    metric = SdmMetrics(
        variant=replace(SPEC.default, classes=names),
        species=[name for name, there in zip(names, seen.tolist(), strict=True) if there],
    )
    metric.update(SdmOutput(logits), {"presence": targets.float()}, [str(row) for row in range(len(logits))])
    mean = metric.compute()["auc_mean"].value
    columns = zip(logits.numpy().T, targets.bool().numpy().T, strict=True)
    return {
        "auc_all": torch.tensor([auc(one[there], one[~there]) for one, there in columns], dtype=torch.float64),
        "evaluated_species": seen.nonzero()[:, 0],
        "mean_auc_evaluated": torch.tensor(mean, dtype=torch.float64),
        "reported_percent": torch.tensor(round(100 * mean, 1), dtype=torch.float64),
    }


def spatial_block_split(case: Case) -> dict[str, Tensor]:
    config, made = case.config, {}
    for spacing in config["spacings_degrees"]:
        split = block_split(
            case.inputs["coordinates"].numpy(),
            spacing_deg=spacing,
            val=config["val_size"],
            test=config["test_size"],
            seed=config["random_state"],
        )
        made |= {
            f"{part}_spacing{spacing}": torch.from_numpy(getattr(split, part)) for part in ("train", "val", "test")
        }
    return made


# ------------------------------------------------------------------------------------------------------------- Shapley


class Values:
    """Values of coalitions of the columns of tokens, which are made once: logits, and mean AUC in percent."""

    def __init__(self, case: Case) -> None:
        self.network = network_of(case)
        with torch.inference_mode():
            self.tokens = self.network.tokens(case.inputs["x"], case.inputs["satclip"])
        self.known = torch.cat([~case.inputs["x"].isnan(), torch.ones(len(self.tokens), 1, dtype=torch.bool)], dim=1)
        chosen = case.config["evaluated_species"]
        self.present, self.chosen = case.inputs["targets"].bool().numpy()[:, chosen], chosen

    def logits(self, shown: Any) -> Tensor:
        """(C, B, S) for (C, T) columns shown."""
        with torch.inference_mode():
            keep = [self.known & torch.from_numpy(one) for one in shown]
            return torch.stack([self.network.head(self.network.pooled(self.tokens, one)) for one in keep])

    def auc_percent(self, shown: Any) -> Any:
        logits = self.logits(shown)[:, :, self.chosen].numpy()
        return np.array([100 * auc_of_columns(one, self.present).mean() for one in logits])


def widened(value: Any, columns: Any) -> Any:
    """A value of players from one of token columns: `columns` (P, T) says which of them each player shows."""
    return lambda shown: value(shown @ columns)


def rounded(value: Any) -> Any:
    """The original rounds a percentage to one decimal before it takes differences."""
    return lambda shown: np.round(value(shown), 1)


def shapley_exact_groups(case: Case) -> dict[str, Tensor]:
    config, values = case.config, Values(case)
    columns = np.zeros((len(config["groups"]), config["n_features"] + 1), np.bool_)
    for player, group in enumerate(config["groups"]):
        columns[player, group] = True
    columns[:, -1] = config["satclip_visible"]
    score = functools.cache(lambda: widened(values.auc_percent, columns)(shapley.coalitions(len(columns))))
    local = widened(values.logits, columns)(shapley.coalitions(len(columns)))[:, :, config["local_species"]].sigmoid()
    assert np.array_equal(shapley.coalitions(len(columns)), case.inputs["coalitions"].numpy())
    rows = np.round(score(), 1)
    return {
        "coalition_auc_percent": torch.from_numpy(score()),
        "coalition_auc_percent_rounded": torch.from_numpy(rows),
        "global_shapley": torch.from_numpy(shapley.exact(lambda _: score(), len(columns))),
        "global_shapley_rounded": torch.from_numpy(shapley.exact(lambda _: rows, len(columns))),
        "coalition_probabilities": local.T,
        "local_shapley": torch.from_numpy(shapley.exact(lambda _: local.numpy(), len(columns)).T),
    }


def single_columns(case: Case) -> Any:
    """Each predictor a player; SatCLIP stays hidden."""
    return np.eye(case.config["n_features"], case.config["n_features"] + 1, dtype=np.bool_)


def shapley_latin_square(case: Case) -> dict[str, Tensor]:
    value = widened(Values(case).auc_percent, single_columns(case))
    squares = [shapley.latin_square_of(one) for one in case.inputs["column_permutations"].numpy()]
    orders = np.concatenate(squares)
    assert np.array_equal(orders, case.inputs["order"].numpy())
    gained, coarse = (shapley.gains(one, orders) for one in (value, rounded(value)))
    return {
        "marginal": torch.from_numpy(gained),
        "estimate": torch.from_numpy(shapley.estimate(gained).values),
        "marginal_rounded": torch.from_numpy(coarse),
        "estimate_rounded": torch.from_numpy(shapley.estimate(coarse).values),
        "running_estimate_rounded": torch.from_numpy(running(coarse)),
    }


def shapley_uniform_mc(case: Case) -> dict[str, Tensor]:
    """SatCLIP, shown in some draws, is a player of its own."""
    player, value = case.config["predictor_of_interest"], Values(case).auc_percent
    shown = np.concatenate(
        [case.inputs["excluded"].numpy() == 0, case.inputs["satclip_visible"].numpy()[:, None] != 0], axis=1
    )
    gained, coarse = (shapley.gains_of(one, shown, player) for one in (value, rounded(value)))
    return {
        "marginal": torch.from_numpy(gained),
        "marginal_rounded": torch.from_numpy(coarse),
        "running_estimate_rounded": torch.from_numpy(running(coarse)),
    }


def running(gained: Any) -> Any:
    """Means of the first row, the first two, ..."""
    return gained.cumsum(axis=0) / np.arange(1, len(gained) + 1).reshape(-1, *[1] * (gained.ndim - 1))


RUN = {
    "forward": forward,
    "losses": losses,
    "train_step_masked": train_step_masked,
    "standardise": standardise,
    "nearest_fill": nearest_fill,
    "maxent_features": maxent_features,
    "imputation_baselines": imputation_baselines,
    "metrics_auc": metrics_auc,
    "spatial_block_split": spatial_block_split,
    "shapley_exact_groups": shapley_exact_groups,
    "shapley_latin_square": shapley_latin_square,
    "shapley_uniform_mc": shapley_uniform_mc,
}
# The spec's, or tighter. AUC of one's own logits: with few predictors, scores nearly tie, and a swapped pair moves a value by
# 100 / (species * presences * absences) percent points.
SCORES = {
    "coalition_auc_percent_rounded": (0.11, 0.0),
    "coalition_auc_percent": (0.02, 0.0),
    "coalition_probabilities": (2e-5, 0.0),
    "local_shapley": (2e-5, 0.0),
    "marginal_rounded": (0.11, 0.0),
    "marginal": (0.02, 0.0),
    "running_estimate_rounded": (0.13, 0.0),
    "*_rounded": (0.02, 0.0),
    "*": (0.005, 0.0),
}
TOLERANCE = {
    "forward": {"encoder_*": (2e-5, 2e-5), "*": (1e-5, 1e-5)},
    "losses": (1e-7, 1e-6),
    "train_step_masked": {"grad.*": (1e-6, 1e-5), "*": (2e-6, 1e-5)},
    "standardise": (1e-6, 1e-5),
    "nearest_fill": (0.0, 0.0),
    "maxent_features": (1e-6, 0.0),  # the original computes in float32
    "imputation_baselines": (1e-5, 1e-5),
    "metrics_auc": (1e-9, 0.0),
    "spatial_block_split": (0.0, 0.0),
    "shapley_exact_groups": SCORES,
    "shapley_latin_square": SCORES,
    "shapley_uniform_mc": SCORES,
}
