"""The datasets of the paper that the plugin reads. Licences are not stated by the authors.

Source: zbirobin/MaskSDM-MEE@bfdc9487.
"""

from __future__ import annotations

from zoo.spec import DatasetSpec

DATASETS: tuple[DatasetSpec, ...] = ()
