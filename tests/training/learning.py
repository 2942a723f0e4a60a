"""Small networks, data and objectives with which the loop is tested: what they learn can be worked out by hand."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from zoo.datasets.sample import IGNORED, Sample
from zoo.tasks.objective import Objective, Term, answer
from zoo.tasks.pretrain import EmbedOutput
from zoo.tasks.segment import SegmentOutput

BANDS = ("S2:B02", "S2:B03", "S2:B04")


class Classifier(nn.Module):
    """(B, 3, 8, 8) to logits (B, K); dropout, so that its draws matter."""

    def __init__(self, num_classes: int = 3, width: int = 8, dropout: float = 0.25) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_classes)

    def forward(self, image: torch.Tensor) -> EmbedOutput:
        x = self.stem(image).relu().mean((2, 3))
        for block in self.blocks:
            x = x + block(x).relu()
        x = self.dropout(self.norm(x))
        return EmbedOutput(pooled=x, logits=self.head(x))


class Dense(nn.Module):
    """(B, 3, H, W) to logits (B, K, H, W), pixel by pixel."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, num_classes, 1)

    def forward(self, image: torch.Tensor) -> SegmentOutput:
        return SegmentOutput(logits=self.layer(image))


class Chips:
    """Chips whose class is their brightest band, with noise drawn by the loop's generator in training."""

    classes = ("blue", "green", "red")

    def __init__(
        self, n: int, split: str, *, noise: float = 0.3, fail: str = "", quiet_from: int | None = None
    ) -> None:
        seed = {"train": 1, "val": 2}[split]
        self.ids = [f"{split}-{index}" for index in range(n)]
        self.pixels = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
        self.labels = torch.arange(n) % 3
        self.pixels[torch.arange(n), self.labels] += 0.5
        self.noise, self.fail, self.quiet_from, self.epoch = noise, fail, quiet_from, -1

    def at_epoch(self, epoch: int) -> None:
        """Noise ends with an epoch; which were seen is noted."""
        if self.quiet_from is None or epoch == self.epoch:
            return
        self.epoch = epoch
        with Path("epochs").open("a") as file:
            file.write(f"{epoch}\n")
        if epoch >= self.quiet_from:
            self.noise = 0.0

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:
        pixels = self.pixels[index]
        if generator is not None and self.noise:
            pixels = pixels + self.noise * torch.randn(pixels.shape, generator=generator)
        if self.fail == "nan" and index == 5:
            pixels = pixels * float("nan")
        return Sample(
            id=self.ids[index],
            inputs={"image": pixels},
            target={"label": self.labels[index]},
            bands={"image": BANDS},
        )


class Maps(Chips):
    """Class maps of which ever more pixels are not labelled."""

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:
        one = super().sample(index, None)
        label = one.inputs["image"].argmax(dim=0)
        label.flatten()[: (index * 7) % 60] = IGNORED
        return Sample(id=one.id, inputs=one.inputs, target={"label": label}, bands=one.bands)


def chips(folder: str | None = None, *, split: str = "train", n: int = 36, **options: object) -> Chips:
    return Chips(n, split, **options)


def maps(folder: str | None = None, *, split: str = "train", n: int = 36, **options: object) -> Maps:
    return Maps(n, split, **options)


def same(folder: str | None = None, *, split: str = "train", n: int = 36) -> Chips:
    """The same chips whatever the split."""
    return Chips(n, "train")


class Slow(Objective):
    """Cross entropy that takes its time at one step and says where it is, so that a signal can meet it there."""

    def __init__(self, *, at: int = 3, flag: str = "", seconds: float = 0.5, itself: bool = False) -> None:
        super().__init__()
        self.at, self.flag, self.seconds, self.itself = at, flag, seconds, itself

    def forward(self, network, batch, moment):
        if moment.step == self.at and self.flag and not Path(self.flag).exists():
            Path(self.flag).touch()
            if self.itself:
                os.kill(os.getpid(), signal.SIGTERM)
            else:
                time.sleep(self.seconds)
        logits = answer(network, batch).logits
        loss = functional.cross_entropy(logits, batch.target["label"], reduction="sum")
        return {"cross_entropy": Term(loss, float(len(batch)))}

    def counts(self, batch):
        return {"cross_entropy": float(len(batch))}


class Two(Objective):
    """Two terms, one divided by what only the network's answer tells; and a parameter of its own, held above 0.2."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.25))
        self.begun = 0

    def begin(self, network, reader, shapes):
        self.begun = len(reader.ids)

    def forward(self, network, batch, moment):
        logits = answer(network, batch).logits * self.scale
        sure = (logits.detach().softmax(1).amax(1) > 0.3).double()
        each = functional.cross_entropy(logits, batch.target["label"], reduction="none")
        return {
            "sure": Term((each * sure).sum(), sure.sum(), 0.5),
            "size": Term(logits.square().sum(), float(logits.numel()), 0.01),
        }

    def after_step(self, network, moment):
        self.scale.clamp_(min=0.2)


class Around(Objective):
    """Trains a network around the model's own: a decoder on top, thrown away at the end."""

    def network(self, model):
        inner = Classifier()
        inner.load_state_dict(model.module.state_dict())
        return nn.ModuleDict({"inner": inner, "decoder": nn.Linear(8, 3)})

    def forward(self, network, batch, moment):
        made = network["decoder"](network["inner"](batch.inputs["image"]).pooled)
        error = (made - batch.inputs["image"].mean((2, 3))).square()
        return {"mse": Term(error.sum(), float(error.numel()))}

    def finish(self, network, model):
        model.module.load_state_dict(network["inner"].state_dict())


class Drawing(Objective):
    """Scales the images of a whole step by one draw."""

    def forward(self, network, batch, moment):
        scale = 0.5 + torch.rand((), generator=moment.generator)
        logits = network(batch.inputs["image"] * scale).logits
        loss = functional.cross_entropy(logits, batch.target["label"], reduction="sum")
        return {"cross_entropy": Term(loss, float(len(batch)))}

    def counts(self, batch):
        return {"cross_entropy": float(len(batch))}


class Inside(Around):
    """As `Around`, with the model's own network as a part of what is trained."""

    def network(self, model):
        return nn.ModuleDict({"inner": model.module, "decoder": nn.Linear(8, 3)})


class Counting(Slow):
    """Writes down how many samples it began with."""

    def begin(self, network, reader, shapes):
        Path("begun").write_text(str(len(reader.ids)))
