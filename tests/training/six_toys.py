"""A network for each task, small enough to learn a user's data in seconds, as one model: `six@labels`, `six@maps`, ..."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.spec import (
    Band,
    Capability,
    Fill,
    InputSpec,
    Kind,
    Licences,
    ModelSpec,
    Normalise,
    Paper,
    Quantity,
    Resize,
    Scale,
    Task,
    Variant,
)
from zoo.tasks.detect import DetectOutput
from zoo.tasks.forecast import ForecastOutput
from zoo.tasks.losses.detect import class_loss, place_loss
from zoo.tasks.objective import Objective, Term, answer
from zoo.tasks.pretrain import EmbedOutput
from zoo.tasks.retrieve import RetrieveOutput, unit
from zoo.tasks.sdm import SdmOutput
from zoo.tasks.segment import SegmentOutput

CELL = 4  # pixels of a photograph per candidate
COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0), "pink": (1, 0, 1)}
WORDS = ("nothing", "other", "dark", "bright", *COLOURS)


class Labels(nn.Module):
    """(B, 3, 8, 8) to logits (B, K)."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8, num_classes)

    def forward(self, image: Tensor) -> EmbedOutput:
        pooled = self.stem(image).relu().mean((2, 3))
        return EmbedOutput(pooled=pooled, logits=self.head(pooled))


class Maps(nn.Module):
    """(B, 3, H, W) to logits (B, K, H, W), pixel by pixel."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, num_classes, 1)

    def forward(self, image: Tensor) -> SegmentOutput:
        return SegmentOutput(logits=self.head(image))


class Points(nn.Module):
    """(B, 3, H, W) to a candidate per cell of 4 x 4 pixels: where in it, and what."""

    def __init__(self, radii_px: Mapping[str, float]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, CELL, CELL)
        self.head = nn.Conv2d(12, len(radii_px) + 2, 1)

    def forward(self, image: Tensor) -> DetectOutput:
        return answered(self.maps(image))

    def maps(self, image: Tensor) -> Tensor:
        return self.head(self.stem(image).relu())


def answered(maps: Tensor) -> DetectOutput:
    """Candidates (B, A), row by row: offsets in cells, then logits of classes."""
    rows, cols = torch.meshgrid(torch.arange(maps.shape[2]), torch.arange(maps.shape[3]), indexing="ij")
    flat = maps.flatten(2).transpose(1, 2)
    points = (torch.stack([cols, rows], dim=-1).reshape(-1, 2) + flat[..., :2].sigmoid()) * CELL
    return DetectOutput(points_px=points, scores=flat[..., 2:].sigmoid())


class Assigned(Objective):
    """Each thing is that of the cell it lies in."""

    def forward(self, network, batch, moment):
        found = answer(network, batch)
        columns = batch.inputs["image"].shape[-1] // CELL
        scores, places = torch.zeros_like(found.scores), torch.zeros_like(found.points_px)
        for row, (points, classes) in enumerate(
            zip(batch.target["points_px"], batch.target["point_classes"], strict=True)
        ):
            cells = (points // CELL).long() @ torch.tensor([1, columns])
            scores[row, cells, classes] = 1.0
            places[row, cells] = points.float()
        total, count = class_loss(found.scores.logit(eps=1e-6), scores)
        apart, assigned = place_loss(found.points_px / CELL, places / CELL, scores.amax(-1) > 0)
        return {"class": Term(total, count), "place": Term(apart, assigned)}


class Series(nn.Module):
    """Three days of t2m, (B, 3, 1, H, W), to that of the next and to the logit of frost, cell by cell."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 2, 1)

    def forward(self, weather: Tensor) -> ForecastOutput:
        return ForecastOutput(values=self.head(weather[:, :, 0]))


class Sites(nn.Module):
    """Two variables to logits of species."""

    def __init__(self, species: int = 2) -> None:
        super().__init__()
        self.head = nn.Linear(2, species)

    def forward(self, climate: Tensor) -> SdmOutput:
        return SdmOutput(logits=self.head(climate))


