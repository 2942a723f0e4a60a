"""Which results the authors report. The repository names them without their numbers, which the paper's tables hold.

The only numbers at hand come from a leaderboard kept by others, which states neither protocol nor size of the encoder.

Source: gsumbul/SMARTIES@fc0df04, README and scripts.
"""

from __future__ import annotations

from zoo.spec import Score

_AUTHORS = "gsumbul/SMARTIES@fc0df04"
_OTHERS = "third-party leaderboard (weak evidence)"

TOP1, MICRO_MAP, MIOU = "top-1 accuracy [%]", "micro mAP [%]", "mIoU [%]"
METRIC_OF = {
    "bigearthnets2": ("BigEarthNet-S2, 10 % of train", MICRO_MAP),
    "bigearthnets1": ("BigEarthNet-S1, 10 % of train", MICRO_MAP),
    "bigearthnetmm": ("BigEarthNet-MM, 10 % of train", MICRO_MAP),
    "eurosat": ("EuroSAT", TOP1),
    "resisc45": ("RESISC45", TOP1),
    "dfc2020": ("DFC2020", MIOU),
}
PROTOCOL_OF = {"finetune": "fine-tuned", "linprobe": "frozen encoder, linear probe"}


def reported(dataset: str, protocol: str) -> tuple[Score, ...]:
    """The result of a released fine-tuned network."""
    name, metric = METRIC_OF[dataset]
    return (Score(dataset=name, metric=metric, value=None, protocol=PROTOCOL_OF[protocol], source=_AUTHORS),)


PRETRAINED = (
    *(
        Score(dataset=name, metric=TOP1, value=None, protocol="nearest neighbours, k = 20", source=_AUTHORS)
        for name in ("EuroSAT", "WHU-RS19", "UC-Merced")
    ),
    *(
        Score(dataset=name, metric=MIOU, value=None, protocol="frozen encoder, UPerNet", source=_AUTHORS)
        for name in ("DynamicEarthNet", "SpaceNet7")
    ),
)
LEADERBOARD = (
    Score(dataset="BurnScars", metric=MIOU, value=82.8, protocol="not stated, nor the encoder's size", source=_OTHERS),
    Score(dataset="m-eurosat", metric="not stated", value=92.6, protocol="not stated", source=_OTHERS),
    Score(dataset="m-bigearthnet", metric="not stated", value=62.0, protocol="not stated", source=_OTHERS),
)
