"""From words to vectors: the network's text side."""

# N texts, D dimensions

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.errors import InputError, PluginError
from zoo.inputs.words import text_input, tokenizer_of
from zoo.model import Model
from zoo.tasks.retrieve import unit

BATCH = 64  # texts per forward pass; ours


def embed_texts(model: Model, texts: Sequence[str]) -> Tensor:
    """Vectors (N, D) of unit length, on the CPU.

    Raises:
        InputError: a text is empty.
        WeightsError: the tokenizer's files cannot be had.
    """
    if empty := [index for index, text in enumerate(texts) if not text.strip()]:
        raise InputError(f"text {empty[0] + 1} of {len(texts)} is empty; expected words")
    spec, tokenize = text_input(model), tokenizer_of(model)
    vectors = []
    for start in range(0, len(texts), BATCH):
        ids = tokenize(list(texts[start : start + BATCH]))
        output = model.forward({spec.name: ids.to(model.device)})
        if output.text is None:
            raise PluginError(f"{model.name}: the network gave no text vectors for its input {spec.name!r}")
        vectors.append(unit(output.text).cpu())
    return torch.cat(vectors)
