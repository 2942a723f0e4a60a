"""Sums over samples with bootstrap: the same whatever the order, the batches and the processes."""

from __future__ import annotations

import pytest
import torch

from zoo.tasks.metrics.sums import Figure, Sums, figure, keys_of, poisson_weights, ratio

IDS = [f"tiles/{index}.tif" for index in range(400)]
VALUES = torch.randn(400, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


class Mean(Sums):
    def __init__(self, bootstrap=0):
        super().__init__(bootstrap=bootstrap)
        self.add_sum("total")
        self.add_sum("number")
        self.add_rows("kept", 2, dtype=torch.uint8)

    def update(self, output, target, ids):
        self.accumulate(ids, {"total": output, "number": torch.ones(len(ids))})
        self.kept.append(output[:, None].expand(-1, 2).to(torch.uint8))

    def scores(self):
        return {"mean": ratio(self.total, self.number), "nowhere": torch.full_like(self.total, torch.nan)}


def filled(order, size, bootstrap=200):
    mean = Mean(bootstrap)
    for start in range(0, len(order), size):
        part = order[start : start + size]
        mean.update(VALUES[part], {}, [IDS[index] for index in part])
    return mean


def test_weights_are_poisson_draws_that_are_not_correlated():
    weights = poisson_weights(keys_of([f"a/{index}" for index in range(20_000)]), range(8))
    for count, share in enumerate([0.36788, 0.36788, 0.18394, 0.06131, 0.01533]):  # e^-1 / k!
        assert (weights == count).double().mean().item() == pytest.approx(share, abs=0.004)
    assert (torch.corrcoef(weights) - torch.eye(8)).abs().max() < 0.03  # 4 of 1 / sqrt(20,000)


def test_weights_belong_to_an_id_and_a_replicate_alone():
    every = poisson_weights(keys_of(IDS), range(50))
    assert torch.equal(poisson_weights(keys_of(IDS[7:9]), range(20, 30)), every[20:30, 7:9])
    assert torch.equal(poisson_weights(keys_of(IDS[:1]), range(12)), every[:12, :1])


def test_order_and_batches_change_nothing():
    one = filled(list(range(400)), 400)
    other = filled(torch.randperm(400, generator=torch.Generator().manual_seed(0)).tolist(), 7)
    torch.testing.assert_close(other.total, one.total, rtol=1e-12, atol=1e-12)
    assert torch.equal(other.number, one.number)
    assert other.compute()["mean"].value == pytest.approx(VALUES.mean().item(), abs=1e-14)


def test_the_interval_is_that_of_a_mean():
    mean = filled(list(range(400)), 64, bootstrap=2000).compute()["mean"]
    half = 1.96 * VALUES.std().item() / 20  # of the normal approximation, sqrt(400) = 20
    assert mean.low == pytest.approx(mean.value - half, abs=0.1 * half)
    assert mean.high == pytest.approx(mean.value + half, abs=0.1 * half)


def test_without_bootstrap_there_is_no_interval_and_what_is_undefined_is_left_out():
    assert filled(list(range(10)), 5, bootstrap=0).compute() == {"mean": Figure(pytest.approx(VALUES[:10].mean()))}


def test_undefined_replicates_do_not_count():
    nan = float("nan")
    assert figure(torch.tensor([1.0, nan, 2.0, 2.0])) == Figure(1.0, 2.0, 2.0)
    assert figure(torch.tensor([1.0, nan])) == Figure(1.0)


def test_a_reset_metric_begins_anew():
    mean = filled(list(range(30)), 7)
    mean.reset()
    mean.update(VALUES[:3], {}, IDS[:3])
    assert mean.compute()["mean"].value == pytest.approx(VALUES[:3].mean().item())
    assert mean.rows("kept").shape == (3, 2)


def test_as_many_summands_as_ids():
    with pytest.raises(ValueError, match="3 samples for 2 ids"):
        Mean().update(VALUES[:3], {}, IDS[:2])
