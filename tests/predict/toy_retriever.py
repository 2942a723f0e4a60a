"""A retriever with a known answer: images and words are bags of red, green and blue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from zoo.model import Model
from zoo.spec import (
    Band,
    Capability,
    InputSpec,
    Kind,
    Licences,
    ModelSpec,
    Paper,
    Resize,
    Scale,
    Task,
    Variant,
)
from zoo.tasks.retrieve import RetrieveOutput

COLOURS = ("red", "green", "blue")
IMAGE = InputSpec(
    name="image",
    kind=Kind.IMAGE,
    bands=tuple(Band(id=f"RGB:{name.upper()[0]}", unit="DN") for name in COLOURS),
    window=8,
    steps=(Scale(factor=1 / 255, source="8 bit"), Resize(size=(8, 8), order=1, source="ours")),
)
TEXT = InputSpec(name="text", kind=Kind.TEXT, tokenizer="toy_retriever:tokenizer")


def tokenizer(files: Mapping[str, Path]) -> Callable[[Sequence[str]], torch.Tensor]:
    """Ids 1, 2, 3 for the colours, 4 for other words, 0 for padding to 8."""
    assert not files

    def tokenize(texts: Sequence[str]) -> torch.Tensor:
        rows = []
        for text in texts:
            words = text.lower().replace(".", "").split()[:8]
            ids = [COLOURS.index(word) + 1 if word in COLOURS else 4 for word in words]
            rows.append(ids + [0] * (8 - len(ids)))
        return torch.tensor(rows)

    return tokenize


class Bag(nn.Module):
    """The mean colour of an image; the number of times that each colour is named."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())

    def forward(self, image: torch.Tensor | None = None, text: torch.Tensor | None = None) -> RetrieveOutput:
        colours = None if image is None else functional.normalize(image.mean(dim=(2, 3)), dim=-1)
        words = None
        if text is not None:
            named = functional.one_hot(text, 5).sum(dim=1)[:, 1:4].float()
            words = functional.normalize(named + 1e-6, dim=-1)
        return RetrieveOutput(image=colours, text=words, scale=self.log_scale.exp())


def retriever(*, gain: float = 10.0, templates: tuple[str, ...] = ()) -> Model:
    variant = Variant(
        tag="bag",
        builder="toy_retriever:Bag",
        inputs=(IMAGE, TEXT),
        templates=templates,
        capabilities=(Capability.EMBED, Capability.CLASSIFY, Capability.SEARCH),
    )
    spec = ModelSpec(
        name="toybag",
        task=Task.RETRIEVE,
        summary="bags of colours",
        paper=Paper(title="none", bibtex="@misc{toy}"),
        repository=None,
        licences=Licences(code="Apache-2.0", weights=None, data=None),
        variants=(variant,),
    )
    module = Bag().eval()
    with torch.no_grad():
        module.log_scale.fill_(torch.tensor(gain).log())
    return Model(spec=spec, variant=variant, module=module, device=torch.device("cpu"))
