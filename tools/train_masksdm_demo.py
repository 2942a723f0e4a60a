"""Train the demo weights of MaskSDM on virtual species: `python tools/train_masksdm_demo.py [--out FILE]`.

The weights are those of `zoo train masksdm demo`; this saves them where the plugin ships them, and measures: mean AUC of the
twelve species at sites of worlds that were never seen, with all predictors and with some, beside baselines. The row of
`zoo_masksdm.variants` wants the size and the hash that are printed. Three minutes on one core.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from zoo_masksdm.judging import table

import zoo

OUT = Path(__file__).parents[1] / "plugins/masksdm/zoo_masksdm/demo.safetensors"


def main() -> None:
    """Train, write, measure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=OUT)
    options.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="changes of the recipe")
    given = options.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trained = zoo.train(zoo.recipe("masksdm", "demo", *given.settings), out=folder)
        save_file(trained.model.module.state_dict(), given.out)
    data = given.out.read_bytes()
    print(f"wrote {given.out}: size={len(data)}, sha256={hashlib.sha256(data).hexdigest()}")
    print(f"{time.perf_counter() - began:.0f} s")
    for line in table(trained.model):
        print(line)


if __name__ == "__main__":
    main()
