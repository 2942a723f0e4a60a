"""What every model of the zoo must do, as small functions of one `Subject`.

A check raises `CheckFailed` with what was found, what was expected and what to do; raises `NotApplicable` where it asks
for what the model does not claim; and may return a remark.
"""

from zoo.testing.checks.data import (
    check_bands,
    check_missing_band,
    check_nodata,
    check_recipe,
    check_size,
)  # fmt: skip
from zoo.testing.checks.description import check_import, check_licences, check_pins, check_spec
from zoo.testing.checks.network import (
    check_batch_invariance,
    check_determinism,
    check_dtype,
    check_gradients,
    check_output,
    check_pure_forward,
    check_scales_nothing,
)  # fmt: skip
from zoo.testing.checks.seams import check_seams
from zoo.testing.checks.weights import check_golden, check_save_load, check_state_keys, check_strict_load

CHECKS = (
    check_spec, check_licences, check_pins, check_import,
    check_state_keys, check_strict_load, check_golden, check_save_load,
    check_output, check_gradients, check_batch_invariance, check_dtype, check_determinism, check_pure_forward,
    check_scales_nothing,
    check_recipe, check_bands, check_missing_band, check_nodata, check_size, check_seams,
)  # fmt: skip

__all__ = ["CHECKS"]
