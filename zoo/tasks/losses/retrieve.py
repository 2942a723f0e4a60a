"""Contrastive loss of images and their captions, and the objective that trains both towers with it."""

# B batch, D width

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.datasets.sample import Batch
from zoo.errors import ConfigError
from zoo.inputs.words import Tokenizer, text_input, tokenizer_of
from zoo.spec import Kind
from zoo.tasks.across import gathered
from zoo.tasks.objective import Moment, Objective, Term, answer
from zoo.tasks.retrieve import SCALE, RetrieveOutput, unit

if TYPE_CHECKING:
    from zoo.model import Model

LOG_SCALE = "logit_scale"  # the name that CLIP gives the logarithm of its scale, and all of its descendants keep


def contrastive(image_BD: Tensor, text_BD: Tensor, scale: Tensor | float) -> Tensor:
    """Cross-entropy of telling each image's caption from the others', and each caption's image, averaged.

    Args:
        image_BD: unit vectors of images.
        text_BD: unit vectors of their captions, in the same order.
        scale: by which cosine similarities become logits.

    Source: CLIP (arXiv 2103.00020, figure 3).
    """
    logits_BB = scale * image_BD @ text_BD.T
    own = torch.arange(len(logits_BB), device=logits_BB.device)
    return (functional.cross_entropy(logits_BB, own) + functional.cross_entropy(logits_BB.T, own)) / 2


class Contrastive(Objective):
    """Images and captions find each other among all pairs of all processes.

    Of each image's captions (`texts` of the target) one is drawn, another in each epoch, and made token ids by the
    model's tokenizer; a batch may also bring the token ids of one caption per image as an input. Parts of a step that are
    accumulated (`micro_batch`) do not see each other's pairs.

    Args:
        max_scale: largest scale of the similarities; after each step the parameter `logit_scale`, its logarithm, is
            brought back between 0 and the logarithm of this (100 in CLIP, arXiv 2103.00020, section 2.5).
    """

    words: str  # name of the input that takes words
    tokenize: Tokenizer | None

    def __init__(self, *, max_scale: float = SCALE) -> None:
        super().__init__()
        if not max_scale > 1:
            raise ConfigError(f"max_scale is {max_scale}; expected a number above 1: objective_options.max_scale=100")
        self.max_scale = max_scale
        self.words, self.tokenize = "", None

    def network(self, model: Model) -> nn.Module:
        """The model's own, whose tokenizer is made ready."""
        if any(spec.kind is Kind.TEXT for spec in model.variant.inputs):
            self.words, self.tokenize = text_input(model).name, tokenizer_of(model)
        return super().network(model)

    def forward(self, network: nn.Module, batch: Batch, moment: Moment) -> Mapping[str, Term]:  # noqa: ARG002
        """One term, `contrastive`, the same on all processes."""
        output: RetrieveOutput = answer(network, self._with_words(batch))
        if output.image is None or output.text is None or len(output.image) != len(output.text):
            counts = [0 if one is None else len(one) for one in (output.image, output.text)]
            raise ConfigError(
                f"a batch gave {counts[0]} image vectors and {counts[1]} caption vectors; expected one caption per image:"
                " choose a dataset of images with captions, such as the layout captions (`zoo data` lists them)"
            )
        scale = SCALE if output.scale is None else output.scale.float()
        images, texts = gathered(unit(output.image)), gathered(unit(output.text))
        return {"contrastive": Term.whole(contrastive(images, texts, scale))}

    def _with_words(self, batch: Batch) -> Batch:
        """The batch with a caption of each image among its inputs, by the samples' seeds."""
        if self.tokenize is None or self.words in batch.inputs or "texts" not in batch.target:
            return batch
        seeds = [0] * len(batch) if batch.seeds is None else batch.seeds.tolist()
        drawn = [texts[seed % len(texts)] for texts, seed in zip(batch.target["texts"], seeds, strict=True)]
        device = next(iter(batch.inputs.values())).device
        return replace(batch, inputs={**batch.inputs, self.words: self.tokenize(drawn).to(device)})

    def after_step(self, network: nn.Module, moment: Moment) -> None:  # noqa: ARG002
        """Bring the scale back to where it may be."""
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name.rpartition(".")[2] == LOG_SCALE:
                    parameter.clamp_(0.0, math.log(self.max_scale))
