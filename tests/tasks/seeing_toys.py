"""Networks with known answers: a threshold on NDVI, the strongest colour, and the brightest pixels."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.model import Model
from zoo.spec import (
    Band,
    Capability,
    Fill,
    InputSpec,
    Kernel,
    Kind,
    Licences,
    ModelSpec,
    Paper,
    Resize,
    Scale,
    Task,
    Variant,
    Weights,
)
from zoo.tasks.detect import DetectOutput
from zoo.tasks.segment import SegmentOutput

THRESHOLD = 0.3
RADIUS = 4.0
RGB = tuple(Band(id=f"RGB:{name}", unit="DN") for name in "RGB")
STEPS = (Scale(factor=1 / 255, source="ours"), Fill(source="ours"))
RASTER = InputSpec(
    name="image",
    kind=Kind.RASTER,
    bands=(Band(id="S2:B04", unit="DN"), Band(id="S2:B08", unit="DN")),
    window=32,
    steps=(Fill(source="ours"),),
)
PHOTO = InputSpec(name="image", kind=Kind.IMAGE, label="RGB", bands=RGB, window=32, steps=STEPS)


class Threshold(nn.Module):
    """Classes bare, vegetation: NDVI above 0.3 is vegetation, surer the farther."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, image: Tensor) -> SegmentOutput:
        red, infrared = image[:, 0], image[:, 1]
        ndvi = (infrared - red) / (infrared + red).clamp(min=1)
        beyond = 10 * self.gain * (ndvi - THRESHOLD)
        return SegmentOutput(logits=torch.stack([-beyond, beyond], dim=1))


class Strongest(nn.Module):
    """Classes dark, red, green, blue: the colour that a pixel has most of, dark below a tenth."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, image: Tensor) -> SegmentOutput:
        dark = torch.full_like(image[:, :1], 0.1)
        return SegmentOutput(logits=100 * self.gain * torch.cat([dark, image], dim=1))


class Brightest(nn.Module):
    """Classes red, blue: every pixel is a candidate at its centre, scored by its red and its blue."""

    def __init__(self, radii_px: dict[str, float] | None = None, boxes: bool = False) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
        self.boxes = boxes

    def forward(self, image: Tensor) -> DetectOutput:
        batch, _, height, width = image.shape
        rows, cols = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        points = torch.stack([cols + 0.5, rows + 0.5], dim=-1).reshape(1, -1, 2).expand(batch, -1, -1)
        scores = (image[:, [0, 2]] * self.gain).flatten(2).transpose(1, 2)
        boxes = torch.cat([points - 2, points + 2], dim=-1) if self.boxes else None
        return DetectOutput(points_px=points, scores=scores, boxes_px=boxes)


class Smooth(nn.Module):
    """As `Strongest`, of the mean over 9 x 9 pixels: what a window sees beyond its own edge matters."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, image: Tensor) -> SegmentOutput:
        return SegmentOutput(logits=100 * self.gain * functional.avg_pool2d(image, 9, 1, 4))


WEIGHTS = Weights(file="seeing_toys_site:weights.safetensors")
COLOURS = ("dark", "red", "green", "blue")
VARIANTS = {
    "threshold": Variant(tag="threshold", builder="seeing_toys:Threshold", inputs=(RASTER,), classes=("bare", "veg")),
    "strongest": Variant(
        tag="strongest",
        builder="seeing_toys:Strongest",
        inputs=(PHOTO,),
        classes=COLOURS,
        void=("dark",),
        colours=((0, 0, 0), (200, 30, 30), (30, 160, 30), (40, 60, 200)),
        weights=WEIGHTS,
    ),
    "together": Variant(
        tag="together", builder="seeing_toys:Strongest", inputs=(PHOTO,), classes=COLOURS, multi_label=True
    ),
    "smooth": Variant(tag="smooth", builder="seeing_toys:Smooth", inputs=(PHOTO,), classes=COLOURS[1:]),
    "brightest": Variant(
        tag="brightest",
        builder="seeing_toys:Brightest",
        config={"radii_px": {"red": RADIUS, "blue": RADIUS}, "boxes": False},
        inputs=(PHOTO,),
        classes=("red", "blue"),
        weights=WEIGHTS,
        task=Task.DETECT,
        capabilities=(Capability.COUNT,),
    ),
}


def resized(variant: Variant, size: tuple[int, int], shorter: int | None = None) -> Variant:
    """The variant with a resize of whole photographs."""
    step = Resize(size=size, shorter=shorter, kernel=Kernel.BILINEAR, antialias=False, source="ours")
    return replace(variant, inputs=(replace(PHOTO, steps=(*STEPS, step)),))


def spec() -> ModelSpec:
    return ModelSpec(
        name="seeing",
        task=Task.SEGMENT,
        summary="known answers",
        paper=Paper(title="none", bibtex="@misc{toy}"),
        repository=None,
        licences=Licences(code="Apache-2.0", weights=None, data=None),
        variants=tuple(VARIANTS.values()),
    )


def model_of(variant: str | Variant) -> Model:
    chosen = VARIANTS[variant] if isinstance(variant, str) else variant
    module = globals()[chosen.builder.partition(":")[2]](**chosen.config)
    return Model(spec=spec(), variant=chosen, module=module.eval(), device=torch.device("cpu"))
