"""From the authors' files to zoo's networks.

The files are plain state dicts under the names that zoo's networks keep, so nothing is renamed. They hold tensors alone: no
statistics of the predictors, no names (see `zoo_masksdm.bundle`).

Source: zbirobin/MaskSDM-MEE@bfdc9487 (`torch.save(model.state_dict())`).
"""

from __future__ import annotations

RENAMES: dict[str, str] = {}

# Of Maxent: the range of each scaled column, which the authors' transformer learned and their file lacks.
RANGES = "expansion.ranges"
