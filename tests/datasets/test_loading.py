"""Batches: the same whoever reads them, errors as they were raised, and keys taken as they are needed."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import time

import pytest
import torch

from zoo.datasets.loading import loader
from zoo.datasets.opening import open_dataset
from zoo.datasets.sample import Sample
from zoo.datasets.seeds import generator_of, seed_of
from zoo.errors import InputError

KEYS = [[(0, 0), (0, 3)], [(1, 0), (1, 5)], [(2, 2)]]


class Numbers:
    """Samples that hold their index and what was drawn, and say in which process, with how many threads."""

    classes = ()

    def __init__(self, count=8, bad=(), error=InputError):
        self.ids = [f"n{index}" for index in range(count)]
        self.bad, self.error = bad, error

    def sample(self, index, generator=None):
        if index in self.bad:
            raise self.error("the file is cut short; copy it again")
        drawn = 0.0 if generator is None else torch.rand((), generator=generator).item()
        numbers = torch.tensor([index, drawn, os.getpid(), torch.get_num_threads()], dtype=torch.float64)
        size = 2 if index == 7 else 1
        return Sample(id=self.ids[index], inputs={"x": numbers, "y": torch.zeros(size)})


def batches(reader, keys=KEYS, *, workers=0, training=True):
    return list(loader(reader, keys, seed=5, workers=workers, training=training, pin=False))


def test_samples_and_seeds_follow_from_seed_epoch_and_index():
    found = batches(Numbers())
    assert [batch.ids for batch in found] == [("n0", "n3"), ("n0", "n5"), ("n2",)]
    for batch, keys in zip(found, KEYS, strict=True):
        drawn = [torch.rand((), generator=generator_of(5, *key)).item() for key in keys]
        assert batch.inputs["x"][:, 1].tolist() == drawn
        assert batch.seeds.tolist() == [seed_of(5, *key, 1) for key in keys]


def test_two_workers_give_the_same_as_none(variant):
    reader = open_dataset("world", None, split="train", options={"n": 6, "size": 32, "turn": True}, variant=variant)
    alone, shared = batches(reader), batches(reader, workers=2)
    plain = batches(reader, training=False)
    for one, other in zip(alone, shared, strict=True):
        assert one.ids == other.ids
        assert torch.equal(one.inputs["image"], other.inputs["image"])
        assert torch.equal(one.target["label"], other.target["label"])
        assert torch.equal(one.seeds, other.seeds)
    assert any(
        not torch.equal(one.inputs["image"], other.inputs["image"]) for one, other in zip(alone, plain, strict=True)
    )


def test_nothing_is_drawn_in_evaluation():
    assert all(batch.inputs["x"][:, 1].eq(0).all() for batch in batches(Numbers(), training=False))


def test_the_runs_own_draws_do_not_notice():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    batches(Numbers())
    assert torch.equal(torch.get_rng_state(), before)


def test_workers_are_other_processes_with_one_thread_each():
    found = torch.cat([batch.inputs["x"] for batch in batches(Numbers(), KEYS * 4, workers=2)])
    assert len(set(found[:, 2].tolist())) == 2
    assert os.getpid() not in found[:, 2].tolist()
    assert found[:, 3].unique().tolist() == [1.0]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("error", [InputError, OSError])
def test_an_error_arrives_as_it_was_raised_with_the_samples_id(workers, error):
    with pytest.raises(InputError, match=r"^sample n5: .*the file is cut short; copy it again") as raised:
        batches(Numbers(bad=[5], error=error), workers=workers)
    assert "Traceback" not in str(raised.value)


def test_a_bug_in_a_reader_keeps_its_traceback_and_names_the_sample():
    with pytest.raises(ZeroDivisionError) as raised:
        batches(Numbers(bad=[5], error=ZeroDivisionError))
    assert raised.value.__notes__ == ["while reading sample 'n5'"]
    with pytest.raises(ZeroDivisionError, match="while reading sample 'n5'"):
        batches(Numbers(bad=[5], error=ZeroDivisionError), workers=1)


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_of_other_sizes_are_named(workers):
    with pytest.raises(InputError, match=r"samples n1 and n7 have other sizes .*\(1,\).*\(2,\)"):
        batches(Numbers(), [[(0, 1), (0, 7)]], workers=workers)


@pytest.mark.parametrize(("workers", "most"), [(0, 2), (2, 8)])
def test_a_generator_of_keys_is_taken_as_it_is_needed(workers, most):
    taken = []

    def keys():
        for number in range(1000):
            taken.append(number)
            yield [(number, 0)]

    found = iter(loader(Numbers(), keys(), seed=0, workers=workers, training=True, pin=False))
    next(found)
    next(found)
    assert len(taken) <= most


def test_the_same_loader_can_be_read_again():
    again = loader(Numbers(), KEYS, seed=5, workers=1, training=True, pin=False)
    first, second = list(again), list(again)
    assert [batch.ids for batch in first] == [batch.ids for batch in second]
    assert {*first[0].inputs["x"][:, 2].tolist()} == {*second[0].inputs["x"][:, 2].tolist()}, "another process"


def test_a_signal_to_all_processes_leaves_workers_to_the_one_that_trains():
    found = iter(loader(Numbers(), [[(0, 0)]] * 200, seed=0, workers=1, training=True, pin=False))
    worker = int(next(found).inputs["x"][0, 2])
    subprocess.run(["sh", "-c", f"kill -TERM {worker}; kill -INT {worker}"], check=True)
    time.sleep(0.2)
    assert len(list(found)) == 199
    del found


def test_the_process_that_trains_can_end_its_workers():
    found = iter(loader(Numbers(), [[(0, 0)]] * 200, seed=0, workers=1, training=True, pin=False))
    worker = int(next(found).inputs["x"][0, 2])
    os.kill(worker, signal.SIGTERM)
    until = time.monotonic() + 10
    while worker in [child.pid for child in multiprocessing.active_children()] and time.monotonic() < until:
        time.sleep(0.02)
    assert worker not in [child.pid for child in multiprocessing.active_children()]
    del found


def test_readers_travel_to_processes_that_are_not_forked(variant):
    reader = open_dataset("world", None, split="train", options={"n": 2, "size": 32}, variant=variant)
    same = pickle.loads(pickle.dumps(reader))
    assert torch.equal(same.sample(1).inputs["image"], reader.sample(1).inputs["image"])
