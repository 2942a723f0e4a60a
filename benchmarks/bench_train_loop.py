"""What the training loop costs beside a bare loop of forward, backward and step, in the same process.

`python benchmarks/bench_train_loop.py [--processes]`. Targets: at most 3 % at ViT-B size, at most 15 % for a model whose
step takes 5 ms; with --processes, two processes with one thread each take at least 1.7 times the samples per second of
one. Both loops see batches that are there already, take the same AdamW steps, and begin at the same weights; pairs of
runs take turns, and the median of the ratios is printed. One thread, CPU time: others on the machine do not count.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.datasets.sample import Batch, Sample
from zoo.tasks.objective import Moment, Objective, Term
from zoo.training.config import Data, Optimizer, Phase, TrainConfig
from zoo.training.interruption import Interruption
from zoo.training.learner import Learner
from zoo.training.optimisers import optimiser, set_rates
from zoo.training.order import Order
from zoo.training.parameters import chosen, groups
from zoo.training.schedules import Rates
from zoo.training.starting import accelerator_of
from zoo.training.steps import Stepper, seed_step


@dataclass(frozen=True)
class Size:
    name: str
    batch: int
    side: int
    steps: int
    repeats: int
    limit: float


SIZES = (Size("ViT-B/16, batch 2", 2, 224, 2, 4, 1.03), Size("small CNN, 5 ms a step", 8, 32, 100, 8, 1.15))


class Small(nn.Module):
    """About 5 ms a step on one core."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 24, 3)
        )
        self.head = nn.Linear(24, 10)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.layers(image).mean((2, 3)))


class Plain(Objective):
    def counts(self, batch: Batch) -> dict[str, float]:
        return {"cross_entropy": float(len(batch))}

    def forward(self, network: nn.Module, batch: Batch, moment: Moment) -> dict[str, Term]:  # noqa: ARG002
        loss = functional.cross_entropy(network(batch.inputs["image"]), batch.target["label"], reduction="sum")
        return {"cross_entropy": Term(loss, float(len(batch)))}


def network_of(size: Size) -> nn.Module:
    torch.manual_seed(0)
    if size.side == 32:
        return Small()
    import timm

    return timm.create_model("vit_base_patch16_224", num_classes=10)


def batches_of(size: Size) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    return [
        Batch(
            ids=tuple(f"{number}-{row}" for row in range(size.batch)),
            inputs={"image": torch.randn(size.batch, 3, size.side, size.side, generator=generator)},
            target={"label": torch.randint(10, (size.batch,), generator=generator)},
        )
        for number in range(size.steps)
    ]


