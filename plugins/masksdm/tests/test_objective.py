"""What is hidden in training: a share drawn once per step, numbers by each sample's own draw."""

import pytest
import torch
from torch import nn
from zoo_masksdm.network import masked
from zoo_masksdm.objective import Masked, drawn, shown

from zoo.datasets.sample import Batch
from zoo.errors import ConfigError
from zoo.tasks.objective import Moment
from zoo.tasks.sdm import SdmOutput


def batch_of(rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 61, generator=generator)
    valid = torch.ones(rows, 61, dtype=torch.bool)
    valid[:, 0] = False
    return Batch(
        ids=tuple(map(str, range(rows))),
        inputs={"predictors": x, "satclip": torch.randn(rows, 256, generator=generator)},
        target={"presence": (torch.rand(rows, 3, generator=generator) < 0.4).float()},
        valid={"predictors": valid, "satclip": torch.ones(rows, 256, dtype=torch.bool)},
        seeds=torch.arange(rows) + seed,
    )


def moment_of(seed=0):
    return Moment(phase="train", step=0, steps=10, epoch=0.0, generator=torch.Generator().manual_seed(seed))


class Watching(nn.Module):
    """Keeps what it is shown."""

    def forward(self, predictors, predictors_valid, satclip, satclip_valid):
        self.seen = predictors_valid, satclip_valid
        return SdmOutput(logits=predictors[:, :3])


def test_numbers_are_shown_with_the_share_and_satclip_as_one():
    keep = drawn(batch_of(2000), 0.3)
    assert keep["predictors"].float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert keep["satclip"].shape == (2000, 1)
    assert keep["satclip"].float().mean().item() == pytest.approx(0.3, abs=0.03)
    per_site = keep["predictors"].float().sum(dim=1)
    assert per_site.var().item() == pytest.approx(61 * 0.3 * 0.7, rel=0.15)  # independent cells


def test_draws_are_a_samples_own():
    whole = drawn(batch_of(10), 0.5)["predictors"]
    assert torch.equal(drawn(batch_of(4), 0.5)["predictors"], whole[:4])
    assert not torch.equal(whole[0], whole[1])


def test_the_share_is_drawn_anew_for_each_step_and_missing_stays_missing():
    objective, network = Masked(loss="bce"), Watching()
    shares = []
    for seed in range(40):
        objective(network, batch_of(200), moment_of(seed))
        predictors, satclip = network.seen
        assert not predictors[:, 0].any()
        assert (satclip.all(dim=1) == satclip.any(dim=1)).all()
        shares.append(predictors[:, 1:].float().mean().item())
    assert min(shares) < 0.1
    assert max(shares) > 0.9
    assert sum(shares) / 40 == pytest.approx(0.5, abs=0.12)


def test_without_random_masks_only_what_is_missing_is_hidden():
    network = Watching()
    Masked(loss="bce", mask="missing")(network, batch_of(5), moment_of())
    assert torch.equal(network.seen[0], batch_of(5).valid["predictors"])
    with pytest.raises(ConfigError, match="mask is 'all'; expected random or missing"):
        Masked(mask="all")


def test_training_steps_lower_the_loss():
    torch.manual_seed(0)
    network = masked.build(features=61, num_classes=3, width=16, blocks=1, heads=2, dropout=0.1)
    batch, objective = batch_of(64), Masked()
    objective.species_weights = torch.full((3,), 2.5)
    stepping = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for step in range(30):
        (term,) = objective(network, batch, moment_of(step)).values()
        loss = term.total / term.count
        stepping.zero_grad()
        loss.backward()
        stepping.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])


def test_shown_takes_nan_as_missing_where_a_batch_has_no_mask():
    batch = Batch(ids=("a",), inputs={"predictors": torch.tensor([[1.0, torch.nan]])}, target={})
    assert shown(batch, {"predictors": torch.ones(1, 2)}).valid["predictors"].tolist() == [[True, False]]