class Captions(nn.Module):
    """The mean colour of an image, and the words of a caption, as vectors of one space."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Linear(3, 24), nn.ReLU(), nn.Linear(24, 8))
        self.words = nn.EmbeddingBag(len(WORDS), 8, mode="sum", padding_idx=0)
        self.logit_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, image: Tensor | None = None, text: Tensor | None = None) -> RetrieveOutput:
        return RetrieveOutput(
            image=None if image is None else unit(self.image(image.mean((2, 3)))),
            text=None if text is None else unit(self.words(text)),
            scale=self.logit_scale.exp(),
        )


def tokenizer(files: Mapping[str, Path]) -> Callable[[Sequence[str]], Tensor]:
    """Numbers of the words, eight to a text."""
    assert not files

    def tokenize(texts: Sequence[str]) -> Tensor:
        rows = [[WORDS.index(word) if word in WORDS else 1 for word in text.split()] for text in texts]
        return torch.tensor([row + [0] * (8 - len(row)) for row in rows])

    return tokenize


BRIGHT = (Scale(factor=1 / 255, source="8 bit"), Normalise(mean=(0.4,) * 3, std=(0.3,) * 3, source="ours"))
SMALL = Resize(size=(8, 8), source="ours")
RGB = tuple(Band(id=f"RGB:{name}", unit="1") for name in "RGB")
PHOTO = InputSpec(name="image", kind=Kind.IMAGE, bands=RGB, steps=(*BRIGHT, SMALL))
FLIGHT = InputSpec(name="image", kind=Kind.IMAGE, bands=RGB, window=16, multiple=CELL, steps=BRIGHT)
SCENE = InputSpec(
    name="image",
    kind=Kind.RASTER,
    label="S2",
    bands=tuple(Band(id=f"S2:{band}", unit="DN") for band in ("B02", "B03", "B04")),
    window=16,
    steps=(Normalise(mean=(1500.0,) * 3, std=(800.0,) * 3, source="ours"), Fill(source="ours")),
)
WEATHER = InputSpec(
    name="weather",
    kind=Kind.SERIES,
    bands=(Band(id="t2m", unit="K"),),
    times=3,
    steps=(Normalise(mean=(280.0,), std=(10.0,), source="ours"), Fill(source="ours")),
)
CLIMATE = InputSpec(
    name="climate",
    kind=Kind.TABLE,
    bands=(Band(id="bio_1", unit="degC"), Band(id="bio_12", unit="mm")),
    steps=(Normalise(mean=(10.0, 800.0), std=(5.0, 200.0), source="ours"),),
)
TEXT = InputSpec(name="text", kind=Kind.TEXT, tokenizer="six_toys:tokenizer")
QUANTITIES = (
    Quantity(name="t2m", unit="K", scale=10.0, offset=280.0),
    Quantity(name="frost", unit="1", probability=True),
)
THINGS = ("gull", "tern")
VARIANTS = (
    Variant(
        tag="labels", builder="six_toys:Labels", config={"num_classes": 3}, inputs=(PHOTO,),
        classes=("blue", "green", "red"), task=Task.PRETRAIN, capabilities=(Capability.EMBED, Capability.CLASSIFY),
    ),
    Variant(
        tag="maps", builder="six_toys:Maps", config={"num_classes": 3}, inputs=(SCENE,),
        classes=("water", "grass", "soil"), task=Task.SEGMENT,
    ),
    Variant(
        tag="points", builder="six_toys:Points", config={"radii_px": dict.fromkeys(THINGS, 3.0)}, inputs=(FLIGHT,),
        classes=THINGS, task=Task.DETECT, capabilities=(Capability.COUNT,),
    ),
    Variant(
        tag="series", builder="six_toys:Series", inputs=(WEATHER,), quantities=QUANTITIES, lead_times_h=(24.0,),
        task=Task.FORECAST,
    ),
    Variant(
        tag="sites", builder="six_toys:Sites", config={"species": 2}, inputs=(CLIMATE,),
        classes=("Abies alba", "Olea europaea"), task=Task.SDM,
    ),
    Variant(
        tag="captions", builder="six_toys:Captions", inputs=(PHOTO, TEXT), task=Task.RETRIEVE,
        capabilities=(Capability.EMBED, Capability.CLASSIFY, Capability.SEARCH),
    ),
)  # fmt: skip


def spec() -> ModelSpec:
    return ModelSpec(
        name="six",
        task=Task.SEGMENT,
        summary="a toy of each task",
        paper=Paper(title="none", bibtex="@misc{toy}"),
        repository=None,
        licences=Licences(code="Apache-2.0", weights=None, data=None),
        variants=VARIANTS,
        objectives={"assigned": "six_toys:Assigned"},
    )
