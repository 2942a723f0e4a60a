"""From the authors' checkpoints to zoo's networks.

Their runs of July 2024, which all published results come from, call `aspp_branches` what later code calls
`spatial_branches`. A network of one modality has no name for it.

Source: ninavantiel/multi_scale_SDMs@22ac42f.
"""

from __future__ import annotations

import re

_BRANCHES: dict[str | re.Pattern[str], str] = {
    re.compile(r"\b(?:spatial|aspp)_branches\.(\d+)\.conv_layers\."): r"branches.\1.convs.",
    re.compile(r"\b(?:spatial|aspp)_branches\.(\d+)\.linear_layers\."): r"branches.\1.linears.",
}


def _alone(modality: str) -> dict[str | re.Pattern[str], str]:
    here = f"modalities.{modality}."
    return {"backbone.": f"{here}backbone.", **_BRANCHES, "branches.": f"{here}branches.", "linear.": "head."}


BOTH = {"modelA.": "modalities.env.", "modelB.": "modalities.sat.", "fc.": "head.", **_BRANCHES}
ENV = _alone("env")
SAT = _alone("sat")
