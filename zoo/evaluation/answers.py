"""What a network answers for the samples of a reader, dealt among processes."""

# B batch, D width, M samples of a gallery

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.datasets.loading import loader
from zoo.datasets.sample import Batch, Reader
from zoo.errors import InputError
from zoo.model import Model
from zoo.predict.texts import embed_texts
from zoo.processes import wait_for_all
from zoo.spec import Kind
from zoo.tasks.retrieve import RetrieveOutput


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How samples are read and computed.

    Attributes:
        crew: the processes that share them.
        batch_size: samples per forward pass.
        workers: processes that read, of each process; 0 = itself.
        precision: `fp32` or `bf16`.
        advance: is told how many more samples are done.
    """

    crew: Any
    batch_size: int = 32
    workers: int = 0
    precision: str = "fp32"
    advance: Callable[[int], object] = lambda _: None


def spread(num: int, limit: int | None) -> range | list[int]:
    """At most `limit` of `num` places, evenly spread: many readers give one class after the other."""
    if limit is None or limit >= num:
        return range(num)
    return [place * num // limit for place in range(limit)]


def answers(model: Model, reader: Reader, rows: Sequence[int], asking: Asking) -> Iterator[tuple[int, Batch, Any]]:
    """The batches of `rows` that are dealt to this process: number, batch, and what the network answered.

    Batches are cut before they are dealt, so that they hold the same samples whatever the number of processes.
    """
    size, crew = asking.batch_size, asking.crew
    batches = [[(0, row) for row in rows[start : start + size]] for start in range(0, len(rows), size)]
    mine = range(crew.process_index, len(batches), crew.num_processes)
    keys = [batches[number] for number in mine]
    pin = model.device.type == "cuda"
    read = loader(reader, keys, seed=0, workers=asking.workers, training=False, pin=pin)
    for number, batch in zip(mine, read, strict=True):
        here = batch.to(model.device)
        yield number, here, _answer(model, here, asking.precision)
        asking.advance(len(batch))


def _answer(model: Model, batch: Batch, precision: str) -> Any:
    """The network's output; where the target has captions, with their vectors in the order of the samples."""
    words = [spec.name for spec in model.variant.inputs if spec.kind is Kind.TEXT]
    images = {name: one for name, one in batch.inputs.items() if name not in words}
    output = model.forward(images, bands=batch.bands, valid=batch.valid, times=batch.times, precision=precision)
    if not isinstance(output, RetrieveOutput) or "texts" not in batch.target:
        return output
    texts = [text for captions in batch.target["texts"] for text in captions]
    return output._replace(text=embed_texts(model, texts).to(model.device))


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """Embeddings of labelled samples.

    Attributes:
        features: (M, D), or (M, D, h, w) of patches; float32.
        labels: (M) classes, (M, K) of 0 and 1, or (M, H, W) classes of pixels.
    """

    features: Tensor
    labels: Tensor

    def __getitem__(self, rows: Tensor) -> Gallery:
        return Gallery(features=self.features[rows], labels=self.labels[rows])


def embeddings(model: Model, reader: Reader, rows: Sequence[int], asking: Asking, *, dense: bool) -> Gallery:
    """Embeddings and labels of all `rows`, in their order, the same on every process; they are kept in memory.

    Args:
        model: an encoder.
        reader: whose samples have a `label`.
        rows: which samples.
        asking: how.
        dense: a vector per patch, instead of one per sample.

    Raises:
        InputError: the network gives no such embeddings, or the samples no labels of that kind.
    """
    found = []
    for number, batch, output in answers(model, reader, rows, asking):
        label = label_of(batch, dense=dense).cpu()
        found.append((number, features_of(model, output, dense=dense).cpu(), label))
    if asking.crew.num_processes > 1:
        from accelerate.utils import gather_object

        wait_for_all(asking.crew)
        found = gather_object(found)
    found.sort(key=lambda one: one[0])
    return Gallery(
        features=torch.cat([one[1] for one in found]).to(model.device),
        labels=torch.cat([one[2] for one in found]).to(model.device),
    )


def features_of(model: Model, output: Any, *, dense: bool) -> Tensor:
    """(B, D) of the pooled output, or (B, D, h, w) of its patches, float32.

    Raises:
        InputError: the network has none.
    """
    found: Tensor | None = getattr(output, "tokens" if dense else "pooled", None)
    if found is None:
        what = "vectors of patches" if dense else "vectors of images"
        raise InputError(
            f"{model.name} ({model.task.value}) gives no {what}, which this protocol judges; for the model's own"
            " answers say --protocol head"
        )
    return found.float()


def label_of(batch: Batch, *, dense: bool) -> Tensor:
    """The labels of a batch's samples, or with `dense` of their pixels.

    Raises:
        InputError: there are none of that kind.
    """
    label = batch.target.get("label")
    if not isinstance(label, Tensor):
        raise InputError("the samples of this dataset have no labels; embeddings are judged by labels of theirs")
    if dense and label.ndim != 3:
        raise InputError("the samples have a label each, not one per pixel; say --protocol probe or knn")
    if not dense and label.ndim > 2:
        raise InputError("the samples have a label per pixel, not one each; say --protocol frozen")
    return label


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode, and each of its parts back in its own afterwards."""
    modes = [(one, one.training) for one in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for one, training in modes:
            one.training = training
