"""From the authors' checkpoints to zoo's networks.

zoo's networks keep the authors' names, so nothing is renamed. The pre-trained files were saved from the auto-encoder and
may hold its decoder beside the encoder; the encoder counts those keys and leaves them.

Source: gsumbul/SMARTIES@fc0df04 (accelerate's `save_model` on the unwrapped module).
"""

from __future__ import annotations

RENAMES: dict[str, str] = {}

# Keys that only pre-training needs (fnmatch patterns).
DECODER = (
    "mask_token",
    "decoder_embed.*",
    "decoder_pos_embed",
    "decoder_blocks.*",
    "decoder_norm.*",
    "decoder_preds.*",
)
