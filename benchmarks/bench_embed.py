"""Embedding scenes to dense maps: memory that does not grow with the scene, and time outside the network's forward.

Memory: peak of a fresh process on 6000 x 6000 x 12 uint16 against 2000 x 2000, with a stand-in network of 768 output
bands, in the place of the small demo network: building a large one would leave freed memory that hides the pipeline's.
Target: within 300 MB of each other.
Time: share of the whole that is spent outside `forward` on 2000 x 2000 with ViT-B, no blending; the baseline is the
time inside `forward` in the same run. Target: at most 10 % (`--time`; some minutes on two cores).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

BANDS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]


def write_scene(path: Path, side: int) -> None:
    """A scene of random numbers, written in strips."""
    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "height": side, "width": side, "count": 12, "dtype": "uint16", "nodata": 0}
    transform = from_origin(500_000, 5_200_000, 10, 10)
    with rasterio.open(
        path, "w", crs="EPSG:32632", transform=transform, tiled=True, blockxsize=256, blockysize=256, **profile
    ) as file:
        file.descriptions = BANDS
        for row in range(0, side, 512):
            rows = min(512, side - row)
            strip = rng.integers(1, 3000, (12, rows, side), dtype="uint16")
            file.write(strip, window=Window(0, row, side, rows))


def stand_in():
    """A network of 768 output bands that costs next to nothing."""
    from torch import nn

    from zoo.tasks.pretrain import EmbedOutput

    class StandIn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AvgPool2d(8)  # the demo variant's patch

        def forward(self, image):
            tokens = self.pool(image).repeat(1, 64, 1, 1)
            return EmbedOutput(pooled=tokens.mean(dim=(2, 3)), tokens=tokens)

    return StandIn().eval()


def child(scene: str, *, network: str) -> None:
    """Embed one scene in this process and print seconds and peak memory."""
    from dataclasses import replace

    import zoo
    from zoo.model import Origin

    model = zoo.build("smarties@demo" if network == "stand-in" else "smarties", device="cpu")
    if network == "stand-in":
        model = replace(model, module=stand_in())
    inside = 0.0
    forward = model.module.forward

    def timed(*args, **kwargs):
        nonlocal inside
        start = time.perf_counter()
        output = forward(*args, **kwargs)
        inside += time.perf_counter() - start
        return output

    model.module.forward = timed
    wanted = frozenset({"image", "image_bands"} if network != "stand-in" else {"image"})
    # A loaded model knows its weights' hash; random ones would be hashed in each run.
    model = replace(model, origin=Origin(name="benchmark", revision=None, sha256="0" * 64))
    object.__setattr__(model, "_wanted", wanted)
    with tempfile.TemporaryDirectory() as folder:
        tiny = Path(folder) / "tiny.tif"
        write_scene(tiny, 256)
        model.embed(tiny, Path(folder) / "warm.tif", sensor="S2-L2A")  # imports are not part of the work
        inside = 0.0
        start = time.perf_counter()
        model.embed(scene, Path(folder) / "out.tif", sensor="S2-L2A")
    whole = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"whole": whole, "inside": inside, "peak_mb": peak}))


def measure(scene: Path, network: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", str(scene), "--network", network]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--time", action="store_true", help="also measure ViT-B on 2000 x 2000")
    parser.add_argument("--child")
    parser.add_argument("--network", default="stand-in")
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, network=arguments.network)
        return
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.tif", Path(folder) / "large.tif"
        write_scene(small, 2000)
        write_scene(large, 6000)
        peaks = {side: measure(path, "stand-in") for side, path in ((2000, small), (6000, large))}
        for side, one in peaks.items():
            print(f"{side} x {side}: peak {one['peak_mb']:.0f} MB, {one['whole']:.1f} s")
        print(f"difference {peaks[6000]['peak_mb'] - peaks[2000]['peak_mb']:.0f} MB (target 300)")
        if arguments.time:
            one = measure(small, "vit-b")
            share = one["whole"] / one["inside"] - 1
            print(
                f"ViT-B 2000 x 2000: {one['whole']:.1f} s, {one['inside']:.1f} s inside forward: +{share:.1%} (target 10 %)"
            )


if __name__ == "__main__":
    main()
