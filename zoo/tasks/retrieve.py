"""Retrieval: images and words as vectors of one space, so that words find images and name their classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from zoo.errors import ConfigError

SCALE = 100.0  # CLIP's limit of the learned one, at which training ends (arXiv 2103.00020, section 2.5)
PLAIN = ("{}",)  # a class by its name alone


class RetrieveOutput(NamedTuple):
    """What a network of the task `retrieve` returns.

    Its `forward` takes an image input, or a text input of token ids int64 (B, L), or both, by keyword; each is `None`
    by default. What was not given is `None` in the output.

    image: (B, D) of unit length.
    text: (B, D) of unit length.
    tokens: (B, E, h, w), one vector per patch of the image, where the network has a dense output; not in the space of
        the words.
    scale: by which cosine similarities become logits; `None` = 100.
    """

    image: Tensor | None = None
    text: Tensor | None = None
    tokens: Tensor | None = None
    scale: Tensor | None = None

    @property
    def pooled(self) -> Tensor:
        """(B, D), the vector per image that `zoo embed` writes."""
        assert self.image is not None, "the network was given no image"
        return unit(self.image)


def unit(vectors: Tensor) -> Tensor:
    """Vectors (N, D) at unit length, float32."""
    return functional.normalize(vectors.float(), dim=-1)


def sentences(classes: Sequence[str], templates: Sequence[str]) -> list[list[str]]:
    """For each class, its name in each template (`"a satellite photo of {}."`).

    Raises:
        ConfigError: no class, one twice, or a template without a place for it.
    """
    if not classes or len(set(classes)) != len(classes):
        raise ConfigError(
            f"found the classes {', '.join(classes) or 'none'}; expected one or more, each once: --classes"
        )
    for template in templates:
        if "{}" not in template:
            raise ConfigError(
                f'the template {template!r} has no {{}}; expected one, as in "a satellite photo of {{}}."'
            )
    return [[template.replace("{}", name) for template in templates] for name in classes]


def class_vectors(vectors: Tensor) -> Tensor:
    """(C, D) of unit length, the mean over templates of text vectors (C, T, D)."""
    return unit(unit(vectors).mean(dim=1))


def class_scores(output: RetrieveOutput, classes: Tensor) -> Tensor:
    """Probabilities (B, C) of images among classes (C, D), softmax of scaled cosine similarities."""
    scale = SCALE if output.scale is None else output.scale.float()
    return torch.softmax(scale * output.pooled @ classes.T, dim=-1)