def bare(network: nn.Module, batches: list[Batch]) -> float:
    """CPU seconds of the loop that one would write by hand."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    network.train()
    began = time.process_time()
    for batch in batches:
        loss = functional.cross_entropy(network(batch.inputs["image"]), batch.target["label"])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()
    return time.process_time() - began


def ours(size: Size, network: nn.Module, batches: list[Batch]) -> float:
    """CPU seconds of the steps of `zoo.training`, rates, seeds, order and all."""
    phase = Phase(steps=size.steps, batch=size.batch, optimizer=Optimizer(lr=1e-4, weight_decay=0.01))
    accelerator = accelerator_of(TrainConfig(model="none", data=Data(dataset="none")))
    learner = Learner(network, Plain())
    order = Order(num=size.batch * size.steps, batch=size.batch)
    rates = Rates(schedule=phase.schedule, steps=size.steps, unit=1, per_epoch=size.steps)
    with chosen(learner, phase), Interruption() as interruption:
        wrapped, optimizer = accelerator.prepare(learner, optimiser(phase, groups(learner, phase, 1e-4)))
        learner.train()
        stepper = Stepper(
            accelerator=accelerator,
            learner=learner,
            wrapped=wrapped,
            optimizer=optimizer,
            clip=None,
            interruption=interruption,
        )
        taken = iter(batches)
        began = time.process_time()
        for step in range(size.steps):
            set_rates(optimizer, rates, step)
            seed_step(accelerator, 0, step)
            generator = torch.Generator().manual_seed(step)
            moment = Moment(phase="train", step=step, steps=size.steps, epoch=0.0, generator=generator)
            stepper.take(order.parts(step), taken, moment)
            if (step + 1) % 10 == 0:
                stepper.all_totals()
                stepper.totals.clear()
        return time.process_time() - began


def overhead() -> bool:
    torch.set_num_threads(1)
    good = True
    print(f"{'':26} {'bare':>10} {'ours':>10} {'ratio':>8} {'target':>8}")
    for size in SIZES:
        batches, pairs, ends = batches_of(size), [], []
        bare(network_of(size), batches[:1])
        for number in range(size.repeats):
            networks = network_of(size), network_of(size)
            if number % 2:  # whoever runs first warms the caches for the other
                second = ours(size, networks[1], batches)
                pairs.append((bare(networks[0], batches), second))
            else:
                pairs.append((bare(networks[0], batches), ours(size, networks[1], batches)))
            ends.append(networks)
        assert all(torch.equal(a, b) for a, b in zip(*(one.state_dict().values() for one in ends[0]), strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        times = [statistics.median(column) / size.steps * 1000 for column in zip(*pairs, strict=True)]
        print(f"{size.name:26} {times[0]:8.2f}ms {times[1]:8.2f}ms {ratio:8.3f} {size.limit:8.2f}")
        good &= ratio <= size.limit
    return good


# --------------------------------------------------------------------------------------------------------- two processes


class Chips:
    """Random chips, made once."""

    classes = tuple(f"class {number}" for number in range(10))

    def __init__(self, num: int, side: int) -> None:
        self.ids = [str(index) for index in range(num)]
        self.pixels = torch.randn(num, 3, side, side, generator=torch.Generator().manual_seed(0))

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:  # noqa: ARG002
        return Sample(
            id=self.ids[index], inputs={"image": self.pixels[index]}, target={"label": torch.tensor(index % 10)}
        )


def rate(rank_out: Path, batch: int = 64, side: int = 96, steps: int = 6) -> None:
    """Samples per second of a step of `batch` shared by the processes there are."""
    import timm

    from zoo.datasets.loading import loader

    torch.set_num_threads(1)
    torch.manual_seed(0)
    accelerator = accelerator_of(TrainConfig(model="none", data=Data(dataset="none")))
    phase = Phase(steps=steps, batch=batch, optimizer=Optimizer(lr=1e-4))
    learner = Learner(timm.create_model("vit_tiny_patch16_224", img_size=side, num_classes=10), Plain())
    reader = Chips(batch * steps, side)
    order = Order(
        num=len(reader.ids), batch=batch, process=accelerator.process_index, processes=accelerator.num_processes
    )
    with chosen(learner, phase), Interruption() as interruption:
        wrapped, optimizer = accelerator.prepare(learner, optimiser(phase, groups(learner, phase, 1e-4)))
        stepper = Stepper(
            accelerator=accelerator,
            learner=learner.train(),
            wrapped=wrapped,
            optimizer=optimizer,
            clip=None,
            interruption=interruption,
        )
        batches = iter(loader(reader, order.keys(0, steps), seed=0, workers=0, training=True, pin=False))
        for step in range(steps):
            if step == 1:  # the first is warming up
                accelerator.wait_for_everyone()
                began = time.perf_counter()
            generator = torch.Generator().manual_seed(step)
            moment = Moment(phase="train", step=step, steps=steps, epoch=0.0, generator=generator)
            stepper.take(order.parts(step), batches, moment)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            rank_out.write_text(str(batch * (steps - 1) / (time.perf_counter() - began)))


def in_processes(processes: int) -> float:
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
        probe.close()
        out = Path(folder) / "rate"
        alone = {**os.environ, "OMP_NUM_THREADS": "1"}
        shared = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1"}
        shared |= {"MASTER_PORT": port, "ACCELERATE_USE_CPU": "true", "TORCH_CPP_LOG_LEVEL": "ERROR"}
        environments = [
            alone | (shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {})
            for rank in range(processes)
        ]
        running = [subprocess.Popen([sys.executable, __file__, "--rank", str(out)], env=one) for one in environments]
        assert not any(process.wait() for process in running)
        return float(out.read_text())


def sharing() -> bool:
    pairs = [(in_processes(1), in_processes(2)) for _ in range(3)]
    ratio = statistics.median(two / one for one, two in pairs)
    one, two = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"samples per second, ViT-Ti/16 at 96 px, batch 64: one process {one:.1f}, two {two:.1f}; ratio {ratio:.2f} (target 1.7)"
    )
    return ratio >= 1.7


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rank", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--processes", action="store_true", help="measure two processes alone")
    given = options.parse_args()
    if given.rank:
        rate(given.rank)
    else:
        fast = [*([] if given.processes else [overhead()]), sharing()]
        sys.exit(not all(fast))
