"""What one of several processes does in the tests of losses and metrics; alone, it does all of it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from zoo.datasets.sample import Batch, Sample
from zoo.spec import InputSpec, Kind, Variant
from zoo.tasks.across import gathered, num_processes, process_index, summed
from zoo.tasks.detect import DetectOutput
from zoo.tasks.losses.retrieve import Contrastive
from zoo.tasks.losses.sdm import presences_of
from zoo.tasks.metrics.detect import DetectMetrics
from zoo.tasks.metrics.retrieve import RetrieveMetrics
from zoo.tasks.metrics.sdm import SdmMetrics
from zoo.tasks.metrics.sums import Figure
from zoo.tasks.retrieve import RetrieveOutput
from zoo.tasks.sdm import SdmOutput

NUM = 11  # samples: 6 for one process, 5 for the other


def variant(*classes: str, **config: object) -> Variant:
    table = InputSpec(name="table", kind=Kind.TABLE)
    return Variant(tag="toy", builder="nowhere:build", inputs=(table,), classes=classes, config=config)


class Towers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image_tower, self.text_tower = nn.Linear(7, 4), nn.Linear(5, 4)
        self.logit_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, image: Tensor, text: Tensor) -> RetrieveOutput:
        return RetrieveOutput(image=self.image_tower(image), text=self.text_tower(text), scale=self.logit_scale.exp())


def mine() -> list[int]:
    """Samples are dealt in turn."""
    return list(range(process_index(), NUM, num_processes()))


def contrastive_gradient() -> dict[str, Tensor]:
    """As the training loop does it: each process's loss times their number, gradients averaged by DDP."""
    torch.manual_seed(0)
    network, images, texts = Towers(), torch.randn(NUM, 7), torch.randn(NUM, 5)
    shared = nn.parallel.DistributedDataParallel(network) if num_processes() > 1 else network
    rows = mine()
    batch = Batch(ids=tuple(map(str, rows)), inputs={"image": images[rows], "text": texts[rows]}, target={})
    term = Contrastive()(shared, batch, None)["contrastive"]
    count = summed(torch.tensor(term.count))
    (num_processes() * term.total / count).backward()
    return {name: parameter.grad for name, parameter in network.named_parameters()}


def gathered_rows() -> dict[str, Tensor]:
    """Processes with other numbers of rows; the last of them with none."""
    own = 0 if process_index() and process_index() == num_processes() - 1 else 3
    rows = torch.full((own, 2), 1.0 + process_index(), requires_grad=True)
    everywhere = gathered(rows)
    everywhere.square().sum().backward()
    return {"rows": everywhere.detach(), "grad": rows.grad, "sum": summed(torch.tensor([1, 10]))}


class Sites:
    ids = tuple(map(str, range(NUM)))
    classes = ("a", "b")

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:
        presence = torch.tensor([float(index % 3 == 0), torch.nan if index == 4 else 1.0])
        return Sample(id=str(index), inputs={}, target={"presence": presence})


def presences() -> tuple[Tensor, Tensor]:
    return presences_of(Sites())


def plain(figures: Mapping[str, Figure]) -> dict[str, float]:
    """Values and the ends of their intervals, by name."""
    parts = {f"{name}.{part}": value for name, one in figures.items() for part, value in one._asdict().items()}
    return {name: value for name, value in parts.items() if value is not None}


def scores() -> dict[str, dict[str, float]]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randint(-4, 5, (NUM, 6), generator=generator) / 2  # with ties
    presence = torch.randint(0, 2, (NUM, 6), generator=generator).float()
    presence[3, 2] = torch.nan
    places = torch.rand(NUM, 4, 2, generator=generator).double() * 40
    answers = places.repeat(1, 2, 1) + torch.randn(NUM, 8, 2, generator=generator) * 5
    confidences = torch.randint(0, 10, (NUM, 8, 2), generator=generator) / 10  # with ties
    kinds = torch.randint(0, 2, (NUM, 4), generator=generator)
    vectors = torch.randint(-2, 3, (3 * NUM, 3), generator=generator) + 0.1
    metrics = {
        "sdm": SdmMetrics(variant=variant(*"abcdef"), bootstrap=5),
        "detect": DetectMetrics(variant=variant("bird", "seal", radii_px={"bird": 8.0, "seal": 12.0}), bootstrap=5),
        "retrieve": RetrieveMetrics(variant=variant(), bootstrap=5, ties="stable"),
    }
    for row in mine():
        here, ids = slice(row, row + 1), [f"sample {row}"]
        metrics["sdm"].update(SdmOutput(logits[here]), {"presence": presence[here]}, ids)
        things = {"points_px": tuple(places[here]), "point_classes": tuple(kinds[here])}
        metrics["detect"].update(DetectOutput(answers[here].float(), confidences[here]), things, ids)
        output = RetrieveOutput(image=vectors[here], text=vectors[NUM + 2 * row : NUM + 2 * row + 2])
        metrics["retrieve"].update(output, {"texts": (("one", "two"),)}, ids)
    return {name: plain(metric.compute()) for name, metric in metrics.items()}
