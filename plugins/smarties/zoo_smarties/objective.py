"""What SMARTIES is trained on: reconstruction of masked patches, then labels.

Source: gsumbul/SMARTIES@fc0df04.
"""

# B batch, S = 2B images of both streams, C bands, N patches, M removed ones, P pixels of a patch, K classes

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from zoo.datasets.sample import Batch
from zoo.datasets.seeds import generator_of
from zoo.errors import ConfigError
from zoo.model import Model
from zoo.spec import Variant
from zoo.tasks.losses.labels import Labels, check_labels, cross_entropy, logits_of
from zoo.tasks.objective import Moment, Objective, Term, answer
from zoo_smarties.mixing import draw_mix, mixed_labels, mixed_pixels
from zoo_smarties.network import autoencoder
from zoo_smarties.network.autoencoder import Reconstruction, num_visible
from zoo_smarties.views import grid_of, pair_of

EPS = 1e-6
HIDING = 0x48  # tells these draws of a sample from its augmentation's
_HEAD = frozenset({"pooling", "head", "num_classes", "upsample", "exchange_seed"})  # of an encoder, not of its trunk


class Pretraining(Objective):
    """Mean squared error of the removed patches, over all bands and pixels of a patch at once.

    What is trained is an auto-encoder around the model's encoder, which begins with the encoder's weights; the decoder
    begins at random. Which tokens are exchanged and hidden depends on the sample's seed alone, or, where a batch has no
    seeds, on its id.

    Args:
        variant: of the encoder.
        norm_target: standardise each patch first, as the released recipe does.
        mask_ratio: see `AutoencoderConfig`, as for the others.
        mixup_ratio: see there.
        symmetric: see there.
        decoder_width: see there.
        decoder_depth: see there.
        decoder_heads: see there.
    """

    def __init__(
        self,
        *,
        variant: Variant | None = None,
        norm_target: bool = True,
        mask_ratio: float = 0.75,
        mixup_ratio: float = 0.5,
        symmetric: bool = False,
        decoder_width: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
    ) -> None:
        super().__init__()
        if not 0 < mask_ratio < 1:
            raise ConfigError(f"mask_ratio is {mask_ratio}, expected a share between 0 and 1 (the paper's is 0.75)")
        self.variant, self.norm_target, self.mask_ratio = variant, norm_target, mask_ratio
        self.own = {
            "mask_ratio": mask_ratio,
            "mixup_ratio": mixup_ratio,
            "symmetric": symmetric,
            "decoder_width": decoder_width,
            "decoder_depth": decoder_depth,
            "decoder_heads": decoder_heads,
        }

    def network(self, model: Model) -> nn.Module:
        """An auto-encoder with the encoder's weights."""
        if (head := model.variant.config.get("head")) or model.variant.config.get("pooling", "cls") != "cls":
            raise ConfigError(
                f"{model.name} is no encoder with a class token alone (head {head}); pre-train smarties@vit-b or @vit-l"
            )
        trunk = {name: value for name, value in model.variant.config.items() if name not in _HEAD}
        network = autoencoder.build(**trunk, **self.own)
        missing, unexpected = network.load_state_dict(model.module.state_dict(), strict=False)
        assert not unexpected
        assert all(name.startswith(("decoder_", "mask_token")) for name in missing)
        return network.to(model.device)

    def counts(self, batch: Batch) -> Mapping[str, Tensor | float]:
        """Removed patches of both streams."""
        rows, columns = grid_of(batch, self._patch_size())
        num_patches = rows * columns
        return {"reconstruction": 2.0 * len(batch) * (num_patches - num_visible(num_patches, self.mask_ratio))}

    def forward(self, network: nn.Module, batch: Batch, moment: Moment) -> Mapping[str, Term]:
        first, second = pair_of(batch, moment, self._patch_size())
        num_patches = first.patches.shape[1] * first.patches.shape[2]
        mixup_draws, mask_draws = own_draws(batch, num_patches).to(first.patches.device)
        made = network(first, second, mixup_draws, mask_draws)
        error_2 = masked_error(made, norm_target=self.norm_target)
        return {"reconstruction": Term(error_2.sum(), 2 * made.removed.sum())}

    def finish(self, network: nn.Module, model: Model) -> None:
        """The encoder's weights back into the model; the decoder is left."""
        trained, wanted = network.state_dict(), model.module.state_dict().keys()
        model.module.load_state_dict({name: trained[name] for name in wanted})

    def _patch_size(self) -> int:
        return 16 if self.variant is None else int(self.variant.config.get("patch_size", 16))


def masked_error(made: Reconstruction, *, norm_target: bool = True) -> Tensor:
    """Mean squared errors of the removed patches, added up: one number for each of the two streams.

    The authors' loss is the mean of the two, each divided by the number of removed patches + 1e-6.
    """
    target_SMX, predicted_SMX = made.pixels.flatten(2), made.predicted.flatten(2)
    if norm_target:
        # Quirk: one mean and one (unbiased) variance per patch, over all bands jointly.
        variance, mean = torch.var_mean(target_SMX, dim=-1, keepdim=True)
        target_SMX = (target_SMX - mean) / (variance + EPS).sqrt()
    error_SM = (predicted_SMX - target_SMX).square().mean(dim=-1)
    return (error_SM.unflatten(0, (2, -1)) * made.removed).sum(dim=(1, 2))


def own_draws(batch: Batch, num_patches: int) -> Tensor:
    """Uniform numbers (2, B, N) of each sample's own, for mixup and for the mask; on the CPU."""
    if batch.seeds is not None:
        seeds = batch.seeds.tolist()
    else:  # as in evaluation: the same at each time
        seeds = [zlib.crc32(one.encode()) for one in batch.ids]
    drawn = [torch.rand(2, num_patches, generator=generator_of(seed, HIDING)) for seed in seeds]
    return torch.stack(drawn, dim=1)


class SingleLabel(Labels):
    """Cross entropy of images that are mixed in pairs, where `mixup` or `cutmix` is not 0.

    The partner of an image is the one as far from the end of what the process holds as it is from the beginning; whether
    to mix or to cut, and how much, is drawn once per step.

    Args:
        variant: of the network.
        smoothing: of labels that are not mixed.
        mixup: alpha of the share's Beta distribution; the paper's is 0.8 (EuroSAT).
        cutmix: the same of the area; the paper's is 1.
        switch: probability of cutmix where both are asked for.
    """

    def __init__(
        self,
        *,
        variant: Variant | None = None,
        smoothing: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        switch: float = 0.5,
    ) -> None:
        super().__init__(variant=variant, smoothing=smoothing)
        if self.multi_label:
            raise ConfigError(
                "classes of this variant may hold together, and single-label is for one class per image; say objective=multi-label"
            )
        self.mixup, self.cutmix, self.switch = mixup, cutmix, switch

    def forward(self, network: nn.Module, batch: Batch, moment: Moment) -> Mapping[str, Term]:
        if not (self.training and (self.mixup or self.cutmix)):
            return super().forward(network, batch, moment)
        height, width = next(iter(batch.inputs.values())).shape[-2:]
        share, box = draw_mix(
            height, width, moment.generator, mixup_alpha=self.mixup, cutmix_alpha=self.cutmix, switch=self.switch
        )
        images = {name: mixed_pixels(image, share, box) for name, image in batch.inputs.items()}
        logits_BK, label_B = logits_of(answer(network, replace(batch, inputs=images))), batch.target["label"]
        check_labels(label_B, logits_BK.shape[1])
        return {self.term: Term(*cross_entropy(logits_BK, mixed_labels(label_B, logits_BK.shape[1], share)))}
