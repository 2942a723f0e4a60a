"""Contrastive loss of images and their captions, and the objective that trains both towers with it."""

# B batch, D width

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.datasets.sample import Batch
from zoo.errors import ConfigError
from zoo.tasks.across import gathered
from zoo.tasks.objective import Moment, Objective, Term, answer
from zoo.tasks.retrieve import SCALE, RetrieveOutput, unit

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

    The batch holds an image and one caption per sample. Parts of a step that are accumulated (`micro_batch`) do not see
    each other's pairs.

    Args:
        max_scale: largest scale of the similarities; after each step the parameter `logit_scale`, its logarithm, is
            brought back between 0 and the logarithm of this (100 in CLIP, arXiv 2103.00020, section 2.5).
    """

    def __init__(self, *, max_scale: float = SCALE) -> None:
        super().__init__()
        if not max_scale > 1:
            raise ConfigError(f"max_scale is {max_scale}; expected a number above 1: objective_options.max_scale=100")
        self.max_scale = max_scale

    def forward(self, network: nn.Module, batch: Batch, moment: Moment) -> Mapping[str, Term]:  # noqa: ARG002
        """One term, `contrastive`, the same on all processes."""
        output: RetrieveOutput = answer(network, batch)
        if output.image is None or output.text is None or len(output.image) != len(output.text):
            counts = [0 if one is None else len(one) for one in (output.image, output.text)]
            raise ConfigError(
                f"a batch gave {counts[0]} image vectors and {counts[1]} caption vectors; expected one caption per image:"
                " a reader's training samples hold one image and the token ids of one caption"
            )
        scale = SCALE if output.scale is None else output.scale.float()
        images, texts = gathered(unit(output.image)), gathered(unit(output.text))
        return {"contrastive": Term.whole(contrastive(images, texts, scale))}

    def after_step(self, network: nn.Module, moment: Moment) -> None:  # noqa: ARG002
        """Bring the scale back to where it may be."""
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name.rpartition(".")[2] == LOG_SCALE:
                    parameter.clamp_(0.0, math.log(self.max_scale))
